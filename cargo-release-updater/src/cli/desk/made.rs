//! The bundles and patches of a release: those that were made before, here or elsewhere, and those that are made now.

use super::Desk;
use super::diffed::Diffed;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::plan::{Plan, stem};
use crate::steps::bundle::{Bundled, Part};
use crate::steps::diff::{self, DiffLimits, OldBundle, Outcome, Patch};
use crate::steps::fetch::fetch_bundle;
use std::path::{Path, PathBuf};
use updater_format::release::BundleEntry;
use updater_format::{Platform, ReleaseVersion};

impl Desk<'_> {
    /// Finds the bundles of a version that were made before.
    pub(in crate::cli) fn bundles(&self, version: &ReleaseVersion) -> CommandResult<Vec<Bundled>> {
        self.bundles_in(&self.folders.bundles(), version)
    }

    /// Finds the bundles of a version in a folder.
    pub(in crate::cli) fn bundles_in(&self, folder: &Path, version: &ReleaseVersion) -> CommandResult<Vec<Bundled>> {
        let mut bundles = Vec::new();
        for path in files(folder, "json")? {
            let part = Part::read(&path)?;
            let component = part.component.as_ref().map(|of| &of.name);
            if (&part.app, component, &part.version) == (&self.trust.app, self.component.as_ref(), version) {
                bundles.push(Bundled::read(&path)?);
            }
        }
        match bundles.is_empty() {
            false => Ok(bundles),
            true => Err(CommandError::new(
                ExitCode::Bundle,
                format!("there is no bundle of {} {version} in {}", self.subject(), folder.display()),
            )
            .hint("make it with `cargo updater bundle`")),
        }
    }

    /// Finds the patches to these bundles that were made before.
    pub(in crate::cli) fn patches(&self, bundles: &[Bundled]) -> CommandResult<Vec<Patch>> {
        let mut patches = Vec::new();
        let begins = format!("{}-", stem(&self.trust.app, self.component.as_ref()));
        for path in files(&self.folders.patches(), "patch")? {
            // Others are not read: a long-lived folder has many.
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let to = |bundled: &Bundled| name.contains(&format!("-to-{}-", bundled.part.version));
            if !name.starts_with(&begins) || !bundles.iter().any(to) {
                continue;
            }
            let entry = diff::entry_of(&path)?;
            let ours = |bundled: &Bundled| {
                let part = &bundled.part;
                (&part.platform, &part.version, part.manifest) == (&entry.platform, &entry.version, entry.manifest)
            };
            // One from a release that the channel does not have would serve nobody.
            let from = |bundle: &BundleEntry| (&bundle.platform, &bundle.version) == (&entry.platform, &entry.from);
            let known = self.published().is_some_and(|published| published.bundles.iter().any(from));
            if known && bundles.iter().any(ours) {
                patches.push(Patch { entry, path });
            }
        }
        Ok(patches)
    }

    /// Fetches the bundles of earlier releases of one triple, in the order of the versions.
    pub(in crate::cli) fn earlier(
        &self,
        platform: &Platform,
        versions: &[ReleaseVersion],
    ) -> CommandResult<Vec<OldBundle>> {
        let published = self.published().map_or(&[][..], |published| &published.bundles);
        let mut earlier = Vec::new();
        for version in versions {
            let listed = published.iter().find(|bundle| (&bundle.platform, &bundle.version) == (platform, version));
            if let Some(entry) = listed {
                earlier.push(fetch_bundle(entry, &self.storage, &self.folders.cache(), &self.context.shell)?);
            }
        }
        Ok(earlier)
    }

    /// Makes the patches to the bundles of a release and tells what became of each.
    pub(in crate::cli) fn diff(
        &self,
        bundles: &[Bundled],
        plan: &Plan,
        limits: DiffLimits,
    ) -> CommandResult<Vec<Patch>> {
        self.diff_into(&self.folders.patches(), bundles, plan, limits)
    }

    /// Makes the patches to the bundles of a release into a folder: those of all triples side by side.
    pub(in crate::cli) fn diff_into(
        &self,
        folder: &Path,
        bundles: &[Bundled],
        plan: &Plan,
        limits: DiffLimits,
    ) -> CommandResult<Vec<Patch>> {
        let earlier = bundles.iter().map(|bundled| {
            let platform = &bundled.part.platform;
            let planned = plan.platforms.iter().find(|planned| planned.platform == *platform);
            self.earlier(platform, planned.map_or(&[][..], |planned| &planned.patches_from))
        });
        let earlier = earlier.collect::<CommandResult<Vec<_>>>()?;
        let pairs: Vec<_> = bundles.iter().zip(earlier.iter().map(Vec::as_slice)).collect();
        let shell = &self.context.shell;
        let mut patches = Vec::new();
        for (bundled, outcomes) in bundles.iter().zip(diff::diff_all(&pairs, folder, limits, shell)?) {
            for outcome in outcomes {
                diff::tell(&outcome, bundled, shell);
                shell.message(&Diffed::of(&outcome, bundled));
                if let Outcome::Kept(patch) = outcome {
                    patches.push(*patch);
                }
            }
        }
        Ok(patches)
    }

    /// Takes the patches that other machines have left beside their bundles. Nothing is believed of them: [`Desk::diff`]
    /// keeps one that leads to the very bundle when it is applied, and makes any other anew.
    pub(in crate::cli) fn take_patches(&self, folders: &[PathBuf], version: &ReleaseVersion) -> CommandResult {
        let (ours, to) = (format!("{}-", self.trust.app), format!("-to-{version}-"));
        for path in folders.iter().map(|folder| files(folder, "patch")).collect::<CommandResult<Vec<_>>>()?.concat() {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with(&ours) || !name.contains(&to) {
                continue;
            }
            let copy = self.folders.patches().join(name);
            let failed = |source| diff::DiffStepError::Write { path: copy.clone(), source };
            std::fs::create_dir_all(self.folders.patches()).map_err(failed)?;
            std::fs::copy(&path, &copy).map_err(failed)?;
        }
        Ok(())
    }
}

/// Lists the files of a folder with an extension, sorted; none when there is no folder.
fn files(folder: &Path, extension: &str) -> CommandResult<Vec<PathBuf>> {
    let failed = |source| crate::steps::bundle::BundleStepError::Read { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error).into()),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
