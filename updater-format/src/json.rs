//! JSON as the metadata uses it: strict when read, canonical when signed.
//!
//! Read: duplicate keys, floats, numbers beyond 2^53 and nesting beyond 64 levels are refused, because two readers could
//! disagree about them. Signed: the canonical form of securesystemslib and OLPC (keys sorted by code point, no white
//! space, only `"` and `\` escaped), which is *not* RFC 8785. What is verified is what is used: the canonical bytes are
//! made from the very [`Value`] that is read afterwards.

use crate::error::FormatError;
use crate::length::{MAX_JSON_DEPTH, MAX_NUMBER};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
pub use serde_json::{Map, Value};

/// Parses a whole document strictly. `what` names it in errors.
/// # Errors
/// [`FormatError::Json`] with line and column.
pub fn parse(what: &'static str, bytes: &[u8]) -> Result<Value, FormatError> {
    let refuse = |error: serde_json::Error| FormatError::Json { what, detail: error.to_string() };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer).map_err(refuse)?;
    deserializer.end().map_err(refuse)?;
    Ok(value)
}

/// Returns the canonical bytes of a value: what a TUF signature covers.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_canonical(value, &mut out);
    out
}

/// Returns the compact JSON text of a value with sorted keys: what is written to files.
///
/// ```
/// use updater_format::json;
///
/// // Keys are sorted, and nothing stands between them.
/// let value = json::parse("example", br#"{ "b": 1, "a": [true] }"#).unwrap();
/// assert_eq!(json::compact(&value), br#"{"a":[true],"b":1}"#);
/// assert!(json::parse("example", br#"{"a": 1, "a": 2}"#).is_err(), "a key twice");
/// assert!(json::parse("example", b"1.5").is_err(), "two readers would not agree on it");
/// ```
#[must_use]
pub fn compact(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(value, &mut out, &|text, out| {
        // A string always serialises; the fallback keeps this function total.
        out.extend_from_slice(serde_json::to_string(text).unwrap_or_default().as_bytes());
    });
    out
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    write_json(value, out, &|text, out| {
        out.push(b'"');
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    });
}

fn write_json(value: &Value, out: &mut Vec<u8>, string: &dyn Fn(&str, &mut Vec<u8>)) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_json(item, out, string);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            // Sorted here and not by the map's own order, which a build with serde_json's `preserve_order` changes.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                string(key, out);
                out.push(b':');
                write_json(item, out, string);
            }
            out.push(b'}');
        }
    }
}

/// The fields of one JSON object, taken out one by one; what is left is kept as unknown.
#[derive(Debug)]
pub struct Fields {
    what: &'static str,
    map: Map<String, Value>,
}

impl Fields {
    /// Opens an object.
    /// # Errors
    /// [`FormatError::Shape`] when the value is not an object.
    pub fn open(what: &'static str, value: Value) -> Result<Self, FormatError> {
        match value {
            Value::Object(map) => Ok(Self { what, map }),
            _ => Err(FormatError::shape(what, "it must be an object")),
        }
    }

