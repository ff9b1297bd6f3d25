//! What goes wrong at users and publishers: each time the named error, what to do next, and an app that still runs.

use crate::app::{Installed, bundle_of, finish};
use crate::package::Package;
use crate::trial_app::{Behaviour, copy_folder, trial_app};
use cargo_release_updater::context::{Clock, Prompts};
use cargo_release_updater::error::ExitCode;
use cargo_release_updater::keys::{KeyFolder, Keychain, Passwords};
use cargo_release_updater::repository::{Commit, Lease};
use cargo_release_updater::shell::{MessageFormat, Shell};
use cargo_release_updater::storage::Storage;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_format::{AppId, Channel};
use updater_tests::require;
use updater_tests::server::{Answer, TestServer};

/// An installed 1.0.0, and the repository that has 1.1.0.
fn healthy() -> (Installed, PathBuf) {
    let mut app = trial_app();
    let repository = app.with_second(Behaviour::Healthy);
    (app.app.install(&app.first, "1.0.0"), repository)
}

fn serve(repository: &Path) -> TestServer {
    let server = TestServer::start();
    server.serve_folder(repository);
    server
}

/// The program as it is now tells this error with this help, goes on as 1.0.0, and was not touched.
#[track_caller]
fn refuses(installed: &Installed, url: &str, error: &str, help: &str) {
    let before = installed.bytes();
    let run = installed.update(url).done_by("1.0.0");
    assert!(run.line("error ").starts_with(error), "{run:#?}");
    assert!(run.line("help: ").contains(help), "{run:#?}");
    assert!(installed.bytes() == before, "the program was changed");
    installed.run(&["tell"]).done_by("1.0.0");
}

