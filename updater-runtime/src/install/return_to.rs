//! Going back at the word of whoever watches the app: from a trial that it saw fail, or to a version that is kept.

use super::manifests::inside;
use super::rollback::check_kept;
use super::session::Session;
use super::settle::{Settled, put_back};
use super::staged::installed;
use super::trial::PATIENCE;
use super::{InstallError, Layout, journal};
use updater_format::state::{JournaledRelease, Phase, Trial};
use updater_format::{ReleaseVersion, UtcTime};

/// The versions of a trial that has not ended: the one that is kept, and the one that is tried.
pub(crate) fn trial_of(layout: &Layout) -> Result<Option<(JournaledRelease, JournaledRelease)>, InstallError> {
    Ok(match journal::read(layout)? {
        journal::Found::State(state) => match state.phase {
            Phase::Trial { from, to, .. } => Some((from, to)),
            _ => None,
        },
        _ => None,
    })
}

/// `Trial` -> `Idle` with the kept release: puts it back whatever the count of attempts says. Returns the version in place
/// and the one that failed; `None` without a trial.
/// # Errors
/// [`InstallError::Damaged`] when the kept release is not whole: the one on trial stays; [`InstallError::Busy`];
/// [`InstallError::File`].
pub(crate) fn put_back_now(
    layout: &Layout,
    now: UtcTime,
) -> Result<Option<(ReleaseVersion, ReleaseVersion)>, InstallError> {
    let session = Session::recover(layout, PATIENCE, now)?;
    let Phase::Trial { from, to, .. } = session.phase() else { return Ok(None) };
    returned(put_back(session, &from, &to, now)?)
}

/// Why the current version is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its owner wants another one. No release below the security counter is installed at anybody's word.
    Wanted,
    /// It does not work, though its trial is over: it has confirmed itself, and whoever watches it saw it fail.
    Failed,
}

/// Goes back to a version that is kept. The version left is treated like one that failed its trial: it is removed and not
/// offered again for a while.
///
/// # Errors
/// [`InstallError::NotKept`] for a version that is not there or is the current one; [`InstallError::LowerEpoch`] for one below
/// the security counter, unless the current version has [`Reason::Failed`]; [`InstallError::Damaged`] when it is not whole,
/// before anything is written; all of [`put_back_now`].
pub(crate) fn return_to(
    layout: &Layout,
    version: &ReleaseVersion,
    reason: Reason,
    now: UtcTime,
) -> Result<Option<(ReleaseVersion, ReleaseVersion)>, InstallError> {
    let not_kept = |problem| InstallError::NotKept { version: version.clone(), problem };
    let versions = layout.versions().ok_or_else(|| not_kept("this install keeps no versions"))?;
    let mut session = Session::recover(layout, PATIENCE, now)?;
    let tree = versions.tree(version);
    if tree == layout.tree()? {
        return Err(not_kept("it is the current one"));
    }
    if !versions.all()?.contains(version) {
        return Err(not_kept("it is not kept here"));
    }
    let (manifest, digest) = inside(&tree)?.ok_or_else(|| not_kept("its manifest cannot be read"))?;
    let (epoch, completed) = session.counters_of(digest);
    if reason == Reason::Wanted && epoch < completed {
        return Err(InstallError::LowerEpoch { version: version.clone(), epoch, completed });
    }
    let kept =
        JournaledRelease { entry: manifest.entry_digest(), manifest: Some(digest), version: version.clone(), epoch };
    check_kept(layout, &kept)?;
    let current = installed(layout, version.clone())?;
    session.clear_staged()?;
    // From here on it is the return from a trial, with the same repairs when it is interrupted.
    session.write(Phase::Trial { from: kept.clone(), to: current.clone(), trial: Trial::Confirm })?;
    returned(put_back(session, &kept, &current, now)?)
}

/// Returns the versions that lie in folders of their own, the highest first.
pub(crate) fn kept_versions(layout: &Layout) -> Result<Vec<ReleaseVersion>, InstallError> {
    let mut versions = layout.versions().map_or(Ok(Vec::new()), super::versions::Versions::all)?;
    versions.sort_by(|a, b| b.cmp(a));
    Ok(versions)
}

fn returned(settled: Settled) -> Result<Option<(ReleaseVersion, ReleaseVersion)>, InstallError> {
    Ok(match settled {
        Settled::Returned { installed, bad } => Some((installed.version().clone(), bad)),
        _ => None,
    })
}
