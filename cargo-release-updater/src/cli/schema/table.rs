//! Makes the schema of `[package.metadata.updater]`, and holds it against what reads the table.
//!
//! The table is read key by key, for the sake of errors that say where and why; so its shape is written down here once
//! more, as types, and tests let the reader and the schema judge the same tables.

use crate::renewed::{committed, renewed};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use updater_build::hooks::Hooks as BuildHooks;
use updater_format::launcher::LauncherSettings;

/// The settings of one app for `cargo updater`.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct Table {
    /// The app id; one repository serves one app. The package's name when not given.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9_-]*$"))]
    app: Option<String>,
    /// minisign public keys of the root's holders; a build fails when they are not those of the root.
    public_key: Option<OneOrMore>,
    /// The trusted root, a file inside the package; `targets.json` lies beside it. `updater/root.json` when not given.
    root: Option<String>,
    /// Accept a root that one key alone can replace.
    allow_single_root_key: Option<bool>,
    /// Where clients read: https://, file:///, or http:// on a loopback address; several are mirrors in order. `{app}` stands
    /// for the app id.
    url: Option<OneOrMore>,
    /// Where `publish` writes: a folder, relative to the package, or a service (`cargo updater services`). `{app}` stands for
    /// the app id. The folder target/updater/repository/APP when not given.
    storage: Option<String>,
    /// Where submissions, the shared record of what was published and packs of keys lie, apart from what clients read.
    private_storage: Option<String>,
    /// The channel that is compiled in; `stable` when not given.
    channel: Option<String>,
    /// All channels; as a table, each with the channels it may fall back to.
    channels: Option<Channels>,
    /// How the app is installed; from the number of files when not given.
    kind: Option<Kind>,
    /// The programs that are built and bundled.
    bins: Option<OneOrMore>,
    /// The target triples that are built; the host's when not given.
    targets: Option<OneOrMore>,
    /// Cargo's build profile; `release` when not given.
    profile: Option<String>,
    /// Cargo features of the build.
    features: Option<OneOrMore>,
    /// Globs of extra files (`*`, `?`, and `**` as a whole part), relative to the package.
    include: Option<OneOrMore>,
    /// The program that is started, relative to the install root.
    entry: Option<String>,
    /// Direct patches from this many earlier releases; 3 when not given.
    #[schemars(range(min = 0, max = 100))]
    patches_from: Option<i64>,
    /// Releases that stay listed; 3 when not given.
    #[schemars(range(min = 1, max = 100))]
    keep: Option<i64>,
    /// Globs of installed files that a user may edit: never overwritten.
    keep_local: Option<OneOrMore>,
    /// Names of published files; `plain` is for `github:` storages.
    layout: Option<Layout>,
    /// What completes a new version's trial: `start`, or `confirm` by the app.
    trial: Option<Trial>,
    /// Whether a staged program is asked for its version before the swap; true when not given.
    probe: Option<bool>,
    /// HTTP statuses that mean "absent" on this storage: 403, 404, 410.
    missing_status: Option<Vec<i64>>,
    /// Publish a download page, a feed and scripts that install; a string is a folder with templates of your own.
    page: Option<Page>,
    /// How a launcher runs the app; it travels in the bundle.
    launcher: Option<Launcher>,
    /// Files with versions of their own.
    components: Option<Vec<Component>>,
    /// Programs that run between the steps, as lists of arguments.
    hooks: Option<Hooks>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
