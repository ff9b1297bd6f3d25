//! The page in a real browser, and the installer as shellcheck sees it.

use cargo_release_updater::page::{
    Download, INDEX, INSTALL_PS1, INSTALL_SH, Listed, Offer, PatchSize, Release, Site, Templates, render,
};
use std::process::Command;
use updater_format::{Channel, InstallKind, Sha256, UtcTime};
use updater_tests::server::TestServer;
use updater_tests::{peers, require, workspace};

/// An app for six systems with five releases in one channel and one in another.
fn site(url: &str) -> Site {
    let release = |version: &str, days: i64, from: &[&str]| Release {
        version: version.parse().unwrap(),
        released: Some(UtcTime::from_unix(1_790_000_000 + days * 86_400)),
        offer: Offer::Everybody,
        notes: Some(
            "<p><strong>Fixed</strong></p>\n<ul>\n<li>a slow start, see \
             <a href=\"https://example.com/issues/1\">the report</a></li>\n<li><code>--a-very-long-option-that-\
             nobody-would-want-to-break-but-a-narrow-window-has-to=value</code></li>\n</ul>\n"
                .to_owned(),
        ),
        downloads: PLATFORMS.iter().zip(1..).map(|(platform, n)| download(platform, n, version, from)).collect(),
    };
    let listed = |channel: &str, releases| Listed {
        channel: channel.parse::<Channel>().unwrap(),
        keys: vec!["RWRa0ip38kSaMpz1ih/xhXBDzxo9cSdI0NisdMP5QQDuTuE8ConkeOj/".to_owned()],
        expires: UtcTime::from_unix(1_800_000_000),
        releases,
    };
    let mut stopped = release("2.1.0", 4, &["2.0.0", "1.9.3"]);
    stopped.offer = Offer::Part;
    let mut withdrawn = release("1.9.3", 2, &["1.9.2"]);
    withdrawn.offer = Offer::Nobody;
    let stable = vec![stopped, release("2.0.0", 3, &["1.9.3", "1.9.2"]), withdrawn, release("1.9.2", 1, &[])];
    Site {
        app: "hello".parse().unwrap(),
        description: Some("Says hello, in more languages than anybody asked for".to_owned()),
        homepage: Some("https://example.com/hello".to_owned()),
        url: url.trim_end_matches('/').to_owned(),
        files: None,
        channels: vec![listed("stable", stable), listed("beta", vec![release("2.1.0-beta.1", 4, &["2.0.0"])])],
    }
}

fn download(platform: &str, number: u64, version: &str, from: &[&str]) -> Download {
    let name = format!("hello-{version}-{platform}.tar.xz");
    let sha256 = Sha256::of(name.as_bytes());
    Download {
        platform: platform.parse().unwrap(),
        path: format!("targets/{sha256}.{name}"),
        signature: format!("targets/{sha256}.{name}.minisig"),
        name,
        length: 4_000_000 + 300_000 * number,
        sha256,
        kind: InstallKind::Executable,
        libc: platform.ends_with("gnu").then(|| "2.31".to_owned()),
        patches: from
            .iter()
            .zip(1..)
            .map(|(from, age)| PatchSize { from: from.parse().unwrap(), length: 90_000 * age * number })
            .collect(),
    }
}

const PLATFORMS: [&str; 6] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
];

/// Finds Chromium.
fn chromium() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let runs = |name: &&&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let found = names.iter().find(runs).copied();
    found.or_else(|| require::absent("chromium", "apt-get install chromium").then_some("chromium"))
}

#[test]
fn the_page_works_in_a_browser() {
    let Some(chromium) = chromium() else { return };
    let Some(modules) = peers::node_modules(&["playwright-core@1.65.1", "axe-core@4.14.0"]) else { return };
    let server = TestServer::start();
    let url = server.url("/");
    for file in render(&site(&url), &Templates::default()).unwrap() {
        let kind = if file.path == INDEX { "text/html" } else { "application/octet-stream" };
        let path = if file.path == INDEX { "/".to_owned() } else { format!("/{}", file.path) };
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        server.set(&path, updater_tests::server::Answer::WithHeaders(headers, file.text.into_bytes()));
    }
    let pictures = workspace().join("target/page-pictures");
    std::fs::create_dir_all(&pictures).unwrap();
    let output = Command::new("node")
        .arg(workspace().join("tests/browser/page.js"))
        .arg(&modules)
        .arg(which(chromium))
        .arg(&url)
        .arg(&pictures)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.trim() == "no faults",
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Returns the whole path of a program.
fn which(name: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap()
}

#[test]
fn shellcheck_finds_nothing_in_the_installer() {
    if !require::command("shellcheck", "apt-get install shellcheck") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files = render(&site("https://example.com/hello"), &Templates::default()).unwrap();
    let script = files.iter().find(|file| file.path == INSTALL_SH).unwrap();
    let path = folder.path().join(INSTALL_SH);
    std::fs::write(&path, &script.text).unwrap();
    let output = Command::new("shellcheck").args(["--shell=sh", "--severity=style"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // A check that finds nothing in anything would pass, too.
    std::fs::write(&path, script.text.replacen("rm -f -- \"$bin/$app\"", "rm -f -- $bin/$app", 1)).unwrap();
    let output = Command::new("shellcheck").args(["--shell=sh", "--severity=style"]).arg(&path).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("SC2086"), "{output:?}");
}

#[test]
fn the_installer_for_windows_is_powershell() {
    let Some(python) = peers::powershell_grammar() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = render(&site("https://example.com/hello"), &Templates::default()).unwrap();
    let script = files.iter().find(|file| file.path == INSTALL_PS1).unwrap();
    let path = folder.path().join(INSTALL_PS1);
    let fits = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let look = workspace().join("tests/browser/powershell.py");
        let output = Command::new(&python).arg(look).arg(&path).output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(fits(&script.text), (true, "\n".to_owned()));
    // A check that finds nothing in anything would pass, too.
    assert!(!fits(&script.text.replacen("if ($Help) {", "if ($Help {", 1)).0);
}
