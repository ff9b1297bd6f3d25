//! App bundles of macOS, published from a folder as a packager leaves it. Nothing of them runs here: the rehearsal goes as
//! far as the verified files.

use crate::package::Package;
use crate::publish::write_program;
use std::os::unix::fs::symlink;

const TRIPLE: &str = "aarch64-apple-darwin";

fn package() -> Package {
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    let table = package.read("Cargo.toml");
    let table =
        table.replacen("[package.metadata.updater]\n", "[package.metadata.updater]\nkind = \"app-bundle\"\n", 1);
    assert!(table.contains("app-bundle"));
    package.write("Cargo.toml", &table);
    app(&package, "1.0.0");
    package
}

/// Writes `dist/Hello.app` as of a version: signed, with a framework, and an Info.plist that is XML, or binary if the version
/// ends in anything but 0.
fn app(package: &Package, version: &str) {
    let folder = |path: &str| std::fs::create_dir_all(package.path("dist/Hello.app/Contents").join(path)).unwrap();
    let contents = |path: &str| format!("dist/Hello.app/Contents/{path}");
    for path in ["MacOS", "_CodeSignature", "Resources", "Frameworks/Hi.framework/Versions/A"] {
        folder(path);
    }
    let mut info = plist::Dictionary::new();
    info.insert("CFBundleExecutable".to_owned(), "hello".into());
    info.insert("CFBundleShortVersionString".to_owned(), version.into());
    let (info, at) = (plist::Value::from(info), package.path(&contents("Info.plist")));
    if version.ends_with('0') { info.to_file_xml(at) } else { info.to_file_binary(at) }.unwrap();
    package.write(&contents("_CodeSignature/CodeResources"), &format!("the seal of {version}"));
    package.write(&contents("Resources/data"), &"constant".repeat(4000));
    mach_o(package, version, 0x0100_000c);
    package.write(&contents("Frameworks/Hi.framework/Versions/A/Hi"), &format!("library of {version}"));
    let framework = package.path(&contents("Frameworks/Hi.framework"));
    if !framework.join("Hi").exists() {
        symlink("A", framework.join("Versions/Current")).unwrap();
        symlink("Versions/Current/Hi", framework.join("Hi")).unwrap();
    }
}

/// Writes a program that no Mac would start, with the header of one.
fn mach_o(package: &Package, version: &str, processor: u32) {
    let path = package.path("dist/Hello.app/Contents/MacOS/hello");
    write_program(&path, "");
    let mut state = 7u64;
    let noise = (0..30_000).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u8
    });
    let header = [0xfeed_facf_u32, processor, 0, 2, 0, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes);
    std::fs::write(path, header.chain(noise).chain(version.bytes()).collect::<Vec<u8>>()).unwrap();
}

fn publish<'a>(version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["publish", "--from-dir", "dist", "--version", version, "--target", TRIPLE, "--level", "1"];
    arguments.extend(more);
    arguments
}

