//! A channel that two of three people sign, each on a machine of their own.

use crate::client::{Client, Told};
use crate::package::{Package, Run};
use crate::publish::{files, publish};
use crate::refresh::real_package;
use std::path::Path;
use std::process::Command;
use updater_tests::require;

/// A machine with one key of the channel and nothing else; the storage is shared.
struct Holder {
    folder: String,
}

impl Holder {
    fn new(package: &Package, name: &str) -> Self {
        let folder = package.home().join(name).to_str().unwrap().to_owned();
        package.run(&["keys", "new", "stable", "--app", "hello", "--no-password", "--key-dir", &folder]).ok();
        Self { folder }
    }

    fn public(&self) -> String {
        format!("{}/stable.pub", self.folder)
    }

    fn run(&self, package: &Package, arguments: &[&str]) -> Run {
        package.run(&[arguments, &["--key-dir", &self.folder]].concat())
    }
}

/// A published app whose channel two of three have to sign.
fn of_two(package: &Package) -> (Holder, Holder) {
    package.run(&publish("1.0.0", &[])).ok();
    let (bert, carla) = (Holder::new(package, "bert"), Holder::new(package, "carla"));
    let (b, c) = (bert.public(), carla.public());
    let rotate = ["keys", "rotate", "stable", "--add", "--with", &b, "--with", &c, "--threshold", "2"];
    let run =
        package.run(&rotate).fails(11, "1 of 2 signatures of stable by its keys are here, wanted: ", "keys resume");
    assert_eq!(run.stderr.matches("wanted").count(), 1, "{}", run.stderr);
    // Nothing is published before both have signed, and whoever has signed has nothing left to do.
    assert!(!package.path("target/updater/repository/hello/submissions/targets.json").exists());
    package.run(&rotate).fails(11, "1 of 2 signatures of stable by its keys", "keys resume");
    package.run(&["verify"]).ok();
    let run = bert.run(package, &["keys", "resume"]);
    run.fails(11, "what was signed waits for the online key", "cargo updater refresh");
    package.run(&["keys", "resume"]).ok();
    package.run(&["verify", "--deep"]).ok();
    (bert, carla)
}

