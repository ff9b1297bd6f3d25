//! `docs/errors.md`: every error that a person can meet, with its code and its next step, read out of the source of the
//! error types. An error without a next step fails here; so does a page that is not what the source says.
//!
//!     UPDATER_WRITE_DOCS=1 cargo test -p updater-tests --test errors_page     # writes the page
#![expect(clippy::unwrap_used, reason = "helpers of tests outside a test function")]

mod inline;
mod text;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use updater_tests::workspace;

/// How an error reaches people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By itself, or in the frame of another one.
    Told,
    /// Behind another one, which has the next step.
    Cause,
}

/// One error, as the page tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    /// `30 Bundle` for the command, a name for programs elsewhere; empty where a cause decides.
    code: String,
    /// The message; what varies is in braces.
    message: String,
    /// The next steps. Empty only when `by_cause`.
    hints: Vec<String>,
    /// Whether code and next step are those of what caused it.
    by_cause: bool,
    /// The type and the case, or the file in which it arises.
    place: String,
}

/// A part of the page: its title, what stands above the table, and the folders that are read for it.
const PARTS: [(&str, &str, &[&str]); 4] = [
    (
        "The command `cargo updater`",
        "The number is the exit code ([exit-codes.md](exit-codes.md)).",
        &["cargo-release-updater/src"],
    ),
    (
        "An app that updates itself",
        "The name is what `Error::code()` returns, and what scripts may rely on. `Error::hint()` returns the next step.",
        &["updater-runtime/src"],
    ),
    ("The build script", "They stop the build, as `cargo::error=` lines.", &["updater-build/src"]),
    (
        "The launcher",
        "The number is the exit code, the name what `--json` and the socket say.",
        &["updater-launcher/src"],
    ),
];

/// Crates whose errors only ever appear as the cause of one of the others.
const CAUSES: [&str; 2] = ["updater-format/src", "updater-delta/src"];

#[test]
fn the_page_of_errors_is_what_the_source_says() {
    let mut page = String::from(
        "# Errors\n\nEvery error, with its code, its message and the next step that is printed behind `help:`. What varies stands in \
         braces. Where several next steps are listed, the case decides. *Its cause* means that the error is only a frame: message, code \
         and next step are those of what is chained to it.\n\nMade from the types by `UPDATER_WRITE_DOCS=1 cargo test -p \
         updater-tests --test errors_page`; a test fails when it is out of date, and when an error has no next step.\n",
    );
    let tests = text_of_tests();
    let mut faults = Vec::new();
    let mut causes = entries_of(&CAUSES);
    let (mut all, mut named) = (0, 0);
    for (title, above, folders) in PARTS {
        let (entries, of_them) =
            entries_of(folders).into_iter().partition::<Vec<_>, _>(|entry| entry.kind == Kind::Told);
        causes.extend(of_them);
        assert!(entries.len() > 10, "{title}: {} errors only: are they still found?", entries.len());
        let without = entries.iter().filter(|entry| !entry.by_cause && entry.hints.is_empty());
        faults.extend(without.map(|entry| format!("no next step: {} ({})", entry.message, entry.place)));
        let without = entries.iter().filter(|entry| !entry.by_cause && entry.code.is_empty() && title != PARTS[2].0);
        faults.extend(without.map(|entry| format!("no code: {} ({})", entry.message, entry.place)));
        all += entries.iter().filter(|entry| !entry.by_cause).count();
        named += entries.iter().filter(|entry| !entry.by_cause && is_named(entry, &tests)).count();
        write!(page, "\n## {title}\n\n{above}\n\n| code | message | next step |\n|---|---|---|\n").unwrap();
        for entry in &entries {
            let step = if entry.by_cause { "*its cause*".to_owned() } else { cell(&entry.hints.join("<br>")) };
            let code = if entry.code.is_empty() { "*its cause's*" } else { &entry.code };
            writeln!(page, "| {code} | {} | {step} |", cell(&entry.message)).unwrap();
        }
    }
    page.push_str(
        "\n## Causes\n\nThese say which rule a document or a file breaks. They are printed behind one of the errors above, which has the \
         next step.\n\n",
    );
    let causes: BTreeSet<_> =
        causes.into_iter().map(|entry| entry.message).filter(|it| it != types::TRANSPARENT).collect();
    for message in causes {
        writeln!(page, "- {}", cell(&message)).unwrap();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(named * 10 >= all * 6, "only {named} of {all} errors are named by a test");
    println!("{named} of {all} errors are named by a test");
    let path = workspace().join("docs/errors.md");
    if std::env::var_os("UPDATER_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(there.lines()).find(|(made, there)| made != there);
    assert!(
        there == page,
        "docs/errors.md is old ({differs:?}): run UPDATER_WRITE_DOCS=1 cargo test -p updater-tests --test errors_page"
    );
}

/// Reads the errors of some folders, sorted by code, then by message, each once.
fn entries_of(folders: &[&str]) -> Vec<Entry> {
    let mut sources = BTreeMap::new();
    for folder in folders {
        walk(&workspace().join(folder), &mut |path| {
            let text = std::fs::read_to_string(path).unwrap();
            let relative = path.strip_prefix(workspace()).unwrap().to_str().unwrap().to_owned();
            sources.insert(relative, syn::parse_file(&text).unwrap());
        });
    }
    let mut entries = types::read(&sources);
    entries.extend(inline::read(&sources));
    // A frame that says nothing of its own is nothing that anybody sees.
    entries.retain(|entry| !(entry.by_cause && entry.message == types::TRANSPARENT));
    // Numbers first, then names, then what has neither.
    let number = |code: &str| match code.split(' ').next().map(str::parse::<u32>) {
        Some(Ok(number)) => number,
        _ if code.is_empty() || code.starts_with('*') => u32::MAX,
        _ => 1000,
    };
    entries.sort_by_key(|entry| (number(&entry.code), entry.code.clone(), entry.message.clone(), entry.place.clone()));
    entries.dedup_by(|a, b| (&a.code, &a.message, &a.hints, a.by_cause) == (&b.code, &b.message, &b.hints, b.by_cause));
    entries
}

/// Visits every Rust file below a folder that is part of the program.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if ["tests", "testing", "bin"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            walk(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&path);
        }
    }
}

