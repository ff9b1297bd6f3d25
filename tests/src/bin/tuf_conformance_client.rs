//! The client that the official TUF conformance suite drives
//! (<https://github.com/theupdateframework/tuf-conformance>, `CLIENT-CLI.md`): the runtime's own refresh, store,
//! transport and download behind the suite's command line.
//!
//! It differs from an app's client in its settings alone: no app id to match, ECDSA and RSA accepted besides Ed25519, one
//! request at a time in the suite's order, and a search along delegations where an app reads one channel.
//!
//! ```text
//! client --metadata-dir D init ROOT
//! client --metadata-dir D --metadata-url U refresh
//! client --metadata-dir D --metadata-url U --target-name T... --target-base-url V --target-dir X download
//! ```

use std::error::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use updater_format::release::Artifact;
use updater_format::role::{Hashes, TargetFile};
use updater_format::signed::Untrusted;
use updater_format::trust::{Rules, SearchStep, quote};
use updater_format::{Sha256, SignaturePolicy, TargetName, UtcTime};
use updater_runtime::download::download;
use updater_runtime::refresh::{Refresh, Refreshed, RequestOrder};
use updater_runtime::transport::{
    Document, DocumentRequest, Fetcher, HttpOptions, HttpTransport, Mirror, Retry, TargetLayout, Timeouts, Url,
};
use updater_runtime::{Clock as _, SystemClock, TrustStore};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)).and_then(|arguments| arguments.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

/// The command line of the suite.
#[derive(Debug, Default)]
struct Arguments {
    metadata_dir: PathBuf,
    metadata_url: Option<String>,
    target_names: Vec<String>,
    target_base_url: Option<String>,
    target_dir: Option<PathBuf>,
    command: Vec<String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self::default();
        while let Some(word) = words.next() {
            if !word.starts_with("--") {
                parsed.command.push(word);
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--metadata-dir" => parsed.metadata_dir = value.into(),
                "--metadata-url" => parsed.metadata_url = Some(value),
                "--target-name" => parsed.target_names.push(value),
                "--target-base-url" => parsed.target_base_url = Some(value),
                "--target-dir" => parsed.target_dir = Some(value.into()),
                _ => return Err(format!("{word} is not an option").into()),
            }
        }
        Ok(parsed)
    }

    fn run(&self) -> Result<()> {
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        match command[..] {
            ["init", root] => self.init(Path::new(root)),
            ["refresh"] => self.client()?.refresh().map(drop),
            ["download"] => {
                let client = self.client()?;
                let refreshed = client.refresh()?;
                self.target_names.iter().try_for_each(|name| client.download(&refreshed, name))
            }
            _ => Err("the command must be init ROOT, refresh or download".into()),
        }
    }

    /// Keeps the root that everything starts from, as an app has it compiled in.
    fn init(&self, root: &Path) -> Result<()> {
        std::fs::create_dir_all(self.metadata_dir.join(PRIVATE))?;
        std::fs::copy(root, self.metadata_dir.join(PRIVATE).join(INITIAL_ROOT))?;
        std::fs::copy(root, self.metadata_dir.join("root.json"))?;
        Ok(())
    }

    fn client(&self) -> Result<Client> {
        let url = |text: &Option<String>, name| -> Result<Url> {
            Ok(Url::parse(text.as_deref().ok_or_else(|| format!("{name} is missing"))?)?)
        };
        let metadata = url(&self.metadata_url, "--metadata-url")?;
        let targets = self.target_base_url.as_ref().map(|_| url(&self.target_base_url, "--target-base-url"));
        let targets = targets.transpose()?.unwrap_or_else(|| metadata.clone());
        let fetcher = Fetcher::new(Arc::new(HttpTransport::new(HttpOptions::default())?))
            .with_timeouts(Timeouts::default())
            .with_retry(Retry { rounds: 1, ..Retry::default() });
        let mirror = Mirror::from_parts(metadata, targets.clone(), TargetLayout::Hashed);
        let store = TrustStore::new(&self.metadata_dir);
        Ok(Client {
            refresh: Refresh::new(fetcher.clone(), vec![mirror], store).with_order(RequestOrder::Strict),
            fetcher,
            targets,
            private: self.metadata_dir.join(PRIVATE),
            target_dir: self.target_dir.clone().unwrap_or_default(),
        })
    }
}

