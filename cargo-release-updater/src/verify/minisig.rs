//! Checks a detached signature as `minisign -V` does.

use crate::keys::public_line;
use std::io::{Read, Seek};
use updater_format::release::Artifact;
use updater_format::{Keyring, MinisignKey};

/// Checks that a prehashed signature over a file is by a key of the channel, and that its trusted comment names this
/// file. The error says what is wrong.
pub(super) fn check_minisig(
    text: &str,
    keyring: &Keyring,
    artifact: &Artifact,
    file: impl Read + Seek,
) -> Result<(), String> {
    let signature = minisign::SignatureBox::from_string(text).map_err(|error| format!("not a signature: {error}"))?;
    let id: [u8; 8] = signature.keynum().try_into().map_err(|_| "it names no key".to_owned())?;
    let mut file = file;
    let mut last = "no key of the channel".to_owned();
    for (_, key) in keyring.keys() {
        // minisign looks at the id first. Which id a key has is not signed; whose key it is decides.
        let public = MinisignKey { key: key.clone(), id };
        let public = minisign::PublicKey::from_base64(&public_line(&public)).map_err(|error| error.to_string())?;
        file.rewind().map_err(|error| error.to_string())?;
        match minisign::verify(&public, &signature, &mut file, true, false, false) {
            Ok(()) => return check_comment(&signature, artifact),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn check_comment(signature: &minisign::SignatureBox, artifact: &Artifact) -> Result<(), String> {
    let comment = signature.trusted_comment().map_err(|error| error.to_string())?;
    let says = |wanted: String| comment.split(' ').any(|word| word == wanted);
    match says(format!("file={}", artifact.name)) && says(format!("sha256={}", artifact.sha256)) {
        true => Ok(()),
        false => Err(format!("its trusted comment is for something else: {}", comment.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Signer;
    use std::io::Cursor;
    use updater_format::Sha256;

    #[test]
    fn only_a_signature_of_the_channel_over_this_file_passes() {
        let (signer, _) = Signer::generate("", None).unwrap();
        let (other, _) = Signer::generate("", None).unwrap();
        let ring = |signer: &Signer| Keyring::new(vec![(signer.key_id(), signer.public().key.clone())], 1).unwrap();
        let sha256 = Sha256::of(b"content");
        let artifact = Artifact { name: "hello.tar.xz".parse().unwrap(), length: 7, sha256 };
        let sign =
            |file: &str| signer.sign_file(&b"content"[..], &format!("app=hello sha256={sha256} file={file}")).unwrap();
        let good = sign("hello.tar.xz");
        let check = |text: &str, ring: &Keyring, content: &'static [u8]| {
            check_minisig(text, ring, &artifact, Cursor::new(content))
        };
        check(&good, &ring(&signer), b"content").unwrap();
        assert!(check(&good, &ring(&other), b"content").is_err());
        assert!(check(&good, &ring(&signer), b"contend").is_err());
        assert!(check(&sign("other.tar.xz"), &ring(&signer), b"content").unwrap_err().contains("something else"));
        assert!(check("hello", &ring(&signer), b"content").unwrap_err().starts_with("not a signature"));
    }
}