#[test]
fn a_release_is_signed_on_two_machines_before_anybody_sees_it() {
    let package = real_package();
    let (bert, carla) = of_two(&package);
    let copy = Client::install(&package, "1.0.0");
    files(&package, "1.1.0");
    let run = package.run(&publish("1.1.0", &["--message-format", "json"])).ok();
    assert!(run.stderr.contains("1 of the 2 keys that must sign stable are here"), "{}", run.stderr);
    assert!(run.stderr.contains("Submitted hello 1.1.0 in stable"), "{}", run.stderr);
    assert!(run.stderr.contains("1 of 2 signatures of stable by its keys are here, wanted: "), "{}", run.stderr);
    assert_eq!(run.messages("rehearsed").len(), 2, "by patch and by bundle");
    let again = package.run(&publish("1.1.0", &[])).ok();
    assert!(again.stderr.contains("Unchanged hello 1.1.0 waits in stable: 1 of 2 signatures"), "{}", again.stderr);
    let other = package.run(&["release", "floor", "1.0.0"]);
    let help = "`cargo updater release sign --channel stable`";
    other.fails(11, "version 3 of the role stable waits for signatures: 1 of 2 are there", help);

    // The scheduled job goes on meanwhile, and does not fail over days.
    let run = package.run(&["refresh", "--message-format", "json"]).ok();
    assert!(run.stderr.contains("version 3 of the role stable waits for signatures"), "{}", run.stderr);
    assert_eq!(run.messages("refreshed")[0]["folded"], serde_json::json!([]));
    assert_eq!(copy.update(), Told::Current);
    package.run(&["release", "sign"]).fails(
        40,
        "cannot sign the role stable: 1 of the 2 keys that must sign are here",
        "--key-dir",
    );

    let before = package.snapshot();
    let dry = bert.run(&package, &["release", "sign", "--dry-run", "--message-format", "json"]).ok();
    assert!(dry.stderr.contains("Would sign version 3 of the role stable"), "{}", dry.stderr);
    assert_eq!(dry.messages("cosigned")[0]["missing"]["have"], 1);
    assert_eq!(package.snapshot(), before);
    let run = bert.run(&package, &["release", "sign"]).ok();
    let bundle = "change: hello-1.1.0-x86_64-unknown-linux-gnu.tar.xz comes: ";
    assert!(run.stdout.contains("stable version 3, until ") && run.stdout.contains(bundle), "{}", run.stdout);
    assert!(run.stderr.contains("Signed version 3 of the role stable"), "{}", run.stderr);
    assert!(run.stderr.contains("when `cargo updater refresh` has run with the online key"), "{}", run.stderr);
    // Enough have: nobody else is asked for.
    let run = carla.run(&package, &["release", "sign"]).ok();
    assert!(!run.stderr.contains("Signed"), "{}", run.stderr);
    assert_eq!(copy.update(), Told::Current);
    package.run(&["refresh"]).ok();
    assert_eq!(copy.update(), Told::Updated("1.1.0".to_owned()));
    package.run(&["verify", "--deep"]).ok();
    let run = package.run(&["release", "sign"]).ok();
    assert!(run.stderr.contains("Unchanged nothing of stable waits for signatures"), "{}", run.stderr);

    // A yank, begun by Carla and published by who has the online key; her own key is worth nothing alone.
    let run = carla.run(&package, &["release", "yank", "1.1.0"]).ok();
    assert!(run.stderr.contains("Submitted hello stable: yank 1.1.0"), "{}", run.stderr);
    assert!(!package.run(&["release", "list"]).ok().stdout.contains("yanked"));
    let run = package.run(&["release", "sign"]).ok();
    assert!(run.stdout.contains("change: rules: ") && run.stderr.contains("Published version 4"), "{}", run.stderr);
    assert!(package.run(&["release", "list"]).ok().stdout.contains("yanked"));
    package.run(&["verify", "--deep"]).ok();
}

#[test]
fn stock_minisign_adds_the_second_signature_of_a_release() {
    if !require::command("minisign", "apt-get install minisign") {
        return;
    }
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let folder = package.home().join("dora");
    std::fs::create_dir_all(&folder).unwrap();
    let minisign = |arguments: &[&str]| {
        let output = Command::new("minisign").args(arguments).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    minisign(&["-G", "-W", "-s", "dora.key", "-p", "dora.pub"]);
    let (public, folder_name) = (folder.join("dora.pub"), folder.to_str().unwrap());
    let public = public.to_str().unwrap();
    let rotate = ["keys", "rotate", "stable", "--add", "--with", public, "--threshold", "2"];
    assert_eq!(package.run(&rotate).code, 11);
    // The ceremony exports what she signs of the channel, too.
    package.run(&["keys", "root", "export", folder_name]).ok();
    minisign(&["-Sl", "-s", "dora.key", "-m", "stable.canonical.json"]);
    let signature = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    package.run(&["keys", "root", "import", &signature("stable.canonical.json.minisig")]).ok();
    package.run(&["verify"]).ok();

    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).ok();
    package.run(&["release", "sign", "--import", &signature("stable.canonical.json.minisig")]).fails(
        40,
        "",
        "export anew",
    );
    package.run(&["release", "sign", "--export", folder_name]).ok();
    let review = package.run(&["keys", "root", "review", &signature("stable.canonical.json")]).ok();
    assert!(review.stdout.contains("hello-1.1.0-x86_64-unknown-linux-gnu.tar.xz"), "{}", review.stdout);
    minisign(&["-Sl", "-s", "dora.key", "-m", "stable.canonical.json"]);
    let run = package.run(&["release", "sign", "--import", &signature("stable.canonical.json.minisig")]).ok();
    assert!(run.stderr.contains("Published version 3 of the role stable"), "{}", run.stderr);
    assert!(Path::new(&package.path("target/updater/repository/hello/metadata/3.stable.json")).exists());
    package.run(&["verify", "--deep"]).ok();
}
