//! The app id: one repository serves one app, and every signed document names it.

use crate::error::FormatError;
use crate::path::{FilePath, is_reserved_on_windows};

/// The id of an app: `[a-z0-9][a-z0-9_-]*`, at most 64 characters, and no device name of Windows (`con`, `com1`).
///
/// ```
/// # use updater_format::AppId;
/// assert!(AppId::parse("hello-world").is_ok());
/// assert!(AppId::parse("../hello").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(String);

impl AppId {
    /// Parses an app id.
    /// # Errors
    /// [`FormatError::Invalid`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let what = "app id";
        if text.len() > MAX_APP_ID {
            return Err(FormatError::invalid(what, text, "it must have at most 64 characters"));
        }
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !starts_well || !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-') {
            return Err(FormatError::invalid(
                what,
                text,
                "it must match [a-z0-9][a-z0-9_-]* (lower-case letters, digits, `_` and `-`)",
            ));
        }
        if is_reserved_on_windows(text) {
            return Err(FormatError::invalid(what, text, "it is a device name on Windows (con, nul, com1, ...)"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the id as a file name.
    #[must_use]
    pub fn to_file_path(&self) -> FilePath {
        FilePath::from_app_id(self)
    }
}

crate::text::validated_string!(AppId);

/// Longest app id, in characters: file names built from it stay far below the 255 bytes that file systems allow.
const MAX_APP_ID: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_named() {
        for bad in ["", "con", "com1", "Hello", "-a", "a/b", "a.b", "ä", &"a".repeat(65)] {
            assert!(matches!(AppId::parse(bad), Err(FormatError::Invalid { what: "app id", .. })), "{bad:?}");
        }
        for good in ["a", "0ad", "hello-world_2"] {
            let app = AppId::parse(good).unwrap();
            assert_eq!(app.as_str(), good);
            assert_eq!(FilePath::parse(good).unwrap(), app.to_file_path());
        }
    }
}
