//! Files that are made from the code and committed, so that a change of them is reviewed like any other.
//!
//! `UPDATER_WRITE_DOCS=1 cargo test -p cargo-release-updater --lib` writes them anew.

use std::path::Path;

/// Holds a committed file of this crate against what the code makes now; writes it with `UPDATER_WRITE_DOCS=1`.
///
/// # Panics
/// When they differ.
#[track_caller]
pub(crate) fn renewed(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATER_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        return std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let line = committed.lines().zip(text.lines()).position(|(committed, made)| committed != made);
    assert!(
        committed == text,
        "{file} is not what the code makes, from line {} on; look at the difference after\n  \
         UPDATER_WRITE_DOCS=1 cargo test -p cargo-release-updater --lib",
        line.unwrap_or_else(|| committed.lines().count().min(text.lines().count())) + 1
    );
}

/// Reads a committed JSON file of this crate as it is now, not as it was when this was compiled.
#[track_caller]
pub(crate) fn committed(file: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
