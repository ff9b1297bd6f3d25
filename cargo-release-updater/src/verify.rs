//! Reads a whole published repository as a client would, and each file that it lists: what is published is what was
//! signed, or the file that is not is named.
//!
//! Everything goes through the client's own code: its transport, its refresh, its download. `.minisig` files are read
//! with the minisign library, as people and package managers check them.

mod copy;
mod error;
mod minisig;
mod roots;
mod version_file;

pub use copy::SavedCopy;
pub use error::VerifyError;

use crate::error::in_one_line;
use crate::repository::state::artifact_path;
use crate::shell::Message;
use crate::steps::diff::{self, OldBundle, Tree};
use crate::steps::release::signature_comment;
use minisig::{Signers, check_minisig};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use updater_format::release::{Artifact, BundleEntry, ChannelContents, PatchEntry};
use updater_format::role::{Payload, TargetFile};
use updater_format::trust::{Complete, Rules, TrustedChannel, TrustedSet};
use updater_format::{AppId, Channel, Keyring, ReleaseVersion, SignaturePolicy, TargetName, UtcTime};
use updater_runtime::TrustStore;
use updater_runtime::download::{VerifiedFile, download};
use updater_runtime::refresh::{Refresh, Refreshed};
use updater_runtime::transport::{
    Document, DocumentRequest, FetchError, Fetcher, HttpOptions, HttpTransport, Mirror, SchemeTransport, Url,
};

/// A published repository, and what it is held against.
#[derive(Debug)]
pub struct Verification<'a> {
    /// Where it is.
    pub url: &'a Url,
    /// The root that is trusted.
    pub root: &'a [u8],
    /// The app that everything must belong to.
    pub app: Option<AppId>,
    /// The time at which nothing may be expired.
    pub now: UtcTime,
    /// The HTTP statuses that mean absent.
    pub missing_status: &'a [u16],
    /// How much is read.
    pub depth: Depth,
    /// Where a copy of everything is kept.
    pub save: Option<&'a SavedCopy>,
}

/// How much of a repository is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every document, every listed file, every signature.
    Files,
    /// Also every bundle file by file, and every patch applied to its bundle.
    Deep,
}

/// One file that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Its name below `metadata/` or `targets/`, or that of a `VERSION` file.
    pub file: String,
    /// What it is: a role, the kind of a target, or `summary`.
    pub what: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// From when on it is stale; for documents.
    pub expires: Option<UtcTime>,
    /// What is wrong with it; nothing when it verifies.
    pub problem: Option<String>,
}

impl Message for Checked {
    const REASON: &'static str = "verified-file";
}

