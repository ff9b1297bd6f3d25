//! A client of a simulated repository: the runtime's own refresh and download, on the simulated clock.

use super::RepositorySimulator;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use updater_format::json;
use updater_format::release::Artifact;
use updater_format::trust::{Rules, TrustedChannel};
use updater_format::{AppId, Sha256, SignaturePolicy};
use updater_runtime::download::{DownloadError, download};
use updater_runtime::refresh::{Refresh, RefreshError, Refreshed};
use updater_runtime::transport::{Fetcher, Mirror, Retry, Timeouts, Transport, Url};
use updater_runtime::{Clock as _, TrustStore};

/// A client with a state folder of its own. Its fields may be changed before any check.
#[derive(Debug)]
pub struct SimulatedClient {
    /// The root that is compiled in.
    pub embedded: Vec<u8>,
    /// The app that it is.
    pub app: AppId,
    /// Where it looks, in order.
    pub mirrors: Vec<Mirror>,
    /// What it fetches with.
    pub fetcher: Fetcher,
    /// Whether it keeps what it verified; without that every check is a first check.
    pub keeps_state: bool,
    state: TempDir,
    repository: RepositorySimulator,
}

impl SimulatedClient {
    pub(super) fn new(repository: &RepositorySimulator, embedded: Vec<u8>) -> Self {
        Self {
            embedded,
            app: repository.repo().app.clone(),
            mirrors: vec![mirror("https://a.example/")],
            fetcher: fetcher(repository.transport()),
            keeps_state: true,
            state: TempDir::new().unwrap(),
            repository: repository.clone(),
        }
    }

    /// Looks at these places instead, through this transport.
    #[must_use]
    pub fn over(mut self, transport: Arc<dyn Transport>, mirrors: &[&str]) -> Self {
        self.mirrors = mirrors.iter().map(|base| mirror(base)).collect();
        self.fetcher = fetcher(transport);
        self
    }

    /// Waits less long for a server than a client of the real world.
    #[must_use]
    pub fn impatient(mut self, timeouts: Timeouts) -> Self {
        self.fetcher = self.fetcher.with_timeouts(timeouts);
        self
    }

    /// Brings the top-level roles up to date.
    /// # Errors
    /// Any [`RefreshError`].
    pub fn refresh(&self) -> Result<(), RefreshError> {
        self.with(|_| Ok(()))
    }

    /// Brings everything up to date and reads a channel.
    /// # Errors
    /// Any [`RefreshError`].
    pub fn channel(&self, channel: &str) -> Result<TrustedChannel, RefreshError> {
        self.with(|refreshed| refreshed.channel(&channel.parse().unwrap()))
    }

    /// Brings everything up to date and returns the versions that the channel offers.
    /// # Errors
    /// Any [`RefreshError`].
    pub fn offers(&self, channel: &str) -> Result<Vec<String>, RefreshError> {
        let channel = self.channel(channel)?;
        Ok(channel.contents().bundles.iter().map(|bundle| bundle.version.to_string()).collect())
    }

    /// Brings the top-level roles up to date and lets the test look at them.
    /// # Errors
    /// Any [`RefreshError`].
    pub fn with<T>(&self, look: impl FnOnce(&Refreshed<'_>) -> Result<T, RefreshError>) -> Result<T, RefreshError> {
        let store = match self.keeps_state {
            true => TrustStore::new(self.metadata_dir()),
            false => TrustStore::nowhere(),
        };
        let refresh = Refresh::new(self.fetcher.clone(), self.mirrors.clone(), store);
        let rules =
            Rules { now: self.repository.clock.now(), policy: SignaturePolicy::default(), app: Some(self.app.clone()) };
        look(&refresh.run(rules, &self.embedded)?)
    }

    /// Downloads a file from the mirrors.
    /// # Errors
    /// Any [`DownloadError`].
    pub fn download(&self, artifact: &Artifact) -> Result<Vec<u8>, DownloadError> {
        let folder = self.state.path().join("download");
        std::fs::create_dir_all(&folder).unwrap();
        let version = "0.0.0".parse().unwrap();
        let urls: Vec<Url> =
            self.mirrors.iter().map(|m| m.target_url(&artifact.name, &artifact.sha256, &version)).collect();
        let mut file = download(&self.fetcher, &folder, artifact, &urls, &mut |_| {})?;
        let mut bytes = Vec::new();
        file.reader()?.read_to_end(&mut bytes).unwrap();
        file.discard();
        assert_eq!((bytes.len() as u64, Sha256::of(&bytes)), (artifact.length, artifact.sha256));
        Ok(bytes)
    }

    /// Returns what the client keeps: every role with its version, in order of name.
    #[must_use]
    pub fn keeps(&self) -> Vec<(String, u64)> {
        let Ok(folder) = std::fs::read_dir(self.metadata_dir()) else { return Vec::new() };
        let mut roles: Vec<(String, u64)> = folder
            .filter_map(|entry| {
                let path = entry.unwrap().path();
                let role = path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned();
                let document = json::parse("kept", &std::fs::read(&path).unwrap()).unwrap();
                Some((role, document["signed"]["version"].as_u64().unwrap()))
            })
            .collect();
        roles.sort();
        roles
    }

    /// Returns the folder with the trusted metadata.
    #[must_use]
    pub fn metadata_dir(&self) -> PathBuf {
        self.state.path().join("metadata")
    }

    /// Forgets everything that was kept, as a user who deletes the state folder.
    pub fn forget(&self) {
        let _ = std::fs::remove_dir_all(self.metadata_dir());
    }
}

fn mirror(base: &str) -> Mirror {
    Mirror::parse(base).unwrap()
}

/// One that tries once: a simulated failure does not pass by waiting.
fn fetcher(transport: Arc<dyn Transport>) -> Fetcher {
    let pause = Duration::from_millis(1);
    Fetcher::new(transport).with_retry(Retry { rounds: 1, pause, longest_pause: pause })
}
