//! What somebody is about to sign, derived from the very bytes: no network, no project, no key. Pure.

use super::{CeremonyError, Documents};
use crate::keys::public_line;
use std::path::Path;
use updater_format::json::{self, Map, Value};
use updater_format::role::{Payload, RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted};
use updater_format::{Channel, Keyring, MinisignKey, PublicKey, Sha256, UtcTime};

/// A document in the words of people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Review {
    /// `root`, `targets` or a channel.
    pub role: String,
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

/// A document that people sign, out of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reviewed {
    /// A root.
    Root(Box<Root>),
    /// A top-level targets role.
    Targets(Box<Targets>),
}

/// Reads what `keys root export` wrote, or a whole document.
/// # Errors
/// [`CeremonyError::NotCanonical`] for bytes that no client would hash to the same, [`CeremonyError::NotADocument`].
pub fn read(path: &Path, bytes: &[u8]) -> Result<Reviewed, CeremonyError> {
    let refuse = |source| CeremonyError::NotADocument { path: path.to_owned(), what: "root or targets role", source };
    let value = json::parse("document", bytes).map_err(refuse)?;
    let payload = match &value {
        Value::Object(map) if map.contains_key("signed") => map["signed"].clone(),
        _ if json::canonical(&value) == bytes => value,
        _ => return Err(CeremonyError::NotCanonical { path: path.to_owned() }),
    };
    let is_targets =
        matches!(&payload, Value::Object(map) if map.get("_type").and_then(Value::as_str) == Some("targets"));
    let mut document = Map::new();
    document.insert("signatures".to_owned(), Value::Array(Vec::new()));
    document.insert("signed".to_owned(), payload);
    let document = Untrusted::new(json::compact(&Value::Object(document)));
    // What was not understood would not be shown.
    let whole = |message: &[u8], payload: &Value| match json::canonical(payload) == message {
        true => Ok(()),
        false => Err(CeremonyError::NotCanonical { path: path.to_owned() }),
    };
    Ok(match is_targets {
        true => {
            let signed = Signed::<Targets>::parse(&document).map_err(refuse)?;
            whole(signed.message(), &signed.unverified().to_value())?;
            Reviewed::Targets(Box::new(signed.unverified().clone()))
        }
        false => {
            let signed = Signed::<Root>::parse(&document).map_err(refuse)?;
            whole(signed.message(), &signed.unverified().to_value())?;
            Reviewed::Root(Box::new(signed.unverified().clone()))
        }
    })
}

impl Reviewed {
    /// Says what its signer vouches for, and what it changes. `names` is a root that tells whose keys are whose.
    #[must_use]
    pub fn review(&self, before: Documents<'_>, names: Option<&Root>) -> Review {
        match self {
            Self::Root(root) => of_root(root, before),
            Self::Targets(targets) => match targets.extension.as_ref().and_then(|x| x.channel.as_ref()) {
                Some(channel) => of_channel(channel, targets, before.targets),
                None => of_targets(targets, before, names),
            },
        }
    }

    /// Returns the bytes that are signed.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        match self {
            Self::Root(root) => updater_format::signed::message(&**root),
            Self::Targets(targets) => updater_format::signed::message(&**targets),
        }
    }
}

fn of_root(root: &Root, before: Documents<'_>) -> Review {
    let names = Documents { root: Some(root), targets: None };
    let mut lines = vec![app(root.extension.as_ref().map(|x| x.app.as_str()))];
    if root.is_development() {
        lines.push("for trying out: only loopback and file: repositories".to_owned());
    }
    for role in RoleName::ALL {
        holders(&mut lines, role.as_str(), root.keyring(role), names);
    }
    let extra = root.extension.as_ref().map(|x| &x.extra);
    others(&mut lines, extra.into_iter().chain([&root.extra]));
    let changes = before.root.map(|old| {
        let mut changes = follows(old.version, root.version);
        if root.extension.as_ref().map(|x| &x.app) != old.extension.as_ref().map(|x| &x.app) {
            changes.push("it is for another app".to_owned());
        }
        for role in RoleName::ALL {
            let was = (old.keyring(role), Documents { root: Some(old), targets: None }.ids(old.keyring(role)));
            let is = (root.keyring(role), names.ids(root.keyring(role)));
            differences(&mut changes, role.as_str(), was, is);
        }
        let rest = |root: &Root| {
            let extension = root.extension.as_ref().map(|x| (x.development, x.extra.clone()));
            (extension, root.extra.clone(), root.consistent_snapshot)
        };
        if rest(old) != rest(root) {
            changes.push("fields beside the keys are different".to_owned());
        }
        told(changes)
    });
    finish("root", root, lines, changes)
}

