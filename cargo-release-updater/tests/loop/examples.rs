//! Every example as people copy it: one workspace of copies, built together, published by one command, and each program run
//! as its users would run it.

use crate::app::{Outcome, build_variables, bundle_of, finish, unpack};
use crate::package::Package;
use crate::terminal::Terminal;
use crate::trial_app::copy_folder;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use updater_format::Sha256;
use updater_tests::server::TestServer;
use updater_tests::{require, workspace};

/// The examples that are tried here, and their programs; `components` has a test of its own.
const EXAMPLES: [(&str, &str); 7] = [
    ("hello", "hello"),
    ("progress", "tool"),
    ("dialogue", "asker"),
    ("tokio", "ticker"),
    ("night-watch", "night-watch"),
    ("token", "member"),
    ("web", "web"),
];

/// A workspace with copies of the examples, what they publish, and the servers that have it.
struct World {
    package: Package,
    server: TestServer,
    /// The one server that wants a token.
    members: TestServer,
}

impl World {
    fn new() -> Self {
        let world = Self { package: Package::new(), server: TestServer::start(), members: TestServer::start() };
        std::fs::remove_dir_all(world.package.path("src")).unwrap();
        let checkout = workspace();
        let manifest = std::fs::read_to_string(checkout.join("Cargo.toml")).unwrap();
        let line = |name: &str| manifest.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
        let members: Vec<String> = EXAMPLES.iter().map(|(name, _)| format!("{name:?}")).collect();
        let strip: String =
            EXAMPLES.iter().map(|(name, _)| format!("[profile.dev.package.example-{name}]\nstrip = true\n")).collect();
        // Dependencies are compiled as in the checkout, or they would all be compiled once more.
        let profiles = &manifest[manifest.find("[profile.dev]").unwrap()..];
        world.package.write(
            "Cargo.toml",
            &format!(
                "[workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[workspace.package]\nversion = \"1.0.0\"\n\
                 edition = \"2024\"\nlicense = \"MIT\"\nrust-version = \"1.89\"\nrepository = \"https://example.com\"\n\n\
                 [workspace.dependencies]\nupdater-runtime = {{ path = {:?}, default-features = false }}\n\
                 updater-build = {{ path = {:?} }}\n{}\n{}\n\n\
                 [workspace.metadata.updater]\nurl = \"{}/{{app}}\"\nstorage = \"fs:{}/{{app}}\"\n\n{strip}\n{profiles}",
                members.join(", "),
                checkout.join("updater-runtime"),
                checkout.join("updater-build"),
                line("tokio"),
                line("indicatif"),
                world.server.url(""),
                world.package.path("published").display(),
            ),
        );
        std::fs::copy(checkout.join("Cargo.lock"), world.package.path("Cargo.lock")).unwrap();
        for (name, _) in EXAMPLES {
            copy_folder(&checkout.join("examples").join(name), &world.package.path(name));
        }
        // The repository of the members is another one.
        let table = format!("\n[package.metadata.updater]\nurl = \"{}\"\n", world.members.url("/example-token"));
        world.package.write("token/Cargo.toml", &(world.package.read("token/Cargo.toml") + &table));
        // A port that nobody else has.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let web = world.package.read("web/Cargo.toml").replace("8701", &port);
        world.package.write("web/Cargo.toml", &web.replace("stay-up = \"200ms\"", "stay-up = \"50ms\""));
        for (name, _) in EXAMPLES {
            let package = format!("example-{name}");
            let checkout = checkout.to_str().unwrap();
            world.cargo_updater(&["init", "--dev", "-p", &package, "--path-deps", checkout]);
        }
        world
    }

