//! Who takes a release that is not for everybody yet. Decided by each client for itself: nobody is asked or counted.

use crate::app::AppId;
use crate::component::ComponentName;
use crate::digest::Sha256Hasher;
use crate::error::FormatError;
use crate::role::Percent;
use crate::version::ReleaseVersion;

/// The identity of an install for rollouts: 16 random bytes that never leave the computer.
///
/// ```
/// use updater_format::InstallId;
///
/// let (app, version) = ("hello".parse().unwrap(), "1.2.0".parse().unwrap());
/// let id = InstallId::from_bytes([7; 16]);
/// // The same in every check, and another one for another version: nobody is always among the first.
/// assert_eq!(id.bucket(&app, &version), id.bucket(&app, &version));
/// assert!(id.bucket(&app, &version) < 100);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstallId([u8; 16]);

impl InstallId {
    /// Takes 16 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads the 32 hexadecimal digits of a kept id, with or without a line feed.
    /// # Errors
    /// [`FormatError::Invalid`] for anything else.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let refuse = || FormatError::invalid("install id", text, "it must be 32 lower-case hexadecimal digits");
        let digits = text.strip_suffix('\n').unwrap_or(text);
        crate::digest::decode_hex(digits).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(refuse)
    }

    /// Returns the 32 hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        crate::digest::encode_hex(&self.0)
    }

    /// Returns the bucket of this install for a release, 0 to 99: the SHA-256 of the app, a zero byte, the version, a
    /// zero byte and the id, read as a big-endian number, modulo 100.
    ///
    /// The version takes part, so that it is not always the same installs that go first.
    #[must_use]
    pub fn bucket(self, app: &AppId, version: &ReleaseVersion) -> u8 {
        self.bucket_of(&[app.as_str(), &version.to_string()])
    }

    fn bucket_of(self, parts: &[&str]) -> u8 {
        let mut hasher = Sha256Hasher::new();
        for part in parts {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        hasher.update(&self.0);
        let remainder =
            hasher.finish().as_bytes().iter().fold(0u32, |rest, byte| (rest * 256 + u32::from(*byte)) % 100);
        u8::try_from(remainder).unwrap_or(u8::MAX)
    }

    /// Returns the bucket of this install for a release of a component: as [`InstallId::bucket`], with the name of the
    /// component and a zero byte after the app.
    #[must_use]
    pub fn component_bucket(self, app: &AppId, component: &ComponentName, version: &ReleaseVersion) -> u8 {
        self.bucket_of(&[app.as_str(), component.as_str(), &version.to_string()])
    }

    /// Tells whether this install is among the first `percent` of a release. Who is among 10 % is among 50 %, too.
    #[must_use]
    pub fn is_among(self, percent: Percent, app: &AppId, version: &ReleaseVersion) -> bool {
        self.bucket(app, version) < percent.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, proptest};

    fn subject() -> (AppId, ReleaseVersion) {
        ("hello".parse().unwrap(), "2.4.1".parse().unwrap())
    }

    #[test]
    fn the_bucket_is_fixed() {
        // Computed with Python: int.from_bytes(sha256(b"hello\0" b"2.4.1\0" + bytes(range(16))).digest(), "big") % 100
        let id = InstallId::from_bytes(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let (app, version) = subject();
        assert_eq!(id.bucket(&app, &version), 24);
        assert_eq!(id.to_hex(), "000102030405060708090a0b0c0d0e0f");
        assert_eq!(InstallId::parse(&format!("{}\n", id.to_hex())).unwrap(), id);
        for bad in ["", "00", "000102030405060708090A0B0C0D0E0F", "000102030405060708090a0b0c0d0e0f\n\n"] {
            assert!(matches!(InstallId::parse(bad), Err(FormatError::Invalid { what: "install id", .. })), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_rollout_only_grows(bytes in any::<[u8; 16]>(), low in 0u64..=100, high in 0u64..=100) {
            let (id, (app, version)) = (InstallId::from_bytes(bytes), subject());
            let among = |percent| id.is_among(Percent::new(percent).unwrap(), &app, &version);
            prop_assert!(among(100) && !among(0));
            prop_assert!(low > high || !among(low) || among(high));
        }
    }
}
