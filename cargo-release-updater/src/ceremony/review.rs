//! What somebody is about to sign, derived from the very bytes: no network, no project, no key. Pure.

use super::CeremonyError;
use super::change::ids;
use std::path::Path;
use updater_format::json::{self, Value};
use updater_format::role::{Payload, RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted};
use updater_format::{Keyring, Sha256};

/// A document in the words of people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Review {
    /// `root` or `targets`.
    pub role: &'static str,
    /// Its version.
    pub version: u64,
    /// When it ends.
    pub expires: String,
    /// The digest of the bytes that are signed, to be compared by voice.
    pub sha256: String,
    /// What it says, one line each.
    pub lines: Vec<String>,
    /// What is different from the document it follows; none when that was not given.
    pub changes: Option<Vec<String>>,
}

/// Reviews the bytes of a file: what `keys root export` wrote, or a whole document. `before` is the document in force.
/// # Errors
/// [`CeremonyError::NotCanonical`] for bytes that no client would hash to the same, [`CeremonyError::NotADocument`].
pub fn review(path: &Path, bytes: &[u8], before: Option<&Root>) -> Result<Review, CeremonyError> {
    let refuse = |source| CeremonyError::NotADocument { path: path.to_owned(), what: "root or targets role", source };
    let value = json::parse("document", bytes).map_err(refuse)?;
    let (payload, is_bare) = match &value {
        Value::Object(map) if map.contains_key("signed") => (map["signed"].clone(), false),
        _ => (value.clone(), true),
    };
    let message = json::canonical(&payload);
    if is_bare && message != bytes {
        return Err(CeremonyError::NotCanonical { path: path.to_owned() });
    }
    let mut document = json::Map::new();
    document.insert("signatures".to_owned(), Value::Array(Vec::new()));
    document.insert("signed".to_owned(), payload.clone());
    let document = Untrusted::new(json::compact(&Value::Object(document)));
    let sha256 = Sha256::of(&message).to_string();
    if matches!(&payload, Value::Object(map) if map.get("_type").and_then(Value::as_str) == Some("targets")) {
        let targets = Signed::<Targets>::parse(&document).map_err(refuse)?.unverified().clone();
        return Ok(of_targets(&targets, sha256));
    }
    let root = Signed::<Root>::parse(&document).map_err(refuse)?.unverified().clone();
    Ok(of_root(&root, sha256, before))
}

fn of_root(root: &Root, sha256: String, before: Option<&Root>) -> Review {
    let mut lines = vec![match &root.extension {
        Some(extension) => format!("app {}", extension.app),
        None => "no app".to_owned(),
    }];
    for role in RoleName::ALL {
        let keyring = root.keyring(role);
        lines.push(format!("{role}: {} of {}", keyring.threshold(), holders(root, keyring)));
    }
    let changes = before.map(|before| {
        let mut changes = Vec::new();
        if root.version != before.version + 1 {
            changes.push(format!("version {} does not follow {}", root.version, before.version));
        }
        if root.extension.as_ref().map(|x| &x.app) != before.extension.as_ref().map(|x| &x.app) {
            changes.push("it is for another app".to_owned());
        }
        for role in RoleName::ALL {
            let (old, new) = (before.keyring(role), root.keyring(role));
            let (was, is) = (ids(before, old), ids(root, new));
            changes.extend(is.iter().filter(|id| !was.contains(id)).map(|id| format!("{role}: {id} comes")));
            changes.extend(was.iter().filter(|id| !is.contains(id)).map(|id| format!("{role}: {id} goes")));
            if old.threshold() != new.threshold() {
                changes.push(format!("{role}: {} must sign instead of {}", new.threshold(), old.threshold()));
            }
        }
        if changes.is_empty() {
            changes.push("the same keys, a new term".to_owned());
        }
        changes
    });
    Review { role: "root", version: root.version(), expires: root.expires.to_string(), sha256, lines, changes }
}

fn of_targets(targets: &Targets, sha256: String) -> Review {
    let mut lines = vec![match &targets.extension {
        Some(extension) => format!("app {}", extension.app),
        None => "no app".to_owned(),
    }];
    for role in targets.delegations.iter().flat_map(|delegations| &delegations.roles) {
        let keys: Vec<_> = role.keyring.keys().iter().map(|(_, key)| public(key)).collect();
        lines.push(format!("{}: {} of {}", role.name, role.keyring.threshold(), keys.join(", ")));
    }
    let expires = targets.expires.to_string();
    Review { role: "targets", version: targets.version(), expires, sha256, lines, changes: None }
}

/// Names the holders of a keyring: minisign's id, and the owner where there is one. The id stands beside the public key
/// because nothing binds the two but the root itself.
fn holders(root: &Root, keyring: &Keyring) -> String {
    let one = |(id, key): &(updater_format::KeyId, updater_format::PublicKey)| {
        let owner = root.extension.as_ref().and_then(|x| x.keys.get(id));
        let name = owner.map_or_else(String::new, |owner| format!("{} {}", owner.minisign, owner.owner));
        format!("{} ({})", name.trim_end(), public(key))
    };
    keyring.keys().iter().map(one).collect::<Vec<_>>().join(", ")
}

fn public(key: &updater_format::PublicKey) -> String {
    key.ed25519_bytes().map_or_else(|| "no Ed25519 key".to_owned(), |bytes| updater_format::digest::encode_hex(bytes))
}
