//! One title's renditions: which pieces are done, and who has the others.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nx_contract::titles::{Ladder, LadderState};
use nx_vod::Found;

use super::plan::{Piece, Plan};

/// Times that a piece may fail.
pub(super) const ATTEMPTS_MAX: u32 = 5;

/// One title.
pub(super) struct Job {
    pub(super) plan: Arc<Plan>,
    pub(super) folder: PathBuf,
    pub(super) steps: Vec<Step>,
    pub(super) failed: Option<String>,
    /// Why a piece failed last.
    pub(super) trouble: Option<String>,
    /// Not put together before, milliseconds of our clock: the disk refused.
    pub(super) rest_until_ms: i64,
    /// When it was begun, and how much was done then; milliseconds of our clock, and weight.
    pub(super) begun: (i64, f64),
}

/// Where a piece is.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) attempts: u32,
    pub(super) at: At,
}

#[derive(Debug, Default)]
pub(super) enum At {
    #[default]
    Waiting,
    Taken {
        lease: String,
        worker: String,
        /// When it was heard of last, milliseconds of our clock.
        heard_ms: i64,
        /// How much of it is coded, 0 to 1.
        share: f64,
    },
    Done,
}

impl Job {
    pub(super) fn done(&self) -> f64 {
        let of = |(step, piece): (&Step, &Piece)| match step.at {
            At::Waiting => 0.0,
            At::Taken { share, .. } => share * piece.weight(),
            At::Done => piece.weight(),
        };
        self.steps.iter().zip(&self.plan.pieces).map(of).sum()
    }

    pub(super) fn is_of(&self, found: &Found) -> bool {
        (&self.plan.found.name, self.plan.found.identity) == (&found.name, found.identity)
    }

    pub(super) fn is_full(&self) -> bool {
        self.failed.is_none() && self.steps.iter().all(|step| matches!(step.at, At::Done))
    }

    /// The next piece that nobody has.
    pub(super) fn next(&self) -> Option<usize> {
        let waits = |step: &Step| matches!(step.at, At::Waiting);
        self.steps.iter().position(waits).filter(|_| self.failed.is_none())
    }

    /// A piece is free again. It `counts` when its worker failed: a disk of ours that is full says nothing against the
    /// piece, and is not to give up the title.
    pub(super) fn release(&mut self, nth: usize, why: &str, counts: bool) {
        let Some(step) = self.steps.get_mut(nth) else { return };
        step.at = At::Waiting;
        step.attempts += u32::from(counts);
        tracing::warn!(
            title = self.plan.found.name,
            piece = nth,
            why,
            "a piece of a title's renditions has to be made again"
        );
        self.trouble = Some(why.to_owned());
        if step.attempts >= ATTEMPTS_MAX {
            self.fail(format!("piece {nth} failed {ATTEMPTS_MAX} times: {why}"));
        }
    }

    pub(super) fn fail(&mut self, why: String) {
        tracing::error!(title = self.plan.found.name, why, "renditions of a title are given up");
        if let Err(error) = write(&self.folder, "failed", &why) {
            tracing::error!(%error, "that cannot be written down");
        }
        self.failed = Some(why);
    }

    /// Given up since what was made is wrong: whoever begins again makes all of it anew.
    pub(super) fn discard(&mut self, why: String) {
        self.fail(why);
        for (nth, step) in self.steps.iter_mut().enumerate() {
            match fs::remove_file(coded(&self.folder, nth)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(%error, piece = nth, "a piece that is wrong cannot be removed");
                }
                _ => *step = Step::default(),
            }
        }
    }

    /// It cannot be put together just now.
    pub(super) fn rest(&mut self, why: String, until_ms: i64) {
        tracing::error!(title = self.plan.found.name, why, "renditions of a title have to wait");
        self.trouble = Some(why);
        self.rest_until_ms = until_ms;
    }

    pub(super) fn told(&self, now_ms: i64) -> Ladder {
        let all: f64 = self.plan.pieces.iter().map(Piece::weight).sum();
        let (done, (begun_ms, before)) = (self.done(), self.begun);
        let pace = (done - before) / (now_ms - begun_ms).max(1) as f64;
        let worker =
            |step: &Step| if let At::Taken { worker, .. } = &step.at { Some(worker.clone()) } else { None };
        let workers: Vec<String> = self.steps.iter().filter_map(worker).collect();
        let running = !workers.is_empty();
        Ladder {
            state: match self {
                Self { failed: Some(_), .. } => LadderState::Failed,
                _ if self.is_full() => LadderState::Checking,
                _ if running => LadderState::Running,
                _ => LadderState::Waiting,
            },
            percent: (done / all.max(f64::MIN_POSITIVE) * 100.0) as u8,
            left_s: (pace > 0.0 && running).then(|| ((all - done) / pace / 1000.0).ceil() as u64),
            chunks: self.steps.len(),
            chunks_done: self.steps.iter().filter(|s| matches!(s.at, At::Done)).count(),
            workers,
            reason: self.failed.clone().or_else(|| self.trouble.clone()),
        }
    }
}

/// Makes the folder of a plan; the pieces that are in it already are done.
pub(super) fn prepare(folder: &Path, plan: &Plan) -> io::Result<Vec<Step>> {
    let text = plan.text();
    if fs::read_to_string(folder.join("plan")).ok().as_ref() != Some(&text) {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(folder)?,
        }
        write(folder, "plan", &text)?;
    }
    // What came of pieces that were not whole.
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.ends_with(".coded") && name != "plan" && name != "failed" {
            fs::remove_file(entry.path())?;
        }
    }
    let step =
        |nth| Step { at: if coded(folder, nth).exists() { At::Done } else { At::Waiting }, attempts: 0 };
    Ok((0..plan.pieces.len()).map(step).collect())
}

/// Writes a note so that it is there whole or not at all.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let draft = folder.join(format!("{name}.draft"));
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, folder.join(name))?;
    File::open(folder)?.sync_all()
}

pub(super) fn coded(folder: &Path, nth: usize) -> PathBuf {
    folder.join(format!("{nth}.coded"))
}