enum Channels {
    Names(Vec<String>),
    WithFallback(BTreeMap<String, Vec<String>>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
enum Kind {
    Executable,
    Directory,
    AppBundle,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
enum Layout {
    Hashed,
    Plain,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
enum Trial {
    Start,
    Confirm,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
enum Page {
    OnOrOff(bool),
    Templates(String),
}

/// Files of the app with a version of their own.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct Component {
    /// Its name.
    name: String,
    /// The folder whose files it has, relative to the package.
    folder: Option<String>,
    /// Globs of its files, relative to that folder.
    files: Option<OneOrMore>,
    /// Its version; else `version-file` has it.
    version: Option<String>,
    /// A file of the package with its version alone on the first line.
    version_file: Option<String>,
    /// The lowest version of the app that may take it.
    minimum_app: Option<String>,
    /// The triple that it is for; every one when not given.
    target: Option<String>,
}

type Argv = Vec<String>;

/// Programs that run between the steps.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct Hooks {
    /// Before a bundle is built or gathered, once for each triple.
    before_bundle: Option<Programs>,
    /// After the build, once for each program: code signing.
    after_build: Option<Programs>,
    /// After the rehearsal, before anything is uploaded.
    before_upload: Option<Programs>,
    /// In place of a storage service, with `storage = "command"`.
    upload: Option<Programs>,
    /// When clients can see the release.
    after_publish: Option<Programs>,
    /// The time that each program gets, for example `10m`.
    limit: Option<Span>,
}

/// One program with its arguments, or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
enum Programs {
    One(Argv),
    Several(Vec<Argv>),
}

/// A length of time: a whole number and a unit.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct Span(#[schemars(regex(pattern = "^[0-9]+(ms|s|m|h|d)$"))] String);

/// How a launcher runs the app.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct Launcher {
    /// The program, relative to the version's folder; the bundle's entry when not given.
    exec: Option<String>,
    /// Its arguments.
    args: Option<Vec<String>>,
    /// Variables added to its environment.
    env: Option<BTreeMap<String, String>>,
    /// Free values for `{{value.NAME}}`.
    values: Option<BTreeMap<String, String>>,
    /// When the app is started again.
    restart: Option<Restart>,
    /// How long to wait before it is.
    backoff: Option<Backoff>,
    /// How the app is asked to end.
    stop: Option<Stop>,
    /// How many versions stay on disk.
    #[schemars(range(min = 2, max = 100))]
    keep: Option<u32>,
    /// How often updates are looked for: `never`, or a length of time of at least a second.
    #[schemars(regex(pattern = "^(never|[0-9]+(ms|s|m|h|d))$"))]
    interval: Option<String>,
    /// Whether updates are looked for when the launcher starts.
    update_at_start: Option<bool>,
    /// Whether a staged program must answer the probe; for apps that contain the runtime.
    probe: Option<bool>,
    /// When a version counts as ready, and as alive.
    health: Option<Health>,
    /// What runs around an update.
    hooks: Option<LauncherHooks>,
    /// The log files of the app.
    log: Option<Log>,
    /// An address that the launcher listens on for the app.
    listen: Option<String>,
    /// Whether, with `listen`, the new version starts beside the old one.
    overlap: Option<bool>,
    /// Programs that can be run by name.
    script: Option<BTreeMap<String, Argv>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
enum Restart {
    Never,
    OnFailure,
    Always,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct Backoff {
    /// The first wait.
    first: Option<Span>,
    /// The longest wait.
    ceiling: Option<Span>,
    /// Failures within `window` after which the launcher gives up; 0 never does.
    limit: Option<u32>,
    /// How far back failures count.
    window: Option<Span>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct Stop {
    /// The signal.
    signal: Option<StopSignal>,
    /// The time that it gets.
    grace: Option<Span>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE")]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
enum StopSignal {
    Term,
    Int,
    Hup,
    Quit,
    Usr1,
    Usr2,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct Health {
    /// It must have stayed up for this long.
    stay_up: Option<Span>,
    /// All must hold within this time after the start.
    limit: Option<Span>,
    /// It must accept connections here.
    tcp: Option<String>,
    /// This `http://HOST:PORT/PATH` must answer with 200 to 299.
    http: Option<String>,
    /// This command must end with 0.
    command: Option<Argv>,
    /// It must confirm itself.
    confirm: Option<bool>,
    /// How often a ready app is checked again.
    every: Option<Span>,
    /// After so many failed checks in a row it counts as failed.
    #[schemars(range(min = 1))]
    failures: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct LauncherHooks {
    /// Before anything changes; the old version runs.
    before_swap: Option<Vec<Argv>>,
    /// When `current` leads to the new version.
    after_swap: Option<Vec<Argv>>,
    /// Before the app is started, for the first time in a version.
    before_start: Option<Vec<Argv>>,
    /// When the new version is ready.
    after_start: Option<Vec<Argv>>,
    /// The time that each of them gets.
    limit: Option<Span>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "a shape: nothing is ever made of it")]
struct Log {
    /// The size in bytes at which a new file is begun.
    #[schemars(range(min = 4096))]
    bytes: Option<u64>,
    /// How many older files are kept of each stream.
    #[schemars(range(max = 100))]
    files: Option<u32>,
}

/// Makes the schema of a Cargo.toml with the tables in it.
fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    // TOML has no null: a key that is not set is not there.
    settings.transforms.push(Box::new(NotNull));
    let mut generator = settings.into_generator();
    let table = generator.subschema_for::<Table>();
    let definitions = generator.take_definitions(true);
    let metadata = json!({ "properties": { "metadata": { "properties": { "updater": table } } } });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "[package.metadata.updater] in Cargo.toml",
        "description": "The settings of cargo updater. Everything else in Cargo.toml is left alone.",
        "type": "object",
        "properties": { "package": metadata, "workspace": metadata },
        "$defs": definitions,
    })
}

/// Takes `null` out of what may be left out.
#[derive(Clone)]
struct NotNull;

impl schemars::transform::Transform for NotNull {
    fn transform(&mut self, schema: &mut schemars::Schema) {
        if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".to_owned(), only);
            }
        }
        if let Some(all) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
            all.retain(|one| one["type"] != "null");
            if let [only] = all.as_slice()
                && let Value::Object(fields) = only.clone()
            {
                schema.remove("anyOf");
                for (key, value) in fields {
                    schema.insert(key, value);
                }
            }
        }
        schemars::transform::transform_subschemas(self, schema);
    }
}

#[test]
fn the_schema_of_the_table_is_made_from_its_shape() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    renewed("schema/table.schema.json", &text);
}

