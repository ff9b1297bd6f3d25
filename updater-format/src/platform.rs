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

    /// Tells whether it is a triple of Windows.
    #[must_use]
    pub fn is_windows(&self) -> bool {
        self.0.split('-').any(|part| part == "windows")
    }

    /// Tells whether it is a triple of macOS.
    #[must_use]
    pub fn is_macos(&self) -> bool {
        self.0.ends_with("-apple-darwin")
    }

    /// Returns the file name of a program, or a path that ends in one: on Windows it ends in `.exe`.
    /// ```
    /// # use updater_format::Platform;
    /// let windows: Platform = "x86_64-pc-windows-msvc".parse()?;
    /// assert_eq!(windows.program("bin/hello"), "bin/hello.exe");
    /// # Ok::<(), updater_format::FormatError>(())
    /// ```
    #[must_use]
    pub fn program(&self, name: &str) -> String {
        if self.is_windows() && !is_exe(name) { format!("{name}.exe") } else { name.to_owned() }
    }
}

/// Tells whether a file is a program of Windows by its name.
#[must_use]
pub fn is_exe(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && ending.eq_ignore_ascii_case("exe"))
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
