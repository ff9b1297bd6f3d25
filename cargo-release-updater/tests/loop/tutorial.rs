//! The ten minutes of `docs/tutorial.md`, followed to the letter: every command as it stands there, in this order, and what
//! it prints held against what the page shows. The README's shorter version has to be the same commands and the same code.

use crate::app::build_variables;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use updater_tests::workspace;

/// What the page wants next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// `src/main.rs` becomes this.
    Code(String),
    /// This is typed, and prints these lines; `...` stands for any.
    Command(String, Vec<String>),
}

/// Takes the blocks of a page that are commands with their output, or Rust.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, body) = block.split_once('\n').unwrap();
        match language {
            "rust" => steps.push(Step::Code(format!("{body}\n"))),
            "console" => {
                for line in body.lines() {
                    match (line.strip_prefix("$ "), steps.last_mut()) {
                        (Some(command), _) => steps.push(Step::Command(command.to_owned(), Vec::new())),
                        (None, Some(Step::Command(_, output))) => output.push(line.to_owned()),
                        (None, _) => panic!("{line:?} comes before a command"),
                    }
                }
            }
            _ => {}
        }
    }
    steps
}

/// A shell in a home of its own, in which `cargo updater` is the program under test.
struct Newcomer {
    folder: tempfile::TempDir,
    /// Where the shell is.
    here: PathBuf,
    port: u16,
}

