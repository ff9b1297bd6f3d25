//! An unlocked key, and the two kinds of signature that it makes.

use super::blake2b::Blake2b512;
use super::error::KeyError;
use super::external::External;
use minisign::{SecretKey, SecretKeyBox};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::io::Read;
use updater_format::{KeyId, MinisignKey, Signature};
use zeroize::Zeroizing;

/// A key that can sign: a secret in memory, wiped when dropped, or a command that holds one. `Debug` shows its public id only.
///
/// The library that reads minisign files works on copies of its own and does not wipe them; they live for the duration
/// of one call.
pub struct Signer {
    secret: Secret,
    public: MinisignKey,
}

enum Secret {
    /// The decrypted minisign record: algorithms and salt (54 bytes), key id (8), seed (32), public key (32), checksum.
    Record(Zeroizing<Vec<u8>>),
    /// A command that has it.
    Elsewhere(External),
}

impl Signer {
    /// Makes a new random key, and the text of its file: encrypted when a password is given.
    /// # Errors
    /// [`KeyError::Minisign`] when the system gives no random bytes.
    pub fn generate(comment: &str, password: Option<&str>) -> Result<(Self, Zeroizing<String>), KeyError> {
        let made = match password {
            None => minisign::KeyPair::generate_unencrypted_keypair(),
            Some(password) => minisign::KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
        };
        let boxed = made.and_then(|pair| pair.sk.to_box(Some(comment))).map_err(failed("make a key"))?;
        let text = Zeroizing::new(boxed.into_string());
        // Reading it back proves that the file will open with this password before anything depends on the key.
        let signer = Self::from_text("the new key", &text, || Ok(password.unwrap_or_default().to_owned().into()))?;
        Ok((signer, text))
    }

    /// Reads a secret key from the text of its file, or from its base64 line alone. `origin` names it in errors, and
    /// `password` is asked for when the key is encrypted.
    /// # Errors
    /// [`KeyError::NotAKey`], [`KeyError::WrongPassword`], or what `password` returns.
    pub fn from_text(
        origin: &str,
        text: &str,
        password: impl FnOnce() -> Result<Zeroizing<String>, KeyError>,
    ) -> Result<Self, KeyError> {
        let not_a_key = || KeyError::NotAKey { origin: origin.to_owned() };
        let line = base64_line(text).ok_or_else(not_a_key)?;
        let record = decode(line).ok_or_else(not_a_key)?;
        if record[KDF] == PLAIN {
            // Without the library, which wants a checksum that stock `minisign -G -W` leaves empty. That the seed gives
            // the public key is checked below and says more.
            return Self::from_record(origin, record);
        }
        // The library wants the comment line; without one the text is a bare line from an environment variable.
        let boxed = SecretKeyBox::from(format!("untrusted comment: {origin}\n{line}\n"));
        let secret = boxed.into_secret_key(Some(password()?.to_string())).map_err(|error| match error.kind() {
            minisign::ErrorKind::Verify => KeyError::WrongPassword { origin: origin.to_owned() },
            _ => not_a_key(),
        })?;
        Self::from_record(origin, Zeroizing::new(secret.to_bytes()))
    }

    /// Returns the public half.
    #[must_use]
    pub fn public(&self) -> &MinisignKey {
        &self.public
    }

    /// Returns the id under which metadata lists this key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.public.key.id()
    }

    /// Returns the line of the public key, as a `.pub` file has it.
    #[must_use]
    pub fn public_line(&self) -> String {
        public_line(&self.public)
    }

    /// Signs the canonical bytes of a metadata document: raw Ed25519, as TUF has it.
    /// # Errors
    /// [`KeyError::Mismatch`] when the two halves of the key do not belong together.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        Ok(Signature { key_id: self.key_id(), bytes: self.raw(message)? })
    }

    fn raw(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.secret {
            Secret::Record(record) => Ok(pair("the key", record)?.sign(message).as_ref().to_vec()),
            Secret::Elsewhere(external) => external.sign(&self.public, message),
        }
    }

    /// Signs a published file: the text of a prehashed `.minisig` with this trusted comment.
    /// # Errors
    /// [`KeyError::Minisign`] when the file cannot be read to its end.
    pub fn sign_file(&self, mut file: impl Read, trusted_comment: &str) -> Result<String, KeyError> {
        let Secret::Record(record) = &self.secret else {
            let mut hasher = Blake2b512::new();
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => hasher.update(&buffer[..read]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(source) => return Err(failed("read a file to sign it")(source.into())),
                }
            }
            return self.minisig(&hasher.finish(), trusted_comment);
        };
        let secret = SecretKey::from_bytes(record).map_err(failed("use a key"))?;
        let signature = minisign::sign(None, &secret, file, Some(trusted_comment), Some(COMMENT));
        Ok(signature.map_err(failed("sign a file"))?.into_string())
    }

    /// Writes a prehashed `.minisig`: the signature of the digest, then one of that signature and the trusted comment.
    fn minisig(&self, digest: &[u8; 64], trusted_comment: &str) -> Result<String, KeyError> {
        use base64::Engine as _;
        let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let signature = self.raw(digest)?;
        let global = self.raw(&[signature.as_slice(), trusted_comment.as_bytes()].concat())?;
        let line = base64(&[b"ED".as_slice(), &self.public.id, &signature].concat());
        Ok(format!("untrusted comment: {COMMENT}\n{line}\ntrusted comment: {trusted_comment}\n{}\n", base64(&global)))
    }

    /// Takes the command of a `.signer` file for the key of the `.pub` file beside it.
    /// # Errors
    /// What reading it returns.
    pub(super) fn elsewhere(path: &std::path::Path, public: MinisignKey) -> Result<Self, KeyError> {
        Ok(Self { secret: Secret::Elsewhere(External::read(path)?), public })
    }

    fn from_record(origin: &str, mut record: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        // From here on it is a plain key, whatever protected its file.
        record[KDF].fill(0);
        let pair = pair(origin, &record)?;
        let refuse = |_| KeyError::NotAKey { origin: origin.to_owned() };
        let public: [u8; 32] = pair.public_key().as_ref().try_into().map_err(refuse)?;
        let key =
            updater_format::PublicKey::ed25519(public).map_err(|_| KeyError::NotAKey { origin: origin.to_owned() })?;
        let id = record[KEY_ID].try_into().map_err(refuse)?;
        Ok(Self { secret: Secret::Record(record), public: MinisignKey { key, id } })
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public.id_text())
    }
}

