//! Every root that was ever published: an app trusts the one that it was built with and walks from there, so none of
//! them may be missing or changed.

use super::{Checked, Verification, VerifyError};
use crate::error::in_one_line;
use updater_format::UtcTime;
use updater_format::length::MAX_ROOT;
use updater_format::role::Root;
use updater_format::signed::{Signed, Untrusted, Verified};
use updater_format::trust::{Rules, TrustedSet, WantsRoot};
use updater_runtime::transport::{Document, DocumentRequest};

impl Verification<'_> {
    /// Looks at each published root, from the first to the one in force, and whether each leads to the next.
    pub(super) fn roots(&self, newest: &Verified<Root>) -> Result<Vec<Checked>, VerifyError> {
        let mut walked: Option<TrustedSet<WantsRoot>> = None;
        let mut checked = Vec::new();
        let mut kept = Vec::new();
        for version in 1..=newest.version {
            let file = format!("{version}.root.json");
            let looked = self.root(&file).and_then(|bytes| {
                walked = Some(self.follow(walked.take(), version, &bytes)?);
                match version == newest.version && bytes != newest.bytes() {
                    true => Err("it is not the root that is trusted".to_owned()),
                    false => Ok(bytes),
                }
            });
            let mut entry = Checked { file, what: "root".to_owned(), bytes: 0, expires: None, problem: None };
            match looked {
                Ok(bytes) => {
                    entry.bytes = bytes.len() as u64;
                    let root = Signed::<Root>::parse(&Untrusted::new(&*bytes)).map(|root| root.unverified().expires);
                    // What ended long ago does no harm in a root that another one has replaced.
                    entry.expires = root.ok().filter(|_| version == newest.version);
                    kept.push((entry.file.clone(), bytes));
                }
                Err(problem) => entry.problem = Some(problem),
            }
            checked.push(entry);
        }
        if let (Some(copy), Some((_, first))) = (self.save, kept.first()) {
            copy.must_belong_to(first)?;
            for (file, bytes) in &kept {
                copy.document(file, bytes)?;
            }
        }
        Ok(checked)
    }

    /// Walks one step: the first root must be signed by itself, each other one by the one before, too.
    fn follow(
        &self,
        walked: Option<TrustedSet<WantsRoot>>,
        version: u64,
        bytes: &[u8],
    ) -> Result<TrustedSet<WantsRoot>, String> {
        let bytes = Untrusted::new(bytes);
        match walked {
            Some(mut walked) => {
                walked.root(&bytes).map_err(|error| in_one_line(&error))?;
                Ok(walked)
            }
            None if version == 1 => {
                // Only the last root of a chain must be within its time (TUF 5.3.10).
                let now = UtcTime::from_unix(0);
                let rules = Rules { now, policy: Default::default(), app: self.app.clone() };
                TrustedSet::new(rules, &bytes).map_err(|error| in_one_line(&error))
            }
            None => Err("the root before it does not verify".to_owned()),
        }
    }

    fn root(&self, file: &str) -> Result<Vec<u8>, String> {
        let url = self.mirror.metadata_url(file);
        let request = DocumentRequest { max_bytes: MAX_ROOT, ..DocumentRequest::default() };
        match self.fetcher().map_err(|error| in_one_line(&error))?.document(&url, &request) {
            Ok(Document::Bytes { bytes, .. }) => Ok(bytes),
            Ok(Document::NotModified) => Err("\"not modified\" was answered to an unconditional request".to_owned()),
            Err(error) => Err(in_one_line(&error)),
        }
    }
}
