//! The snapshot role: one consistent set of versions of all targets roles (TUF 4.4).

use super::{Head, MetaFile, Payload, head, open};
use crate::error::FormatError;
use crate::json::{Map, Value};
use crate::time::UtcTime;
use std::collections::BTreeMap;

/// The payload of a `snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version, from 1.
    pub version: u64,
    /// From when on it is stale.
    pub expires: UtcTime,
    /// The version of each targets role, by role name (without `.json`).
    pub roles: BTreeMap<String, MetaFile>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

impl Payload for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn from_value(value: Value) -> Result<Self, FormatError> {
        let (Head { version, expires }, mut fields) = open::<Self>(value)?;
        let mut roles = BTreeMap::new();
        for (file, value) in fields.object("meta")? {
            let Some(role) = file.strip_suffix(".json") else {
                return Err(FormatError::shape("snapshot", format!("{file:?} in `meta` does not end in .json")));
            };
            roles.insert(role.to_owned(), MetaFile::from_value(value)?);
        }
        if !roles.contains_key("targets") {
            return Err(FormatError::shape("snapshot", "targets.json is missing in `meta`"));
        }
        Ok(Self { version, expires, roles, extra: fields.rest() })
    }

    fn to_value(&self) -> Value {
        let mut map = head(self, &self.extra);
        let meta = self.roles.iter().map(|(role, file)| (format!("{role}.json"), file.to_value()));
        map.insert("meta".to_owned(), Value::Object(meta.collect()));
        Value::Object(map)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> UtcTime {
        self.expires
    }
}
