//! Signing where no project is: on the machine of a holder, with what was exported and the keys there.

use super::folder::write_durably;
use super::{CeremonyError, Documents, Reviewed};
use crate::error::CommandResult;
use crate::keys::{KeyFile, Keychain};
use std::path::{Path, PathBuf};
use updater_format::role::{Payload, RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted, assemble};
use updater_format::{AppId, Keyring, Signature};

/// A document that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFile {
    /// Where it was written.
    pub path: PathBuf,
    /// How many signatures came.
    pub count: usize,
}

impl Reviewed {
    /// Returns the app that the document is for.
    #[must_use]
    pub fn app(&self) -> Option<&AppId> {
        match self {
            Self::Root(root) => root.extension.as_ref().map(|extension| &extension.app),
            Self::Targets(targets) => targets.extension.as_ref().map(|extension| &extension.app),
        }
    }

    /// Tells whether a key has a say in the document: because it names the key, because what it follows does, or because
    /// the key's file is called after the role. Whether the signature is of use is decided where it is imported.
    fn is_signed_by(&self, key: &KeyFile, before: Documents<'_>) -> bool {
        let in_ring = |keyring: &Keyring| keyring.keys().iter().any(|(_, listed)| *listed == key.public.key);
        let (role, listed) = match self {
            Self::Root(root) => {
                let old = before.root.is_some_and(|old| in_ring(old.keyring(RoleName::Root)));
                ("root", old || in_ring(root.keyring(RoleName::Root)))
            }
            Self::Targets(_) => ("targets", before.root.is_some_and(|root| in_ring(root.keyring(RoleName::Targets)))),
        };
        listed || key.name == role || key.name.strip_prefix(role).is_some_and(|rest| rest.starts_with('-'))
    }
}

/// Signs a document that was reviewed with the keys that are here and have a say in it, and writes it beside its file, with
/// the signatures that it had already. `before` is what it follows, as far as that is at hand.
/// # Errors
/// [`CeremonyError::NoKeyHere`] when no such key is here; what unlocking returns.
pub fn sign_file(
    path: &Path,
    document: &Reviewed,
    before: Documents<'_>,
    keychain: &mut Keychain,
) -> CommandResult<SignedFile> {
    match document {
        Reviewed::Root(root) => sign::<Root>(path, document, root, before, keychain),
        Reviewed::Targets(targets) => sign::<Targets>(path, document, targets, before, keychain),
    }
}

fn sign<T: Payload>(
    path: &Path,
    document: &Reviewed,
    payload: &T,
    before: Documents<'_>,
    keychain: &mut Keychain,
) -> CommandResult<SignedFile> {
    let bytes =
        std::fs::read(path).map_err(|source| CeremonyError::Io { action: "read", path: path.to_owned(), source })?;
    // The exported bytes have no signatures and are no document.
    let signed = Signed::<T>::parse(&Untrusted::new(bytes));
    let mut signatures: Vec<Signature> = signed.map(|signed| signed.signatures().to_vec()).unwrap_or_default();
    let message = document.message();
    let had = signatures.len();
    let keys: Vec<_> = keychain.files().iter().filter(|file| document.is_signed_by(file, before)).cloned().collect();
    for key in keys {
        if signatures.iter().any(|signature| signature.key_id == key.public.key.id()) {
            continue;
        }
        if let Some(signer) = keychain.signer(&key.public.key)? {
            signatures.push(signer.sign(&message)?);
        }
    }
    let count = signatures.len() - had;
    if count == 0 {
        return Err(CeremonyError::NoKeyHere { folder: keychain.folder().path().to_owned() }.into());
    }
    let path = signed_copy(path);
    write_durably(&path, &assemble(payload, &signatures))?;
    Ok(SignedFile { path, count })
}

/// Returns where a document goes that was signed: beside the file, `root.signed.json` for `root.canonical.json`.
fn signed_copy(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    file.with_file_name(format!("{stem}.signed.json"))
}

/// What a file that is signed may end in, the longest first.
const ENDINGS: [&str; 3] = [".canonical.json", ".signed.json", ".json"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_document_lies_beside_its_file() {
        for (file, copy) in [
            ("x/root.canonical.json", "x/root.signed.json"),
            ("x/root.signed.json", "x/root.signed.json"),
            ("targets.json", "targets.signed.json"),
            ("other", "other.signed.json"),
        ] {
            assert_eq!(signed_copy(Path::new(file)), Path::new(copy));
        }
    }
}
