//! A built program: which root it carries, who it says it is, and whether its copy here could be updated.

use super::{Finding, Severity, parse_root};
use crate::error::ExitCode;
use crate::shell::Message;
use std::io::Read as _;
use std::path::Path;
use updater_build::embed::CHANNELS_MARK;
use updater_build::table::Table;
use updater_format::role::{RoleName, Root};
use updater_format::{Channel, UtcTime};
use updater_runtime::inspect::{Probed, obstacle, probe};

/// What is embedded in a program.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Embedded {
    /// The app that its root is for.
    pub app: String,
    /// The version that it says it is; none when it does not answer.
    pub version: Option<String>,
    /// The triple that it says it was built for.
    pub triple: Option<String>,
    /// The version of its root.
    pub root: u64,
    /// When that root ends.
    #[cfg_attr(test, schemars(with = "String"))]
    pub root_expires: UtcTime,
    /// The minisign ids of the root's keys.
    pub root_keys: Vec<String>,
    /// How many of them must sign the next root.
    pub root_threshold: u32,
    /// Whether its root is for trying out.
    pub development: bool,
    /// The channel that it was built to follow, and those that it may fall back to, in order; none when it does not say.
    pub channels: Vec<String>,
    /// The addresses of the project that stand in the program.
    pub urls: Vec<String>,
}

impl Message for Embedded {
    const REASON: &'static str = "embedded";
}

/// Looks at a program, and at the copy that it is. `project` is what it is held against: the settings of the project
/// and its root.
///
/// The program is started only when it carries a root, as every client does before it takes an update: with the probe's
/// variable and nothing else.
#[must_use]
pub fn examine_program(path: &Path, project: Option<(&Table, Option<&[u8]>)>) -> (Option<Embedded>, Vec<Finding>) {
    let refuse = |what: String, cure: &str| {
        let finding = Finding::new("program-without-root", Severity::Error, ExitCode::Bundle, what)
            .because("it never updates itself")
            .cured_by(cure);
        (None, vec![finding])
    };
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(format!("{}: {error}", path.display()), "name the program file of the app"),
    };
    let Some((root_bytes, root)) = embedded_root(&bytes) else {
        return refuse(
            format!("{} carries no trusted root", path.display()),
            "build it with `updater_build::embed()` in build.rs; unpack it first if it is packed",
        );
    };
    let mut findings = Vec::new();
    let probed = probe(path, updater_runtime::DEFAULT_PROBE_TIME);
    let answer = match &probed {
        Ok(answer) => Some(answer),
        Err(error) => {
            findings.push(
                Finding::new(
                    "program-silent",
                    Severity::Warning,
                    ExitCode::Bundle,
                    format!("{} does not answer the probe: {error}", path.display()),
                )
                .because("no client installs it, unless it is for another system than this one")
                .cured_by(error.hint()),
            );
            None
        }
    };
    let app = root.extension.as_ref().map(|extension| extension.app.to_string()).unwrap_or_default();
    if let Some(project) = project {
        findings.extend(against_project(path, &bytes, root_bytes, &root, answer, project));
    }
    findings.extend(copy(path));
    let urls = project.map_or_else(Vec::new, |(table, _)| {
        let urls = table.urls.iter().map(|url| url.as_str());
        urls.filter(|url| contains(&bytes, url.as_bytes())).map(str::to_owned).collect()
    });
    let embedded = Embedded {
        version: answer.map(|answer| answer.version.to_string()),
        triple: answer.map(|answer| answer.platform.to_string()),
        root: root.version,
        root_expires: root.expires,
        root_keys: key_names(&root),
        root_threshold: root.keyring(RoleName::Root).threshold(),
        development: root.is_development(),
        channels: channels(&bytes),
        urls,
        app,
    };
    (Some(embedded), findings)
}

/// Compares a program with the project that it should come from.
fn against_project(
    path: &Path,
    bytes: &[u8],
    root_bytes: &[u8],
    root: &Root,
    answer: Option<&Probed>,
    (table, own): (&Table, Option<&[u8]>),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let apps = [root.extension.as_ref().map(|x| x.app.to_string()), answer.map(|answer| answer.app.to_string())];
    if let Some(other) = apps.into_iter().flatten().find(|app| *app != table.app.as_str()) {
        findings.push(
            Finding::new(
                "program-of-other-app",
                Severity::Error,
                ExitCode::Bundle,
                format!("{} is the app `{other}`, the project is `{}`", path.display(), table.app),
            )
            .because("it takes no release of this project")
            .cured_by("run it in the project of that app, or set `app` and build again"),
        );
        return findings;
    }
    if let Some(own) = own.filter(|own| *own != root_bytes) {
        let project = parse_root(own).map_or(0, |root| root.version);
        let (severity, why) = match root.version == project {
            true => (Severity::Error, "two roots with one number: it trusts other keys than the project"),
            false => (Severity::Note, "it fetches the roots between at its next check"),
        };
        findings.push(
            Finding::new(
                "program-root-differs",
                severity,
                ExitCode::Bundle,
                format!(
                    "{} carries version {} of the root, the project has version {project}",
                    path.display(),
                    root.version
                ),
            )
            .because(why)
            .cured_by("cargo updater verify, to see that every root is published; build again for a new program"),
        );
    }
    for url in table.urls.iter().filter(|url| !contains(bytes, url.as_str().as_bytes())) {
        findings.push(
            Finding::new(
                "program-without-url",
                Severity::Warning,
                ExitCode::Bundle,
                format!("{} does not know {}", path.display(), url.as_str()),
            )
            .because("it was built before the address was set, and reads somewhere else")
            .cured_by("keep the old address working until no such copy is left"),
        );
    }
    findings
}

