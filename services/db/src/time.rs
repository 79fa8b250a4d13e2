//! Times as the interfaces write them.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Column, DbError, Row};

/// A moment: Unix milliseconds in a `BIGINT` column, RFC 3339 in UTC in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = DateTime::from_timestamp_millis(self.0).unwrap_or_default();
        serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text)
            .map_err(|_| de::Error::custom("a time is written as in 2026-01-31T12:00:00Z"))?;
        Ok(Self(time.timestamp_millis()))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl Column for Time {
    fn read(row: &Row, name: &str) -> Result<Self, DbError> {
        row.get(name).map(Self)
    }
}

impl Column for Option<Time> {
    fn read(row: &Row, name: &str) -> Result<Self, DbError> {
        Ok(row.get::<Option<i64>>(name)?.map(Time))
    }
}

impl From<Time> for crate::Value {
    fn from(time: Time) -> Self {
        time.0.into()
    }
}

impl From<Option<Time>> for crate::Value {
    fn from(time: Option<Time>) -> Self {
        time.map(|t| t.0).into()
    }
}
