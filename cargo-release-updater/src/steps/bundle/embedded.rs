//! Looks into a built program for what `updater_build::embed()` put there. A program that lacks it would install and
//! run, and never update: better told before it is published.

use super::{BundleStepError, Contents};
use std::path::Path;

/// Checks that a program carries the trusted root, byte for byte, and app, version and triple of the release.
///
/// The bytes of text constants have no borders in a program, so their presence is a hint and their absence a proof. The
/// rehearsal starts the program and asks it.
/// # Errors
/// [`BundleStepError::NoRoot`], [`BundleStepError::RootNotEmbedded`], [`BundleStepError::OtherRelease`].
pub fn check_embedded(program: &Path, root: &Path, contents: &Contents) -> Result<(), BundleStepError> {
    let trusted = std::fs::read(root).map_err(|source| BundleStepError::NoRoot { path: root.to_owned(), source })?;
    let bytes = std::fs::read(program).map_err(|source| BundleStepError::Read { path: program.to_owned(), source })?;
    if !contains(&bytes, &trusted) {
        return Err(BundleStepError::RootNotEmbedded { path: program.to_owned(), root: root.to_owned() });
    }
    let names = [contents.app.to_string(), contents.version.to_string(), contents.platform.to_string()];
    match names.iter().find(|name| !contains(&bytes, name.as_bytes())) {
        None => Ok(()),
        Some(missing) => Err(BundleStepError::OtherRelease {
            path: program.to_owned(),
            missing: missing.clone(),
            release: format!("{} {} for {}", contents.app, contents.version, contents.platform),
        }),
    }
}

/// Tells whether `needle` stands somewhere in `bytes`. Jumps from one occurrence of its first byte to the next.
fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(&first) = needle.first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn bytes_are_found_wherever_they_stand() {
        for (bytes, needle, found) in
            [("abcabd", "abd", true), ("aab", "ab", true), ("ab", "abc", false), ("", "a", false), ("x", "", true)]
        {
            assert_eq!(contains(bytes.as_bytes(), needle.as_bytes()), found, "{needle:?} in {bytes:?}");
        }
    }
}
