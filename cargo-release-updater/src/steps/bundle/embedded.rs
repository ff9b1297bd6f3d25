//! Looks into a built program for what `updater_build::embed()` put there. A program that lacks it would install and
//! run, and never update: better told before it is published.

use super::{BundleStepError, ChosenContent, Contents};
use std::path::Path;
use updater_delta::Codec;
use updater_format::FileMode;

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

/// Returns the delta codecs that the programs of a release announce: the entry's, or what all programs have in common that announce any when it
/// is not named. `None` if none does, as before codecs were announced and in programs that are packed.
/// # Errors
/// [`BundleStepError::Read`].
pub fn announced_codecs(contents: &Contents) -> Result<Option<Vec<String>>, BundleStepError> {
    let mut common: Option<Vec<String>> = None;
    for chosen in &contents.files {
        let ChosenContent::File { source, mode: FileMode::Program } = &chosen.content else { continue };
        if contents.entry.as_ref().is_some_and(|entry| *entry != chosen.path) {
            continue;
        }
        let program =
            std::fs::read(source).map_err(|error| BundleStepError::Read { path: source.clone(), source: error })?;
        if let Some(codecs) = Codec::announced_in(&program) {
            common = Some(match common {
                None => codecs,
                Some(before) => before.into_iter().filter(|codec| codecs.contains(codec)).collect(),
            });
        }
    }
    Ok(common)
}

/// Tells whether `needle` stands somewhere in `bytes`. Jumps from one occurrence of its first byte to the next.
pub(in crate::steps) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
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
    use super::*;
    use crate::steps::bundle::Chosen;

    #[test]
    fn codecs_are_those_that_the_entry_announces() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let source = folder.path().join(name);
            std::fs::write(&source, text).unwrap();
            Chosen { path: name.parse().unwrap(), content: ChosenContent::File { source, mode: FileMode::Program } }
        };
        let files = vec![
            program("app", "\x7fELF updater delta codecs 1 [refs-1,refs-9] and more"),
            program("helper", "updater delta codecs 1 [refs-9]"),
            program("other", "nothing"),
        ];
        let contents = |entry: Option<&str>| Contents {
            app: "hello".parse().unwrap(),
            component: None,
            version: "1.0.0".parse().unwrap(),
            platform: "x86_64-unknown-linux-gnu".parse().unwrap(),
            install: None,
            entry: entry.map(|entry| entry.parse().unwrap()),
            keep_local: Vec::new(),
            codecs: Vec::new(),
            files: files.clone(),
        };
        let found = |entry| announced_codecs(&contents(entry)).unwrap();
        assert_eq!(found(Some("app")).unwrap(), ["refs-1", "refs-9"]);
        assert_eq!(found(None).unwrap(), ["refs-9"]);
        assert_eq!(found(Some("other")), None);
    }

    #[test]
    fn bytes_are_found_wherever_they_stand() {
        for (bytes, needle, found) in
            [("abcabd", "abd", true), ("aab", "ab", true), ("ab", "abc", false), ("", "a", false), ("x", "", true)]
        {
            assert_eq!(contains(bytes.as_bytes(), needle.as_bytes()), found, "{needle:?} in {bytes:?}");
        }
    }
}
