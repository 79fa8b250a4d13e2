//! An origin that only remembers.

use std::sync::Mutex;

use nx_contract::announce::{Announce, DateRange, NewCaptions, NewDateRange, RangeState, Rendition, Shown};
use nx_contract::desired::{Held, LinkState, Status};
use nx_contract::keys::{Key, MadeKey};
use nx_contract::mixes::{Mix, Mixes, Scene, Standing};
use nx_contract::playback::{MadeToken, NewToken, Playback, Revocation, Revoke, Revoked};
use nx_contract::sources::Source;
use nx_contract::streams::{Ingest, Server, Stream, Streams};
use nx_contract::targets::Target;
use nx_contract::titles::{
    Append, Coded, Ladder, NewUpload, Taken, Title, Titles, Upload, UploadFault, Work,
};

use super::*;

/// Remembers targets; sources and keys only as far as the routes are concerned.
#[derive(Default)]
pub(crate) struct Fake(Mutex<Vec<(Option<String>, Target)>>);

fn status() -> Status {
    let since = String::from("now");
    Status { state: LinkState::WaitingForStream, attempts: 0, retry_at: None, last_error: None, since }
}

impl Desired for Fake {
    fn targets(&self, stream: &str) -> Result<Vec<Target>, Fault> {
        let all = self.0.lock().unwrap();
        Ok(all.iter().map(|(_, t)| t).filter(|t| t.stream == stream).cloned().collect())
    }

    fn add_target(&self, stream: &str, new: NewTarget, once: Option<&str>) -> Result<Target, Fault> {
        if new.url.starts_with("http") {
            return Err(Fault::Invalid("url: no".into()));
        }
        let mut all = self.0.lock().unwrap();
        if let Some((_, made)) = all.iter().find(|(o, _)| o.is_some() && o.as_deref() == once) {
            return Ok(made.clone());
        }
        let target = Target {
            id: format!("t{}", all.len()),
            stream: stream.into(),
            url: "rtmp://h/a/***".into(),
            enabled: new.enabled,
            tls_insecure: new.tls_insecure,
            public_only: new.public_only,
            created_at: String::new(),
            origin: Held::Api,
            status: status(),
            bytes_sent: 0,
            frames_dropped: 0,
        };
        all.push((once.map(str::to_owned), target.clone()));
        Ok(target)
    }

    fn change_target(&self, _: &str, id: &str, change: Change) -> Result<Target, Fault> {
        let mut all = self.0.lock().unwrap();
        let found = all.iter_mut().find(|(_, t)| t.id == id).ok_or(Fault::NotFound("no".into()))?;
        found.1.enabled = change.enabled;
        Ok(found.1.clone())
    }

    fn remove_target(&self, _: &str, id: &str) -> Result<(), Fault> {
        let mut all = self.0.lock().unwrap();
        let at = all.iter().position(|(_, t)| t.id == id).ok_or(Fault::NotFound("no".into()))?;
        all.remove(at);
        Ok(())
    }

    fn sources(&self, _: &str) -> Result<Vec<Source>, Fault> {
        Ok(Vec::new())
    }

    fn add_source(&self, _: &str, _: NewSource, _: Option<&str>) -> Result<Source, Fault> {
        Err(Fault::Full("sixteen".into()))
    }

    fn change_source(&self, _: &str, _: &str, _: Change) -> Result<Source, Fault> {
        Err(Fault::Conflict("configuration".into()))
    }

    fn remove_source(&self, _: &str, _: &str) -> Result<(), Fault> {
        Err(Fault::Storage("secret disk".into()))
    }

    fn keys(&self, _: &str) -> Result<Vec<Key>, Fault> {
        Ok(Vec::new())
    }

    fn add_key(&self, stream: &str, new: NewKey, _: Option<&str>) -> Result<MadeKey, Fault> {
        let (id, stream, created_at) = ("k0".into(), stream.into(), String::new());
        let about = Key { id, stream, input: new.input, limits: new.limits, created_at };
        Ok(MadeKey { about, key: "hunter22".into() })
    }

    fn put_key(&self, stream: &str, id: &str, key: OuterKey) -> Result<Key, Fault> {
        let (id, stream, created_at) = (id.into(), stream.into(), String::new());
        Ok(Key { id, stream, input: key.input, limits: key.limits, created_at })
    }

    fn remove_key(&self, _: &str, _: &str) -> Result<(), Fault> {
        Ok(())
    }
}

impl Announce for Fake {
    fn captions(&self, _: &str) -> Result<Vec<Rendition>, Fault> {
        Ok(Vec::new())
    }

    fn add_captions(&self, _: &str, new: NewCaptions, _: Option<&str>) -> Result<Shown, Fault> {
        Ok(Shown { cues: new.cues.len(), renditions: Vec::new() })
    }

    fn date_ranges(&self, _: &str) -> Result<Vec<DateRange>, Fault> {
        Err(Fault::NotFound("nobody".into()))
    }

