//! The version of a release: Cargo's own, without build metadata.

use crate::error::FormatError;

/// A semantic version as Cargo has it, at most 64 characters. `+build` is refused: it does not take part in the order,
/// so two different releases would compare equal, and `+` breaks in object names on S3.
///
/// ```
/// use updater_format::ReleaseVersion;
///
/// let version = |text| ReleaseVersion::parse(text);
/// assert!(version("1.10.0").unwrap() > version("1.9.0").unwrap());
/// assert!(version("1.0.0").unwrap() > version("1.0.0-beta.1").unwrap());
/// assert!(version("1.0.0+build").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseVersion(semver::Version);

impl ReleaseVersion {
    /// Parses a version.
    /// # Errors
    /// [`FormatError::Invalid`] when it is not semantic, longer than 64 characters or carries build metadata.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let what = "version";
        if text.len() > MAX_VERSION {
            return Err(FormatError::invalid(what, text, "it must have at most 64 characters"));
        }
        let version = semver::Version::parse(text).map_err(|_| {
            FormatError::invalid(what, text, "it must be a semantic version, MAJOR.MINOR.PATCH with an optional -PRE")
        })?;
        if !version.build.is_empty() {
            return Err(FormatError::invalid(
                what,
                text,
                "build metadata (+...) has no order; raise the version instead",
            ));
        }
        Ok(Self(version))
    }

    /// Returns the version below every other: that of nothing at all.
    #[must_use]
    pub fn lowest() -> Self {
        Self(semver::Version { pre: semver::Prerelease::new("0").unwrap_or_default(), ..semver::Version::new(0, 0, 0) })
    }

    /// Tells whether this is a pre-release (`1.0.0-rc.1`).
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }
}

impl std::fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for ReleaseVersion {
    type Err = FormatError;
    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::parse(text)
    }
}

impl serde::Serialize for ReleaseVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ReleaseVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Longest version, in characters.
const MAX_VERSION: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_refusals() {
        let v = |text: &str| ReleaseVersion::parse(text).unwrap();
        assert!(v("1.0.0-rc.1") < v("1.0.0") && v("1.9.0") < v("1.10.0"));
        assert!(v("1.0.0-rc.1").is_prerelease() && !v("1.0.0").is_prerelease());
        for bad in ["1.0", "1.0.0+5", "v1.0.0", "1.0.0/../..", ""] {
            assert!(ReleaseVersion::parse(bad).is_err(), "{bad:?}");
        }
    }
}
