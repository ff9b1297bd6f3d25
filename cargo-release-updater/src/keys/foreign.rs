//! Keys that other tools made: minisign's own, and Tauri's, which are minisign files wrapped in base64 once more.

use super::error::KeyError;
use super::pack::SecretText;
use super::prompt::Passwords;
use super::signer::{base64_line, is_encrypted};
use std::path::Path;
use updater_format::MinisignKey;
use zeroize::Zeroizing;

/// A key that another tool made.
#[derive(Debug)]
pub struct Foreign {
    /// The public key.
    pub public: MinisignKey,
    /// The text of its secret key's file, when that was given.
    pub secret: Option<SecretText>,
}

impl Foreign {
    /// Reads a key file of either half. A secret one is unlocked: only it can say what its public half is.
    /// # Errors
    /// [`KeyError::NotAKey`] for anything else; what unlocking returns.
    pub fn read(path: &Path, text: &str, passwords: &mut Passwords) -> Result<Self, KeyError> {
        let unwrapped = unwrap(text);
        let text = unwrapped.as_ref().map_or(text, |text| text.as_str());
        if base64_line(text).and_then(is_encrypted).is_some() {
            let signer = passwords.open(&path.display().to_string(), text)?;
            let secret = Some(SecretText(Zeroizing::new(text.to_owned())));
            return Ok(Self { public: signer.public().clone(), secret });
        }
        let public = MinisignKey::parse(text);
        let public = public.map_err(|_| KeyError::NotAKey { origin: path.display().to_string() })?;
        Ok(Self { public, secret: None })
    }
}

/// Takes the wrapping off; `None` where there is none.
fn unwrap(text: &str) -> Option<Zeroizing<String>> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    let text = Zeroizing::new(String::from_utf8(bytes).ok()?);
    text.starts_with("untrusted comment:").then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Prompts;
    use crate::keys::Signer;
    use base64::Engine as _;

    #[test]
    fn both_halves_are_read_bare_and_wrapped() {
        let (signer, secret) = Signer::generate("x", Some("a password")).unwrap();
        let public = format!("untrusted comment: minisign public key\n{}\n", signer.public_line());
        let wrap = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let mut passwords = Passwords::known("a password".to_owned().into());
        let path = Path::new("key");
        for (text, has_secret) in
            [(secret.to_string(), true), (wrap(&secret), true), (public.clone(), false), (wrap(&public) + "\n", false)]
        {
            let read = Foreign::read(path, &text, &mut passwords).unwrap();
            assert_eq!((&read.public, read.secret.is_some()), (signer.public(), has_secret));
            assert!(read.secret.is_none_or(|read| read.as_str() == secret.as_str()));
        }
        for text in ["", "hello", "aGVsbG8="] {
            let refused = Foreign::read(path, text, &mut Passwords::none(Prompts::Never));
            assert!(matches!(refused, Err(KeyError::NotAKey { .. })), "{text:?}");
        }
    }
}
