//! The timestamp role: which snapshot is the newest (TUF 4.6).

use super::{Head, MetaFile, Payload, head, open};
use crate::error::FormatError;
use crate::json::{Map, Value};
use crate::time::UtcTime;

/// The payload of a `timestamp.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// The version, from 1.
    pub version: u64,
    /// From when on it is stale.
    pub expires: UtcTime,
    /// The snapshot that it vouches for.
    pub snapshot: MetaFile,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

impl Payload for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn from_value(value: Value) -> Result<Self, FormatError> {
        let (Head { version, expires }, mut fields) = open::<Self>(value)?;
        let mut meta = fields.object("meta")?;
        match (meta.remove("snapshot.json"), meta.is_empty()) {
            (Some(snapshot), true) => {
                Ok(Self { version, expires, snapshot: MetaFile::from_value(snapshot)?, extra: fields.rest() })
            }
            _ => Err(FormatError::shape("timestamp", "`meta` must list snapshot.json and nothing else")),
        }
    }

    fn to_value(&self) -> Value {
        let mut map = head(self, &self.extra);
        let mut meta = Map::new();
        meta.insert("snapshot.json".to_owned(), self.snapshot.to_value());
        map.insert("meta".to_owned(), meta.into());
        Value::Object(map)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> UtcTime {
        self.expires
    }
}