/// Returns everything that tests say: their files, and the parts of other files that are tests.
fn text_of_tests() -> String {
    fn collect(folder: &Path, in_tests: bool, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                collect(&path, in_tests || name == "tests", text);
            } else if name.ends_with(".rs") {
                let whole = std::fs::read_to_string(&path).unwrap();
                match (in_tests || name == "tests.rs", whole.split_once("#[cfg(test)]\nmod tests {")) {
                    (true, _) => text.push_str(&whole),
                    (false, Some((_, tests))) => text.push_str(tests),
                    (false, None) => {}
                }
            }
        }
    }
    let mut text = String::new();
    for folder in [
        "updater-format",
        "updater-delta",
        "updater-build",
        "updater-runtime",
        "updater-launcher",
        "cargo-release-updater",
        "tests",
    ] {
        collect(&workspace().join(folder), false, &mut text);
    }
    text
}

/// Tells whether a test names an error: by its case, or by the longest piece of its message that does not vary.
fn is_named(entry: &Entry, tests: &str) -> bool {
    let fixed = entry.message.split(['{', '}']).step_by(2).max_by_key(|piece| piece.len()).unwrap_or_default().trim();
    let case = entry.place.rsplit("::").next().unwrap_or_default();
    (fixed.len() > 8 && tests.contains(fixed)) || (entry.place.contains("::") && tests.contains(&format!("::{case} ")))
}

/// Makes a text fit into a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace("<br>", "\u{1}").replace('<', "&lt;").replace('\u{1}', "<br>")
}

#[test]
fn an_error_without_a_next_step_is_found() {
    let source = r#"
        #[derive(Debug, thiserror::Error)]
        pub enum AppError {
            #[error("cannot read {}", path.display())]
            Read { path: PathBuf, source: Error },
            #[error("{name} is full")]
            Full { name: String },
            #[error(transparent)]
            Other(#[from] OtherError),
        }
        impl Explain for AppError {
            fn code(&self) -> ExitCode {
                match self { Self::Read { .. } | Self::Full { .. } => ExitCode::Key, Self::Other(error) => error.code() }
            }
            fn hints(&self) -> Vec<String> {
                vec![match self {
                    Self::Read { .. } => format!("look at {}", self.place.display()),
                    Self::Full { .. } => String::new(),
                    Self::Other(error) => return error.hints(),
                }]
            }
        }
        fn act() -> CommandResult {
            let what = format!("{} is gone", name.display());
            Err(CommandError::new(ExitCode::Config, what).hint("find it"))?;
            Err(CommandError::new(ExitCode::Usage, "no"))
        }"#;
    let sources = BTreeMap::from([("a.rs".to_owned(), syn::parse_file(source).unwrap())]);
    let mut entries = types::read(&sources);
    entries.extend(inline::read(&sources));
    let shown: Vec<_> =
        entries.iter().map(|e| (e.code.as_str(), e.message.as_str(), e.hints.join(";"), e.by_cause)).collect();
    assert_eq!(
        shown,
        [
            ("40 Key", "cannot read {path}", "look at {place}".to_owned(), false),
            ("40 Key", "{name} is full", String::new(), false),
            ("", types::TRANSPARENT, String::new(), true),
            ("20 Config", "{name} is gone", "find it".to_owned(), false),
            ("2 Usage", "no", String::new(), false),
        ]
    );
}
