//! The people of the guides: each has a home of their own, and `you` the project.

use crate::package::Package;
use std::cell::RefCell;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use updater_tests::workspace;

/// A block of commands of a page.
pub(super) struct Block {
    /// Who types a line, the line, and the error that the page shows after it.
    pub(super) lines: Vec<(String, String, Option<String>)>,
    /// The whole block.
    pub(super) text: String,
    /// Whether the page says below it that no test runs it.
    pub(super) says_not_run: bool,
}

/// Returns the blocks of a page that have commands for a shell.
pub(super) fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(workspace().join("docs").join(page)).unwrap();
    let mut pieces = text.split("```");
    let mut found = Vec::new();
    pieces.next();
    while let (Some(block), rest) = (pieces.next(), pieces.next().unwrap_or_default()) {
        let (language, block) = block.split_once('\n').unwrap();
        let lines = lines(language.trim(), block);
        if !lines.is_empty() {
            let below = rest.trim_start().lines().next().unwrap_or_default();
            let says_not_run = below.contains(NOT_RUN);
            found.push(Block { lines, text: block.to_owned(), says_not_run });
        }
    }
    found
}

fn lines(language: &str, block: &str) -> Vec<(String, String, Option<String>)> {
    let typed = |line: &str| {
        let line = line.split("  #").next().unwrap().trim();
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase());
        match line.split_once("$ ").filter(|(name, _)| is_name(name)) {
            Some((name, command)) => Some((name.to_owned(), command.trim().to_owned(), None)),
            None if language == "sh"
                || (language.is_empty() && COMMANDS.iter().any(|start| line.starts_with(start))) =>
            {
                Some((String::new(), line.to_owned(), None))
            }
            None => None,
        }
    };
    let mut found: Vec<(String, String, Option<String>)> = Vec::new();
    for line in block.lines() {
        match (typed(line), line.strip_prefix("error: ")) {
            (Some(line), _) => found.push(line),
            (None, Some(error)) => {
                if let Some(last) = found.last_mut() {
                    last.2 = error.split("...").next().map(str::to_owned);
                }
            }
            (None, None) => {}
        }
    }
    found
}

/// A project, and those who have to do with it.
pub(super) struct People {
    pub(super) package: Package,
    /// What stands on a page for what only a reader knows, and what it is here.
    said: RefCell<Vec<(String, String)>>,
    /// Variables of whoever types.
    has: RefCell<Vec<(String, String)>>,
}

