//! The table `[package.metadata.updater]`, checked. The build script and the publisher read the same one.

mod components;

pub use components::{ComponentTable, ComponentVersion};

use crate::error::TableError;
use crate::hooks::Hooks;
use crate::manifest::Manifest;
use crate::reader::Reader;
use crate::url::RepositoryUrl;
use std::path::{Path, PathBuf};
use updater_format::json::{Map, Value};
use updater_format::manifest::PROGRAMS_OF_APP_BUNDLE;
use updater_format::{AppId, Channel, FilePath, InstallKind, MinisignKey, PathPattern, Platform};

/// The settings of one app: `[package.metadata.updater]` over `[workspace.metadata.updater]`, every default filled in.
///
/// ```no_run
/// use updater_build::table::Table;
///
/// // What `embed()` will compile in, from the manifest alone: no cargo is asked.
/// match Table::read("Cargo.toml".as_ref())? {
///     Some(table) => println!("{} reads {}", table.app, table.urls.iter().map(|url| url.as_str()).collect::<Vec<_>>().join(", ")),
///     None => println!("no [package.metadata.updater]"),
/// }
/// # Ok::<(), updater_build::TableError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Table {
    /// The app id; the package name when not set.
    pub app: AppId,
    /// The minisign public keys of the root, in plain sight of a reviewer.
    pub public_keys: Vec<MinisignKey>,
    /// The trusted root, relative to the package folder.
    pub root: PathBuf,
    /// Whether a root that one key can replace is accepted.
    pub allow_single_root_key: bool,
    /// Where clients read, mirrors in order.
    pub urls: Vec<RepositoryUrl>,
    /// Where `publish` writes, as written; the publisher parses it.
    pub storage: Option<String>,
    /// Where what clients must not see lies: submissions and the record of what was published; as written, too.
    pub private_storage: Option<String>,
    /// The channel that is embedded by default.
    pub channel: Channel,
    /// Every channel with those it may fall back to, in order; always contains `channel`.
    pub channels: Vec<ChannelEntry>,
    /// The install kind; `None` means: from the number of files. An app bundle is one on macOS alone.
    pub kind: Option<InstallKind>,
    /// The binaries that are built and bundled; empty means Cargo's default.
    pub bins: Vec<String>,
    /// The triples that are built; empty means the host's.
    pub targets: Vec<Platform>,
    /// Cargo's build profile; `None` means `release`.
    pub profile: Option<String>,
    /// Cargo features of the build.
    pub features: Vec<String>,
    /// Globs of extra files, relative to the package folder.
    pub include: Vec<PathPattern>,
    /// The executable that is started, relative to the install root.
    pub entry: Option<FilePath>,
    /// How many releases back direct patches are made from.
    pub patches_from: u32,
    /// How many releases stay listed in a channel role.
    pub keep: u32,
    /// Globs of installed files that a user may edit.
    pub keep_local: Vec<PathPattern>,
    /// When an update counts as good.
    pub trial: Trial,
    /// Whether the staged program is asked for its version before the swap.
    pub probe: bool,
    /// The HTTP statuses that mean "absent" on this storage.
    pub missing_status: Vec<u16>,
    /// Files of the app with versions of their own.
    pub components: Vec<ComponentTable>,
    /// What is published for people beside the repository.
    pub page: Page,
    /// How a launcher runs the app, as written; checked as [`updater_format::launcher::LauncherSettings`].
    pub launcher: Option<Map<String, Value>>,
    /// Programs that the publisher starts between its steps.
    pub hooks: Hooks,
}

/// What is published for people: a download page, a feed and scripts that install.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Page {
    /// Made from our templates.
    #[default]
    Ours,
    /// Made from the templates in this folder, relative to the package, and ours where it has none.
    Templates(PathBuf),
    /// Nothing.
    Off,
}

/// One channel, and where its clients look when it has nothing newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelEntry {
    /// The channel.
    pub name: Channel,
    /// The channels that it may fall back to, in order.
    pub fallback: Vec<Channel>,
}

