//! `publish` to real servers, each started here on loopback, and what is told when one refuses.
#![cfg(all(feature = "s3", feature = "sftp", feature = "webdav", feature = "http"))]

use crate::package::{Package, Run};
use crate::publish::{files, package, publish};
use std::path::Path;
use std::process::Command;
use updater_tests::peers::{AZURITE_ACCOUNT, AZURITE_KEY, DAV_PASSWORD, DAV_USER, Peer, S3S_KEYS, request};
use updater_tests::proxy::TestProxy;
use updater_tests::require;

/// Credentials that moto takes, as it takes any.
const AWS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

fn bucket(peer: &Peer, name: &str) -> String {
    format!("s3://{name}/apps/hello?region=us-east-1&acl=public-read&endpoint=http://127.0.0.1:{}", peer.port())
}

fn run(package: &Package, version: &str, storage: &str, more: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut arguments = vec!["--storage", storage];
    arguments.extend(more);
    package.run_with(&publish(version, &arguments), variables)
}

/// Publishes two releases, the second with a patch, then the second again; returns what the second try tells.
fn two_releases(storage: &str, variables: &[(&str, &str)]) -> Package {
    let package = package();
    let first = run(&package, "1.0.0", storage, &[], variables).ok();
    let is_told = first.stderr.contains("cannot keep two publishers apart: publish from one machine at a time");
    assert_eq!(is_told, storage.starts_with("webdav"), "{}", first.stderr);
    files(&package, "1.1.0");
    let second = run(&package, "1.1.0", storage, &["--message-format", "json"], variables).ok();
    assert_eq!(
        (second.messages("patch")[0]["outcome"].as_str(), &second.messages("published")[0]["role"]),
        (Some("kept"), &2.into())
    );
    let again = run(&package, "1.1.0", storage, &[], variables).ok();
    assert!(again.stderr.contains("1.1.0 is published in stable already"), "{}", again.stderr);
    package
}

/// Publishes a release of more bytes than one piece of an upload has, where uploads go in pieces.
fn a_large_one(package: &Package, storage: &str, variables: &[(&str, &str)]) -> Run {
    files(package, "1.1.1");
    let mut noise = updater_tests::random::Random::new(7);
    let noise: Vec<u8> = (0..9 << 20).map(|_| u8::try_from(noise.below(256)).unwrap()).collect();
    std::fs::write(package.path("dist/share/large"), noise).unwrap();
    let run = run(package, "1.1.1", storage, &["--no-patches"], variables).ok();
    std::fs::remove_file(package.path("dist/share/large")).unwrap();
    run
}

#[test]
fn two_releases_to_s3_are_read_back_over_http() {
    let Some(peer) = Peer::moto() else { return };
    let package = two_releases(&bucket(&peer, "bucket"), &AWS);
    a_large_one(&package, &bucket(&peer, "bucket"), &AWS);
    let url = format!("http://127.0.0.1:{}/bucket/apps/hello", peer.port());
    // Whoever may not list the bucket is told 403 for what is not there.
    let manifest = package.read("Cargo.toml");
    let table = "[package.metadata.updater]";
    assert!(manifest.contains(table));
    package.write("Cargo.toml", &manifest.replace(table, &format!("{table}\nmissing-status = [404, 403]")));
    let verified = package.run(&["verify", &url, "--deep"]).ok();
    assert!(verified.stdout.contains("ok     timestamp"), "{}", verified.stdout);
    for (file, kept, kind) in [
        ("metadata/timestamp.json", "max-age=60, must-revalidate", "application/json"),
        ("metadata/2.snapshot.json", "max-age=31536000, immutable", "application/json"),
        ("VERSION", "max-age=60, must-revalidate", "text/plain; charset=utf-8"),
    ] {
        let answer = request(peer.port(), "GET", &format!("/bucket/apps/hello/{file}")).to_ascii_lowercase();
        assert!(answer.contains(&format!("cache-control: {kept}\r")), "{file}: {answer}");
        assert!(answer.contains(&format!("content-type: {kind}\r")), "{file}: {answer}");
    }
}

