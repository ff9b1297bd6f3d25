//! What is said about a release: its notes, and metadata for the app.

use super::Desk;
use crate::error::CommandResult;
use crate::steps::bundle::Bundled;
use crate::steps::diff::Patch;
use crate::steps::notes::section;
use crate::steps::release::{Notes, Release, ReleaseError};
use std::path::PathBuf;
use updater_format::ReleaseVersion;
use updater_format::json::Value;

/// What is said about a release.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(in crate::cli) struct AboutArgs {
    /// Release notes, a Markdown file; the version's section of CHANGELOG.md when not given.
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
    /// Something that the app is to know about the release; may be given several times.
    #[arg(long, value_name = "NAME=TEXT", value_parser = parse_metadata)]
    metadata: Vec<(String, String)>,
}

impl AboutArgs {
    /// Tells whether a file with notes is named.
    pub(in crate::cli) fn names_notes(&self) -> bool {
        self.notes.is_some()
    }
}

/// Metadata is signed as ASCII, because implementations disagree about everything else.
fn parse_metadata(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=TEXT")?;
    let is_plain = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match !name.is_empty() && is_plain(name) && is_plain(value) && text.len() <= MAX_METADATA {
        true => Ok((name.to_owned(), value.to_owned())),
        false => Err(format!("name and text must be printable ASCII, {MAX_METADATA} characters at most")),
    }
}

impl Desk<'_> {
    /// Puts a release together.
    pub(in crate::cli) fn release(
        &self,
        version: &ReleaseVersion,
        bundles: Vec<Bundled>,
        patches: Vec<Patch>,
        about: &AboutArgs,
    ) -> CommandResult<Release> {
        let platforms: Vec<_> = bundles.iter().map(|bundled| bundled.part.platform.clone()).collect();
        let notes = self.notes(version, about)?;
        let metadata = about.metadata.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let released = self.context.clock.now();
        Ok(Release { request: self.request(version, &platforms), bundles, patches, notes, released, metadata })
    }

    /// Finds the notes of a release: the file that is named, else its section in the change log of the package or the
    /// workspace.
    pub(in crate::cli) fn notes(&self, version: &ReleaseVersion, about: &AboutArgs) -> CommandResult<Option<Notes>> {
        let (app, component) = (&self.trust.app, self.component.as_ref());
        if let Some(path) = &about.notes {
            return Ok(Some(Notes::read(&self.context.path(path), app, component, version)?));
        }
        if component.is_some() {
            // The versions in the change log are those of the app.
            return Ok(None);
        }
        for folder in [self.project.folder(), &self.project.workspace_root] {
            let path = folder.join(CHANGELOG);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(ReleaseError::Notes { path, source }.into()),
            };
            let Some(section) = section(&text, version) else {
                self.context.shell.detail(format_args!("{} has no section for {version}", path.display()));
                return Ok(None);
            };
            let path = self.folders.notes().join(format!("{app}-{version}.md"));
            let failed = |source| ReleaseError::Notes { path: path.clone(), source };
            crate::files::write_durably(&path, format!("{section}\n").as_bytes()).map_err(failed)?;
            return Ok(Some(Notes::read(&path, app, None, version)?));
        }
        Ok(None)
    }
}

/// The change log, in the package's folder or the workspace's.
const CHANGELOG: &str = "CHANGELOG.md";
/// Every client reads it at each check that finds a release, so longer things belong into the notes.
const MAX_METADATA: usize = 1000;
