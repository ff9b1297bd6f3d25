//! `components` in the table: files of the app with versions of their own.

use super::{parsed, value};
use crate::error::TableError;
use crate::suggest::nearest;
use std::path::{Path, PathBuf};
use updater_format::json::{Map, Value};
use updater_format::{ComponentName, FilePath, FormatError, PathPattern, Platform, ReleaseVersion};

/// One component of an app, for all platforms or for one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentTable {
    /// Its name.
    pub name: ComponentName,
    /// The folder whose files it has, relative to the package folder; empty for the package folder itself.
    pub folder: PathBuf,
    /// Globs of its files, relative to that folder.
    pub files: Vec<PathPattern>,
    /// Where its version stands.
    pub version: ComponentVersion,
    /// The lowest version of the app that may take it.
    pub minimum_app: Option<ReleaseVersion>,
    /// The platform that it is for; [`Platform::any`] when none is named.
    pub platform: Platform,
}

/// Where the version of a component stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentVersion {
    /// In the table.
    Fixed(ReleaseVersion),
    /// In a file of the package, alone on its first line.
    File(PathBuf),
}

impl ComponentTable {
    /// Returns the version to release.
    /// # Errors
    /// [`TableError::Read`] when the file that has it cannot be read; [`TableError::Format`] when there is none in it.
    pub fn version(&self, package: &Path) -> Result<ReleaseVersion, TableError> {
        match &self.version {
            ComponentVersion::Fixed(version) => Ok(version.clone()),
            ComponentVersion::File(file) => {
                let path = package.join(file);
                let text =
                    std::fs::read_to_string(&path).map_err(|source| TableError::Read { path: path.clone(), source })?;
                let line = text.lines().next().unwrap_or_default().trim();
                ReleaseVersion::parse(line).map_err(|source| TableError::ComponentVersion {
                    path,
                    name: self.name.to_string(),
                    source,
                })
            }
        }
    }

    fn read(table: &Map<String, Value>, manifest: &Path) -> Result<Self, TableError> {
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(TableError::UnknownKey {
                path: manifest.to_owned(),
                table: "`components` of [package.metadata.updater]",
                key: key.clone(),
                suggestion: nearest(key, KEYS).map(str::to_owned),
            });
        }
        let folder = text(table, "folder")?;
        let files = texts(table, "files")?;
        if folder.is_none() && files.is_empty() {
            return Err(value(KEY, "a component needs `folder` or `files`: which files it has".to_owned()));
        }
        let files = if files.is_empty() { vec!["**".to_owned()] } else { files };
        let version = match (text(table, "version")?, text(table, "version-file")?) {
            (Some(version), None) => ComponentVersion::Fixed(parsed(KEY, ReleaseVersion::parse(&version))?),
            (None, Some(file)) => ComponentVersion::File(inside(&file)?),
            _ => return Err(value(KEY, "a component needs either `version` or `version-file`".to_owned())),
        };
        let missing = || value(KEY, "a component needs a `name`".to_owned());
        let minimum_app = text(table, "minimum-app")?;
        let target = text(table, "target")?;
        Ok(Self {
            name: parsed(KEY, ComponentName::parse(&text(table, "name")?.ok_or_else(missing)?))?,
            folder: folder.map_or(Ok(PathBuf::new()), |folder| inside(folder.trim_end_matches('/')))?,
            files: files.iter().map(|glob| parsed(KEY, PathPattern::parse(glob))).collect::<Result<_, _>>()?,
            version,
            minimum_app: minimum_app.map(|text| parsed(KEY, ReleaseVersion::parse(&text))).transpose()?,
            platform: target.map_or(Ok(Platform::any()), |text| parsed(KEY, Platform::parse(&text)))?,
        })
    }
}

/// Reads the whole key: an array of tables.
pub(super) fn read(items: &[Value], manifest: &Path) -> Result<Vec<ComponentTable>, TableError> {
    let mut components: Vec<ComponentTable> = Vec::new();
    for item in items {
        let Value::Object(table) = item else { return Err(wrong(KEY.to_owned(), "an array of tables", item)) };
        let component = ComponentTable::read(table, manifest)?;
        let others = || components.iter().filter(|other| other.name == component.name);
        if others().any(|other| other.platform == component.platform) {
            let (name, platform) = (&component.name, &component.platform);
            return Err(value(KEY, format!("`{name}` stands twice for {platform}")));
        }
        let fixed = |version: &ComponentVersion| match version {
            ComponentVersion::Fixed(version) => Some(version.clone()),
            ComponentVersion::File(_) => None,
        };
        if others().any(|other| {
            fixed(&other.version).zip(fixed(&component.version)).is_some_and(|(one, other)| one != other)
                || other.minimum_app != component.minimum_app
        }) {
            let name = &component.name;
            return Err(value(KEY, format!("`{name}` must have one version and one `minimum-app` for all platforms")));
        }
        components.push(component);
    }
    Ok(components)
}

fn text(table: &Map<String, Value>, key: &'static str) -> Result<Option<String>, TableError> {
    let string =
        |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(in_table(key), "a string", value));
    table.get(key).map(string).transpose()
}

fn texts(table: &Map<String, Value>, key: &'static str) -> Result<Vec<String>, TableError> {
    let expected = "a string or an array of strings";
    match table.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            let string =
                |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| wrong(in_table(key), expected, item));
            items.iter().map(string).collect()
        }
        Some(_) => Ok(text(table, key)?.into_iter().collect()),
    }
}

/// The files travel with the package, so that every checkout publishes the same ones.
fn inside(path: &str) -> Result<PathBuf, TableError> {
    let checked: Result<FilePath, FormatError> = FilePath::parse(path);
    parsed(KEY, checked)?;
    Ok(PathBuf::from(path))
}

fn in_table(key: &str) -> String {
    format!("{KEY}.{key}")
}

fn wrong(key: String, expected: &'static str, found: &Value) -> TableError {
    let found = match found {
        Value::Object(_) => "a table",
        Value::Array(_) => "an array",
        Value::String(_) => "a string",
        Value::Bool(_) => "true or false",
        _ => "a number",
    };
    TableError::WrongType { key, expected, found }
}

const KEY: &str = "components";
const KEYS: [&str; 7] = ["name", "folder", "files", "version", "version-file", "minimum-app", "target"];
