//! The keys that a release needs are on this machine.

use super::{Check, Facts, Verdict};
use crate::steps::sign::keyrings;

/// Refuses when no key of the channel is here, and tells what a release without the others or the online key is. Nothing is
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
            Some((role, keyring)) if facts.keychain.count(&keyring) > 0 => Verdict::Warn(format!(
                "{} of the {} keys that must sign {role} are here: the release waits until the others have signed it with \
                 `cargo updater release sign`",
                facts.keychain.count(&keyring),
                keyring.threshold()
            )),
            Some((role, keyring)) => Verdict::Refuse(facts.keychain.missing(&role, &keyring).into()),
        }
    }
}
