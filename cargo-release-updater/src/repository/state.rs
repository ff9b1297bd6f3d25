//! The published state, believed only as far as a client would: every signature, version, length and hash is checked.

use super::error::RepositoryError;
use super::{METADATA, TARGETS};
use crate::storage::Storage;
use std::collections::BTreeMap;
use updater_format::release::Artifact;
use updater_format::role::{Payload, Root, Snapshot, Targets, Timestamp};
use updater_format::signed::{Untrusted, Verified};
use updater_format::trust::{Complete, Rules, TrustError, TrustedChannel, TrustedSet, Wanted, WantsRoot};
use updater_format::{AppId, Channel, SignaturePolicy, UtcTime};

/// Everything that a storage publishes for one app.
#[derive(Debug, Clone)]
pub struct RepositoryState {
    set: TrustedSet<Complete>,
    channels: BTreeMap<Channel, TrustedChannel>,
}

/// Which documents are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// As clients of every channel at this moment: what is expired is refused.
    Enforced(UtcTime),
    /// As the publisher who is about to renew it.
    Ignored,
}

impl RepositoryState {
    /// Reads a repository, from a root that is trusted already to the role of every channel.
    ///
    /// Returns `None` when nothing was ever committed: there is no timestamp.
    /// # Errors
    /// [`RepositoryError::Trust`] and [`RepositoryError::Missing`] for what a client would refuse;
    /// [`RepositoryError::Rotating`] when that is so because new keys have not signed yet.
    pub fn read(storage: &Storage, app: &AppId, root: &[u8], expiry: Expiry) -> Result<Option<Self>, RepositoryError> {
        let reader = Reader { storage };
        let mut roots = reader.roots(app, root, expiry)?;
        // The chain begins with the root that is trusted already, so it has a last one.
        let Some(newest) = roots.pop() else { return Ok(None) };
        let version = newest.current_root().version;
        reader.below(newest).map_err(|error| {
            let vouched_for = |set: TrustedSet<WantsRoot>| matches!(reader.below(set), Ok(Some(_)));
            match is_other_keys(&error) && roots.into_iter().rev().any(vouched_for) {
                true => RepositoryError::Rotating { root: version, storage: storage.name().to_owned() },
                false => error,
            }
        })
    }

    /// Reads a repository whose newest root may have changed the keys of documents that are not signed again yet. What
    /// is published is then what an earlier root of the chain vouches for; the newest root is returned beside it.
    /// # Errors
    /// As [`RepositoryState::read`].
    pub fn read_behind(
        storage: &Storage,
        app: &AppId,
        root: &[u8],
    ) -> Result<(Option<Self>, Verified<Root>), RepositoryError> {
        let reader = Reader { storage };
        let mut roots = reader.roots(app, root, Expiry::Ignored)?;
        let Some(newest) = roots.last().map(|set| set.current_root().clone()) else {
            return Err(RepositoryError::NothingPublished { storage: storage.name().to_owned() });
        };
        let mut first = None;
        while let Some(set) = roots.pop() {
            match reader.below(set) {
                Ok(state) => return Ok((state, newest)),
                Err(error) if is_other_keys(&error) => first = first.or(Some(error)),
                Err(error) => return Err(first.unwrap_or(error)),
            }
        }
        Err(first.unwrap_or(RepositoryError::NothingPublished { storage: storage.name().to_owned() }))
    }

    /// Returns the newest root.
    #[must_use]
    pub fn root(&self) -> &Verified<Root> {
        self.set.current_root()
    }

    /// Returns the timestamp.
    #[must_use]
    pub fn timestamp(&self) -> &Verified<Timestamp> {
        self.set.current_timestamp()
    }

    /// Returns the snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Verified<Snapshot> {
        self.set.current_snapshot()
    }

    /// Returns the top-level targets role.
    #[must_use]
    pub fn targets(&self) -> &Verified<Targets> {
        self.set.current_targets()
    }

    /// Returns the roles of all channels that have published something.
    #[must_use]
    pub fn channels(&self) -> &BTreeMap<Channel, TrustedChannel> {
        &self.channels
    }

    /// Returns when each role expires, the four of TUF first, then the channels.
    #[must_use]
    pub fn expiries(&self) -> Vec<(String, UtcTime)> {
        let fixed = [
            ("root", self.root().expires()),
            ("targets", self.targets().expires()),
            ("snapshot", self.snapshot().expires()),
            ("timestamp", self.timestamp().expires()),
        ];
        let fixed = fixed.into_iter().map(|(role, expires)| (role.to_owned(), expires));
        fixed.chain(self.channels.iter().map(|(name, channel)| (name.to_string(), channel.role().expires()))).collect()
    }

    /// Returns the first role whose time is over for a client of this channel, and since when.
    #[must_use]
    pub fn expired(&self, channel: &Channel, now: UtcTime) -> Option<(String, UtcTime)> {
        let others: Vec<&str> = self.channels.keys().filter(|name| *name != channel).map(Channel::as_str).collect();
        self.expiries().into_iter().find(|(role, expires)| *expires <= now && !others.contains(&role.as_str()))
    }

    /// Returns the first of the four roles of TUF whose time is over, for clients of every channel, and since when.
    #[must_use]
    pub fn expired_for_all(&self, now: UtcTime) -> Option<(String, UtcTime)> {
        self.expiries().into_iter().take(4).find(|(_, expires)| *expires <= now)
    }
}