/// Returns the line of a public key, as a `.pub` file has it.
#[must_use]
pub(crate) fn public_line(public: &MinisignKey) -> String {
    use base64::Engine as _;
    let key = public.key.ed25519_bytes().copied().unwrap_or_default();
    base64::engine::general_purpose::STANDARD.encode([b"Ed".as_slice(), &public.id, &key].concat())
}

/// Tells from its base64 line whether a key is encrypted; `None` when it is no key.
pub(super) fn is_encrypted(line: &str) -> Option<bool> {
    Some(decode(line)?[KDF] != PLAIN)
}

/// Decodes the base64 line of a key; `None` when it is none, or protected in a way that nobody knows.
fn decode(line: &str) -> Option<Zeroizing<Vec<u8>>> {
    use base64::Engine as _;
    let bytes = Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(line).ok()?);
    let known = bytes.len() == RECORD && bytes.starts_with(b"Ed") && (bytes[KDF] == PLAIN || bytes[KDF] == SCRYPT);
    known.then_some(bytes)
}

/// Returns the line with the key: the first that is no comment.
pub(super) fn base64_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("untrusted comment:"))
}

fn pair(origin: &str, record: &[u8]) -> Result<Ed25519KeyPair, KeyError> {
    // Checks that the public key in the record is the seed's own.
    Ed25519KeyPair::from_seed_and_public_key(&record[SEED], &record[PUBLIC])
        .map_err(|_| KeyError::Mismatch { origin: origin.to_owned() })
}

fn failed(action: &'static str) -> impl Fn(minisign::PError) -> KeyError {
    move |source| KeyError::Minisign { action, source }
}

