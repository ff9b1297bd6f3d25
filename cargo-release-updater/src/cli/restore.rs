//! `cargo updater restore`: puts the copy of `verify --save` back where a storage lost its files.

use super::{DryRunArgs, KeyFolderArgs, PackageArgs, StorageArgs};
use crate::config::Project;
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::progress::counted;
use crate::repository::record_of;
use crate::restore::{Restore, root_of_copy};
use crate::steps::sign::{Trust, kept_roots};
use crate::verify::{Depth, Verification};
use std::path::{Path, PathBuf};
use updater_format::UtcTime;
use updater_format::role::Targets;
use updater_format::signed::{Signed, Untrusted};
use updater_runtime::transport::{Mirror, Url};

/// Put a saved copy back where files are missing; needs no key.
///
/// `cargo updater verify --save` makes the copy.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater restore /backup/hello\n  cargo updater restore /backup/hello --storage fs:/srv/hello\n\n\
                        The copy is verified first, and refused when it is older than what was\n\
                        published. Nothing that is there is overwritten. Afterwards\n\
                        `cargo updater refresh` signs a fresh timestamp."
)]
pub(super) struct Args {
    /// The folder of the copy.
    #[arg(value_name = "DIR")]
    copy: PathBuf,
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
    /// The root of the time of the copy, from version control, where the project does not keep it; may be given several times.
    #[arg(long, value_name = "FILE", help_heading = "Selection")]
    root: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyFolderArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let project = Project::find(context, &self.package)?;
        let trust = Trust::of(&project)?;
        let storage = self.storage.open(context, &project)?;
        let copy = crate::init::absolute(&context.working_dir, &self.copy);
        let url = Url::from_path(&copy)
            .map_err(|error| CommandError::new(ExitCode::Usage, error).hint("name the folder of the copy"))?;
        let mut roots = kept_roots(&project.root_file()?, &trust.root)?;
        roots.push(trust.root.clone());
        let named = self.root.iter().map(|path| super::verify::trusted_root(context, Some(path), None));
        let named = named.collect::<CommandResult<Vec<_>>>()?;
        // The newest that the copy has, too: from there on it is read as a client does.
        let trusted = root_of_copy(&copy, named.iter().chain(roots.iter().rev()));
        let is_known = trusted.is_some();
        let trusted = trusted.unwrap_or(&trust.root).clone();
        context.shell.status("Verifying", format_args!("{} at {url}", trust.app));
        let verification = Verification {
            url: &url,
            mirror: &Mirror::new(&url),
            root: &trusted,
            app: Some(trust.app.clone()),
            // A copy is put back on the worst day, when everything in it may be past its time.
            now: UtcTime::from_unix(0),
            missing_status: &[404],
            depth: Depth::Files,
            save: None,
            attestation: None,
            shell: &context.shell,
        };
        let verified = verification.run(
            |_| true,
            |checked| {
                if let Some(problem) = &checked.problem {
                    context.shell.warn(format_args!("{}: {problem}", checked.file));
                }
            },
        );
        verified.map_err(|error| {
            let error = CommandError::from(error);
            match is_known {
                true => error,
                false => error.hint(
                    "the copy has none of the project's roots: name the one of its time with `--root FILE`, from version control",
                ),
            }
        })?;
        let own_targets = Signed::<Targets>::parse(&Untrusted::new(&*trust.targets));
        let own_targets = own_targets.map_or(0, |targets| targets.unverified().version);
        let execute = self.dry_run.execute();
        let keys = self.keys.folder(context, &trust.app);
        let record = keys.map(|keys| record_of(&storage, &keys)).ok().or_else(|| storage.record().map(Path::to_owned));
        let roots = [named, roots].concat();
        let restored = Restore {
            copy: &copy,
            storage: &storage,
            app: &trust.app,
            root: &trusted,
            roots: &roots,
            record: record.as_deref(),
            execute,
            shell: &context.shell,
        };
        let restored = restored.run()?;
        for file in &restored.restored {
            context.shell.detail(file);
        }
        let verb = if execute == Execute::DryRun { "Would restore" } else { "Restored" };
        context.shell.status(
            verb,
            format_args!(
                "{} of {} to {}, {} were there",
                counted(restored.restored.len(), "file"),
                trust.app,
                storage.name(),
                restored.unchanged
            ),
        );
        match restored.kept_timestamp {
            Some(there) => context.shell.note(format_args!(
                "timestamp.json was there and stays: version {there}, the copy has version {}",
                restored.timestamp
            )),
            None if restored.older_root || restored.targets < own_targets => context.shell.note(
                "the copy is from before the project's own root and targets role: sign on top of those now, with `cargo updater \
                 keys renew targets --restored`",
            ),
            None => context.shell.note("sign a fresh timestamp now: `cargo updater refresh`"),
        }
        context.shell.message(&restored);
        Ok(())
    }
}
