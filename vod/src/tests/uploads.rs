//! Uploads: what was told is there, after every way to stop.

use super::*;
use crate::{UploadError, Uploads};

const DAY_MS: i64 = 24 * 3_600_000;

fn send(uploads: &Arc<Uploads>, id: &str, offset: u64, bytes: &[u8]) -> Result<crate::Progress, UploadError> {
    let mut appending = uploads.append(id, offset)?;
    appending.write(bytes)?;
    appending.confirm(0)
}

/// Uploads after a process was killed that had brought so much of one, and told nobody.
fn killed(folder: &Folder, file: &str, announced: usize, bytes: &[u8]) -> Arc<Uploads> {
    let uploads = Uploads::open(folder.library(), 1 << 20);
    uploads.begin("1", file, announced as u64, 0).expect("begins");
    let mut broken = uploads.append("1", 0).expect("goes on");
    broken.write(bytes).expect("takes");
    std::mem::forget(broken);
    Uploads::open(folder.library(), 1 << 20)
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

#[test]
fn a_whole_upload_that_was_stopped_becomes_a_title_when_it_is_asked_for() {
    let film = film(100);
    let folder = Folder::new("stopped");
    let uploads = killed(&folder, "show.mp4", film.len(), &film);
    // One at a time.
    let other = uploads.append("1", film.len() as u64).expect("goes on");
    assert!(matches!(uploads.progress("1", 1), Err(UploadError::Locked)));
    drop(other);
    // The disk does not give it for a while: that is told, every time.
    let [part, aside] = ["titles/.uploads/1.part", "aside"].map(|path| folder.0.join(path));
    fs::rename(&part, &aside).expect("goes");
    for _ in 0..2 {
        assert!(matches!(uploads.progress("1", 1), Err(UploadError::Io(_))));
    }
    fs::rename(&aside, &part).expect("is back");
    let done = uploads.progress("1", 1).expect("becomes a title");
    assert_eq!((done.offset, done.title.as_deref()), (film.len() as u64, Some("show")));
    assert!(fs::read(folder.0.join("titles/show.mp4")).expect("reads") == film, "byte by byte");
    assert!(!part.exists());
    assert_eq!(uploads.progress("1", 2).expect("is known"), done);
    uploads.abandon("1").expect("nobody has it");
    // What is no film is refused and gone, as when its last byte came.
    let junk = Folder::new("stopped-junk");
    let uploads = killed(&junk, "junk.mp4", 9, b"no film..");
    assert!(matches!(uploads.progress("1", 1), Err(UploadError::Refused(TitleError::Kind))));
    assert!(matches!(uploads.progress("1", 1), Err(UploadError::Unknown)));
}

#[test]
fn a_title_that_was_linked_and_not_noted_is_no_other() {
    let film = film(100);
    let ask = |uploads: &Arc<Uploads>| uploads.progress("1", 1);
    let send = |uploads: &Arc<Uploads>| send(uploads, "1", film.len() as u64, b"");
    for (name, again) in [("linked", &ask as &dyn Fn(&Arc<Uploads>) -> _), ("linked-sent", &send)] {
        let folder = Folder::new(name);
        let uploads = killed(&folder, "show.mp4", film.len(), &film);
        let [part, title] = ["titles/.uploads/1.part", "titles/show.mp4"].map(|path| folder.0.join(path));
        fs::hard_link(&part, &title).expect("links");
        assert_eq!(again(&uploads).expect("is that title").title.as_deref(), Some("show"), "{name}");
        assert!(!part.exists() && fs::read(title).expect("reads") == film, "{name}");
    }
}

#[test]
fn an_upload_is_as_old_as_what_came_last_in_the_next_process_too() {
    let folder = Folder::new("heard");
    drop(killed(&folder, "show.mp4", 100, b"so far"));
    let part = folder.0.join("titles/.uploads/1.part");
    let file = fs::File::options().write(true).open(part).expect("opens");
    file.set_modified(UNIX_EPOCH + Duration::from_millis(DAY_MS as u64)).expect("sets");
    let uploads = Uploads::open(folder.library(), 1 << 20);
    let told = uploads.progress("1", 2 * DAY_MS).expect("is known");
    assert_eq!((told.offset, told.expires_ms), (6, 2 * DAY_MS));
    assert!(matches!(uploads.progress("1", 2 * DAY_MS + 1), Err(UploadError::Unknown)));
}

#[test]
fn no_upload_takes_the_name_of_another_file() {
    let film = film(100);
    let folder = Folder::new("stems");
    let library = folder.library();
    let uploads = Uploads::open(library.clone(), 1 << 20);
    uploads.begin("1", "show.mkv", film.len() as u64, 0).expect("begins");
    for file in ["show.mkv", "show.mp4", "show.webm"] {
        assert!(matches!(uploads.begin("2", file, 9, 0), Err(UploadError::Taken(_))), "{file}");
    }
    uploads.begin("2", "show.2.mp4", 9, 0).expect("is another name");
    // Files that somebody put there meanwhile.
    for (nth, file) in ["show.mp4", "show.ts", "show.mkv"].into_iter().enumerate() {
        let other = folder.put(file, b"another");
        let from = if nth == 0 { 0 } else { film.len() };
        let error = send(&uploads, "1", from as u64, &film[from..]).expect_err(file);
        assert!(matches!(error, UploadError::Taken(_)), "{file}: {error}");
        assert!(matches!(uploads.progress("1", 1), Err(UploadError::Taken(_))), "{file}");
        assert_eq!(library.list().len(), 1, "{file}");
        assert_eq!(fs::read(&other).expect("reads"), b"another", "{file}");
        fs::remove_file(other).expect("goes");
    }
    // Nothing that came is lost.
    assert_eq!(uploads.progress("1", 1).expect("is free now").title.as_deref(), Some("show"));
    assert!(library.find("show").expect("is there").path.ends_with("show.mkv"));
}
