//! The table `hooks`: programs that the publisher starts between its steps. Argument lists, never a line for a shell.

use std::time::Duration;
use updater_format::launcher::Span;

/// The programs to start, by the place where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hooks {
    /// Before a bundle is built or gathered, once for each triple.
    pub before_bundle: Vec<Argv>,
    /// After the build, once for each program: code signing.
    pub after_build: Vec<Argv>,
    /// After the rehearsal, before anything is uploaded.
    pub before_upload: Vec<Argv>,
    /// In place of a storage service, with `storage = "command"`.
    pub upload: Vec<Argv>,
    /// When clients can see the release.
    pub after_publish: Vec<Argv>,
    /// The time that each program gets.
    pub limit: Duration,
}

/// A program and its arguments, in which `{{name}}` stands for a value.
pub type Argv = Vec<String>;

impl Default for Hooks {
    /// None, and ten minutes for each.
    fn default() -> Self {
        Self {
            before_bundle: Vec::new(),
            after_build: Vec::new(),
            before_upload: Vec::new(),
            upload: Vec::new(),
            after_publish: Vec::new(),
            limit: Duration::from_secs(600),
        }
    }
}

impl Hooks {
    /// The keys of the table.
    pub const KEYS: [&str; 6] = ["before-bundle", "after-build", "before-upload", "upload", "after-publish", "limit"];

    /// Returns the programs of a key; none for `limit`.
    pub(crate) fn programs(&mut self, key: &str) -> Option<&mut Vec<Argv>> {
        match key {
            "before-bundle" => Some(&mut self.before_bundle),
            "after-build" => Some(&mut self.after_build),
            "before-upload" => Some(&mut self.before_upload),
            "upload" => Some(&mut self.upload),
            "after-publish" => Some(&mut self.after_publish),
            _ => None,
        }
    }
}

/// Returns the values that the programs of a key can be given; each is also a variable, `UPDATER_` and its name in
/// capitals.
#[must_use]
pub fn values_of(key: &str) -> &'static [&'static str] {
    match key {
        "before-bundle" => &["app", "version", "triple", "folder"],
        "after-build" => &["app", "version", "triple", "file"],
        "before-upload" => &["app", "component", "version", "channel", "folder"],
        "upload" => &["app", "step", "folder"],
        "after-publish" => &["app", "component", "version", "channel", "url", "storage"],
        _ => &[],
    }
}

/// Puts values in the place of `{{name}}`.
/// # Errors
/// The name that `value` does not know, or the text when a pair of braces is not closed.
pub fn fill<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or_else(|| text.to_owned())?;
        filled.push_str(before);
        filled.push_str(value(name.trim()).ok_or_else(|| name.trim().to_owned())?);
        rest = after;
    }
    Ok(filled + rest)
}

/// Refuses a program without a name, and values that it cannot be given.
pub(crate) fn check(key: &str, argv: &Argv) -> Result<(), String> {
    if argv.first().is_none_or(|program| program.is_empty()) {
        return Err(format!("`{key}` names no program"));
    }
    let known = values_of(key);
    for word in argv {
        if word.contains('\0') {
            return Err(format!("`{key}` has an argument with a NUL"));
        }
        if let Err(name) = fill(word, |name| known.contains(&name).then_some("")) {
            let known: Vec<_> = known.iter().map(|name| format!("{{{{{name}}}}}")).collect();
            return Err(format!("`{key}` is given no {{{{{name}}}}}; it may have {}", known.join(", ")));
        }
    }
    Ok(())
}

/// Reads the time limit.
pub(crate) fn limit(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse()?;
    match span.duration() {
        none if none.is_zero() => Err("`limit` must leave some time".to_owned()),
        limit => Ok(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_the_place_of_their_names() {
        let value = |name: &str| (name == "file").then_some("/a b");
        assert_eq!(fill("--in={{file}},{{ file }}{x}", value).unwrap(), "--in=/a b,/a b{x}");
        assert_eq!(fill("{{fiel}}", value).unwrap_err(), "fiel");
        assert_eq!(fill("{{file", value).unwrap_err(), "{{file");
    }
}
