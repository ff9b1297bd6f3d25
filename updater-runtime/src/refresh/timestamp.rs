//! TUF 5.4: the timestamp, the one document that is asked for at every check.

use super::{Refresh, RefreshError};
use crate::transport::{Attempt, Document, DocumentRequest, FetchError, Freshness, Mirror, Url};
use std::cell::Cell;
use updater_format::length::MAX_TIMESTAMP;
use updater_format::role::RoleName;
use updater_format::signed::Untrusted;
use updater_format::trust::{TrustError, TrustedSet, WantsSnapshot, WantsTimestamp};

/// The first mirror's timestamp, asked for while the root was still being looked for. Not verified.
pub(super) struct EarlyTimestamp {
    document: Result<Document, FetchError>,
    /// What was kept before it was asked for: what another process keeps meanwhile says nothing against this answer.
    kept: Option<Untrusted>,
}

impl EarlyTimestamp {
    pub(super) fn fetch(refresh: &Refresh) -> Option<Self> {
        let url = refresh.mirrors.first()?.metadata_url(FILE);
        // The kept copy is not verified yet. If it turns out not to hold, "not modified" is not taken for an answer.
        let kept = refresh.store.read(RoleName::Timestamp.as_str());
        let known_etag = refresh.store.read_etag(&url).filter(|_| kept.is_some());
        let request = DocumentRequest { max_bytes: MAX_TIMESTAMP, known_etag, freshness: Freshness::Cached };
        Some(Self { document: refresh.fetcher.document(&url, &request), kept })
    }
}

impl Refresh {
    /// Takes the newest timestamp. One with the version of the kept one leaves that in place (TUF 5.4.3.1).
    pub(super) fn timestamp(
        &self,
        set: TrustedSet<WantsTimestamp>,
        mirrors: &[Mirror],
        mut early: Option<EarlyTimestamp>,
        is_new_root: bool,
        freshness: Freshness,
        unknown_keys: &Cell<bool>,
    ) -> Result<TrustedSet<WantsSnapshot>, RefreshError> {
        // TUF 5.3.11: one that today's keys did not sign is no evidence of anything.
        let kept = match &early {
            Some(early) => early.kept.clone(),
            None => self.store.read(RoleName::Timestamp.as_str()),
        };
        let kept = kept.and_then(|bytes| set.kept_timestamp(&bytes).ok());
        self.fetcher.over_mirrors(mirrors.len(), |mirror| {
            let url = mirrors[mirror].metadata_url(FILE);
            let fetch = || {
                let known_etag = kept.as_ref().and_then(|_| self.store.read_etag(&url));
                self.fetcher.document(&url, &DocumentRequest { max_bytes: MAX_TIMESTAMP, known_etag, freshness })
            };
            let document = match early.take() {
                // Asked for under a root that is no longer the newest, it may be older than that root's keys.
                Some(_) if is_new_root => fetch(),
                Some(EarlyTimestamp { document: Ok(Document::NotModified), .. }) if kept.is_none() => fetch(),
                Some(EarlyTimestamp { document, .. }) => document,
                None => fetch(),
            };
            let (result, etag) = match (document, &kept) {
                (Ok(Document::Bytes { bytes, etag }), _) => {
                    (set.clone().timestamp(&Untrusted::new(bytes), kept.clone()), etag)
                }
                // "The bytes you have": their time is checked all the same.
                (Ok(Document::NotModified), Some(kept)) => {
                    (set.clone().unchanged_timestamp(kept.clone()), self.store.read_etag(&url))
                }
                (Ok(Document::NotModified), None) => return Err(Attempt::NextMirror(RefreshError::unasked(&url))),
                // Some storage services replace a file by removing it first.
                (Err(error @ FetchError::NotFound { .. }), _) => return Err(Attempt::Later(error.into())),
                (Err(error), _) => return Err(error.into()),
            };
            let accepted = result.map_err(|source| {
                unknown_keys.set(unknown_keys.get() || matches!(source, TrustError::Signatures { .. }));
                Attempt::NextMirror(RefreshError::from_mirror(&url, source))
            })?;
            self.keep_timestamp(&set, accepted, &url, etag.as_deref()).map_err(Attempt::Stop)
        })
    }

    /// Keeps an accepted timestamp, unless another process has come further since this check began: then that
    /// process's stays, and this check goes on with it. Neither the state nor a check goes back.
    fn keep_timestamp(
        &self,
        set: &TrustedSet<WantsTimestamp>,
        accepted: TrustedSet<WantsSnapshot>,
        url: &Url,
        etag: Option<&str>,
    ) -> Result<TrustedSet<WantsSnapshot>, RefreshError> {
        let (role, bytes) = (RoleName::Timestamp.as_str(), accepted.current_timestamp().bytes());
        let is_kept = |kept: &Option<Untrusted>| kept.as_ref().is_some_and(|kept| kept.as_bytes() == bytes);
        // Most checks bring nothing new and need no lock.
        if !is_kept(&self.store.read(role)) {
            let _lock = self.store.lock()?;
            // All that was there when this check began was walked: this one came with another process, which believes it.
            if self.store.read_root(set.current_root().version + 1).is_some() {
                log::debug!("another process has a newer root; its state stays");
                return Ok(accepted);
            }
            if let Some(newer) = self.store.read(role).and_then(|bytes| set.newer_timestamp(&bytes, &accepted)) {
                log::debug!("another process has a newer timestamp, which is taken");
                return set.clone().unchanged_timestamp(newer).map_err(RefreshError::local);
            }
            self.store.write(role, bytes)?;
        }
        self.store.write_etag(url, etag);
        Ok(accepted)
    }
}

const FILE: &str = "timestamp.json";
