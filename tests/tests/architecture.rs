//! The map is right: every file that the documents name exists, and every command that the README shows is run by CI or
//! by a test.

use std::path::{Path, PathBuf};
use updater_tests::workspace;

/// A file that a document names and that is not there.
#[derive(Debug, PartialEq, Eq)]
struct Missing {
    document: String,
    line: usize,
    path: String,
}

/// Finds what a document names and what of it is missing. `exists` is asked for paths from the top of the repository.
///
/// Links count from the document's own folder. Paths in back-ticks count from the top, in a table from the folder that its head
/// names.
fn look(document: &str, text: &str, exists: &dyn Fn(&Path) -> bool) -> (usize, Vec<Missing>) {
    let own = Path::new(document).parent().unwrap_or(Path::new(""));
    let mut table = None;
    let (mut named, mut missing) = (0, Vec::new());
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        if line.starts_with('|')
            && let Some(base) = in_backticks(line).find(|text| text.ends_with("src/") && line.contains(" in `"))
        {
            table = Some(PathBuf::from(base));
        }
        if !line.starts_with('|') {
            table = None;
        }
        let mut check = |path: &str, found: bool| {
            named += 1;
            if !found {
                missing.push(Missing { document: document.to_owned(), line: number + 1, path: path.to_owned() });
            }
        };
        for link in links(line) {
            check(link, exists(&own.join(link)));
        }
        for path in in_backticks(line).filter(|text| is_path(text)) {
            let bases = [Path::new(""), own].into_iter().chain(table.as_deref());
            check(path, bases.map(|base| base.join(path)).any(|path| exists(&path)));
        }
    }
    (named, missing)
}

fn in_backticks(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Returns the targets of links that lead into the repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains("://")).then_some(target)
    })
}

/// Tells a path of this repository from other code: a folder or a kind of file that only the repository has.
fn is_path(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let ours = text.ends_with('/') || [".rs", ".md", ".sh", ".py"].iter().any(|kind| text.ends_with(kind));
    // What is made at a user's, and by a build.
    let elsewhere =
        ["target/", "download/", "staged/", "previous/", "attempts/", "metadata/", "targets/", "updater/", "build.rs"];
    plain && ours && !text.starts_with('.') && !text.starts_with('/') && !elsewhere.contains(&text)
}

#[test]
fn the_files_that_the_documents_name_exist() {
    let exists = |path: &Path| workspace().join(path).exists();
    for (document, at_least) in [("ARCHITECTURE.md", 50), ("README.md", 8), ("SECURITY.md", 1), ("CONTRIBUTING.md", 4)]
    {
        let text = std::fs::read_to_string(workspace().join(document)).unwrap();
        let (named, missing) = look(document, &text, &exists);
        assert!(missing.is_empty(), "{missing:#?}");
        assert!(named >= at_least, "{document} names {named} files only: is it still a map?");
    }
}

#[test]
fn the_links_of_all_documents_lead_somewhere() {
    let exists = |path: &Path| workspace().join(path).exists();
    let mut folders = vec![PathBuf::from("docs")];
    let mut documents = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(workspace().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if workspace().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let (document, text) =
                    (path.to_str().unwrap(), std::fs::read_to_string(workspace().join(&path)).unwrap());
                let own = path.parent().unwrap();
                for (number, line) in text.lines().enumerate() {
                    for link in links(line) {
                        assert!(exists(&own.join(link)), "{document}:{}: {link} is not there", number + 1);
                    }
                }
                documents += 1;
            }
        }
    }
    assert!(documents > 10, "{documents}");
}

#[test]
fn a_file_that_is_not_there_is_found() {
    let text = "See [here](docs/a.md#part) and [there](https://example.com/b.md).\n\
                | step | file in `crate/src/` |\n\
                | one | `one.rs`, `two/` |\n\
                Not a path: `Vec<u8>`, `cargo test`, `1.4.0`, `target/`.\n\
                ```\n`missing.rs` in code\n```\n\
                Later: `one.rs`, `crate/src/one.rs`\n";
    let there = ["docs/a.md", "crate/src/", "crate/src/one.rs", "crate/src/two/"].map(Path::new);
    let (named, missing) = look("README.md", text, &|path| there.contains(&path));
    assert_eq!(named, 6);
    // What a table names counts in that table alone.
    assert_eq!(missing, [Missing { document: "README.md".to_owned(), line: 8, path: "one.rs".to_owned() }]);
}

#[test]
fn the_commands_of_the_readme_are_run() {
    let read = |path: &str| std::fs::read_to_string(workspace().join(path)).unwrap();
    // Every command of the tutorial is run by a test.
    let (ci, tutorial) = (read(".ci/run"), read("docs/tutorial.md"));
    let readme = read("README.md");
    let mut shown = Vec::new();
    // The language of the block that a line is in.
    let mut block = None;
    for line in readme.lines() {
        match line.strip_prefix("```") {
            Some(language) => block = block.is_none().then_some(language),
            None if block == Some("") => shown.push(line.split('#').next().unwrap().trim()),
            None => {}
        }
    }
    assert!(shown.len() >= 4, "{shown:?}");
    for command in shown.into_iter().filter(|command| !command.is_empty()) {
        let by_test = tutorial.contains(&format!("\n$ {}\n", command.replace("APP", "hello")));
        assert!(ci.contains(command) || by_test, "neither .ci/run nor a test runs `{command}`");
    }
}
