//! minisign's public key text, read without its secret half: `untrusted comment` lines and 56 base64 characters.

use crate::base64;
use crate::error::FormatError;
use crate::key::PublicKey;

/// A minisign public key: the Ed25519 key and the random id that minisign shows to people.
///
/// ```
/// use updater_format::MinisignKey;
///
/// let text = "untrusted comment: minisign public key 7DF3CBE5F1B6EB5A\n\
///             RWRa0ip38kSaMpz1ih/xhXBDzxo9cSdI0NisdMP5QQDuTuE8ConkeOj/\n";
/// // Which the first line says is not looked at: the id is in the key.
/// assert_eq!(MinisignKey::parse(text).unwrap().id_text().len(), 16);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinisignKey {
    /// The key itself.
    pub key: PublicKey,
    /// minisign's key id, 8 bytes in the order of the file.
    pub id: [u8; 8],
}

impl MinisignKey {
    /// Parses the base64 line of a minisign public key, or a whole `.pub` file with its comment line.
    ///
    /// The 42 decoded bytes are `Ed` (2), the key id (8) and the Ed25519 public key (32).
    /// # Errors
    /// [`FormatError::Invalid`] when it is anything else, and for small-order keys.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("untrusted comment:"));
        let line = line.unwrap_or_default();
        let refuse = || {
            // Its beginning alone: it may be a secret key, put here by mistake.
            let shown: String = line.chars().take(SHOWN).collect();
            FormatError::invalid(
                "minisign public key",
                &shown,
                "it must be the line of 56 characters that begins with RW",
            )
        };
        let bytes = base64::decode(line).ok_or_else(refuse)?;
        let (algorithm, rest) = bytes.split_first_chunk::<2>().ok_or_else(refuse)?;
        let (id, public) = rest.split_first_chunk::<8>().ok_or_else(refuse)?;
        let public: [u8; 32] = public.try_into().map_err(|_| refuse())?;
        if algorithm != b"Ed" {
            return Err(refuse());
        }
        Ok(Self { key: PublicKey::ed25519(public)?, id: *id })
    }

    /// Returns the key id as minisign prints it: 16 upper-case hexadecimal digits, most significant byte first.
    #[must_use]
    pub fn id_text(&self) -> String {
        format!("{:016X}", u64::from_le_bytes(self.id))
    }
}

/// How much of what is no public key an error repeats, in characters: the secret part of a secret key begins later.
const SHOWN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    /// The public key of minisign's own releases, as its manual prints it.
    const JEDISCT1: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn a_real_key_with_and_without_its_comment() {
        let key = MinisignKey::parse(JEDISCT1).unwrap();
        assert_eq!(key.id_text(), "E7620F1842B4E81F");
        let file = format!("untrusted comment: minisign public key E7620F1842B4E81F\n{JEDISCT1}\n");
        assert_eq!(MinisignKey::parse(&file).unwrap(), key);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "RWQ", "!!!!", &JEDISCT1[4..], &JEDISCT1.replace("RWQ", "RUQ"), &format!("{JEDISCT1}AAAA")] {
            assert!(matches!(MinisignKey::parse(bad), Err(FormatError::Invalid { .. })), "{bad:?}");
        }
        let secret = format!("RWQAAEIy{}", "s".repeat(204));
        let error = MinisignKey::parse(&secret).unwrap_err().to_string();
        assert!(error.contains("RWQAAEIy") && !error.contains("sssss"), "{error}");
    }
}
