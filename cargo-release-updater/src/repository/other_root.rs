//! Whether a storage has the project's own root, or another one under the same number.

use super::{METADATA, RepositoryError};
use crate::storage::Storage;
use updater_format::length::MAX_ROOT;
use updater_format::role::Root;
use updater_format::signed::{Signed, Untrusted};

/// Refuses a storage whose root of this version is another document, whoever signed it: apps that are built with this one
/// would not follow what is published there, nor the installed ones what comes. Where there is none nothing is said.
/// # Errors
/// [`RepositoryError::OtherRoot`]; what reading the storage returns.
pub fn refuse_other_root(storage: &Storage, root: &[u8]) -> Result<(), RepositoryError> {
    let parse = |bytes: &[u8]| Signed::<Root>::parse(&Untrusted::new(bytes)).ok();
    // What is no root at all is refused by everybody who reads it.
    let Some(own) = parse(root) else { return Ok(()) };
    let file = format!("{}.root.json", own.unverified().version);
    let Some(there) = storage.read(&format!("{METADATA}/{file}"), MAX_ROOT)? else { return Ok(()) };
    // Other signatures of its holders make no other root.
    match parse(&there).is_some_and(|there| there.message() == own.message()) {
        true => Ok(()),
        false => Err(RepositoryError::OtherRoot { file, storage: storage.name().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::App;
    use updater_format::UtcTime;

    #[test]
    fn a_root_of_the_same_keys_and_another_day_is_another_one() {
        let day = UtcTime::parse("2026-01-01T00:00:00Z").unwrap();
        let app = App::at(day);
        let temp = tempfile::tempdir().unwrap();
        let storage = Storage::open_folder(temp.path(), "here").unwrap();
        refuse_other_root(&storage, &app.trust.root).unwrap();
        storage.put_new("metadata/1.root.json", app.trust.root.clone()).unwrap();
        refuse_other_root(&storage, &app.trust.root).unwrap();
        let other = String::from_utf8(app.trust.root.clone()).unwrap().replacen("2027-01-01", "2027-01-02", 1);
        let error = refuse_other_root(&storage, other.as_bytes()).unwrap_err();
        assert!(matches!(error, RepositoryError::OtherRoot { file, .. } if file == "1.root.json"));
    }
}