/// When a freshly installed version counts as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// Reaching `updater!()` is enough.
    Start,
    /// The app calls `confirm()`.
    Confirm,
}

impl Trial {
    /// Returns the word used in the table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Confirm => "confirm",
        }
    }
}

impl Table {
    /// Reads the table of the package whose manifest is named, with the defaults of its workspace.
    ///
    /// Returns `None` when neither has a table: the package does not use the updater yet.
    /// # Errors
    /// [`TableError`] when a manifest cannot be read or a key is unknown, missing, of another type or refused.
    pub fn read(manifest: &Path) -> Result<Option<Self>, TableError> {
        Self::from_manifest(&Manifest::read(manifest)?)
    }

    /// Reads the table out of a manifest that is in memory already. `None` and errors as [`Table::read`].
    /// # Errors
    /// [`TableError`] as for [`Table::read`].
    pub fn from_manifest(manifest: &Manifest) -> Result<Option<Self>, TableError> {
        let Some(mut reader) = Reader::new(manifest)? else {
            return Ok(None);
        };

        let app = reader.string("app")?;
        let public_keys = reader.strings("public-key")?;
        let root = reader.string("root")?;
        let allow_single_root_key = reader.bool("allow-single-root-key")?;
        let urls = reader.strings("url")?;
        let storage = reader.string("storage")?;
        let private_storage = reader.string("private-storage")?;
        let channel = reader.string("channel")?;
        let channels = reader.channels("channels")?;
        let kind = reader.string("kind")?;
        let bins = reader.strings("bins")?;
        let targets = reader.strings("targets")?;
        let profile = reader.string("profile")?;
        let features = reader.strings("features")?;
        let include = reader.strings("include")?;
        let entry = reader.string("entry")?;
        let patches_from = reader.number("patches-from")?;
        let keep = reader.number("keep")?;
        let keep_local = reader.strings("keep-local")?;
        let layout = reader.string("layout")?;
        let trial = reader.string("trial")?;
        let probe = reader.bool("probe")?;
        let missing_status = reader.numbers("missing-status")?;
        let page = reader.page("page")?;
        let launcher = reader.launcher("launcher")?;
        let components = reader.tables("components")?.unwrap_or_default();
        let hooks = reader.hooks("hooks")?;
        // Before anything is called missing: `ulr = "..."` is a misspelled `url`, not an absent one.
        reader.refuse_unknown()?;

        let channel = match channel {
            Some(text) => parsed("channel", Channel::parse(&text))?,
            None => Channel::stable(),
        };
        let app = parsed("app", AppId::parse(app.as_deref().unwrap_or(manifest.package_name()?)))?;
        // So that one line for a workspace gives each app a repository of its own.
        let of_app = |text: String| text.replace("{app}", app.as_str());
        let urls = checked_urls(urls.unwrap_or_default().into_iter().map(of_app).collect())?;
        let (storage, private_storage) = (storage.map(of_app), private_storage.map(of_app));
        check_layout(layout.as_deref(), storage.as_deref(), &urls)?;
        Ok(Some(Self {
            public_keys: each("public-key", public_keys, MinisignKey::parse)?,
            root: inside_package(root.unwrap_or_else(|| DEFAULT_ROOT.to_owned()))?,
            allow_single_root_key: allow_single_root_key.unwrap_or(false),
            urls,
            storage,
            private_storage,
            channels: complete_channels(&channel, channels)?,
            channel,
            kind: kind.map(|text| install_kind(&text)).transpose()?,
            bins: bins.unwrap_or_default(),
            targets: each("targets", targets, Platform::parse)?,
            profile,
            features: features.unwrap_or_default(),
            include: each("include", include, PathPattern::parse)?,
            entry: entry.map(|text| parsed("entry", FilePath::parse(&text))).transpose()?,
            patches_from: bounded("patches-from", patches_from.unwrap_or(DEFAULT_PATCHES_FROM), 0)?,
            keep: bounded("keep", keep.unwrap_or(DEFAULT_KEEP), 1)?,
            keep_local: each("keep-local", keep_local, PathPattern::parse)?,
            trial: trial.map_or(Ok(Trial::Start), |text| trial_of(&text))?,
            probe: probe.unwrap_or(true),
            missing_status: checked_statuses(missing_status)?,
            components: components::read(&components, manifest.path())?,
            page: checked_page(page)?,
            launcher,
            hooks,
            app,
        }))
    }