impl Verification<'_> {
    /// Reads the repository and tells `seen` about each file. `wanted` chooses among the targets and `VERSION` files,
    /// by name.
    ///
    /// A document that does not hold ends it: nothing below it can be believed. A target that does not is told, and the
    /// others are looked at all the same.
    /// # Errors
    /// [`VerifyError`], naming the first file that does not verify.
    pub fn run(&self, wanted: impl Fn(&str) -> bool, mut seen: impl FnMut(&Checked)) -> Result<Summary, VerifyError> {
        let scratch = tempfile::tempdir().map_err(|source| VerifyError::Scratch { source })?;
        let refresh = Refresh::new(self.fetcher()?, vec![Mirror::new(self.url)], TrustStore::nowhere());
        let rules = Rules { now: self.now, policy: SignaturePolicy::default(), app: self.app.clone() };
        let refreshed =
            refresh.run(rules, self.root).map_err(|source| VerifyError::Metadata { source: Box::new(source) })?;
        let mut summary = Summary::default();
        let mut note = |checked: Checked| {
            summary.files += 1;
            summary.bytes += checked.bytes;
            if checked.problem.is_some() {
                summary.failed.push(checked.file.clone());
            }
            seen(&checked);
        };
        for root in self.roots(refreshed.set().current_root())? {
            note(root);
        }
        for document in self.documents(refreshed.set())? {
            note(document);
        }
        let mut channels = Vec::new();
        for delegation in refreshed.set().current_targets().delegations.iter().flat_map(|all| &all.roles) {
            // A channel that has published nothing yet is delegated to and not listed.
            if !refreshed.set().current_snapshot().roles.contains_key(&delegation.name) {
                continue;
            }
            let channel = Channel::parse(&delegation.name).map_err(|source| VerifyError::Channel { source })?;
            let role =
                refreshed.channel(&channel).map_err(|source| VerifyError::Metadata { source: Box::new(source) })?;
            channels.push((channel, &delegation.keyring, role));
        }
        for (channel, _, role) in &channels {
            let file = format!("{}.{channel}.json", role.role().version);
            if let Some(copy) = self.save {
                copy.document(&file, role.role().bytes())?;
            }
            note(document(&file, channel.as_str(), role.role()));
            let targets = Targets {
                verification: self,
                refreshed: &refreshed,
                channels: &channels,
                role,
                scratch: scratch.path(),
                kept: BTreeMap::new(),
            };
            targets.check(&wanted, &mut note)?;
        }
        for (channel, keyring, role) in &channels {
            let file = crate::repository::version_file::path(channel);
            if wanted(&file) {
                let set = refreshed.set();
                let signers = Signers::new(keyring, set.current_root(), set.current_targets());
                note(self.version_file(file, channel, signers, role)?);
            }
        }
        let summary = summary.result()?;
        if let Some(copy) = self.save {
            copy.document(TIMESTAMP, refreshed.set().current_timestamp().bytes())?;
        }
        Ok(summary)
    }

    /// Looks at the documents below the root, and keeps all but the timestamp, which makes a copy a whole one.
    fn documents(&self, set: &TrustedSet<Complete>) -> Result<Vec<Checked>, VerifyError> {
        let (timestamp, snapshot, targets) = (set.current_timestamp(), set.current_snapshot(), set.current_targets());
        let (snapshot_file, targets_file) =
            (format!("{}.snapshot.json", snapshot.version), format!("{}.targets.json", targets.version));
        if let Some(copy) = self.save {
            copy.document(&snapshot_file, snapshot.bytes())?;
            copy.document(&targets_file, targets.bytes())?;
        }
        Ok(vec![
            document(TIMESTAMP, "timestamp", timestamp),
            document(&snapshot_file, "snapshot", snapshot),
            document(&targets_file, "targets", targets),
        ])
    }

    /// Looks at the text for people and shell scripts.
    fn version_file(
        &self,
        file: String,
        channel: &Channel,
        signers: Signers<'_>,
        role: &TrustedChannel,
    ) -> Result<Checked, VerifyError> {
        let request = DocumentRequest { max_bytes: version_file::MAX_VERSION_FILE, ..DocumentRequest::default() };
        let (bytes, problem) = match self.fetcher()?.document(&self.url.join(&file), &request) {
            Ok(Document::Bytes { bytes, .. }) => {
                let app = self.app.as_ref();
                let problem = app.and_then(|app| version_file::problem(&bytes, app, channel, role.role(), signers));
                if let (Some(copy), None) = (self.save, &problem) {
                    copy.text(&file, &bytes)?;
                }
                (bytes.len() as u64, problem)
            }
            Ok(Document::NotModified) => {
                (0, Some("\"not modified\" was answered to an unconditional request".to_owned()))
            }
            Err(error) => (0, Some(in_one_line(&error))),
        };
        Ok(Checked { file, what: "summary".to_owned(), bytes, expires: None, problem })
    }

    fn fetcher(&self) -> Result<Fetcher, VerifyError> {
        fetcher(self.missing_status)
    }
}

/// Makes the client's own way to read documents, from `file:` and HTTP addresses.
/// # Errors
/// [`VerifyError::Transport`] when the settings of the network cannot be used.
pub(crate) fn fetcher(missing_status: &[u16]) -> Result<Fetcher, VerifyError> {
    let options = HttpOptions::default().with_missing_status(missing_status.to_vec());
    let http = HttpTransport::new(options).map_err(|source| VerifyError::Transport { source })?;
    Ok(Fetcher::new(Arc::new(SchemeTransport::new(Some(Box::new(http))))))
}

/// What a whole run found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// How many files were looked at.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that do not verify.
    pub failed: Vec<String>,
}

impl Message for Summary {
    const REASON: &'static str = "verified";
}

impl Summary {
    fn result(self) -> Result<Self, VerifyError> {
        match self.failed.first() {
            None => Ok(self),
            Some(first) => {
                Err(VerifyError::Files { first: first.clone(), failed: self.failed.len(), files: self.files })
            }
        }
    }
}

/// The targets of one channel.
struct Targets<'a> {
    verification: &'a Verification<'a>,
    refreshed: &'a Refreshed<'a>,
    /// Every channel with its keys: a promoted file carries the signature of the channel that got it last.
    channels: &'a [(Channel, &'a Keyring, TrustedChannel)],
    role: &'a TrustedChannel,
    scratch: &'a Path,
    /// Verified files that a deep look needs again.
    kept: BTreeMap<TargetName, PathBuf>,
}

