//! A DSN: where to report, and as who.

use std::fmt;

use reqwest::Url;
use serde::{Deserialize, Serialize, Serializer};

/// `http://KEY@HOST/PATH/PROJECT`. Printed and serialised as `***`, for its key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Dsn {
    /// Where envelopes are posted to.
    pub(crate) url: Url,
    pub(crate) key: String,
}

impl TryFrom<String> for Dsn {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "is no DSN: write http://KEY@HOST/PATH/PROJECT, as the project's page shows it";
        let mut url = Url::parse(&text).map_err(|_| wrong)?;
        let key = url.username().to_owned();
        let (path, project) = url.path().rsplit_once('/').ok_or(wrong)?;
        let sane = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !["http", "https"].contains(&url.scheme()) || !sane(&key) || !sane(project) {
            return Err(wrong);
        }
        let path = format!("{path}/api/{project}/envelope/");
        url.set_path(&path);
        url.set_query(None);
        (url.set_username(""), url.set_password(None)).0.map_err(|()| wrong)?;
        Ok(Self { url, key })
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Dsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}
