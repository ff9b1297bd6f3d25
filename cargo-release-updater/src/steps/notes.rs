//! Release notes out of a change log: the section of one version, in the manner of Keep a Changelog.

use updater_format::ReleaseVersion;

/// Returns the text below the heading of a version, without the heading; `None` when there is no such section or nothing
/// in it.
///
/// A heading is a line `## 1.4.0`, with or without brackets, a `v` before it, and a date or anything else after it. The
/// section ends at the next heading of the same or a higher level, or at the link definitions at the end of the file.
#[must_use]
pub fn section<'a>(changelog: &'a str, version: &ReleaseVersion) -> Option<&'a str> {
    let version = version.to_string();
    let mut start = None;
    let mut end = changelog.len();
    let mut position = 0;
    let mut fenced = false;
    for line in changelog.split_inclusive('\n') {
        let (here, text) = (position, line.trim_end());
        position += line.len();
        fenced ^= text.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        match start {
            None if is_heading(text, &version) => start = Some(position),
            Some(_) if text.starts_with("# ") || text.starts_with("## ") || is_link(text) => {
                end = here;
                break;
            }
            _ => {}
        }
    }
    let text = changelog[start?..end].trim();
    (!text.is_empty()).then_some(text)
}

fn is_heading(line: &str, version: &str) -> bool {
    let Some(title) = line.strip_prefix("## ") else { return false };
    let title = title.trim_start().trim_start_matches('[').trim_start_matches('v');
    title
        .strip_prefix(version)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || ".-+".contains(c)))
}

/// Tells a link definition, `[1.4.0]: https://...`.
fn is_link(line: &str) -> bool {
    line.starts_with('[') && line.contains("]: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n- later\n\n## [1.10.0] - 2026-11-20\n\n### Added\n- ten\n\n```\n## 1.1.0\n```\n\n## v1.1.0 (2026-10-01)\n- one\n\n## 1.1.0-rc.1\n\n## 1.0.0\nfirst\n\n[1.0.0]: https://example.com\n";

    #[test]
    fn the_section_of_a_version_is_found_whatever_the_heading_looks_like() {
        let of = |version: &str| section(CHANGELOG, &version.parse().unwrap());
        assert_eq!(of("1.10.0"), Some("### Added\n- ten\n\n```\n## 1.1.0\n```"));
        assert_eq!(of("1.1.0"), Some("- one"));
        assert_eq!(of("1.0.0"), Some("first"));
        assert_eq!(of("1.1.0-rc.1"), None, "there is nothing in it");
        assert_eq!((of("1.1.1"), of("10.0.0"), of("0.0.0")), (None, None, None));
        assert_eq!(section("## 2.0.0", &"2.0.0".parse().unwrap()), None);
    }
}
