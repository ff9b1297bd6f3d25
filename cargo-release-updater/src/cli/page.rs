//! `cargo updater page`, and the page that every command that publishes something keeps up to date.

use super::desk::{ChannelArgs, Desk};
use super::{DryRunArgs, PackageArgs, StorageArgs};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::files::{FileError, write_durably};
use crate::page::{self, PageFile, Site, Templates};
use crate::repository::state::Expiry;
use crate::repository::{RepositoryError, RepositoryState};
use crate::shell::Message;
use std::path::{Path, PathBuf};
use updater_build::table::Page;
use updater_format::RepositoryAddress;
use updater_format::release::NotesEntry;

/// Make the page, the feed and the scripts that people download from.
///
/// Every command that publishes something does it by itself.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater page                          write what is missing or old to the storage\n  \
                        cargo updater page --out target/page        look at it first\n  \
                        cargo updater page --templates updater/page  write our templates there, to change them"
)]
pub(super) struct Args {
    /// Write the files into this folder instead of the storage.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Write our templates into this folder, and nothing else. `page = "DIR"` in the table takes them from there.
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    templates: Option<PathBuf>,
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let execute = self.dry_run.execute();
        if let Some(folder) = &self.templates {
            return write_templates(context, &context.path(folder), execute);
        }
        let desk = Desk::open(context, &self.package, &self.storage, &ChannelArgs::default())?;
        let missing = || RepositoryError::NothingPublished { storage: desk.storage.name().to_owned() };
        let state = desk.state.as_ref().ok_or_else(missing)?;
        let Some(files) = made(&desk, Some(state))? else {
            return Err(CommandError::new(ExitCode::Config, "this project publishes no page: `page = false`")
                .hint("take `page = false` out of [package.metadata.updater]"));
        };
        let written = match &self.out {
            Some(out) => write_files(context, &context.path(out), &files, execute)?,
            None => write_changed(&desk, &files, execute)?,
        };
        let place = match &self.out {
            Some(out) => out.display().to_string(),
            None => desk.storage.name().to_owned(),
        };
        tell(context, &written, &place, execute);
        Ok(())
    }
}

/// Refuses templates that cannot be filled, before a release is begun for which they are wanted.
pub(super) fn check(desk: &Desk<'_>) -> CommandResult {
    made(desk, None).map(drop)
}

/// Brings the page up to what is published now. A release that is out is no failure, so what fails here is a warning.
pub(super) fn keep_up(context: &Context, desk: &Desk<'_>) {
    let keep_up = || -> CommandResult {
        if !desk.storage.is_writable() {
            return Ok(());
        }
        let state = RepositoryState::read(&desk.storage, &desk.trust.app, &desk.trust.root, Expiry::Ignored)?;
        let Some(files) = state.map(|state| made(desk, Some(&state))).transpose()?.flatten() else { return Ok(()) };
        let written = write_changed(desk, &files, Execute::ForReal)?;
        if !written.files.is_empty() {
            context.shell.detail(format_args!("{} written for people", written.files.join(", ")));
        }
        Ok(())
    };
    if let Err(error) = keep_up() {
        context.shell.warn(format_args!(
            "the page for people is that of an earlier release: {}; `cargo updater page` writes it",
            error.causes().join(": ")
        ));
    }
}

