//! A package's `Cargo.toml` and that of its workspace, found without asking Cargo: a build script must stay quick.

use crate::error::TableError;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item};

/// A package manifest, and the root manifest of the workspace that it belongs to.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    document: Document<String>,
    workspace: Option<(PathBuf, Document<String>)>,
}

impl Manifest {
    /// Reads a package manifest and the workspace manifest above it, if there is one.
    /// # Errors
    /// [`TableError::Read`] or [`TableError::Syntax`] for either file.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        Self::with_document(path, parse(path)?)
    }

    /// Reads a package manifest whose text is not on disk yet, and the workspace manifest above the place where it
    /// will be.
    /// # Errors
    /// [`TableError::Read`] or [`TableError::Syntax`] for either file.
    pub fn from_text(path: &Path, text: &str) -> Result<Self, TableError> {
        Self::with_document(path, parse_text(path, text.to_owned())?)
    }

    fn with_document(path: &Path, document: Document<String>) -> Result<Self, TableError> {
        let workspace = match document.get("workspace") {
            // The package is the workspace root itself: its own document has both tables.
            Some(_) => None,
            None => find_workspace(path, &document)?,
        };
        Ok(Self { path: path.to_owned(), document, workspace })
    }

    /// Returns the path of the package manifest.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns every file that was read, for `cargo::rerun-if-changed`.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.path.as_path()).chain(self.workspace.iter().map(|(path, _)| path.as_path()))
    }

    /// Returns the name of the package.
    /// # Errors
    /// [`TableError::NotAPackage`] for a manifest without `[package]`.
    pub fn package_name(&self) -> Result<&str, TableError> {
        let name = self.package("name").and_then(Item::as_str);
        name.ok_or_else(|| TableError::NotAPackage { path: self.path.clone(), what: "[package] name" })
    }

    /// Returns the name of the program that Cargo would run: `default-run`, else the only `[[bin]]`, else the package.
    /// # Errors
    /// [`TableError::NotAPackage`] for a manifest without `[package]`.
    pub fn default_bin(&self) -> Result<&str, TableError> {
        if let Some(name) = self.package("default-run").and_then(Item::as_str) {
            return Ok(name);
        }
        let bins = self.document.get("bin").and_then(Item::as_array_of_tables);
        let mut names = bins.into_iter().flat_map(|bins| bins.iter()).filter_map(|bin| bin.get("name")?.as_str());
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(only),
            _ => self.package_name(),
        }
    }

    pub(crate) fn package_metadata(&self) -> Option<&Item> {
        self.package("metadata")?.get("updater")
    }

    pub(crate) fn workspace_metadata(&self) -> Option<(&Item, &Path)> {
        let (path, document) = match &self.workspace {
            Some((path, document)) => (path, document),
            None => (&self.path, &self.document),
        };
        Some((document.get("workspace")?.get("metadata")?.get("updater")?, path))
    }

    fn package(&self, key: &str) -> Option<&Item> {
        self.document.get("package")?.get(key)
    }
}

/// Finds the workspace root as Cargo does: `package.workspace` when set, else the nearest folder above whose manifest
/// has `[workspace]`.
fn find_workspace(path: &Path, document: &Document<String>) -> Result<Option<(PathBuf, Document<String>)>, TableError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    if let Some(named) = document.get("package").and_then(|package| package.get("workspace")).and_then(Item::as_str) {
        let root = folder.join(named).join("Cargo.toml");
        return Ok(Some((root.clone(), parse(&root)?)));
    }
    for above in folder.ancestors().skip(1) {
        let candidate = above.join("Cargo.toml");
        if candidate.is_file() {
            let document = parse(&candidate)?;
            if let Some(workspace) = document.get("workspace") {
                return Ok((!excludes(workspace, above, folder)).then_some((candidate, document)));
            }
        }
    }
    Ok(None)
}

/// Tells whether `[workspace] exclude` names the package's folder or one above it.
fn excludes(workspace: &Item, root: &Path, folder: &Path) -> bool {
    let excluded = workspace.get("exclude").and_then(Item::as_array);
    excluded.into_iter().flatten().filter_map(|value| value.as_str()).any(|path| folder.starts_with(root.join(path)))
}

fn parse(path: &Path) -> Result<Document<String>, TableError> {
    let text = std::fs::read_to_string(path).map_err(|source| TableError::Read { path: path.to_owned(), source })?;
    parse_text(path, text)
}

fn parse_text(path: &Path, text: String) -> Result<Document<String>, TableError> {
    Document::parse(text).map_err(|source| TableError::Syntax { path: path.to_owned(), source: Box::new(source) })
}