fn of_targets(targets: &Targets, before: Documents<'_>, names: Option<&Root>) -> Review {
    let root = names.or(before.root);
    let names = Documents { root, targets: Some(targets) };
    let mut lines = vec![app(targets.extension.as_ref().map(|x| x.app.as_str()))];
    for role in targets.delegations.iter().flat_map(|delegations| &delegations.roles) {
        holders(&mut lines, &plain(&role.name), &role.keyring, names);
    }
    if !targets.targets.is_empty() {
        lines.push(format!("it lists {} files itself, which none of ours does", targets.targets.len()));
    }
    let extra = targets.extension.as_ref().map(|x| &x.extra);
    others(&mut lines, extra.into_iter().chain([&targets.extra]));
    let changes = before.targets.map(|old| {
        let mut changes = follows(old.version, targets.version);
        let roles = |targets: &Targets| {
            let roles = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
            roles.map(|role| role.name.clone()).collect::<Vec<_>>()
        };
        let (was, is) = (roles(old), roles(targets));
        changes
            .extend(is.iter().filter(|name| !was.contains(name)).map(|name| format!("the role {} comes", plain(name))));
        changes
            .extend(was.iter().filter(|name| !is.contains(name)).map(|name| format!("the role {} goes", plain(name))));
        for name in was.iter().filter(|name| is.contains(name)) {
            let (Some(was), Some(is)) = (old.delegation(name), targets.delegation(name)) else { continue };
            let was_ids = Documents { root: before.root, targets: Some(old) }.ids(&was.keyring);
            let is_ids = names.ids(&is.keyring);
            differences(&mut changes, &plain(name), (&was.keyring, was_ids), (&is.keyring, is_ids));
            if (was.terminating, &was.paths, &was.extra) != (is.terminating, &is.paths, &is.extra) {
                changes.push(format!("{}: it may sign other files", plain(name)));
            }
        }
        let rest = |targets: &Targets| {
            let extension = targets.extension.as_ref().map(|x| (x.app.clone(), x.channel.clone(), x.extra.clone()));
            (extension, targets.extra.clone(), targets.targets.clone())
        };
        if rest(old) != rest(targets) {
            changes.push("fields beside the keys are different".to_owned());
        }
        told(changes)
    });
    finish("targets", targets, lines, changes)
}

/// Says what the signer of a channel's role vouches for: the files that come and go, and the rules.
#[must_use]
pub fn of_channel(channel: &Channel, role: &Targets, before: Option<&Targets>) -> Review {
    let mut lines = vec![app(role.extension.as_ref().map(|x| x.app.as_str()))];
    lines.push(format!("it lists {} files", role.targets.len()));
    let listed = |name: &String| before.and_then(|before| before.targets.get(name));
    let mut changes = Vec::new();
    for (name, file) in role.targets.iter().filter(|(name, file)| listed(name) != Some(file)) {
        let verb = if listed(name).is_some() { "is described anew" } else { "comes" };
        let sha256 = file.hashes.sha256().map_or_else(|| "no sha256".to_owned(), |digest| digest.to_string());
        changes.push(format!("{} {verb}: {} bytes, {sha256}", plain(name), file.length));
    }
    let gone = before.into_iter().flat_map(|before| before.targets.keys());
    changes.extend(gone.filter(|name| !role.targets.contains_key(*name)).map(|name| format!("{} goes", plain(name))));
    // Rules and everything else beside the files, as it is signed.
    let rest = |role: &Targets| {
        let rest = Targets { version: 1, expires: UtcTime::from_unix(0), targets: Default::default(), ..role.clone() };
        plain(&String::from_utf8_lossy(&json::compact(&rest.to_value()["x-updater"])))
    };
    let (was, is) = (before.map(rest).unwrap_or_default(), rest(role));
    if was != is {
        changes.push(format!("rules: {is}"));
    }
    if let Some(before) = before.filter(|before| before.version >= role.version) {
        changes.push(format!("version {} does not follow {}", role.version, before.version));
    }
    finish(channel.as_str(), role, lines, Some(changes))
}

