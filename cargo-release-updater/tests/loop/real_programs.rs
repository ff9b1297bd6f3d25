//! Two published releases of programs that nobody here wrote, from files on disk to an installed copy that was updated.
//!
//! The programs do not contain the runtime: they are updated from outside by an explicit [`Config`], and not probed.

use crate::package::Package;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_format::{AppId, FilePath, Platform, ReleaseVersion};
use updater_runtime::transport::ProxyChoice;
use updater_runtime::{Config, Error, Event, Installed, NoUpdate, Status, Updater};
use updater_tests::corpus;
use updater_tests::server::{Answer, LoggedRequest, TestServer};

/// Two releases of one app, published by the command from two folders.
struct Published {
    package: Package,
    app: &'static str,
    versions: [&'static str; 2],
    /// What `diff` said.
    told: String,
}

/// A copy of the old release, as somebody unpacked it: no state, no cache.
struct Install {
    folder: tempfile::TempDir,
    root: PathBuf,
    entry: Option<&'static str>,
}

impl Published {
    /// Publishes `old`, then takes `new` through every step by its own command.
    fn new(app: &'static str, versions: [&'static str; 2], old: &Path, new: &Path, entry: &[&str]) -> Self {
        let package = Package::new();
        package.run(&["init", "--dev", "--app", app, "--storage", "fs:repository"]).ok();
        let manifest = package.read("Cargo.toml").replace("\nurl = ", "\nprobe = false\nurl = ");
        package.write("Cargo.toml", &manifest);
        let [from, to] = versions;
        let source = |folder: &Path, version: &str| -> Vec<String> {
            ["--from-dir", folder.to_str().unwrap(), "--version", version, "--level", "6"]
                .iter()
                .chain(entry)
                .map(|&word| word.to_owned())
                .collect()
        };
        let run = |command: &str, arguments: &[String]| {
            let words: Vec<&str> = [command].into_iter().chain(arguments.iter().map(String::as_str)).collect();
            package.run(&words).ok()
        };
        run("publish", &source(old, from));
        let version = ["--version".to_owned(), to.to_owned()];
        run("bundle", &source(new, to));
        let told = run("diff", &version).stderr;
        run("sign", &version);
        run("rehearse", &[]);
        let done = run("publish", &source(new, to));
        assert!(done.stderr.contains(&format!("Published {app} {to} in stable")), "{}", done.stderr);
        Self { package, app, versions, told }
    }

    fn repository(&self) -> PathBuf {
        self.package.path("repository")
    }

    /// Returns the published file whose name ends so, as a path that clients ask for.
    fn target(&self, suffix: &str) -> String {
        let names = std::fs::read_dir(self.repository().join("targets")).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let name = names.find(|name| name.ends_with(suffix)).unwrap_or_else(|| panic!("no file ends in {suffix}"));
        format!("/targets/{name}")
    }

    fn patch(&self) -> String {
        let [from, to] = self.versions;
        self.target(&format!("{from}-to-{to}-{PLATFORM}.patch"))
    }

    fn bundle(&self) -> String {
        self.target(&format!("-{}-{PLATFORM}.tar.xz", self.versions[1]))
    }

