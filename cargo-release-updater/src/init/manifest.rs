//! Edits `Cargo.toml`: the table and the two dependencies. Comments, order and everything else stay as they are.

use super::{Answers, InitError, Trust, Work};
use crate::config::Project;
use crate::keys::public_line;
use crate::roles::Purpose;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value, value};
use updater_build::manifest::Manifest;
use updater_format::role::{RoleName, Root};
use updater_format::{KeyId, MinisignKey, PublicKey};

/// Where the two crates of an app come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dependencies {
    /// From the registry, at the version of this program.
    Registry,
    /// From a checkout of this project.
    Path(PathBuf),
    /// From the checkout that this program was built in: no registry is sure to have what it has.
    OwnCheckout(PathBuf),
}

/// Returns the checkout that this program was built in, when it is still there. A program from a registry has none.
#[must_use]
pub fn own_checkout() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    checkout.join("updater-runtime/Cargo.toml").is_file().then(|| checkout.to_owned())
}

/// Refuses answers that the table contradicts: left alone in silence, they would seem to have been taken.
pub(super) fn refuse_other_settings(project: &Project, answers: &Answers) -> Result<(), InitError> {
    let Some(table) = &project.table else { return Ok(()) };
    // One option answers for both.
    let by_github = answers.github.as_ref().map(|_| "--github");
    let differs = |option, key, value| {
        let option = by_github.unwrap_or(option);
        InitError::Differs { option, key, value, manifest: project.manifest.clone() }
    };
    if !table.urls.is_empty() && table.urls != answers.urls {
        let urls = table.urls.iter().map(ToString::to_string).collect::<Vec<_>>().join("\", \"");
        return Err(differs("--url", "url", urls));
    }
    match (&table.storage, &answers.storage) {
        (Some(set), Some(given)) if set != given => Err(differs("--storage", "storage", set.clone())),
        _ => Ok(()),
    }
}

/// Adds what is missing to the package's manifest.
pub(super) fn edit(
    work: &mut Work<'_>,
    project: &Project,
    answers: &Answers,
    trust: Option<&Trust>,
) -> Result<(), InitError> {
    let path = &project.manifest;
    let text =
        std::fs::read_to_string(path).map_err(|source| InitError::Io { action: "read", path: path.clone(), source })?;
    let refuse = |reason: String| InitError::Manifest { path: path.clone(), reason };
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| refuse(error.to_string()))?;
    fill_table(&mut document, project, answers, trust).map_err(refuse)?;
    let mut added = false;
    for (section, name) in [("dependencies", "updater-runtime"), ("build-dependencies", "updater-build")] {
        added |= add_dependency(&mut document, section, name, &answers.dependencies).map_err(refuse)?;
    }
    if let (true, Dependencies::OwnCheckout(checkout)) = (added, &answers.dependencies) {
        work.todo(format!(
            "the two crates are taken from {}, where this command was built; for other machines write their version or their \
             repository instead",
            checkout.display()
        ));
    }
    let edited = document.to_string();
    // The table is checked as the build script will read it, before anything is written.
    Manifest::from_text(path, &edited)
        .and_then(|manifest| updater_build::table::Table::from_manifest(&manifest))
        .map_err(|source| InitError::Refused { path: path.clone(), source: Box::new(source) })?;
    work.write(path, edited.as_bytes())
}

/// Writes the public keys of a root into the table, where `init` has put them.
/// # Errors
/// [`InitError::Manifest`] when the table cannot be edited.
pub fn write_public_keys(project: &Project, root: &Root) -> Result<(), InitError> {
    let path = &project.manifest;
    let failed = |action| move |source| InitError::Io { action, path: path.clone(), source };
    let text = std::fs::read_to_string(path).map_err(failed("read"))?;
    let refuse = |reason: String| InitError::Manifest { path: path.clone(), reason };
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| refuse(error.to_string()))?;
    let table = document.get_mut("package").and_then(|item| item.get_mut("metadata")?.get_mut("updater"));
    let table =
        table.and_then(Item::as_table_like_mut).ok_or_else(|| refuse("it has no table of its own".to_owned()))?;
    let keyring = root.keyring(RoleName::Root);
    let id_of = |id: &KeyId| {
        let text = &root.extension.as_ref()?.keys.get(id)?.minisign;
        Some(u64::from_str_radix(text, 16).ok()?.to_le_bytes())
    };
    let line = |(id, key): &(KeyId, PublicKey)| {
        public_line(&MinisignKey { key: key.clone(), id: id_of(id).unwrap_or_default() })
    };
    let lines: Vec<String> = keyring.keys().iter().map(line).collect();
    // In place, so that the comment above the key stays.
    match table.get_mut("public-key") {
        Some(item) => *item = strings(&lines),
        None => drop(table.insert("public-key", strings(&lines))),
    }
    if keyring.threshold() > 1 {
        table.remove("allow-single-root-key");
    }
    let edited = document.to_string();
    if edited == text {
        return Ok(());
    }
    crate::files::write_durably(&path.canonicalize().unwrap_or(path.clone()), edited.as_bytes())
        .map_err(failed("write"))
}

