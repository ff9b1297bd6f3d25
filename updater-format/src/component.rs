//! The name of a component: a set of files that has versions of its own beside those of its app.

use crate::error::FormatError;
use crate::path::is_reserved_on_windows;

/// The name of a component: `[a-z][a-z0-9_-]*`, at most 32 characters, and no device name of Windows.
///
/// It begins with a letter, and versions begin with a digit: `hello-model-1.0.0` is never mistaken for a version of `hello`.
///
/// ```
/// # use updater_format::ComponentName;
/// assert!(ComponentName::parse("speech-model").is_ok());
/// assert!(ComponentName::parse("1.0.0").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentName(String);

impl ComponentName {
    /// Parses the name of a component.
    /// # Errors
    /// [`FormatError::Invalid`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let refuse = |rule| Err(FormatError::invalid("component name", text, rule));
        if text.len() > MAX_NAME {
            return refuse("it must have at most 32 characters");
        }
        let of_a_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.bytes().all(of_a_name) {
            return refuse("it must match [a-z][a-z0-9_-]* (a lower-case letter, then also digits, `_` and `-`)");
        }
        if is_reserved_on_windows(text) {
            return refuse("it is a device name on Windows (con, nul, com1, ...)");
        }
        Ok(Self(text.to_owned()))
    }
}

crate::text::validated_string!(ComponentName);

/// Longest name, in characters: a file name of app, component, two versions and triple stays below 180.
const MAX_NAME: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_named() {
        for bad in ["", "con", "Model", "-a", "1model", "a/b", "a.b", "ä", &"a".repeat(33)] {
            assert!(matches!(ComponentName::parse(bad), Err(FormatError::Invalid { .. })), "{bad:?}");
        }
        for good in ["a", "model", "speech-model_2"] {
            assert_eq!(ComponentName::parse(good).unwrap().as_str(), good);
        }
    }
}
