//! The project embeds the newest root: an older one works, by fetching the roots between, until its keys are forgotten.

use super::{Check, Facts, Verdict};
use updater_format::role::Root;
use updater_format::signed::{Signed, Untrusted};

/// Warns when a newer root is published than the project embeds.
pub(super) struct RootBehind;

impl Check for RootBehind {
    fn name(&self) -> &'static str {
        "root-behind"
    }

    fn run(&self, facts: &Facts<'_>) -> Verdict {
        let own = Signed::<Root>::parse(&Untrusted::new(&*facts.trust.root)).map(|root| root.unverified().version);
        match own {
            Ok(own) if own < facts.root.version => Verdict::Warn(format!(
                "the project embeds version {own} of the root, version {} is published; copy metadata/{}.root.json to updater/root.json",
                facts.root.version, facts.root.version
            )),
            _ => Verdict::Pass,
        }
    }
}
