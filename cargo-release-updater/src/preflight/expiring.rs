//! Root and targets role have time left: their holders have to meet to renew them.

use super::{Check, DAY, Facts, Verdict};

/// Warns when a role that people sign comes near its end. What a release renews anyway is not looked at.
pub(super) struct Expiring;

impl Check for Expiring {
    fn name(&self) -> &'static str {
        "expiring"
    }

    fn run(&self, facts: &Facts<'_>) -> Verdict {
        let roles = [("root", facts.root.expires), ("targets", facts.targets.expires)];
        let near = roles.into_iter().filter_map(|(role, expires)| {
            let days = (expires.unix() - facts.now.unix()) / DAY;
            (0..WARN_DAYS).contains(&days).then(|| format!("the role {role} expires in {days} days, on {expires}"))
        });
        match near.reduce(|all, next| format!("{all}; {next}")) {
            None => Verdict::Pass,
            Some(near) => Verdict::Warn(format!("{near}; its holders have to sign a new one")),
        }
    }
}

/// From how many days before its end on: 90, so that holders who meet four times a year do it in time.
const WARN_DAYS: i64 = 90;
