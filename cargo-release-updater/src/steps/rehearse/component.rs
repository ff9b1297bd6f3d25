//! The rehearsal of a component: a client of the app swaps the folder of the older release for the new one.

use super::{Offer, Reached, RehearseError, Run, Setup, Taken, fresh, manifest_of};
use crate::serve::Server;
use crate::steps::diff::OldBundle;
use std::path::Path;
use updater_format::release::BundleEntry;
use updater_format::{InstallKind, ReleaseVersion};
use updater_runtime::{ComponentStatus, Updater};

/// Unpacks the old release into a folder and updates it.
pub(super) fn update(
    repository: &Path,
    server: &Server,
    old: &OldBundle,
    new: &BundleEntry,
    offer: Offer,
    setup: &Setup<'_>,
) -> Result<Run, RehearseError> {
    let (from, to) = (&old.entry.version, &new.version);
    let failed = |source| RehearseError::Client { from: from.clone(), to: to.clone(), source: Box::new(source) };
    let io = |source| RehearseError::Io { path: setup.folder.to_owned(), source };
    let temp = tempfile::tempdir_in(setup.folder).map_err(io)?;
    let name = new.component.as_ref().map(ToString::to_string).unwrap_or_default();
    let folder = temp.path().join("component");
    fresh::install_fresh(old, &folder)?;
    // The client is an app that may have the release. Its program is never started.
    let program = temp.path().join(setup.app.as_str());
    std::fs::write(&program, b"").map_err(io)?;
    let app_version = setup.app_version.cloned().unwrap_or_else(ReleaseVersion::lowest);
    let app_version = new.minimum_app.clone().map_or(app_version.clone(), |minimum| minimum.max(app_version));
    let platform = if new.platform.is_any() { setup.host } else { &new.platform };
    let config = setup.config(&app_version, platform, server, offer, temp.path()).map_err(failed)?;
    let updater = Updater::new(config.with_executable(&program).with_probe(None)).map_err(failed)?;
    let component = updater.component(&name, &folder).map_err(failed)?;
    let update = match component.check().map_err(failed)? {
        ComponentStatus::Available(update) => update,
        ComponentStatus::NoUpdate(why) => {
            return Err(RehearseError::NoUpdate { from: from.clone(), to: to.clone(), why: why.to_string() });
        }
    };
    if update.version() != to {
        let found = Box::new(update.version().clone());
        return Err(RehearseError::OtherVersion { from: from.clone(), to: to.clone(), found });
    }
    let mut taken = Taken::new(update.routes(), offer);
    let staged = update.download_with_events(|_| {}, |event| taken.note(event));
    taken.check(from, to)?;
    staged.map_err(failed)?.install().map_err(failed)?;
    fresh::check_installed(&manifest_of(repository, new)?, None, InstallKind::Component, &folder)?;
    let (by, bytes) = taken.way();
    Ok(Run {
        component: new.component.clone(),
        platform: new.platform.clone(),
        from: from.clone(),
        to: to.clone(),
        by: Some(by),
        bytes,
        reached: Reached::Installed,
    })
}
