//! How one document names another: version, and length and hashes where given.

use crate::digest::{Sha256, decode_hex, encode_hex, sha512};
use crate::error::FormatError;
use crate::json::{Fields, Map, Value};

/// The hashes of a file. At least one is of an algorithm that is checked here; others are kept and not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    map: Map<String, Value>,
    sha256: Option<Sha256>,
    sha512: Option<Vec<u8>>,
}

impl Hashes {
    /// Names a file by its SHA-256 alone, as all our documents do.
    #[must_use]
    pub fn sha256_only(digest: Sha256) -> Self {
        let mut map = Map::new();
        map.insert("sha256".to_owned(), digest.to_string().into());
        Self { map, sha256: Some(digest), sha512: None }
    }

    fn from_map(map: Map<String, Value>) -> Result<Self, FormatError> {
        let what = "hashes";
        let text = |name: &str| match map.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(FormatError::shape(what, format!("`{name}` must be a string"))),
        };
        let sha256 = text("sha256")?.map(Sha256::parse).transpose()?;
        let sha512 = match text("sha512")? {
            None => None,
            Some(digits) => Some(decode_hex(digits).filter(|b| b.len() == 64).ok_or_else(|| {
                FormatError::invalid("sha512", digits, "it must be 128 lower-case hexadecimal digits")
            })?),
        };
        if sha256.is_none() && sha512.is_none() {
            return Err(FormatError::shape(what, "neither sha256 nor sha512 is given"));
        }
        Ok(Self { map, sha256, sha512 })
    }

    /// Returns the SHA-256, where the document gives one.
    #[must_use]
    pub fn sha256(&self) -> Option<Sha256> {
        self.sha256
    }

    /// Returns the digest that stands before the file name under consistent snapshots: SHA-256, else SHA-512, in
    /// hexadecimal digits.
    #[must_use]
    pub fn prefix(&self) -> String {
        match (&self.sha256, &self.sha512) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(digest)) => encode_hex(digest),
            (None, None) => String::new(),
        }
    }

    /// Tells whether every known hash is that of `bytes`.
    #[must_use]
    pub fn match_bytes(&self, bytes: &[u8]) -> bool {
        self.sha256.is_none_or(|digest| digest == Sha256::of(bytes))
            && self.sha512.as_ref().is_none_or(|digest| digest[..] == sha512(bytes))
    }
}

/// What a timestamp says of the snapshot, and a snapshot of each targets role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaFile {
    /// The version that the document must have.
    pub version: u64,
    /// Its exact length in bytes. We always write it; foreign repositories may leave it out.
    pub length: Option<u64>,
    /// Its hashes. We always write them; foreign repositories may leave them out.
    pub hashes: Option<Hashes>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

impl MetaFile {
    /// Describes a document by its bytes.
    #[must_use]
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        let hashes = Some(Hashes::sha256_only(Sha256::of(bytes)));
        Self { version, length: Some(bytes.len() as u64), hashes, extra: Map::new() }
    }

    pub(super) fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut fields = Fields::open("meta", value)?;
        let version = super::version(&mut fields, "meta")?;
        let length = if fields.has("length") { Some(fields.number("length")?) } else { None };
        let hashes = if fields.has("hashes") { Some(Hashes::from_map(fields.object("hashes")?)?) } else { None };
        Ok(Self { version, length, hashes, extra: fields.rest() })
    }

    pub(super) fn to_value(&self) -> Value {
        let mut map = self.extra.clone();
        map.insert("version".to_owned(), self.version.into());
        if let Some(length) = self.length {
            map.insert("length".to_owned(), length.into());
        }
        if let Some(hashes) = &self.hashes {
            map.insert("hashes".to_owned(), hashes.map.clone().into());
        }
        Value::Object(map)
    }
}

/// Reads `length` and `hashes`, which a target must have.
pub(super) fn length_and_hashes(fields: &mut Fields) -> Result<(u64, Hashes), FormatError> {
    Ok((fields.number("length")?, Hashes::from_map(fields.object("hashes")?)?))
}

/// Writes `length` and `hashes`.
pub(super) fn write_length_and_hashes(map: &mut Map<String, Value>, length: u64, hashes: &Hashes) {
    map.insert("length".to_owned(), length.into());
    map.insert("hashes".to_owned(), hashes.map.clone().into());
}
