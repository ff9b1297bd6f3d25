//! The files that a channel lists: each is fetched as clients do, and held against its hash and its `.minisig`.

use super::minisig::{Signers, check_minisig};
use super::{Checked, Depth, Verification, VerifyError};
use crate::error::in_one_line;
use crate::progress::Progress;
use crate::repository::state::artifact_path;
use crate::steps::diff::{self, OldBundle, Tree};
use crate::steps::release::entry_comment;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use updater_format::length::MAX_MINISIG;
use updater_format::release::{Artifact, BundleEntry, ChannelContents, Entry, PatchEntry};
use updater_format::role::TargetFile;
use updater_format::trust::TrustedChannel;
use updater_format::{Channel, Keyring, ReleaseVersion, TargetName};
use updater_runtime::download::{VerifiedFile, download};
use updater_runtime::refresh::Refreshed;
use updater_runtime::transport::{Document, DocumentRequest, FetchError, Fetcher, Url};

/// The targets of one channel.
pub(super) struct Targets<'a> {
    pub(super) verification: &'a Verification<'a>,
    pub(super) refreshed: &'a Refreshed<'a>,
    /// Every channel with its keys: a promoted file carries the signature of the channel that got it last.
    pub(super) channels: &'a [(Channel, &'a Keyring, TrustedChannel)],
    pub(super) role: &'a TrustedChannel,
    pub(super) scratch: &'a Path,
    /// Verified files that a deep look needs again.
    pub(super) kept: BTreeMap<TargetName, PathBuf>,
}

impl Targets<'_> {
    pub(super) fn check(
        mut self,
        wanted: &dyn Fn(&str) -> bool,
        note: &mut dyn FnMut(Checked),
    ) -> Result<(), VerifyError> {
        let contents = self.role.contents().clone();
        for (name, file) in self.role.role().targets.iter().filter(|(name, _)| wanted(name)) {
            let what = kind_of(&contents, name);
            let problem = self.target(name, file)?;
            note(Checked { file: name.clone(), what: what.to_owned(), bytes: file.length, expires: None, problem });
        }
        if self.verification.depth == Depth::Deep {
            for (_, contents) in contents.subjects() {
                for patch in &contents.patches {
                    if let Some(problem) = self.deep_patch(contents, patch) {
                        let file = patch.artifact.name.to_string();
                        note(Checked { file, what: "patch, applied".to_owned(), bytes: 0, expires: None, problem });
                    }
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
        let mut listed = self.role.contents().entries();
        let listed = listed.find(|entry| *entry.artifact() == artifact);
        // Of a later kind: it can be read only where names do not depend on the version.
        let unknown = ReleaseVersion::parse("0.0.0").map_err(|source| VerifyError::Channel { source })?;
        let release = listed.as_ref().map_or_else(|| (&unknown).into(), Entry::release);
        let (file_name, sha256) = (&artifact.name, &artifact.sha256);
        let addresses = self.refreshed.mirrors().iter().map(|mirror| {
            let target = mirror.target_url(file_name, sha256, release);
            (target, mirror.signature_url(file_name, sha256, release))
        });
        let (urls, signatures): (Vec<Url>, Vec<Url>) = addresses.unzip();
        let fetcher = self.verification.fetcher()?;
        let mut content = match self.verification.save.and_then(|copy| copy.kept(&artifact)) {
            Some(path) => Content::Kept(path),
            None => {
                let bar = Progress::bytes(self.verification.shell, "Fetching", artifact.length);
                bar.name(artifact.name.to_string());
                match download(&fetcher, self.scratch, &artifact, &urls, &mut |progress| bar.set(progress.bytes)) {
                    Ok(verified) => Content::Downloaded(verified),
                    Err(error) => return Ok(Some(in_one_line(&error))),
                }
            }
        };
        let signature = match self.fetch_minisig(&fetcher, &signatures) {
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
        let is_bundle = self
            .role
            .contents()
            .entries()
            .any(|entry| matches!(&entry, Entry::Bundle(bundle) if bundle.artifact == artifact));
        let attestation = self.verification.attestation.filter(|_| is_bundle);
        if self.verification.depth == Depth::Deep || attestation.is_some() {
            let path = self.scratch.join(format!("deep-{}", artifact.name));
            let copied = content.reader().and_then(|mut reader| {
                let copy = File::create(&path).and_then(|mut copy| std::io::copy(&mut reader, &mut copy));
                copy.map_err(|error| error.to_string())
            });
            if let Err(problem) = copied {
                return Ok(Some(problem));
            }
            if let Some(problem) = attestation.and_then(|attestation| attestation.problem(&path)) {
                return Ok(Some(problem));
            }
            self.kept.insert(artifact.name.clone(), path);
        }
        content.discard();
        Ok(self.deep_bundle(&artifact.name))
    }

    /// Returns what the trusted comment of a target's signature must say when the key of this channel made it.
    fn comment(&self, channel: &Channel, artifact: &Artifact) -> String {
        let entry = self.role.contents().entries().find(|entry| entry.artifact() == artifact);
        match (&self.verification.app, entry) {
            (Some(app), Some(entry)) => entry_comment(app, &entry, channel),
            // A kind of a later version of this tool.
            _ => format!("sha256={} file={}", artifact.sha256, artifact.name),
        }
    }

    fn fetch_minisig(&self, fetcher: &Fetcher, urls: &[Url]) -> Result<String, FetchError> {
        let request = DocumentRequest { max_bytes: MAX_MINISIG, ..DocumentRequest::default() };
        let mut last = None;
        for url in urls {
            match fetcher.document(url, &request) {
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
        let mut bundles = self.role.contents().subjects().flat_map(|(_, contents)| &contents.bundles);
        let entry = bundles.find(|bundle| bundle.artifact.name == *name)?;
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

fn kind_of(contents: &ChannelContents, name: &str) -> &'static str {
    match contents.entries().find(|entry| entry.artifact().name.as_str() == name) {
        Some(Entry::Bundle(entry)) if entry.component.is_some() => "component",
        Some(Entry::Bundle(_)) => "bundle",
        Some(Entry::Patch(_)) => "patch",
        Some(Entry::Notes(_)) => "notes",
        None => "unknown kind",
    }
}
