//! The guides of the book: the blocks of commands in them are run as they stand there, line by line, each by the person
//! that stands before the `$`. What no test runs says so on its page.

mod people;

use crate::carried::Agent;
use crate::hooks::table;
use crate::publish::TRIPLE;
use people::{People, blocks};
use std::path::Path;
use updater_tests::server::TestServer;
use updater_tests::{require, workspace};

/// Pages, or folders of them, whose commands other tests run, and which.
const ELSEWHERE: &[(&str, &str)] = &[
    ("tutorial.md", "tests/loop/tutorial.rs"),
    ("launcher.md", "updater-launcher/tests/launcher/guide.rs"),
    ("migrate/self_update.md", "tests/migrations.sh, by hand"),
    ("migrate/tauri.md", "tests/migrations.sh, by hand"),
    // Commands of this checkout, not of its users; CONTRIBUTING.md has them among those that are run by hand.
    ("benchmarks.md", "by hand"),
    ("benchmarks/", "by hand"),
    ("fuzzing.md", "by hand"),
    ("install.md", "by hand"),
];

#[test]
fn every_block_of_a_guide_is_followed_or_says_that_it_is_not() {
    let tests = include_str!("guides.rs");
    let (mut pages, mut folders) = (Vec::new(), vec![workspace().join("docs")]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "md") => pages.push(path),
                false => {}
            }
        }
    }
    let mut followed = 0;
    for page in pages {
        let name = page.strip_prefix(workspace().join("docs")).unwrap().to_str().unwrap().to_owned();
        if ELSEWHERE.iter().any(|(page, _)| name.starts_with(page)) {
            continue;
        }
        for (number, block) in blocks(&name).iter().enumerate() {
            let is_followed = tests.contains(&format!("\"{name}\", {number}"));
            assert!(is_followed || block.says_not_run, "{name}: no test follows block {number}: {:?}", block.lines);
            followed += usize::from(is_followed);
        }
    }
    assert!(followed >= 20, "{followed} blocks only: are they still found?");
}

#[test]
fn components() {
    let people = People::new(&["--dev"]);
    table(
        &people.package,
        "components = [{ name = \"model\", folder = \"assets\", version-file = \"assets/VERSION\" }]",
    );
    let model = |version: &str| {
        std::fs::create_dir_all(people.package.path("assets")).unwrap();
        people.package.write("assets/VERSION", &format!("{version}\n"));
        people.package.write("assets/words", &format!("the words of {version}\n"));
    };
    // Something new for each of them.
    people.follow("components.md", 0, |people, command| {
        let (app, words) = match command {
            "cargo updater publish" => ("1.4.0", "3.0.0"),
            "cargo updater publish --component model" => ("1.4.0", "3.0.1"),
            "cargo updater publish --no-components" => ("1.4.1", "3.0.2"),
            _ => {
                model("3.1.0");
                std::fs::rename(people.package.path("assets"), people.package.path("DIR")).unwrap();
                ("1.4.1", "3.0.1")
            }
        };
        people.version(app);
        model(words);
    });
    people.follow("components.md", 1, |_, _| {});
    let status = people.package.run(&["status"]).ok().stdout;
    assert!(status.contains("1.4.1") && status.contains("3.1.0") && !status.contains("3.0.2"), "{status}");
}

#[test]
fn keys_of_one_person() {
    let people = People::new(&["--url", "https://example.com/hello"]);
    people.publish("1.0.0");
    people.follow("keys.md", 0, |_, _| {});
    people.follow("keys.md", 5, |_, _| {});
    people.publish("1.1.0");
    if require::command("minisign", "apt-get install minisign") {
        // A key as Tauri keeps it: the whole file of minisign once more in base64.
        people.run("you", "minisign -G -W -s tauri.key -p tauri.pub && mkdir -p ~/.tauri && base64 -w 0 tauri.key > ~/.tauri/hello.key");
        people.follow("keys.md", 2, |_, _| {});
        people.publish("1.2.0");
    }
    people.package.run(&["verify", "--deep"]).ok();
}

