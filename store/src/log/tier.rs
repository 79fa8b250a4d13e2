//! A stream's volumes between disk and object storage.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use crate::cloud::Cloud;
use crate::marker;
use crate::volume::Volume;

impl Log {
    /// Object storage, and the stream's folder there.
    pub(crate) fn remote(&self) -> Option<&(Arc<Cloud>, String)> {
        self.remote.as_ref()
    }

    /// The oldest closed volume that object storage has not.
    pub(crate) fn unsafe_volume(&self) -> Option<Volume> {
        self.lock().closed().find(|v| !v.safe).copied()
    }

    /// Number and bytes of such volumes, and when the last segment of the oldest began.
    pub(crate) fn backlog(&self) -> (u64, u64, Option<i64>) {
        let state = self.lock();
        let mut all = state.closed().filter(|v| !v.safe).peekable();
        let oldest = all.peek().map(|v| v.last_ms);
        let (count, bytes) = all.fold((0, 0), |(count, bytes), v| (count + 1, bytes + v.bytes));
        (count, bytes, oldest)
    }

    /// Object storage has this volume; false when it is another by now.
    pub(crate) fn set_safe(&self, volume: &Volume) -> bool {
        let mut state = self.lock();
        let is_open = state.open == Some(volume.number);
        let same = state.volumes.iter_mut().find(|v| *v == volume).filter(|_| !is_open);
        same.map(|v| v.safe = true).is_some()
    }

    /// It is still to be uploaded.
    pub(crate) fn wants(&self, volume: &Volume) -> bool {
        self.lock().closed().any(|v| v == volume)
    }

    /// The oldest volume whose media can leave the disk.
    pub(crate) fn sheddable(&self) -> Option<Volume> {
        self.lock().closed().find(|v| v.safe && !v.away).copied()
    }

    /// Takes its media from the disk.
    pub(crate) fn shed(&self, volume: &Volume) -> io::Result<()> {
        marker::remove(&volume.media_path(&self.folder))?;
        if let Some(shed) = self.lock().volumes.iter_mut().find(|v| *v == volume) {
            shed.away = true;
        }
        Ok(())
    }

    /// Bytes in object storage.
    pub(crate) fn bytes_there(&self) -> u64 {
        self.lock().closed().filter(|v| v.safe).map(|v| v.bytes).sum()
    }

    /// A volume that is to be removed from object storage.
    pub(crate) fn gone(&self) -> Option<u64> {
        self.lock().gone.front().copied()
    }

    /// It has been removed.
    pub(crate) fn unset_gone(&self, number: u64) -> io::Result<()> {
        marker::unset_gone(&self.folder, number)?;
        self.lock().gone.retain(|gone| *gone != number);
        Ok(())
    }

    /// Whether a volume of object storage is known here, or is not wanted.
    pub(crate) fn knows(&self, number: u64) -> bool {
        let state = self.lock();
        state.gone.contains(&number) || state.volumes.iter().any(|v| v.number == number)
    }

    /// Adds volumes that object storage had. What is newer than what is being written is not of this stream's past.
    pub(crate) fn restore(&self, volumes: Vec<Volume>) {
        let mut state = self.lock();
        let open = state.open.unwrap_or(u64::MAX);
        let before = state.volumes.len();
        for volume in volumes.into_iter().filter(|v| v.number < open) {
            if let Err(at) = state.volumes.binary_search_by_key(&volume.number, |v| v.number)
                && !state.gone.contains(&volume.number)
            {
                state.volumes.insert(at, volume);
            }
        }
        if state.volumes.len() > before {
            self.epoch.fetch_add(1, Ordering::Release);
            self.version.fetch_add(1, Ordering::Release);
        }
    }
}