/// The settings of the server that checks keys.
fn azure(key: &str) -> [(&'static str, String); 2] {
    [("AZURE_STORAGE_ACCOUNT", AZURITE_ACCOUNT.to_owned()), ("AZURE_STORAGE_KEY", key.to_owned())]
}

#[test]
fn two_releases_to_azure_and_a_wrong_key_is_refused() {
    let Some(peer) = Peer::azurite() else { return };
    let endpoint = format!("http://127.0.0.1:{}/{AZURITE_ACCOUNT}", peer.port());
    let storage = format!("azblob://container/apps/hello?endpoint={endpoint}");
    let known = azure(AZURITE_KEY);
    let known: Vec<(&str, &str)> = known.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let package = two_releases(&storage, &known);
    let listed = package.run_with(&["release", "list", "--storage", &storage], &known).ok();
    assert!(listed.stdout.contains("1.1.0") && listed.stdout.contains("1.0.0"), "{}", listed.stdout);
    a_large_one(&package, &storage, &known);
    files(&package, "1.2.0");
    let wrong = azure("d3Jvbmcga2V5IG9mIHNvbWVib2R5IGVsc2U=");
    let wrong: Vec<(&str, &str)> = wrong.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused = run(&package, "1.2.0", &storage, &[], &wrong);
    assert!(!refused.stderr.contains("d3Jvbmcga2V5"), "{}", refused.stderr);
    refused.fails(60, "cannot look at metadata/", "the storage refuses these credentials");
    let missing = storage.replace("//container/", "//nowhere/");
    run(&package, "1.2.0", &missing, &[], &known).fails(60, "cannot list metadata", "does not exist");
    assert!(!package.path("target/updater/bundles/hello-1.2.0-x86_64-unknown-linux-gnu.json").exists());
}

#[test]
fn a_clock_that_is_off_is_told_before_anything_is_signed() {
    let Some(peer) = Peer::moto() else { return };
    if !require::command("faketime", "apt install faketime") {
        return;
    }
    let package = package();
    let storage = bucket(&peer, "bucket");
    let arguments = publish("1.0.0", &["--storage", &storage]);
    let late = package.run_in_with(1, &arguments, &AWS);
    late.fails(1, "the clock of this machine is 14", "set it, then run the same command again");
    let timestamp = request(peer.port(), "GET", "/bucket/apps/hello/metadata/timestamp.json");
    assert!(!timestamp.starts_with("HTTP/1.1 200"), "{timestamp}");
    package.run_with(&arguments, &AWS).ok();
}

#[test]
fn two_releases_by_sftp_are_a_folder_that_verifies() {
    let Some(peer) = Peer::sftp() else { return };
    let (folder, identity) = (peer.folder().join("files"), peer.folder().join("identity"));
    let storage =
        format!("sftp://127.0.0.1:{}{}?known-hosts=add&identity={}", peer.port(), folder.display(), identity.display());
    let package = two_releases(&storage, &[]);
    package.run(&["verify", &folder.display().to_string(), "--deep"]).ok();
    assert_eq!(std::fs::read_dir(folder.join(".updater-partial")).unwrap().count(), 0);

    let stranger = storage.replace("/identity", "/host");
    let refused = run(&package, "1.1.0", &stranger, &[], &[]);
    refused.fails(60, "cannot look at metadata/", "credentials");
}

#[test]
fn two_releases_by_webdav_for_one_publisher_at_a_time() {
    let Some(peer) = Peer::webdav() else { return };
    let storage = format!("webdav+http://127.0.0.1:{}/apps/hello", peer.port());
    let package = two_releases(&storage, &[]);
    package.run(&["verify", &peer.folder().join("files/apps/hello").display().to_string(), "--deep"]).ok();
    let third = a_large_one(&package, &storage, &[]);
    assert!(!third.stderr.contains("cannot keep two publishers apart"), "said once: {}", third.stderr);
    package.run(&["verify", &peer.folder().join("files/apps/hello").display().to_string(), "--deep"]).ok();
}

#[test]
fn two_releases_to_apache_and_a_wrong_password_is_refused() {
    let Some(peer) = Peer::apache() else { return };
    let storage = format!("webdav+http://127.0.0.1:{}/apps/hello", peer.port());
    let known = [("WEBDAV_USERNAME", DAV_USER), ("WEBDAV_PASSWORD", DAV_PASSWORD)];
    let package = two_releases(&storage, &known);
    package.run(&["verify", &format!("http://127.0.0.1:{}/apps/hello", peer.port()), "--deep"]).ok();
    files(&package, "1.2.0");
    let wrong = [("WEBDAV_USERNAME", DAV_USER), ("WEBDAV_PASSWORD", "guessed-word")];
    for variables in [&wrong[..], &[]] {
        let refused = run(&package, "1.2.0", &storage, &[], variables);
        assert!(!refused.stderr.contains("guessed-word"), "{}", refused.stderr);
        let refused = refused.fails(60, "cannot look at metadata/", "the storage refuses these credentials");
        assert!(
            refused.stderr.contains(": WEBDAV_USERNAME and WEBDAV_PASSWORD, or WEBDAV_TOKEN"),
            "{}",
            refused.stderr
        );
    }
    assert!(!package.path("target/updater/bundles/hello-1.2.0-x86_64-unknown-linux-gnu.json").exists());
    let third = run(&package, "1.2.0", &storage, &[], &known).ok();
    assert!(!third.stderr.contains("cannot keep two publishers apart"), "said once: {}", third.stderr);
}

#[test]
fn two_releases_to_an_s3_server_that_checks_signatures() {
    let Some(peer) = Peer::s3s() else { return };
    let storage = format!("s3://bucket/apps/hello?region=us-east-1&endpoint=http://127.0.0.1:{}", peer.port());
    let package = two_releases(&storage, &[("AWS_ACCESS_KEY_ID", S3S_KEYS.0), ("AWS_SECRET_ACCESS_KEY", S3S_KEYS.1)]);
    package.run(&["verify", &peer.folder().join("files/bucket/apps/hello").display().to_string(), "--deep"]).ok();
    files(&package, "1.2.0");
    for (key, secret) in [(S3S_KEYS.0, "guessed-word"), ("AKOTHER", S3S_KEYS.1)] {
        let wrong = [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)];
        let refused = run(&package, "1.2.0", &storage, &[], &wrong);
        assert!(!refused.stderr.contains("guessed-word"), "{}", refused.stderr);
        refused.fails(60, "cannot look at metadata/", "the storage refuses these credentials");
    }
}

