//! Why an install could not be changed, and what to do about it.

use super::probe::ProbeError;
use crate::fs::PathError;
use std::path::PathBuf;
use updater_format::{FormatError, InstallKind, Platform, ReleaseVersion};

/// Why this copy of the app cannot be updated where it lies. Found before anything is downloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// A package manager installed this copy, by its own records.
    #[error("this copy was installed by {manager} and is updated by `{command}`")]
    PackageManager {
        /// Its name, for example `dpkg`.
        manager: &'static str,
        /// The command that updates it.
        command: String,
    },
    /// A package manager may have installed this copy: its records could not be read in time.
    #[error("{manager} did not say in time whether it installed this copy")]
    OwnerUnknown {
        /// Its name, for example `rpm`.
        manager: &'static str,
    },
    /// macOS runs a copy of the app from a random place, because it was opened where it was unpacked.
    #[error("macOS runs this copy from a temporary, read-only place ({})", path.display())]
    Translocated {
        /// The program.
        path: PathBuf,
    },
    /// The app was opened on a disk image.
    #[error("this copy lies on the disk image {}", path.display())]
    DiskImage {
        /// The volume.
        path: PathBuf,
    },
    /// The file system is mounted read-only.
    #[error("{} is on a read-only file system", path.display())]
    ReadOnly {
        /// The folder that would have to change.
        path: PathBuf,
    },
    /// This user may not change the folder.
    #[error("{} is not writable by this user", path.display())]
    NotWritable {
        /// The folder that would have to change.
        path: PathBuf,
    },
    /// The process runs as the administrator and another user could change what it would run.
    #[error("{} can be changed by another user than the administrator", path.display())]
    NotTrusted {
        /// The folder that another user owns or may write.
        path: PathBuf,
    },
    /// The folder cannot be exchanged in one step on this file system.
    #[error("the file system of {} cannot exchange folders in one step ({reason})", path.display())]
    NoExchange {
        /// The folder of the install.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The folder of a running program cannot be replaced on Windows.
    #[error("Windows replaces no folder whose programs run, as {} is one", path.display())]
    FolderInUse {
        /// The folder of the install.
        path: PathBuf,
    },
    /// Another file system is mounted inside the folder, so its files cannot be carried over.
    #[error("{} is a mount point inside the install", path.display())]
    MountInside {
        /// The mount point.
        path: PathBuf,
    },
}

impl Obstacle {
    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::PackageManager { .. } => "run that command to update it",
            Self::OwnerUnknown { .. } => {
                "wait until no package is being installed, then check again; ask the package manager which package has the program"
            }
            Self::Translocated { .. } => {
                "quit the app, move it to the Applications folder with the Finder, and open it there"
            }
            Self::DiskImage { .. } => {
                "copy the app to the Applications folder, eject the disk image, and open the copy"
            }
            Self::ReadOnly { .. } => "update the image or package that this copy comes from",
            Self::FolderInUse { .. } => "publish it as a single executable for Windows",
            Self::NotWritable { .. } if cfg!(windows) => {
                "run the update as the user who installed the app; if that was an administrator, start it once by `Run as administrator`"
            }
            Self::NotWritable { .. } => "run the update as the user who installed the app",
            Self::NotTrusted { .. } => {
                "run the update as the owner of the folder, or give the folder to the administrator"
            }
            Self::NoExchange { .. } => {
                "move the app to a local file system such as ext4, xfs or btrfs, or install it as versions/ behind a link"
            }
            Self::MountInside { .. } => "unmount it while updating, or keep it outside the install",
        }
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::PackageManager { .. } => "install-package-manager",
            Self::OwnerUnknown { .. } => "install-owner-unknown",
            Self::Translocated { .. } => "install-translocated",
            Self::DiskImage { .. } => "install-disk-image",
            Self::ReadOnly { .. } => "install-read-only",
            Self::NotWritable { .. } => "install-not-writable",
            Self::NotTrusted { .. } => "install-not-trusted",
            Self::NoExchange { .. } => "install-no-exchange",
            Self::FolderInUse { .. } => "install-folder-in-use",
            Self::MountInside { .. } => "install-mount-inside",
        }
    }
}

