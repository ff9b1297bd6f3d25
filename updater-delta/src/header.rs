//! The first bytes of every delta: what it is made from, what it makes, and how.

use crate::{ApplyError, Codec, Side};
use std::io::Read;

/// What every delta says of itself before its codec's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How the delta is made.
    pub codec: Codec,
    /// Length of the old file in bytes.
    pub old_length: u64,
    /// SHA-256 of the old file.
    pub old_sha256: [u8; 32],
    /// Length of the new file in bytes.
    pub new_length: u64,
    /// SHA-256 of the new file.
    pub new_sha256: [u8; 32],
}

impl Header {
    /// Reads a header and leaves `patch` at the codec's own bytes.
    /// # Errors
    /// [`ApplyError::NotADelta`], [`ApplyError::UnknownCodec`], [`ApplyError::Truncated`], or [`ApplyError::Read`].
    pub fn read(patch: &mut impl Read) -> Result<Self, ApplyError> {
        let magic: [u8; 8] = field(patch)?;
        if magic != MAGIC {
            return Err(ApplyError::NotADelta { got: magic });
        }
        let [length] = field(patch)?;
        let id: [u8; MAX_CODEC_ID] = field(patch)?;
        let unknown = |bytes: &[u8]| ApplyError::UnknownCodec { id: String::from_utf8_lossy(bytes).into_owned() };
        let (name, rest) = id.split_at_checked(usize::from(length)).ok_or_else(|| unknown(&id))?;
        let codec = std::str::from_utf8(name).ok().and_then(Codec::parse).ok_or_else(|| unknown(name))?;
        if rest.iter().any(|&byte| byte != 0) {
            return Err(unknown(&id));
        }
        Ok(Self {
            codec,
            old_length: u64::from_le_bytes(field(patch)?),
            old_sha256: field(patch)?,
            new_length: u64::from_le_bytes(field(patch)?),
            new_sha256: field(patch)?,
        })
    }

    /// Returns the header's bytes.
    #[cfg(feature = "encode")]
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let id = self.codec.id().as_bytes();
        let mut bytes = Vec::with_capacity(Self::LENGTH);
        bytes.extend(MAGIC);
        bytes.push(u8::try_from(id.len()).unwrap_or(u8::MAX));
        bytes.extend(id);
        bytes.resize(MAGIC.len() + 1 + MAX_CODEC_ID, 0);
        bytes.extend(self.old_length.to_le_bytes());
        bytes.extend(self.old_sha256);
        bytes.extend(self.new_length.to_le_bytes());
        bytes.extend(self.new_sha256);
        bytes
    }

    /// Length of a header in bytes.
    pub const LENGTH: usize = MAGIC.len() + 1 + MAX_CODEC_ID + 8 + 32 + 8 + 32;
}

fn field<const N: usize>(patch: &mut impl Read) -> Result<[u8; N], ApplyError> {
    let mut bytes = [0; N];
    patch.read_exact(&mut bytes).map_err(|source| match source.kind() {
        std::io::ErrorKind::UnexpectedEof => ApplyError::Truncated { at: 0 },
        _ => ApplyError::Read { side: Side::Patch, source },
    })?;
    Ok(bytes)
}

/// How every delta begins. The high bit of the first byte and the line end show a transfer that was not binary.
const MAGIC: [u8; 8] = *b"\xc3delta\r\n";
/// Bytes kept for a codec's identifier, padded with zeros: a header has one length.
const MAX_CODEC_ID: usize = 15;

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::{Header, MAGIC};
    use crate::{ApplyError, Codec};

    fn sample() -> Header {
        Header { codec: Codec::Opened1, old_length: 1, old_sha256: [2; 32], new_length: 3, new_sha256: [4; 32] }
    }

    #[test]
    fn is_read_back() {
        let bytes = sample().to_bytes();
        assert_eq!(bytes.len(), Header::LENGTH);
        assert_eq!(Header::read(&mut &bytes[..]).unwrap(), sample());
    }

    #[test]
    fn refuses_what_is_not_a_header() {
        let good = sample().to_bytes();
        let mut other = good.clone();
        other[0] = b'B';
        assert!(matches!(Header::read(&mut &other[..]), Err(ApplyError::NotADelta { got }) if got[0] == b'B'));
        let mut other = good.clone();
        other[MAGIC.len() + 1] = b'x';
        assert!(matches!(Header::read(&mut &other[..]), Err(ApplyError::UnknownCodec { id }) if id == "xpened-1"));
        let mut other = good.clone();
        other[MAGIC.len()] = 200;
        assert!(matches!(Header::read(&mut &other[..]), Err(ApplyError::UnknownCodec { .. })));
        for length in 0..good.len() {
            assert!(matches!(Header::read(&mut &good[..length]), Err(ApplyError::Truncated { at: 0 })), "{length}");
        }
    }
}