#[test]
fn nginx_serves_what_was_published_with_ranges_and_for_reading_only() {
    let Some(peer) = Peer::nginx("root FOLDER/www; gzip on; gzip_types text/plain; gzip_min_length 1;") else {
        return;
    };
    let package = package();
    let folder = peer.folder().join("www");
    let storage = format!("fs:{}", folder.display());
    run(&package, "1.0.0", &storage, &[], &[]).ok();
    let url = format!("http://127.0.0.1:{}", peer.port());
    package.run(&["verify", &url, "--deep"]).ok();
    // A strong tag, which gzip makes a weak one, and pieces of a file: what resumed downloads depend on.
    let ask = |file: &str, header: &str| updater_tests::peers::request_with(peer.port(), "GET", file, header);
    let plain = ask("/metadata/timestamp.json", "");
    assert!(plain.to_ascii_lowercase().contains("\r\netag: \""), "{plain}");
    let packed = ask("/metadata/timestamp.json", "Accept-Encoding: gzip\r\n");
    assert!(packed.contains("Content-Encoding: gzip") && packed.contains("ETag: W/\""), "{packed}");
    let name = std::fs::read_dir(folder.join("targets")).unwrap().map(|entry| entry.unwrap().file_name());
    let name = name.filter_map(|name| name.into_string().ok()).find(|name| name.ends_with(".tar.xz")).unwrap();
    let piece = ask(&format!("/targets/{name}"), "Range: bytes=10-19\r\n");
    assert!(piece.starts_with("HTTP/1.1 206") && piece.contains("Content-Range: bytes 10-19/"), "{piece}");
    // Read through the web server, published nowhere.
    package.run(&["release", "list", "--storage", &url]).ok();
    files(&package, "1.1.0");
    run(&package, "1.1.0", &url, &[], &[]).fails(20, &format!("{url} can only be read"), "cargo updater services");
}

