//! The folder of mail, read: what was written there while no server takes mail.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nx_chassis::Time;
use quoted_printable::ParseMode;
use schemars::JsonSchema;
use serde::Serialize;

/// Mails that are listed, the newest.
const LISTED_MAX: usize = 200;
/// What is read of a mail that is listed, and of one that is shown; bytes.
const HEAD_BYTES_MAX: u64 = 4 << 10;
const BYTES_MAX: u64 = 64 << 10;
/// Longest id, bytes.
const ID_BYTES_MAX: usize = 128;

/// A mail in the folder, without what it says.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listed {
    /// The name of its file, without `.eml`.
    pub id: String,
    /// When it was written.
    pub at: Time,
    /// Whom it is to.
    pub to: String,
    /// What it is called.
    pub title: String,
}

/// A mail with what it says.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mail {
    /// Which.
    #[serde(flatten)]
    pub listed: Listed,
    /// What it says: of one that is longer than 64 KiB, its beginning.
    pub text: String,
}

/// The newest mails, newest first; none while there is no folder.
pub(crate) fn newest(folder: &Path) -> io::Result<Vec<Listed>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut newest = BinaryHeap::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".eml")) else { continue };
        if let Some(at_ms) = written_ms(folder, id) {
            newest.push(Reverse((at_ms, id.to_owned())));
        }
        if newest.len() > LISTED_MAX {
            newest.pop();
        }
    }
    let read = |Reverse((_, id)): Reverse<(i64, String)>| Some(open(folder, &id, HEAD_BYTES_MAX)?.listed);
    Ok(newest.into_sorted_vec().into_iter().filter_map(read).collect())
}

/// One of them; none where there is no such mail.
pub(crate) fn read(folder: &Path, id: &str) -> Option<Mail> {
    open(folder, id, BYTES_MAX)
}

/// Only what we write is an id: no path, nothing hidden.
fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.')
}

/// When a mail was written, Unix milliseconds; none where there is no such file. Links are not followed.
fn written_ms(folder: &Path, id: &str) -> Option<i64> {
    let about = std::fs::symlink_metadata(is_id(id).then(|| folder.join(format!("{id}.eml")))?).ok()?;
    let at = about.is_file().then(|| about.modified().ok()?.duration_since(UNIX_EPOCH).ok())??;
    i64::try_from(at.as_millis()).ok()
}

fn open(folder: &Path, id: &str, bytes_max: u64) -> Option<Mail> {
    let at = Time(written_ms(folder, id)?);
    let mut bytes = Vec::new();
    let file = File::open(folder.join(format!("{id}.eml"))).ok()?;
    file.take(bytes_max).read_to_end(&mut bytes).ok()?;
    let Parts { to, title, text } = parts(&String::from_utf8_lossy(&bytes));
    Some(Mail { listed: Listed { id: id.to_owned(), at, to, title }, text })
}

struct Parts {
    to: String,
    title: String,
    text: String,
}

/// A mail of ours taken apart (RFC 5322 §2, RFC 2045 §6): one text, whichever way it is written down.
fn parts(mail: &str) -> Parts {
    let (head, body) = mail.split_once("\r\n\r\n").unwrap_or((mail, ""));
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let field = |wanted: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let found =
            fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value).next();
        words(found.unwrap_or_default())
    };
    let bytes = match field("Content-Transfer-Encoding").to_ascii_lowercase().as_str() {
        "quoted-printable" => quoted_printable::decode(body, ParseMode::Robust).ok(),
        "base64" => {
            let letters: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
            // Of one that was cut off, what is whole.
            letters.get(..letters.len() / 4 * 4).and_then(|whole| BASE64_STANDARD.decode(whole).ok())
        }
        _ => None,
    };
    let text = bytes.map_or_else(|| body.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    Parts { to: field("To"), title: field("Subject"), text: text.replace("\r\n", "\n") }
}

/// A field with its encoded words (RFC 2047) read, of the one kind that we write.
fn words(field: &str) -> String {
    let (mut text, mut rest) = (String::new(), field);
    while let Some((before, behind)) = rest.split_once("=?utf-8?b?") {
        let Some((word, after)) = behind.split_once("?=") else { break };
        let Ok(read) = BASE64_STANDARD.decode(word) else { break };
        // Blanks between two such words are none of the text.
        if text.is_empty() || !before.trim().is_empty() {
            text += before;
        }
        text += &String::from_utf8_lossy(&read);
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test fails by panic")]

    use super::*;

    #[test]
    fn only_names_of_ours_are_ids() {
        for (id, good) in [
            ("0197a-b_c.d", true),
            ("msg_1.hook", true),
            ("", false),
            (".", false),
            ("..", false),
            (".hidden", false),
            ("../x", false),
            ("a/b", false),
            ("a\\b", false),
            ("a\0", false),
            ("caf\u{e9}", false),
            (&"x".repeat(129), false),
        ] {
            assert_eq!(is_id(id), good, "{id:?}");
        }
    }

    #[test]
    fn texts_are_read_however_they_are_written_down() {
        let mail = |subject: &str, coding: &str, body: &str| {
            let text = format!(
                "To: ada@example.org\r\nSubject: {subject}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n{body}"
            );
            let Parts { to, title, text } = parts(&text);
            assert_eq!(to, "ada@example.org");
            (title, text)
        };
        let both = |title: &str, text: &str| (title.to_owned(), text.to_owned());
        assert_eq!(mail("Hello", "7bit", "One\r\ntwo"), both("Hello", "One\ntwo"));
        assert_eq!(mail("a\r\n b", "quoted-printable", "d=C3=B6ng=\r\n!"), both("a b", "d\u{f6}ng!"));
        let words = "x: =?utf-8?b?ZMO2?= =?utf-8?b?bmc=?= y";
        assert_eq!(mail(words, "base64", "ZMO2\r\nbmc="), both("x: d\u{f6}ng y", "d\u{f6}ng"));
        assert_eq!(mail("=?utf-8?b?&?=", "base64", "ZMO2b"), both("=?utf-8?b?&?=", "d\u{f6}"));
        assert_eq!(parts("nonsense").text, "");
    }

    #[test]
    fn the_newest_are_listed_and_no_more_than_those() {
        let folder = std::env::temp_dir().join(format!("nexus-mail-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for nth in 0..=LISTED_MAX {
            let name = folder.join(format!("m{nth}.eml"));
            std::fs::write(&name, format!("To: a@b.c\r\nSubject: {nth}\r\n\r\ntext")).expect("written");
            let at = UNIX_EPOCH + std::time::Duration::from_secs(nth as u64 + 1);
            File::options().append(true).open(name).expect("a file").set_modified(at).expect("set");
        }
        std::fs::write(folder.join("other.txt"), "").expect("written");
        std::os::unix::fs::symlink("/etc/hostname", folder.join("link.eml")).expect("a link");
        let all = newest(&folder).expect("a list");
        assert_eq!((all.len(), &*all[0].title, all[0].at), (LISTED_MAX, "200", Time(201_000)));
        assert_eq!(all[LISTED_MAX - 1].title, "1");
        assert_eq!(read(&folder, "m7").expect("a mail").text, "text");
        for none in ["link", "other.txt", "../m7", "m201"] {
            assert_eq!(read(&folder, none), None, "{none}");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(newest(&folder).expect("a list").is_empty());
    }
}