/// Adds the keys that the table does not have yet.
fn fill_table(
    document: &mut DocumentMut,
    project: &Project,
    answers: &Answers,
    trust: Option<&Trust>,
) -> Result<(), String> {
    let inherited = project.table.as_ref();
    let package = document.get_mut("package").ok_or("it has no [package]")?;
    let table = child(child(package, "metadata")?, "updater")?;
    let table = table.as_table_like_mut().ok_or("`updater` in its metadata is no table")?;
    if answers.app.as_str() != project.name {
        add(table, "app", &["The id of the app in its repository."], value(answers.app.as_str()));
    }
    if let Some(trust) = trust {
        let lines: Vec<String> = trust.public_keys.iter().map(public_line).collect();
        let comment = "Who may change the trusted keys: the public keys of the root.";
        add(table, "public-key", &[comment], strings(&lines));
        if trust.threshold == 1 && inherited.is_none_or(|table| !table.allow_single_root_key) {
            let comment = [
                "One key alone can replace the root: keep it away from the network. With several holders and",
                "a threshold of 2 this line goes.",
            ];
            add(table, "allow-single-root-key", &comment, value(true));
        }
    }
    if inherited.is_none_or(|table| table.urls.is_empty()) {
        let urls: Vec<String> = answers.urls.iter().map(ToString::to_string).collect();
        let comment = match answers.purpose {
            Purpose::Release => "Where the app looks for updates.",
            Purpose::Development => "Where the app looks for updates: `cargo updater serve` on this machine.",
        };
        add(table, "url", &[comment], strings(&urls));
    }
    if let Some(storage) = &answers.storage {
        add(table, "storage", &["Where `cargo updater publish` writes."], value(storage.as_str()));
    }
    let channels: Vec<String> = answers.channels.iter().map(ToString::to_string).collect();
    if channels != ["stable"] && inherited.is_none_or(|table| table.channels.len() != channels.len()) {
        add(table, "channel", &["The channel that is compiled in."], value(channels[0].as_str()));
        add(table, "channels", &[], strings(&channels));
    }
    Ok(())
}

fn add_dependency(document: &mut DocumentMut, section: &str, name: &str, from: &Dependencies) -> Result<bool, String> {
    let table = document.entry(section).or_insert_with(|| Item::Table(Table::new()));
    let table = table.as_table_like_mut().ok_or_else(|| format!("`{section}` is no table"))?;
    if table.contains_key(name) {
        return Ok(false);
    }
    let source = match from {
        Dependencies::Registry => value(VERSION),
        Dependencies::Path(root) | Dependencies::OwnCheckout(root) => {
            let mut inline = InlineTable::new();
            inline.insert("path", root.join(name).display().to_string().into());
            value(inline)
        }
    };
    table.insert(name, source);
    Ok(true)
}

/// Returns a sub-table, made without a header of its own when it is missing.
fn child<'a>(item: &'a mut Item, name: &str) -> Result<&'a mut Item, String> {
    let table = item.as_table_like_mut().ok_or_else(|| format!("what should hold `{name}` is no table"))?;
    Ok(table.entry(name).or_insert_with(|| {
        let mut made = Table::new();
        // `[package.metadata]` needs no line of its own above `[package.metadata.updater]`.
        made.set_implicit(name == "metadata");
        Item::Table(made)
    }))
}

/// Adds a key with comment lines above it, unless it is set.
fn add(table: &mut dyn TableLike, key: &str, comment: &[&str], item: Item) {
    if table.contains_key(key) {
        return;
    }
    table.insert(key, item);
    if let Some(mut key) = table.key_mut(key) {
        let lines: String = comment.iter().map(|line| format!("# {line}\n")).collect();
        key.leaf_decor_mut().set_prefix(lines);
    }
}

/// One string alone, or an array of several.
fn strings(texts: &[String]) -> Item {
    match texts {
        [one] => value(one.as_str()),
        many => Item::Value(Value::Array(many.iter().map(String::as_str).collect())),
    }
}

/// The release of the crates that fits this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
