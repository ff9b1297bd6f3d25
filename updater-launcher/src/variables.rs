//! `{{version}}` and its kind in commands, arguments and the environment.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the variables stand for.
#[derive(Debug, Clone)]
pub(crate) struct Variables {
    /// `{{app}}`.
    pub(crate) app: String,
    /// `{{version}}`.
    pub(crate) version: String,
    /// `{{previous}}`; empty outside of an update.
    pub(crate) previous: String,
    /// `{{dir}}`: the version's folder.
    pub(crate) dir: PathBuf,
    /// `{{root}}`: the install's folder.
    pub(crate) root: PathBuf,
    /// `{{value.NAME}}`.
    pub(crate) values: BTreeMap<String, String>,
}

impl Variables {
    /// Replaces every variable in a text. There is no way to write two braces otherwise: nothing needs one.
    /// # Errors
    /// [`Error::Variable`] for one that does not exist.
    pub(crate) fn expand(&self, text: &str) -> Result<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let unknown = |name: &str| Error::Variable { name: name.to_owned(), text: text.to_owned() };
            let (name, behind) = after.split_once("}}").ok_or_else(|| unknown(after))?;
            expanded.push_str(before);
            match name.trim() {
                "app" => expanded.push_str(&self.app),
                "version" => expanded.push_str(&self.version),
                "previous" => expanded.push_str(&self.previous),
                "dir" => expanded.push_str(&shown(&self.dir)),
                "root" => expanded.push_str(&shown(&self.root)),
                "fd" => expanded.push_str(PASSED_DESCRIPTOR),
                name => {
                    let value = name.strip_prefix("value.").and_then(|name| self.values.get(name));
                    expanded.push_str(value.ok_or_else(|| unknown(name))?);
                }
            }
            rest = behind;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// Replaces every variable in a command, and finds its program: with a slash it is relative to the version's folder.
    /// # Errors
    /// [`Error::Variable`].
    pub(crate) fn command(&self, argv: &[String]) -> Result<Vec<String>> {
        let mut expanded = argv.iter().map(|text| self.expand(text)).collect::<Result<Vec<_>>>()?;
        if let Some(program) = expanded.first_mut()
            && (program.contains('/') || cfg!(windows) && program.contains('\\'))
        {
            *program = shown(&self.dir.join(&*program));
        }
        Ok(expanded)
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The number under which the app finds the socket: the first of the protocol of sd_listen_fds(3).
pub(crate) const PASSED_DESCRIPTOR: &str = "3";

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Variables {
            app: "hello".to_owned(),
            version: "1.1.0".to_owned(),
            previous: "1.0.0".to_owned(),
            dir: PathBuf::from("/opt/hello/versions/hello-1.1.0"),
            root: PathBuf::from("/opt/hello"),
            values: BTreeMap::from([("port".to_owned(), "80".to_owned())]),
        }
    }

    #[test]
    fn every_variable_is_replaced_and_an_unknown_one_refused() {
        let of = |text: &str| variables().expand(text);
        assert_eq!(of("{{app}} {{previous}}->{{version}}").unwrap(), "hello 1.0.0->1.1.0");
        assert_eq!(of("--port={{ value.port }},{{fd}}").unwrap(), "--port=80,3");
        assert_eq!(of("{{root}}/data {one}").unwrap(), "/opt/hello/data {one}");
        for text in ["{{versoin}}", "{{value.none}}", "{{open", "{{}}"] {
            assert!(matches!(of(text), Err(Error::Variable { .. })), "{text}");
        }
    }

    #[test]
    fn a_program_with_a_slash_is_the_versions_own() {
        let of = |argv: &[&str]| variables().command(&argv.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let own = PathBuf::from("/opt/hello/versions/hello-1.1.0").join("bin/x");
        assert_eq!(PathBuf::from(&of(&["bin/x", "{{dir}}"]).unwrap()[0]), own);
        assert_eq!(of(&["sh", "-c"]).unwrap()[0], "sh");
        assert_eq!(of(&["/bin/true"]).unwrap()[0], "/bin/true");
    }
}