impl Targets<'_> {
    fn check(mut self, wanted: &dyn Fn(&str) -> bool, note: &mut dyn FnMut(Checked)) -> Result<(), VerifyError> {
        let contents = self.role.contents().clone();
        for (name, file) in self.role.role().targets.iter().filter(|(name, _)| wanted(name)) {
            let what = kind_of(&contents, name);
            let problem = self.target(name, file)?;
            note(Checked { file: name.clone(), what: what.to_owned(), bytes: file.length, expires: None, problem });
        }
        if self.verification.depth == Depth::Deep {
            for patch in &contents.patches {
                if let Some(problem) = self.deep_patch(&contents, patch) {
                    let file = patch.artifact.name.to_string();
                    note(Checked { file, what: "patch, applied".to_owned(), bytes: 0, expires: None, problem });
                }
            }
        }
        Ok(())
    }

    /// Returns what is wrong with a target.
    fn target(&mut self, name: &str, file: &TargetFile) -> Result<Option<String>, VerifyError> {
        let sha256 = match (file.hashes.sha256(), TargetName::parse(name)) {
            (Some(sha256), Ok(name)) => Artifact { name, length: file.length, sha256 },
            (None, _) => return Ok(Some("it is listed without a sha256".to_owned())),
            (_, Err(error)) => return Ok(Some(error.to_string())),
        };
        let artifact = sha256;
        // The layout of a plain folder does not depend on the version.
        let version = ReleaseVersion::parse("0.0.0").map_err(|source| VerifyError::Channel { source })?;
        let mirrors = self.refreshed.mirrors();
        let urls: Vec<Url> =
            mirrors.iter().map(|mirror| mirror.target_url(&artifact.name, &artifact.sha256, &version)).collect();
        let fetcher = self.verification.fetcher()?;
        let mut content = match self.verification.save.and_then(|copy| copy.kept(&artifact)) {
            Some(path) => Content::Kept(path),
            None => match download(&fetcher, self.scratch, &artifact, &urls, &mut |_| {}) {
                Ok(verified) => Content::Downloaded(verified),
                Err(error) => return Ok(Some(in_one_line(&error))),
            },
        };
        let signature = match self.fetch_minisig(&fetcher, &urls) {
            Ok(signature) => signature,
            Err(error) => return Ok(Some(format!("its .minisig: {}", in_one_line(&error)))),
        };
        let mut outcome = Err("no key of the channel".to_owned());
        let same =
            |role: &TrustedChannel| role.role().targets.get(name).is_some_and(|other| other.hashes == file.hashes);
        for (channel, keyring, _) in self.channels.iter().filter(|(_, _, role)| same(role)) {
            let reader = match content.reader() {
                Ok(reader) => reader,
                Err(problem) => return Ok(Some(problem)),
            };
            let set = self.refreshed.set();
            let signers = Signers::new(keyring, set.current_root(), set.current_targets());
            let comment = self.comment(channel, &artifact);
            outcome = outcome.or_else(|_| check_minisig(&signature, signers, &comment, reader));
        }
        if let Err(problem) = outcome {
            return Ok(Some(format!("its .minisig: {problem}")));
        }
        if let Some(copy) = self.verification.save {
            if let Content::Downloaded(_) = &content {
                match content.reader() {
                    Ok(reader) => copy.keep(&artifact, reader)?,
                    Err(problem) => return Ok(Some(problem)),
                }
            }
            copy.text(&format!("{}.minisig", artifact_path(&artifact)), signature.as_bytes())?;
        }
        if self.verification.depth == Depth::Deep {
            let path = self.scratch.join(format!("deep-{}", artifact.name));
            let copied = content.reader().and_then(|mut reader| {
                let copy = File::create(&path).and_then(|mut copy| std::io::copy(&mut reader, &mut copy));
                copy.map_err(|error| error.to_string())
            });
            if let Err(problem) = copied {
                return Ok(Some(problem));
            }
            self.kept.insert(artifact.name.clone(), path);
        }
        content.discard();
        Ok(self.deep_bundle(&artifact.name))
    }

    /// Returns what the trusted comment of a target's signature must say when the key of this channel made it.
    fn comment(&self, channel: &Channel, artifact: &Artifact) -> String {
        let contents = self.role.contents();
        let bundle = contents.bundles.iter().find(|entry| entry.artifact == *artifact);
        let patch = contents.patches.iter().find(|entry| entry.artifact == *artifact);
        let notes = contents.notes.iter().find(|entry| entry.artifact == *artifact);
        let what = bundle
            .map(|entry| (&entry.version, Some(&entry.platform)))
            .or_else(|| patch.map(|entry| (&entry.version, Some(&entry.platform))))
            .or_else(|| notes.map(|entry| (&entry.version, None)));
        match (&self.verification.app, what) {
            (Some(app), Some((version, triple))) => signature_comment(app, version, triple, channel, artifact),
            // A kind of a later version of this tool.
            _ => format!("sha256={} file={}", artifact.sha256, artifact.name),
        }
    }

    fn fetch_minisig(&self, fetcher: &Fetcher, urls: &[Url]) -> Result<String, FetchError> {
        let request = DocumentRequest { max_bytes: MAX_MINISIG, ..DocumentRequest::default() };
        let mut last = None;
        for url in urls {
            let (folder, name) = (url.expose(), ".minisig");
            match Url::parse(&format!("{folder}{name}")).and_then(|url| fetcher.document(&url, &request)) {
                Ok(Document::Bytes { bytes, .. }) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Ok(Document::NotModified) => {}
                Err(error) => last = last.or(Some(error)),
            }
        }
        Err(last.unwrap_or(FetchError::Cancelled))
    }

    /// Unpacks a bundle and holds every file against its manifest.
    fn deep_bundle(&self, name: &TargetName) -> Option<String> {
        let path = self.kept.get(name)?;
        let entry = self.role.contents().bundles.iter().find(|bundle| bundle.artifact.name == *name)?;
        Tree::unpack(path, entry, self.scratch).err().map(|error| in_one_line(&error))
    }

    /// Applies a patch to its bundle, when both are listed; `None` when they are not, else what is wrong.
    fn deep_patch(&self, contents: &ChannelContents, patch: &PatchEntry) -> Option<Option<String>> {
        let find = |version: &ReleaseVersion| -> Option<OldBundle> {
            let ours = |bundle: &&BundleEntry| (&bundle.version, &bundle.platform) == (version, &patch.platform);
            let entry = contents.bundles.iter().find(ours)?.clone();
            let path = self.kept.get(&entry.artifact.name)?.clone();
            Some(OldBundle { entry, path })
        };
        let (from, to, file) = (find(&patch.from)?, find(&patch.version)?, self.kept.get(&patch.artifact.name)?);
        let apply = || -> Result<(), diff::DiffStepError> {
            let from = Tree::unpack(&from.path, &from.entry, self.scratch)?;
            let to = Tree::unpack(&to.path, &to.entry, self.scratch)?;
            let read = |source| diff::DiffStepError::Read { path: file.clone(), source };
            diff::apply(std::io::BufReader::new(File::open(file).map_err(read)?), &from, to.manifest(), |_| {
                Ok(std::io::sink())
            })
        };
        Some(apply().err().map(|error| in_one_line(&error)))
    }
}

