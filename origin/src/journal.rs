//! What a stream must remember over a crash of the process: its numbers and its time.
//!
//! One file of JSON lines; the newest line of a stream counts, a torn last line is ignored. A line is written
//! when a segment is opened, so that no number that viewers may have seen is given out twice. Written by a
//! thread of its own: the disk never holds up a stream. Lines are in the kernel's hands at once, which a
//! `kill -9` does not undo; they are on the disk when a stream starts and ends.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use nx_media::StreamKey;
use serde::{Deserialize, Serialize};

/// Size at which the file is written anew with the newest lines only; bytes.
const COMPACT_BYTES: u64 = 4 << 20;
/// Lines that may wait for the disk; beyond, a line is dropped: the next one of its stream says more.
const WAITING_MAX: usize = 4_096;
/// Streams that were not heard of for this long are forgotten; milliseconds.
const KEPT_MS: i64 = 7 * 86_400_000;
const FILE: &str = "streams.journal";

/// Where a stream is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Identifier of the stream in the log and the API.
    pub(crate) id: String,
    /// First media sequence number that was not given out.
    pub(crate) msn: u64,
    /// Number of the next run.
    pub(crate) run: u32,
    /// Part target, once fixed; microseconds.
    pub(crate) part_target_us: Option<u32>,
    /// Discontinuities so far.
    pub(crate) discontinuities: u64,
    /// Stream time reached; milliseconds.
    pub(crate) reached_ms: i64,
    /// Unix time of that; milliseconds.
    pub(crate) wall_ms: i64,
    /// It had not ended.
    pub(crate) live: bool,
    /// What was listed; see [`nx_hls::Remains`].
    #[serde(default)]
    pub(crate) run_start_ms: i64,
    #[serde(default)]
    pub(crate) wall_at_zero_ms: i64,
    #[serde(default)]
    pub(crate) first_msn: u64,
    #[serde(default)]
    pub(crate) begins_ms: Vec<i64>,
}

impl Mark {
    pub(crate) fn start(&self) -> nx_hls::Start {
        let msn = self.msn.saturating_add(nx_hls::GAP_MSNS);
        nx_hls::Start { msn, run: self.run, part_target_us: self.part_target_us }
    }

    pub(crate) fn remains(&self) -> nx_hls::Remains {
        nx_hls::Remains {
            run: self.run.saturating_sub(1),
            start_ms: self.run_start_ms,
            wall_at_zero_ms: self.wall_at_zero_ms,
            first_msn: self.first_msn,
            begins_ms: self.begins_ms.clone(),
            discontinuities: self.discontinuities,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    stream: String,
    mark: Mark,
}

/// Handle to the writing thread.
#[derive(Debug)]
pub(crate) struct Journal {
    lines: Option<SyncSender<(StreamKey, Mark)>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Reads the folder's journal and goes on with it.
    ///
    /// # Errors
    /// When the file cannot be read, or written anew.
    pub(crate) fn open(folder: &Path, now_wall_ms: i64) -> io::Result<(Self, HashMap<StreamKey, Mark>)> {
        let path = folder.join(FILE);
        let mut marks = match std::fs::read(&path) {
            Ok(bytes) => read(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(e) => return Err(e),
        };
        marks.retain(|_, mark| now_wall_ms.saturating_sub(mark.wall_ms) < KEPT_MS);
        let file = write_anew(&path, &marks)?;
        let (lines, inbox) = sync_channel(WAITING_MAX);
        let bytes = file.metadata()?.len();
        let writer = Writer { path, file, bytes, marks: marks.clone() };
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&inbox))?;
        Ok((Self { lines: Some(lines), thread: Some(thread) }, marks))
    }

    /// Notes where a stream is.
    pub(crate) fn note(&self, key: &StreamKey, mark: Mark) {
        if let Some(lines) = &self.lines {
            let _ = lines.try_send((key.clone(), mark));
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    /// Length of the file.
    bytes: u64,
    marks: HashMap<StreamKey, Mark>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<(StreamKey, Mark)>) {
        let mut failed = false;
        while let Ok((key, mark)) = inbox.recv() {
            let turn = self.marks.get(&key).is_none_or(|m| m.live != mark.live);
            self.marks.insert(key.clone(), mark.clone());
            let result = self.append(&key, mark, turn);
            if let (Err(error), false) = (&result, failed) {
                let path = self.path.display();
                tracing::error!(%error, "{path} cannot be written: streams go on, but a restart will not know their numbers");
            }
            failed = result.is_err();
        }
        let _ = self.file.sync_data();
    }

    fn append(&mut self, key: &StreamKey, mark: Mark, sync: bool) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { stream: key.to_string(), mark })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        if sync {
            self.file.sync_data()?;
        }
        self.bytes += line.len() as u64;
        if self.bytes > COMPACT_BYTES {
            self.file = write_anew(&self.path, &self.marks)?;
            self.bytes = self.file.metadata()?.len();
        }
        Ok(())
    }
}

fn read(bytes: &[u8]) -> HashMap<StreamKey, Mark> {
    let lines = bytes.split(|&b| b == b'\n');
    let parsed = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    parsed.filter_map(|line| Some((StreamKey::parse(&line.stream).ok()?, line.mark))).collect()
}

/// Writes beside, then renames: there is a whole file at any time.
fn write_anew(path: &Path, marks: &HashMap<StreamKey, Mark>) -> io::Result<File> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&fresh)?;
    let mut text = Vec::new();
    for (key, mark) in marks {
        serde_json::to_writer(&mut text, &Line { stream: key.to_string(), mark: mark.clone() })?;
        text.push(b'\n');
    }
    file.write_all(&text)?;
    file.sync_data()?;
    std::fs::rename(&fresh, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(msn: u64) -> Mark {
        Mark {
            id: "s".into(),
            msn,
            run: 1,
            part_target_us: Some(333_334),
            discontinuities: 2,
            reached_ms: 7,
            wall_ms: 1_000,
            live: true,
            run_start_ms: 0,
            wall_at_zero_ms: 0,
            first_msn: msn - 1,
            begins_ms: vec![5],
        }
    }

    #[test]
    fn the_newest_line_counts_and_a_torn_one_does_not() {
        let folder = std::env::temp_dir().join(format!("nexus-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let key = StreamKey::new("live", "one").expect("a name");
        let other = StreamKey::new("live", "two").expect("a name");
        {
            let (journal, marks) = Journal::open(&folder, 2_000).expect("opens");
            assert!(marks.is_empty());
            (1..=9).for_each(|n| journal.note(&key, mark(n)));
            journal.note(&other, mark(5));
        }
        let mut file = OpenOptions::new().append(true).open(folder.join(FILE)).expect("there");
        file.write_all(b"{\"stream\":\"live/one\",\"mark\":{\"ms").expect("writes");
        let (journal, marks) = Journal::open(&folder, 2_000).expect("opens again");
        assert_eq!((marks[&key].msn, marks[&other].msn, marks.len()), (9, 5, 2));
        drop(journal);
        let (_journal, marks) = Journal::open(&folder, 1_000 + KEPT_MS).expect("opens later");
        assert!(marks.is_empty(), "old streams are forgotten");
        std::fs::remove_dir_all(&folder).expect("removes");
    }
}
