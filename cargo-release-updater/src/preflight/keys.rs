//! The keys that a release needs are on this machine.

use super::{Check, Facts, Verdict};
use crate::keys::KeyError;
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
            Some((role, keyring)) => {
                let have = keyring.keys().iter().filter(|(_, key)| facts.keychain.public(key).is_some()).count();
                let name = |key| match facts.keychain.public(key) {
                    Some(public) => public.id_text(),
                    None => format!("key id {}", key.id()),
                };
                let error = KeyError::NotEnough {
                    role,
                    have: have.min(keyring.threshold() as usize - 1),
                    threshold: keyring.threshold(),
                    wanted: keyring.keys().iter().map(|(_, key)| name(key)).collect::<Vec<_>>().join(", "),
                    folder: facts.keychain.folder().path().to_owned(),
                };
                Verdict::Refuse(error.into())
            }
        }
    }
}
