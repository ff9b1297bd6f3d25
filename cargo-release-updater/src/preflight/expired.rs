//! Root and targets role are within their time: behind an expired one no client takes anything new.

use super::{Check, Facts, Verdict};
use crate::repository::RepositoryError;

/// Refuses when a role that people sign is over its time.
pub(super) struct Expired;

impl Check for Expired {
    fn name(&self) -> &'static str {
        "expired"
    }

    fn run(&self, facts: &Facts<'_>) -> Verdict {
        let roles = [("root", facts.root.expires), ("targets", facts.targets.expires)];
        match roles.into_iter().find(|(_, expires)| *expires <= facts.now) {
            None => Verdict::Pass,
            Some((role, since)) => Verdict::Refuse(RepositoryError::Expired { role: role.to_owned(), since }.into()),
        }
    }
}
