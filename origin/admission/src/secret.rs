//! Text that must not be seen: keys, tokens, passphrases.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// What stands in its place wherever it would be printed or serialised.
const MASK: &str = "***";

/// A secret: printed and serialised as `***`, compared in constant time, overwritten when dropped.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself; not for logs and messages.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Compares digests, so that neither content nor length shows in the time it takes. An empty secret equals nothing.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let [a, b] = [self, other].map(|s| digest(&SHA256, s.0.as_bytes()));
        verify_slices_are_equal(a.as_ref(), b.as_ref()).is_ok() && !self.is_empty()
    }
}

/// What a key that came while the server runs must fit.
#[derive(Debug, Clone)]
pub enum Lock {
    /// This one.
    Key(Secret),
    /// One with this SHA-256: it was made elsewhere, and is not known here.
    Sha256([u8; 32]),
}

impl From<Secret> for Lock {
    fn from(key: Secret) -> Self {
        Self::Key(key)
    }
}

impl Lock {
    /// Whether a key fits, in constant time.
    pub(crate) fn fits(&self, key: &Secret) -> bool {
        match self {
            Self::Key(own) => own == key,
            Self::Sha256(hash) => {
                let digest = digest(&SHA256, key.0.as_bytes());
                verify_slices_are_equal(digest.as_ref(), hash).is_ok() && !key.is_empty()
            }
        }
    }

    /// The key, where it is known here.
    pub(crate) fn key(&self) -> Option<&Secret> {
        match self {
            Self::Key(key) => Some(key),
            Self::Sha256(_) => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// The part of a visitor that refuses numbers without showing them.
macro_rules! refuse_numbers {
    () => {
        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
            Err(E::custom("a number here must stand in quotes"))
        }

        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
            self.visit_i64(0)
        }

        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
            self.visit_i64(0)
        }
    };
}
pub(crate) use refuse_numbers;

/// Names a wrong type without its value, which serde's own messages would show.
struct SecretVisitor;

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text in quotes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    refuse_numbers!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed_and_equals_only_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "*** Some(\n    ***,\n)");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret, Secret::new("hunter2"));
        for other in ["hunter", "hunter22", "Hunter2", ""] {
            assert_ne!(secret, Secret::new(other), "{other}");
        }
        assert_ne!(Secret::default(), Secret::default(), "an unset key opens nothing");
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_refused_without_being_shown() {
        for wrong in ["8675309", "-8675309", "8675.309"] {
            let error = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(error.contains("quotes") && !error.contains("8675"), "{error}");
        }
        assert_eq!(serde_json::from_str::<Secret>("\"k\\u00e9y\"").unwrap(), Secret::new("kéy"));
    }
}