/// The verified bytes of a target.
enum Content {
    /// Fetched by this run.
    Downloaded(VerifiedFile),
    /// In the copy since an earlier run.
    Kept(PathBuf),
}

impl Content {
    /// Returns its bytes from the first one on, or what is wrong.
    fn reader(&mut self) -> Result<File, String> {
        match self {
            Self::Downloaded(verified) => {
                let file = verified.reader().map_err(|error| in_one_line(&error))?;
                file.try_clone().map_err(|error| error.to_string())
            }
            Self::Kept(path) => File::open(path).map_err(|error| error.to_string()),
        }
    }

    fn discard(self) {
        if let Self::Downloaded(verified) = self {
            verified.discard();
        }
    }
}

fn document<T: Payload>(file: &str, what: &str, verified: &updater_format::signed::Verified<T>) -> Checked {
    Checked {
        file: file.to_owned(),
        what: what.to_owned(),
        bytes: verified.bytes().len() as u64,
        expires: Some(verified.expires()),
        problem: None,
    }
}

fn kind_of(contents: &ChannelContents, name: &str) -> &'static str {
    match () {
        () if contents.bundles.iter().any(|bundle| bundle.artifact.name.as_str() == name) => "bundle",
        () if contents.patches.iter().any(|patch| patch.artifact.name.as_str() == name) => "patch",
        () if contents.notes.iter().any(|notes| notes.artifact.name.as_str() == name) => "notes",
        () => "unknown kind",
    }
}

/// The document that makes a repository what it is.
const TIMESTAMP: &str = "timestamp.json";
/// The most bytes of a `.minisig`: 4,096. Ours have about 350.
const MAX_MINISIG: u64 = 4096;
