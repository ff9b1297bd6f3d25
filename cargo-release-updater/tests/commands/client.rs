//! An installed copy of the app that a package publishes, with the client's own library, for tests that go through years
//! in a second.

use crate::package::Package;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use updater_format::{FilePath, UtcTime};
use updater_runtime::{Config, FixedClock, NoUpdate, Status, Updater};

/// One installed copy, with a memory of its own.
pub(crate) struct Client {
    folder: tempfile::TempDir,
    root: Vec<u8>,
    url: String,
}

/// What a copy tells when it looks for an update.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It installed this version.
    Updated(String),
    /// It has the newest version.
    Current,
    /// A role is past its time.
    Stale(String),
    /// Anything else, as the app would print it.
    Other(String),
}

impl Client {
    /// Installs a version from the bundle that was made of it. It trusts the root that the project has now.
    pub(crate) fn install(package: &Package, version: &str) -> Self {
        Self::install_from(package, version, Path::new("target/updater/repository/hello"))
    }

    /// Installs a version that reads from another folder of the package.
    pub(crate) fn install_from(package: &Package, version: &str, repository: &Path) -> Self {
        let repository = package.path("").join(repository);
        Self::install_at(package, version, format!("file://{}", repository.display()))
    }

    /// Installs a version that reads at this address.
    pub(crate) fn install_at(package: &Package, version: &str, url: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("app/hello");
        std::fs::create_dir_all(&tree).unwrap();
        let bundle = package.path(&format!("target/updater/bundles/hello-{version}-x86_64-unknown-linux-gnu.tar.xz"));
        let status = Command::new("tar").arg("-xJf").arg(bundle).arg("-C").arg(&tree).status().unwrap();
        assert!(status.success());
        let root = std::fs::read(package.path("updater/root.json")).unwrap();
        Self { folder, root, url }
    }

    /// Returns the version that is installed, by asking the installed program.
    pub(crate) fn version(&self) -> String {
        let output = Command::new(self.tree().join("hello")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().strip_prefix("hello ").unwrap().to_owned()
    }

    /// Looks for an update this many days from now, and takes it.
    pub(crate) fn update_in(&self, days: i64) -> Told {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let now = UtcTime::from_unix(i64::try_from(now).unwrap()).plus_days(days);
        let config = Config::new(
            "hello".parse().unwrap(),
            self.version().parse().unwrap(),
            "x86_64-unknown-linux-gnu".parse().unwrap(),
            self.root.clone(),
            &self.url,
        )
        .unwrap()
        .with_directory(self.tree(), FilePath::parse("hello").unwrap())
        .with_state_dir(self.folder.path().join("state"))
        .with_interval(std::time::Duration::ZERO)
        .with_clock(Arc::new(FixedClock(now)));
        let updater = Updater::new(config).unwrap();
        match updater.check() {
            Ok(Status::Available(update)) => {
                let version = update.version().to_string();
                update.download(|_| {}).unwrap().install().unwrap();
                assert_eq!(self.version(), version);
                Told::Updated(version)
            }
            Ok(Status::NoUpdate(NoUpdate::Current { .. })) => Told::Current,
            Ok(Status::NoUpdate(NoUpdate::Stale { role, .. })) => Told::Stale(role),
            Ok(Status::NoUpdate(other)) => Told::Other(other.to_string()),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                Told::Other(format!("{error}{cause}"))
            }
        }
    }

    /// Looks for an update now, and takes it.
    pub(crate) fn update(&self) -> Told {
        self.update_in(0)
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("app/hello")
    }
}