    fn add_date_range(&self, _: &str, new: NewDateRange, _: Option<&str>) -> Result<DateRange, Fault> {
        let id = new.id.ok_or(Fault::Invalid("id".into()))?;
        let (start, state) = (String::new(), RangeState::Active);
        Ok(DateRange {
            id,
            class: None,
            state,
            start,
            end: None,
            planned_duration_ms: None,
            scte35_out: None,
            assets: 0,
        })
    }

    fn remove_date_range(&self, _: &str, _: &str) -> Result<(), Fault> {
        Ok(())
    }
}

impl nx_contract::recordings::Recordings for Fake {
    fn recordings(&self) -> Vec<nx_contract::recordings::Recording> {
        Vec::new()
    }
}

/// Has one programme, and takes another.
impl Playback for Fake {
    fn asks_for_token(&self, path: &str) -> bool {
        path.starts_with("/live/paid/")
    }

    fn make_token(&self, wish: &NewToken) -> Result<MadeToken, Fault> {
        let subject = wish.subject.clone().unwrap_or_default();
        Ok(MadeToken { id: "01".into(), expires_at: wish.lasts_s.to_string(), token: format!("t-{subject}") })
    }

    fn revoke(&self, wish: Revocation) -> Result<Revoked, Fault> {
        Ok(Revoked { seq: 7, what: wish.what, before: String::new() })
    }

    fn revoked(&self, after: u64, limit: usize) -> Vec<Revoked> {
        let one = |seq| Revoked { seq, what: Revoke::Everything(true), before: String::new() };
        (after + 1..=5).take(limit).map(one).collect()
    }
}

impl Mixes for Fake {
    fn mixes(&self) -> Vec<Mix> {
        let scene = serde_json::from_value(json!({"inputs": [{"stream": "live/a"}]})).unwrap();
        vec![Mix { stream: "live/show".into(), scene, origin: Held::Config, standing: Standing::default() }]
    }

    fn put_mix(&self, stream: &str, scene: Scene) -> Result<(Mix, bool), Fault> {
        let faults: Vec<String> = scene.faults().into_iter().map(|f| f.0).collect();
        if !faults.is_empty() {
            return Err(Fault::Invalid(faults.join("; ")));
        }
        let mix = Mix { stream: stream.into(), scene, origin: Held::Api, standing: Standing::default() };
        Ok((mix, stream != "live/show"))
    }

    fn remove_mix(&self, stream: &str) -> Result<(), Fault> {
        if stream == "live/show" { Ok(()) } else { Err(Fault::NotFound("no".into())) }
    }
}

impl Titles for Fake {
    fn titles(&self, _: Option<&str>, _: usize) -> (Vec<Title>, bool) {
        (Vec::new(), false)
    }

    fn remove_title(&self, name: &str) -> Result<(), Fault> {
        Err(Fault::NotFound(name.into()))
    }

    fn ladder(&self, name: &str) -> Result<Ladder, Fault> {
        Err(Fault::NotFound(name.into()))
    }

    fn begin_ladder(&self, name: &str) -> Result<Ladder, Fault> {
        Err(Fault::Conflict(name.into()))
    }

    fn remove_ladder(&self, _: &str) -> Result<(), Fault> {
        Ok(())
    }

    fn upload_bytes_max(&self) -> u64 {
        7
    }

    fn begin_upload(&self, _: NewUpload) -> Result<Upload, UploadFault> {
        Err(UploadFault::TooLarge(7))
    }

    fn upload(&self, _: &str) -> Result<Upload, UploadFault> {
        Err(UploadFault::Unknown)
    }

    fn append(&self, _: &str, _: u64) -> Result<Box<dyn Append>, UploadFault> {
        Err(UploadFault::Locked)
    }

    fn abandon_upload(&self, _: &str) -> Result<(), UploadFault> {
        Ok(())
    }
}

impl Work for Fake {
    fn take(&self, worker: &str) -> Result<Option<Taken>, Fault> {
        let input = Box::new([Ok(b"piece".to_vec())].into_iter());
        Ok((worker == "busy").then(|| Taken { lease: "lease".into(), input }))
    }

    fn hear(&self, lease: &str) -> Result<Box<dyn Coded>, Fault> {
        if lease == "lease" { Ok(Box::new(Heard(Vec::new()))) } else { Err(Fault::NotFound(lease.into())) }
    }
}

/// Takes `whole`, and nothing that begins in another way.
struct Heard(Vec<u8>);

impl Coded for Heard {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.0.extend_from_slice(bytes);
        if b"whole".starts_with(&self.0) {
            Ok(())
        } else {
            Err(Fault::Invalid("not what was asked for".into()))
        }
    }

    fn confirm(self: Box<Self>) -> Result<(), Fault> {
        if self.0 == b"whole" { Ok(()) } else { Err(Fault::Invalid("it ended early".into())) }
    }
}

impl nx_delivery::Directory for Fake {
    fn find(&self, _: &nx_media::StreamKey) -> Option<Arc<nx_delivery::LiveStream>> {
        None
    }
}

impl Streams for Fake {
    fn list(&self) -> Vec<Stream> {
        Vec::new()
    }

    fn server(&self) -> Server {
        Server { version: String::new(), uptime_ms: 0, ingest: Ingest::default(), refusals: Vec::new() }
    }
}
