//! Root and targets role have time left: their holders have to meet to renew them.

use super::{Check, Facts, Verdict};
use crate::expiry;

/// Warns when a role that people sign comes near its end. What a release renews anyway is not looked at.
pub(super) struct Expiring;

impl Check for Expiring {
    fn name(&self) -> &'static str {
        "expiring"
    }

    fn run(&self, facts: &Facts<'_>) -> Verdict {
        let roles = [("root", facts.root.expires), ("targets", facts.targets.expires)];
        let roles = roles.map(|(role, expires)| (role.to_owned(), expires));
        let near = expiry::near(&roles, facts.now).into_iter().filter(|role| role.days_left >= 0);
        match near.map(|role| role.warning()).reduce(|all, next| format!("{all}; {next}")) {
            None => Verdict::Pass,
            Some(near) => Verdict::Warn(near),
        }
    }
}
