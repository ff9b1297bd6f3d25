//! Key packs: the public keys of one machine, each with the proof that its secret half is there, in one file to be carried.
//! `docs/format/keypack.md` describes it.

use super::error::KeyError;
use super::file::KeyFile;
use super::prompt::Passwords;
use super::signer::{base64_line, is_encrypted};
use std::path::Path;
use updater_format::digest::{decode_hex, encode_hex};
use updater_format::{AppId, MinisignKey, SignaturePolicy};
use zeroize::Zeroizing;

/// The keys of one machine.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPack {
    format: u32,
    /// The app.
    pub app: String,
    /// The keys.
    pub keys: Vec<PackedKey>,
}

/// One key of a pack.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedKey {
    /// The name of its file, which is as a rule the role's.
    pub name: String,
    /// The public key, as a line of base64.
    pub public: String,
    /// The key's signature of what this pack says of it, in hexadecimal digits.
    pub proof: String,
    /// The text of the secret key's file; absent unless it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
}

/// The text of a secret key's file, wiped when dropped.
#[derive(Clone)]
pub struct SecretText(pub(super) Zeroizing<String>);

impl serde::Serialize for SecretText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// Whether a pack has the secret halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// Public keys and proofs alone.
    LeftOut,
    /// All: whoever reads the pack has the keys, up to their passwords.
    Included,
}

impl KeyPack {
    /// Packs keys that are unlocked for it.
    /// # Errors
    /// [`KeyError::NoSecret`] for a key whose secret half is not here; what unlocking and signing return.
    pub fn of(app: &AppId, files: &[KeyFile], passwords: &mut Passwords, secrets: Secrets) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for file in files {
            let missing = || KeyError::NoSecret { name: file.name.clone() };
            let signer = file.unlock(passwords)?.ok_or_else(missing)?;
            let public = file.public_line();
            let proof = signer.sign(&statement(app.as_str(), &file.name, &public))?;
            let secret = match (secrets, &file.secret) {
                (Secrets::Included, Some(_)) if file.is_external() => return Err(missing()),
                (Secrets::Included, Some(path)) => {
                    let io = |source| KeyError::Io { action: "read", path: path.clone(), source };
                    Some(SecretText(Zeroizing::new(std::fs::read_to_string(path).map_err(io)?)))
                }
                _ => None,
            };
            keys.push(PackedKey { name: file.name.clone(), public, proof: encode_hex(&proof.bytes), secret });
        }
        Ok(Self { format: FORMAT, app: app.as_str().to_owned(), keys })
    }

    /// Returns the text of the pack.
    /// # Errors
    /// [`KeyError::Pack`], which plain data cannot give.
    pub fn to_text(&self) -> Result<Zeroizing<String>, KeyError> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| KeyError::Pack { path: "the pack".into(), rule: error.to_string() })?;
        Ok(Zeroizing::new(text + "\n"))
    }

    /// Reads a pack and checks every proof in it.
    /// # Errors
    /// [`KeyError::Pack`] for what is none, is of another app, or has a key that nobody has proved to have.
    pub fn read(
        path: &Path,
        text: &str,
        app: &AppId,
    ) -> Result<Vec<(String, MinisignKey, Option<SecretText>)>, KeyError> {
        let refuse = |rule: String| KeyError::Pack { path: path.to_owned(), rule };
        // The words of the parser could repeat what stands there.
        let pack: Self = serde_json::from_str(text).map_err(|error| refuse(format!("line {}", error.line())))?;
        if pack.format != FORMAT {
            return Err(refuse(format!("format {} is newer than this program", pack.format)));
        }
        if pack.app != app.as_str() {
            return Err(refuse(format!("it is of the app {}", pack.app.escape_debug())));
        }
        let mut keys = Vec::new();
        for key in pack.keys {
            if !is_file_name(&key.name) {
                return Err(refuse(format!("{} is no name of a key", key.name.escape_debug())));
            }
            let public = MinisignKey::parse(&key.public)
                .map_err(|source| refuse(format!("the public key of {}: {source}", key.name)))?;
            let proof = decode_hex(&key.proof).unwrap_or_default();
            let statement = statement(&pack.app, &key.name, &key.public);
            if !public.key.verifies(SignaturePolicy::default(), &statement, &proof) {
                return Err(refuse(format!("nothing proves that the secret half of {} was there", key.name)));
            }
            keys.push((key.name, public, key.secret));
        }
        Ok(keys)
    }
}