impl Storage {
    /// Refuses a storage in which nothing was ever published: there is nothing to look at yet. One that only lost its
    /// timestamp is damaged, which is another answer.
    /// # Errors
    /// [`RepositoryError::NothingPublished`]; what the storage refuses.
    pub fn must_be_published(&self) -> Result<(), RepositoryError> {
        for first in ["timestamp.json", "1.root.json"] {
            if self.length(&format!("{METADATA}/{first}"))?.is_some() {
                return Ok(());
            }
        }
        Err(RepositoryError::NothingPublished { storage: self.name().to_owned() })
    }
}

/// Returns where an artifact is published.
#[must_use]
pub fn artifact_path(artifact: &Artifact) -> String {
    format!("{TARGETS}/{}", artifact.file())
}

/// Tells whether a document is signed by other keys than the root names.
fn is_other_keys(error: &RepositoryError) -> bool {
    matches!(error, RepositoryError::Trust { source, .. } if matches!(**source, TrustError::Signatures { .. }))
}

/// Reads documents below `metadata/`.
struct Reader<'a> {
    storage: &'a Storage,
}

impl Reader<'_> {
    /// Walks from the trusted root to the newest one; every root on the way is kept.
    fn roots(&self, app: &AppId, root: &[u8], expiry: Expiry) -> Result<Vec<TrustedSet<WantsRoot>>, RepositoryError> {
        let now = match expiry {
            Expiry::Enforced(now) => now,
            Expiry::Ignored => UtcTime::from_unix(0),
        };
        let rules = Rules { now, policy: SignaturePolicy::default(), app: Some(app.clone()) };
        let mut newest = TrustedSet::new(rules, &Untrusted::new(root)).map_err(self.refuse("root.json"))?;
        let mut roots = Vec::new();
        loop {
            let wanted = newest.wanted();
            roots.push(newest.clone());
            let Some(next) = self.read(&wanted)? else { return Ok(roots) };
            newest.root(&next).map_err(self.refuse(&wanted.file))?;
        }
    }

    /// Reads what a root vouches for; `None` when there is no timestamp.
    fn below(&self, roots: TrustedSet<WantsRoot>) -> Result<Option<RepositoryState>, RepositoryError> {
        let refuse = |file: &str| self.refuse(file);
        let set = roots.finish_root().map_err(refuse("root.json"))?;
        let wanted = set.wanted();
        let Some(timestamp) = self.read(&wanted)? else {
            // To a bucket that does not exist services answer as to a file that does not.
            self.storage.must_exist()?;
            return Ok(None);
        };
        let set = set.timestamp(&timestamp, None).map_err(refuse(&wanted.file))?;
        let wanted = set.wanted();
        let set = set.snapshot(&self.named(&wanted, "timestamp.json")?, None).map_err(refuse(&wanted.file))?;
        let wanted = set.wanted().map_err(refuse("snapshot.json"))?;
        let set = set.targets(&self.named(&wanted, "the snapshot")?).map_err(refuse(&wanted.file))?;

        let mut channels = BTreeMap::new();
        for delegation in set.current_targets().delegations.iter().flat_map(|delegations| &delegations.roles) {
            // A channel that never published anything is delegated to and not listed.
            if !set.current_snapshot().roles.contains_key(&delegation.name) {
                continue;
            }
            let wanted = set.wanted_role(&delegation.name).map_err(refuse("snapshot.json"))?;
            let bytes = self.named(&wanted, "the snapshot")?;
            let channel = Channel::parse(&delegation.name)
                .map_err(|source| refuse(&wanted.file)(TrustError::Format { role: delegation.name.clone(), source }))?;
            let role = set.channel(&channel, &bytes).map_err(refuse(&wanted.file))?;
            channels.insert(channel, role);
        }
        Ok(Some(RepositoryState { set, channels }))
    }

    fn read(&self, wanted: &Wanted) -> Result<Option<Untrusted>, RepositoryError> {
        let path = format!("{METADATA}/{}", wanted.file);
        Ok(self.storage.read(&path, wanted.max_length)?.map(Untrusted::new))
    }

    fn named(&self, wanted: &Wanted, named_by: &'static str) -> Result<Untrusted, RepositoryError> {
        self.read(wanted)?.ok_or_else(|| RepositoryError::Missing {
            file: wanted.file.clone(),
            storage: self.storage.name().to_owned(),
            named_by,
        })
    }

    fn refuse(&self, file: &str) -> impl Fn(TrustError) -> RepositoryError + use<> {
        let (file, storage) = (file.to_owned(), self.storage.name().to_owned());
        move |source| RepositoryError::Trust { file: file.clone(), storage: storage.clone(), source: Box::new(source) }
    }
}
