//! Fills templates: `{{name}}` stands for a value. The project may put its own beside ours, file by file.

use crate::error::{ExitCode, Explain};
use std::path::{Path, PathBuf};

/// Where the templates come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Templates {
    folder: Option<PathBuf>,
}

impl Templates {
    /// Takes templates from a folder where it has them, and ours for the others.
    #[must_use]
    pub fn of_folder(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    /// Returns the names of the templates and the text of ours.
    #[must_use]
    pub fn ours() -> [(&'static str, &'static str); 3] {
        OURS
    }

    /// Fills one template.
    pub(super) fn fill(&self, name: &'static str, values: &[(&'static str, String)]) -> Result<String, TemplateError> {
        let own = self.folder.as_deref().map(|folder| read(folder, name)).transpose()?.flatten();
        let ours = OURS.iter().find(|(ours, _)| *ours == name).map(|(_, text)| (*text).to_owned());
        let (path, template) = match own {
            Some(own) => own,
            None => (PathBuf::from(name), ours.unwrap_or_default()),
        };
        fill(&path, &template, values)
    }
}

/// Reads a template of the project; `None` when it has none of that name.
fn read(folder: &Path, name: &str) -> Result<Option<(PathBuf, String)>, TemplateError> {
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        // A folder that is not there is a mistake; a file that is not there means ours.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => Ok(None),
        Err(source) => Err(TemplateError::Read { path, source }),
    }
}

fn fill(path: &Path, template: &str, values: &[(&'static str, String)]) -> Result<String, TemplateError> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once("}}") else {
            return Err(TemplateError::Open { path: path.to_owned(), line: filled.lines().count().max(1) });
        };
        let Some((_, value)) = values.iter().find(|(known, _)| *known == name.trim()) else {
            let known = values.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
            return Err(TemplateError::Unknown { path: path.to_owned(), name: name.trim().to_owned(), known });
        };
        filled.push_str(value);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Why a template cannot be filled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It cannot be read.
    #[error("cannot read the template {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It asks for a value that there is not.
    #[error("{} asks for `{{{{{name}}}}}`, which there is not", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What it asks for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A `{{` has no end.
    #[error("{}:{line}: `{{{{` has no `}}}}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
    },
}

impl Explain for TemplateError {
    fn code(&self) -> ExitCode {
        ExitCode::Config
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Read { .. } => {
                "`page` in Cargo.toml names a folder of the package; `cargo updater page --templates DIR` fills one"
                    .to_owned()
            }
            Self::Unknown { known, .. } => format!("there are: {known}"),
            Self::Open { .. } => "close it, or write the two braces apart".to_owned(),
        }]
    }
}

const OURS: [(&str, &str); 3] = [
    (super::INDEX, include_str!("templates/index.html")),
    (super::INSTALL_SH, include_str!("templates/install.sh")),
    (super::INSTALL_PS1, include_str!("templates/install.ps1")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_filled_in_once() {
        let values = [("a", "{{b}}".to_owned()), ("b", "2".to_owned())];
        assert_eq!(fill(Path::new("t"), "x{{a}}y{{ b }}z", &values).unwrap(), "x{{b}}y2z");
    }

    #[test]
    fn mistakes_are_told() {
        let values = [("app", "hello".to_owned())];
        let unknown = fill(Path::new("t.html"), "{{ap}}", &values).unwrap_err();
        assert_eq!(unknown.to_string(), "t.html asks for `{{ap}}`, which there is not");
        assert_eq!(unknown.hints(), ["there are: app"]);
        let open = fill(Path::new("t.html"), "one\ntwo {{app", &values).unwrap_err();
        assert!(matches!(open, TemplateError::Open { line: 2, .. }), "{open}");
    }

    #[test]
    fn own_templates_replace_ours_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.html"), "mine: {{app}}").unwrap();
        let templates = Templates::of_folder(folder.path().to_owned());
        let values = [("app", "hello".to_owned())];
        assert_eq!(templates.fill(crate::page::INDEX, &values).unwrap(), "mine: hello");
        assert!(matches!(templates.fill(crate::page::INSTALL_SH, &values), Err(TemplateError::Unknown { .. })));
        let nowhere = Templates::of_folder(folder.path().join("no"));
        assert!(matches!(nowhere.fill(crate::page::INDEX, &values), Err(TemplateError::Read { .. })));
    }
}