/// The files of a repository as clients ask for them, and what each of them is to a client at 1.0.0.
fn published(repository: &Path) -> Vec<(String, Use)> {
    let mut files = Vec::new();
    for folder in ["metadata", "targets"] {
        for entry in std::fs::read_dir(repository.join(folder)).unwrap() {
            files.push(format!("/{folder}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    for entry in std::fs::read_dir(repository).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // The page and its scripts are not signed: what they install is checked against `VERSION`.
        let is_page = ["index.html", "feed.xml", "install.sh", "install.ps1"].contains(&name.as_str());
        if repository.join(&name).is_file() && !name.starts_with('.') && !is_page {
            files.push(format!("/{name}"));
        }
    }
    files.sort();
    // Each role at its newest number is what counts; its names sort by number here, because there are few.
    let newest = |suffix: &str| files.iter().rfind(|file| file.ends_with(suffix)).cloned().unwrap();
    let current = [".snapshot.json", ".targets.json", ".stable.json", "timestamp.json"].map(newest);
    let use_of = |file: &String| match file {
        file if current.contains(file) => Use::Needed,
        file if file.ends_with(".minisig") || file.ends_with(".root.json") => Use::ForPeople,
        file if file.starts_with("/metadata/") => Use::Superseded,
        file if file.ends_with(".patch") => Use::Route,
        file if file.contains("hello-1.1.0-") => Use::LastRoute,
        _ => Use::ForPeople,
    };
    files.iter().map(|file| (file.clone(), use_of(file))).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Metadata that every check goes through.
    Needed,
    /// Metadata of an earlier state.
    Superseded,
    /// The patch, which is tried first.
    Route,
    /// The bundle, which is tried when the patch fails.
    LastRoute,
    /// Not read by this client, but by new ones, by people with their own tools, or by `verify`.
    ForPeople,
}

#[test]
fn one_changed_byte_in_any_published_file_is_noticed() {
    let (_, repository) = healthy();
    let files = published(&repository);
    assert_eq!(files.iter().filter(|(_, what)| *what == Use::Needed).count(), 4, "{files:?}");
    assert!(files.iter().any(|(file, _)| file == "/VERSION"), "{files:?}");
    let patch = files.iter().find(|(_, what)| *what == Use::Route).unwrap().0.clone();
    for (file, what) in &files {
        let good = std::fs::read(repository.join(&file[1..])).unwrap();
        let places = match what {
            Use::Needed => vec![0, good.len() / 2, good.len() - 1],
            // Its middle is the comment of a signature, which nobody signs.
            _ if file == "/VERSION" => vec![0, good.len() / 4, good.len() - 1],
            _ => vec![good.len() / 2],
        };
        for place in places {
            println!("{file}, byte {place} of {}", good.len());
            let mut bytes = good.clone();
            bytes[place] ^= 1;
            let server = serve(&repository);
            server.put(file, bytes.clone());
            let (installed, _) = healthy();
            match what {
                Use::Needed => refuses(&installed, &server.url("/"), "metadata-refused: ", "nothing of it was used"),
                Use::Route => {
                    let run = installed.update(&server.url("/")).done_by("1.1.0");
                    assert!(run.stdout.contains(".patch did not work: ") && run.stdout.contains("sha256"), "{run:#?}");
                }
                Use::LastRoute => {
                    server.set(&patch, Answer::Status(404, Vec::new()));
                    refuses(&installed, &server.url("/"), "no-route: no way to version 1.1.0 worked (2 tried)", "");
                }
                Use::Superseded | Use::ForPeople => drop(installed.update(&server.url("/")).done_by("1.1.0")),
            }
            // The publisher's own look finds it whether this client reads the file or not.
            if *what != Use::Superseded {
                let changed = tempfile::tempdir().unwrap();
                copy_folder(&repository, changed.path());
                std::fs::write(changed.path().join(&file[1..]), &bytes).unwrap();
                let run = trial_app().app.cargo_updater(&["verify", changed.path().to_str().unwrap()]);
                assert_eq!(run.code, 50, "{file}: {} {}", run.stdout, run.stderr);
                assert!(run.stderr.contains("  help: "), "{}", run.stderr);
            }
        }
    }
}

#[test]
fn a_missing_file_is_told_by_its_name_and_where_there_is_another_way_it_is_taken() {
    let (_, repository) = healthy();
    let files = published(&repository);
    let patch = files.iter().find(|(_, what)| *what == Use::Route).unwrap().0.clone();
    for (file, what) in &files {
        println!("{file}");
        let server = serve(&repository);
        server.set(file, Answer::Status(404, b"<html>not here</html>".to_vec()));
        let (installed, _) = healthy();
        match what {
            Use::Needed => {
                let error = format!("fetch-not-found: {} does not exist", server.url(file));
                refuses(&installed, &server.url("/"), &error, "publisher");
            }
            Use::LastRoute => {
                server.set(&patch, Answer::Status(404, Vec::new()));
                refuses(&installed, &server.url("/"), "no-route: no way to version 1.1.0 worked (2 tried)", "");
            }
            Use::Route => drop(installed.update(&server.url("/")).done_by("1.1.0").tells(".patch did not work: ")),
            Use::Superseded | Use::ForPeople => drop(installed.update(&server.url("/")).done_by("1.1.0")),
        }
    }
}

#[test]
fn a_repository_that_somebody_else_has_signed_is_refused() {
    let (installed, _) = healthy();
    let foreign = Package::new();
    foreign.run(&["init", "--dev", "--storage", "fs:repository"]).ok();
    let program = foreign.path("dist/hello");
    std::fs::create_dir(foreign.path("dist")).unwrap();
    std::fs::copy(&installed.program, &program).unwrap();
    foreign.run(&["publish", "--from-dir", "dist", "--version", "9.0.0", "--level", "1"]).ok();
    let server = serve(&foreign.path("repository"));
    refuses(&installed, &server.url("/"), "metadata-refused: ", "nothing of it was used");

    // The publisher without the right key hears which one it is and where it was looked for.
    let app = trial_app();
    let before = published(&app.first);
    let (storage, keys) = (format!("fs:{}", app.first.display()), foreign.keys().join("development"));
    let run = app.at("1.1.0", Behaviour::Healthy, || {
        app.app.cargo_updater(&["publish", "--storage", &storage, "--key-dir", keys.to_str().unwrap()])
    });
    assert!(run.stderr.contains(keys.to_str().unwrap()), "{}", run.stderr);
    run.fails(40, "", "");
    assert_eq!(published(&app.first), before);
}

#[test]
fn a_server_that_cannot_be_reached_is_no_error() {
    let (installed, _) = healthy();
    // A port on which nobody listens any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let before = installed.bytes();
    installed.update(&url).done_by("1.0.0").tells("no update: offline: ");
    assert!(installed.bytes() == before && !installed.hidden().exists());
}

#[test]
fn a_full_disk_leaves_the_old_version_and_the_update_works_when_there_is_space() {
    if !require::root("mounting a small file system") {
        return;
    }
    let (sample, repository) = healthy();
    let length = sample.bytes().len();
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // The program fits once and a half.
    let Some(mount) = Mount::tmpfs(&bin, length * 3 / 2) else { return };
    let installed = {
        let app = trial_app();
        app.app.install_in(folder, &app.first, "1.0.0")
    };
    let server = serve(&repository);
    refuses(&installed, &server.url("/"), "apply-no-space: ", "free some space");
    assert_eq!(installed.bytes(), sample.bytes());
    mount.resize(length * 6);
    installed.update(&server.url("/")).done_by("1.1.0");
    drop(mount);
}

/// A small file system in memory.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(path: &Path, bytes: usize) -> Option<Self> {
        let size = format!("size={bytes},mode=0755");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).status();
        match status {
            Ok(status) if status.success() => Some(Self(path.to_owned())),
            _ => {
                let _ = require::absent("mounting a tmpfs", "a container that may mount");
                None
            }
        }
    }

    fn resize(&self, bytes: usize) {
        let size = format!("remount,size={bytes}");
        assert!(Command::new("mount").args(["-o", &size]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_folder_that_this_user_may_not_write_is_named() {
    let (installed, repository) = healthy();
    let server = serve(&repository);
    let before = installed.bytes();
    let mode = |path: &str, mode| {
        std::fs::set_permissions(installed.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut command = installed.command(&["update"]);
    if require::root("a user who may not write the folder of another") {
        if !require::command("setpriv", "apt-get install util-linux") {
            return;
        }
        // Somebody else's folder, as /usr/local/bin is.
        mode("", 0o755);
        std::os::unix::fs::chown(installed.path("home"), Some(NOBODY), Some(NOBODY)).unwrap();
        command = Command::new("setpriv");
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]).arg(&installed.program).arg("update");
        command.env_clear().env("HOME", installed.path("home")).env("PATH", "/usr/bin:/bin").current_dir("/");
    } else {
        mode("bin", 0o555);
    }
    let run = finish(command.env("TRIAL_URL", server.url("/"))).done_by("1.0.0");
    let folder = installed.path("bin").canonicalize().unwrap();
    let told =
        format!("1.1.0 is out, but {} is not writable by this user: run the update as the user who", folder.display());
    assert!(run.line("no update: ").starts_with(&told), "{run:#?}");
    // Nothing was downloaded in vain.
    assert!(!server.log().iter().any(|request| request.target.starts_with("/targets/")));
    mode("bin", 0o755);
    assert!(installed.bytes() == before && !installed.hidden().exists());
}

#[test]
fn a_version_that_is_not_greater_is_refused_before_anything_is_built() {
    let mut app = trial_app();
    let repository = app.with_second(Behaviour::Healthy);
    let storage = format!("fs:{}", repository.display());
    let before = published(&repository);
    let run = app.at("1.0.1", Behaviour::Healthy, || app.app.cargo_updater(&["publish", "--storage", &storage]));
    assert!(!run.stderr.contains("Compiling") && !run.stderr.contains("Bundling"), "{}", run.stderr);
    run.fails(20, "version 1.0.1 is not greater than 1.1.0", "raise the version above 1.1.0");
    // The same version with other content: whoever has it already would never get the difference.
    let run = app
        .at("1.1.0", Behaviour::Aborts, || app.app.cargo_updater(&["publish", "--level", "1", "--storage", &storage]));
    run.fails(60, "1.1.0 is published in channel `stable` already with another", "raise `version` in Cargo.toml");
    assert_eq!(published(&repository), before);
    // A client that is newer than what is published stays as it is.
    let installed = app.app.install(&repository, "1.1.0");
    let server = serve(&app.first);
    drop(app);
    installed.update(&server.url("/")).done_by("1.1.0").tells("no update: 1.1.0 is the newest version");
}

#[test]
fn a_program_without_the_runtime_is_not_published_before_that_is_said() {
    let package = Package::new();
    package.run(&["init", "--dev", "--storage", "fs:repository"]).ok();
    std::fs::create_dir(package.path("dist")).unwrap();
    let publish = |version: &str| {
        let program = package.path("dist/hello");
        std::fs::write(&program, format!("#!/bin/sh\necho this is {version}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        package.run(&["publish", "--from-dir", "dist", "--version", version])
    };
    publish("1.0.0").ok();
    let before = published(&package.path("repository"));
    publish("1.1.0").fails(30, "the update from 1.0.0 to 1.1.0 does not work", "set `probe = false` in its table");
    assert_eq!(published(&package.path("repository")), before);
    package.write("Cargo.toml", &package.read("Cargo.toml").replace("\nurl = ", "\nprobe = false\nurl = "));
    publish("1.1.0").ok();
}

#[test]
fn an_unknown_key_in_the_table_stops_the_build_and_every_command() {
    let app = trial_app();
    app.app.replace("Cargo.toml", "profile = \"dev\"", "chanel = \"beta\"\nprofile = \"dev\"");
    let runs = [&["status"][..], &["publish"], &["bundle"]].map(|arguments| app.app.cargo_updater(arguments));
    let build = app.app.cargo(&["build"]);
    app.app.replace("Cargo.toml", "chanel = \"beta\"\n", "");
    for run in runs {
        run.fails(20, "unknown key `chanel`", "did you mean `channel`?");
    }
    assert!(!build.status.success(), "{build:#?}");
    let told = &build.stderr;
    assert!(told.contains("unknown key `chanel`") && told.contains("did you mean `channel`?"), "{told}");
}

#[test]
fn a_name_with_a_slash_is_refused_by_publisher_and_client() {
    let package = Package::new();
    for arguments in [
        &["init", "--dev", "--app", "a/b"][..],
        &["init", "--dev", "--channel", "../beta"],
        &["keys", "new", "a/b", "--no-password"],
        &["bundle", "--from-dir", "src", "--version", "1.0.0", "--app", "a/b"],
    ] {
        let run = package.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("a/b") || run.stderr.contains("../beta"), "{}", run.stderr);
    }

    // A publisher's key that fell into the wrong hands signs a name that leads out of the folder.
    let (installed, repository) = healthy();
    let changed = tempfile::tempdir().unwrap();
    copy_folder(&repository, changed.path());
    let app = trial_app();
    let storage = Storage::open_folder(changed.path(), "fs:changed").unwrap();
    let mut keychain = Keychain::open(KeyFolder::at(app.app.keys()), Passwords::none(Prompts::Never)).unwrap();
    let [root, targets] =
        ["root", "targets"].map(|role| std::fs::read(app.app.path(&format!("updater/{role}.json"))).unwrap());
    let mut commit = Commit {
        storage: &storage,
        app: &AppId::parse("hello").unwrap(),
        root: &root,
        targets: &targets,
        earlier: &[],
        keychain: &mut keychain,
        now: Clock::System.now(),
        lease: Lease::default(),
        shell: &Shell::captured(MessageFormat::Human),
    };
    let name = bundle_of(&repository, "hello", "1.1.0").file_name().unwrap().to_str().unwrap()[65..].to_owned();
    let outcome = commit.publish(&Channel::stable(), |role, _| {
        let bundle = role.targets.remove(&name).unwrap();
        role.targets.retain(|_, file| file.custom.as_ref().is_some_and(|custom| custom["kind"] != "patch"));
        role.targets.insert(format!("../../bin/{name}"), bundle);
        Ok(())
    });
    drop(app);
    // Reading back what was written, the publisher refuses it too.
    assert!(matches!(&outcome, Err(error) if error.code == ExitCode::Verification), "{outcome:?}");
    let server = serve(changed.path());
    refuses(&installed, &server.url("/"), "metadata-refused: ", "nothing of it was used");
}

#[test]
fn without_a_home_the_state_lies_beside_the_program() {
    let (installed, repository) = healthy();
    let server = serve(&repository);
    for home in [None, Some(""), Some("relative/home")] {
        let (installed, _) = healthy();
        let mut command = installed.command(&["update"]);
        command.env_remove("HOME").env("TRIAL_URL", server.url("/"));
        if let Some(home) = home {
            command.env("HOME", home);
        }
        finish(&mut command).done_by("1.1.0");
        assert!(installed.hidden().join("state/metadata/timestamp.json").exists(), "{home:?}");
        finish(installed.command(&["confirm"]).env_remove("HOME")).done_by("1.1.0").tells("confirmed: Ok(true)");
    }
    // A home that cannot be made, as that of a service: /proc is no place for files, whoever asks.
    let mut command = installed.command(&["update"]);
    let run = finish(command.env("HOME", "/proc/nonexistent").env("TRIAL_URL", server.url("/"))).done_by("1.0.0");
    assert!(run.line("error ").starts_with("metadata-store: "), "{run:#?}");
    assert!(!run.line("help: ").is_empty());
}

#[test]
fn a_damaged_state_folder_costs_a_download_or_is_named() {
    let (_, repository) = healthy();
    let first = trial_app().first.clone();
    for damage in [garbage as fn(&Installed), truncated, folders, file_for_folder] {
        let (installed, _) = healthy();
        let server = serve(&first);
        installed.update(&server.url("/")).done_by("1.0.0").tells("no update: 1.0.0 is the newest version");
        assert!(installed.state().join("metadata/timestamp.json").exists());
        damage(&installed);
        server.serve_folder(&repository);
        let run = installed.update(&server.url("/"));
        // What is no longer a folder of files is nobody's to remove but its owner's. The error leads there.
        if installed.state().is_file() || installed.state().join("metadata/root.json").is_dir() {
            let run = run.done_by("1.0.0");
            let error = run.line("error ");
            assert!(error.starts_with("metadata-store: "), "{run:#?}");
            assert!(error.contains(installed.state().to_str().unwrap()), "{run:#?}");
            assert!(run.line("help: ").starts_with("check the file system"), "{run:#?}");
            remove(&installed.state());
            installed.update(&server.url("/")).done_by("1.1.0");
        } else {
            run.done_by("1.1.0");
        }
    }
}

fn remove(path: &Path) {
    match path.is_dir() {
        true => std::fs::remove_dir_all(path).unwrap(),
        false => std::fs::remove_file(path).unwrap(),
    }
}

fn state_files(installed: &Installed) -> Vec<PathBuf> {
    let files = std::fs::read_dir(installed.state().join("metadata")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.is_file()).collect();
    assert!(files.len() >= 5, "{files:?}");
    files
}

fn garbage(installed: &Installed) {
    state_files(installed).iter().for_each(|file| std::fs::write(file, b"\xff\0garbage{").unwrap());
}

fn truncated(installed: &Installed) {
    for file in state_files(installed) {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    }
}

/// Folders where the files should be.
fn folders(installed: &Installed) {
    for file in state_files(installed) {
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
    }
}

fn file_for_folder(installed: &Installed) {
    std::fs::remove_dir_all(installed.state()).unwrap();
    std::fs::write(installed.state(), "not a folder").unwrap();
}

#[test]
fn a_damaged_journal_does_not_stop_the_app() {
    for journal in [&b"\xff\0garbage{"[..], b"", b"{\"format\":99,\"phase\":\"dancing\"}"] {
        let (installed, repository) = healthy();
        std::fs::create_dir(installed.hidden()).unwrap();
        std::fs::write(installed.hidden().join("state.json"), journal).unwrap();
        installed.run(&["tell"]).done_by("1.0.0");
        let server = serve(&repository);
        let run = installed.update(&server.url("/"));
        if journal.starts_with(b"{") {
            // Written by a later version: not ours to touch, and said so.
            let run = run.done_by("1.0.0");
            assert!(run.line("error ").starts_with("install-journal: "), "{run:#?}");
            assert!(run.line("help: ").contains("newer version"), "{run:#?}");
        } else {
            run.done_by("1.1.0");
        }
    }
}

/// The user `nobody` of Linux.
const NOBODY: u32 = 65534;
