//! The role of a channel on its way: edited, signed, and created at its number or left as a submission.

use super::{Commit, Edit, MAX_SKIPPED, metadata};
use crate::error::CommandError;
use crate::keys::Signer;
use crate::repository::state::Expiry;
use crate::repository::submission::{Base, Place, Submission};
use crate::repository::{Committed, RepositoryError, RepositoryState, first_roles, version_file};
use crate::roles::{Document, next_channel, waiting_channel};
use crate::storage::{Created, Replaced, StorageError};
use std::collections::BTreeMap;
use std::rc::Rc;
use updater_format::release::ChannelContents;
use updater_format::role::{Hashes, MetaFile, Root, Targets};
use updater_format::signed::{Untrusted, Verified};
use updater_format::trust::{Rules, TrustError, TrustedChannel, TrustedSet};
use updater_format::{Channel, Keyring, SignaturePolicy};

/// A channel's role as it is to be, with the keys for it.
pub(super) struct EditedRole {
    pub(super) channel: Channel,
    pub(super) role: Targets,
    /// Those that are here, at most as many as must sign.
    pub(super) signers: Vec<Rc<Signer>>,
    /// How many must sign.
    threshold: u32,
    /// The published role that it was made from.
    pub(super) base: Option<Base>,
    /// Where it waits when the online key is elsewhere.
    pub(super) place: Place,
    /// Detached signatures of what waits there already.
    minisigs: BTreeMap<String, String>,
}

impl EditedRole {
    /// Tells whether other holders of the channel's keys have to sign, too.
    pub(super) fn lacks_signatures(&self) -> bool {
        self.signers.len() < self.threshold as usize
    }
}

/// A channel's role that was signed and created, and is not committed yet.
pub(super) struct SignedRole {
    pub(super) channel: Channel,
    pub(super) version: u64,
    pub(super) meta: MetaFile,
    /// Its name among the metadata.
    pub(super) file: String,
    pub(super) bytes: Vec<u8>,
    /// The text of the channel's `VERSION`.
    pub(super) version_file: String,
}

impl SignedRole {
    /// Tells whether another role names this one as its base.
    pub(super) fn is(&self, base: Base) -> bool {
        let sha256 = self.meta.hashes.as_ref().and_then(Hashes::sha256);
        (self.version, sha256) == (base.version, Some(base.sha256))
    }
}

