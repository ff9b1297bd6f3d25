//! The client's work flow of TUF 5: from the embedded root to the roles of the channels, with what is fetched, from
//! which mirror, and what is kept. What is believed is decided in [`updater_format::trust`].

mod error;
mod roots;
mod timestamp;

pub use error::RefreshError;

use crate::transport::{Attempt, Document, DocumentRequest, Fetcher, Freshness, Mirror};
use crate::trust_store::TrustStore;
use std::cell::Cell;
use timestamp::EarlyTimestamp;
use updater_format::Channel;
use updater_format::role::{RoleName, Root};
use updater_format::signed::Untrusted;
use updater_format::trust::{
    Complete, Rules, TrustError, TrustedChannel, TrustedSet, Wanted, WantsRoot, WantsSnapshot, WantsTargets,
    WantsTimestamp, find_channel,
};

/// Where metadata comes from and goes to during one check.
#[derive(Debug, Clone)]
pub struct Refresh {
    fetcher: Fetcher,
    mirrors: Vec<Mirror>,
    store: TrustStore,
    order: RequestOrder,
}

/// In which order the first two requests go out. They are verified in the same order either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequestOrder {
    /// The next root and the timestamp at the same time: most checks are over after one round trip.
    #[default]
    Together,
    /// One after the other, as the official conformance suite demands.
    Strict,
}

/// All top-level roles, verified, and the means to read the roles of channels.
#[derive(Debug)]
pub struct Refreshed<'a> {
    refresh: &'a Refresh,
    mirrors: Vec<Mirror>,
    set: TrustedSet<Complete>,
}

impl Refresh {
    /// Makes a refresh from these mirrors, tried in order, that keeps what it verified in `store`.
    #[must_use]
    pub fn new(fetcher: Fetcher, mirrors: Vec<Mirror>, store: TrustStore) -> Self {
        Self { fetcher, mirrors, store, order: RequestOrder::Together }
    }

    /// Sets the order of the first two requests.
    #[must_use]
    pub fn with_order(self, order: RequestOrder) -> Self {
        Self { order, ..self }
    }