/// A change of the install that was not made, or was undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] PathError),
    /// This copy cannot be updated where it lies.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// Another process is updating this copy.
    #[error("another process{} is updating {}", owner.map(|pid| format!(" ({pid})")).unwrap_or_default(), path.display())]
    Busy {
        /// The install.
        path: PathBuf,
        /// The number of that process, when it is known.
        owner: Option<u32>,
    },
    /// The program does not lie where an install has it.
    #[error("{} is not {entry} of an install", path.display())]
    NotAnInstall {
        /// The program.
        path: PathBuf,
        /// Where it should lie inside the install.
        entry: String,
    },
    /// The folder of the installed version is not called after that version.
    #[error("{} should be called {expected}", path.display())]
    Misnamed {
        /// The folder.
        path: PathBuf,
        /// What it should be called.
        expected: String,
    },
    /// A first install into a folder that has a version already.
    #[error("{} is there already", path.display())]
    Occupied {
        /// The link `current`.
        path: PathBuf,
    },
    /// The folder for a component holds something else, which an update would take away.
    #[error("{} is not a folder of the component {component}: {problem}", path.display())]
    NotThisComponent {
        /// The folder.
        path: PathBuf,
        /// The component.
        component: updater_format::ComponentName,
        /// What it is instead.
        problem: String,
    },
    /// A version that is not on this disk, or that is the current one.
    #[error("version {version} cannot be returned to: {problem}")]
    NotKept {
        /// The version.
        version: ReleaseVersion,
        /// Why not.
        problem: &'static str,
    },
    /// A version with a lower security counter than one that was completed here.
    #[error("{version} has the security counter {epoch}, but {completed} was installed here")]
    LowerEpoch {
        /// The version.
        version: ReleaseVersion,
        /// Its counter.
        epoch: u64,
        /// The highest one here.
        completed: u64,
    },
    /// Something that is not this version of the app has the name that its folder needs.
    #[error("{} is in the way of version {version}, and is not that version of this app", path.display())]
    NameTaken {
        /// What lies there.
        path: PathBuf,
        /// The version that cannot be put there.
        version: ReleaseVersion,
    },
    /// The link to the installed version leads to none of the versions beside it.
    #[error("{} does not lead to the folder of a version", path.display())]
    LostLink {
        /// The link.
        path: PathBuf,
    },
    /// The installed program is not the one that runs, or that the update was chosen for: somebody else has updated it.
    #[error("{} has changed since this process looked at it", path.display())]
    Changed {
        /// The installed program.
        path: PathBuf,
    },
    /// Another program has the installed one open, and did not give it back in time. The release waits, verified, and the
    /// next start of the app installs it.
    #[error("version {version} waits for the next start")]
    Deferred {
        /// The release.
        version: ReleaseVersion,
        /// What could not be done.
        source: PathError,
    },
    /// The release is installed in another way than this copy.
    #[error("release {version} is installed as {got}, this copy as {expected}")]
    OtherKind {
        /// The release.
        version: ReleaseVersion,
        /// How this copy is installed.
        expected: InstallKind,
        /// How the release is installed.
        got: InstallKind,
    },
    /// The installed folder's manifest is missing or damaged, so that nobody knows which files belong to the app.
    #[error("{} does not say which files the app owns", path.display())]
    OwnManifest {
        /// The manifest in the installed folder.
        path: PathBuf,
        /// What is wrong with it, unless it is missing.
        source: Option<FormatError>,
    },
    /// A release of an app bundle has the same program, `Info.plist` and seal as the installed one: after a crash nobody could
    /// tell which of them is in place.
    #[error("release {version} cannot be told from the installed app: program, Info.plist and seal are the same")]
    SameBundle {
        /// The release.
        version: ReleaseVersion,
    },
    /// A file that was staged or kept is not what the manifest says.
    #[error("{} is not the file that was verified: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What differs.
        problem: &'static str,
    },
    /// The staged program was built for another processor than its release says.
    #[error("{} is not a program for {platform} ({format} machine {found})", path.display())]
    OtherMachine {
        /// The staged program.
        path: PathBuf,
        /// The platform of the release.
        platform: Platform,
        /// The format of the program: `ELF` or `PE`.
        format: &'static str,
        /// The number of the processor in its header.
        found: u32,
    },
    /// The staged program did not answer the probe, so it was not installed.
    #[error("release {version} does not start here")]
    Probe {
        /// The release.
        version: ReleaseVersion,
        /// What happened.
        source: ProbeError,
    },
    /// The journal was written by a later version of the updater.
    #[error("{} cannot be read by this version", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Which version wrote it.
        source: FormatError,
    },
    /// This process was already restarted from the version that it has.
    #[error("version {version} was restarted and is version {version} again")]
    RestartLoop {
        /// The version of this process.
        version: ReleaseVersion,
    },
    /// The new version is installed but could not be started in place of this process.
    #[error("cannot start {}", path.display())]
    Restart {
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl InstallError {
    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File(error) => error.hint(),
            Self::Obstacle(obstacle) => obstacle.hint(),
            Self::Busy { .. } => "wait until it has finished, then check again",
            Self::NotAnInstall { .. } => "start the installed program, not a build or a loose copy of it",
            Self::Misnamed { .. } => "rename the folder, and let the link `current` lead to it",
            Self::Occupied { .. } => "update it, or install into another folder",
            Self::NotThisComponent { .. } => "give the component an empty folder, or one that is not there yet",
            Self::NotKept { .. } => "choose one of the versions that are kept",
            Self::LowerEpoch { .. } => {
                "the publisher has raised it because older versions are not safe; wait for a newer one, or install afresh elsewhere"
            }
            Self::NameTaken { .. } => "rename it, or remove it if nobody needs it, then update again",
            Self::LostLink { .. } => "let the link lead to the folder of the installed version in versions/",
            Self::Changed { .. } => "restart the app, or look again at what is installed: it was updated meanwhile",
            Self::Deferred { .. } => "close other programs that use the installed one, and start the app again",
            Self::OtherKind { .. } => "install the new release by hand once",
            Self::OwnManifest { .. } => "unpack the bundle of the installed version over it, or install afresh",
            Self::SameBundle { .. } => "publish it signed, and with its own version in Info.plist",
            Self::Damaged { .. } => "check again: it is downloaded anew",
            Self::OtherMachine { .. } => "publish a bundle that was built for this platform",
            Self::Probe { source, .. } => source.hint(),
            Self::Journal { .. } => "update by the newer version, or remove this file while the app is not running",
            Self::RestartLoop { .. } => "publish a release whose program has the version that it is published as",
            Self::Restart { .. } => "start the app again by hand: the new version is installed",
        }
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) if error.is_out_of_space() => "install-no-space",
            Self::File(_) => "install-file",
            Self::Obstacle(obstacle) => obstacle.code(),
            Self::Busy { .. } => "install-busy",
            Self::NotAnInstall { .. } => "install-not-found",
            Self::Misnamed { .. } => "install-misnamed",
            Self::Occupied { .. } => "install-occupied",
            Self::NotThisComponent { .. } => "install-not-this-component",
            Self::NotKept { .. } => "install-not-kept",
            Self::LowerEpoch { .. } => "install-lower-epoch",
            Self::NameTaken { .. } => "install-name-taken",
            Self::LostLink { .. } => "install-lost-link",
            Self::Changed { .. } => "install-changed",
            Self::Deferred { .. } => "install-deferred",
            Self::OtherKind { .. } => "install-other-kind",
            Self::OwnManifest { .. } => "install-manifest",
            Self::SameBundle { .. } => "install-same-bundle",
            Self::Damaged { .. } => "install-damaged",
            Self::OtherMachine { .. } => "install-other-machine",
            Self::Probe { .. } => "install-probe",
            Self::Journal { .. } => "install-journal",
            Self::RestartLoop { .. } => "restart-loop",
            Self::Restart { .. } => "restart",
        }
    }
}
