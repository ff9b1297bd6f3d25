//! What is said about an object beside its bytes: for how long it may be kept, and what it is.

/// Returns the `Cache-Control` of an object.
///
/// A name that says its version or its content never changes its bytes, so it may be kept for ever. Everything else may
/// be replaced at any time: a minute is what a release may be late, and within it a new hold or yank.
pub(crate) fn cache_control(path: &str) -> &'static str {
    if is_immutable(path) { IMMUTABLE } else { SHORT }
}

/// Returns the `Content-Type` of an object.
pub(crate) fn content_type(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("xz") => "application/x-xz",
        Some("md") => "text/markdown; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("xml") => "application/atom+xml; charset=utf-8",
        Some("minisig" | "sh" | "ps1") => "text/plain; charset=utf-8",
        _ if name == "VERSION" || name.starts_with("VERSION.") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Tells whether nobody looks for an object before another one names it, so that it may wait for the commit. Roots are
/// looked for by their number, and a submission is read by its name.
pub(super) fn may_wait(path: &str) -> bool {
    match path.split_once('/') {
        Some(("targets", _)) => true,
        Some(("metadata", name)) => name != "timestamp.json" && !name.ends_with(".root.json"),
        Some(("submissions", name)) => name.starts_with(|first: char| first.is_ascii_digit()),
        _ => false,
    }
}

fn is_immutable(path: &str) -> bool {
    match path.split_once('/') {
        Some(("metadata", name)) => name.split_once('.').is_some_and(|(version, _)| version.parse::<u64>().is_ok()),
        Some(("targets", name)) => !name.ends_with(".minisig"),
        _ => false,
    }
}

/// For what never changes: one year, the longest that caches honour.
const IMMUTABLE: &str = "max-age=31536000, immutable";
/// For what may be replaced: a minute, then ask again.
pub(crate) const SHORT: &str = "max-age=60, must-revalidate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_changes_is_kept() {
        for path in ["metadata/1.root.json", "metadata/12.stable.json", "targets/0a.hello-1.0.0-x.tar.xz"] {
            assert!(cache_control(path).ends_with("immutable"), "{path}");
        }
        for path in
            ["metadata/timestamp.json", "targets/0a.hello.tar.xz.minisig", "VERSION", "VERSION.beta", "index.html"]
        {
            assert_eq!(cache_control(path), "max-age=60, must-revalidate", "{path}");
        }
    }

    #[test]
    fn what_something_else_names_waits_and_what_is_looked_for_does_not() {
        for path in [
            "targets/0a.hello.tar.xz.minisig",
            "metadata/3.stable.json",
            "metadata/3.snapshot.json",
            "submissions/3.VERSION",
        ] {
            assert!(may_wait(path), "{path}");
        }
        for path in
            ["metadata/timestamp.json", "metadata/2.root.json", "VERSION", "submissions/stable.json", "index.html"]
        {
            assert!(!may_wait(path), "{path}");
        }
    }

    #[test]
    fn types_are_those_of_the_names() {
        for (path, expected) in [
            ("metadata/timestamp.json", "application/json"),
            ("targets/0a.hello.tar.xz", "application/x-xz"),
            ("targets/0a.hello.patch", "application/octet-stream"),
            ("targets/0a.hello.tar.xz.minisig", "text/plain; charset=utf-8"),
            ("VERSION.beta", "text/plain; charset=utf-8"),
            ("install.ps1", "text/plain; charset=utf-8"),
            ("feed.xml", "application/atom+xml; charset=utf-8"),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }
}