impl People {
    /// Sets up a project with these options of `init`, or leaves it as it is. Its program knows nothing of updates, so it is
    /// built in a moment.
    pub(super) fn new(init: &[&str]) -> Self {
        let people = Self { package: Package::new(), said: RefCell::default(), has: RefCell::default() };
        let bin = people.package.home().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(people.stick("")).unwrap();
        let real = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        // Nobody waits for caches here, keys need no password, and a bundle need not be small.
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = updater ] || exec {real} \"$@\"\n\
             case \"$* \" in\n  *--wait*) ;;\n  'updater keys rotate '*|'updater keys renew '*) set -- \"$@\" --wait 0;;\n  \
             'updater init '*) set -- \"$@\" --no-password;;\n  'updater publish --merge '*) ;;\n  'updater publish '*|'updater bundle '*) set -- \"$@\" --level 1;;\nesac\n\
             exec {} \"$@\"\n",
            env!("CARGO_BIN_EXE_cargo-updater")
        );
        crate::publish::write_program(&bin.join("cargo"), &script);
        if !init.is_empty() {
            people
                .package
                .run(&[&["init"][..], init, if init[0] == "--dev" { &[] } else { &["--no-password"] }].concat())
                .ok();
            let manifest = people.package.read("Cargo.toml");
            let plain: Vec<_> = manifest.lines().filter(|line| !line.starts_with("updater-")).collect();
            people.package.write("Cargo.toml", &(plain.join("\n") + "\n"));
            drop(std::fs::remove_file(people.package.path("build.rs")));
            crate::hooks::table(&people.package, "probe = false");
        }
        people
    }

    /// Returns where somebody works: the project is where `you` do.
    pub(super) fn home(&self, name: &str) -> PathBuf {
        let home = if name == "you" { self.package.home() } else { self.package.home().with_file_name(name) };
        std::fs::create_dir_all(&home).unwrap();
        home
    }

    /// Returns a path on the stick that goes from one to another.
    pub(super) fn stick(&self, path: &str) -> PathBuf {
        self.package.home().with_file_name("stick").join(path)
    }

    /// Brings a file of somebody's into the project.
    pub(super) fn gives(&self, name: &str, file: &str) {
        std::fs::copy(self.home(name).join(file), self.package.path(file)).unwrap();
    }

    /// Puts something into the place of what a page says.
    pub(super) fn say(&self, on_the_page: &str, here: &str) {
        self.said.borrow_mut().push((on_the_page.to_owned(), here.to_owned()));
    }

    /// Sets a variable for everybody.
    pub(super) fn has(&self, name: &str, value: &str) {
        self.has.borrow_mut().push((name.to_owned(), value.to_owned()));
    }

    /// Makes the package another version.
    pub(super) fn version(&self, version: &str) {
        let manifest = self.package.read("Cargo.toml");
        let old = manifest.split("\nversion = \"").nth(1).unwrap().split('"').next().unwrap();
        self.package.write("Cargo.toml", &manifest.replacen(&format!("\"{old}\""), &format!("\"{version}\""), 1));
    }

    pub(super) fn publish(&self, version: &str) {
        self.version(version);
        self.run("you", "cargo updater publish");
    }

    /// Types what a block of a page shows, line by line; `before` is called before each.
    #[track_caller]
    pub(super) fn follow(&self, page: &str, number: usize, before: impl Fn(&Self, &str)) {
        let block = blocks(page).into_iter().nth(number).unwrap_or_else(|| panic!("{page} has no block {number}"));
        assert!(!block.says_not_run, "{page}: block {number} is run here");
        let last = block.lines.len() - 1;
        for (place, (name, command, error)) in block.lines.iter().enumerate() {
            before(self, command);
            let name = if name.is_empty() { "you" } else { name };
            // What waits for other people is done, as far as it goes: the page says so below.
            let codes: &[i32] = match (error, place == last && command.contains("--threshold")) {
                (Some(_), _) => &[11],
                (None, true) => &[0, 11],
                (None, false) => &[0],
            };
            let told = self.run_to(codes, name, command);
            if let Some(error) = error {
                assert!(told.contains(&format!("error: {error}")), "{command}: {told}");
            }
        }
    }

    /// Types a line.
    #[track_caller]
    pub(super) fn run(&self, name: &str, line: &str) -> String {
        self.run_to(&[0], name, line)
    }

    /// Types a line that ends with one of these codes.
    #[track_caller]
    pub(super) fn run_to(&self, codes: &[i32], name: &str, line: &str) -> String {
        let home = self.home(name);
        // Who has no part of the project on their machine works at home.
        let here = if name == "you" || line.contains("release sign") { self.package.path("") } else { home.clone() };
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut line =
            line.replace("/media/stick", &text(self.stick(""))).replace("/backup", &text(self.stick("backup")));
        line = line.replace("minisign -G -s", "minisign -G -W -s");
        let mut command = Command::new("sh");
        command.args(["-e", "-c"]).env_clear().current_dir(here).stdin(Stdio::null());
        for (on_the_page, is_here) in self.said.borrow().iter() {
            line = line.replace(on_the_page, is_here);
        }
        let user = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        let or_home = |name, folder| std::env::var_os(name).map_or_else(|| user.join(folder), PathBuf::from);
        // `man` looks beside each folder of programs.
        let own = [self.package.home().join("bin"), home.join(".local/bin")].map(|path| path.display().to_string());
        let path = format!("{}:{}", own.join(":"), std::env::var("PATH").unwrap());
        let output = command
            .arg(&line)
            .env("HOME", &home)
            .env("PATH", path)
            .env("CARGO_HOME", or_home("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", or_home("RUSTUP_HOME", ".rustup"))
            .env("CARGO_NET_OFFLINE", "true")
            .env("UPDATER_KEY_PASSWORD", "four words are better")
            .env("NO_COLOR", "1")
            .envs(self.has.borrow().iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code().is_some_and(|code| codes.contains(&code)),
            "{name}$ {line}: {}: {told}",
            output.status
        );
        told
    }
}

/// How a page says it.
const NOT_RUN: &str = "No test runs this";
/// With what a command for a shell begins.
const COMMANDS: [&str; 5] = ["cargo ", "updater-launcher ", "man ", "bash ", "UPDATER_"];
