//! What people download from: the page as it is published, and `install.sh` run as they run it.

use crate::app::bundle_of;
use crate::trial_app::{Behaviour, copy_folder, trial_app};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use updater_tests::require;
use updater_tests::server::TestServer;

/// A repository of 1.0.0 and 1.1.0, and a home to install into.
struct Visitor {
    repository: PathBuf,
    home: tempfile::TempDir,
    server: TestServer,
}

impl Visitor {
    fn new() -> Self {
        let repository = trial_app().with_second(Behaviour::Healthy);
        let server = TestServer::start();
        server.serve_folder(&repository);
        Self { repository, home: tempfile::tempdir().unwrap(), server }
    }

    fn script(&self) -> Command {
        let mut command = Command::new("sh");
        command.arg(self.repository.join("install.sh")).env_clear();
        command.env("HOME", self.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    fn install(&self, options: &[&str]) -> Output {
        let url = self.server.url("/");
        self.script().args(["--url", url.trim_end_matches('/')]).args(options).output().unwrap()
    }

    fn program(&self) -> PathBuf {
        self.home.path().join(".local/bin/hello")
    }

    #[track_caller]
    fn refuses(&self, options: &[&str], error: &str) {
        let output = self.install(options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(&format!("error: {error}")), "{said}");
        assert!(said.contains("  help: "), "{said}");
        assert!(!self.program().exists(), "{said}");
    }
}

/// A folder with links to the tools that a script may use, and none besides.
fn tools(without: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let names = "sh sed tar xz curl wc head tail cat mktemp rm mkdir cp mv chmod find grep sort uname getconf ldd cut tr ls \
                 date base64 openssl minisign sha256sum dirname basename ln rmdir printf id cmp";
    for name in names.split(' ').filter(|name| !without.contains(name)) {
        let found =
            std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join(name)).find(|p| p.exists());
        if let Some(found) = found {
            std::os::unix::fs::symlink(found, folder.path().join(name)).unwrap();
        }
    }
    folder
}

fn has_tools() -> bool {
    require::command("curl", "apt-get install curl") && require::command("minisign", "apt-get install minisign")
}

#[test]
fn the_script_installs_what_was_signed_and_takes_it_away_again() {
    if !has_tools() {
        return;
    }
    let visitor = Visitor::new();
    for without in [&["openssl"][..], &["minisign"]] {
        println!("without {without:?}");
        let path = tools(without);
        let url = visitor.server.url("/");
        let output =
            visitor.script().env("PATH", path.path()).args(["--url", url.trim_end_matches('/')]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("installed hello 1.1.0 as "), "{said}");
        assert!(said.contains("; it updates itself from now on, from the channel stable\n"), "{said}");
        assert!(said.contains("is not in PATH"), "{said}");
        assert_eq!(std::fs::metadata(visitor.program()).unwrap().permissions().mode() & 0o777, 0o755);
        let run = Command::new(visitor.program()).arg("tell").env("HOME", visitor.home.path()).output().unwrap();
        assert!(String::from_utf8_lossy(&run.stdout).contains("1.1.0"), "{run:?}");

        let removed = visitor.install(&["--uninstall"]);
        assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
        assert!(!visitor.program().exists());
        visitor.refuses(&["--uninstall"], "hello is not installed in ");
    }
}

#[test]
fn half_a_script_does_nothing() {
    let visitor = Visitor::new();
    let text = std::fs::read_to_string(visitor.repository.join("install.sh")).unwrap();
    let half = visitor.home.path().join("half.sh");
    for lines in [20, text.lines().count() / 2, text.lines().count() - 1] {
        let cut: String = text.lines().take(lines).map(|line| format!("{line}\n")).collect();
        std::fs::write(&half, cut).unwrap();
        let output = Command::new("sh").arg(&half).env("HOME", visitor.home.path()).output().unwrap();
        assert!(!visitor.home.path().join(".local").exists(), "{lines}: {output:?}");
    }
}

#[test]
fn the_script_refuses_what_was_not_signed() {
    if !has_tools() {
        return;
    }
    let visitor = Visitor::new();
    let url = visitor.server.url("/");
    let list = std::fs::read_to_string(visitor.repository.join("VERSION")).unwrap();
    let put = |text: String| visitor.server.put("/VERSION", text.into_bytes());

    put(list.replacen("CURRENT 1.1.0", "CURRENT 9.9.9", 1));
    for without in [&["openssl"][..], &["minisign"]] {
        let path = tools(without);
        let output =
            visitor.script().env("PATH", path.path()).args(["--url", url.trim_end_matches('/')]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("error: the signature of "), "{said}");
    }
    visitor.refuses(&[], "the signature of ");
    put("<html>welcome to the hotel</html>".to_owned());
    visitor.refuses(&[], &format!("{url}VERSION is no signed list"));
    put(list.clone());

    let bundle = bundle_of(&visitor.repository, "hello", "1.1.0");
    let name = format!("/targets/{}", bundle.file_name().unwrap().to_str().unwrap());
    let mut bytes = std::fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    visitor.server.put(&name, bytes);
    let output = visitor.install(&[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("is not what the developers have signed"), "{said}");
    assert!(!visitor.program().exists());

    // Nothing that could check a signature.
    let path = tools(&["openssl", "minisign"]);
    let output = visitor.script().env("PATH", path.path()).args(["--url", url.trim_end_matches('/')]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("error: neither minisign nor OpenSSL 3 is here"), "{said}");
    visitor.refuses(&["--channel", "nightly"], "there is no channel nightly");
    visitor.refuses(&["--url", "http://example.com"], "http://example.com is neither https:// nor on this computer");
    visitor.refuses(&["--bim", "x"], "there is no option --bim");
    visitor.refuses(&["--url", &format!("{url}nowhere")], &format!("cannot fetch {url}nowhere/VERSION"));
}

#[test]
fn the_page_tells_what_is_published_and_a_template_of_ones_own_takes_its_place() {
    let visitor = Visitor::new();
    let page = std::fs::read_to_string(visitor.repository.join("index.html")).unwrap();
    assert!(page.contains("Version <strong>1.1.0</strong>"), "{page}");
    let bundle = bundle_of(&visitor.repository, "hello", "1.1.0");
    let link = format!("href=\"targets/{}\"", bundle.file_name().unwrap().to_str().unwrap());
    assert!(page.contains(&link), "{link} in {page}");
    assert!(page.contains("from 1.0.0: "), "{page}");
    for outside in ["src=\"http", "@import", "url(http", "<link rel=\"stylesheet\""] {
        assert!(!page.contains(outside), "{outside}");
    }
    let feed = std::fs::read_to_string(visitor.repository.join("feed.xml")).unwrap();
    assert!(feed.contains("<title>hello 1.1.0</title>") && feed.contains("<title>hello 1.0.0</title>"), "{feed}");

    let app = trial_app();
    let folder = tempfile::tempdir_in(app.app.path("")).unwrap();
    let (out, templates) = (folder.path().join("out"), folder.path().join("templates"));
    let storage = format!("fs:{}", visitor.repository.display());
    app.app.cargo_updater(&["page", "--templates", templates.to_str().unwrap()]).ok();
    let taken = format!("{} is there already", templates.join("index.html").display());
    app.app.cargo_updater(&["page", "--templates", templates.to_str().unwrap()]).fails(20, &taken, "remove it");
    let arguments = ["page", "--storage", &storage, "--out", out.to_str().unwrap()];
    app.app.cargo_updater(&arguments).ok();
    assert_eq!(std::fs::read_to_string(out.join("index.html")).unwrap(), page);

    let relative = templates.strip_prefix(app.app.path("").canonicalize().unwrap()).unwrap_or(&templates);
    let line = format!("page = \"{}\"\nprofile = \"dev\"", relative.display());
    app.app.replace("Cargo.toml", "profile = \"dev\"", &line);
    std::fs::write(templates.join("index.html"), "only {{app}}\n").unwrap();
    let own = app.app.cargo_updater(&arguments);
    std::fs::write(templates.join("index.html"), "{{ap}}").unwrap();
    let wrong = app.app.cargo_updater(&["publish", "--storage", &storage]);
    app.app.replace("Cargo.toml", &line, "profile = \"dev\"");
    own.ok();
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.starts_with("only hello\n<!-- Written by cargo updater, which replaces it."), "{page}");
    let own = templates.join("index.html");
    wrong.fails(20, &format!("{} asks for `{{{{ap}}}}`", own.display()), "there are: app");
}

#[test]
fn a_page_that_was_lost_is_written_again_and_an_unchanged_one_is_left_alone() {
    let visitor = Visitor::new();
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&visitor.repository, copy.path());
    let storage = format!("fs:{}", copy.path().display());
    let page = |options: &[&str]| {
        let app = trial_app();
        app.app.cargo_updater(&[&["page", "--storage", &storage][..], options].concat()).ok()
    };
    assert!(page(&[]).stderr.contains("Unchanged"));
    std::fs::remove_file(copy.path().join("install.sh")).unwrap();
    assert!(page(&["--dry-run"]).stderr.contains("Would write install.sh"));
    assert!(!copy.path().join("install.sh").exists());
    let run = page(&["--message-format", "json"]);
    assert_eq!(run.messages("page-written")[0]["files"], serde_json::json!(["install.sh"]));
    assert!(same(copy.path(), &visitor.repository, "install.sh"));
}

fn same(one: &Path, other: &Path, file: &str) -> bool {
    std::fs::read(one.join(file)).unwrap() == std::fs::read(other.join(file)).unwrap()
}
