//! Programmes: several streams, pictures and texts as one stream, mixed by a worker process for each.
//!
//! The worker plays its inputs from this server and publishes to it, as anybody does, with a key of its own; so nothing
//! else here knows of programmes. It is told what to show over a pipe, line by line (`nx_scene`).

mod config;
mod crew;
mod figures;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use nx_contract::desired::{Fault, Held};
use nx_contract::mixes::{Mix, Mixes as Kept, Standing};
use nx_media::StreamKey;
use nx_scene::Scene;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use config::{MixConfig, MixerConfig};

use crate::desired::Content;
use crate::hub::lock;
use crate::outbound::{Outbound, key};

/// Those that run, or have run and were given up.
#[derive(Default)]
pub(crate) struct Mixes(Mutex<HashMap<String, Running>>);

struct Running {
    /// Its worker ends politely when this is dropped.
    scene: watch::Sender<Scene>,
    standing: Arc<Mutex<Standing>>,
    task: JoinHandle<()>,
}

impl Mixes {
    /// Ends all; the tasks that do so.
    pub(crate) fn end(&self) -> Vec<JoinHandle<()>> {
        lock(&self.0).drain().map(|(_, running)| running.task).collect()
    }

    fn standing(&self, stream: &str) -> Standing {
        lock(&self.0).get(stream).map(|running| lock(&running.standing).clone()).unwrap_or_default()
    }
}

impl Outbound {
    /// Begins what is wanted.
    pub(crate) fn mix_all(&self) {
        for (stream, (scene, _)) in self.wanted() {
            self.mix(&stream, scene);
        }
    }

    /// What the configuration says, and in its place what the API does.
    fn wanted(&self) -> BTreeMap<String, (Scene, Held)> {
        let fixed = self.hub.config.mixes.iter().map(|m| (m.stream.clone(), (m.scene.clone(), Held::Config)));
        let book = self.hub.book.read();
        let put = book.mixes.iter().map(|(stream, scene)| (stream.clone(), (scene.clone(), Held::Api)));
        fixed.chain(put).collect()
    }

    /// Shows a scene, with the worker that runs or a new one.
    fn mix(&self, stream: &str, scene: Scene) {
        let Ok(key) = StreamKey::parse(stream) else { return };
        let mut running = lock(&self.mixes.0);
        if let Some(on) = running.get(stream).filter(|on| !on.task.is_finished()) {
            on.scene.send_replace(scene);
        } else if !*self.stop.borrow() {
            let (sender, scene) = watch::channel(scene);
            let standing = Arc::default();
            let task = self.runtime.spawn(crew::keep(self.hub.clone(), key, scene, Arc::clone(&standing)));
            running.insert(stream.to_owned(), Running { scene: sender, standing, task });
        }
    }

    fn checked(&self, stream: &str, scene: &Scene) -> Result<(), Fault> {
        key(stream)?;
        let faults = config::faults(stream, scene);
        if !faults.is_empty() {
            let texts: Vec<String> = faults.into_iter().map(|(key, text)| format!("{key} {text}")).collect();
            return Err(Fault::Invalid(texts.join("; ")));
        }
        let wanted = self.wanted();
        let max = self.hub.config.mixer.mixes_max;
        match wanted.get(stream) {
            Some((before, _)) if before.canvas != scene.canvas => Err(Fault::Conflict(
                "canvas: that of a programme stays; delete the programme and put it again".into(),
            )),
            None if wanted.len() >= max => Err(Fault::Full(format!(
                "there are {max} programmes: delete one, or raise origin.mixer.mixes_max"
            ))),
            _ => Ok(()),
        }
    }
}

impl Kept for Outbound {
    fn mixes(&self) -> Vec<Mix> {
        let mix = |(stream, (scene, origin)): (String, _)| {
            let standing = self.mixes.standing(&stream);
            Mix { stream, scene, origin, standing }
        };
        self.wanted().into_iter().map(mix).collect()
    }

    fn put_mix(&self, stream: &str, scene: Scene) -> Result<(Mix, bool), Fault> {
        let change = |content: &mut Content| {
            self.checked(stream, &scene)?;
            let is_new = !self.wanted().contains_key(stream);
            content.mixes.insert(stream.to_owned(), scene.clone());
            Ok(is_new)
        };
        let is_new = self.hub.book.change(change, |_| self.mix(stream, scene.clone()))?;
        let (stream, standing) = (stream.to_owned(), self.mixes.standing(stream));
        Ok((Mix { stream, scene, origin: Held::Api, standing }, is_new))
    }

    fn remove_mix(&self, stream: &str) -> Result<(), Fault> {
        key(stream)?;
        let fixed = self.hub.config.mixes.iter().find(|mix| mix.stream == stream);
        let change = |content: &mut Content| match content.mixes.remove(stream) {
            Some(_) => Ok(()),
            None if fixed.is_some() => Err(Fault::Conflict(format!(
                "{stream} stands in the configuration file: change it there and restart the server"
            ))),
            None => Err(Fault::NotFound(format!("no programme is called {stream:.200}"))),
        };
        let end = |(): &()| {
            lock(&self.mixes.0).remove(stream);
            if let Some(fixed) = fixed {
                self.mix(stream, fixed.scene.clone());
            }
        };
        self.hub.book.change(change, end)
    }
}

#[cfg(test)]
mod tests;
