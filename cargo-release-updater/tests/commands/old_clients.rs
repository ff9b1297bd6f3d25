//! What clients of long ago make of what is published today. Their rules are frozen here, as the first runtime that anything was published for
//! had them: which kinds it knew, which fields each must have, which codecs it applied. A change of the publisher that such a
//! client cannot read fails here; `tests/old-runtime.sh` runs the real one.

use crate::package::Package;
use crate::publish::{TRIPLE, publish, write_program};
use std::collections::BTreeMap;
use updater_format::json::{Map, Value};

/// What a release is for the first runtime: the bundle's target and those of the patches that it would try, the cheapest first.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    version: String,
    bundle: String,
    patches: Vec<String>,
}

/// Reads a role as the first runtime did: of fields that it does not know nothing is asked, a kind or format number that it does
/// not know is passed over, a known kind of another shape makes the role unusable.
fn read_as_of_old(role: &Map<String, Value>, triple: &str, installed: &str, codecs: &[&str]) -> Result<Offer, String> {
    let (mut bundles, mut patches) = (BTreeMap::new(), Vec::new());
    for (name, target) in role["targets"].as_object().ok_or("no targets")? {
        let custom = target["custom"].as_object().cloned().unwrap_or_default();
        let text = |field: &str| {
            custom.get(field).and_then(Value::as_str).map(str::to_owned).ok_or(format!("{name} has no text {field}"))
        };
        let number =
            |field: &str| custom.get(field).and_then(Value::as_u64).ok_or(format!("{name} has no number {field}"));
        if custom.get("fmt").and_then(Value::as_u64) != Some(1) {
            continue;
        }
        let kind = text("kind")?;
        if !["bundle", "patch", "notes"].contains(&kind.as_str()) {
            continue;
        }
        if text("app")? != "hello" {
            return Err(format!("{name} is of another app"));
        }
        let version = text("version")?;
        let listed = || -> Result<Vec<String>, String> {
            let codecs = custom.get("codecs").and_then(Value::as_array).ok_or(format!("{name} has no codecs"))?;
            codecs
                .iter()
                .map(|codec| codec.as_str().map(str::to_owned).ok_or("a codec is no text".to_owned()))
                .collect()
        };
        if kind == "notes" || text("triple")? != triple {
            continue;
        }
        let (manifest, length) = (text("manifest")?, target["length"].as_u64().ok_or("no length")?);
        let codecs_of = listed()?;
        if kind == "bundle" {
            let install = text("install")?;
            if !["executable", "directory"].contains(&install.as_str()) {
                return Err(format!("{name} is installed as {install}"));
            }
            number("unpacked").and(number("files"))?;
            // Versions of this test have one digit in each place, so their texts sort as they do.
            bundles.insert(version, (name.clone(), manifest));
        } else if text("from")? == installed && codecs_of.iter().all(|codec| codecs.contains(&codec.as_str())) {
            patches.push((length, version, manifest, name.clone()));
        }
    }
    let (version, (bundle, manifest)) = bundles.into_iter().next_back().ok_or("nothing is offered")?;
    patches.retain(|(_, to, result, _)| *to == version && *result == manifest);
    patches.sort();
    Ok(Offer { version, bundle, patches: patches.into_iter().map(|(.., name)| name).collect() })
}

/// Writes a version that announces these codecs: a program, and pages that are alike.
fn version(package: &Package, version: &str, codecs: &str) {
    std::fs::create_dir_all(package.path("dist/share")).unwrap();
    let announced = if codecs.is_empty() { String::new() } else { format!("# updater delta codecs 1 [{codecs}]\n") };
    let answer = format!("updater-probe 1 $UPDATER_PROBE hello {version} {TRIPLE}");
    let text = format!(
        "#!/bin/sh\n{announced}[ -z \"$UPDATER_PROBE\" ] || {{ echo \"{answer}\"; exit; }}\necho hello {version}\n"
    );
    write_program(&package.path("dist/hello"), &text);
    for page in 0..40 {
        package.write(&format!("dist/share/{page}.html"), &format!("<p>made by {version}</p>{}", words(page, 200)));
    }
}

