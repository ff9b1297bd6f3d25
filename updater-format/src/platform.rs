//! The target triple of an artifact, matched exactly and never guessed.

use crate::error::FormatError;

/// A Rust target triple such as `x86_64-unknown-linux-gnu`: `[a-z0-9_.-]`, at least two `-`, at most 64 characters.
/// Two platforms are the same only when the text is the same: a musl program never gets a glibc one.
///
/// The word `any` stands for all of them. Only the files of a component can be for all platforms; a program never is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(String);

impl Platform {
    /// Parses a target triple.
    /// # Errors
    /// [`FormatError::Invalid`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let what = "target triple";
        if text == ANY {
            return Ok(Self::any());
        }
        if text.len() > MAX_PLATFORM {
            return Err(FormatError::invalid(what, text, "it must have at most 64 characters"));
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'))
            || !text.starts_with(|c: char| c.is_ascii_lowercase())
            || text.split('-').filter(|part| !part.is_empty()).count() < 2
        {
            return Err(FormatError::invalid(what, text, "it must look like x86_64-unknown-linux-gnu"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the word for all platforms.
    #[must_use]
    pub fn any() -> Self {
        Self(ANY.to_owned())
    }

    /// Tells whether this is the word for all platforms.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == ANY
    }
}

crate::text::validated_string!(Platform);

/// The word for all platforms. It is no triple: it has no `-`.
const ANY: &str = "any";
/// Longest target triple, in characters (the longest of rustc 1.95 has 33).
const MAX_PLATFORM: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triples() {
        for good in ["x86_64-unknown-linux-gnu", "aarch64-apple-darwin", "thumbv8m.main-none-eabi", "wasm32-wasip1"] {
            assert_eq!(Platform::parse(good).unwrap().as_str(), good);
        }
        assert!(Platform::parse("any").unwrap().is_any());
        for bad in ["", "linux", "anything", "X86-b-c", "a/b-c", "-a-b", "..-.."] {
            assert!(Platform::parse(bad).is_err(), "{bad:?}");
        }
    }
}
