//! The published state, believed only as far as a client would: every signature, version, length and hash is checked.

use super::error::RepositoryError;
use super::{METADATA, TARGETS};
use crate::storage::Storage;
use std::collections::BTreeMap;
use updater_format::release::Artifact;
use updater_format::role::{Payload, Root, Snapshot, Targets, Timestamp};
use updater_format::signed::{Untrusted, Verified};
use updater_format::trust::{Complete, Rules, TrustError, TrustedChannel, TrustedSet, Wanted};
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
    /// [`RepositoryError::Trust`] and [`RepositoryError::Missing`] for what a client would refuse.
    pub fn read(storage: &Storage, app: &AppId, root: &[u8], expiry: Expiry) -> Result<Option<Self>, RepositoryError> {
        let reader = Reader { storage };
        let now = match expiry {
            Expiry::Enforced(now) => now,
            Expiry::Ignored => UtcTime::from_unix(0),
        };
        let rules = Rules { now, policy: SignaturePolicy::default(), app: Some(app.clone()) };
        let refuse = |file: &str| reader.refuse(file);
        let mut roots = TrustedSet::new(rules, &Untrusted::new(root)).map_err(refuse("root.json"))?;
        loop {
            let wanted = roots.wanted();
            let Some(next) = reader.read(&wanted)? else { break };
            roots.root(&next).map_err(refuse(&wanted.file))?;
        }
        let set = roots.finish_root().map_err(refuse("root.json"))?;

        let wanted = set.wanted();
        let Some(timestamp) = reader.read(&wanted)? else {
            // To a bucket that does not exist services answer as to a file that does not.
            storage.must_exist()?;
            return Ok(None);
        };
        let set = set.timestamp(&timestamp, None).map_err(refuse(&wanted.file))?;
        let wanted = set.wanted();
        let set = set.snapshot(&reader.named(&wanted, "timestamp.json")?, None).map_err(refuse(&wanted.file))?;
        let wanted = set.wanted().map_err(refuse("snapshot.json"))?;
        let set = set.targets(&reader.named(&wanted, "the snapshot")?).map_err(refuse(&wanted.file))?;

        let mut channels = BTreeMap::new();
        for delegation in set.current_targets().delegations.iter().flat_map(|delegations| &delegations.roles) {
            // A channel that never published anything is delegated to and not listed.
            if !set.current_snapshot().roles.contains_key(&delegation.name) {
                continue;
            }
            let wanted = set.wanted_role(&delegation.name).map_err(refuse("snapshot.json"))?;
            let bytes = reader.named(&wanted, "the snapshot")?;
            let channel = Channel::parse(&delegation.name)
                .map_err(|source| refuse(&wanted.file)(TrustError::Format { role: delegation.name.clone(), source }))?;
            let role = set.channel(&channel, &bytes).map_err(refuse(&wanted.file))?;
            channels.insert(channel, role);
        }
        Ok(Some(Self { set, channels }))
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
}

impl Storage {
    /// Refuses a storage in which nothing was ever published: there is nothing to look at yet.
    /// # Errors
    /// [`RepositoryError::NothingPublished`]; what the storage refuses.
    pub fn must_be_published(&self) -> Result<(), RepositoryError> {
        match self.length(&format!("{METADATA}/timestamp.json"))? {
            Some(_) => Ok(()),
            None => Err(RepositoryError::NothingPublished { storage: self.name().to_owned() }),
        }
    }
}

/// Returns where an artifact is published.
#[must_use]
pub fn artifact_path(artifact: &Artifact) -> String {
    format!("{TARGETS}/{}", artifact.file())
}

/// Reads documents below `metadata/`.
struct Reader<'a> {
    storage: &'a Storage,
}

impl Reader<'_> {
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