/// The comment of signatures of files, which nothing signs.
const COMMENT: &str = "signature of cargo updater; `minisign -V` checks it";
/// Length in bytes of a minisign secret key record: 2 + 2 + 2 + 32 + 8 + 8 + 8 + 64 + 32.
const RECORD: usize = 158;
/// Where the name of the key derivation function stands, zero for none.
const KDF: std::ops::Range<usize> = 2..4;
/// No key derivation: the record is not encrypted.
const PLAIN: [u8; 2] = [0, 0];
/// The key derivation of encrypted records.
const SCRYPT: [u8; 2] = *b"Sc";
/// Where the key id stands.
const KEY_ID: std::ops::Range<usize> = 54..62;
/// Where the Ed25519 seed stands.
const SEED: std::ops::Range<usize> = 62..94;
/// Where the Ed25519 public key stands.
const PUBLIC: std::ops::Range<usize> = 94..126;

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::SignaturePolicy;

    fn never() -> Result<Zeroizing<String>, KeyError> {
        panic!("a plain key needs no password")
    }

    #[test]
    fn metadata_signatures_verify_under_the_public_key() {
        let (signer, _) = Signer::generate("a comment", None).unwrap();
        let signature = signer.sign(b"message").unwrap();
        assert!(signer.public().key.verifies(SignaturePolicy::default(), b"message", &signature.bytes));
        assert!(!signer.public().key.verifies(SignaturePolicy::default(), b"other", &signature.bytes));
        assert_eq!(MinisignKey::parse(&signer.public_line()).unwrap(), *signer.public());
    }

    #[test]
    fn file_signatures_are_prehashed_and_verify_with_minisign() {
        let (signer, _) = Signer::generate("a comment", None).unwrap();
        let text = signer.sign_file(b"content".as_slice(), "app=hello").unwrap();
        let signature = minisign::SignatureBox::from_string(&text).unwrap();
        assert!(signature.is_prehashed());
        assert_eq!(signature.trusted_comment().unwrap(), "app=hello");
        let public = minisign::PublicKey::from_base64(&signer.public_line()).unwrap();
        let check = |content: &'static [u8]| {
            minisign::verify(&public, &signature, std::io::Cursor::new(content), true, false, false)
        };
        check(b"content").unwrap();
        assert!(check(b"contend").is_err());
    }

    #[test]
    fn signatures_of_files_that_are_put_together_here_are_minisigns() {
        let (signer, _) = Signer::generate("a comment", None).unwrap();
        let public = minisign::PublicKey::from_base64(&signer.public_line()).unwrap();
        for length in [0, 1, 127, 128, 129, 255, 256, 257, 100_000] {
            let content: Vec<u8> = (0..length).map(|i: u32| i as u8).collect();
            let mut hasher = Blake2b512::new();
            content.chunks(100).for_each(|chunk| hasher.update(chunk));
            let text = signer.minisig(&hasher.finish(), "app=hello").unwrap();
            let signature = minisign::SignatureBox::from_string(&text).unwrap();
            assert_eq!(signature.trusted_comment().unwrap(), "app=hello");
            minisign::verify(&public, &signature, std::io::Cursor::new(content), true, false, false).unwrap();
        }
    }

    #[test]
    fn the_text_of_a_key_reads_back_and_debug_hides_it() {
        let (signer, text) = Signer::generate("a comment", None).unwrap();
        let again = Signer::from_text("here", &text, never).unwrap();
        assert_eq!(again.public(), signer.public());
        let line = text.lines().nth(1).unwrap();
        assert_eq!(Signer::from_text("here", line, never).unwrap().public(), signer.public());
        let Secret::Record(record) = &signer.secret else { panic!("it is in memory") };
        let seed = updater_format::digest::encode_hex(&record[SEED]);
        assert!(!format!("{signer:?}").contains(&seed[..8]));
    }

    #[test]
    fn keys_of_stock_minisign_are_read() {
        // Made with `minisign -G -W` 0.11, whose plain keys have an empty checksum, and thrown away.
        let text = "untrusted comment: minisign encrypted secret key\n\
            RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAzdUTQ8UjfgZvx5rauYMD5S3tfdLNOTRq9ELiyz06CLjOp1Sd/7LmnSi7KlMSxR3w6GtR2ww5ZpOcX6YNxdr1fjjN6IFkdAXCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        let signer = Signer::from_text("here", text, never).unwrap();
        assert_eq!(signer.public_line(), "RWTN1RNDxSN+Bii7KlMSxR3w6GtR2ww5ZpOcX6YNxdr1fjjN6IFkdAXC");
        // Made with `minisign -G` 0.11 and the password `pw`.
        let text = "untrusted comment: minisign encrypted secret key\n\
            RWRTY0Iy6B0kGPRVR7B1v4Cb/1bhBu+Wcb5v3C1PH/qQububwN0AAAACAAAAAAAAAEAAAAAAc/nc62Ipjy5L1yGIBe7bI/8wLQAbiF037WwaflVqs5vVPy4mJNDJEKRublEgFazecv6n62FarUiSOdflz6BnWJEmlp5vNlsXVCF23fJlaOAc9+IRh8885v1VSX2wMnQuOg6YXyozk10=\n";
        let signer = Signer::from_text("here", text, || Ok("pw".to_owned().into())).unwrap();
        assert_eq!(signer.public_line(), "RWT6D8KtgJtmpFvmAJlfQYSAvF6M+EBTCcXYO+JicoWqsc4GQD3fRiTZ");
    }

    #[test]
    fn an_encrypted_key_opens_with_its_password_alone() {
        let (signer, text) = Signer::generate("a comment", Some("correct horse")).unwrap();
        let open = |password: &str| Signer::from_text("here", &text, || Ok(password.to_owned().into()));
        assert_eq!(open("correct horse").unwrap().public(), signer.public());
        assert!(matches!(open("battery staple"), Err(KeyError::WrongPassword { origin }) if origin == "here"));
        let asked = Signer::from_text("here", &text, || Err(KeyError::NoPassword { origin: "here".to_owned() }));
        assert!(matches!(asked, Err(KeyError::NoPassword { .. })));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "untrusted comment: x", "untrusted comment: x\nRWQ", "not base64 !"] {
            assert!(matches!(Signer::from_text("here", text, never), Err(KeyError::NotAKey { .. })), "{text:?}");
        }
        let (signer, _) = Signer::generate("a comment", None).unwrap();
        let Secret::Record(mut record) = signer.secret else { panic!("it is in memory") };
        record[PUBLIC][0] ^= 1;
        assert!(matches!(pair("here", &record), Err(KeyError::Mismatch { .. })));
    }
}