/// Returns the keys of a definition.
fn keys(definition: &str) -> Vec<String> {
    let schema: Value = committed("schema/table.schema.json");
    let mut keys: Vec<String> =
        schema["$defs"][definition]["properties"].as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

#[test]
fn the_shape_has_the_keys_that_are_read() {
    // The page is held against the reader by tests of its own; the hooks and the launcher know their keys.
    let page = include_str!("../../../../docs/format/table.md");
    let mut rows: Vec<String> =
        page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    rows.sort();
    assert_eq!(keys("Table"), rows);
    let mut hooks = BuildHooks::KEYS.map(str::to_owned).to_vec();
    hooks.sort();
    assert_eq!(keys("Hooks"), hooks);
    let launcher = LauncherSettings::default().to_map();
    let of = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
    let sorted = |mut keys: Vec<String>| {
        keys.sort();
        keys
    };
    assert_eq!(keys("Launcher"), sorted(of(&launcher)));
    for (key, definition) in
        [("backoff", "Backoff"), ("stop", "Stop"), ("health", "Health"), ("hooks", "LauncherHooks"), ("log", "Log")]
    {
        assert_eq!(keys(definition), sorted(of(launcher[key].as_object().unwrap())), "{key}");
    }
}

#[test]
fn schema_and_reader_judge_alike() {
    let schema: Value = committed("schema/table.schema.json");
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("Cargo.toml");
    for (line, good) in TABLES {
        let text = format!(
            "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n\n[package.metadata.updater]\nurl = \"https://example.com\"\n{line}\n"
        );
        std::fs::write(&manifest, &text).unwrap();
        let read = updater_build::table::Table::read(&manifest);
        assert_eq!(read.is_ok(), *good, "the reader of {line}: {read:?}");
        let document: Value = toml_edit::de::from_str(&text).unwrap();
        let told = updater_tests::schema::check(&schema, &document);
        assert_eq!(told.is_ok(), *good, "the schema of {line}: {told:?}");
    }
}

/// Lines of a table, and whether they are good.
const TABLES: &[(&str, bool)] = &[
    ("", true),
    ("app = \"hello\"", true),
    ("app = \"Hello\"", false),
    ("ulr = \"x\"", false),
    ("public-key = 3", false),
    ("allow-single-root-key = true", true),
    ("allow-single-root-key = \"yes\"", false),
    ("storage = \"fs:/srv/www\"", true),
    ("channels = [\"stable\", \"beta\"]", true),
    ("channels = { stable = [], beta = [\"stable\"] }", true),
    ("channels = 3", false),
    ("kind = \"directory\"", true),
    ("kind = \"app-bundle\"", true),
    ("kind = \"folder\"", false),
    ("bins = [\"hello\"]", true),
    ("bins = \"hello\"", true),
    ("targets = [\"x86_64-unknown-linux-gnu\"]", true),
    ("patches-from = 0", true),
    ("patches-from = 101", false),
    ("keep = 0", false),
    ("keep = \"3\"", false),
    ("trial = \"confirm\"", true),
    ("trial = \"later\"", false),
    ("probe = false", true),
    ("missing-status = [403, 404]", true),
    ("missing-status = \"404\"", false),
    ("page = false", true),
    ("page = \"updater/page\"", true),
    ("page = 1", false),
    ("components = [{ name = \"words\", folder = \"words\", version = \"1.0.0\" }]", true),
    ("components = [{ name = \"words\", folder = \"words\", version = \"1.0.0\", colour = 1 }]", false),
    ("hooks = { after-build = [\"sign\", \"{{file}}\"], limit = \"5m\" }", true),
    ("hooks = { after-build = [[\"sign\", \"{{file}}\"], [\"check\"]] }", true),
    ("hooks = { before = [\"x\"] }", false),
    ("hooks = { limit = \"5 minutes\" }", false),
    ("launcher = { keep = 3, interval = \"6h\", health = { http = \"http://127.0.0.1:80/\" } }", true),
    ("launcher = { keep = 1 }", false),
    ("launcher = { interval = \"often\" }", false),
    ("launcher = { health = { htpp = \"x\" } }", false),
    ("launcher = { stop = { signal = \"TERM\", grace = \"10s\" } }", true),
    ("launcher = { stop = { signal = \"KILL\" } }", false),
];
