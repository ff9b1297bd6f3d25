//! Digests: the only place where a hash is computed.

use crate::error::FormatError;
use sha2::Digest as _;

/// A SHA-256 digest. Compared in ordinary time: digests here are public.
///
/// ```
/// use updater_format::Sha256;
///
/// let digest = Sha256::of(b"hello");
/// assert_eq!(Sha256::parse(&digest.to_string()).unwrap(), digest);
/// assert!(Sha256::parse("ABC").is_err(), "64 small hexadecimal digits");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Computes the digest of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Wraps 32 bytes that are a digest already.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses 64 lower-case hexadecimal digits.
    /// # Errors
    /// [`FormatError::Invalid`] for any other text; upper case is refused so that a digest has one spelling.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let refuse = || FormatError::invalid("sha256", text, "it must be 64 lower-case hexadecimal digits");
        let bytes = decode_hex(text).ok_or_else(refuse)?;
        Ok(Self(bytes.try_into().map_err(|_| refuse())?))
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl std::str::FromStr for Sha256 {
    type Err = FormatError;
    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::parse(text)
    }
}

impl serde::Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Computes a SHA-256 digest over bytes that arrive in pieces, and counts them.
#[derive(Clone, Default)]
pub struct Sha256Hasher {
    inner: sha2::Sha256,
    length: u64,
}

impl Sha256Hasher {
    /// Starts with nothing hashed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Returns how many bytes were added.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the digest of everything added.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        Sha256(self.inner.finalize().into())
    }
}

impl std::fmt::Debug for Sha256Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sha256Hasher").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Hashes and counts everything read through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Sha256Hasher,
}

impl<R: std::io::Read> HashingReader<R> {
    /// Wraps a reader from which nothing was read yet.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256Hasher::new() }
    }

    /// Returns the length in bytes and the digest of what was read.
    pub fn finish(self) -> (u64, Sha256) {
        (self.hasher.length(), self.hasher.finish())
    }
}

impl<R: std::io::Read> std::io::Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

/// Hashes and counts everything written through it.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Sha256Hasher,
}

impl<W: std::io::Write> HashingWriter<W> {
    /// Wraps a writer to which nothing was written yet.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256Hasher::new() }
    }

    /// Returns the writer, and the length in bytes and digest of what was written.
    pub fn finish(self) -> (W, u64, Sha256) {
        (self.inner, self.hasher.length(), self.hasher.finish())
    }
}

impl<W: std::io::Write> std::io::Write for HashingWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Computes SHA-512, which foreign TUF repositories may use beside or instead of SHA-256.
pub(crate) fn sha512(bytes: &[u8]) -> [u8; 64] {
    sha2::Sha512::digest(bytes).into()
}

/// Writes bytes as lower-case hexadecimal digits.
#[must_use]
pub fn encode_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

/// Reads lower-case hexadecimal digits; `None` for anything else, upper case included.
#[must_use]
pub fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_and_spelling() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256::of(b"").to_string(), empty);
        assert_eq!(Sha256::parse(empty).unwrap(), Sha256::of(b""));
        assert!(Sha256::parse(&empty.to_uppercase()).is_err());
        assert!(Sha256::parse(&empty[1..]).is_err());
    }

    #[test]
    fn pieces_equal_the_whole() {
        let mut hasher = Sha256Hasher::new();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.length(), 3);
        assert_eq!(hasher.finish(), Sha256::of(b"abc"));
    }
}