/// Makes the files; `None` when the project wants none.
fn made(desk: &Desk<'_>, state: Option<&RepositoryState>) -> CommandResult<Option<Vec<PageFile>>> {
    let table = desk.project.table()?;
    let templates = match &table.page {
        Page::Off => return Ok(None),
        Page::Ours => Templates::default(),
        Page::Templates(folder) => Templates::of_folder(desk.project.folder().join(folder)),
    };
    let notes = |entry: &NotesEntry| -> CommandResult<Option<String>> {
        let artifact = &entry.artifact;
        let bytes =
            desk.storage.read(&desk.storage.artifact_path(artifact, (&entry.version).into()), artifact.length)?;
        // Only the notes that were signed are shown.
        let signed = bytes.filter(|bytes| updater_format::Sha256::of(bytes) == artifact.sha256);
        Ok(signed.and_then(|bytes| String::from_utf8(bytes).ok()))
    };
    let url = table.urls.first().map(ToString::to_string).unwrap_or_default();
    // The table has checked it.
    let address = RepositoryAddress::parse(&url).unwrap_or(RepositoryAddress { base: url.clone(), targets: None });
    let channels = match state {
        Some(state) => Site::read_channels(state, &table.channel, &address, notes)?,
        None => Vec::new(),
    };
    let site = Site {
        app: desk.trust.app.clone(),
        description: desk.project.description.clone(),
        homepage: desk.project.homepage.clone(),
        files: address.targets.as_ref().and(url.split_once("#targets=")).map(|(_, files)| files.to_owned()),
        url: address.base.trim_end_matches('/').to_owned(),
        channels,
    };
    Ok(Some(page::render(&site, &templates)?))
}

/// Writes the files that are not in the storage as they should be. One that somebody else has put there stays.
fn write_changed(desk: &Desk<'_>, files: &[PageFile], execute: Execute) -> CommandResult<Written> {
    let mut changed = Vec::new();
    for file in files {
        let there = match desk.storage.length(file.path)? {
            None => None,
            Some(length) if length <= page::MAX_FILE => desk.storage.read(file.path, page::MAX_FILE)?,
            Some(_) => Some(Vec::new()),
        };
        match there {
            Some(there) if there == file.text.as_bytes() => {}
            Some(there) if !page::is_ours(&there) => desk.context.shell.note(format_args!(
                "{} in {} is not from this command and stays: remove it there to have ours, or say `page = false` in the table",
                file.path,
                desk.storage.name()
            )),
            _ => changed.push((file.path, file.text.as_str())),
        }
    }
    if execute == Execute::ForReal {
        desk.storage.put_together(&changed)?;
    }
    Ok(Written { files: changed.into_iter().map(|(path, _)| path.to_owned()).collect() })
}

fn write_files(context: &Context, folder: &Path, files: &[PageFile], execute: Execute) -> CommandResult<Written> {
    let mut written = Written::default();
    for file in files {
        write(context, &folder.join(file.path), &file.text, execute)?;
        written.files.push(file.path.to_owned());
    }
    Ok(written)
}

fn write_templates(context: &Context, folder: &Path, execute: Execute) -> CommandResult {
    for (name, _) in Templates::ours() {
        let path = folder.join(name);
        if path.exists() {
            return Err(CommandError::new(ExitCode::Config, format!("{} is there already", path.display()))
                .hint("remove it first, or name another folder"));
        }
    }
    let mut written = Written::default();
    for (name, text) in Templates::ours() {
        write(context, &folder.join(name), text, execute)?;
        written.files.push(name.to_owned());
    }
    tell(context, &written, &folder.display().to_string(), execute);
    Ok(())
}

fn write(context: &Context, path: &Path, text: &str, execute: Execute) -> CommandResult {
    if execute == Execute::ForReal {
        write_durably(path, text.as_bytes())
            .map_err(FileError::of("write", path))
            .map_err(|error| CommandError::new(ExitCode::Config, error).hint("name a folder that you can write"))?;
    }
    context.shell.detail(path.display());
    Ok(())
}

fn tell(context: &Context, written: &Written, place: &str, execute: Execute) {
    let shell = &context.shell;
    match (written.files.is_empty(), execute) {
        (true, _) => shell.status("Unchanged", format_args!("the page in {place}")),
        (false, Execute::ForReal) => {
            shell.status("Written", format_args!("{} to {place}", written.files.join(", ")));
        }
        (false, Execute::DryRun) => {
            shell.status("Would write", format_args!("{} to {place}", written.files.join(", ")));
        }
    }
    shell.message(written);
}

/// The files of the page that were written.
#[derive(Debug, Default, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Written {
    files: Vec<String>,
}

impl Message for Written {
    const REASON: &'static str = "page-written";
}