fn finish<T: Payload>(role: &str, payload: &T, lines: Vec<String>, changes: Option<Vec<String>>) -> Review {
    let sha256 = Sha256::of(&updater_format::signed::message(payload)).to_string();
    let role = role.to_owned();
    Review { role, version: payload.version(), expires: payload.expires().to_string(), sha256, lines, changes }
}

fn app(name: Option<&str>) -> String {
    name.map_or_else(|| "for no app of this program".to_owned(), |name| format!("app {name}"))
}

/// Names the holders of a keyring: minisign's id, the owner, and the public key as its file has it. Nothing binds id and
/// owner to the key but this document, so the key itself is what is to be compared.
fn holders(lines: &mut Vec<String>, role: &str, keyring: &Keyring, names: Documents<'_>) {
    lines.push(format!("{role}: {} of {} must sign", keyring.threshold(), keyring.keys().len()));
    for (_, key) in keyring.keys() {
        let owner = names.owner_of(key).map_or_else(String::new, |owner| plain(&owner.owner));
        let words = [plain(&names.id_of(key)), owner, public(key, names)];
        lines
            .push(format!("  {}", words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ")));
    }
}

fn public(key: &PublicKey, names: Documents<'_>) -> String {
    let id = names.owner_of(key).and_then(|owner| u64::from_str_radix(&owner.minisign, 16).ok());
    match (key.ed25519_bytes(), id) {
        (Some(_), Some(id)) => public_line(&MinisignKey { key: key.clone(), id: id.to_le_bytes() }),
        (Some(bytes), None) => updater_format::digest::encode_hex(bytes),
        (None, _) => "no Ed25519 key".to_owned(),
    }
}

/// Shows what this program has no words for.
fn others<'a>(lines: &mut Vec<String>, extra: impl Iterator<Item = &'a Map<String, Value>>) {
    for (name, value) in extra.flatten() {
        lines.push(format!("{}: {}", plain(name), plain(&String::from_utf8_lossy(&json::compact(value)))));
    }
}

fn follows(before: u64, version: u64) -> Vec<String> {
    match version == before + 1 {
        true => Vec::new(),
        false => vec![format!("version {version} does not follow {before}")],
    }
}

fn differences(changes: &mut Vec<String>, role: &str, was: (&Keyring, Vec<String>), is: (&Keyring, Vec<String>)) {
    let keys = |(keyring, ids): (&Keyring, Vec<String>)| -> Vec<(PublicKey, String)> {
        keyring.keys().iter().map(|(_, key)| key.clone()).zip(ids).collect()
    };
    let (before, after) = (was.0.threshold(), is.0.threshold());
    let (was, is) = (keys(was), keys(is));
    let missing_in = |others: &[(PublicKey, String)], key: &PublicKey| !others.iter().any(|(other, _)| other == key);
    for (key, id) in &is {
        match was.iter().find(|(other, _)| other == key) {
            None => changes.push(format!("{role}: {} comes", plain(id))),
            Some((_, before)) if before != id => {
                changes.push(format!("{role}: the key {} is called {}", plain(before), plain(id)));
            }
            Some(_) => {}
        }
    }
    changes.extend(
        was.iter().filter(|(key, _)| missing_in(&is, key)).map(|(_, id)| format!("{role}: {} goes", plain(id))),
    );
    if before != after {
        changes.push(format!("{role}: {after} must sign instead of {before}"));
    }
}

fn told(mut changes: Vec<String>) -> Vec<String> {
    if changes.is_empty() {
        changes.push("the same keys, a new term".to_owned());
    }
    changes
}

/// Shows foreign text on a terminal without letting it act there.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_ascii_graphic() || c == ' ' { vec![c] } else { c.escape_unicode().collect() })
        .collect()
}