    fn bytes_of(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.repository().join(path.trim_start_matches('/'))).unwrap()
    }

    /// Serves the repository, with one byte in the middle of these files changed.
    fn serve(&self, corrupt: &[&str]) -> TestServer {
        let server = TestServer::start();
        server.serve_folder(self.repository());
        for path in corrupt {
            let mut bytes = self.bytes_of(path);
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            server.set(path, Answer::File(bytes));
        }
        server
    }

    fn updater(&self, install: &Install, version: &str, server: &TestServer) -> Updater {
        let root = std::fs::read(self.package.path("updater/root.json")).unwrap();
        let version = ReleaseVersion::parse(version).unwrap();
        let (app, platform) = (AppId::parse(self.app).unwrap(), Platform::parse(PLATFORM).unwrap());
        let config = Config::new(app, version, platform, root, &server.url("/")).unwrap();
        let config = match install.entry {
            None => config.with_executable(&install.root),
            Some(entry) => config.with_directory(&install.root, FilePath::parse(entry).unwrap()),
        };
        let config = config.with_probe(None).with_state_dir(install.state()).with_proxy(ProxyChoice::Direct);
        Updater::new(config).unwrap()
    }

    /// Updates a fresh copy and tells what happened on the way.
    fn update(&self, install: &Install, server: &TestServer) -> Result<(Installed, Vec<Event>), Error> {
        assert!(!install.state().exists() && !install.hidden().exists(), "not a fresh install");
        let Status::Available(update) = self.updater(install, self.versions[0], server).check()? else {
            panic!("no update");
        };
        assert_eq!(update.version().to_string(), self.versions[1]);
        let mut events = Vec::new();
        let staged = update.download_with_events(|_| {}, |event| events.push(event.clone()))?;
        Ok((staged.install()?, events))
    }

    /// The new release is current, and once it is confirmed nothing of the old one is left.
    fn assert_settled(&self, install: &Install, server: &TestServer) {
        let updater = self.updater(install, self.versions[1], server);
        assert!(updater.confirm().unwrap());
        assert!(!install.hidden().exists());
        match updater.check().unwrap() {
            Status::NoUpdate(NoUpdate::Current { version }) => assert_eq!(version.to_string(), self.versions[1]),
            other => panic!("{other:?}"),
        }
    }
}

impl Install {
    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Returns the hidden folder beside the install.
    fn hidden(&self) -> PathBuf {
        let name = format!(".{}.updater", self.root.file_name().unwrap().to_str().unwrap());
        self.root.with_file_name(name)
    }

    fn executable(program: &Path, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(name);
        copy_program(program, &root);
        Self { folder, root, entry: None }
    }
}

/// The events of an update in few words.
fn told(events: &[Event]) -> Vec<String> {
    let told = events.iter().map(|event| match event {
        Event::RouteChosen { name, bytes, .. } => format!("chosen {name} {bytes}"),
        Event::RouteFailed { name, .. } => format!("failed {name}"),
        Event::Staged { version } => format!("staged {version}"),
        other => format!("{other:?}"),
    });
    told.collect()
}

/// What was downloaded below `/targets/`, with the bytes that were sent.
fn downloads(log: &[LoggedRequest]) -> Vec<(String, usize)> {
    let targets = log.iter().filter(|request| request.target.starts_with("/targets/"));
    targets.map(|request| (request.target.clone(), request.body_bytes)).collect()
}

/// Returns the published name behind a path: `/targets/<sha256>.<name>`.
fn name(path: &str) -> &str {
    path.trim_start_matches("/targets/").split_once('.').unwrap().1
}

fn copy_program(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// By patch while the bundle is damaged, so that only a patch that works can pass; then by the bundle, in the same run,
/// while the patch is damaged.
fn an_executable_goes_both_ways(pair: &str, app: &'static str) {
    let Some(files) = corpus::fetch(pair) else { return };
    let source = tempfile::tempdir().unwrap();
    let [old, new] = [("old", &files.old), ("new", &files.new)].map(|(name, program)| {
        copy_program(program, &source.path().join(name).join(app));
        source.path().join(name)
    });
    let published = Published::new(app, [files.pair.old, files.pair.new], &old, &new, &[]);
    let (patch, bundle) = (published.patch(), published.bundle());
    let (patch_bytes, bundle_bytes) = (published.bytes_of(&patch).len(), published.bytes_of(&bundle).len());
    println!("{app}: a patch of {patch_bytes} bytes, a bundle of {bundle_bytes}");
    let expected = std::fs::read(&files.new).unwrap();

    let install = Install::executable(&files.old, app);
    let server = published.serve(&[&bundle]);
    let (_, events) = published.update(&install, &server).unwrap();
    let to = files.pair.new;
    assert_eq!(told(&events), [format!("chosen {} {patch_bytes}", name(&patch)), format!("staged {to}")]);
    assert_eq!(downloads(&server.log()), [(patch.clone(), patch_bytes)]);
    assert!(std::fs::read(&install.root).unwrap() == expected, "not the published file");
    assert_eq!(install.root.metadata().unwrap().mode() & 0o7777, 0o755);
    let output = Command::new(&install.root).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(to), "{output:?}");
    published.assert_settled(&install, &server);

    let install = Install::executable(&files.old, app);
    let server = published.serve(&[&patch]);
    let (_, events) = published.update(&install, &server).unwrap();
    assert_eq!(
        told(&events),
        [
            format!("chosen {} {patch_bytes}", name(&patch)),
            format!("failed {}", name(&patch)),
            format!("chosen {} {bundle_bytes}", name(&bundle)),
            format!("staged {to}"),
        ]
    );
    let Event::RouteFailed { why, .. } = &events[1] else { panic!("{events:?}") };
    assert!(why.contains("sha256"), "{why}");
    assert_eq!(downloads(&server.log()), [(patch.clone(), patch_bytes), (bundle.clone(), bundle_bytes)]);
    assert!(std::fs::read(&install.root).unwrap() == expected, "not the published file");

    // Both damaged: told with the way that was tried last, and the old program is untouched.
    let install = Install::executable(&files.old, app);
    let error = published.update(&install, &published.serve(&[&patch, &bundle])).unwrap_err();
    assert!(matches!(&error, Error::NoRoute { tried: 2, .. }), "{error:?}");
    assert!(std::fs::read(&install.root).unwrap() == std::fs::read(&files.old).unwrap());
}