impl Newcomer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        std::fs::create_dir_all(folder.path().join("bin")).unwrap();
        std::fs::create_dir(&work).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let newcomer = Self { folder, here: work, port };
        newcomer.make_cargo();
        newcomer
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a `cargo` first in the path. It differs from the real one in three things: the app is built as the tests are, so
    /// that nothing is compiled twice; the port is a free one; `updater` is the program under test.
    fn make_cargo(&self) {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let workspace_manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
        let profiles = &workspace_manifest[workspace_manifest.find("[profile.dev]").unwrap()..];
        std::fs::write(
            self.path("profiles"),
            format!("\n[workspace]\n\n[profile.dev.package.hello]\nstrip = true\n\n{profiles}"),
        )
        .unwrap();
        let script = format!(
            "#!/bin/sh\nset -e\nprogram='{program}'\nif [ \"$1\" = new ]; then\n  {cargo} \"$@\"\n  cat '{profiles}' >> \"$2/Cargo.toml\"\n  \
             cp '{lock}' \"$2/Cargo.lock\"\n  exit\nfi\n[ \"$1\" = updater ] || exec {cargo} \"$@\"\nif [ \"$2\" = init ]; then\n  \
             \"$program\" \"$@\" --url http://127.0.0.1:{port}\n  \
             sed -i 's/^\\[package.metadata.updater\\]$/&\\nprofile = \"dev\"/' Cargo.toml\n  mkdir -p target\n  \
             ln -s debug target/release\n  exit\nfi\nif [ \"$2\" = serve ]; then exec \"$program\" \"$@\" --bind 127.0.0.1:{port}; fi\n\
             exec \"$program\" \"$@\"\n",
            program = env!("CARGO_BIN_EXE_cargo-updater"),
            profiles = self.path("profiles").display(),
            lock = workspace().join("Cargo.lock").display(),
            port = self.port,
        );
        let path = self.path("bin/cargo");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Prepares a line for the shell; both streams come out as one.
    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        // The only places of the page that a test cannot share with others.
        let line = line.replace("/tmp/", &format!("{}/", self.folder.path().display()));
        command.args(["-c", &format!("exec 2>&1; {line}")]).current_dir(&self.here).stdin(Stdio::null());
        updater_tests::process::forget_this_test(&mut command);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["UPDATER_", "XDG_"].iter().any(|start| name.starts_with(start)) {
                command.env_remove(name);
            }
        }
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.envs(build_variables(&self.path("work/hello/target"))).env("PATH", path).env("NO_COLOR", "1");
        command.env("HOME", self.path("home"));
        command
    }

    /// Types a line and returns what it prints, with this machine's places as the page has them.
    fn types(&mut self, line: &str) -> Vec<String> {
        if let Some(folder) = line.strip_prefix("cd ") {
            self.here = self.here.join(folder);
            assert!(self.here.is_dir(), "{line}");
            return Vec::new();
        }
        let output = self.shell(line).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{line}: {text}");
        self.as_on_the_page(&text)
    }

    /// Starts what stays, and returns it when it has printed as many lines as the page shows.
    fn starts(&self, line: &str, lines: usize) -> (Serving, Vec<String>) {
        let mut command = self.shell(&format!("exec {line}"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let serving = Serving(child);
        let mut rest = stdout.lines();
        let text: Vec<_> = rest.by_ref().take(lines).map(|line| line.unwrap() + "\n").collect();
        // Read to the end, or it would wait for somebody who does.
        std::thread::spawn(move || rest.for_each(drop));
        (serving, self.as_on_the_page(&text.concat()))
    }

    fn as_on_the_page(&self, text: &str) -> Vec<String> {
        let text = text.replace(workspace().to_str().unwrap(), "/home/you/cargo-updater");
        let text = text.replace(self.path("home").to_str().unwrap(), "/home/you");
        let text = text.replace(self.path("work").to_str().unwrap(), "/home/you");
        let text = text.replace("`dev` profile [unoptimized]", "`release` profile [optimized]");
        let text = text.replace(self.folder.path().to_str().unwrap(), "/tmp");
        // Other tests build at the same time.
        text.lines().filter(|line| !line.contains("Blocking waiting for")).map(str::to_owned).collect()
    }
}

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_tutorial_ends_with_a_program_that_updates_itself() {
    let page = std::fs::read_to_string(workspace().join("docs/tutorial.md")).unwrap();
    let steps = steps(&page);
    let commands: Vec<_> = steps.iter().filter(|step| matches!(step, Step::Command(..))).collect();
    assert!((7..10).contains(&commands.len()), "under ten commands: {commands:#?}");
    let mut newcomer = Newcomer::new();
    let mut serving = Vec::new();
    for step in &steps {
        match step {
            Step::Code(code) => std::fs::write(newcomer.here.join("src/main.rs"), code).unwrap(),
            Step::Command(command, wanted) => {
                let printed = match command.strip_suffix(" &") {
                    Some(command) => {
                        let (server, printed) = newcomer.starts(command, wanted.len());
                        serving.push(server);
                        printed
                    }
                    None => newcomer.types(command),
                };
                let (wanted, got) = (wanted.iter().map(|line| plain(line)).collect::<Vec<_>>(), printed);
                let got_plain: Vec<_> = got.iter().map(|line| plain(line)).collect();
                assert!(
                    fits(&wanted, &got_plain),
                    "docs/tutorial.md shows something else behind `{command}`:\n{}\n\nnot:\n{}",
                    got.join("\n"),
                    wanted.join("\n")
                );
            }
        }
    }
    drop(serving);
    let alone = newcomer.types("/tmp/hello");
    assert!(alone[0].starts_with("offline: cannot connect to http://127.0.0.1:"), "{alone:?}");
    assert_eq!(alone[1..], ["this is 0.2.0"], "it does not need its publisher");
}

/// Leaves out of a line what differs from run to run: numbers with their units, digests, how long a build took.
fn plain(line: &str) -> String {
    let line = line.trim_end().split("target(s) in ").next().unwrap();
    let (mut text, mut word) = (String::new(), String::new());
    // Runs of letters, digits and dots: numbers, units and digests are made of them.
    for c in line.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || "._,".contains(c) {
            word.push(c);
            continue;
        }
        let is_unit = ["B", "KiB", "MiB", "bytes"].contains(&word.as_str());
        let parts: Vec<_> = word.split('.').map(masked).collect();
        match text.ends_with("# ") && is_unit {
            true => drop(text.pop()),
            false => text.push_str(&parts.join(".").replace("#.#", "#").replace("#.#", "#")),
        }
        word.clear();
        text.push(c);
    }
    text.trim_end().to_owned()
}

