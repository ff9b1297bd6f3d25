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
    let mut found = records(text);
    // Some tools keep the whole file once more in base64.
    for digits in places(text, COMMENT_TWICE).map(digits) {
        let whole = digits.len() / 4 * 4;
        let inner = base64::engine::general_purpose::STANDARD.decode(&digits[..whole]).unwrap_or_default();
        found.extend(records(&Zeroizing::new(inner)));
    }
    found.dedup();
    found
}

/// Finds records wherever they begin: what stands before one may be a digit too, as the `n` of an escaped line feed.
fn records(text: &[u8]) -> Vec<Secret> {
    let begins = [ENCRYPTED, PLAIN].into_iter().flat_map(|prefix| places(text, prefix));
    let words = begins.filter_map(|rest| std::str::from_utf8(rest.get(..RECORD_DIGITS)?).ok());
    words.filter_map(secret).collect()
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

/// Returns the rest of a text from every place on where it goes on with `prefix`.
fn places<'a>(text: &'a [u8], prefix: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    (0..text.len()).map(|start| &text[start..]).filter(move |rest| rest.starts_with(prefix))
}

/// Returns the base64 digits with which a text begins.
fn digits(text: &[u8]) -> &[u8] {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    &text[..text.iter().position(|byte| !digit(byte)).unwrap_or(text.len())]
}

/// `EdScB2` in base64: how a record begins that a password protects.
const ENCRYPTED: &[u8] = b"RWRTY0Iy";
/// `Ed`, two zeros and `B2` in base64: how one begins that nothing protects.
const PLAIN: &[u8] = b"RWQAAEIy";
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
            format!("x{twice}"),
            // As in a pack of `keys export --with-secrets`.
            serde_json::to_string(&*text).unwrap(),
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
