//! Takes typed values out of the table, and remembers which keys were asked for: all others are unknown.

use crate::error::TableError;
use crate::hooks::{self, Argv, Hooks};
use crate::manifest::Manifest;
use crate::suggest::nearest;
use crate::table::Page;
use std::path::PathBuf;
use toml_edit::{Item, TableLike, Value};
use updater_format::json;
use updater_format::launcher::{LauncherError, LauncherSettings};

/// The package's table over the workspace's, key by key.
pub(crate) struct Reader<'a> {
    layers: Vec<Layer<'a>>,
    known: Vec<&'static str>,
}

/// One table with where it stands.
struct Layer<'a> {
    path: PathBuf,
    name: &'static str,
    table: &'a dyn TableLike,
}

/// A channel's name and the names it falls back to, as written.
type RawChannel = (String, Vec<String>);

impl<'a> Reader<'a> {
    /// Finds the tables; `None` when there is neither.
    pub(crate) fn new(manifest: &'a Manifest) -> Result<Option<Self>, TableError> {
        let mut layers = Vec::new();
        let package = manifest.package_metadata().map(|item| (item, manifest.path(), "[package.metadata.updater]"));
        let workspace = manifest.workspace_metadata().map(|(item, path)| (item, path, "[workspace.metadata.updater]"));
        for (item, path, name) in package.into_iter().chain(workspace) {
            let table = item.as_table_like().ok_or_else(|| TableError::WrongType {
                key: "updater".to_owned(),
                expected: "a table",
                found: item.type_name(),
            })?;
            layers.push(Layer { path: path.to_owned(), name, table });
        }
        Ok((!layers.is_empty()).then_some(Self { layers, known: Vec::new() }))
    }

    /// Returns a string.
    pub(crate) fn string(&mut self, key: &'static str) -> Result<Option<String>, TableError> {
        self.find(key).map(|item| string_of(key, item, "a string")).transpose()
    }

    /// Returns strings: an array of them, or one alone.
    pub(crate) fn strings(&mut self, key: &'static str) -> Result<Option<Vec<String>>, TableError> {
        self.find(key).map(|item| strings_of(key, item)).transpose()
    }

    /// Returns a truth value.
    pub(crate) fn bool(&mut self, key: &'static str) -> Result<Option<bool>, TableError> {
        let wrong = |item: &Item| wrong_type(key, "true or false", item.type_name());
        self.find(key).map(|item| item.as_bool().ok_or_else(|| wrong(item))).transpose()
    }

    /// Returns a whole number.
    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<i64>, TableError> {
        let wrong = |item: &Item| wrong_type(key, "a whole number", item.type_name());
        self.find(key).map(|item| item.as_integer().ok_or_else(|| wrong(item))).transpose()
    }

    /// Returns an array of whole numbers.
    pub(crate) fn numbers(&mut self, key: &'static str) -> Result<Option<Vec<i64>>, TableError> {
        let expected = "an array of whole numbers";
        let Some(item) = self.find(key) else { return Ok(None) };
        let array = item.as_array().ok_or_else(|| wrong_type(key, expected, item.type_name()))?;
        let number = |v: &Value| v.as_integer().ok_or_else(|| wrong_type(key, expected, v.type_name()));
        array.iter().map(number).collect::<Result<_, _>>().map(Some)
    }

    /// Returns channels: an array of names, or a table of name to the names it falls back to.
    pub(crate) fn channels(&mut self, key: &'static str) -> Result<Option<Vec<RawChannel>>, TableError> {
        let Some(item) = self.find(key) else { return Ok(None) };
        if let Some(table) = item.as_table_like() {
            return table
                .iter()
                .map(|(name, fallback)| Ok((name.to_owned(), strings_of(key, fallback)?)))
                .collect::<Result<_, _>>()
                .map(Some);
        }
        Ok(Some(strings_of(key, item)?.into_iter().map(|name| (name, Vec::new())).collect()))
    }

    /// Returns what is published for people: `false`, `true`, or a folder of templates.
    pub(crate) fn page(&mut self, key: &'static str) -> Result<Page, TableError> {
        let Some(item) = self.find(key) else { return Ok(Page::default()) };
        match (item.as_bool(), item.as_str()) {
            (Some(false), _) => Ok(Page::Off),
            (Some(true), _) => Ok(Page::Ours),
            (None, Some(folder)) => Ok(Page::Templates(PathBuf::from(folder))),
            (None, None) => Err(wrong_type(key, "true, false or the folder of templates", item.type_name())),
        }
    }

    /// Returns the table of a launcher, checked and as written.
    pub(crate) fn launcher(&mut self, key: &'static str) -> Result<Option<json::Map<String, json::Value>>, TableError> {
        let Some(item) = self.find(key) else { return Ok(None) };
        let table = item.as_table_like().ok_or_else(|| wrong_type(key, "a table", item.type_name()))?;
        let table = json_table(table);
        match LauncherSettings::from_layers([&table]) {
            Ok(_) => Ok(Some(table)),
            Err(LauncherError::UnknownKey { key: unknown, known }) => Err(TableError::UnknownKey {
                path: self.layers.first().map(|layer| layer.path.clone()).unwrap_or_default(),
                table: "[package.metadata.updater.launcher]",
                suggestion: nearest(&unknown, known.iter().map(String::as_str)).map(str::to_owned),
                key: unknown,
            }),
            Err(error) => Err(TableError::Value { key, rule: error.to_string() }),
        }
    }