#[test]
fn https_with_an_authority_of_ones_own_is_read_where_it_is_trusted() {
    if !require::command("openssl", "apt install openssl") {
        return;
    }
    let text = "listen 127.0.0.1:SECURE ssl; ssl_certificate FOLDER/cert.pem; ssl_certificate_key FOLDER/key.pem; \
                root FOLDER/www;";
    let secure = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port();
    let made = tempfile::tempdir().unwrap();
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
                  -keyout ca.key -out ca.pem 2>/dev/null && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                  -subj /CN=localhost -keyout key.pem -out leaf.csr 2>/dev/null && printf 'subjectAltName=DNS:localhost,DNS:updates.test\\n' > ext && \
                  openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem 2>/dev/null";
    assert!(Command::new("sh").args(["-c", script]).current_dir(made.path()).status().unwrap().success());
    let text = text.replace("SECURE", &secure.to_string()).replace("FOLDER", &made.path().display().to_string());
    let Some(_peer) = Peer::nginx(&text) else { return };
    // A development root would be for loopback alone.
    let package = crate::refresh::real_package();
    run(&package, "1.0.0", &format!("fs:{}/www", made.path().display()), &[], &[]).ok();
    let url = format!("https://localhost:{secure}");
    let trusted = made.path().join("ca.pem").display().to_string();
    let known = [("SSL_CERT_FILE", trusted.as_str())];
    package.run_with(&["verify", &url, "--deep"], &known).ok();
    package.run_with(&["release", "list", "--storage", &url], &known).ok();
    let stranger = package.run(&["verify", &url]);
    assert!(stranger.code != 0 && stranger.stderr.contains("certificate"), "{}", stranger.stderr);

    // From a network that only a proxy leads out of, by a name that only the proxy knows: client and publisher alike.
    let proxy = TestProxy::start(([127, 0, 0, 1], secure).into());
    let way = format!("http://{}", proxy.address());
    let known = [("SSL_CERT_FILE", trusted.as_str()), ("HTTPS_PROXY", way.as_str())];
    let asked = |command: &[&str]| {
        let before = proxy.heads().len();
        package.run_with(command, &known).ok();
        let heads = proxy.heads();
        assert!(
            heads.len() > before && heads.iter().all(|head| head.starts_with("CONNECT updates.test:443 ")),
            "{heads:?}"
        );
    };
    asked(&["verify", "https://updates.test", "--deep"]);
    asked(&["release", "list", "--storage", "https://updates.test"]);
}

#[test]
fn what_is_wrong_with_an_address_or_a_bucket_is_told_before_anything_is_uploaded() {
    let package = package();
    let secret = "s3://bucket?secret_access_key=hunter2";
    let refused = run(&package, "1.0.0", secret, &[], &[]);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    refused.fails(
        20,
        "storage \"s3://bucket?***\" is refused: it has a key, token or password in its query",
        "cargo updater services",
    );
    run(&package, "1.0.0", "s3://bucket?regoin=eu", &[], &[]).fails(
        20,
        "storage \"s3://bucket?***\" is refused: `regoin` is no option of it",
        "region, endpoint",
    );
    let Some(peer) = Peer::moto() else { return };
    let missing = run(&package, "1.0.0", &bucket(&peer, "none"), &[], &AWS);
    missing.fails(60, "cannot list metadata in s3://none/apps/hello", "does not exist");
    assert!(!Path::new(&package.path("target/updater/bundles")).exists(), "nothing was bundled for nowhere");
}

#[test]
fn a_full_disk_leaves_what_was_published_and_the_same_command_goes_on() {
    if !require::root("mounting a small file system") {
        return;
    }
    let package = package();
    let disk = package.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        let arguments = ["-t", "tmpfs", "-o", options, "tmpfs"];
        Command::new("mount").args(arguments).arg(&disk).status().is_ok_and(|status| status.success())
    };
    if !mount("size=80k") {
        let _ = require::absent("mounting a tmpfs", "a container that may mount");
        return;
    }
    let storage = format!("fs:{}/repository", disk.display());
    run(&package, "1.0.0", &storage, &[], &[]).ok();
    files(&package, "1.1.0");
    let full = run(&package, "1.1.0", &storage, &["--no-patches"], &[]);
    let verified = package.run(&["verify", &disk.join("repository").display().to_string()]);
    let resized = mount("remount,size=10m");
    let again = run(&package, "1.1.0", &storage, &["--no-patches"], &[]);
    let unmounted = Command::new("umount").arg(&disk).status();
    assert!(resized && unmounted.is_ok_and(|status| status.success()));
    full.fails(60, "cannot write targets/", "make room there");
    assert!(verified.ok().stdout.contains("1.stable.json"));
    again.ok();
}

#[test]
fn before_the_first_release_there_is_nothing_to_look_at() {
    let package = package();
    for command in ["verify", "serve"] {
        package.run(&[command]).fails(2, "nothing is published in fs:", "cargo updater publish");
    }
}

#[test]
fn services_are_listed_for_people_and_programs() {
    let package = Package::new();
    let listed = package.run(&["services"]).ok();
    for text in ["s3://BUCKET/PREFIX", "AWS_ACCESS_KEY_ID", "the second one merges at once", "read only"] {
        assert!(listed.stdout.contains(text), "{text} is not in {}", listed.stdout);
    }
    let listed = package.run(&["services", "--message-format", "json"]).ok();
    let services = listed.messages("service");
    let s3 = services.iter().find(|service| service["service"] == "s3").unwrap();
    assert_eq!(
        (&s3["built"], &s3["create_if_absent"], &s3["replace_if_unchanged"]),
        (&true.into(), &true.into(), &true.into())
    );
}
