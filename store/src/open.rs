//! Finding on disk what an earlier process kept.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;

use nx_media::StreamKey;

use crate::log::Log;
use crate::run;
use crate::volume::{self, Volume};

/// Every stream that has a folder here.
pub(crate) fn streams(folder: &Path) -> io::Result<Vec<(StreamKey, Log)>> {
    let mut found = Vec::new();
    for app in folders(folder)? {
        for name in folders(&folder.join(&app))? {
            let Ok(key) = StreamKey::new(&app, &name) else { continue };
            let path = folder.join(&app).join(&name);
            let volumes = volumes(&path)?;
            found.push((key, Log::new(path, volumes)));
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

/// The volumes of a stream, oldest first. One that cannot be read is left alone and said so.
fn volumes(folder: &Path) -> io::Result<VecDeque<Volume>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.iter().for_each(|name| volume::remove_stray(folder, name));
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| volume::number(name)).collect();
    numbers.sort_unstable();
    let mut volumes = VecDeque::with_capacity(numbers.len());
    for number in numbers {
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
    Ok(volumes)
}

fn has_runs(folder: &Path, volume: &Volume) -> bool {
    [volume.first_run, volume.last_run].iter().all(|number| run::read(folder, *number).is_ok())
}
