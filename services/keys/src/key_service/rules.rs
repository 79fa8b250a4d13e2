//! What keys are called, which of their versions may do what, and how it is written which one did.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use crate::crypto::{Fault, Kind};

/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 100;

/// A key, without its versions.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Another one for every key that bears the name in its turn.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Whether every context has a key of its own.
    pub(super) derived: bool,
    pub(super) exportable: bool,
    pub(super) deletable: bool,
    pub(super) latest: i64,
    /// Those before are gone.
    pub(super) min_available: i64,
    /// Those before do nothing.
    pub(super) min_decryption: i64,
    /// Those before encrypt and sign no more; 0 lets only the latest.
    pub(super) min_encryption: i64,
}

/// What is to be another about a key.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Change {
    pub(super) min_decryption: Option<i64>,
    pub(super) min_encryption: Option<i64>,
    pub(super) deletable: Option<bool>,
    pub(super) exportable: Option<bool>,
}

impl Key {
    /// The version that encrypts or signs when `asked` is asked for; none or 0 is the latest.
    ///
    /// # Errors
    /// When that one may not.
    pub(super) fn writes_with(&self, asked: Option<i64>) -> Result<i64, Fault> {
        let version = asked.filter(|asked| *asked != 0).unwrap_or(self.latest);
        let least = if self.min_encryption == 0 { self.latest } else { self.min_encryption };
        match (least..=self.latest).contains(&version) {
            true => Ok(version),
            false => Err(Fault::wrong(format!(
                "version {version} of {} does not encrypt or sign: {least} to {} do",
                self.name, self.latest
            ))),
        }
    }

    /// Whether a version may decrypt and verify.
    ///
    /// # Errors
    /// When it may not.
    pub(super) fn reads_with(&self, version: i64) -> Result<i64, Fault> {
        match (self.min_decryption..=self.latest).contains(&version) {
            true => Ok(version),
            false => Err(Fault::wrong(format!(
                "version {version} of {} is not used: {} to {} are",
                self.name, self.min_decryption, self.latest
            ))),
        }
    }

    /// Why the change is refused that [`super::store::change`] did not make.
    pub(super) fn refusal(&self, change: &Change) -> Fault {
        let Self { latest, min_available, exportable, .. } = self;
        if *exportable && change.exportable == Some(false) {
            return Fault::wrong("a key that was made exportable stays so: somebody may have it already");
        }
        Fault::wrong(format!(
            "min_decryption_version is {min_available} to {latest}; min_encryption_version is 0 for the latest, or \
             min_decryption_version to {latest}"
        ))
    }
}

/// A name: letters, digits and `_`, and `-` and `.` between them.
///
/// # Errors
/// When it is none.
pub(super) fn name(given: &str) -> Result<&str, Fault> {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let bytes = given.as_bytes();
    let good = bytes.len() <= NAME_BYTES_MAX
        && bytes.first().is_some_and(|&c| word(c))
        && bytes.last().is_some_and(|&c| word(c))
        && bytes.iter().all(|&c| word(c) || c == b'-' || c == b'.');
    let told = || {
        Fault::wrong(format!(
            "a name has 1 to {NAME_BYTES_MAX} characters of A-Z a-z 0-9 _ - . and begins and ends with none of - ."
        ))
    };
    if good { Ok(given) } else { Err(told()) }
}

/// `vault:vN:…`: what the version did.
pub(super) fn mark(version: i64, bytes: &[u8]) -> String {
    format!("vault:v{version}:{}", BASE64_STANDARD.encode(bytes))
}

/// The same as JSON Web Signatures are written.
pub(super) fn mark_jws(version: i64, bytes: &[u8]) -> String {
    format!("vault:v{version}:{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn marked<'a>(field: &str, text: &'a str) -> Result<(i64, &'a str), Fault> {
    let parts = || {
        let (version, body) = text.strip_prefix("vault:v")?.split_once(':')?;
        // One spelling each: what differs in a character is another ciphertext.
        let plain = !version.starts_with(['0', '+']);
        Some((version.parse::<u32>().ok().filter(|_| plain)?.into(), body))
    };
    parts().ok_or_else(|| Fault::wrong(format!("{field} begins with vault:v and the version of its key")))
}

/// Version and bytes of what [`mark`] has written.
///
/// # Errors
/// With the name of the field, when it has not.
pub(super) fn unmark(field: &str, text: &str) -> Result<(i64, Vec<u8>), Fault> {
    let (version, body) = marked(field, text)?;
    let bytes = BASE64_STANDARD.decode(body);
    Ok((version, bytes.map_err(|_| Fault::wrong(format!("{field} ends in base64")))?))
}

/// Version and bytes of what [`mark_jws`] has written.
///
/// # Errors
/// As [`unmark`].
pub(super) fn unmark_jws(field: &str, text: &str) -> Result<(i64, Vec<u8>), Fault> {
    let (version, body) = marked(field, text)?;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(body);
    Ok((version, bytes.map_err(|_| Fault::wrong(format!("{field} ends in base64 for addresses, unpadded")))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(min_decryption: i64, min_encryption: i64) -> Key {
        Key {
            id: "1".into(),
            name: "k".into(),
            kind: Kind::Aes256,
            derived: false,
            exportable: false,
            deletable: false,
            latest: 5,
            min_available: 1,
            min_decryption,
            min_encryption,
        }
    }

    #[test]
    fn a_version_does_what_the_key_lets_it() {
        for (min_decryption, min_encryption, writes, reads) in
            [(1, 0, 5..=5, 1..=5), (3, 0, 5..=5, 3..=5), (3, 4, 4..=5, 3..=5), (1, 1, 1..=5, 1..=5)]
        {
            let key = key(min_decryption, min_encryption);
            assert_eq!([key.writes_with(None).ok(), key.writes_with(Some(0)).ok()], [Some(5), Some(5)]);
            for version in [-1, 1, 2, 3, 4, 5, 6] {
                assert_eq!(key.writes_with(Some(version)).is_ok(), writes.contains(&version), "{version}");
                assert_eq!(key.reads_with(version).is_ok(), reads.contains(&version), "{version}");
            }
        }
    }

    #[test]
    fn names_are_safe_in_addresses() {
        for (given, good) in [
            ("a", true),
            ("A-1.b_c", true),
            ("_", true),
            ("", false),
            ("-a", false),
            ("a.", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
            ("caf\u{e9}", false),
            (&"x".repeat(100), true),
            (&"x".repeat(101), false),
        ] {
            assert_eq!(name(given).is_ok(), good, "{given}");
        }
    }

    #[test]
    fn a_mark_is_read_in_one_spelling() {
        let text = mark(12, &[255, 254]);
        assert_eq!(text, "vault:v12://4=");
        assert_eq!(unmark("ciphertext", &text).ok(), Some((12, vec![255, 254])));
        assert_eq!(unmark_jws("signature", &mark_jws(1, &[255, 254])).ok(), Some((1, vec![255, 254])));
        for wrong in [
            "",
            "vault:",
            "vault:v1",
            "vault:v0:AA==",
            "vault:v01:AA==",
            "vault:v+1:AA==",
            "vault:v-1:AA==",
            "vault:v1:AA",
            "vault:v1:AB==",
            "vault:v1:A A==",
            "Vault:v1:AA==",
            "vault:v99999999999:AA==",
            "vault:v1:AA==:",
        ] {
            assert!(unmark("ciphertext", wrong).is_err(), "{wrong}");
        }
    }
}