/// One client instance.
struct Client {
    refresh: Refresh,
    fetcher: Fetcher,
    targets: Url,
    private: PathBuf,
    target_dir: PathBuf,
}

impl Client {
    fn refresh(&self) -> Result<Refreshed<'_>> {
        let initial_root = std::fs::read(self.private.join(INITIAL_ROOT))?;
        let rules =
            Rules { now: SystemClock::new(UtcTime::from_unix(0)).now(), policy: SignaturePolicy::Interop, app: None };
        Ok(self.refresh.run(rules, &initial_root)?)
    }

    fn download(&self, refreshed: &Refreshed<'_>, name: &str) -> Result<()> {
        let file = find(refreshed, name)?.ok_or_else(|| format!("no role that may list it lists {name:?}"))?;
        // Percent-encoded, so that no target name is a path.
        let place = self.target_dir.join(quote(name));
        if std::fs::read(&place).is_ok_and(|bytes| is_the_file(&file, &bytes)) {
            return Ok(());
        }
        let url = self.url(refreshed, name, &file.hashes);
        let bytes = match file.hashes.sha256() {
            Some(sha256) => self.download_as_apps_do(&url, &file, sha256)?,
            None => self.fetch(&url, &file)?,
        };
        if !is_the_file(&file, &bytes) {
            return Err(format!("{name:?} does not have the signed length and hashes").into());
        }
        Ok(std::fs::write(place, bytes)?)
    }

    /// TUF 5.7: `HASH.file` under consistent snapshots, in the folder that the name has.
    fn url(&self, refreshed: &Refreshed<'_>, name: &str, hashes: &Hashes) -> Url {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let mut url = folder
            .split('/')
            .filter(|part| !part.is_empty())
            .fold(self.targets.clone(), |url, part| url.join(&quote(part)));
        url = match refreshed.set().current_root().consistent_snapshot {
            true => url.join(&format!("{}.{}", hashes.prefix(), quote(file))),
            false => url.join(&quote(file)),
        };
        url
    }

    fn download_as_apps_do(&self, url: &Url, file: &TargetFile, sha256: Sha256) -> Result<Vec<u8>> {
        let folder = self.private.join("download");
        std::fs::create_dir_all(&folder)?;
        // The name is for messages: the suite's own names are paths, which an app's artifacts never are.
        let artifact = Artifact { name: TargetName::parse("target")?, length: file.length, sha256 };
        let mut verified = download(&self.fetcher, &folder, &artifact, std::slice::from_ref(url), &mut |_| {})?;
        let mut bytes = Vec::new();
        verified.reader()?.read_to_end(&mut bytes)?;
        verified.discard();
        Ok(bytes)
    }

    /// A target that is known by its SHA-512 alone: our own publisher makes none.
    fn fetch(&self, url: &Url, file: &TargetFile) -> Result<Vec<u8>> {
        let request = DocumentRequest { max_bytes: file.length, ..DocumentRequest::default() };
        match self.fetcher.document(url, &request)? {
            Document::Bytes { bytes, .. } => Ok(bytes),
            Document::NotModified => Err("not modified was answered to an unconditional request".into()),
        }
    }
}

/// Searches the delegations for a target, reading each role as the runtime reads a channel's.
fn find(refreshed: &Refreshed<'_>, name: &str) -> Result<Option<TargetFile>> {
    let mut search = refreshed.set().search(name);
    loop {
        match search.step()? {
            SearchStep::Load { role, wanted } => {
                refreshed.load(&role, &wanted, |bytes: &Untrusted| search.role(bytes))?;
            }
            SearchStep::Found(found) => return Ok(Some(found.file)),
            SearchStep::Absent => return Ok(None),
        }
    }
}

fn is_the_file(file: &TargetFile, bytes: &[u8]) -> bool {
    bytes.len() as u64 == file.length && file.hashes.match_bytes(bytes)
}

#[expect(clippy::print_stderr, reason = "the suite shows what a client writes here when a test fails")]
fn complain(error: &dyn Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(source) = cause {
        eprintln!("  because: {source}");
        cause = source.source();
    }
}

/// Below the metadata folder; the suite looks at the `.json` files of the folder itself.
const PRIVATE: &str = ".private";
const INITIAL_ROOT: &str = "initial-root";