    /// Brings the top-level roles up to date. The time in `rules` is that of the whole check (TUF 5.1).
    ///
    /// Nothing that a valid kept copy covers is fetched. Every file that fails its check at one mirror is asked of the
    /// next; what was verified stays verified, so that two half-broken mirrors make one whole one.
    /// # Errors
    /// [`RefreshError::Stale`] when a role is valid and past its time, [`RefreshError::Fetch`] when it could not be had,
    /// [`RefreshError::Trust`] when no mirror has one that holds. [`RefreshError::Embedded`] is a fault of the app's
    /// build, [`RefreshError::Store`] one of this computer.
    pub fn run(&self, rules: Rules, embedded: &[u8]) -> Result<Refreshed<'_>, RefreshError> {
        let embedded = Untrusted::new(embedded);
        let first = TrustedSet::new(rules, &embedded).map_err(|source| RefreshError::Embedded { source })?;
        let known = self.kept_roots(first)?;
        // Before the first request: nothing of a trial repository leaves this computer.
        check_purpose(known.current_root(), &self.mirrors)?;
        let version_before = known.current_root().version;
        let (roots, early) = match self.order {
            RequestOrder::Strict => (self.newest_root(known)?, None),
            RequestOrder::Together => self.newest_root_and_early_timestamp(known)?,
        };
        let unknown_keys = Cell::new(false);
        let is_new_root = roots.current_root().version > version_before;
        match self.below_root(roots.clone(), early, is_new_root, Freshness::Cached, &unknown_keys) {
            Err(error) if unknown_keys.get() || error.is_stale(RoleName::Root) => {
                // A cache on the way may still say that there is no newer root, although one has rotated the keys of the
                // document that was just refused, or renewed the root. Asked once more past the caches, servers decide.
                let version = roots.current_root().version;
                let roots = self.newest_root_past_caches(roots)?;
                if roots.current_root().version == version {
                    return Err(error);
                }
                self.below_root(roots, None, false, Freshness::Revalidate, &unknown_keys)
            }
            result => result,
        }
    }

    /// TUF 5.4 to 5.6.5, once the root is final.
    fn below_root(
        &self,
        roots: TrustedSet<WantsRoot>,
        early: Option<EarlyTimestamp>,
        is_new_root: bool,
        freshness: Freshness,
        unknown_keys: &Cell<bool>,
    ) -> Result<Refreshed<'_>, RefreshError> {
        // TUF 5.3.8: kept before its expiry is looked at.
        self.store.write(RoleName::Root.as_str(), roots.current_root().bytes())?;
        let set = roots.finish_root().map_err(RefreshError::local)?;
        let mirrors = self.with_signed_mirrors(&set);
        check_purpose(set.current_root(), &mirrors)?;
        let set = self.timestamp(set, &mirrors, early, is_new_root, freshness, unknown_keys)?;
        let set = self.snapshot(&set, &mirrors, unknown_keys)?;
        let wanted = set.wanted().map_err(RefreshError::local)?;
        let timestamp = set.current_timestamp().bytes();
        let accept = |bytes: &Untrusted| set.clone().targets(bytes);
        let set = self.load(RoleName::Targets.as_str(), &wanted, &mirrors, timestamp, accept)?;
        Ok(Refreshed { refresh: self, mirrors, set })
    }

    /// TUF 5.5: the snapshot that the timestamp names, kept or fetched.
    fn snapshot(
        &self,
        set: &TrustedSet<WantsSnapshot>,
        mirrors: &[Mirror],
        unknown_keys: &Cell<bool>,
    ) -> Result<TrustedSet<WantsTargets>, RefreshError> {
        let role = RoleName::Snapshot.as_str();
        // TUF 5.3.11: one that today's keys did not sign is no evidence of anything.
        let kept = self.store.read(role).and_then(|bytes| set.kept_snapshot(&bytes).ok());
        if let Some(kept) = &kept
            && let Ok(next) = set.clone().snapshot(&Untrusted::new(kept.bytes()), Some(kept))
        {
            return Ok(next);
        }
        let timestamp = set.current_timestamp().bytes();
        self.fetch(role, &set.wanted(), mirrors, timestamp, |bytes| {
            let result = set.clone().snapshot(bytes, kept.as_ref());
            unknown_keys.set(unknown_keys.get() || matches!(result, Err(TrustError::Signatures { .. })));
            result
        })
    }

    /// Returns the first of these that `accept` takes: the kept copy of a role, then what each mirror has.
    fn load<T>(
        &self,
        role: &str,
        wanted: &Wanted,
        mirrors: &[Mirror],
        timestamp: &[u8],
        mut accept: impl FnMut(&Untrusted) -> Result<T, TrustError>,
    ) -> Result<T, RefreshError> {
        if let Some(kept) = self.store.read(role)
            && let Ok(value) = accept(&kept)
        {
            return Ok(value);
        }
        self.fetch(role, wanted, mirrors, timestamp, accept)
    }

    /// Fetches a role from the first mirror that has it as `accept` takes it, and keeps it beside `timestamp`, which led
    /// to it.
    fn fetch<T>(
        &self,
        role: &str,
        wanted: &Wanted,
        mirrors: &[Mirror],
        timestamp: &[u8],
        mut accept: impl FnMut(&Untrusted) -> Result<T, TrustError>,
    ) -> Result<T, RefreshError> {
        let request = DocumentRequest { max_bytes: wanted.max_length, ..DocumentRequest::default() };
        self.fetcher.over_mirrors(mirrors.len(), |mirror| {
            let url = mirrors[mirror].metadata_url(&wanted.file);
            let Document::Bytes { bytes, .. } = self.fetcher.document(&url, &request)? else {
                return Err(Attempt::NextMirror(RefreshError::unasked(&url)));
            };
            let value = accept(&Untrusted::new(&*bytes))
                .map_err(|source| Attempt::NextMirror(RefreshError::from_mirror(&url, source)))?;
            self.store.write_beside(timestamp, role, &bytes).map_err(|error| Attempt::Stop(error.into()))?;
            Ok(value)
        })
    }

    /// Returns the configured mirrors and after them those that the signed root names, so that an app whose domain is
    /// gone still finds its repository.
    fn with_signed_mirrors(&self, set: &TrustedSet<WantsTimestamp>) -> Vec<Mirror> {
        let mut mirrors = self.mirrors.clone();
        let extension = set.current_root().extension.as_ref();
        let urls = extension.and_then(|extension| extension.extra.get("urls")?.as_array());
        for url in urls.into_iter().flatten().take(MAX_SIGNED_MIRRORS) {
            match url.as_str().map(Mirror::parse) {
                Some(Ok(mirror)) if !mirrors.contains(&mirror) && !mirror.is_file() => mirrors.push(mirror),
                Some(Ok(_)) => {}
                Some(Err(error)) => log::debug!("a mirror that the root names is passed over: {error}"),
                None => log::debug!("a mirror that the root names is passed over: it is not text"),
            }
        }
        mirrors
    }
}

impl Refreshed<'_> {
    /// Returns the verified top-level roles.
    #[must_use]
    pub fn set(&self) -> &TrustedSet<Complete> {
        &self.set
    }

    /// Returns all mirrors, those that the signed root names included: artifacts are asked of them in this order.
    #[must_use]
    pub fn mirrors(&self) -> &[Mirror] {
        &self.mirrors
    }

    /// Reads the role of a channel, kept or fetched.
    /// # Errors
    /// As [`Refresh::run`]; [`TrustError::UnknownRole`] in [`RefreshError::Trust`] when there is no such channel.
    pub fn channel(&self, channel: &Channel) -> Result<TrustedChannel, RefreshError> {
        find_channel(self.set.current_targets(), channel).map_err(RefreshError::local)?;
        let wanted = self.set.wanted_role(channel.as_str()).map_err(RefreshError::local)?;
        self.load(channel.as_str(), &wanted, |bytes| self.set.channel(channel, bytes))
    }

    /// Reads any delegated role: what `accept` takes of the kept copy and of what the mirrors have.
    /// # Errors
    /// As [`Refresh::run`].
    pub fn load<T>(
        &self,
        role: &str,
        wanted: &Wanted,
        accept: impl FnMut(&Untrusted) -> Result<T, TrustError>,
    ) -> Result<T, RefreshError> {
        self.refresh.load(role, wanted, &self.mirrors, self.set.current_timestamp().bytes(), accept)
    }
}

/// Refuses a development root for any address that leads to another computer: its keys lie in a folder of a developer,
/// unprotected, and what they sign must not become anybody's update.
fn check_purpose(root: &Root, mirrors: &[Mirror]) -> Result<(), RefreshError> {
    match mirrors.iter().find_map(Mirror::remote_url).filter(|_| root.is_development()) {
        Some(url) => Err(RefreshError::Development { url: url.clone() }),
        None => Ok(()),
    }
}

/// The most mirrors that a root may add: 8. More would only lengthen a failing check.
const MAX_SIGNED_MIRRORS: usize = 8;
