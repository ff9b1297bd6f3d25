//! How to get to the new version: by which patch, or by the bundle. Pure.
//!
//! There are no chains: one direct patch or the bundle. The cheapest way is tried first, the others follow in order of
//! their bytes when it fails in the same run.

use crate::check::Candidate;
use updater_format::Sha256;
use updater_format::release::Artifact;

/// One way to the new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    kind: RouteKind,
    artifact: Artifact,
    why: String,
}

/// What a route downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteKind {
    /// A patch against the installed files.
    Patch,
    /// The whole release.
    Bundle,
}

impl Route {
    /// Returns what is downloaded.
    #[must_use]
    pub fn kind(&self) -> RouteKind {
        self.kind
    }

    /// Returns the file to download.
    #[must_use]
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Returns the bytes to download.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.artifact.length
    }

    /// Returns why this way comes at this place, in words.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// What decides besides the candidate itself.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// The delta codecs that this program applies.
    pub codecs: &'a [&'a str],
    /// Artifacts that are known not to work here, by digest: left out.
    pub failed: &'a [Sha256],
}

/// Lists the ways to a candidate, the one with the fewest bytes first. The bundle is always among them unless it failed.
#[must_use]
pub fn routes(candidate: &Candidate, means: &Means<'_>) -> Vec<Route> {
    let bundle = &candidate.bundle.artifact;
    let mut passed_over = 0usize;
    let mut routes = Vec::new();
    for patch in &candidate.patches {
        if !patch.codecs.iter().all(|codec| means.codecs.contains(&codec.as_str())) {
            passed_over += 1;
            continue;
        }
        routes.push(Route {
            kind: RouteKind::Patch,
            artifact: patch.artifact.clone(),
            why: format!("patch from {}, {} bytes less than the bundle", patch.from, saved(bundle, &patch.artifact)),
        });
    }
    let why = match (candidate.patches.len(), passed_over) {
        (0, _) => "no patch leads here from the installed version".to_owned(),
        (all, passed) if all == passed => "the patches use a codec that this program does not have".to_owned(),
        _ => "the whole release, in case no patch works".to_owned(),
    };
    routes.push(Route { kind: RouteKind::Bundle, artifact: bundle.clone(), why });
    routes.retain(|route| !means.failed.contains(&route.artifact.sha256));
    // Stable: a patch of the bundle's size comes before it.
    routes.sort_by_key(Route::bytes);
    routes
}

fn saved(bundle: &Artifact, patch: &Artifact) -> u64 {
    bundle.length.saturating_sub(patch.length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::json::Map;
    use updater_format::release::{BundleEntry, PatchEntry};
    use updater_format::{Channel, InstallKind};

    fn artifact(name: &str, length: u64) -> Artifact {
        Artifact { name: name.parse().unwrap(), length, sha256: Sha256::of(name.as_bytes()) }
    }

    fn candidate(patches: &[(&str, u64, &str)]) -> Candidate {
        let platform: updater_format::Platform = "x86_64-unknown-linux-gnu".parse().unwrap();
        Candidate {
            channel: Channel::stable(),
            bundle: BundleEntry {
                artifact: artifact("bundle", 1000),
                version: "2.0.0".parse().unwrap(),
                platform: platform.clone(),
                install: InstallKind::Executable,
                unpacked: 3000,
                files: 1,
                manifest: Sha256::of(b"m"),
                codecs: vec![],
                epoch: 0,
                libc: None,
                notes: None,
                released: None,
                metadata: Map::new(),
                component: None,
                minimum_app: None,
            },
            patches: patches
                .iter()
                .map(|(name, length, codec)| PatchEntry {
                    artifact: artifact(name, *length),
                    platform: platform.clone(),
                    from: "1.0.0".parse().unwrap(),
                    version: "2.0.0".parse().unwrap(),
                    manifest: Sha256::of(b"m"),
                    codecs: vec![(*codec).to_owned()],
                    component: None,
                })
                .collect(),
            notes: None,
        }
    }

    fn names(candidate: &Candidate, failed: &[Sha256]) -> Vec<String> {
        let means = Means { codecs: &["refs-1"], failed };
        routes(candidate, &means).iter().map(|route| route.artifact.name.to_string()).collect()
    }

    #[test]
    fn fewest_bytes_first_and_the_bundle_behind() {
        assert_eq!(names(&candidate(&[("b", 300, "refs-1"), ("a", 100, "refs-1")]), &[]), ["a", "b", "bundle"]);
        assert_eq!(names(&candidate(&[("big", 1001, "refs-1")]), &[]), ["bundle", "big"]);
        assert_eq!(names(&candidate(&[("same", 1000, "refs-1")]), &[]), ["same", "bundle"]);
    }

    #[test]
    fn unknown_codecs_and_failed_artifacts_are_passed_over() {
        let one = candidate(&[("later", 10, "hologram-9")]);
        assert_eq!(names(&one, &[]), ["bundle"]);
        let means = Means { codecs: &["refs-1"], failed: &[] };
        assert!(routes(&one, &means)[0].why().contains("codec"));
        let mut mixed = candidate(&[("mixed", 10, "refs-1")]);
        mixed.patches[0].codecs.push("hologram-9".to_owned());
        assert_eq!(names(&mixed, &[]), ["bundle"], "one codec of several is not enough");
        assert!(routes(&candidate(&[]), &means)[0].why().contains("no patch"));
        let two = candidate(&[("a", 100, "refs-1")]);
        assert_eq!(names(&two, &[Sha256::of(b"a")]), ["bundle"]);
        assert_eq!(names(&two, &[Sha256::of(b"a"), Sha256::of(b"bundle")]), Vec::<String>::new());
    }
}
