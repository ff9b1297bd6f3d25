//! TUF 5.4: the timestamp, the one document that is asked for at every check.

use super::{Refresh, RefreshError};
use crate::transport::{Attempt, Document, DocumentRequest, FetchError, Freshness, Mirror};
use std::cell::Cell;
use updater_format::length::MAX_TIMESTAMP;
use updater_format::role::RoleName;
use updater_format::signed::Untrusted;
use updater_format::trust::{TrustError, TrustedSet, WantsSnapshot, WantsTimestamp};

/// The first mirror's timestamp, asked for while the root was still being looked for. Not verified.
pub(super) struct EarlyTimestamp(Result<Document, FetchError>);

impl EarlyTimestamp {
    pub(super) fn fetch(refresh: &Refresh) -> Option<Self> {
        let url = refresh.mirrors.first()?.metadata_url(FILE);
        // The kept copy is not verified yet. If it turns out not to hold, "not modified" is not taken for an answer.
        let is_kept = refresh.store.read(RoleName::Timestamp.as_str()).is_some();
        let known_etag = refresh.store.read_etag(&url).filter(|_| is_kept);
        let request = DocumentRequest { max_bytes: MAX_TIMESTAMP, known_etag, freshness: Freshness::Cached };
        Some(Self(refresh.fetcher.document(&url, &request)))
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
        let role = RoleName::Timestamp.as_str();
        // TUF 5.3.11: one that today's keys did not sign is no evidence of anything.
        let kept = self.store.read(role).and_then(|bytes| set.kept_timestamp(&bytes).ok());
        self.fetcher.over_mirrors(mirrors.len(), |mirror| {
            let url = mirrors[mirror].metadata_url(FILE);
            let fetch = || {
                let known_etag = kept.as_ref().and_then(|_| self.store.read_etag(&url));
                self.fetcher.document(&url, &DocumentRequest { max_bytes: MAX_TIMESTAMP, known_etag, freshness })
            };
            let document = match early.take() {
                // Asked for under a root that is no longer the newest, it may be older than that root's keys.
                Some(EarlyTimestamp(_)) if is_new_root => fetch(),
                Some(EarlyTimestamp(Ok(Document::NotModified))) if kept.is_none() => fetch(),
                Some(EarlyTimestamp(document)) => document,
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
            let set = result.map_err(|source| {
                unknown_keys.set(unknown_keys.get() || matches!(source, TrustError::Signatures { .. }));
                Attempt::NextMirror(RefreshError::from_mirror(&url, source))
            })?;
            self.store.write(role, set.current_timestamp().bytes()).map_err(|error| Attempt::Stop(error.into()))?;
            self.store.write_etag(&url, etag.as_deref());
            Ok(set)
        })
    }
}

const FILE: &str = "timestamp.json";
