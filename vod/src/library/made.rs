//! Renditions that were made of titles: one file of samples for each, and its index beside it.
//!
//! ```text
//! MADE/show/0f3a99c1.media       of the version of `show` with this number
//! MADE/show/0f3a99c1.index       where the samples lie in it
//! MADE/show/0f3a99c1.job/        while they are made: for who makes them
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nx_container::index::Index;

use super::{Found, Library};
use crate::cache::Kept;
use crate::identity::Identity;

impl Library {
    /// A folder for whoever makes renditions of this version of a title; need not be there.
    #[must_use]
    pub fn workshop(&self, found: &Found) -> PathBuf {
        self.media(&found.name, found.identity).with_extension("job")
    }

    /// Titles of which renditions are being made, and the number of the version of each.
    #[must_use]
    pub fn workshops(&self) -> Vec<(String, PathBuf)> {
        let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        let of = |title: fs::DirEntry| {
            let name = title.file_name().into_string().unwrap_or_default();
            let jobs = entries(&title.path()).map(|entry| entry.path());
            let jobs = jobs.filter(|path| path.extension().is_some_and(|end| end == "job"));
            jobs.map(|path| (name.clone(), path)).collect::<Vec<_>>()
        };
        entries(&self.made).flat_map(of).collect()
    }

    /// Makes a file of samples renditions of this version of a title: they are there whole or not at all. The numbers
    /// of their tracks follow those of the title's own. What was made of other versions is removed,
    /// and the workshop.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn publish(&self, found: &Found, samples: &Path, index: &Index) -> io::Result<()> {
        let media = self.media(&found.name, found.identity);
        let Some(folder) = media.parent() else { return Err(io::ErrorKind::NotFound.into()) };
        let file = File::open(samples)?;
        file.sync_all()?;
        let kept = kept_beside(&media);
        kept.write(Identity::of(&file.metadata()?), index)?;
        File::open(&kept.path)?.sync_all()?;
        // From here on it is published.
        fs::rename(samples, &media)?;
        File::open(folder)?.sync_all()?;
        for entry in fs::read_dir(folder)?.flatten() {
            let path = entry.path();
            if path != media && path != kept.path {
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
        }
        Ok(())
    }

    /// Takes away what was made of a title, and what is being made; whether there was anything.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn unmake(&self, name: &str) -> io::Result<bool> {
        if super::below(name).is_none() {
            return Ok(false);
        }
        match fs::remove_dir_all(self.made.join(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What all renditions take on the disk, those that are being made too; bytes.
    #[must_use]
    pub fn made_bytes(&self) -> u64 {
        fn all(folder: &Path) -> u64 {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let bytes = |entry: fs::DirEntry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => all(&entry.path()),
                Ok(meta) => meta.len(),
                Err(_) => 0,
            };
            entries.map(bytes).sum()
        }
        all(&self.made)
    }

    pub(super) fn media(&self, name: &str, of: Identity) -> PathBuf {
        self.made.join(name).join(format!("{:08x}.media", of.run()))
    }
}

/// The index of a file of samples. Nobody shrinks the folder that it is in.
pub(super) fn kept_beside(media: &Path) -> Kept {
    Kept { path: media.with_extension("index"), bytes_max: u64::MAX }
}
