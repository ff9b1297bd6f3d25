//! Patterns over paths in a bundle, for `keep_local`.

use crate::error::FormatError;
use crate::length::MAX_PATH;

/// A glob over [`FilePath`](crate::FilePath)s: `*` stands for any characters within one part, `?` for one character,
/// and a whole part `**` for any number of parts, none included. Letters match themselves, case included.
///
/// ```
/// # use updater_format::{FilePath, PathPattern};
/// let pattern = PathPattern::parse("etc/**/*.toml").unwrap();
/// assert!(pattern.matches(&FilePath::parse("etc/app.toml").unwrap()));
/// assert!(!pattern.matches(&FilePath::parse("share/app.toml").unwrap()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern(String);

impl PathPattern {
    /// Parses a pattern.
    /// # Errors
    /// [`FormatError::Invalid`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let refuse = |rule| Err(FormatError::invalid("path pattern", text, rule));
        if text.is_empty() || text.len() > MAX_PATH {
            return refuse("it must have 1 to 1,024 bytes");
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\\' | ':' | '"' | '<' | '>' | '|')) {
            return refuse("it must have no control character and none of \\ : \" < > |");
        }
        for part in text.split('/') {
            match part {
                "" => return refuse("it must be relative and have no empty part"),
                "." | ".." => return refuse("it must have no part `.` or `..`"),
                "**" => {}
                _ if part.contains("**") => return refuse("`**` must be a part of its own"),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Tells whether a path matches. Takes time in proportion to pattern times path at most.
    #[must_use]
    pub fn matches(&self, path: &crate::FilePath) -> bool {
        let pattern: Vec<&str> = self.0.split('/').collect();
        let parts: Vec<&str> = path.as_str().split('/').collect();
        two_pointers(&pattern, &parts, |p| *p == "**", |p, part| part_matches(p, part))
    }
}

crate::text::validated_string!(PathPattern);

/// Tells whether one part of a path matches one part of a pattern: `*` any characters, `?` one.
pub(crate) fn part_matches(pattern: &str, part: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let part: Vec<char> = part.chars().collect();
    two_pointers(&pattern, &part, |p| *p == '*', |p, c| *p == '?' || p == c)
}

/// Matches with one kind of wildcard for any number of items. On a mismatch only the last wildcard takes one item
/// more, so there is no exponential case (`*a*a*a*`).
fn two_pointers<P, T>(pattern: &[P], items: &[T], any: impl Fn(&P) -> bool, one: impl Fn(&P, &T) -> bool) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while i < items.len() {
        match pattern.get(p) {
            Some(wildcard) if any(wildcard) => {
                retry = Some((p, i));
                p += 1;
            }
            Some(single) if one(single, &items[i]) => {
                p += 1;
                i += 1;
            }
            _ => {
                let Some((wildcard, taken)) = retry else { return false };
                retry = Some((wildcard, taken + 1));
                p = wildcard + 1;
                i = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FilePath;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(&FilePath::parse(path).unwrap())
    }

    #[test]
    fn wildcards_stay_within_their_part() {
        assert!(matches("etc/*.toml", "etc/a.toml") && matches("etc/*.toml", "etc/.toml"));
        assert!(!matches("etc/*.toml", "etc/sub/a.toml") && !matches("*.toml", "etc/a.toml"));
        assert!(matches("a?c", "abc") && matches("a?c", "aéc") && !matches("a?c", "ac") && !matches("a?c", "a/c"));
        assert!(!matches("etc/A.toml", "etc/a.toml"));
    }

    #[test]
    fn double_star_spans_any_number_of_parts() {
        for path in ["etc/a", "etc/b/a", "etc/b/c/a"] {
            assert!(matches("etc/**/a", path), "{path}");
        }
        assert!(matches("**", "x/y/z") && matches("etc/**", "etc/x") && matches("**/a/**/b", "a/a/x/b"));
        assert!(!matches("etc/**/a", "etc/b") && !matches("etc/**/a", "a"));
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = "*a".repeat(100);
        let path = "a".repeat(250);
        assert!(matches(&pattern, &path));
        assert!(!matches(&format!("{pattern}b"), &path));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "/a", "a//b", "../a", "a/..", "a**", "a/**b", "a\\b", "C:a", "a\n", &"a".repeat(1025)] {
            assert!(
                matches!(PathPattern::parse(bad), Err(FormatError::Invalid { what: "path pattern", .. })),
                "{bad:?}"
            );
        }
    }
}
