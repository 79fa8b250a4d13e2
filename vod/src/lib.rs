//! Files as titles: played as streams are, without being stored twice.
//!
//! ```text
//! FOLDER/show.mp4                 the title `show`
//! FOLDER/series/one.mp4           the title `series~one`
//! CACHE/show.index                where its samples lie, if finding out took long
//! MADE/show/                      renditions that were made of it (`library/made.rs`)
//! ```
//!
//! * A title is a stream whose past is the file: a [`Title`] gives the events of `nx-hls` that fill a window, and the
//!   bytes that its names promise. A segment is cut out of the file when somebody asks, by range reads; the same bytes
//!   every time.
//! * A file is read by its indexer ([`nx_container::index`]), told by its first bytes. What takes long is done once.
//! * Names of segments and headers follow from the file's size and time of change ([`Identity`]): another file has
//!   other names. Every read looks whether the file is still the one that was indexed, before and after.
//! * [`Uploads`] become titles when they are whole and understood. What was acknowledged is on the disk.
//!
//! Not here: playlists (`nx-hls`), HTTP (`nx-delivery`, `nx-gateway`).

mod cache;
mod film;
mod identity;
mod library;
mod open;
mod plan;
mod samples;
mod title;
mod uploads;

pub use film::{Movie, Piece};
pub use identity::Identity;
pub use library::{Bounds, Found, Library};
pub use open::TitleError;
pub use samples::samples;
pub use title::Title;
pub use uploads::{Appending, Progress, UploadError, Uploads};

#[cfg(test)]
mod tests;
