//! The settings in force: the defaults, the table of the signed bundle over them, and `launcher.toml` over both.

use crate::error::{Error, Result};
use crate::places::Places;
use crate::record::read_bounded;
use std::path::Path;
use updater_format::json::{self, Map, Value};
use updater_format::launcher::{LAUNCHER_PATH, LauncherError, LauncherSettings};

/// The settings, and the layers that they came from.
#[derive(Debug, Clone)]
pub(crate) struct Merged {
    /// What is in force.
    pub(crate) settings: LauncherSettings,
    bundle: Map<String, Value>,
    local: Map<String, Value>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// Nobody has set it.
    Default,
    /// The table in the signed bundle.
    Bundle,
    /// `launcher.toml`.
    Local,
}

impl Origin {
    /// Returns the word for people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Bundle => "bundle",
            Self::Local => "launcher.toml",
        }
    }
}

impl Merged {
    /// Reads the settings of a version's folder.
    /// # Errors
    /// [`Error::Settings`] with the file at fault; [`Error::Format`]; [`Error::File`].
    pub(crate) fn read(places: &Places, version: &Path) -> Result<Self> {
        let bundle_path = version.join(LAUNCHER_PATH);
        let bundle = match read_bounded(&bundle_path)? {
            Some(bytes) => parse_json(&bundle_path, &bytes)?,
            None => Map::new(),
        };
        let local_path = places.overrides();
        let local = match read_bounded(&local_path)? {
            Some(bytes) => parse_toml(&local_path, &bytes)?,
            None => Map::new(),
        };
        // Each alone first, so that an error names the right file; then together, for rules between two keys.
        let refuse = |path: &Path| {
            let path = path.to_owned();
            move |source| settings_error(path, source)
        };
        LauncherSettings::from_layers([&bundle]).map_err(refuse(&bundle_path))?;
        let settings = LauncherSettings::from_layers([&bundle, &local]).map_err(refuse(&local_path))?;
        if settings.listen.is_some() && !cfg!(unix) {
            return Err(Error::no_sockets());
        }
        Ok(Self { settings, bundle, local })
    }

    /// Lists every key with dots, its value, and where that comes from.
    pub(crate) fn lines(&self) -> Vec<(String, Value, Origin)> {
        let mut lines = Vec::new();
        flatten(&self.settings.to_map(), "", &mut |key, value| {
            let origin = if has(&self.local, key) {
                Origin::Local
            } else if has(&self.bundle, key) {
                Origin::Bundle
            } else {
                Origin::Default
            };
            lines.push((key.to_owned(), value.clone(), origin));
        });
        lines
    }
}

/// Reads a table as the bundle carries it.
fn parse_json(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>> {
    let refuse = |problem: String| Error::Format { path: path.to_owned(), problem };
    match json::parse("launcher table", bytes).map_err(|error| refuse(error.to_string()))? {
        Value::Object(table) => Ok(table),
        _ => Err(refuse("it is no JSON object".to_owned())),
    }
}

/// Reads `launcher.toml`.
fn parse_toml(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>> {
    let refuse = |problem: String| Error::Format { path: path.to_owned(), problem };
    let text = std::str::from_utf8(bytes).map_err(|error| refuse(error.to_string()))?;
    toml_edit::de::from_str(text).map_err(|error| refuse(error.to_string().trim().to_owned()))
}

fn settings_error(path: std::path::PathBuf, source: LauncherError) -> Error {
    let suggestion = match &source {
        LauncherError::UnknownKey { key, known } => nearest(key, known),
        _ => None,
    };
    Error::Settings { path, suggestion, source }
}

/// Returns the known key that a slip of the fingers could have meant.
fn nearest(key: &str, known: &[String]) -> Option<String> {
    let near = known.iter().map(|known| (strsim::osa_distance(key, known), known));
    let near = near.filter(|(edits, known)| *edits <= 1 + known.len() / 4);
    near.min().map(|(_, known)| known.clone())
}

fn flatten(table: &Map<String, Value>, above: &str, each: &mut impl FnMut(&str, &Value)) {
    for (key, value) in table {
        let path = format!("{above}{key}");
        match value {
            Value::Object(inner) if !inner.is_empty() => flatten(inner, &format!("{path}."), each),
            _ => each(&path, value),
        }
    }
}

/// Tells whether a table sets a key with dots, or a table that it is in.
fn has(table: &Map<String, Value>, key: &str) -> bool {
    if table.contains_key(key) {
        return true;
    }
    // A name in a free table may hold dots itself, so every place to cut is tried.
    key.match_indices('.').any(|(at, _)| match table.get(&key[..at]) {
        Some(Value::Object(inner)) => has(inner, &key[at + 1..]),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn new(bundle: &str, local: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("v")).unwrap();
            std::fs::write(folder.path().join("v").join(LAUNCHER_PATH), bundle).unwrap();
            std::fs::write(folder.path().join("launcher.toml"), local).unwrap();
            Self(folder)
        }

        fn read(&self) -> Result<Merged> {
            Merged::read(&Places::at(self.0.path()).unwrap(), &self.0.path().join("v"))
        }
    }

    #[test]
    fn each_value_knows_where_it_comes_from() {
        let scene =
            Scene::new(r#"{"args":["a"],"stop":{"grace":"3s"},"env":{"A":"1"}}"#, "args = [\"b\"]\n[env]\nB.C = \"2\"");
        assert!(matches!(scene.read(), Err(Error::Settings { .. })), "a table is no text");
        let scene =
            Scene::new(r#"{"args":["a"],"stop":{"grace":"3s"},"env":{"A":"1"}}"#, "args = [\"b\"]\n[env]\nB = \"2\"");
        let merged = scene.read().unwrap();
        let of =
            |key: &str| merged.lines().into_iter().find(|(found, ..)| found == key).map(|(_, v, o)| (v.to_string(), o));
        assert_eq!(of("args"), Some(("[\"b\"]".to_owned(), Origin::Local)));
        assert_eq!(of("stop.grace"), Some(("\"3s\"".to_owned(), Origin::Bundle)));
        assert_eq!(of("stop.signal"), Some(("\"TERM\"".to_owned(), Origin::Default)));
        assert_eq!(of("env.A"), Some(("\"1\"".to_owned(), Origin::Bundle)));
        assert_eq!(of("env.B"), Some(("\"2\"".to_owned(), Origin::Local)));
        assert_eq!(merged.settings.args, ["b"]);
    }

    #[test]
    fn a_typo_names_its_file_and_the_key_that_was_meant() {
        match Scene::new("{}", "restrat = \"never\"").read() {
            Err(Error::Settings { path, suggestion, .. }) => {
                assert!(path.ends_with("launcher.toml"));
                assert_eq!(suggestion.as_deref(), Some("restart"));
            }
            other => panic!("{other:?}"),
        }
        match Scene::new(r#"{"stop":{"grase":"1s"}}"#, "").read() {
            Err(Error::Settings { path, suggestion, .. }) => {
                assert!(path.ends_with(LAUNCHER_PATH));
                assert_eq!(suggestion.as_deref(), Some("stop.grace"));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(Scene::new("{}", "restart = ").read(), Err(Error::Format { .. })));
        assert!(matches!(Scene::new("[]", "").read(), Err(Error::Format { .. })));
        assert!(matches!(Scene::new("{}", "keep = 1.5").read(), Err(Error::Settings { .. })));
    }
}
