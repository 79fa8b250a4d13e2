//! What a worker says about a piece, while it comes: to the disk, and how far it is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use nx_contract::desired::Fault;
use nx_contract::titles::Coded;
use nx_media::{Kind, VIDEO_TIMESCALE, rescale};
use nx_worker_protocol::{LENGTH, Output, Reply, VERSION, frame_len};

use super::plan::Plan;
use super::{Jobs, storage};

/// See the module.
pub(crate) struct Hearing {
    jobs: Arc<Jobs>,
    lease: String,
    plan: Arc<Plan>,
    nth: usize,
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The beginning of a frame.
    rest: BytesMut,
    /// When the first sample is shown, seconds.
    begins_s: Option<f64>,
    share: f64,
    /// The last word was said.
    whole: bool,
    why: String,
    /// The disk refused: that is no fault of the worker.
    ours: bool,
}

impl Hearing {
    pub(super) fn new(
        jobs: Arc<Jobs>,
        lease: String,
        plan: Arc<Plan>,
        folder: &Path,
        nth: usize,
    ) -> io::Result<Self> {
        let path = folder.join(format!("{nth}.{lease}"));
        let file = File::create_new(&path)?;
        let (rest, why) = (BytesMut::new(), "its worker broke off".to_owned());
        let (begins_s, share, whole, ours) = (None, 0.0, false, false);
        Ok(Self { jobs, lease, plan, nth, path, file, bytes: 0, rest, begins_s, share, whole, why, ours })
    }

    /// The piece is given back, for this reason.
    pub(super) fn give_up(mut self, why: &str) {
        why.clone_into(&mut self.why);
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes += bytes.len() as u64;
        let max = self.plan.pieces.get(self.nth).map_or(0, |piece| piece.bytes_max());
        if self.bytes > max {
            return Err(Fault::Invalid(format!("more than {max} bytes were made of it")));
        }
        self.file.write_all(bytes).map_err(|e| storage(&e))?;
        self.rest.extend_from_slice(bytes);
        while let Some(frame) = self.frame()? {
            let reply = Reply::read(frame).map_err(|e| Fault::Invalid(e.to_string()))?;
            self.understand(reply)?;
        }
        self.jobs.note(&self.lease, self.share)
    }

    /// The next frame, when it is whole.
    fn frame(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(length) = self.rest.first_chunk::<LENGTH>() else { return Ok(None) };
        let len = frame_len(*length).map_err(|e| Fault::Invalid(e.to_string()))?;
        if self.rest.len() < LENGTH + len {
            return Ok(None);
        }
        self.rest.advance(LENGTH);
        Ok(Some(self.rest.split_to(len).freeze()))
    }

    fn understand(&mut self, reply: Reply) -> Result<(), Fault> {
        match reply {
            Reply::Hello(VERSION) | Reply::Opened { .. } | Reply::Load(_) => {}
            Reply::Hello(other) => {
                let why = format!(
                    "the worker speaks version {other}, not {VERSION}; build it from the same sources"
                );
                return Err(Fault::Invalid(why));
            }
            Reply::Coded { output, sample } => {
                let Some(piece) = self.plan.pieces.get(self.nth) else { return Ok(()) };
                let scale = match piece.ladder.outputs.get(usize::from(output)) {
                    Some(Output::Sound(sound)) => sound.sample_rate,
                    _ => VIDEO_TIMESCALE,
                };
                let at_s = rescale(sample.pts, scale, 1000) as f64 / 1000.0;
                let begins_s = *self.begins_s.get_or_insert(at_s);
                self.share = ((at_s - begins_s) / piece.length_s.max(0.001)).clamp(self.share, 1.0);
            }
            Reply::Flushed => self.whole = true,
            Reply::Refused { output, why } => {
                let kind = self.plan.pieces.get(self.nth).map(|piece| piece.track.kind);
                let what = if kind == Some(Kind::Audio) { "sound" } else { "rendition" };
                return Err(Fault::Invalid(format!("{what} {output} cannot be made: {why}")));
            }
            Reply::Failed(why) => return Err(Fault::Invalid(why)),
            Reply::Drawn | Reply::Jpeg(_) => return Err(Fault::Invalid("no picture was asked for".into())),
        }
        Ok(())
    }

    fn keep(&mut self) -> Result<(), Fault> {
        if !self.whole || !self.rest.is_empty() {
            return Err(Fault::Invalid("its worker ended before its last word".into()));
        }
        self.file.sync_all().map_err(|e| storage(&e))?;
        self.jobs.done(&self.lease, &self.path)
    }

    fn blame(&mut self, fault: &Fault) {
        self.why = fault.to_string();
        self.ours = matches!(fault, Fault::Storage(_));
    }
}

impl Coded for Hearing {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let taken = self.take(bytes);
        taken.inspect_err(|fault| self.blame(fault))
    }

    fn confirm(mut self: Box<Self>) -> Result<(), Fault> {
        let kept = self.keep();
        kept.inspect_err(|fault| self.blame(fault))
    }
}

/// What is done has no lease, and its file another name.
impl Drop for Hearing {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.jobs.release(&self.lease, &self.why, !self.ours);
    }
}
