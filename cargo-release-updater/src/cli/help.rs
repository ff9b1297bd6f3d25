//! The help of the whole program: its commands in groups, in the order in which a project meets them.

use super::Cli;
use clap::builder::StyledStr;
use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{ColorChoice, CommandFactory as _};
use std::ffi::OsString;
use std::fmt::Write as _;

/// Returns the command line with everything, for completions and man pages.
pub(super) fn whole() -> clap::Command {
    Cli::command().styles(styles()).max_term_width(WIDEST)
}

/// Returns the command line as it is parsed: its help shows the commands in groups.
pub(super) fn grouped(color: ColorChoice) -> clap::Command {
    let mut command = whole().color(color);
    let template = template(&command);
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        // In the template already; clap has one list only.
        command = command.mut_subcommand(name, |sub| sub.hide(true));
    }
    command.help_template(template).override_usage("cargo updater [OPTIONS] [COMMAND]")
}

/// Returns when help and usage errors are coloured: they are written before the options are known.
pub(super) fn color(arguments: &[OsString]) -> ColorChoice {
    let mut given = std::env::var("CARGO_TERM_COLOR").ok();
    for (index, argument) in arguments.iter().enumerate() {
        match argument.to_str() {
            Some("--color") => given = arguments.get(index + 1).and_then(|value| value.to_str()).map(str::to_owned),
            Some(text) => given = text.strip_prefix("--color=").map(str::to_owned).or(given),
            None => {}
        }
    }
    match given.as_deref() {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

/// Writes the groups; every command must be in one.
fn template(command: &clap::Command) -> StyledStr {
    let (header, literal) = (HEADER, LITERAL);
    let mut text = StyledStr::new();
    let mut write = |part: std::fmt::Arguments<'_>| {
        // Into memory: it cannot fail.
        let _ = text.write_fmt(part);
    };
    write(format_args!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n"));
    for (group, names) in GROUPS {
        write(format_args!("\n{header}{group}:{header:#}\n"));
        for name in names.iter() {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            write(format_args!("  {literal}{name}{literal:#}{:1$} {about}\n", "", NAMES - name.len()));
        }
    }
    write(format_args!("\n{{all-args}}{{after-help}}"));
    text
}

fn styles() -> Styles {
    // Those of Cargo.
    Styles::styled()
        .header(HEADER)
        .usage(HEADER)
        .literal(LITERAL)
        .placeholder(AnsiColor::Cyan.on_default())
        .error(AnsiColor::Red.on_default().bold())
        .valid(LITERAL)
        .invalid(AnsiColor::Yellow.on_default().bold())
}

const HEADER: Style = AnsiColor::Green.on_default().bold();
const LITERAL: Style = AnsiColor::Cyan.on_default().bold();
/// Columns in which a command's name stands.
const NAMES: usize = 12;
/// Columns beyond which nobody reads a line of help.
const WIDEST: usize = 120;

/// Every command, in groups.
const GROUPS: &[(&str, &[&str])] = &[
    ("Set up", &["init", "keys", "doctor"]),
    ("Release", &["publish", "bundle", "diff", "sign", "rehearse"]),
    ("After a release", &["status", "release", "refresh", "verify", "page", "prune", "restore"]),
    ("Try out", &["demo", "serve", "services"]),
    ("For shells and editors", &["completions", "man", "schema"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::renewed::renewed;

    /// Returns the help of a command at a width, without colours.
    fn help(path: &[&str], width: usize) -> String {
        let arguments = ["cargo-updater"].into_iter().chain(path.iter().copied()).chain(["--help"]);
        let error = grouped(ColorChoice::Never).term_width(width).try_get_matches_from(arguments).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{error}");
        error.render().to_string()
    }

    /// Calls `with` for every command and subcommand, with the names that lead to it.
    fn each(command: &clap::Command, path: &[&str], with: &mut dyn FnMut(&clap::Command, &[&str])) {
        with(command, path);
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            each(sub, &[path, &[sub.get_name()]].concat(), with);
        }
    }

    #[test]
    fn every_command_is_in_one_group_and_fits_a_line() {
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut all: Vec<String> = whole().get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        all.sort();
        let mut sorted = grouped.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, all, "a command is in no group, or a group has a command that is none");
        for line in help(&[], 80).lines() {
            assert!(line.chars().count() <= 80, "{line:?} is longer than 80 columns");
        }
    }

    #[test]
    fn the_help_of_every_command_is_as_it_was_reviewed() {
        each(&whole(), &[], &mut |_, path| {
            let (narrow, wide) = (help(path, 80), help(path, 120));
            let text = format!("{narrow}\n======== 120 columns ========\n\n{wide}");
            let name = ["cargo-updater"].iter().chain(path).copied().collect::<Vec<_>>().join("-");
            renewed(&format!("tests/help/{name}.txt"), &text);
        });
    }

    #[test]
    fn every_command_has_examples_and_words_for_each_option() {
        each(&whole(), &[], &mut |command, path| {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("cargo updater"), "{path:?} has no examples");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path:?} does not say what {} is", argument.get_id());
            }
        });
    }

    #[test]
    fn every_example_is_a_command_line_that_is_understood() {
        each(&whole(), &[], &mut |command, path| {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in after.lines().map(str::trim).filter(|line| line.starts_with("cargo updater ")) {
                // Words for people stand behind two spaces; what follows an `&&` is another command.
                let line = line.split("  ").next().unwrap_or_default().split(" && ").next().unwrap_or_default();
                let line = line.split(" >").next().unwrap_or_default();
                let words = line.split(' ').skip(1).filter(|word| !word.is_empty());
                let parsed = whole().try_get_matches_from(["cargo-updater"].into_iter().chain(words.skip(1)));
                assert!(parsed.is_ok(), "{path:?} shows `{line}`: {}", parsed.unwrap_err());
            }
        });
    }

    #[test]
    fn colours_are_for_terminals_and_for_who_asks() {
        let of = |words: &[&str]| color(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of(&["x", "--color", "always", "status"]), ColorChoice::Always);
        assert_eq!(of(&["x", "status", "--color=never"]), ColorChoice::Never);
        let coloured = |choice| {
            let error = grouped(choice).try_get_matches_from(["cargo-updater", "--help"]).unwrap_err();
            error.render().ansi().to_string()
        };
        assert!(coloured(ColorChoice::Always).contains("\u{1b}[1m\u{1b}[32mAfter a release:"));
    }

    #[test]
    fn a_misspelled_command_or_option_is_answered_with_the_right_one() {
        for (words, right) in [
            (&["statsu"][..], "'status'"),
            (&["release", "rolout"], "'rollout'"),
            (&["publish", "--chanel", "beta"], "'--channel'"),
            (&["publish", "--dry-rum"], "'--dry-run'"),
            (&["completions", "bahs"], "'bash'"),
            (&["status", "--message-format", "jsn"], "'json'"),
        ] {
            let arguments = ["cargo-updater"].into_iter().chain(words.iter().copied());
            let error = grouped(ColorChoice::Never).try_get_matches_from(arguments).unwrap_err().render().to_string();
            assert!(error.contains("tip: ") && error.contains(right), "{words:?}: {error}");
        }
    }
}
