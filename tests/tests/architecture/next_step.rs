//! No error without a next step: every error that the source has, as far as it can be enumerated.
//!
//! An error enum has a method that says what to do next, by a `match` without a hole that the compiler sees, or it is the
//! cause of one that has. Commands that make an error on the spot say the next step on the spot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use updater_tests::workspace;

/// The source of the crates, tests left out, by path.
fn sources(crates: &[&str]) -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "tests" {
                walk(&path, found);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
                found.insert(path, code);
            }
        }
    }
    let mut found = BTreeMap::new();
    crates.iter().for_each(|name| walk(&workspace().join(name).join("src"), &mut found));
    found
}

/// Returns the text in the braces or brackets that `text` begins with.
fn block(text: &str, open: char, close: char) -> &str {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            _ if c == open => depth += 1,
            _ if c == close && depth == 1 => return &text[..=at],
            _ if c == close => depth -= 1,
            _ => {}
        }
    }
    panic!("{open} is not closed in {}", text.chars().take(80).collect::<String>())
}

/// Returns the names of the error types that a crate shows.
fn errors(sources: &BTreeMap<PathBuf, String>) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for (path, text) in sources {
        for part in text.split("thiserror::Error").skip(1) {
            let declaration = part.split(['{', ';', '(']).next().unwrap_or_default();
            let line = declaration.lines().rev().find(|line| line.starts_with("pub "));
            let Some(line) = line else { continue };
            let name = line.split(' ').nth(2).unwrap_or_default().trim_end_matches('<');
            found.push((name.to_owned(), path.clone()));
        }
    }
    found
}

/// Tells whether a type has a method that says the next step.
fn explains(name: &str, all: &str) -> bool {
    let own = format!("impl {name} {{");
    let has_hint = all.split(&own).skip(1).any(|rest| block(&format!("{{{rest}"), '{', '}').contains("fn hint(&self)"));
    has_hint || all.contains(&format!("Explain for {name} {{"))
}

#[test]
fn every_error_says_what_comes_next_or_is_the_cause_of_one_that_does() {
    let crates = [
        "cargo-release-updater",
        "updater-build",
        "updater-runtime",
        "updater-launcher",
        "updater-format",
        "updater-delta",
    ];
    let sources = sources(&crates);
    let all = sources.values().map(String::as_str).collect::<Vec<_>>().join("\n");
    let errors = errors(&sources);
    assert!(errors.len() >= 40, "only {} error types were found", errors.len());
    let mut told: Vec<&str> =
        errors.iter().map(|(name, _)| name.as_str()).filter(|name| explains(name, &all)).collect();
    assert!(told.len() >= 30, "only {} types with a next step were found", told.len());
    told.extend(ITS_OWN_STEP);
    // Whatever is the cause of one that is told with its next step is told with that; and so on.
    loop {
        let is_new = |name: &&str| {
            !told.contains(name) && told.iter().any(|other| declaration(other, &all).is_some_and(|of| names(of, name)))
        };
        let more: Vec<&str> = errors.iter().map(|(name, _)| name.as_str()).filter(|name| is_new(&name)).collect();
        if more.is_empty() {
            break;
        }
        told.extend(more);
    }
    for (name, path) in &errors {
        let path = path.display();
        assert!(
            told.contains(&name.as_str()),
            "{name} in {path} says no next step, and nothing that does has it as its cause"
        );
    }
}

/// Returns the declaration of a type.
fn declaration<'a>(name: &str, all: &'a str) -> Option<&'a str> {
    let begins = [format!("enum {name} {{"), format!("struct {name} {{")];
    let rest = begins.iter().find_map(|begin| all.split(begin.as_str()).nth(1))?;
    // Messages have braces of their own; a declaration ends at the margin.
    rest.split("\n}").next()
}

/// Tells whether a declaration has a field of a type.
fn names(declaration: &str, name: &str) -> bool {
    [",", ")", ">"].iter().any(|end| declaration.contains(&format!("{name}{end}")))
}

#[test]
fn no_next_step_is_empty() {
    let crates = ["cargo-release-updater", "updater-build", "updater-runtime", "updater-launcher", "updater-format"];
    let mut methods = 0;
    for (path, text) in sources(&crates) {
        for begin in ["fn hint(&self)", "fn hints(&self)"] {
            for rest in text.split(begin).skip(1).filter(|rest| rest.find('{') < rest.find(';').or(Some(usize::MAX))) {
                let body = block(&rest[rest.find('{').unwrap()..], '{', '}');
                for empty in ["\"\"", "String::new()", "vec![]", "Vec::new()"] {
                    assert!(!body.contains(empty), "{}: a next step is {empty}: {body}", path.display());
                }
                methods += 1;
            }
        }
    }
    assert!(methods >= 30, "only {methods} methods were found");
}

#[test]
fn an_error_made_on_the_spot_says_its_next_step_there() {
    let mut made = 0;
    for (path, text) in sources(&["cargo-release-updater"]) {
        for rest in text.split("CommandError::new(").skip(1) {
            made += 1;
            let after = &rest[block(&format!("({rest}"), '(', ')').len() - 1..];
            let after = after.trim_start();
            // Either at once, or in the next statements, where the step depends on something.
            let soon: String = after.chars().take(300).collect();
            let says = after.starts_with(".hint(") || (after.starts_with(';') && soon.contains("hint"));
            assert!(
                says,
                "{}: no `.hint(` behind CommandError::new({}",
                path.display(),
                rest.chars().take(60).collect::<String>()
            );
        }
    }
    assert!(made >= 40, "only {made} were found");
}

/// Errors of single values, whose message is the rule and so the step: "it must be ...".
const ITS_OWN_STEP: &[&str] = &["UnknownPolicy"];
