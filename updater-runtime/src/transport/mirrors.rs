//! Where a repository is read: one or more places that hold the same files.

use super::{FetchError, Origin, Url};
use updater_format::{ReleaseVersion, Sha256, TargetName};

/// One place that holds the whole repository. Its two halves may lie on different servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    metadata: Url,
    targets: Url,
    layout: TargetLayout,
}

/// How the files of a release are named below the URL of the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TargetLayout {
    /// `<sha256>.<name>`: a name never changes its content, so every cache may keep it for ever.
    #[default]
    Hashed,
    /// `<name>`.
    Plain,
    /// `v<version>/<name>`, as the release downloads of GitHub have it.
    PerVersion,
}

impl Mirror {
    /// Makes a mirror with `metadata/` and `targets/` below one URL.
    #[must_use]
    pub fn new(base: &Url) -> Self {
        Self { metadata: base.join("metadata/"), targets: base.join("targets/"), layout: TargetLayout::Hashed }
    }

    /// Parses the base URL of a mirror.
    /// # Errors
    /// [`FetchError::Url`] when it is not a URL that this updater talks to.
    pub fn parse(base: &str) -> Result<Self, FetchError> {
        Ok(Self::new(&Url::parse(base)?))
    }

    /// Makes a mirror from the two URLs of its halves.
    #[must_use]
    pub fn from_parts(metadata: Url, targets: Url, layout: TargetLayout) -> Self {
        Self { metadata, targets, layout }
    }

    /// Says how the files of a release are named.
    #[must_use]
    pub fn with_layout(self, layout: TargetLayout) -> Self {
        Self { layout, ..self }
    }

    /// Tells whether this mirror is a folder of this computer, for which no network is needed.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.metadata.is_file() && self.targets.is_file()
    }

    /// Returns a URL of this mirror that leads to another computer, if there is one.
    #[must_use]
    pub fn remote_url(&self) -> Option<&Url> {
        [&self.metadata, &self.targets].into_iter().find(|url| !url.is_file() && !url.is_loopback())
    }

    /// Returns the URL of a metadata file, for example `timestamp.json`.
    #[must_use]
    pub fn metadata_url(&self, file: &str) -> Url {
        self.metadata.join(file)
    }

    /// Returns the URL of a target of a release.
    #[must_use]
    pub fn target_url(&self, name: &TargetName, sha256: &Sha256, version: &ReleaseVersion) -> Url {
        match self.layout {
            TargetLayout::Hashed => self.targets.join(&format!("{sha256}.{name}")),
            TargetLayout::Plain => self.targets.join(name.as_str()),
            TargetLayout::PerVersion => self.targets.join(&format!("v{version}/{name}")),
        }
    }

    /// Returns the origins of these mirrors, each once: where the credentials that an app gives for its repository may go.
    #[must_use]
    pub fn origins(mirrors: &[Self]) -> Vec<Origin> {
        let mut origins = Vec::new();
        for url in mirrors.iter().flat_map(|mirror| [&mirror.metadata, &mirror.targets]) {
            if !origins.contains(&url.origin()) {
                origins.push(url.origin());
            }
        }
        origins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_each_layout() {
        let name = TargetName::parse("hello-1.2.0.md").unwrap();
        let (sha256, version) = (Sha256::of(b""), ReleaseVersion::parse("1.2.0").unwrap());
        let mirror = Mirror::parse("https://example.com/app?sig=x").unwrap();
        assert_eq!(mirror.metadata_url("1.root.json").expose(), "https://example.com/app/metadata/1.root.json?sig=x");
        for (layout, expected) in [
            (TargetLayout::Hashed, format!("https://example.com/app/targets/{sha256}.hello-1.2.0.md?sig=x")),
            (TargetLayout::Plain, "https://example.com/app/targets/hello-1.2.0.md?sig=x".to_owned()),
            (TargetLayout::PerVersion, "https://example.com/app/targets/v1.2.0/hello-1.2.0.md?sig=x".to_owned()),
        ] {
            assert_eq!(mirror.clone().with_layout(layout).target_url(&name, &sha256, &version).expose(), expected);
        }
        let other = Mirror::from_parts(
            Url::parse("https://example.com/m").unwrap(),
            Url::parse("https://cdn.example.com/t").unwrap(),
            TargetLayout::Plain,
        );
        let origins: Vec<_> = Mirror::origins(&[mirror, other]).iter().map(ToString::to_string).collect();
        assert_eq!(origins, ["https://example.com:443", "https://cdn.example.com:443"]);
    }
}
