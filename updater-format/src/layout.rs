//! Where the files of a release lie for those who read them: beside the metadata under their digest, or elsewhere under
//! plain names.

use crate::component::ComponentName;
use crate::digest::Sha256;
use crate::error::FormatError;
use crate::path::TargetName;
use crate::version::ReleaseVersion;

/// The release that a file belongs to. Versions of the app make one of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseOf<'a> {
    /// The component whose versions are counted; `None` for the app itself.
    pub component: Option<&'a ComponentName>,
    /// The version.
    pub version: &'a ReleaseVersion,
}

impl ReleaseOf<'_> {
    /// Returns the folder of its files, and the tag that it has where releases have one: `<tag><version>`, and with
    /// `<component>-` before it for a component, whose versions are not those of the app.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> String {
        let component = self.component.map(|component| format!("{component}-")).unwrap_or_default();
        format!("{component}{tag}{}", self.version)
    }
}

impl<'a> From<&'a ReleaseVersion> for ReleaseOf<'a> {
    fn from(version: &'a ReleaseVersion) -> Self {
        Self { component: None, version }
    }
}

/// How the files of a release are named below the address of the targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TargetLayout {
    /// `<sha256>.<name>`: a name never changes its content, so every cache may keep it for ever.
    #[default]
    Hashed,
    /// `<name>`.
    Plain,
    /// `<tag><version>/<name>`, as the release downloads of GitHub have it; the tag is mostly `v`. A component's files lie in
    /// `<component>-<tag><version>/`.
    PerRelease {
        /// What stands before the version.
        tag: String,
    },
}

impl TargetLayout {
    /// Returns the path of a target below the address of the targets.
    #[must_use]
    pub fn path<'a>(&self, name: &TargetName, sha256: &Sha256, release: impl Into<ReleaseOf<'a>>) -> String {
        match self {
            Self::Hashed => format!("{sha256}.{name}"),
            Self::Plain => name.to_string(),
            Self::PerRelease { tag } => format!("{}/{name}", release.into().tagged(tag)),
        }
    }

    /// Returns the ending of the template that stands for this layout.
    fn ending(&self) -> String {
        match self {
            Self::Hashed => "{sha256}.{name}".to_owned(),
            Self::Plain => "{name}".to_owned(),
            Self::PerRelease { tag } => format!("{tag}{{version}}/{{name}}"),
        }
    }
}

/// An address at which clients read, taken apart: `BASE`, or `BASE#targets=TEMPLATE` where the files of releases do not
/// lie below `BASE/targets/`.
///
/// A template is an address that ends in `{sha256}.{name}`, `{name}` or `TAG{version}/{name}`. It stands behind a `#`,
/// because no server is ever told it: it says what the client asks for.
///
/// ```
/// # use updater_format::{RepositoryAddress, TargetLayout};
/// let address = RepositoryAddress::parse(
///     "https://owner.github.io/app#targets=https://github.com/owner/app/releases/download/v{version}/{name}",
/// )?;
/// assert_eq!(address.base, "https://owner.github.io/app");
/// let targets = address.targets.as_ref().unwrap();
/// assert_eq!(targets.base, "https://github.com/owner/app/releases/download/");
/// assert_eq!(targets.layout, TargetLayout::PerRelease { tag: "v".to_owned() });
/// # Ok::<(), updater_format::FormatError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryAddress {
    /// Below it lies the folder `metadata`. Not checked here: whoever uses it parses it as a URL.
    pub base: String,
    /// Where the files of releases lie; `None` for hashed names below `BASE/targets/`.
    pub targets: Option<TargetsAddress>,
}

/// Where the files of releases lie, and under which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetsAddress {
    /// The address before the names; ends in `/`. Not checked here either.
    pub base: String,
    /// The names.
    pub layout: TargetLayout,
}

