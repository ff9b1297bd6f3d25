//! The names of the ways in which a delta can be made.

use std::fmt;

/// A way of making deltas. What a codec's bytes mean never changes: a better codec gets a new identifier.
///
/// ```
/// use updater_delta::Codec;
///
/// assert_eq!(Codec::parse("refs-1"), Some(Codec::Refs1));
/// assert_eq!(Codec::parse("from-the-future-1"), None, "such a patch is passed over");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// `refs-1`: predicts where the references of a program point after it was built again.
    Refs1,
    /// `opened-1`: opens the deflate streams of both files and holds a delta of another codec between what is in them.
    Opened1,
}

/// What a release announces, and a patch is said to need, when one delta makes several files. No delta bears this name: which files are put
/// behind each other is said by the patch around it.
pub const JOINT: &str = "joint-1";

impl Codec {
    /// The codecs that this build applies, best first. A release lists them so that its updates are made for it.
    pub const SUPPORTED: &'static [Self] = &[Self::Refs1, Self::Opened1];

    /// Returns the identifier that stands in signed metadata and in the delta's header.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Refs1 => "refs-1",
            Self::Opened1 => "opened-1",
        }
    }

    /// Returns the codec with this identifier, or `None` for one that this build does not know: ignore such a delta.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        Self::SUPPORTED.iter().copied().find(|codec| codec.id() == id)
    }

    /// Returns the identifiers of [`Codec::SUPPORTED`] and [`JOINT`], read from a text that stands in every program that calls this.
    ///
    /// A publisher finds that text with [`Codec::announced_in`], so that patches are made for the runtime that will apply them.
    pub fn announced() -> impl Iterator<Item = &'static str> {
        // The compiler must not see through this: the text has to be in the program.
        list(std::hint::black_box(ANNOUNCEMENT)).into_iter().flat_map(|list| list.split(','))
    }

    /// Returns the identifiers that a program announces, those of a newer build included; `None` if it announces nothing. Where several
    /// announcements stand in it only what all of them name counts.
    #[must_use]
    pub fn announced_in(program: &[u8]) -> Option<Vec<String>> {
        let prefix = &ANNOUNCEMENT.as_bytes()[..PREFIX];
        let mut common: Option<Vec<String>> = None;
        let mut rest = program;
        while let Some(at) = rest.iter().position(|&byte| byte == prefix[0]) {
            rest = &rest[at..];
            let window = &rest[..rest.len().min(MOST_ANNOUNCED)];
            let end = window.starts_with(prefix).then(|| window.iter().position(|&byte| byte == b']')).flatten();
            if let Some(list) = end.and_then(|end| std::str::from_utf8(&window[..=end]).ok()).and_then(list) {
                let ids = list.split(',').map(str::to_owned).collect::<Vec<_>>();
                common = Some(match common {
                    None => ids,
                    Some(before) => before.into_iter().filter(|id| ids.contains(id)).collect(),
                });
            }
            rest = &rest[1..];
        }
        common
    }
}

/// Returns the identifiers of an announcement.
fn list(announcement: &str) -> Option<&str> {
    let list = announcement.get(PREFIX..)?.strip_suffix(']')?;
    let is_id = |id: &str| {
        (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    list.split(',').all(is_id).then_some(list)
}

/// What stands in programs. The text between the brackets is that of [`Codec::announced`]; a test holds it there.
static ANNOUNCEMENT: &str = "updater delta codecs 1 [refs-1,opened-1,joint-1]";
/// Bytes before the first identifier.
const PREFIX: usize = "updater delta codecs 1 [".len();
/// Bytes in which an announcement ends: room for a dozen identifiers.
const MOST_ANNOUNCED: usize = 512;

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
        assert_eq!(Codec::parse("bsdiff-1"), None);
        assert_eq!(Codec::parse(""), None);
    }

    #[test]
    fn what_is_supported_is_announced() {
        let supported: Vec<_> = Codec::SUPPORTED.iter().map(|codec| codec.id()).chain([super::JOINT]).collect();
        assert_eq!(Codec::announced().collect::<Vec<_>>(), supported);
        let program = [b"\x7fELF uu", super::ANNOUNCEMENT.as_bytes(), b"u"].concat();
        assert_eq!(Codec::announced_in(&program).unwrap(), supported);
    }

    #[test]
    fn announcements_of_other_builds_are_understood() {
        let found = |program: &str| Codec::announced_in(program.as_bytes());
        assert_eq!(found("updater"), None);
        assert_eq!(found("updater delta codecs 1 [refs-9,x]").unwrap(), ["refs-9", "x"]);
        assert_eq!(found("updater delta codecs 1 [a,b] updater delta codecs 1 [b,c]").unwrap(), ["b"]);
        for none in ["updater delta codecs 1 [", "updater delta codecs 1 []", "updater delta codecs 1 [A]"] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