#[test]
fn keys_of_several_people() {
    if !require::command("minisign", "apt-get install minisign") {
        return;
    }
    let people = People::new(&["--url", "https://example.com/hello"]);
    people.publish("1.0.0");
    // From a machine without a network.
    people.follow("keys.md", 1, |_, _| {});
    people.run("you", "cargo updater keys resume --abort");
    // Two people with nothing but minisign: their public keys go to the project, what is to be signed to them.
    people.follow("keys.md", 6, |people, command| {
        if command.contains("rotate") {
            people.gives("anna", "anna.pub");
            people.gives("bert", "bert.pub");
        }
    });
    people.follow("keys.md", 7, |people, command| match command.split_whitespace().nth(4) {
        Some("review") => {
            for file in ["root.canonical.json", "root.json"] {
                let from =
                    if file == "root.json" { people.package.path("updater/root.json") } else { people.stick(file) };
                std::fs::copy(from, people.home("anna").join(file)).unwrap();
            }
        }
        Some("import") => people.gives("anna", "root.canonical.json.minisig"),
        _ => {}
    });
    people.package.run(&["verify"]).ok();
    people.publish("1.1.0");
}

#[test]
fn another_key_for_each_role() {
    if !require::command("minisign", "apt-get install minisign") {
        return;
    }
    let people = People::new(&["--url", "https://example.com/hello"]);
    people.publish("1.0.0");
    for name in ["anna", "bert", "carla"] {
        people.run(name, &format!("minisign -G -W -s {name}.key -p {name}.pub"));
        people.gives(name, &format!("{name}.pub"));
    }
    people.follow("keys.md", 4, |_, _| {});
    people.run("you", "cargo updater keys resume --abort");
    // A channel of three, two of whom must sign.
    people.follow("keys.md", 8, |_, _| {});
    people.run_to(&[0, 60], "you", "cargo updater publish");
    std::fs::create_dir_all(people.home("bert").join(".config/cargo-updater/keys/hello")).unwrap();
    for file in ["bert.key", "bert.pub"] {
        let to = people.home("bert").join(".config/cargo-updater/keys/hello").join(file);
        std::fs::copy(people.home("bert").join(file), to).unwrap();
    }
    people.follow("keys.md", 9, |_, _| {});
}

#[test]
fn a_command_that_signs() {
    if !require::command("ssh-agent", "apt-get install openssh-client")
        || !require::command("python3", "apt-get install python3")
    {
        return;
    }
    let people = People::new(&["--url", "https://example.com/hello"]);
    people.publish("1.0.0");
    let (socket, key) = (people.home("you").join("agent"), people.home("you").join(".ssh/release"));
    std::fs::create_dir_all(key.parent().unwrap()).unwrap();
    let _agent = Agent::with_key(&socket, &key);
    people.has("SSH_AUTH_SOCK", socket.to_str().unwrap());
    let script = people.package.path("ssh-agent.py");
    std::fs::copy(workspace().join("docs/signers/ssh-agent.py"), &script).unwrap();
    // The editor of somebody who knows what to write.
    let command = serde_json::json!({ "format": 1, "command": ["python3", script, "sign", key.with_extension("pub")] });
    let editor = people.package.path("editor");
    crate::publish::write_program(&editor, &format!("#!/bin/sh\ncat > \"$1\" <<'END'\n{command}\nEND\n"));
    people.say("$EDITOR", editor.to_str().unwrap());
    people.follow("keys.md", 3, |_, _| {});
    people.publish("1.1.0");
    people.package.run(&["verify", "--deep"]).ok();
}

