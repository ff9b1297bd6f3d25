//! Components by the commands: each published, listed, steered and looked at by itself. No compiler takes part.

use crate::package::Package;
use crate::publish::{package, publish};

/// A package with a component `model` of this version, and of some size.
fn with_model(version: &str) -> Package {
    let package = package();
    let manifest = package.read("Cargo.toml").replace(
        "[package.metadata.updater]\n",
        "[package.metadata.updater]\ncomponents = [\n  { name = \"model\", folder = \"data\", files = [\"**\"], \
         version-file = \"data/VERSION\", minimum-app = \"1.0.0\" },\n]\n",
    );
    package.write("Cargo.toml", &manifest);
    std::fs::create_dir_all(package.path("data/deep")).unwrap();
    model(&package, version);
    package
}

fn model(package: &Package, version: &str) {
    package.write("data/VERSION", &format!("{version}\n"));
    package.write("data/deep/names.txt", &format!("names of {version}\n"));
    let mut state = 9u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 40) as u8 % 90)
    };
    package.write("data/weights", &(0..30_000).map(|_| noise()).collect::<String>());
}

fn publish_model<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["publish", "--component", "model", "--level", "1"], more].concat()
}

#[test]
fn a_component_has_versions_of_its_own_from_bundle_to_verify() {
    let package = with_model("1.0.0");
    package.run(&publish("1.0.0", &[])).ok();
    let first = package.run(&publish_model(&["--message-format", "json"])).ok();
    let published = &first.messages("published")[0];
    assert_eq!((&published["component"], &published["version"]), (&"model".into(), &"1.0.0".into()));
    assert_eq!(first.messages("bundle")[0]["component"], "model");

    // A new version of it alone, by each step and then by the whole.
    model(&package, "1.1.0");
    let dry = package.run(&publish_model(&["--dry-run"])).ok();
    for line in ["Bundle hello model 1.1.0 (any)", "Diff 1.0.0 -> 1.1.0 (any)", "Rehearse 1.0.0 -> 1.1.0 (any)"] {
        assert!(dry.stderr.contains(line), "{line} is not in {}", dry.stderr);
    }
    package.run(&["bundle", "--component", "model", "--level", "1"]).ok();
    package.run(&["diff", "--component", "model"]).ok();
    package.run(&["sign", "--component", "model"]).ok();
    let rehearsed = package.run(&["rehearse", "--component", "model", "--message-format", "json"]).ok();
    let told: Vec<_> =
        rehearsed.messages("rehearsed").iter().map(|run| run["by"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["patch", "bundle"]);
    let second = package.run(&publish_model(&["--message-format", "json"])).ok();
    assert_eq!(second.messages("plan")[0]["listed"], serde_json::json!(["1.1.0", "1.0.0"]));
    let again = package.run(&publish_model(&[])).ok();
    assert!(again.stderr.contains("Unchanged hello model 1.1.0 is published in stable already"), "{}", again.stderr);

    // The app goes on by itself, and what is listed of the component stays.
    crate::publish::files(&package, "1.2.0");
    package.run(&publish("1.2.0", &[])).ok();
    let status = package.run(&["status"]).ok();
    let words = status.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in ["stable, component model 1.1.0 any", "stable 1.2.0 x86_64"] {
        assert!(words.contains(line), "{line} is not in {}", status.stdout);
    }
    let listed = package.run(&["release", "list", "--message-format", "json"]).ok().messages("listed-release");
    let told: Vec<_> =
        listed.iter().map(|r| (r["component"].as_str(), r["version"].as_str().unwrap().to_owned())).collect();
    let expected = [(None, "1.2.0"), (None, "1.0.0"), (Some("model"), "1.1.0"), (Some("model"), "1.0.0")];
    assert_eq!(told, expected.map(|(component, version)| (component, version.to_owned())));
    let verified = package.run(&["verify", "--deep", "--message-format", "json"]).ok().messages("verified-file");
    let kinds = |what: &str| verified.iter().filter(|file| file["what"] == what).count();
    assert_eq!((kinds("component"), kinds("bundle"), kinds("patch"), kinds("unknown kind")), (2, 2, 2, 0));
    // For people and shell scripts, the version is that of the app.
    let version = std::fs::read_to_string(package.path("target/updater/repository/hello/VERSION")).unwrap();
    assert!(version.contains("CURRENT 1.2.0 ") && !version.contains("model"), "{version}");
}

#[test]
fn a_component_is_steered_without_its_app() {
    let package = with_model("1.0.0");
    package.run(&publish("1.0.0", &[])).ok();
    package.run(&publish_model(&[])).ok();
    package.run(&["release", "rollout", "1.0.0", "25", "--component", "model"]).ok();
    package.run(&["release", "hold", "1.0.0", "10", "--component", "model"]).ok();
    let list = package.run(&["release", "list"]).ok().stdout;
    let (app, model) = list.split_once("stable, component model").unwrap();
    assert!(app.contains("100%") && model.contains("10%") && model.contains("rollout 25 %, held at 10 %"), "{list}");
    let percents = || -> Vec<_> {
        let told = package.run(&["status", "--message-format", "json"]).ok().messages("published-release");
        told.iter().map(|release| (release["percent"].clone(), release["yanked"].clone())).collect()
    };
    assert_eq!(percents(), [(100.into(), false.into()), (10.into(), false.into())]);
    package.run(&["release", "yank", "1.0.0", "--component", "model", "--yes"]).ok();
    assert_eq!(percents(), [(100.into(), false.into()), (0.into(), true.into())]);
    let refused = package.run(&["release", "yank", "3.0.0", "--component", "model", "--yes"]);
    assert!(refused.code != 0 && refused.stderr.contains("the channel does not list 3.0.0"), "{}", refused.stderr);
    let unknown = package.run(&["release", "yank", "1.0.0", "--component", "voices", "--yes"]);
    assert!(unknown.stderr.contains("there is no component `voices`"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("help: use one of: model"), "{}", unknown.stderr);
}

#[test]
fn an_app_and_its_component_wait_together_for_the_online_key() {
    let package = with_model("1.0.0");
    package.run(&publish("1.0.0", &[])).ok();
    package.run(&publish_model(&[])).ok();
    let online = package.keys().join("development/online.key");
    std::fs::rename(&online, package.path("aside")).unwrap();
    // Each by a command of its own, as two jobs may have it.
    model(&package, "1.1.0");
    crate::publish::files(&package, "1.1.0");
    for run in [package.run(&publish_model(&[])).ok(), package.run(&publish("1.1.0", &[])).ok()] {
        assert!(run.stderr.contains("Submitted hello"), "{}", run.stderr);
    }
    for (again, told) in [(publish_model(&[]), "hello model 1.1.0 waits"), (publish("1.1.0", &[]), "hello 1.1.0 waits")]
    {
        let run = package.run(&again).ok();
        assert!(run.stderr.contains(&format!("Unchanged {told} for the online key")), "{}", run.stderr);
    }
    let status = package.run(&["status"]).ok().stdout;
    assert!(status.contains("stable       version 3 with 1.1.0, model 1.1.0 waits for the online key"), "{status}");
    std::fs::rename(package.path("aside"), &online).unwrap();
    package.run(&["refresh"]).ok();
    package.run(&["verify", "--deep"]).ok();
    let status = package.run(&["status"]).ok().stdout;
    assert!(!status.contains("waits") && status.matches("1.1.0  ").count() == 2, "{status}");
}

#[test]
fn what_cannot_be_published_is_named_and_nothing_is_changed() {
    let package = with_model("1.0.0");
    package.run(&publish("1.0.0", &[])).ok();
    package.run(&publish_model(&[])).ok();
    let refused = |arguments: &[&str], text: &str| {
        let run = package.run(arguments);
        assert!(run.code != 0 && run.stderr.contains(text) && run.stderr.contains("help: "), "{}", run.stderr);
    };
    // The same version with other files, an older one, no version at all, no files.
    package.write("data/deep/names.txt", "others");
    refused(&publish_model(&[]), "1.0.0 is published in channel `stable` already with another content for any");
    package.write("data/VERSION", "0.9.0\n");
    refused(&publish_model(&[]), "version 0.9.0 is not greater than 1.0.0");
    package.write("data/VERSION", "the newest\n");
    refused(&publish_model(&[]), "has no version of the component `model` on its first line");
    std::fs::remove_file(package.path("data/VERSION")).unwrap();
    refused(&publish_model(&[]), "data/VERSION");
    refused(&["publish", "--component", "voices"], "there is no component `voices`");
    // A folder can be its release, too.
    std::fs::create_dir_all(package.path("made")).unwrap();
    package.write("made/weights", "made elsewhere");
    let made = ["--from-dir", "made", "--version", "2.0.0"];
    let run = package.run(&publish_model(&made)).ok();
    assert!(run.stderr.contains("Published hello model 2.0.0 in stable"), "{}", run.stderr);
}