impl Commit<'_> {
    /// Makes the next version of a channel's role, and unlocks the keys for it. Nothing is written. `online` tells whether
    /// the online key is here: what waits for it is built upon where it is not, so that several changes can wait.
    pub(super) fn edit_role(
        &mut self,
        channel: &Channel,
        edit: &mut Edit<'_>,
        state: Option<&RepositoryState>,
        targets: &Targets,
        online: bool,
    ) -> Result<EditedRole, CommandError> {
        let delegation = targets.delegation(channel.as_str());
        let delegation = delegation.ok_or_else(|| RepositoryError::no_channel(channel, targets))?;
        let before = state.and_then(|state| state.channels().get(channel));
        let place = Place::look(self.storage, channel.as_str())?;
        let threshold = delegation.keyring.threshold();
        let base = before.map(|channel| Base::of(channel.role()));
        let waiting = self.waiting(channel, &place, before, &delegation.keyring, online)?;
        let (mut role, minisigs) = match &waiting {
            None => (next_channel(self.app, channel, before.map(TrustedChannel::role), self.now), BTreeMap::new()),
            Some((waiting, submission)) => (waiting_channel(channel, waiting, self.now), submission.minisigs.clone()),
        };
        match &waiting {
            None => edit(&mut role, before.map(TrustedChannel::contents))?,
            Some((waiting, _)) => edit(&mut role, Some(&self.contents_of(channel, waiting)?))?,
        }
        let signers = self.keychain.some_signers(channel.as_str(), &delegation.keyring)?;
        let edited = EditedRole { channel: channel.clone(), role, signers, threshold, base, place, minisigs };
        match waiting {
            // Enough have signed what waits: it must not go back to waiting for them.
            Some((waiting, _)) if edited.lacks_signatures() => {
                Err(RepositoryError::Waiting { channel: channel.clone(), version: waiting.version }.into())
            }
            _ => Ok(edited),
        }
    }

    fn contents_of(&self, channel: &Channel, role: &Targets) -> Result<ChannelContents, RepositoryError> {
        ChannelContents::read(self.app, role).map_err(|source| RepositoryError::Trust {
            file: format!("the submission of {channel}"),
            storage: self.storage.name().to_owned(),
            source: Box::new(source),
        })
    }

    /// Returns what waits of a channel for the online key alone, to be built upon: built on what is published, a change would
    /// silently undo it. Whoever has the online key decides about it first, and so do those whose signatures it lacks.
    fn waiting(
        &self,
        channel: &Channel,
        place: &Place,
        published: Option<&TrustedChannel>,
        keyring: &Keyring,
        online: bool,
    ) -> Result<Option<(Verified<Targets>, Submission)>, RepositoryError> {
        let Some(submission) = place.submission(self.storage, channel.as_str())? else { return Ok(None) };
        let waiting = submission.parse(self.storage, channel.as_str())?;
        let version = waiting.unverified().version;
        let base = published.map(|published| Base::of(published.role()));
        if version <= base.map_or(0, |base| base.version) {
            return Ok(None);
        }
        if submission.base != base {
            // It can never be published any more.
            return Err(RepositoryError::BaseChanged { channel: channel.clone(), version });
        }
        let refused = RepositoryError::waiting(channel.clone(), &waiting, keyring);
        if online {
            return Err(refused);
        }
        // Signed again it is believed, so it must be the channel's own and made from what is published.
        match waiting.verify(channel.as_str(), keyring, SignaturePolicy::default()) {
            Ok(role) if Base::named_in(&role) == base => Ok(Some((role, submission))),
            _ => Err(refused),
        }
    }

    /// Leaves a channel's role, signed, for whoever has the online key or more of the channel's keys. Its number stays free until then. `None` when
    /// somebody else has published or submitted meanwhile.
    pub(super) fn submit(&self, edited: &EditedRole) -> Result<Option<Committed>, RepositoryError> {
        let EditedRole { channel, role, signers, base, place, minisigs, .. } = edited;
        let mut role = role.clone();
        let first = role.version;
        while self.storage.length(&metadata(&format!("{}.{channel}.json", role.version)))?.is_some() {
            role.version += 1;
            if role.version >= first + MAX_SKIPPED {
                return Err(RepositoryError::NumbersTaken {
                    file: format!("{first}.{channel}.json"),
                    count: MAX_SKIPPED,
                });
            }
        }
        let document = Document::sign(channel.as_str(), &role, signers)?;
        let version_file = signers.first().map(|signer| version_file::signed(self.app, channel, &role, signer));
        // Signing may wait for a password or a touch: long enough for a release.
        let state = RepositoryState::read(self.storage, self.app, self.root, Expiry::Ignored)?;
        let published = state.as_ref().and_then(|state| state.channels().get(channel));
        if published.map(|published| Base::of(published.role())) != *base {
            return Ok(None);
        }
        if self.storage.private().is_some() {
            // The submission goes elsewhere, and no commit to this storage takes along what was uploaded for it.
            self.storage.flush()?;
        }
        let submission =
            Submission::new(&document.bytes, *base, version_file.transpose()?).with_minisigs(minisigs.clone());
        Ok(match submission.leave(self.storage, channel.as_str(), place)? {
            Replaced::Done => Some(Committed { timestamp: 0, snapshot: 0, role: role.version }),
            Replaced::Changed => None,
        })
    }

    /// Signs and creates a channel's role, at its next free number.
    pub(super) fn create_role(&self, edited: EditedRole) -> Result<SignedRole, RepositoryError> {
        let EditedRole { channel, mut role, signers, .. } = edited;
        let document = self.create_numbered(channel.as_str(), &mut role, &signers)?;
        // A threshold is at least one, so there is a first signer.
        let version_file = signers.first().map(|signer| version_file::signed(self.app, &channel, &role, signer));
        let version_file = version_file.transpose()?.unwrap_or_default();
        self.keep_version_file(&channel, role.version, &version_file)?;
        let Document { file, meta, bytes } = document;
        Ok(SignedRole { version: role.version, channel, meta, file, bytes, version_file })
    }

    /// Returns the root and the targets role in force, and refuses expired ones: no client would take the release.
    pub(super) fn human_roles(&self, state: Option<&RepositoryState>) -> Result<(Root, Targets), RepositoryError> {
        let (root, targets) = match state {
            Some(state) => ((**state.root()).clone(), (**state.targets()).clone()),
            None => first_roles(self.app, self.root, self.targets)?,
        };
        for (role, since) in [("root", root.expires), ("targets", targets.expires)] {
            if since <= self.now {
                return Err(RepositoryError::Expired { role: role.to_owned(), since });
            }
        }
        Ok((root, targets))
    }

    /// Signs and creates a role at its number, or at the next that no unlisted file has taken.
    pub(super) fn create_numbered(
        &self,
        name: &str,
        role: &mut Targets,
        signers: &[Rc<Signer>],
    ) -> Result<Document, RepositoryError> {
        let first = role.version;
        while role.version < first + MAX_SKIPPED {
            let document = Document::sign(name, role, signers)?;
            if self.storage.put_new(&metadata(&document.file), document.bytes.clone())? == Created::New {
                return Ok(document);
            }
            role.version += 1;
        }
        Err(RepositoryError::NumbersTaken { file: format!("{first}.{name}.json"), count: MAX_SKIPPED })
    }

    /// Publishes the project's root into an empty repository, after those that it follows.
    pub(in crate::repository) fn publish_first_root(&self, version: u64) -> Result<(), RepositoryError> {
        for (earlier, number) in self.earlier_chain(version)?.iter().zip(1_u64..) {
            self.publish_first(&format!("{number}.root.json"), earlier)?;
        }
        self.publish_first(&format!("{version}.root.json"), self.root)
    }

    /// Returns the roots before the project's, each verified to be followed by the next.
    fn earlier_chain(&self, version: u64) -> Result<&[Vec<u8>], RepositoryError> {
        let before = usize::try_from(version.saturating_sub(1)).unwrap_or(usize::MAX);
        // A chain with a gap is none: somebody has replaced the root by hand.
        let earlier = self.earlier.get(..before).unwrap_or_default();
        let Some((first, rest)) = earlier.split_first() else { return Ok(earlier) };
        let refuse = |number: u64| {
            move |source: TrustError| RepositoryError::Trust {
                file: format!("{number}.root.json"),
                storage: "the project".to_owned(),
                source: Box::new(source),
            }
        };
        let rules = Rules { now: self.now, policy: SignaturePolicy::default(), app: Some(self.app.clone()) };
        let mut set = TrustedSet::new(rules, &Untrusted::new(first.as_slice())).map_err(refuse(1))?;
        let next = rest.iter().map(Vec::as_slice).chain([self.root]);
        for (bytes, number) in next.zip(2_u64..) {
            set.root(&Untrusted::new(bytes)).map_err(refuse(number))?;
        }
        Ok(earlier)
    }

    /// Publishes the project's targets role into an empty repository.
    pub(in crate::repository) fn publish_first_targets(&self, version: u64) -> Result<MetaFile, RepositoryError> {
        self.publish_first(&format!("{version}.targets.json"), self.targets)?;
        Ok(MetaFile::of(version, self.targets))
    }

    fn publish_first(&self, file: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
        let path = metadata(file);
        if self.storage.put_new(&path, bytes.to_vec())? == Created::New {
            return Ok(());
        }
        // An upload that was cut off left the beginning of it, or the storage belongs to somebody else.
        let there = self.storage.read(&path, updater_format::length::MAX_ROLE)?;
        if !there.is_some_and(|there| bytes.starts_with(&there)) {
            return Err(StorageError::Differs { path, storage: self.storage.name().to_owned() }.into());
        }
        Ok(self.storage.put_mutable(&path, bytes.to_vec())?)
    }
}
