//! The client that polls: the real one, with a memory of what it has seen, so that going back is noticed too.

use super::{App, Failure, beta, now};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use updater_format::role::Payload as _;
use updater_format::trust::Rules;
use updater_format::{Channel, ReleaseVersion, Sha256, SignaturePolicy};
use updater_runtime::TrustStore;
use updater_runtime::download::download;
use updater_runtime::refresh::Refresh;
use updater_runtime::transport::{Fetcher, HttpOptions, HttpTransport, Mirror, SchemeTransport, Url};

/// A client of one repository.
pub struct Client {
    refresh: Refresh,
    fetcher: Fetcher,
    root: Vec<u8>,
    folder: tempfile::TempDir,
    downloaded: BTreeSet<Sha256>,
}

impl Client {
    /// Makes a client that knows nothing but the root.
    /// # Errors
    /// When it cannot be set up.
    pub fn new(app: &App, url: &str) -> Result<Self, Failure> {
        let url = match url.strip_prefix("fs:") {
            Some(folder) => Url::from_path(Path::new(folder))?,
            None => Url::parse(url)?,
        };
        let folder = tempfile::tempdir()?;
        let http = HttpTransport::new(HttpOptions::default().with_missing_status(MISSING.to_vec()))?;
        let fetcher = Fetcher::new(Arc::new(SchemeTransport::new(Some(Box::new(http)))));
        let store = TrustStore::new(folder.path().join("trusted"));
        let refresh = Refresh::new(fetcher.clone(), vec![Mirror::new(&url)], store);
        Ok(Self { refresh, fetcher, root: app.role("root")?, folder, downloaded: BTreeSet::new() })
    }

    /// Reads the state that is published now, downloads what it has not seen before, and returns each release that is
    /// listed as `CHANNEL VERSION TRIPLE`.
    /// # Errors
    /// Whatever does not verify.
    pub fn poll(&mut self) -> Result<BTreeSet<String>, Failure> {
        let rules = Rules { now: now(), policy: SignaturePolicy::default(), app: Some(App::id()?) };
        let refreshed = self.refresh.run(rules, &self.root)?;
        let mut listed = BTreeSet::new();
        for channel in [Channel::stable(), beta()?] {
            if !refreshed.set().current_snapshot().roles.contains_key(channel.as_str()) {
                continue;
            }
            let role = refreshed.channel(&channel)?;
            if role.role().expires() <= now() {
                return Err(format!("{channel} is expired").into());
            }
            for bundle in &role.contents().bundles {
                listed.insert(format!("{channel} {} {}", bundle.version, bundle.platform));
                let artifact = &bundle.artifact;
                if self.downloaded.contains(&artifact.sha256) {
                    continue;
                }
                let version = ReleaseVersion::parse("0.0.0")?;
                let mirrors = refreshed.mirrors().iter();
                let urls: Vec<Url> =
                    mirrors.map(|mirror| mirror.target_url(&artifact.name, &artifact.sha256, &version)).collect();
                drop(download(&self.fetcher, self.folder.path(), artifact, &urls, &mut |_| {})?);
                self.downloaded.insert(artifact.sha256);
            }
        }
        Ok(listed)
    }
}

/// S3 answers 403 to whoever may not list the bucket.
const MISSING: [u16; 2] = [404, 403];
