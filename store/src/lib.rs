//! Segments of streams on disk: written once, found by number and by time; everything else is an index over them.
//!
//! ```text
//! FOLDER/APP/STREAM/run-7             tracks of a run: a line of JSON, then their CMAF headers
//! FOLDER/APP/STREAM/N.media           a volume: whole segments of all tracks, one behind the other
//! FOLDER/APP/STREAM/N.index           its records, 64 bytes each; N is the first media sequence number
//! FOLDER/APP/STREAM/N.safe            object storage has it
//! FOLDER/APP/STREAM/N.gone            it is to be removed from there
//! FOLDER/assets                       which stretches are kept when the rest goes
//! ```
//!
//! * Media is written before its record, and a record has checksums of both: whatever a killed process or a lost
//!   power supply leaves behind, a record that reads is a segment that plays. A torn end is cut off when a stream is
//!   opened.
//! * A segment is *kept* when it is written, and *safe* when the disk has confirmed it, a second later at most.
//! * One thread writes. What it cannot take in time, or the disk refuses, is missing from the past; live streams
//!   never wait for it.
//! * The past is dropped by whole volumes, the oldest first: of a stream when it is older than it is to be kept, or
//!   weighs too much; of any stream when all together weigh too much. A volume that an asset needs any of is *pinned*:
//!   it stays. When pinned volumes fill all the room, no more is kept until some of them go.
//!
//! With object storage behind the disk ([`Tier`]):
//!
//! * A closed volume without `N.safe` is to be uploaded: the folder is the queue, and a killed process begins the volume
//!   again. Threads of their own upload, the streams in turn; what fails is tried again for ever.
//! * The disk's budget takes the media of safe volumes first, their index stays: lists need no network. A volume that is
//!   not safe goes only when there is nothing else, and that is counted.
//! * What is past the storage's own time or budget goes there and here; `N.gone` is the queue of that.
//! * An index that is there and not here, as after a lost disk, is fetched when the store is opened.
//!
//! Not here: storage itself (`nx-cloud`), playlists (`nx-hls` writes them from the events that [`Log::read`] gives),
//! HTTP (`nx-delivery`).

mod assets;
mod bits;
mod cloud;
mod direct;
mod entries;
mod log;
mod marker;
mod movie;
mod open;
mod pins;
mod record;
mod run;
mod source;
mod store;
mod text;
mod volume;

pub use assets::{ASSETS_MAX, Asset, Assets, Kind, Stage};
pub use bits::Stretch;
pub use cloud::{CloudTotals, Objects, Tier};
pub use entries::{Entries, Entry};
pub use log::{Cursor, Log, Recording, Span};
pub use movie::{Movie, Piece};
pub use pins::{Hold, Terms};
pub use source::{Media, Source};
pub use store::{Budget, Room, Store, Totals};
pub use text::{TEXT, text_segment};

#[cfg(test)]
mod tests;