/// Tells what stands in the way of an update of this copy.
fn copy(path: &Path) -> Option<Finding> {
    let obstacle = obstacle(path).ok()??;
    Some(
        Finding::new("install-blocked", Severity::Warning, ExitCode::Unexpected, obstacle.to_string())
            .because("this copy is told of updates and cannot take them")
            .cured_by(obstacle.hint()),
    )
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_PROGRAM).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Finds the root in a program: the one text that starts like a signed document and is a root that its keys have signed.
fn embedded_root(bytes: &[u8]) -> Option<(&[u8], Root)> {
    let mut rest = bytes;
    while let Some(at) = rest.windows(BEGIN.len()).position(|window| window == BEGIN) {
        rest = &rest[at..];
        let mut values = serde_json::Deserializer::from_slice(&rest[..rest.len().min(MAX_ROOT)])
            .into_iter::<serde::de::IgnoredAny>();
        if matches!(values.next(), Some(Ok(_))) {
            let text = &rest[..values.byte_offset()];
            if let Some(root) = parse_root(text) {
                return Some((text, root));
            }
        }
        rest = &rest[1..];
    }
    None
}

/// Names the keys of the root as people know them.
fn key_names(root: &Root) -> Vec<String> {
    let owners = root.extension.as_ref().map(|extension| &extension.keys);
    let name = |id: &updater_format::KeyId| match owners.and_then(|owners| owners.get(id)) {
        Some(owner) => owner.minisign.clone(),
        None => id.as_str().to_owned(),
    };
    root.keyring(RoleName::Root).keys().iter().map(|(id, _)| name(id)).collect()
}

/// Finds the channels that a program was built to follow.
fn channels(bytes: &[u8]) -> Vec<String> {
    let mark = CHANNELS_MARK.as_bytes();
    let marked = bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
    let named = |(at, _): (usize, &[u8])| {
        let text = bytes[at + mark.len()..].split(|byte| *byte == b';').next()?;
        let text = std::str::from_utf8(text).ok()?;
        text.split(',').map(|name| Channel::parse(name).ok().map(|name| name.to_string())).collect()
    };
    marked.filter_map(named).next().unwrap_or_default()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || bytes.windows(needle.len()).any(|window| window == needle)
}

/// How a signed document of ours begins.
const BEGIN: &[u8] = b"{\"signatures\":[";
/// The most bytes of a root, as for clients.
const MAX_ROOT: usize = updater_format::length::MAX_ROOT as usize;
/// How much of a program is looked through, in bytes: 1 GiB.
const MAX_PROGRAM: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::App;

    #[test]
    fn the_root_is_found_among_other_texts() {
        let app = App::at(UtcTime::from_unix(1_800_000_000));
        let mut program = b"\x7fELF {\"signatures\":[ {\"signatures\":[],\"signed\":{}} ".to_vec();
        assert_eq!(embedded_root(&program), None);
        program.extend_from_slice(&app.trust.root);
        program.extend_from_slice(b"}}garbage");
        let (bytes, root) = embedded_root(&program).unwrap();
        assert_eq!((bytes, root.version), (&*app.trust.root, 1));
        assert_eq!(key_names(&root).len(), 1);
    }

    #[test]
    fn the_channels_that_a_program_follows_are_found() {
        let program = b"\x7fELF cargo-updater-channels= and cargo-updater-channels=beta,stable;trial\xff";
        assert_eq!(channels(program), ["beta", "stable"]);
        assert!(channels(b"\x7fELF cargo-updater-channels=No such;").is_empty());
        assert!(channels(b"\x7fELF").is_empty());
    }

    #[test]
    fn what_is_no_program_of_ours_is_not_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app");
        std::fs::write(&path, "#!/bin/sh\ntouch started\n").unwrap();
        let (embedded, findings) = examine_program(&path, None);
        assert_eq!((embedded, findings[0].code, findings.len()), (None, "program-without-root", 1));
        let (_, findings) = examine_program(folder.path(), None);
        assert_eq!(findings[0].code, "program-without-root");
    }
}
