//! Finds minisign secret keys in text of any kind: key files, settings of CI, shell scripts.

use base64::Engine as _;
use zeroize::Zeroizing;

/// What was found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret {
    /// A key that whoever reads the text can use, with its public half.
    Plain([u8; 32]),
    /// A key that is protected by a password.
    Encrypted,
}

/// Returns the secret keys in a text, each once.
pub(super) fn find(text: &[u8]) -> Vec<Secret> {
    let mut found = in_words(text);
    // Some tools keep the whole file once more in base64.
    for word in words(text).filter(|word| word.starts_with(COMMENT_TWICE)) {
        let inner = base64::engine::general_purpose::STANDARD_NO_PAD.decode(word).unwrap_or_default();
        found.extend(in_words(&inner));
    }
    found.dedup();
    found
}

fn in_words(text: &[u8]) -> Vec<Secret> {
    let keys = words(text).filter(|word| word.len() >= RECORD_DIGITS);
    let keys = keys.filter_map(|word| std::str::from_utf8(&word[..RECORD_DIGITS]).ok());
    keys.filter_map(secret).collect()
}

/// Reads a run of digits as a minisign secret key record.
fn secret(word: &str) -> Option<Secret> {
    let text = Zeroizing::new(format!("{word}="));
    let record = Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(&*text).ok()?);
    match record.get(..6)? {
        b"EdScB2" => Some(Secret::Encrypted),
        b"Ed\0\0B2" => record.get(PUBLIC)?.try_into().ok().map(Secret::Plain),
        _ => None,
    }
}

/// Cuts a text into runs of base64 digits.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.split(move |byte| !digit(byte)).filter(|word| !word.is_empty())
}

/// Where the public key stands in a record that is not encrypted.
const PUBLIC: std::ops::Range<usize> = 94..126;
/// Digits of the 158 bytes of a minisign secret key; one `=` follows.
const RECORD_DIGITS: usize = 211;
/// `untrusted comment: ` in base64.
const COMMENT_TWICE: &[u8] = b"dW50cnVzdGVkIGNvbW1lbnQ6";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Signer;

    #[test]
    fn keys_are_found_wherever_they_stand_and_public_ones_are_not() {
        let (signer, text) = Signer::generate("hello root secret key", None).unwrap();
        let public = *signer.public().key.ed25519_bytes().unwrap();
        let line = text.lines().nth(1).unwrap();
        let twice = base64::engine::general_purpose::STANDARD.encode(text.as_bytes());
        for text in [
            text.to_string(),
            line.to_owned(),
            format!("UPDATER_ONLINE_KEY='{line}'\n"),
            format!("  key: {line} # do not share\r\n"),
            format!("TAURI_SIGNING_PRIVATE_KEY={twice}"),
        ] {
            assert_eq!(find(text.as_bytes()), [Secret::Plain(public)], "{text}");
        }
        let (_, encrypted) = Signer::generate("", Some("pw")).unwrap();
        assert_eq!(find(encrypted.as_bytes()), [Secret::Encrypted]);
        let long = "A".repeat(300);
        for text in ["", &signer.public_line(), &line[1..], &long] {
            assert_eq!(find(text.as_bytes()), [], "{text}");
        }
    }
}