/// Text that does not shrink to nothing.
fn words(seed: u64, number: u64) -> String {
    (0..number).map(|word| format!("{} ", (word * word * 7919 + seed * 104_729) % 99_991)).collect()
}

fn newest_role(package: &Package) -> Map<String, Value> {
    let folder = package.path("target/updater/repository/hello/metadata");
    let number = |name: &str| name.strip_suffix(".stable.json").and_then(|number| number.parse::<u64>().ok());
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let newest = names.filter_map(|name| number(&name)).max().unwrap();
    let text = package.read(&format!("target/updater/repository/hello/metadata/{newest}.stable.json"));
    let Value::Object(mut document) = serde_json::from_str::<Value>(&text).unwrap() else { panic!("{text}") };
    let Some(Value::Object(signed)) = document.remove("signed") else { panic!("{text}") };
    signed
}

#[test]
fn what_is_published_today_offers_clients_of_every_age_what_they_understand() {
    let package = crate::publish::package();
    let manifest = package.read("Cargo.toml").replace(
        "[package.metadata.updater]\n",
        "[package.metadata.updater]\ncomponents = [{ name = \"model\", folder = \"model\", version-file = \"model/VERSION\" }]\n",
    );
    package.write("Cargo.toml", &manifest);
    std::fs::create_dir_all(package.path("model")).unwrap();
    let model = |version: &str| {
        package.write("model/VERSION", version);
        package.write("model/weights", &format!("{}{version}", words(9, 4000)));
    };
    // Three generations of runtimes: of one codec that nothing is made by any more, of the first that still is, of today.
    let generations = [
        ("1.0.0", "bsdiff-1"),
        ("1.1.0", "refs-1"),
        ("1.2.0", "refs-1,opened-1,joint-1"),
        ("1.3.0", "refs-1,opened-1,joint-1"),
    ];
    for (number, codecs) in generations {
        version(&package, number, codecs);
        model(number);
        package.write("notes.md", "News.\n");
        package.run(&["publish", "--component", "model", "--level", "1", "--notes", "notes.md"]).ok();
        let run = package
            .run(&publish(number, &["--notes", "notes.md", "--metadata", "colour=green", "--message-format", "json"]));
        let outcomes: Vec<_> = run.ok().messages("patch").iter().map(|patch| patch["outcome"].clone()).collect();
        if number == "1.3.0" {
            assert_eq!(outcomes, ["kept", "kept", "no-codec"]);
        }
    }
    for steered in [
        &["release", "floor", "1.0.0"][..],
        &["release", "require", "1.1.0"],
        &["release", "rollout", "1.3.0", "100"],
        &["release", "hold", "1.3.0", "50"],
        &["release", "yank", "1.1.0", "--component", "model"],
    ] {
        package.run(steered).ok();
    }
    let role = newest_role(&package);
    let text = Value::Object(role.clone()).to_string();
    for word in ["joint-1", "component-patch", "component-notes", "required", "floor", "released", "colour", "yank"] {
        assert!(text.contains(&format!("\"{word}\"")), "{word} is not in {text}: the role has not everything");
    }
    let bundle = format!("hello-1.3.0-{TRIPLE}.tar.xz");
    let patch = |from: &str| format!("hello-{from}-to-1.3.0-{TRIPLE}.patch");
    for (installed, codecs, patches) in [
        ("1.0.0", &["bsdiff-1"][..], Vec::new()),
        ("1.1.0", &["refs-1"], vec![patch("1.1.0")]),
        // Of the codecs that its release does not announce nobody makes a patch for it.
        ("1.1.0", &["bsdiff-1"], Vec::new()),
        ("1.2.0", &["refs-1"], Vec::new()),
        ("1.2.0", &["refs-1", "opened-1", "joint-1"], vec![patch("1.2.0")]),
    ] {
        let offer = read_as_of_old(&role, TRIPLE, installed, codecs);
        assert_eq!(offer, Ok(Offer { version: "1.3.0".to_owned(), bundle: bundle.clone(), patches }), "{installed}");
    }
}
