//! Small files beside a volume that say where it stands.
//!
//! ```text
//! N.safe     object storage has the volume: its records, its bytes, and a CRC-32 of its index
//! N.gone     it is to be removed from object storage, with these runs
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

fn path(folder: &Path, number: u64, end: &str) -> PathBuf {
    folder.join(format!("{number:020}.{end}"))
}

/// Puts a file there whole or not at all, so that it stays.
pub(crate) fn place(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = folder.join(format!("{name}.draft"));
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// What a volume is marked as safe with: a volume that has grown since is another.
pub(crate) fn proof(index: &[u8], bytes: u64) -> String {
    format!("{} {bytes} {:08x}\n", index.len(), crc32fast::hash(index))
}

/// Says that object storage has a volume.
pub(crate) fn set_safe(folder: &Path, number: u64, proof: &str) -> io::Result<()> {
    place(folder, &format!("{number:020}.safe"), proof.as_bytes())
}

/// Whether object storage has this volume.
pub(crate) fn is_safe(folder: &Path, number: u64, proof: &str) -> bool {
    fs::read(path(folder, number, "safe")).is_ok_and(|found| found == proof.as_bytes())
}

/// Whether there is a mark at all.
pub(crate) fn has_safe(folder: &Path, number: u64) -> bool {
    path(folder, number, "safe").exists()
}

/// It is about to be another than object storage has.
pub(crate) fn unset_safe(folder: &Path, number: u64) -> io::Result<()> {
    remove(&path(folder, number, "safe"))
}

/// Says that a volume is to be removed from object storage.
pub(crate) fn set_gone(folder: &Path, number: u64, runs: &[u32]) -> io::Result<()> {
    let runs: Vec<String> = runs.iter().map(u32::to_string).collect();
    place(folder, &format!("{number:020}.gone"), runs.join(" ").as_bytes())
}

/// The runs that go with it, if it is to be removed.
pub(crate) fn gone(folder: &Path, number: u64) -> Option<Vec<u32>> {
    let text = fs::read_to_string(path(folder, number, "gone")).ok()?;
    Some(text.split(' ').filter_map(|run| run.parse().ok()).collect())
}

/// It has been removed.
pub(crate) fn unset_gone(folder: &Path, number: u64) -> io::Result<()> {
    remove(&path(folder, number, "gone"))
}

/// The number in the name of a file that ends so.
pub(crate) fn number(name: &str, end: &str) -> Option<u64> {
    name.strip_suffix(end)?.strip_suffix('.').filter(|stem| stem.len() == 20)?.parse().ok()
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
