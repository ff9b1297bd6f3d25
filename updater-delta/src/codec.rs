//! The names of the ways in which a delta can be made.

use std::fmt;

/// A way of making deltas. What a codec's bytes mean never changes: a better codec gets a new identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// `refs-1`: predicts where the references of a program point after it was built again.
    Refs1,
    /// `bsdiff-1`: the single stream of the bsdiff crate 0.2 (control, differences and insertions interleaved) inside xz.
    Bsdiff1,
    /// `opened-1`: opens the deflate streams of both files and holds a delta of another codec between what is in them.
    Opened1,
}

impl Codec {
    /// The codecs that this build applies, best first. A release lists them so that its updates are made for it.
    pub const SUPPORTED: &'static [Self] = &[Self::Refs1, Self::Bsdiff1, Self::Opened1];

    /// Returns the identifier that stands in signed metadata and in the delta's header.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Refs1 => "refs-1",
            Self::Bsdiff1 => "bsdiff-1",
            Self::Opened1 => "opened-1",
        }
    }

    /// Returns the codec with this identifier, or `None` for one that this build does not know: ignore such a delta.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        Self::SUPPORTED.iter().copied().find(|codec| codec.id() == id)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::Codec;

    #[test]
    fn every_identifier_is_read_back() {
        for &codec in Codec::SUPPORTED {
            assert_eq!(Codec::parse(codec.id()), Some(codec));
        }
        assert_eq!(Codec::parse("bsdiff-2"), None);
        assert_eq!(Codec::parse(""), None);
    }
}