    /// Takes a field that may be absent.
    pub fn optional(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    /// Takes a field that must be there.
    /// # Errors
    /// [`FormatError::Shape`] when it is absent.
    pub fn required(&mut self, name: &str) -> Result<Value, FormatError> {
        self.map.remove(name).ok_or_else(|| FormatError::shape(self.what, format!("field `{name}` is missing")))
    }

    /// Takes a string.
    /// # Errors
    /// [`FormatError::Shape`] when it is absent or of another type.
    pub fn string(&mut self, name: &str) -> Result<String, FormatError> {
        match self.required(name)? {
            Value::String(text) => Ok(text),
            _ => Err(self.wrong(name, "a string")),
        }
    }

    /// Takes a string that parses as `T`.
    /// # Errors
    /// [`FormatError::Shape`] when it is absent or of another type; the error of `T` otherwise.
    pub fn parsed<T: std::str::FromStr<Err = FormatError>>(&mut self, name: &str) -> Result<T, FormatError> {
        self.string(name)?.parse()
    }

    /// Takes a number from 0 to 2^53.
    /// # Errors
    /// [`FormatError::Shape`] when it is absent, of another type or out of range.
    pub fn number(&mut self, name: &str) -> Result<u64, FormatError> {
        let value = self.required(name)?;
        as_number(&value).ok_or_else(|| self.wrong(name, "a whole number from 0 to 2^53"))
    }

    /// Takes a boolean.
    /// # Errors
    /// [`FormatError::Shape`] when it is absent or of another type.
    pub fn boolean(&mut self, name: &str) -> Result<bool, FormatError> {
        match self.required(name)? {
            Value::Bool(value) => Ok(value),
            _ => Err(self.wrong(name, "true or false")),
        }
    }

    /// Takes an array.
    /// # Errors
    /// [`FormatError::Shape`] when it is absent or of another type.
    pub fn array(&mut self, name: &str) -> Result<Vec<Value>, FormatError> {
        match self.required(name)? {
            Value::Array(items) => Ok(items),
            _ => Err(self.wrong(name, "an array")),
        }
    }

    /// Takes an array of strings.
    /// # Errors
    /// [`FormatError::Shape`] when it is absent or holds anything else.
    pub fn strings(&mut self, name: &str) -> Result<Vec<String>, FormatError> {
        let items = self.array(name)?;
        let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        texts.ok_or_else(|| self.wrong(name, "an array of strings"))
    }

    /// Takes an object.
    /// # Errors
    /// [`FormatError::Shape`] when it is absent or of another type.
    pub fn object(&mut self, name: &str) -> Result<Map<String, Value>, FormatError> {
        match self.required(name)? {
            Value::Object(map) => Ok(map),
            _ => Err(self.wrong(name, "an object")),
        }
    }

    /// Tells whether a field is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Returns the fields that were not taken: unknown ones, to be preserved.
    #[must_use]
    pub fn rest(self) -> Map<String, Value> {
        self.map
    }

    /// Ends the reading of a closed format.
    /// # Errors
    /// [`FormatError::Shape`] naming a field that is not known.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(FormatError::shape(self.what, format!("field `{name}` is not known"))),
        }
    }

    fn wrong(&self, name: &str, expected: &str) -> FormatError {
        FormatError::shape(self.what, format!("field `{name}` must be {expected}"))
    }
}

/// Returns a whole number from 0 to 2^53, `None` for any other value.
#[must_use]
pub fn as_number(value: &Value) -> Option<u64> {
    value.as_u64().filter(|n| *n <= MAX_NUMBER)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_JSON_DEPTH {
            return Err(E::custom(format_args!("nested more than {MAX_JSON_DEPTH} levels deep")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON without floats")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_NUMBER {
            return Err(E::custom(format_args!("number {value} is beyond 2^53")));
        }
        Ok(Value::from(value))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > MAX_NUMBER {
            return Err(E::custom(format_args!("number {value} is beyond 2^53")));
        }
        Ok(Value::from(value))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Err(E::custom(format_args!("number {value} is not a whole number that fits")))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(inner)?;
            if map.contains_key(&key) {
                return Err(de::Error::custom(format_args!("key {key:?} stands twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: &[u8]) -> Result<String, FormatError> {
        parse("test", bytes).map(|value| String::from_utf8(canonical(&value)).unwrap())
    }

    #[test]
    fn canonical_form_is_that_of_securesystemslib() {
        assert_eq!(
            text(br#" {"b": [1, -2, true, null], "a": "x\"\\\n\u00e9"} "#).unwrap(),
            "{\"a\":\"x\\\"\\\\\né\",\"b\":[1,-2,true,null]}"
        );
        // By code point, not by UTF-16 unit: U+FFFF comes before U+10000.
        assert_eq!(text("{\"\u{10000}\":1,\"\u{ffff}\":2}".as_bytes()).unwrap(), "{\"\u{ffff}\":2,\"\u{10000}\":1}");
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for (bad, why) in [
            (&br#"{"a":1,"a":1}"#[..], "stands twice"),
            (br#"{"a":{"b":1,"b":2}}"#, "stands twice"),
            (b"1.5", "whole number"),
            (b"1.0", "whole number"),
            (b"1e3", "whole number"),
            (b"9007199254740993", "beyond 2^53"),
            (b"-9007199254740993", "beyond 2^53"),
            (b"18446744073709551616", "whole number"),
            (b"{} {}", "trailing"),
            (b"", "EOF"),
            (b"{\"a\":\"\xff\"}", "unicode"),
        ] {
            let error = text(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let deep = "[".repeat(65) + &"]".repeat(65);
        assert!(text(deep.as_bytes()).unwrap_err().to_string().contains("64 levels"));
        assert!(text(("[".repeat(64) + &"]".repeat(64)).as_bytes()).is_ok());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..=MAX_NUMBER).prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(".{0,6}", inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compact_text_reads_back_as_the_same_value(value in any_value()) {
            prop_assert_eq!(parse("test", &compact(&value)).unwrap(), value);
        }
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse("test", &bytes);
        }
    }
}
