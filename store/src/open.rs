//! Finding on disk what an earlier process kept.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;

use nx_media::StreamKey;

use crate::log::Log;
use crate::marker;
use crate::run;
use crate::volume::{self, Volume};

/// What a stream's folder had.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Oldest first.
    pub(crate) volumes: VecDeque<Volume>,
    /// To be removed from object storage.
    pub(crate) gone: VecDeque<u64>,
}

/// Every stream that has a folder here.
pub(crate) fn streams(
    folder: &Path,
    log: impl Fn(&StreamKey, Found) -> Log,
) -> io::Result<Vec<(StreamKey, Log)>> {
    let mut found = Vec::new();
    for app in folders(folder)? {
        for name in folders(&folder.join(&app))? {
            let Ok(key) = StreamKey::new(&app, &name) else { continue };
            let log = log(&key, volumes(&folder.join(&app).join(&name))?);
            found.push((key, log));
        }
    }
    Ok(found)
}

fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The volumes of a stream. One that cannot be read is left alone and said so.
fn volumes(folder: &Path) -> io::Result<Found> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    let numbers = |end: &str| -> Vec<u64> {
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| marker::number(name, end)).collect();
        numbers.sort_unstable();
        numbers
    };
    let gone = numbers("gone");
    for number in &gone {
        finish_drop(folder, *number)?;
    }
    names.iter().for_each(|name| volume::remove_stray(folder, name));
    let mut volumes = VecDeque::new();
    for number in numbers("index").into_iter().filter(|number| !gone.contains(number)) {
        match Volume::recover(folder, number) {
            Ok(Some(volume)) if has_runs(folder, &volume) => volumes.push_back(volume),
            Ok(Some(_)) => {
                tracing::warn!(folder = %folder.display(), number, "volume without its tracks left out")
            }
            Ok(None) => {
                tracing::warn!(folder = %folder.display(), number, "volume without a whole segment left out")
            }
            Err(error) => tracing::warn!(folder = %folder.display(), number, %error, "volume left out"),
        }
    }
    Ok(Found { volumes, gone: gone.into() })
}

/// A process was killed while it dropped a volume, or before object storage had done so too.
fn finish_drop(folder: &Path, number: u64) -> io::Result<()> {
    volume::remove(folder, number)?;
    for run in marker::gone(folder, number).unwrap_or_default() {
        marker::remove(&run::path(folder, run))?;
    }
    Ok(())
}

fn has_runs(folder: &Path, volume: &Volume) -> bool {
    [volume.first_run, volume.last_run].iter().all(|number| run::read(folder, *number).is_ok())
}