impl RepositoryAddress {
    /// Takes an address apart.
    /// # Errors
    /// [`FormatError::Invalid`] when what stands behind the `#` is no template of targets.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let Some((base, fragment)) = text.split_once('#') else {
            return Ok(Self { base: text.to_owned(), targets: None });
        };
        let refuse = |rule| Err(FormatError::invalid("repository address", text, rule));
        let Some(template) = fragment.strip_prefix("targets=") else {
            return refuse("behind a # only `targets=` and an address of the files may stand");
        };
        Ok(Self { base: base.to_owned(), targets: Some(TargetsAddress::parse(template)?) })
    }
}

impl TargetsAddress {
    /// Parses a template.
    /// # Errors
    /// [`FormatError::Invalid`] with the rule that it breaks.
    pub fn parse(template: &str) -> Result<Self, FormatError> {
        let refuse = |rule| Err(FormatError::invalid("template of targets", template, rule));
        let Some((folder, name)) = template.rsplit_once('/') else {
            return refuse("it must be an address that ends in {name}");
        };
        let (base, layout) = match name {
            "{sha256}.{name}" => (folder, TargetLayout::Hashed),
            "{name}" => match folder.rsplit_once('/') {
                Some((base, release)) if release.ends_with(VERSION) => {
                    let tag = release.strip_suffix(VERSION).unwrap_or_default();
                    if !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) || tag.starts_with('.') {
                        return refuse("before {version} only letters, digits and . _ - may stand, no dot first");
                    }
                    (base, TargetLayout::PerRelease { tag: tag.to_owned() })
                }
                _ => (folder, TargetLayout::Plain),
            },
            _ => return refuse("it must end in {sha256}.{name}, {name} or v{version}/{name}"),
        };
        if base.contains(['{', '}', '?', '#']) {
            return refuse("before the names it must have no braces, no query and no fragment");
        }
        Ok(Self { base: format!("{base}/"), layout })
    }
}

impl std::fmt::Display for RepositoryAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.base)?;
        match &self.targets {
            Some(targets) => write!(f, "#targets={targets}"),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for TargetsAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.base, self.layout.ending())
    }
}

/// What stands for the version in a template.
const VERSION: &str = "{version}";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn each_layout_has_its_template() {
        let (name, sha256) = (TargetName::parse("hello-1.2.0.md").unwrap(), Sha256::of(b""));
        let version = ReleaseVersion::parse("1.2.0").unwrap();
        for (template, base, path) in [
            ("https://h/t/{sha256}.{name}", "https://h/t/", format!("{sha256}.{name}")),
            ("https://h/t/{name}", "https://h/t/", name.to_string()),
            ("https://h/d/v{version}/{name}", "https://h/d/", format!("v1.2.0/{name}")),
            ("https://h/d/hello-v{version}/{name}", "https://h/d/", format!("hello-v1.2.0/{name}")),
            ("https://h/d/{version}/{name}", "https://h/d/", format!("1.2.0/{name}")),
        ] {
            let parsed = TargetsAddress::parse(template).unwrap();
            assert_eq!((parsed.base.as_str(), parsed.layout.path(&name, &sha256, &version)), (base, path));
            assert_eq!(parsed.to_string(), template);
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for bad in [
            "",
            "{name}",
            "https://h/t/",
            "https://h/t/{sha256}",
            "https://h/{version}/x/{name}",
            "https://h/{name}/{name}",
            "https://h/a b{version}/{name}",
            "https://h/..{version}/{name}",
            "https://h/x?y/{name}",
            "https://h/x#y/{name}",
        ] {
            assert!(matches!(TargetsAddress::parse(bad), Err(FormatError::Invalid { .. })), "{bad:?}");
        }
        assert!(matches!(RepositoryAddress::parse("https://h/x#y"), Err(FormatError::Invalid { .. })));
    }

    proptest! {
        #[test]
        fn what_is_accepted_prints_as_it_was_written(text in "[a-z:/.#={}-]{0,20}(#targets=)?[a-z:/.]{0,9}(v\\{version\\}/)?(\\{sha256\\}\\.)?(\\{name\\})?") {
            if let Ok(parsed) = RepositoryAddress::parse(&text) {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }
    }
}
