//! Paths of files inside a bundle. Refused, never repaired.

use crate::error::FormatError;
use crate::length::MAX_PATH;

/// The path of a file inside an install: relative, `/`-separated, and safe on every system that we install on.
///
/// Refused are empty parts, `.` and `..`, absolute paths and drive letters, `\`, `:`, NUL and other control characters,
/// the names that Windows reserves (`CON`, `aux.txt`), parts that end in a dot or a space, and paths over 1,024 bytes.
///
/// ```
/// # use updater_format::FilePath;
/// assert!(FilePath::parse("share/man/hello.1").is_ok());
/// assert!(FilePath::parse("../../etc/passwd").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

impl FilePath {
    /// Parses a path.
    /// # Errors
    /// [`FormatError::Invalid`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let refuse = |rule| Err(FormatError::invalid("file path", text, rule));
        if text.is_empty() {
            return refuse("it must not be empty");
        }
        if text.len() > MAX_PATH {
            return refuse("it must have at most 1,024 bytes");
        }
        if text.starts_with('/') {
            return refuse("it must be relative");
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')) {
            return refuse("it must have no control character and none of \\ : * ? \" < > |");
        }
        for part in text.split('/') {
            match part {
                "" => return refuse("it must have no empty part"),
                "." | ".." => return refuse("it must have no part `.` or `..`"),
                _ => {}
            }
            if part.ends_with(['.', ' ']) {
                return refuse("no part may end in a dot or a space (Windows drops them)");
            }
            if part.len() > MAX_PART {
                return refuse("no part may have more than 255 bytes");
            }
            if is_reserved_on_windows(part) {
                return refuse("a part is a device name on Windows (CON, NUL, COM1, ...)");
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the path of the manifest in an installed folder.
    #[must_use]
    pub fn of_manifest() -> Self {
        Self(crate::manifest::MANIFEST_PATH.to_owned())
    }

    /// Every app id is a file name: its rules are stricter.
    pub(crate) fn from_app_id(app: &crate::app::AppId) -> Self {
        Self(app.as_str().to_owned())
    }

    /// Returns the last part.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns every folder above this path, outermost first, without the empty one.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }

    /// Returns the text by which two paths collide on a file system that folds case.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

crate::text::validated_string!(FilePath);

/// The name of a published target: flat, `[A-Za-z0-9._-]`, at most 180 characters, never parsed for meaning.
///
/// GitHub renames other characters and `+` breaks on S3; two letters of case apart collide on Windows and macOS only
/// for people, because clients ask for the exact name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(String);

impl TargetName {
    /// Parses a target name.
    /// # Errors
    /// [`FormatError::Invalid`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let refuse = |rule| Err(FormatError::invalid("target name", text, rule));
        if text.is_empty() || text.len() > MAX_TARGET_NAME {
            return refuse("it must have 1 to 180 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            return refuse("only letters, digits, `.`, `_` and `-` are allowed: no folder, no space");
        }
        if text.starts_with('.') || text.ends_with('.') || is_reserved_on_windows(text) {
            return refuse("it must not begin or end with a dot nor be a device name on Windows");
        }
        Ok(Self(text.to_owned()))
    }
}

crate::text::validated_string!(TargetName);

/// Tells whether Windows gives the name before the first dot to a device, whatever the case.
pub(crate) fn is_reserved_on_windows(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        _ => {
            let device = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
            device.is_some_and(|n| {
                matches!(n, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
            })
        }
    }
}

/// Longest part of a path, in bytes: what ext4, APFS and NTFS take.
const MAX_PART: usize = 255;
/// Longest target name, in characters: `<64 digits>.<name>.minisig` stays within the 255 bytes of a file name.
const MAX_TARGET_NAME: usize = 180;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_folder_or_mean_something_elsewhere_are_refused() {
        let long_part = "a".repeat(256);
        let long = "a/".repeat(600);
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "C:/x",
            "a\\b",
            "a\0b",
            "a\nb",
            "aux",
            "aux.txt",
            "dir/COM1",
            "lpt9.log",
            "a./b",
            "a ",
            "x:y",
            &long_part,
            &long,
        ] {
            assert!(matches!(FilePath::parse(bad), Err(FormatError::Invalid { what: "file path", .. })), "{bad:?}");
        }
    }

    #[test]
    fn ordinary_paths_are_accepted_and_taken_apart() {
        let path = FilePath::parse("share/dox/später/read me.md").unwrap();
        assert_eq!(path.file_name(), "read me.md");
        assert_eq!(path.parents().collect::<Vec<_>>(), ["share", "share/dox", "share/dox/später"]);
        for good in ["a", "com10", "console.txt", ".hidden", "a.b.c"] {
            assert!(FilePath::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn target_names_are_flat() {
        for bad in ["", "a/b", "a b", "ä", ".x", "x.", "NUL.tar.xz", "a+b", "..", &"a".repeat(181)] {
            assert!(TargetName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(TargetName::parse("hello-1.0.0-x86_64-unknown-linux-gnu.tar.xz").is_ok());
    }
}