fn masked(part: &str) -> String {
    match part {
        part if part.len() >= 32 && part.chars().all(|c| c.is_ascii_hexdigit()) => "%".to_owned(),
        part if !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || c == ',') => "#".to_owned(),
        part => part.to_owned(),
    }
}

/// Tells whether lines are what is wanted; `...` is any number of lines.
fn fits(wanted: &[String], got: &[String]) -> bool {
    match (wanted, got) {
        ([], got) => got.is_empty(),
        ([any, rest @ ..], got) if any == "..." => (0..=got.len()).any(|skipped| fits(rest, &got[skipped..])),
        ([line, rest @ ..], [first, others @ ..]) => line == first && fits(rest, others),
        (_, []) => false,
    }
}

#[test]
fn the_readme_has_the_commands_and_the_code_of_the_tutorial() {
    let read = |path: &str| std::fs::read_to_string(Path::new(workspace()).join(path)).unwrap();
    let (readme, tutorial) = (read("README.md"), read("docs/tutorial.md"));
    let ten_minutes = readme.split("\n## ").find(|part| part.starts_with("Ten minutes")).unwrap();
    let typed: Vec<_> = commands_in(ten_minutes).into_iter().map(|line| line.replace("APP", "hello")).collect();
    assert_eq!(typed.len(), 6, "{typed:?}");
    let steps = steps(&tutorial);
    let mut followed = steps.iter().filter_map(|step| match step {
        Step::Command(command, _) => Some(command),
        Step::Code(_) => None,
    });
    for command in &typed {
        assert!(followed.any(|other| other == command), "`{command}` is not in docs/tutorial.md, or in another order");
    }
    let code = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    // So that one can see which version came to its end.
    let code = code.replace("// ... the app", "println!(\"this is {}\", env!(\"CARGO_PKG_VERSION\"));");
    assert!(steps.contains(&Step::Code(code.clone())), "{code}");
}

/// Returns the lines of the blocks without a language, comments cut off.
fn commands_in(text: &str) -> Vec<&str> {
    let mut block = None;
    let mut commands = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(language) => block = block.is_none().then_some(language),
            None if block == Some("") => commands.push(line.split('#').next().unwrap_or_default().trim()),
            None => {}
        }
    }
    commands
}

#[test]
fn a_page_that_shows_something_else_is_found() {
    let lines = |text: &str| text.lines().map(plain).collect::<Vec<_>>();
    let page = lines("   Diffed 1.0.0 -> 1.1.0: 48.8 KiB instead of 1.2 MiB\n...\n done");
    assert!(fits(&page, &lines("   Diffed 0.1.0 -> 0.2.0: 1,204 B instead of 300 KiB\n a\n b\n done")));
    assert!(fits(&page, &lines("   Diffed 0.1.0 -> 0.2.0: 1,204 B instead of 300 KiB\n done")));
    assert!(!fits(&page, &lines("   Diffed 0.1.0 -> 0.2.0: 1,204 B instead of 300 KiB\n a")));
    assert!(!fits(&page, &lines("   Copied 0.1.0 -> 0.2.0: 1,204 B instead of 300 KiB\n done")));
    let page = "text\n```console\n$ one\nprinted\n$ two\n```\n\n```toml\nx\n```\n\n```rust\nfn main() {}\n```\n";
    assert_eq!(
        steps(page),
        [
            Step::Command("one".to_owned(), vec!["printed".to_owned()]),
            Step::Command("two".to_owned(), Vec::new()),
            Step::Code("fn main() {}\n".to_owned()),
        ]
    );
}
