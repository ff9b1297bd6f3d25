//! Checks a detached signature as `minisign -V` does.

use crate::keys::public_line;
use std::collections::BTreeMap;
use std::io::{Read, Seek};
use updater_format::role::{KeyOwner, Root, Targets};
use updater_format::{KeyId, Keyring, MinisignKey};

/// By which keys a file may be signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signers<'a> {
    /// The keys of the channel.
    pub(super) keyring: &'a Keyring,
    /// What the targets role and the root say by which id minisign knows a key; `None` for one that says nothing.
    pub(super) owners: [Option<&'a BTreeMap<KeyId, KeyOwner>>; 2],
}

impl<'a> Signers<'a> {
    pub(super) fn new(keyring: &'a Keyring, root: &'a Root, targets: &'a Targets) -> Self {
        let of_targets = targets.extension.as_ref().map(|extension| &extension.keys);
        Self { keyring, owners: [of_targets, root.extension.as_ref().map(|extension| &extension.keys)] }
    }

    /// Tells by which id minisign must be told of a key, where a document says so: the root of the keys that an app began
    /// with, the targets role of those that its channels got later.
    fn id_of(&self, key: &KeyId) -> Option<&'a str> {
        self.owners.iter().flatten().find_map(|owners| owners.get(key)).map(|owner| owner.minisign.as_str())
    }
}

/// Checks that a prehashed signature over a file is by a key of the channel, and that its trusted comment says `expected`:
/// words of the form `name=value`, each name once, among others perhaps. The error says what is wrong.
pub(super) fn check_minisig(
    text: &str,
    signers: Signers<'_>,
    expected: &str,
    file: impl Read + Seek,
) -> Result<(), String> {
    let comment = trusted_comment(text, signers, file)?;
    let says = |wanted: &str| {
        let name = wanted.split_inclusive('=').next().unwrap_or(wanted);
        let mut words = comment.split(' ').filter(|word| word.starts_with(name));
        words.next() == Some(wanted) && words.next().is_none()
    };
    match expected.split(' ').find(|wanted| !says(wanted)) {
        None => Ok(()),
        Some(wanted) => Err(format!("its trusted comment does not say `{wanted}` but {}", comment.escape_debug())),
    }
}

/// Checks that a prehashed signature over a file is by a key of the channel, and returns its trusted comment.
pub(super) fn trusted_comment(text: &str, signers: Signers<'_>, file: impl Read + Seek) -> Result<String, String> {
    let signature = minisign::SignatureBox::from_string(text).map_err(|error| format!("not a signature: {error}"))?;
    let id: [u8; 8] = signature.keynum().try_into().map_err(|_| "it names no key".to_owned())?;
    let mut file = file;
    let mut last = "no key of the channel".to_owned();
    for (key_id, key) in signers.keyring.keys() {
        // minisign looks at the id first. The id in a signature is not signed, so whose key it is decides here; that
        // `minisign -V` finds the key by its id is looked at after that.
        let public = MinisignKey { key: key.clone(), id };
        let public = minisign::PublicKey::from_base64(&public_line(&public)).map_err(|error| error.to_string())?;
        file.rewind().map_err(|error| error.to_string())?;
        match minisign::verify(&public, &signature, &mut file, true, false, false) {
            Ok(()) => {
                let found = public_id(id);
                return match signers.id_of(key_id).filter(|named| *named != found) {
                    Some(named) => Err(format!("it names the key {found}, which minisign knows as {named}")),
                    None => signature.trusted_comment().map_err(|error| error.to_string()),
                };
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Returns an id as minisign prints it.
fn public_id(id: [u8; 8]) -> String {
    format!("{:016X}", u64::from_le_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Signer;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::io::Cursor;
    use updater_format::Sha256;

    #[test]
    fn only_a_signature_of_the_channel_over_this_file_passes() {
        let (signer, _) = Signer::generate("", None).unwrap();
        let (other, _) = Signer::generate("", None).unwrap();
        let ring = |signer: &Signer| Keyring::new(vec![(signer.key_id(), signer.public().key.clone())], 1).unwrap();
        let sha256 = Sha256::of(b"content");
        let expected = format!("app=hello version=1.0.0 sha256={sha256} file=hello.tar.xz");
        let sign = |comment: &str| signer.sign_file(&b"content"[..], comment).unwrap();
        let good = sign(&expected);
        let check = |text: &str, ring: &Keyring, content: &'static [u8]| {
            check_minisig(text, Signers { keyring: ring, owners: [None; 2] }, &expected, Cursor::new(content))
        };
        check(&good, &ring(&signer), b"content").unwrap();
        assert!(check(&good, &ring(&other), b"content").is_err());
        assert!(check(&good, &ring(&signer), b"contend").is_err());
        check(&sign(&format!("{expected} later=words")), &ring(&signer), b"content").unwrap();
        for (comment, missing) in [
            (expected.replace("hello.tar", "other.tar"), "file=hello.tar.xz"),
            (expected.replace("version=1.0.0", "version=2.0.0"), "version=1.0.0"),
            (expected.replace("version=1.0.0 ", ""), "version=1.0.0"),
            (expected.replace("app=hello", "app=hello app=other"), "app=hello"),
            (expected.replace("app=hello", "app=other app=hello"), "app=hello"),
        ] {
            let problem = check(&sign(&comment), &ring(&signer), b"content").unwrap_err();
            assert!(
                problem.starts_with(&format!("its trusted comment does not say `{missing}`")),
                "{comment}: {problem}"
            );
        }
        assert!(check("hello", &ring(&signer), b"content").unwrap_err().starts_with("not a signature"));
    }

    #[test]
    fn a_signature_that_minisign_would_not_find_the_key_of_is_named() {
        let (signer, _) = Signer::generate("", None).unwrap();
        let keyring = Keyring::new(vec![(signer.key_id(), signer.public().key.clone())], 1).unwrap();
        let minisign = signer.public().id_text();
        let owners = BTreeMap::from([(signer.key_id(), KeyOwner { minisign: minisign.clone(), owner: String::new() })]);
        let signers = Signers { keyring: &keyring, owners: [None, Some(&owners)] };
        let good = signer.sign_file(&b"content"[..], "file=x").unwrap();
        check_minisig(&good, signers, "file=x", Cursor::new(b"content")).unwrap();
        // The id, bytes 2 to 9 of the second line, is under no signature.
        let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
        let mut record = STANDARD.decode(&lines[1]).unwrap();
        record[2] ^= 1;
        lines[1] = STANDARD.encode(record);
        let other = lines.join("\n") + "\n";
        let problem = check_minisig(&other, signers, "file=x", Cursor::new(b"content")).unwrap_err();
        assert!(problem.starts_with("it names the key ") && problem.ends_with(&minisign), "{problem}");
        let of_targets = Signers { owners: [Some(&owners), None], ..signers };
        check_minisig(&good, of_targets, "file=x", Cursor::new(b"content")).unwrap();
        assert!(check_minisig(&other, of_targets, "file=x", Cursor::new(b"content")).is_err());
        let unknown = Signers { owners: [None; 2], ..signers };
        check_minisig(&other, unknown, "file=x", Cursor::new(b"content")).unwrap();
    }
}
