//! What was taken back here, on disk: the list's name, then a line for each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{List, Revocation};
use crate::claims::{hex, random};

/// Lines that say nothing more than later ones do, before the file is written anew.
const SPARE_MAX: usize = 1024;

/// The file, once there is something in it.
pub(super) struct Log {
    path: Option<PathBuf>,
    file: Option<File>,
    lines: usize,
}

impl Log {
    /// Reads what there is. A line that was cut off was never acknowledged.
    pub(super) fn open(path: Option<PathBuf>) -> io::Result<(Self, List)> {
        let mut log = Self { path, file: None, lines: 0 };
        let mut list = List::default();
        if let Some(file) = log.path.as_ref().filter(|path| path.exists()).map(File::open).transpose()? {
            let (mut reader, mut line) = (BufReader::new(file), Vec::new());
            while reader.read_until(b'\n', &mut line)? > 0 {
                let Some(text) = line.strip_suffix(b"\n") else { break };
                if list.log.is_empty() {
                    list.log = String::from_utf8_lossy(text).into_owned();
                } else {
                    let item: Revocation = serde_json::from_slice(text).map_err(|e| {
                        io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {e}", log.lines + 2))
                    })?;
                    list.put(item);
                    log.lines += 1;
                }
                line.clear();
            }
        }
        if list.log.is_empty() {
            list.log = hex(&random(8).map_err(io::Error::other)?);
        }
        Ok((log, list))
    }

    /// Writes down what is new behind `count` items of the list `name`, which `all` gives when it has to be written anew.
    /// Waits for the disk.
    pub(super) fn write(
        &mut self,
        name: &str,
        count: usize,
        new: &Revocation,
        all: impl FnOnce() -> Vec<Revocation>,
    ) -> io::Result<()> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        // What was written in part, by this process or an earlier one, must not be read as a line later: it is written anew.
        let Some(mut file) = self.file.take().filter(|_| self.lines < count + SPARE_MAX) else {
            let mut items = all();
            items.push(new.clone());
            self.file = Some(whole(&path, name, &items)?);
            self.lines = items.len();
            return Ok(());
        };
        file.write_all(line(new)?.as_bytes()).and_then(|()| file.sync_data())?;
        self.file = Some(file);
        self.lines += 1;
        Ok(())
    }
}

fn line(item: &Revocation) -> io::Result<String> {
    serde_json::to_string(item).map(|text| text + "\n").map_err(io::Error::other)
}

/// A file with all of it, in the place of the one before.
fn whole(path: &Path, name: &str, items: &[Revocation]) -> io::Result<File> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    // Names of viewers are in it.
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
    let mut text = format!("{name}\n");
    for item in items {
        text.push_str(&line(item)?);
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    Ok(file)
}
