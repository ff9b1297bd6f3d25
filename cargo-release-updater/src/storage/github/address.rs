//! `github:OWNER/REPO[/PATH][?branch=NAME&tag=PREFIX]`, parsed.

/// A repository on GitHub, and where in it an app is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubAddress {
    /// The user or organisation.
    pub owner: String,
    /// The repository.
    pub repository: String,
    /// The folder of the branch, without slashes at its ends; empty for the whole.
    pub path: String,
    /// The branch that Pages serves.
    pub branch: String,
    /// What stands before the version in the tag of a release.
    pub tag: String,
}

impl GitHubAddress {
    /// Parses what stands behind `github:`, without its options.
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn parse(location: &str) -> Result<Self, &'static str> {
        let mut parts = location.split('/');
        let owner = parts.next().unwrap_or_default();
        let repository = parts.next().unwrap_or_default();
        let path: Vec<&str> = parts.collect();
        let is_word = |text: &str, others: &[u8]| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
        };
        if !is_word(owner, b"-") || owner.len() > MAX_OWNER || owner.starts_with('-') {
            return Err("write github:OWNER/REPO; an owner has letters, digits and dashes");
        }
        if !is_word(repository, b"._-") || repository.len() > MAX_REPOSITORY || is_dots(repository) {
            return Err("write github:OWNER/REPO; a repository has letters, digits and . _ -");
        }
        if path.iter().any(|part| !is_word(part, b"._-") || is_dots(part)) {
            return Err("the path behind the repository must have only letters, digits and . _ -");
        }
        Ok(Self {
            owner: owner.to_owned(),
            repository: repository.to_owned(),
            path: path.join("/"),
            branch: BRANCH.to_owned(),
            tag: TAG.to_owned(),
        })
    }

    /// Sets an option.
    /// # Errors
    /// The rule that its value breaks.
    pub(in crate::storage) fn set(&mut self, option: &str, value: &str) -> Result<(), &'static str> {
        let plain = |others: &[u8]| value.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte));
        match option {
            // git check-ref-format, as far as these characters go.
            "branch" => {
                let parts_hold = value.split('/').all(|part| {
                    !part.is_empty()
                        && !part.starts_with(['.', '-'])
                        && !part.ends_with('.')
                        && !part.ends_with(".lock")
                });
                if !plain(b"._-/") || !parts_hold || value.contains("..") {
                    return Err("a branch has letters, digits and . _ - /, as git allows them");
                }
                value.clone_into(&mut self.branch);
            }
            _ => {
                if !plain(b"._-") || value.starts_with(['.', '-']) {
                    return Err("a tag begins with letters and digits, then also . _ -");
                }
                value.clone_into(&mut self.tag);
            }
        }
        Ok(())
    }

    /// Returns `owner/repository`.
    #[must_use]
    pub fn slug(&self) -> String {
        format!("{}/{}", self.owner, self.repository)
    }

    /// Returns the address of a folder below this one.
    #[must_use]
    pub(in crate::storage) fn below(self, folder: &str) -> Self {
        let path = if self.path.is_empty() { folder.to_owned() } else { format!("{}/{folder}", self.path) };
        Self { path, ..self }
    }

    /// Returns the address at which clients read the branch: that of GitHub Pages.
    #[must_use]
    pub fn pages_url(&self) -> String {
        let owner = self.owner.to_ascii_lowercase();
        // A repository of this name is served at the root of the site.
        let below = if self.repository.eq_ignore_ascii_case(&format!("{owner}.github.io")) {
            self.path.clone()
        } else {
            format!("{}/{}", self.repository, self.path)
        };
        format!("https://{owner}.github.io/{below}").trim_end_matches('/').to_owned()
    }

    /// Returns the template of the addresses of assets.
    #[must_use]
    pub fn targets_template(&self) -> String {
        format!("https://github.com/{}/releases/download/{}{{version}}/{{name}}", self.slug(), self.tag)
    }
}

fn is_dots(part: &str) -> bool {
    part == "." || part == ".."
}

impl std::fmt::Display for GitHubAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "github:{}", self.slug())?;
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        let options = [("branch", &self.branch, BRANCH), ("tag", &self.tag, TAG)];
        let options = options.into_iter().filter(|(_, value, default)| value.as_str() != *default);
        for (index, (name, value, _)) in options.enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// The branch that Pages has served for longest, and that tools write to.
const BRANCH: &str = "gh-pages";
/// `v1.2.0`.
const TAG: &str = "v";
/// GitHub's own limit for the name of an account, in characters.
const MAX_OWNER: usize = 39;
/// GitHub's own limit for the name of a repository, in characters.
const MAX_REPOSITORY: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_pages_and_to_releases() {
        let mut address = GitHubAddress::parse("Owner/app/tools").unwrap();
        assert_eq!(address.to_string(), "github:Owner/app/tools");
        assert_eq!(address.pages_url(), "https://owner.github.io/app/tools");
        address.set("tag", "tool-v").unwrap();
        address.set("branch", "pages/x").unwrap();
        assert_eq!(address.to_string(), "github:Owner/app/tools?branch=pages/x&tag=tool-v");
        assert_eq!(address.targets_template(), "https://github.com/Owner/app/releases/download/tool-v{version}/{name}");
        assert_eq!(GitHubAddress::parse("o/o.github.io").unwrap().pages_url(), "https://o.github.io");
    }

    #[test]
    fn what_is_no_repository_is_refused() {
        for bad in ["", "o", "o/", "/r", "-o/r", "o/..", "o/r/", "o/r//x", "o/r/../x", "o/r/a b", "o_o/r", "o/r%20"] {
            assert!(GitHubAddress::parse(bad).is_err(), "{bad}");
        }
        let mut address = GitHubAddress::parse("o/r").unwrap();
        for (option, value) in [
            ("branch", "a..b"),
            ("branch", "/a"),
            ("branch", "a/"),
            ("branch", "-a"),
            ("branch", "a.lock"),
            ("branch", "a b"),
            ("tag", ".v"),
            ("tag", "a/v"),
        ] {
            assert!(address.set(option, value).is_err(), "{option}={value}");
        }
        assert_eq!(address.to_string(), "github:o/r");
    }
}
