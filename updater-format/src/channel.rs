//! Channels: `stable`, `beta`, or any name of the publisher's. Each is one delegated TUF role.

use crate::error::FormatError;

/// The name of a channel, and of the TUF role that signs it: `[a-z0-9][a-z0-9_-]*`, at most 32 characters, and none of
/// the names that TUF reserves.
///
/// ```
/// use updater_format::Channel;
///
/// assert_eq!(Channel::parse("beta").unwrap().as_str(), "beta");
/// assert!(Channel::parse("root").is_err(), "the name of a role");
/// assert!(Channel::parse("../beta").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(String);

impl Channel {
    /// Parses a channel name.
    /// # Errors
    /// [`FormatError::Invalid`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let what = "channel";
        if RESERVED.contains(&text) {
            return Err(FormatError::invalid(what, text, "root, targets, snapshot and timestamp are TUF's own roles"));
        }
        if text.len() > MAX_CHANNEL {
            return Err(FormatError::invalid(what, text, "it must have at most 32 characters"));
        }
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !starts_well || !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-') {
            return Err(FormatError::invalid(what, text, "it must match [a-z0-9][a-z0-9_-]*"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the default channel, `stable`.
    #[must_use]
    pub fn stable() -> Self {
        Self("stable".to_owned())
    }
}

crate::text::validated_string!(Channel);

/// Role names that TUF gives a meaning of its own.
pub(crate) const RESERVED: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];
/// Longest channel name, in characters.
const MAX_CHANNEL: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_malformed_names_are_refused() {
        for bad in ["root", "targets", "snapshot", "timestamp", "", "Beta", "a/b", "..", &"a".repeat(33)] {
            assert!(Channel::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Channel::parse("nightly-2").unwrap().as_str(), "nightly-2");
    }
}
