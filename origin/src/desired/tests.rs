//! What is acknowledged is kept; what is not leaves no trace.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexus-desired-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o700));
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn feed(id: &str) -> Feed {
    Feed {
        id: id.into(),
        stream: "live/one".into(),
        url: "rtmp://h/a/hunter22".into(),
        enabled: true,
        created_ms: 7,
        way: Way::Target { tls_insecure: false, public_only: false },
    }
}

fn add(book: &Book, id: &str) {
    let push = |content: &mut Content| {
        content.feeds.push(feed(id));
        content.answer(Some(id), id);
        Ok(())
    };
    book.change(push, |()| {}).unwrap();
}

fn ids(book: &Book) -> Vec<String> {
    book.read().feeds.iter().map(|f| f.id.clone()).collect()
}

#[test]
fn what_was_acknowledged_is_there_again() {
    let folder = Folder::new("again");
    let book = Book::open(&folder.0).unwrap();
    assert!(ids(&book).is_empty());
    add(&book, "one");
    add(&book, "two");
    let again = Book::open(&folder.0).unwrap();
    assert_eq!(ids(&again), ["one", "two"]);
    assert!(again.read().feeds[0] == feed("one"));
    assert_eq!(again.read().made_by(Some("two")), Some("two"));
    assert_eq!((again.read().made_by(Some("three")), again.read().made_by(None)), (None, None));
    let mode = std::fs::metadata(folder.0.join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only the owner reads secrets");
}

#[test]
fn a_crash_before_the_rename_leaves_what_was() {
    let folder = Folder::new("crash");
    let book = Book::open(&folder.0).unwrap();
    add(&book, "one");
    for torn in [&b"{\"version\":1,\"fe"[..], b"", b"{}"] {
        stage(&folder.0.join(FILE), torn).unwrap();
        let again = Book::open(&folder.0).unwrap();
        assert_eq!(ids(&again), ["one"]);
        add(&again, "two");
        assert_eq!(ids(&Book::open(&folder.0).unwrap()), ["one", "two"]);
        book.change(|_| Ok(()), |()| {}).unwrap();
    }
}

#[test]
fn a_change_that_is_refused_or_cannot_be_written_changes_nothing() {
    let folder = Folder::new("refused");
    let book = Book::open(&folder.0).unwrap();
    add(&book, "one");
    let refused = book.change(
        |content| {
            content.feeds.clear();
            Err::<(), _>(Fault::NotFound("no".into()))
        },
        |()| panic!("nothing was made"),
    );
    assert_eq!((refused, ids(&book)), (Err(Fault::NotFound("no".into())), vec!["one".to_owned()]));
    // A folder where the new file should be: nothing can be written.
    std::fs::create_dir(folder.0.join("restream.new")).unwrap();
    let failed = book.change(
        |content| {
            content.feeds.clear();
            Ok(())
        },
        |()| panic!("nothing was made"),
    );
    assert!(matches!(failed, Err(Fault::Storage(_))));
    assert_eq!(
        (ids(&book), ids(&Book::open(&folder.0).unwrap())),
        (vec!["one".to_owned()], vec!["one".to_owned()])
    );
}

#[test]
fn a_damaged_file_is_named_without_its_secrets() {
    let folder = Folder::new("damaged");
    for (text, part) in [
        (r#"{"version":1,"feeds":[{"url":"hunter22","#, "damaged at line 1"),
        (r#"{"version":1,"feeds":["hunter22"],"keys":[],"answered":[]}"#, "damaged at line 1"),
        (r#"{"version":3,"feeds":[],"keys":[],"answered":[]}"#, "version 3"),
    ] {
        std::fs::write(folder.0.join(FILE), text).unwrap();
        let error = Book::open(&folder.0).err().unwrap();
        assert!(error.contains(part) && !error.contains("hunter22"), "{error}");
    }
}

#[test]
fn a_file_of_an_earlier_version_is_read_and_written_as_this_ones() {
    let folder = Folder::new("earlier");
    let key = r#"{"id":"k","stream":"live/a","key":"hunter22","input":"primary","limits":{},"created_ms":1}"#;
    let text = format!(r#"{{"version":1,"feeds":[],"keys":[{key}],"answered":[]}}"#);
    std::fs::write(folder.0.join(FILE), text).unwrap();
    let book = Book::open(&folder.0).unwrap();
    assert!(matches!(&book.read().keys[0].lock, Lock::Key(key) if key == "hunter22"));
    let bury = |content: &mut Content| {
        content.bury("gone");
        Ok(())
    };
    book.change(bury, |()| {}).unwrap();
    let written = std::fs::read_to_string(folder.0.join(FILE)).unwrap();
    assert!(written.contains("\"version\": 2") && written.contains("\"key\": \"hunter22\""), "{written}");
    let again = Book::open(&folder.0).unwrap().read();
    assert!(again.is_gone("gone") && !again.is_gone("k") && again.keys.len() == 1);
}

#[test]
fn idempotency_keys_are_forgotten_oldest_first() {
    let mut content = Content::new();
    (0..=ANSWERED_MAX).for_each(|n| content.answer(Some(&n.to_string()), "id"));
    assert_eq!((content.made_by(Some("0")), content.made_by(Some("1"))), (None, Some("id")));
    assert_eq!(content.answered.len(), ANSWERED_MAX);
}

#[test]
fn identifiers_are_those_of_rfc_9562() {
    // Appendix A.6 of the RFC: time, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
    let random = [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
    assert_eq!(uuid(0x017f_22e2_79b0, random), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_eq!(uuid(-1, [0xff; 10]), "00000000-0000-7fff-bfff-ffffffffffff");
}
