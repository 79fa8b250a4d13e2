//! Uploads: what was told is there, after every way to stop.

use super::*;
use crate::{UploadError, Uploads};

const DAY_MS: i64 = 24 * 3_600_000;

fn send(uploads: &Arc<Uploads>, id: &str, offset: u64, bytes: &[u8]) -> Result<crate::Progress, UploadError> {
    let mut appending = uploads.append(id, offset)?;
    appending.write(bytes)?;
    appending.confirm(0)
}

#[test]
fn an_upload_goes_on_where_it_was_and_becomes_a_title() {
    let folder = Folder::new("upload");
    let film = film(100);
    let half = film.len() as u64 / 2;
    let (first, second) = film.split_at(film.len() / 2);
    let uploads = Uploads::open(folder.library(), 1 << 20);
    uploads.begin("1", "My film.mp4", film.len() as u64, 0).expect("begins");
    assert_eq!(send(&uploads, "1", 0, first).expect("takes").offset, half);
    // Killed in the middle of the next.
    let mut broken = uploads.append("1", half).expect("goes on");
    broken.write(&second[..20]).expect("takes");
    std::mem::forget(broken);
    drop(uploads);
    let library = folder.library();
    let uploads = Uploads::open(library.clone(), 1 << 20);
    let told = uploads.progress("1", 1).expect("is known").offset;
    assert!((half..=half + 20).contains(&told), "{told}");
    // A client may also give up what came last.
    let mut undone = uploads.append("1", told).expect("goes on");
    undone.write(b"something else").expect("takes");
    undone.undo().expect("takes back");
    let rest = &film[usize::try_from(told).expect("small")..];
    let done = send(&uploads, "1", told, rest).expect("takes");
    assert_eq!(done.title.as_deref(), Some("My-film"));
    assert_eq!(library.open("My-film").expect("opens").duration_ms(), 2_000);
    assert!(fs::read(folder.0.join("titles/My-film.mp4")).expect("reads") == film, "byte by byte");
    assert!(matches!(uploads.begin("2", "My-film.mov", 9, 0), Err(UploadError::Taken(_))));
    // It is remembered for who did not hear it, by the next process too.
    let again = Uploads::open(library, 1 << 20);
    assert_eq!(again.progress("1", 1).expect("is known"), done);
    // What is no film is refused and gone.
    uploads.begin("3", "junk.mp4", 9, 0).expect("begins");
    let error = send(&uploads, "3", 0, b"no film..").expect_err("is none");
    assert!(matches!(error, UploadError::Refused(TitleError::Kind)), "{error}");
    assert!(matches!(uploads.progress("3", 1), Err(UploadError::Unknown)));
}

#[test]
fn uploads_are_bounded_locked_and_forgotten() {
    let folder = Folder::new("bounds");
    let uploads = Uploads::open(folder.library(), 1_000);
    uploads.begin("1", "a.mp4", 600, 0).expect("begins");
    for (name, bytes) in [("b.mp4", 401), ("b.exe", 1), ("...", 1), ("a.mp4", 1), ("b.mp4", 1 << 40)] {
        let error = uploads.begin("2", name, bytes, 0).expect_err(name);
        assert!(!error.to_string().is_empty());
    }
    uploads.begin("2", "/tmp/../b.mp4", 400, 0).expect("fits");
    let mut first = uploads.append("1", 0).expect("goes on");
    assert!(matches!(uploads.append("1", 0), Err(UploadError::Locked)));
    assert!(matches!(uploads.abandon("1"), Err(UploadError::Locked)));
    assert!(matches!(first.write(&[0; 601]), Err(UploadError::TooLarge(600))));
    first.write(&[0; 10]).expect("takes");
    first.confirm(DAY_MS).expect("confirms");
    assert!(matches!(uploads.append("1", 11), Err(UploadError::Offset(10))));
    // A day without a word.
    assert!(uploads.progress("1", DAY_MS + 1).is_ok());
    assert!(matches!(uploads.progress("2", DAY_MS + 1), Err(UploadError::Unknown)));
    uploads.abandon("1").expect("is forgotten");
    assert_eq!(fs::read_dir(folder.0.join("titles/.uploads")).expect("a folder").count(), 0);
}
