//! What the gateway may know and do of titles.

use nx_contract::desired::Fault;
use nx_contract::titles::{
    Append, Coded, Ladder, LadderState, NewUpload, Taken, Title, TitleState, Titles, Upload, UploadFault,
    Work,
};
use nx_delivery::wall_ms;
use nx_hls::Rfc3339;
use nx_vod::{Appending, Found, Progress, TitleError, UploadError};

use crate::hub::Hub;

impl Hub {
    fn title(&self, found: &Found) -> Title {
        let opened = self.titles.library.open(&found.name);
        let ladder = self.titles.jobs.told(found);
        let (state, notes) = match &opened {
            Ok(title) => (TitleState::Ready, title.index().left_out.clone()),
            Err(error) => {
                let comes = ladder.as_ref().is_some_and(|ladder| ladder.state != LadderState::Failed);
                (if comes { TitleState::Waiting } else { TitleState::Refused }, vec![error.to_string()])
            }
        };
        let codecs = opened.iter().flat_map(|t| &t.index().tracks).map(|t| t.params.rfc6381().to_owned());
        let key = format!("{}/{}", self.titles.app, found.name);
        let changed_ms = i64::try_from(found.identity.changed_ns / 1_000_000).unwrap_or(0);
        Title {
            name: found.name.clone(),
            state,
            notes,
            bytes: found.identity.bytes,
            changed_at: Rfc3339(changed_ms).to_string(),
            codecs: codecs.collect(),
            ladder,
            duration_ms: opened.as_ref().ok().map(|title| title.duration_ms()),
            hls_path: format!("/{key}/index.m3u8"),
            dash_path: format!("/{key}/manifest.mpd"),
            mp4_path: format!("/{key}/video.mp4"),
            key,
        }
    }
}

impl Titles for Hub {
    fn titles(&self, after: Option<&str>, limit: usize) -> (Vec<Title>, bool) {
        let all = self.titles.library.list();
        let mut rest = all.iter().filter(|found| after.is_none_or(|after| *found.name > *after));
        let page = rest.by_ref().take(limit).map(|found| self.title(found)).collect();
        (page, rest.next().is_some())
    }

    fn remove_title(&self, name: &str) -> Result<(), Fault> {
        self.titles.jobs.forget(name);
        match self.titles.library.remove(name) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Fault::NotFound(format!("there is no title {name:.128}"))),
            Err(error) => Err(storage(&error)),
        }
    }

    fn ladder(&self, name: &str) -> Result<Ladder, Fault> {
        let found = self.titles.jobs.find(name)?;
        let none = || Fault::NotFound(format!("{name:.128} has no renditions: POST here has them made"));
        self.titles.jobs.told(&found).ok_or_else(none)
    }

    fn begin_ladder(&self, name: &str) -> Result<Ladder, Fault> {
        self.titles.jobs.begin(name)
    }

    fn remove_ladder(&self, name: &str) -> Result<(), Fault> {
        self.titles.jobs.remove(name)
    }

    fn upload_bytes_max(&self) -> u64 {
        self.titles.library.file_bytes_max()
    }

    fn begin_upload(&self, new: NewUpload) -> Result<Upload, UploadFault> {
        let id = nx_delivery::random_id();
        let begun = self.titles.uploads.begin(&id, &new.filename, new.bytes, wall_ms());
        begun.map(|progress| upload(&id, progress)).map_err(fault)
    }

    fn upload(&self, id: &str) -> Result<Upload, UploadFault> {
        let progress = self.titles.uploads.progress(id, wall_ms());
        progress.map(|progress| upload(id, progress)).map_err(fault)
    }

    fn append(&self, id: &str, offset: u64) -> Result<Box<dyn Append>, UploadFault> {
        let appending = self.titles.uploads.append(id, offset).map_err(fault)?;
        Ok(Box::new(Sending { id: id.to_owned(), appending }))
    }

    fn abandon_upload(&self, id: &str) -> Result<(), UploadFault> {
        self.titles.uploads.abandon(id).map_err(fault)
    }
}

impl Work for Hub {
    fn take(&self, worker: &str) -> Result<Option<Taken>, Fault> {
        self.titles.jobs.take(worker)
    }

    fn hear(&self, lease: &str) -> Result<Box<dyn Coded>, Fault> {
        self.titles.jobs.hear(lease).map(|hearing| Box::new(hearing) as Box<dyn Coded>)
    }
}

struct Sending {
    id: String,
    appending: Appending,
}

impl Append for Sending {
    fn write(&mut self, bytes: &[u8]) -> Result<(), UploadFault> {
        self.appending.write(bytes).map_err(fault)
    }

    fn confirm(self: Box<Self>) -> Result<Upload, UploadFault> {
        let Self { id, appending } = *self;
        appending.confirm(wall_ms()).map(|progress| upload(&id, progress)).map_err(fault)
    }

    fn undo(self: Box<Self>) -> Result<(), UploadFault> {
        self.appending.undo().map_err(fault)
    }
}

fn upload(id: &str, progress: Progress) -> Upload {
    let Progress { offset, bytes, expires_ms, title } = progress;
    Upload { id: id.to_owned(), offset, bytes, expires_ms, title }
}

fn fault(error: UploadError) -> UploadFault {
    match error {
        UploadError::Unknown => UploadFault::Unknown,
        UploadError::Locked => UploadFault::Locked,
        UploadError::Offset(at) => UploadFault::Offset(at),
        UploadError::TooLarge(max) => UploadFault::TooLarge(max),
        UploadError::Refused(why) => UploadFault::Refused(refusal(&why)),
        UploadError::Name(why) => UploadFault::Other(Fault::Invalid(why)),
        UploadError::Taken(why) => UploadFault::Other(Fault::Conflict(why)),
        UploadError::Full(why) => UploadFault::Other(Fault::Full(why)),
        UploadError::Io(error) => UploadFault::Other(storage(&error)),
        other => UploadFault::Other(Fault::Storage(other.to_string())),
    }
}

fn refusal(why: &TitleError) -> String {
    match why {
        TitleError::Index(nx_container::index::IndexError::Unsupported(_)) => {
            format!("{why}; no transcoder of ours decodes it")
        }
        _ => why.to_string(),
    }
}

fn storage(error: &std::io::Error) -> Fault {
    tracing::error!(%error, "the folder of titles cannot be written");
    Fault::Storage(error.to_string())
}