#[test]
fn just_is_updated_by_patch_and_when_that_is_damaged_by_the_bundle() {
    an_executable_goes_both_ways("just-x64", "just");
}

#[test]
fn taplo_is_updated_by_patch_and_when_that_is_damaged_by_the_bundle() {
    an_executable_goes_both_ways("taplo-x64", "taplo");
}

#[test]
fn ruff_too() {
    // 31 MB: a minute of one processor and 500 MB for the patch alone.
    match std::env::var_os("UPDATER_LARGE_PROGRAMS") {
        Some(_) => an_executable_goes_both_ways("ruff-x64", "ruff"),
        None => eprintln!("not asked for: UPDATER_LARGE_PROGRAMS=1 runs it"),
    }
}

#[test]
fn a_rewritten_program_goes_by_the_bundle_and_that_is_said() {
    // Another program under the same name: hardly anything of the old one is of use.
    let (Some(before), Some(after)) = (corpus::fetch("rustworkx-x64"), corpus::fetch("just-x64")) else { return };
    let source = tempfile::tempdir().unwrap();
    let [old, new] = [("old", &before.old), ("new", &after.new)].map(|(name, program)| {
        copy_program(program, &source.path().join(name).join("app"));
        source.path().join(name)
    });
    let published = Published::new("app", ["1.0.0", "2.0.0"], &old, &new, &[]);
    assert!(published.told.contains("note: no patch 1.0.0 -> 2.0.0: it would have "), "{}", published.told);
    let (bundle, install) = (published.bundle(), Install::executable(&before.old, "app"));
    let server = published.serve(&[]);
    let (_, events) = published.update(&install, &server).unwrap();
    let Event::RouteChosen { why, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(why, "no patch leads here from the installed version");
    assert_eq!(downloads(&server.log()), [(bundle.clone(), published.bytes_of(&bundle).len())]);
    assert!(std::fs::read(&install.root).unwrap() == std::fs::read(&after.new).unwrap());
    published.assert_settled(&install, &server);
}

/// What lies at each path of a tree.
#[derive(Debug, PartialEq, Eq)]
enum Node {
    Folder,
    Link(PathBuf),
    /// Mode and content.
    File(u32, Vec<u8>),
}

fn tree(root: &Path) -> BTreeMap<PathBuf, Node> {
    let mut nodes = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let node = if metadata.is_dir() {
                folders.push(path.clone());
                Node::Folder
            } else if metadata.is_symlink() {
                Node::Link(path.read_link().unwrap())
            } else {
                Node::File(metadata.mode() & 0o7777, std::fs::read(&path).unwrap())
            };
            nodes.insert(path.strip_prefix(root).unwrap().to_owned(), node);
        }
    }
    nodes
}