    /// Returns the channels that clients of the embedded channel may fall back to, in order.
    #[must_use]
    pub fn fallback(&self) -> &[Channel] {
        self.channels.iter().find(|entry| entry.name == self.channel).map_or(&[], |entry| &entry.fallback)
    }

    /// Returns the install kind that is named for a triple: there are app bundles on macOS alone.
    #[must_use]
    pub fn named_kind(&self, platform: &Platform) -> Option<InstallKind> {
        self.kind.filter(|kind| *kind != InstallKind::AppBundle || platform.is_macos())
    }

    /// Returns where a triple has the program that is started: `entry`, or else this binary. In an app bundle its folder is
    /// given.
    #[must_use]
    pub fn entry_for(&self, platform: &Platform, binary: &str) -> String {
        let entry = self.entry.as_ref().map_or(binary, FilePath::as_str);
        match self.named_kind(platform) {
            Some(InstallKind::AppBundle) => {
                format!("{PROGRAMS_OF_APP_BUNDLE}{}", entry.rsplit_once('/').map_or(entry, |(_, name)| name))
            }
            _ => platform.program(entry),
        }
    }

    /// Returns the install kind of a triple as far as the table decides it: one program without extra files is an executable.
    #[must_use]
    pub fn install_kind(&self, platform: &Platform) -> InstallKind {
        match self.named_kind(platform) {
            Some(kind) => kind,
            // The launcher's table is a file of the bundle.
            None if self.include.is_empty() && self.bins.len() <= 1 && self.launcher.is_none() => {
                InstallKind::Executable
            }
            None => InstallKind::Directory,
        }
    }
}

fn parsed<T>(key: &'static str, result: Result<T, updater_format::FormatError>) -> Result<T, TableError> {
    result.map_err(|source| TableError::Format { key, source })
}

fn each<T>(
    key: &'static str,
    texts: Option<Vec<String>>,
    parse: impl Fn(&str) -> Result<T, updater_format::FormatError>,
) -> Result<Vec<T>, TableError> {
    texts.unwrap_or_default().iter().map(|text| parsed(key, parse(text))).collect()
}

fn value(key: &'static str, rule: String) -> TableError {
    TableError::Value { key, rule }
}

/// The root travels with the package, so that every checkout and every tag builds with its own.
fn inside_package(root: String) -> Result<PathBuf, TableError> {
    parsed("root", FilePath::parse(&root))?;
    Ok(PathBuf::from(root))
}

fn checked_page(page: Page) -> Result<Page, TableError> {
    if let Page::Templates(folder) = &page {
        parsed("page", FilePath::parse(&folder.to_string_lossy()))?;
    }
    Ok(page)
}

fn checked_urls(texts: Vec<String>) -> Result<Vec<RepositoryUrl>, TableError> {
    texts.iter().map(|text| RepositoryUrl::parse(text)).collect()
}

/// Files have plain names in the releases of GitHub and hashed ones everywhere else, and clients must be told where the
/// plain ones are.
fn check_layout(layout: Option<&str>, storage: Option<&str>, urls: &[RepositoryUrl]) -> Result<(), TableError> {
    let on_github = storage.is_some_and(|storage| storage.starts_with("github:"));
    match (layout, on_github) {
        (None | Some("hashed"), false) => Ok(()),
        (None | Some("plain"), true) if urls.is_empty() => Ok(()),
        (None | Some("plain"), true) if urls.iter().any(|url| url.address().targets.is_some()) => Ok(()),
        (None | Some("plain"), true) => Err(value(
            "url",
            "with `storage = \"github:OWNER/REPO\"` it must say where the files of releases are: \
             \"https://OWNER.github.io/REPO#targets=https://github.com/OWNER/REPO/releases/download/v{version}/{name}\""
                .to_owned(),
        )),
        (Some("plain"), false) => {
            Err(value("layout", "`plain` is for `github:` storages; others publish hashed names".to_owned()))
        }
        (Some("hashed"), true) => {
            Err(value("layout", "a `github:` storage publishes plain names: leave the line out".to_owned()))
        }
        (Some(other), _) => Err(value("layout", format!("{other:?} is neither `hashed` nor `plain`"))),
    }
}

