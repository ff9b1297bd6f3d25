//! The keys that a release needs are on this machine.

use super::{Check, Facts, Verdict};
use crate::steps::sign::keyrings;

/// Refuses when the channel cannot be signed here, and tells what a release without the online key is. Nothing is
/// unlocked.
pub(super) struct Keys;

impl Check for Keys {
    fn name(&self) -> &'static str {
        "keys"
    }

    fn run(&self, facts: &Facts<'_>) -> Verdict {
        let needed = match keyrings(facts.channel, facts.trust, facts.state) {
            Ok(needed) => needed,
            Err(error) => return Verdict::Refuse(error.into()),
        };
        let missing = |(_, keyring): &(String, _)| !facts.keychain.can_sign(keyring);
        match needed.into_iter().find(missing) {
            None => Verdict::Pass,
            Some((role, _)) if role == "snapshot" || role == "timestamp" => Verdict::Warn(
                "the online key is not here: the release waits as a submission until `cargo updater refresh` runs with it"
                    .to_owned(),
            ),
            Some((role, keyring)) => Verdict::Refuse(facts.keychain.missing(&role, &keyring).into()),
        }
    }
}