impl SecretText {
    /// Tells whether it needs a password; `None` when it is no key.
    #[must_use]
    pub fn is_encrypted(&self) -> Option<bool> {
        is_encrypted(base64_line(&self.0)?)
    }

    /// Returns the text, for a file that its owner alone can read.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText")
    }
}

/// What a key signs to prove that it is there. It can be taken for nothing else that a key signs: metadata begins with a
/// brace, and what is prehashed is 64 bytes long.
fn statement(app: &str, name: &str, public: &str) -> Vec<u8> {
    format!("cargo updater key pack {FORMAT}\napp={app}\nname={name}\npublic={public}\nthis key is held by whoever made this pack\n")
        .into_bytes()
}

/// Refuses names that lead out of the folder, and hidden ones.
fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(plain)
}

/// The version of the format.
const FORMAT: u32 = 1;
/// Bytes of the name of a key.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Prompts;
    use crate::keys::{KeyFolder, KeyRole, Protection};

    #[test]
    fn a_pack_proves_its_keys_and_hides_their_secrets() {
        let temp = tempfile::tempdir().unwrap();
        let folder = KeyFolder::at(temp.path().join("keys"));
        let app = AppId::parse("hello").unwrap();
        let root = folder.create(&app, &KeyRole::Root, &Protection::Plain).unwrap();
        let beta = folder.create(&app, &KeyRole::parse("beta").unwrap(), &Protection::Plain).unwrap();
        let mut passwords = Passwords::none(Prompts::Never);
        let files = folder.list().unwrap();
        let text = KeyPack::of(&app, &files, &mut passwords, Secrets::LeftOut).unwrap().to_text().unwrap();
        let secret = std::fs::read_to_string(folder.secret_path(&KeyRole::Root)).unwrap();
        assert!(!text.contains(secret.lines().nth(1).unwrap()));
        let read = |text: &str, app: &AppId| KeyPack::read(Path::new("pack"), text, app);
        let keys = read(&text, &app).unwrap();
        assert_eq!(keys.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["beta", "root"]);
        assert_eq!((&keys[1].1, &keys[0].1), (root.public(), beta.public()));

        let full = KeyPack::of(&app, &files, &mut passwords, Secrets::Included).unwrap();
        assert!(full.to_text().unwrap().contains(secret.lines().nth(1).unwrap()));
        assert!(!format!("{:?}", full.keys[1].secret).contains(secret.lines().nth(1).unwrap()));

        let refused = |text: &str, app: &AppId, why: &str| match read(text, app) {
            Err(KeyError::Pack { rule, .. }) => assert!(rule.contains(why), "{rule}"),
            other => panic!("{why}: {:?}", other.map(drop)),
        };
        refused(&text, &AppId::parse("other").unwrap(), "it is of the app hello");
        refused(&text.replace("\"beta\"", "\"gamma\""), &app, "nothing proves");
        refused(&text.replace(&root.public_line(), &beta.public_line()), &app, "nothing proves");
        refused(&text.replace("\"beta\"", "\"../x\""), &app, "is no name of a key");
        refused(&text.replace("\"format\": 1", "\"format\": 2"), &app, "newer");
        refused("{}", &app, "line 1");
        std::fs::remove_file(folder.secret_path(&KeyRole::Root)).unwrap();
        let files = folder.list().unwrap();
        let missing = KeyPack::of(&app, &files, &mut passwords, Secrets::LeftOut);
        assert!(matches!(missing, Err(KeyError::NoSecret { name }) if name == "root"));
    }
}