#[test]
fn a_copy_for_the_worst_day() {
    let people = People::new(&["--url", "https://example.com/hello"]);
    people.publish("1.0.0");
    people.follow("recovery.md", 0, |_, _| {});
    let repository = people.package.path("target/updater/repository/hello");
    std::fs::remove_dir_all(&repository).unwrap();
    people.follow("recovery.md", 1, |_, _| {});
    people.package.run(&["verify", "--deep"]).ok();
    // The copy is older than the keys, and this machine does not know what came after it.
    people.run("you", "cargo updater keys rotate targets");
    std::fs::remove_dir_all(&repository).unwrap();
    std::fs::remove_file(people.package.keys().join("last-published.json")).unwrap();
    people.run("you", "cargo updater restore /backup/hello");
    people.follow("recovery.md", 2, |_, _| {});
    people.run("you", "cargo updater keys rotate online");
    people.publish("1.1.0");
    people.package.run(&["verify", "--deep"]).ok();
}

#[test]
fn a_job_a_page_and_several_machines() {
    if !require::command("man", "apt-get install man-db") {
        return;
    }
    let people = People::new(&["--url", "https://example.com/hello"]);
    people.publish("1.0.0");
    people.follow("page.md", 0, |_, _| {});
    let page = std::fs::read_to_string(people.package.path("target/page/index.html")).unwrap();
    assert!(page.contains("1.0.0") && people.package.path("updater/page/index.html").is_file());
    // A second target, of which only the bundle is made: there is no compiler for it.
    table(&people.package, &format!("targets = [\"{TRIPLE}\", \"aarch64-unknown-linux-gnu\"]"));
    people.version("1.1.0");
    people.run("you", &format!("cargo updater bundle --target {TRIPLE} --out linux"));
    crate::publish::files(&people.package, "1.1.0");
    people.run(
        "you",
        "cargo updater bundle --from-dir dist --version 1.1.0 --target aarch64-unknown-linux-gnu --out arm",
    );
    people.follow("releases.md", 0, |_, _| {});
    // The job has one key and nothing else.
    let online = people.package.keys().join("online.key");
    people.has("UPDATER_ONLINE_KEY", &std::fs::read_to_string(&online).unwrap());
    people.say("UPDATER_ONLINE_KEY=... ", "");
    std::fs::remove_file(online).unwrap();
    people.follow("refresh.md", 0, |_, _| {});
    assert!(people.package.path(".updater-record/last-published.json").is_file());
    people.follow("shells.md", 0, |_, _| {});
    people.follow("shells.md", 1, |_, _| {});
    assert!(people.package.read("updater.schema.json").contains("missing-status"));
}

#[test]
fn setting_up_for_github() {
    let people = People::new(&[]);
    people.follow("github.md", 0, |_, _| {});
    assert!(people.package.read("Cargo.toml").contains("storage = \"github:owner/app\""));
    assert!(people.package.path(".github/workflows/cargo-updater.yml").is_file());
}

/// A hook that is as plain as the page says, and the signed text that it uploads, checked by hand.
#[test]
fn an_upload_by_a_script_and_version_by_hand() {
    if !require::command("minisign", "apt-get install minisign") || !require::command("curl", "apt-get install curl") {
        return;
    }
    let server = TestServer::start();
    let people = People::new(&["--url", &server.url("/hello")]);
    let www = people.stick("www");
    std::fs::create_dir_all(www.join("hello")).unwrap();
    server.serve_folder(&www);
    let (page, number) = ("hooks.md", 0);
    let script = blocks(page).swap_remove(number).text;
    crate::publish::write_program(
        &people.package.path("upload.sh"),
        &script.replace("/srv/www", www.to_str().unwrap()),
    );
    table(&people.package, "storage = \"command\"\nhooks = { upload = [\"./upload.sh\"] }");
    people.publish("1.0.0");
    assert!(Path::new(&www).join("hello/metadata/timestamp.json").is_file());

    let key = people.package.read(people.package.keys().join("stable.pub").to_str().unwrap());
    people.say("RWQ...", key.lines().nth(1).unwrap());
    people.say("https://example.com/hello", &server.url("/hello"));
    people.follow("format/version.md", 0, |_, _| {});
}