    /// Returns an array of tables, as written.
    pub(crate) fn tables(&mut self, key: &'static str) -> Result<Option<Vec<json::Value>>, TableError> {
        let Some(item) = self.find(key) else { return Ok(None) };
        match json_item(item) {
            Some(json::Value::Array(items)) => Ok(Some(items)),
            _ => Err(wrong_type(key, "an array of tables", item.type_name())),
        }
    }

    /// Returns the table of the publisher's hooks.
    pub(crate) fn hooks(&mut self, key: &'static str) -> Result<Hooks, TableError> {
        let mut read = Hooks::default();
        let Some(item) = self.find(key) else { return Ok(read) };
        let table = item.as_table_like().ok_or_else(|| wrong_type(key, "a table", item.type_name()))?;
        for (name, item) in table.iter() {
            let refuse = |rule| TableError::Value { key, rule };
            if let Some(programs) = read.programs(name) {
                *programs = programs_of(name, item)?;
                programs.iter().try_for_each(|argv| hooks::check(name, argv)).map_err(refuse)?;
            } else if name == "limit" {
                read.limit =
                    hooks::limit(&string_of(name, item, "a length of time such as \"10m\"")?).map_err(refuse)?;
            } else {
                return Err(TableError::UnknownKey {
                    path: self.layers.first().map(|layer| layer.path.clone()).unwrap_or_default(),
                    table: "[package.metadata.updater.hooks]",
                    suggestion: nearest(name, Hooks::KEYS).map(str::to_owned),
                    key: name.to_owned(),
                });
            }
        }
        Ok(read)
    }

    /// Refuses every key that was never asked for.
    pub(crate) fn refuse_unknown(&self) -> Result<(), TableError> {
        for layer in &self.layers {
            if let Some((key, _)) = layer.table.iter().find(|(key, _)| !self.known.contains(key)) {
                return Err(TableError::UnknownKey {
                    path: layer.path.clone(),
                    table: layer.name,
                    key: key.to_owned(),
                    suggestion: nearest(key, self.known.iter().copied()).map(str::to_owned),
                });
            }
        }
        Ok(())
    }

    fn find(&mut self, key: &'static str) -> Option<&'a Item> {
        self.known.push(key);
        self.layers.iter().find_map(|layer| layer.table.get(key))
    }
}

/// Writes a table as JSON. What JSON does not have, dates above all, becomes text and is refused by its type.
fn json_table(table: &dyn TableLike) -> json::Map<String, json::Value> {
    table.iter().filter_map(|(key, item)| Some((key.to_owned(), json_item(item)?))).collect()
}

fn json_item(item: &Item) -> Option<json::Value> {
    match item {
        Item::None => None,
        Item::Value(value) => Some(json_value(value)),
        Item::Table(table) => Some(json::Value::Object(json_table(table))),
        Item::ArrayOfTables(tables) => {
            Some(tables.iter().map(|table| json::Value::Object(json_table(table))).collect())
        }
    }
}

fn json_value(value: &Value) -> json::Value {
    match value {
        Value::String(text) => json::Value::String(text.value().clone()),
        Value::Integer(number) => (*number.value()).into(),
        Value::Boolean(truth) => (*truth.value()).into(),
        Value::Array(array) => array.iter().map(json_value).collect(),
        Value::InlineTable(table) => json::Value::Object(json_table(table)),
        Value::Float(_) | Value::Datetime(_) => json::Value::String(value.to_string()),
    }
}

fn string_of(key: &str, item: &Item, expected: &'static str) -> Result<String, TableError> {
    item.as_str().map(str::to_owned).ok_or_else(|| wrong_type(key, expected, item.type_name()))
}

fn strings_of(key: &str, item: &Item) -> Result<Vec<String>, TableError> {
    let expected = "a string or an array of strings";
    let Some(array) = item.as_array() else {
        return Ok(vec![string_of(key, item, expected)?]);
    };
    let text = |v: &Value| v.as_str().map(str::to_owned).ok_or_else(|| wrong_type(key, expected, v.type_name()));
    array.iter().map(text).collect()
}

/// Reads one argument list, or several. A line is refused: it would be a shell's to take apart.
fn programs_of(key: &str, item: &Item) -> Result<Vec<Argv>, TableError> {
    let expected = "a list of arguments, [\"program\", \"argument\"], or a list of such lists";
    let wrong = |found| wrong_type(key, expected, found);
    let array = item.as_array().ok_or_else(|| wrong(item.type_name()))?;
    let word = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(value.type_name()));
    match array.iter().any(Value::is_array) {
        false => array.iter().map(word).collect::<Result<Argv, _>>().map(|argv| vec![argv]),
        true => {
            let argv = |value: &Value| {
                let words = value.as_array().ok_or_else(|| wrong(value.type_name()))?;
                words.iter().map(word).collect::<Result<Argv, _>>()
            };
            array.iter().map(argv).collect()
        }
    }
}

fn wrong_type(key: &str, expected: &'static str, found: &'static str) -> TableError {
    TableError::WrongType { key: key.to_owned(), expected, found }
}
