//! TUF 5.3: the walk from root to root.

use super::timestamp::EarlyTimestamp;
use super::{Refresh, RefreshError};
use crate::transport::{Attempt, Document, DocumentRequest, FetchError, Freshness};
use updater_format::length::MAX_ROOT_STEPS;
use updater_format::role::RoleName;
use updater_format::signed::Untrusted;
use updater_format::trust::{TrustedSet, WantsRoot};

impl Refresh {
    /// Walks from the embedded root through those kept on disk. One that does not follow from the embedded root is
    /// dropped: a planted file never widens what the app trusts.
    pub(super) fn kept_roots(&self, mut set: TrustedSet<WantsRoot>) -> Result<TrustedSet<WantsRoot>, RefreshError> {
        for _ in 0..MAX_ROOT_STEPS {
            let next = set.current_root().version + 1;
            let Some(bytes) = self.store.read_root(next) else { break };
            if set.root(&bytes).is_err() {
                self.store.drop_root(next)?;
                break;
            }
        }
        Ok(set)
    }

    /// Fetches root after root until a server says that there is no newer one. That a root could not be fetched is not
    /// that answer, and ends the refresh.
    pub(super) fn newest_root(&self, mut set: TrustedSet<WantsRoot>) -> Result<TrustedSet<WantsRoot>, RefreshError> {
        for _ in 0..=MAX_ROOT_STEPS {
            if !self.next_root(&mut set)? {
                return Ok(set);
            }
        }
        Err(RefreshError::TooManyRoots { limit: MAX_ROOT_STEPS })
    }

    /// As [`Refresh::newest_root`], while the first mirror is asked for its timestamp.
    pub(super) fn newest_root_and_early_timestamp(
        &self,
        set: TrustedSet<WantsRoot>,
    ) -> Result<(TrustedSet<WantsRoot>, Option<EarlyTimestamp>), RefreshError> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, || EarlyTimestamp::fetch(self));
            let set = self.newest_root(set);
            // Without a thread, or when it died, the timestamp is asked for when its turn comes.
            let early = thread.ok().and_then(|thread| thread.join().ok()).flatten();
            Ok((set?, early))
        })
    }

    /// Looks for newer roots at every mirror, past the caches. A mirror that has none or cannot be reached is no error
    /// here: the caller has one already.
    pub(super) fn newest_root_past_caches(
        &self,
        mut set: TrustedSet<WantsRoot>,
    ) -> Result<TrustedSet<WantsRoot>, RefreshError> {
        for _ in 0..MAX_ROOT_STEPS {
            let request = self.root_request(&set, Freshness::Revalidate);
            let file = set.wanted().file;
            let found =
                self.mirrors.iter().any(|mirror| match self.fetcher.document(&mirror.metadata_url(&file), &request) {
                    Ok(Document::Bytes { bytes, .. }) => set.root(&Untrusted::new(bytes)).is_ok(),
                    Ok(Document::NotModified) | Err(_) => false,
                });
            if !found {
                break;
            }
            self.keep(&set)?;
        }
        Ok(set)
    }

    /// Takes the next root; tells whether there is one.
    fn next_root(&self, set: &mut TrustedSet<WantsRoot>) -> Result<bool, RefreshError> {
        let wanted = set.wanted();
        let request = self.root_request(set, Freshness::Cached);
        let is_new = self.fetcher.over_mirrors(self.mirrors.len(), |mirror| {
            let url = self.mirrors[mirror].metadata_url(&wanted.file);
            let bytes = match self.fetcher.document(&url, &request) {
                Ok(Document::Bytes { bytes, .. }) => bytes,
                Ok(Document::NotModified) => return Err(Attempt::NextMirror(RefreshError::unasked(&url))),
                Err(FetchError::NotFound { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            set.root(&Untrusted::new(bytes))
                .map_err(|source| Attempt::NextMirror(RefreshError::from_mirror(&url, source)))?;
            Ok(true)
        })?;
        if is_new {
            self.keep(set)?;
        }
        Ok(is_new)
    }

    /// TUF 5.3.8: keeps a root that was just verified, as a step of the chain and as the newest one.
    fn keep(&self, set: &TrustedSet<WantsRoot>) -> Result<(), RefreshError> {
        let root = set.current_root();
        self.store.write_root(root.version, root.bytes())?;
        Ok(self.store.write(RoleName::Root.as_str(), root.bytes())?)
    }

    fn root_request(&self, set: &TrustedSet<WantsRoot>, freshness: Freshness) -> DocumentRequest {
        DocumentRequest { max_bytes: set.wanted().max_length, freshness, ..DocumentRequest::default() }
    }
}
