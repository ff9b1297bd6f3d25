//! Reads a whole published repository as a client would, and each file that it lists: what is published is what was
//! signed, or the file that is not is named.
//!
//! Everything goes through the client's own code: its transport, its refresh, its download. `.minisig` files are read
//! with the minisign library, as people and package managers check them.

mod attestation;
mod copy;
mod error;
mod minisig;
mod roots;
mod targets;
mod version_file;

pub use attestation::{Attestation, AttestationError};
pub use copy::SavedCopy;
pub use error::VerifyError;
pub(crate) use error::not_even_a_timestamp;

use crate::error::in_one_line;
use crate::shell::{Message, Shell};
use minisig::Signers;
use std::collections::BTreeMap;
use std::sync::Arc;
use targets::Targets;
use updater_format::length::MAX_VERSION_FILE;
use updater_format::role::Payload;
use updater_format::trust::{Complete, Rules, TrustedChannel, TrustedSet};
use updater_format::{AppId, Channel, SignaturePolicy, UtcTime};
use updater_runtime::TrustStore;
use updater_runtime::refresh::Refresh;
use updater_runtime::transport::{
    Document, DocumentRequest, Fetcher, HttpOptions, HttpTransport, Mirror, SchemeTransport, Url,
};

/// A published repository, and what it is held against.
#[derive(Debug)]
pub struct Verification<'a> {
    /// Where its documents are.
    pub url: &'a Url,
    /// The same, with where its files are.
    pub mirror: &'a Mirror,
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
    /// Whose workflows must have attested every bundle.
    pub attestation: Option<&'a Attestation>,
    /// Where progress is shown.
    pub shell: &'a Shell,
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Checked {
    /// Its name below `metadata/` or `targets/`, or that of a `VERSION` file.
    pub file: String,
    /// What it is: a role, the kind of a target, or `summary`.
    pub what: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// From when on it is stale; for documents.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
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
        let refresh = Refresh::new(self.fetcher()?, vec![self.mirror.clone()], TrustStore::nowhere());
        let rules = Rules { now: self.now, policy: SignaturePolicy::default(), app: self.app.clone() };
        let refreshed =
            refresh.run(rules, self.root).map_err(|source| VerifyError::Metadata { source: Box::new(source) })?;
        if let Some(copy) = self.save {
            copy.must_not_be_newer(refreshed.set().current_timestamp())?;
        }
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
        let request = DocumentRequest { max_bytes: MAX_VERSION_FILE, ..DocumentRequest::default() };
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

fn document<T: Payload>(file: &str, what: &str, verified: &updater_format::signed::Verified<T>) -> Checked {
    Checked {
        file: file.to_owned(),
        what: what.to_owned(),
        bytes: verified.bytes().len() as u64,
        expires: Some(verified.expires()),
        problem: None,
    }
}

/// The document that makes a repository what it is.
const TIMESTAMP: &str = "timestamp.json";