fn install_kind(text: &str) -> Result<InstallKind, TableError> {
    let known = InstallKind::OF_APPS.into_iter().find(|kind| kind.to_string() == text);
    known.ok_or_else(|| value("kind", format!("{text:?} is none of `executable`, `directory` and `app-bundle`")))
}

fn trial_of(text: &str) -> Result<Trial, TableError> {
    match text {
        "start" => Ok(Trial::Start),
        "confirm" => Ok(Trial::Confirm),
        other => Err(value("trial", format!("{other:?} is neither `start` nor `confirm`"))),
    }
}

fn bounded(key: &'static str, number: i64, least: u32) -> Result<u32, TableError> {
    match u32::try_from(number) {
        Ok(number) if (least..=MAX_COUNT).contains(&number) => Ok(number),
        _ => Err(value(key, format!("it must be {least} to {MAX_COUNT}, found {number}"))),
    }
}

/// A 2xx means success and a 3xx is followed, so only the statuses of refusal can mean "absent".
fn checked_statuses(numbers: Option<Vec<i64>>) -> Result<Vec<u16>, TableError> {
    let refuse = |n: i64| value("missing-status", format!("only 403, 404 and 410 can mean absent, found {n}"));
    let Some(numbers) = numbers else { return Ok(vec![404]) };
    if numbers.is_empty() {
        return Err(value("missing-status", "it must name at least one status, 404 as a rule".to_owned()));
    }
    numbers
        .into_iter()
        .map(|n| match n {
            403 | 404 | 410 => u16::try_from(n).map_err(|_| refuse(n)),
            _ => Err(refuse(n)),
        })
        .collect()
}

/// Adds the embedded channel when `channels` does not name it, and refuses fall-backs to channels that do not exist.
fn complete_channels(
    channel: &Channel,
    configured: Option<Vec<(String, Vec<String>)>>,
) -> Result<Vec<ChannelEntry>, TableError> {
    let mut entries = Vec::new();
    for (name, fallback) in configured.unwrap_or_default() {
        let name = parsed("channels", Channel::parse(&name))?;
        if entries.iter().any(|known: &ChannelEntry| known.name == name) {
            return Err(value("channels", format!("`{name}` is named twice")));
        }
        entries.push(ChannelEntry { name, fallback: each("channels", Some(fallback), Channel::parse)? });
    }
    if !entries.iter().any(|entry| entry.name == *channel) {
        entries.insert(0, ChannelEntry { name: channel.clone(), fallback: Vec::new() });
    }
    for entry in &entries {
        for target in &entry.fallback {
            if *target == entry.name {
                return Err(value("channels", format!("`{target}` cannot fall back to itself")));
            }
            if !entries.iter().any(|known| known.name == *target) {
                return Err(value(
                    "channels",
                    format!("`{}` falls back to `{target}`, which is no channel", entry.name),
                ));
            }
        }
    }
    Ok(entries)
}

/// Where `init` puts the trusted root.
const DEFAULT_ROOT: &str = "updater/root.json";
/// Direct patches from this many earlier releases.
const DEFAULT_PATCHES_FROM: i64 = 3;
/// Releases that stay listed.
const DEFAULT_KEEP: i64 = 3;
/// Most releases that may be listed or patched from: a role of this many releases still stays below its byte limit.
const MAX_COUNT: u32 = 100;

#[cfg(test)]
mod tests;