    /// Builds all of them at once, and publishes each.
    fn publish(&self, version: &str) {
        let manifest = self.package.read("Cargo.toml");
        let current = manifest.split("[workspace.package]\nversion = \"").nth(1).unwrap().split('"').next().unwrap();
        let line = |version: &str| format!("version = \"{version}\"");
        self.package.write("Cargo.toml", &manifest.replacen(&line(current), &line(version), 1));
        self.package.write("CHANGELOG.md", &format!("# Changes\n\n## {version}\n\n- News of {version}.\n"));
        // `publish` would build package by package, each with its own features and so with a library of its own.
        let mut build = updater_tests::process::cargo();
        build
            .args(["build", "--quiet", "--workspace"])
            .current_dir(self.package.path(""))
            .envs(build_variables(&self.package.path("target")));
        assert!(build.status().unwrap().success());
        for (name, program) in EXAMPLES {
            let folder = self.package.path(&format!("built/{version}/{name}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(self.package.path("target/debug").join(program), folder.join(program)).unwrap();
            let (package, folder) = (format!("example-{name}"), folder.to_str().unwrap());
            let what = ["publish", "-p", &package, "--from-dir", folder, "--version", version];
            // Level 1 and no patches: what is tried here is the examples.
            self.cargo_updater(&[&what[..], &["--level", "1", "--no-patches"]].concat());
        }
        self.server.serve_folder(self.package.path("published"));
        self.members.serve_folder(self.package.path("published"));
    }

    /// Installs an example as a user would: by unpacking its bundle.
    fn install(&self, example: &str) -> Installed {
        let (_, program) = EXAMPLES.into_iter().find(|(name, _)| *name == example).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let repository = self.package.path("published").join(format!("example-{example}"));
        std::fs::create_dir_all(folder.path().join("home")).unwrap();
        std::fs::create_dir_all(folder.path().join("bin")).unwrap();
        unpack(&bundle_of(&repository, &format!("example-{example}"), "1.0.0"), &folder.path().join("bin"));
        Installed { program: folder.path().join("bin").join(program), folder }
    }

    #[track_caller]
    fn cargo_updater(&self, arguments: &[&str]) {
        let variables = build_variables(&self.package.path("target"));
        self.package.run_with(arguments, &variables.each_ref().map(|(name, value)| (*name, value.as_str()))).ok();
    }
}

struct Installed {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Installed {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("HOME", self.folder.path().join("home")).env("PATH", "/usr/bin:/bin");
        command.current_dir(self.folder.path());
        command
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Outcome {
        let outcome = finish(&mut self.command(arguments));
        assert!(outcome.status.success(), "{outcome:#?}");
        outcome
    }

    /// Starts it on a terminal.
    fn on_a_terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::start(&self.command(arguments), &self.folder.path().join("tmux"))
    }
}

#[test]
fn every_example_does_what_it_says() {
    let world = World::new();
    world.publish("1.0.0");
    let [hello, tool, asker, ticker, watch, member] =
        ["hello", "progress", "dialogue", "tokio", "night-watch", "token"].map(|example| world.install(example));
    assert_eq!(hello.ok(&["you"]).stdout, "hello you, this is 1.0.0\n");
    assert_eq!(tool.ok(&["update"]).stdout, "1.0.0 is the newest version\n");
    let web = Web::install(&world);

    world.publish("1.1.0");
    assert_eq!(hello.ok(&["you"]).stdout, "hello you, this is 1.1.0\n");
    progress(&tool);
    if require::command("tmux", "apt-get install tmux") {
        dialogue(&asker);
    }
    let told = ticker.ok(&[]);
    assert!(told.stdout.ends_with("ticker 1.1.0 tick 3\n"), "{told:#?}");
    assert!(told.stderr.contains("ticker: Download "), "{told:#?}");
    night_watch(&watch);
    token(&world, &member);
    web.update();
}

/// The subcommand tells, and then updates; it does nothing by itself.
fn progress(tool: &Installed) {
    assert_eq!(tool.ok(&[]).stdout, "tool 1.0.0 works\n");
    let check = finish(&mut tool.command(&["update", "--check"]));
    assert_eq!(check.status.code(), Some(10), "{check:#?}");
    assert!(check.stdout.starts_with("1.0.0 -> 1.1.0, ") && check.stdout.contains("- News of 1.1.0."), "{check:#?}");
    assert_eq!(tool.ok(&["--version"]).stdout, "tool 1.0.0\n");
    let update = tool.ok(&["update"]);
    assert!(update.stdout.ends_with("1.1.0 is installed; what runs from now on is that\n"), "{update:#?}");
    assert!(update.stderr.contains("to 1.1.0 by example-progress-1.1.0-"), "{update:#?}");
    assert_eq!(tool.ok(&["--version"]).stdout, "tool 1.1.0\n");
}

/// Nobody is asked in a pipe; a person can put it off, skip the version, and take it all the same.
fn dialogue(asker: &Installed) {
    let piped = asker.ok(&[]);
    assert_eq!((piped.stdout.as_str(), piped.stderr.as_str()), ("asker 1.0.0 works\n", ""));
    let mut command = asker.command(&["update"]);
    let off = finish(command.env("EXAMPLE_DIALOGUE_UPDATES", "off"));
    assert_eq!(off.stderr, "asker: updates are asked about on a terminal\n");

    let terminal = asker.on_a_terminal(&[]);
    terminal.shows("example-dialogue 1.1.0 is available; you have 1.0.0 (");
    terminal.shows("  | - News of 1.1.0.");
    terminal.shows("[u]pdate now, [l]ater, [s]kip this version?");
    terminal.types(&["what", "Enter"]);
    terminal.shows("Please answer with one of the letters u, l, s.");
    terminal.types(&["l", "Enter"]);
    terminal.shows("asker 1.0.0 works");
    terminal.shows("It ended with 0.");
    drop(terminal);
    // Not asked again today, unless the user wants it; what is skipped is not asked about.
    let terminal = asker.on_a_terminal(&[]);
    terminal.shows("It ended with 0.");
    assert!(!terminal.screen().contains("available"), "{}", terminal.screen());
    drop(terminal);
    let terminal = asker.on_a_terminal(&["update"]);
    terminal.shows("[s]kip this version?");
    terminal.types(&["s", "Enter"]);
    terminal.shows("asker 1.0.0 works");
    terminal.shows("It ended with 0.");
    drop(terminal);
    let state = asker.folder.path().join("home/.local/state/example-dialogue");
    assert_eq!(std::fs::read_to_string(state.join("skipped-version")).unwrap(), "1.1.0\n");
    std::fs::remove_file(state.join("last-check")).unwrap();
    let terminal = asker.on_a_terminal(&[]);
    terminal.shows("It ended with 0.");
    assert!(!terminal.screen().contains("available"), "{}", terminal.screen());
    drop(terminal);

    let terminal = asker.on_a_terminal(&["update"]);
    terminal.shows("[u]pdate now");
    terminal.types(&["u", "Enter"]);
    terminal.shows("1.1.0 is installed.");
    terminal.shows("asker 1.1.0 works");
    terminal.shows("It ended with 0.");
}

/// It updates at night, between two rounds, unless whoever runs it wants something else.
fn night_watch(watch: &Installed) {
    let run = |hours: &str, policy: &str| {
        let mut command = watch.command(&[]);
        command.env("NIGHT_WATCH_ROUNDS", "1").env("NIGHT_WATCH_HOURS", hours);
        finish(command.env("EXAMPLE_NIGHT_WATCH_UPDATES", policy))
    };
    let rounds = |hours: &str, policy: &str| {
        let mut command = watch.command(&[]);
        command.env("NIGHT_WATCH_ROUNDS", "2").env("NIGHT_WATCH_HOURS", hours);
        finish(command.env("EXAMPLE_NIGHT_WATCH_UPDATES", policy))
    };
    // No hour is between 0 and 0.
    let day = run("0-0", "");
    assert_eq!(day.stdout, "night-watch 1.0.0, updates: auto\nnight-watch: round 1\n", "{day:#?}");
    let off = rounds("0-24", "off");
    assert!(off.stdout.starts_with("night-watch 1.0.0, updates: off\n") && !off.stdout.contains("1.1.0"), "{off:#?}");
    let notify = rounds("0-24", "notify");
    assert!(notify.stdout.contains("night-watch: version 1.1.0 is available\n"), "{notify:#?}");
    assert!(notify.stdout.ends_with("night-watch: round 2\n"), "{notify:#?}");
    std::fs::remove_file(watch.folder.path().join("home/.local/state/example-night-watch/last-check")).unwrap();
    let auto = rounds("0-24", "");
    assert!(auto.stdout.contains("night-watch: 1.0.0 -> 1.1.0\nnight-watch 1.1.0, updates: auto\n"), "{auto:#?}");
}

/// Without the token there is no update; with it there is, and a new token is taken at once.
fn token(world: &World, member: &Installed) {
    world.members.require_header("Authorization", "Bearer second");
    let file = member.folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let run = || finish(member.command(&[]).env("MEMBER_TOKEN_FILE", &file));
    let refused = run();
    assert!(refused.stderr.contains("401") && refused.stdout == "member 1.0.0 works\n", "{refused:#?}");
    std::fs::write(&file, "second\n").unwrap();
    let taken = run();
    assert!(taken.stderr.contains("member: 1.0.0 -> 1.1.0\n") && taken.stdout == "member 1.1.0 works\n", "{taken:#?}");
}

/// The server under the launcher.
struct Web {
    launcher: PathBuf,
    folder: tempfile::TempDir,
}

impl Web {
    fn install(world: &World) -> Self {
        // Built beside the program under test, by the same `cargo test --workspace` as a rule.
        let launcher = Path::new(env!("CARGO_BIN_EXE_cargo-updater")).with_file_name("updater-launcher");
        if !launcher.exists() {
            let mut build = updater_tests::process::cargo();
            build.args(["build", "--quiet", "--workspace", "--bin", "updater-launcher"]).current_dir(workspace());
            assert!(build.status().unwrap().success());
        }
        let web = Self { launcher, folder: tempfile::tempdir().unwrap() };
        let root = std::fs::read(world.package.path("web/updater/root.json")).unwrap();
        let app = web.app();
        web.ok(&[
            "install",
            &world.server.url("/example-web"),
            app.to_str().unwrap(),
            "--pin",
            &Sha256::of(&root).to_string(),
        ]);
        web.on_the_app(&["start", "--detach"]);
        web.answers("this is web 1.0.0");
        web
    }

    fn app(&self) -> PathBuf {
        self.folder.path().join("web")
    }

    fn update(&self) {
        assert_eq!(self.on_the_app(&["update"]), "1.1.0\n");
        self.answers("this is web 1.1.0");
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let outcome = finish(Command::new(&self.launcher).args(arguments));
        assert!(outcome.status.success(), "{outcome:#?}");
        outcome.stdout
    }

    #[track_caller]
    fn on_the_app(&self, arguments: &[&str]) -> String {
        let app = self.app();
        self.ok(&[arguments, &["-C", app.to_str().unwrap()]].concat())
    }

    /// Waits until the server answers with a line.
    #[track_caller]
    fn answers(&self, line: &str) {
        use std::io::{Read as _, Write as _};
        let table = std::fs::read_to_string(self.app().join("current/.updater-launcher.json")).unwrap();
        let table: serde_json::Value = serde_json::from_str(&table).unwrap();
        let address = table["args"][0].as_str().unwrap();
        let ask = || -> std::io::Result<String> {
            let mut stream = std::net::TcpStream::connect(address)?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let begin = Instant::now();
        loop {
            let told = ask();
            if told.as_ref().is_ok_and(|text| text.ends_with(&format!("{line}\n"))) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{told:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // What runs in the background ends with the test, however that ends.
        let mut stop = Command::new(&self.launcher);
        let _ = stop.args(["stop", "-C"]).arg(self.app()).stdin(Stdio::null()).output();
    }
}
