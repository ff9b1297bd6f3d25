//! Every command that a page shows exists, with these options: what is in a block is taken as it stands, what is in a line
//! of text may leave arguments out.

use super::Cli;
use clap::Parser as _;
use clap::error::ErrorKind;
use std::path::{Path, PathBuf};

/// A command, whether it stands in a block, and where.
struct Shown {
    words: Vec<String>,
    in_block: bool,
    place: String,
}

/// Finds the commands of a page.
fn shown(page: &str, text: &str) -> Vec<Shown> {
    let (mut found, mut in_block) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let pieces: Vec<&str> = match in_block {
            true => vec![line.trim_start().split_once("$ ").map_or(line, |(_, command)| command).trim_start()],
            false => line.split('`').skip(1).step_by(2).collect(),
        };
        for piece in pieces {
            // Without a comment, and without where the shell writes what comes out.
            let command = piece.split(" #").next().and_then(|piece| piece.split(" >").next()).unwrap_or_default();
            let command = command.trim().trim_end_matches(" &");
            if let Some(rest) = command.strip_prefix("cargo updater ") {
                let words = rest.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect();
                found.push(Shown { words, in_block, place: format!("{page}:{}", number + 1) });
            }
        }
    }
    found
}

/// Returns what is wrong with a command.
fn fault(shown: &Shown) -> Option<String> {
    // A version, for example, where the page has a word for any.
    let any = |word: &String| match word.as_str() {
        "V" | "VERSION" | "$NEXT" => "1.0.0".to_owned(),
        _ => word.clone(),
    };
    let words = std::iter::once("cargo-updater".to_owned()).chain(shown.words.iter().map(any));
    let error = Cli::try_parse_from(words).err()?;
    let is_fault = match error.kind() {
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument => true,
        ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict | ErrorKind::TooManyValues => shown.in_block,
        _ => false,
    };
    is_fault.then(|| format!("{}: cargo updater {}: {error}", shown.place, shown.words.join(" ")))
}

#[test]
fn the_commands_of_all_pages_exist() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages: Vec<PathBuf> = ["README.md", "SECURITY.md"].map(|page| top.join(page)).to_vec();
    let mut folders = vec![top.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "md") => pages.push(path),
                false => {}
            }
        }
    }
    let mut commands = Vec::new();
    for page in pages {
        let name = page.strip_prefix(top).unwrap().display().to_string();
        commands.extend(shown(&name, &std::fs::read_to_string(&page).unwrap()));
    }
    // The first line of a key pack.
    commands.retain(|shown| shown.words != ["key", "pack", "1"]);
    assert!(commands.len() > 150, "{} commands only: are they still found?", commands.len());
    let faults: Vec<_> = commands.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let page = "`cargo updater publsh`, `cargo updater keys`\n```\nyou$ cargo updater publish --no-such   # why\n$ cargo updater serve &\n```\n";
    let faults: Vec<_> =
        shown("a.md", page).iter().filter_map(fault).map(|fault| fault.lines().next().unwrap().to_owned()).collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("a.md:1: cargo updater publsh: error: unrecognized subcommand"), "{faults:?}");
    assert!(faults[1].starts_with("a.md:3: cargo updater publish --no-such: error: unexpected argument"), "{faults:?}");
}