/// Writes a release of several files: two real ones that change, one that moves, one that goes, links and modes.
fn write_tree(root: &Path, program: &Path, library: &Path, release: usize) {
    let file = |path: &str, mode: u32, content: &[u8]| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let library_path = ["v0/work.so", "v1/work.so"][release];
    file("bin/just", 0o755, &std::fs::read(program).unwrap());
    file(&format!("lib/{library_path}"), 0o644, &std::fs::read(library).unwrap());
    file("libexec/helper", 0o755, format!("#!/bin/sh\necho helper {release}\n").as_bytes());
    file(
        ["LICENCE", "share/doc/LICENCE"][release],
        0o644,
        "Anybody may do anything with this.\n".repeat(100).as_bytes(),
    );
    file(["share/old-name.txt", "share/näme with spaces.txt"][release], 0o644, b"text\n");
    symlink(library_path, root.join("lib/work.so")).unwrap();
    symlink("../bin/just", root.join("lib/just")).unwrap();
}

#[test]
fn a_folder_with_several_files_modes_and_links_is_updated_by_patch_and_by_bundle() {
    let (Some(program), Some(library)) = (corpus::fetch("just-x64"), corpus::fetch("rustworkx-x64")) else { return };
    let source = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| source.path().join(name));
    write_tree(&old, &program.old, &library.old, 0);
    write_tree(&new, &program.new, &library.new, 1);
    let entry = ["--kind", "directory", "--entry", "bin/just"];
    let published = Published::new("workshop", ["1.0.0", "1.1.0"], &old, &new, &entry);
    let (patch, bundle) = (published.patch(), published.bundle());
    let (patch_bytes, bundle_bytes) = (published.bytes_of(&patch).len(), published.bytes_of(&bundle).len());
    println!("workshop: a patch of {patch_bytes} bytes, a bundle of {bundle_bytes}");
    // People and package tools unpack a bundle by the tools of their system.
    let bundles = [published.target("-1.0.0-x86_64-unknown-linux-gnu.tar.xz"), bundle.clone()];
    let [first, expected] = bundles.map(|bundle| {
        let folder = tempfile::tempdir().unwrap();
        let archive = published.repository().join(bundle.trim_start_matches('/'));
        let (reader, root) = (std::fs::File::open(archive).unwrap(), folder.path().join("workshop"));
        std::fs::create_dir(&root).unwrap();
        let mut archive = tar::Archive::new(xz2::read::XzDecoder::new(reader));
        archive.set_preserve_permissions(true);
        archive.unpack(&root).unwrap();
        (folder, root)
    });
    let mut published_tree = tree(&expected.1);
    published_tree.remove(Path::new(updater_format::MANIFEST_PATH)).unwrap();
    assert_eq!(published_tree.keys().collect::<Vec<_>>(), tree(&new).keys().collect::<Vec<_>>());
    assert!(published_tree == tree(&new), "the bundle is not the folder");

    for (corrupt, ways) in
        [(&bundle, vec![(&patch, patch_bytes)]), (&patch, vec![(&patch, patch_bytes), (&bundle, bundle_bytes)])]
    {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("workshop");
        let status = Command::new("cp").arg("-a").arg(&first.1).arg(&root).status().unwrap();
        assert!(status.success());
        std::fs::write(root.join("notes of the user.txt"), "mine").unwrap();
        let install = Install { folder, root, entry: Some("bin/just") };
        let server = published.serve(&[corrupt]);
        let (_, events) = published.update(&install, &server).unwrap();
        let chosen: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::RouteChosen { name, .. } => Some(name.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(chosen, ways.iter().map(|(path, _)| name(path)).collect::<Vec<_>>());
        let asked: Vec<_> = ways.iter().map(|(path, bytes)| ((*path).clone(), *bytes)).collect();
        assert_eq!(downloads(&server.log()), asked);
        let mut installed = tree(&install.root);
        let mine = installed.remove(Path::new("notes of the user.txt"));
        assert_eq!(mine, Some(Node::File(0o644, b"mine".to_vec())));
        assert!(installed == tree(&expected.1), "installed: {:?}", installed.keys().collect::<Vec<_>>());
        published.assert_settled(&install, &server);
    }
}

/// The triple of the programs, and of the machine that runs this test.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