#[test]
fn an_app_bundle_is_published_patched_and_rehearsed() {
    let package = package();
    let first = package.run(&publish("1.0.0", &["--message-format", "json"])).ok();
    assert!(!first.stderr.contains("warning"), "{}", first.stderr);
    app(&package, "1.0.1");
    // The folder itself may be named, too.
    let second = ["publish", "--from-dir", "dist/Hello.app", "--version", "1.0.1", "--target", TRIPLE, "--level", "1"];
    let second = package.run(&[&second[..], &["--message-format", "json"]].concat()).ok();
    assert_eq!(second.messages("patch")[0]["outcome"], "kept");
    let rehearsed = second.messages("rehearsed");
    let told: Vec<_> = rehearsed.iter().map(|run| (run["by"].as_str(), run["reached"].as_str())).collect();
    assert_eq!(told, [(Some("patch"), Some("staged")), (Some("bundle"), Some("staged"))]);
    package.run(&["verify", "--deep"]).ok();
    // What is signed says so in a number of its own, which other clients pass over.
    let repository = package.path("target/updater/repository/hello/metadata");
    let role = std::fs::read_to_string(repository.join("2.stable.json")).unwrap();
    assert_eq!(role.matches(r#""install":"app-bundle""#).count(), 2, "{role}");
    assert_eq!(role.matches(r#""fmt":2"#).count(), 2, "{role}");
    // The bundle holds the app as it is, under no name: that is its user's to choose.
    let bundle = package.path(&format!("target/updater/bundles/hello-1.0.1-{TRIPLE}.tar.xz"));
    let listed = std::process::Command::new("tar").arg("-tJf").arg(bundle).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().any(|line| line == "Contents/Frameworks/Hi.framework/Versions/Current"), "{listed}");
    assert_eq!(listed.lines().filter(|line| !line.starts_with("Contents/")).count(), 1, "{listed}");
}

#[test]
fn what_would_fail_on_a_users_computer_is_told() {
    let package = package();
    let plist = |text: &str| package.write("dist/Hello.app/Contents/Info.plist", text);
    let (app_folder, info) = (package.path("dist/Hello.app"), package.path("dist/Hello.app/Contents/Info.plist"));
    let dist = package.path("dist");
    let (app_folder, shown, dist) = (app_folder.display(), info.display(), dist.display());
    let problem = |what: &str| format!("{shown} does not describe an app: {what}");
    plist("<plist><dict/></plist>");
    let help = "CFBundleExecutable names the program";
    package.run(&publish("1.0.0", &[])).fails(30, &problem("it has no CFBundleExecutable"), help);
    plist("not one");
    package.run(&publish("1.0.0", &[])).fails(30, &problem(""), help);
    std::fs::remove_file(&info).unwrap();
    package.run(&publish("1.0.0", &[])).fails(30, &problem(""), help);
    plist("<plist><dict><key>CFBundleExecutable</key><string>other</string></dict></plist>");
    let what = "is Contents/MacOS/other by its Info.plist, but the app was built for Contents/MacOS/hello";
    let what = format!("the program of {app_folder} {what}");
    package.run(&publish("1.0.0", &[])).fails(30, &what, "let `kind = \"app-bundle\"` and `entry`");

    app(&package, "1.0.0");
    mach_o(&package, "1.0.0", 0x0100_0007);
    let what = format!("{app_folder}/Contents/MacOS/hello is for macOS on processor 0x1000007, not for {TRIPLE}");
    package.run(&publish("1.0.0", &[])).fails(30, &what, "--target TRIPLE");

    app(&package, "1.0.0");
    std::fs::create_dir(package.path("dist/Second.app")).unwrap();
    package.run(&publish("1.0.0", &[])).fails(30, &format!("{dist} holds 2 app bundles"), "--from-dir");
    let arguments = ["publish", "--from-dir", "src", "--version", "1.0.0", "--target", TRIPLE];
    let src = package.path("src");
    package.run(&arguments).fails(30, &format!("{} holds 0 app bundles", src.display()), "--from-dir");

    // Without a folder there is nothing to bundle, and elsewhere there are no app bundles.
    let made = ["bundle", "--target", TRIPLE];
    package.run(&made).fails(30, "cargo builds no app bundle for aarch64-apple-darwin", "--from-dir DIR");
    let linux = ["bundle", "--from-dir", "dist", "--version", "1.0.0", "--kind", "app-bundle"];
    let linux = [&linux[..], &["--target", "x86_64-unknown-linux-gnu"]].concat();
    package.run(&linux).fails(30, "there are app bundles on macOS alone", "-apple-darwin");
}

#[test]
fn what_people_may_stumble_over_is_a_warning() {
    let package = package();
    std::fs::remove_dir_all(package.path("dist/Hello.app/Contents/_CodeSignature")).unwrap();
    let run = package.run(&publish("1.1.0", &[])).ok();
    for what in [
        "Hello.app is released as 1.1.0, but its CFBundleShortVersionString says 1.0.0",
        "Hello.app has no signature over its resources (Contents/_CodeSignature/CodeResources): Gatekeeper does not open",
    ] {
        assert!(run.stderr.contains(what), "{what} is not in {}", run.stderr);
    }
}
