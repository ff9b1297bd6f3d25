//! Where a repository is read: one or more places that hold the same files.

use super::{FetchError, Origin, Url};
use updater_format::{ReleaseOf, RepositoryAddress, Sha256, TargetLayout, TargetName};

/// One place that holds the whole repository. Its two halves may lie on different servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    metadata: Url,
    targets: Url,
    layout: TargetLayout,
    /// Where detached signatures lie when they do not lie beside their files.
    signatures: Option<Url>,
}

impl Mirror {
    /// Makes a mirror with `metadata/` and `targets/` below one URL.
    #[must_use]
    pub fn new(base: &Url) -> Self {
        let (metadata, targets) = (base.join("metadata/"), base.join("targets/"));
        Self { metadata, targets, layout: TargetLayout::Hashed, signatures: None }
    }

    /// Parses the address of a mirror: a base URL, or `BASE#targets=TEMPLATE` where the files of releases lie elsewhere
    /// (see [`RepositoryAddress`]).
    /// # Errors
    /// [`FetchError::Url`] when it is not a URL that this updater talks to.
    pub fn parse(address: &str) -> Result<Self, FetchError> {
        let refuse = |_| FetchError::Url {
            url: updater_format::url::redact(address),
            rule: "behind a # only `targets=` and an address may stand that ends in {sha256}.{name}, {name} or v{version}/{name}",
        };
        let parsed = RepositoryAddress::parse(address).map_err(refuse)?;
        let base = Url::parse(&parsed.base)?;
        Ok(match parsed.targets {
            None => Self::new(&base),
            Some(targets) => Self {
                metadata: base.join("metadata/"),
                targets: Url::parse(&targets.base)?,
                layout: targets.layout,
                signatures: Some(base.join("targets/")),
            },
        })
    }

    /// Makes a mirror from the two URLs of its halves.
    #[must_use]
    pub fn from_parts(metadata: Url, targets: Url, layout: TargetLayout) -> Self {
        Self { metadata, targets, layout, signatures: None }
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
    pub fn target_url<'a>(&self, name: &TargetName, sha256: &Sha256, release: impl Into<ReleaseOf<'a>>) -> Url {
        self.targets.join(&self.layout.path(name, sha256, release))
    }

    /// Returns the URL of a target's detached signature, which people read and clients do not: beside the target, or, where
    /// the targets lie elsewhere, below `targets/` beside the metadata, because a signature may be replaced.
    #[must_use]
    pub fn signature_url<'a>(&self, name: &TargetName, sha256: &Sha256, release: impl Into<ReleaseOf<'a>>) -> Url {
        match &self.signatures {
            Some(signatures) => signatures.join(&format!("{sha256}.{name}.minisig")),
            None => self.targets.join(&format!("{}.minisig", self.layout.path(name, sha256, release))),
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
    use updater_format::ReleaseVersion;

    #[test]
    fn files_of_a_component_lie_in_a_release_of_its_own() {
        let (name, component) = (TargetName::parse("hello-model-1.2.0.md").unwrap(), "model".parse().unwrap());
        let version = ReleaseVersion::parse("1.2.0").unwrap();
        let of = ReleaseOf { component: Some(&component), version: &version };
        let mirror = Mirror::parse("https://h/a#targets=https://g/download/app-v{version}/{name}").unwrap();
        let url = mirror.target_url(&name, &Sha256::of(b""), of);
        assert_eq!(url.expose(), "https://g/download/model-app-v1.2.0/hello-model-1.2.0.md");
    }

    #[test]
    fn names_of_each_layout() {
        let name = TargetName::parse("hello-1.2.0.md").unwrap();
        let (sha256, version) = (Sha256::of(b""), ReleaseVersion::parse("1.2.0").unwrap());
        let mirror = Mirror::parse("https://example.com/app?sig=x").unwrap();
        assert_eq!(mirror.metadata_url("1.root.json").expose(), "https://example.com/app/metadata/1.root.json?sig=x");
        for (layout, expected) in [
            (TargetLayout::Hashed, format!("https://example.com/app/targets/{sha256}.hello-1.2.0.md?sig=x")),
            (TargetLayout::Plain, "https://example.com/app/targets/hello-1.2.0.md?sig=x".to_owned()),
            (
                TargetLayout::PerRelease { tag: "v".to_owned() },
                "https://example.com/app/targets/v1.2.0/hello-1.2.0.md?sig=x".to_owned(),
            ),
        ] {
            let mirror = mirror.clone().with_layout(layout);
            assert_eq!(mirror.target_url(&name, &sha256, &version).expose(), expected);
            let signature = mirror.signature_url(&name, &sha256, &version).expose();
            assert_eq!(signature, expected.replace('?', ".minisig?"));
        }
        let other = Mirror::from_parts(
            Url::parse("https://example.com/m").unwrap(),
            Url::parse("https://cdn.example.com/t").unwrap(),
            TargetLayout::Plain,
        );
        let origins: Vec<_> = Mirror::origins(&[mirror, other]).iter().map(ToString::to_string).collect();
        assert_eq!(origins, ["https://example.com:443", "https://cdn.example.com:443"]);
    }

    #[test]
    fn one_address_says_where_both_halves_are() {
        let name = TargetName::parse("hello-1.2.0.md").unwrap();
        let (sha256, version) = (Sha256::of(b""), ReleaseVersion::parse("1.2.0").unwrap());
        let github =
            "https://owner.github.io/app/#targets=https://github.com/owner/app/releases/download/v{version}/{name}";
        let mirror = Mirror::parse(github).unwrap();
        assert_eq!(mirror.metadata_url("1.root.json").expose(), "https://owner.github.io/app/metadata/1.root.json");
        let target = mirror.target_url(&name, &sha256, &version).expose();
        assert_eq!(target, "https://github.com/owner/app/releases/download/v1.2.0/hello-1.2.0.md");
        let signature = mirror.signature_url(&name, &sha256, &version).expose();
        assert_eq!(signature, format!("https://owner.github.io/app/targets/{sha256}.hello-1.2.0.md.minisig"));
        for bad in ["https://h/x#y", "https://h/x#targets=ftp://h/{name}", "https://h/x#targets=http://h/{name}"] {
            assert!(matches!(Mirror::parse(bad), Err(FetchError::Url { .. })), "{bad}");
        }
    }
}
