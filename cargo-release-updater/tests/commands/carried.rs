//! Keys that come from elsewhere: packs, other tools, commands that sign, a variable, stdin.

use crate::package::Package;
use crate::publish::{files, publish};
use crate::refresh::real_package;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use updater_tests::require;

fn move_key(package: &Package, name: &str) -> String {
    let path = package.keys().join(format!("{name}.key"));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    text
}

#[test]
fn a_pack_from_another_machine_gets_a_say() {
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let offline = package.home().join("offline").to_str().unwrap().to_owned();
    let pack = package.home().join("anna.json");
    let file = pack.to_str().unwrap();
    package.run(&["keys", "new", "anna", "--app", "hello", "--no-password", "--key-dir", &offline]).ok();
    let export = ["keys", "export", file, "anna", "--app", "hello", "--key-dir", &offline];
    package.run(&export).ok();
    package.run(&export).fails(40, &format!("{file} exists already"), "move it away");
    package.run(&["keys", "export", "x.json", "nobody"]).fails(40, "there is no secret key nobody here", "keys list");
    let text = std::fs::read_to_string(&pack).unwrap();
    let secret = std::fs::read_to_string(Path::new(&offline).join("anna.key")).unwrap();
    assert!(!text.contains(secret.lines().nth(1).unwrap()) && text.contains("\"proof\""), "{text}");

    package.run(&["keys", "import", file, "--dry-run"]).ok();
    assert!(!package.keys().join("anna.pub").exists());
    let run = package.run(&["keys", "import", file]).ok();
    assert!(run.stderr.contains("public half only"), "{}", run.stderr);
    package.run(&["keys", "import", file]).fails(40, "", "move it away");
    let public = package.keys().join("anna.pub").to_str().unwrap().to_owned();
    let rotate = ["keys", "rotate", "root", "--add", "--with", &public, "--owner", "Anna", "--threshold", "2"];
    package.run(&rotate).fails(11, "1 of 2 signatures of root by the new root", "keys root export");
    // She goes on in her checkout, where only her key is; then here, where the online key is.
    let run = package.run(&["keys", "resume", "--key-dir", &offline]).ok();
    assert!(run.stderr.contains("Published the new documents of hello: root"), "{}", run.stderr);
    let listed = package.run(&["keys", "list"]).ok().stdout;
    assert!(listed.contains("root: 2 of 2 must sign, cannot be signed here"), "{listed}");
    assert!(listed.contains("Anna, anna, public half only"), "{listed}");
}

#[test]
fn a_pack_of_secrets_is_asked_for_and_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let package = real_package();
    let run = package.run(&["keys", "export", "backup.json", "--with-secrets"]).ok();
    assert!(run.stderr.contains("holds secret keys"), "{}", run.stderr);
    assert_eq!(package.path("backup.json").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // As after the loss of the machine.
    std::fs::remove_dir_all(package.keys()).unwrap();
    let run = package.run(&["keys", "import", "backup.json"]).ok();
    assert!(run.stderr.contains("root has no password"), "{}", run.stderr);
    assert_eq!(package.keys().join("root.key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    package.run(&publish("1.0.0", &[])).ok();
}

#[test]
fn a_key_of_another_tool_becomes_the_key_of_a_channel() {
    use base64::Engine as _;
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    // A Tauri key: an encrypted minisign file, wrapped in base64 once more.
    let password = [("UPDATER_KEY_PASSWORD", "a password")];
    let folder = package.home().join("tauri");
    let folder = folder.to_str().unwrap();
    package.run_with(&["keys", "new", "tauri", "--app", "x", "--key-dir", folder], &password).ok();
    let text = std::fs::read_to_string(Path::new(folder).join("tauri.key")).unwrap();
    package.write("tauri.key", &base64::engine::general_purpose::STANDARD.encode(text));
    package.run(&["keys", "import", "tauri.key"]).fails(2, "a key of another tool can only be", "--channel NAME");
    let import = ["keys", "import", "tauri.key", "--channel", "stable"];
    package.run(&import).fails(40, "", "UPDATER_KEY_PASSWORD");
    package.run_with(&import, &password).ok();
    let public = package.keys().join("stable-2.pub").to_str().unwrap().to_owned();
    package.run_with(&["keys", "rotate", "stable", "--with", &public, "--wait", "0"], &password).ok();
    files(&package, "1.1.0");
    package.run_with(&publish("1.1.0", &[]), &password).ok();
    package.run(&["verify", "--deep"]).ok();
}

#[test]
fn a_key_in_a_variable_or_on_stdin_signs() {
    let package = real_package();
    let (stable, online) = (move_key(&package, "stable"), move_key(&package, "online"));
    let variables = [("UPDATER_KEY", stable.as_str()), ("UPDATER_ONLINE_KEY", &online)];
    package.run_with(&publish("1.0.0", &[]), &variables).ok();
    files(&package, "1.1.0");
    let mut arguments = publish("1.1.0", &["--key-stdin"]);
    arguments.extend(["--message-format", "json"]);
    let mut command = package.command(&arguments);
    command.env("UPDATER_ONLINE_KEY", &online).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stable.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    package.run(&["verify", "--deep"]).ok();
    let run = package.run_with(&publish("1.2.0", &[]), &[("UPDATER_KEY", "no key")]);
    run.fails(40, "UPDATER_KEY is not a minisign key", "minisign -G");
}

/// An ssh-agent that ends with the test.
pub(crate) struct Agent(std::process::Child);

impl Agent {
    /// Starts one, and gives it a new key that is nowhere else then. The public half is in the file `KEY.pub`.
    pub(crate) fn with_key(socket: &Path, key: &Path) -> Self {
        let mut command = Command::new("ssh-agent");
        let child = command.args(["-D", "-a"]).arg(socket).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let agent = Self(child);
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).env("SSH_AUTH_SOCK", socket).output().unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        run("ssh-add", &["-q", key.to_str().unwrap()]);
        std::fs::remove_file(key).unwrap();
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_ssh_agent_signs_for_a_channel() {
    if !require::command("ssh-agent", "apt-get install openssh-client")
        || !require::command("minisign", "apt-get install minisign")
        || !require::command("python3", "apt-get install python3")
    {
        return;
    }
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let home = package.home();
    let (socket, key) = (home.join("agent"), home.join("id"));
    // From here on nobody but the agent has it.
    let _agent = Agent::with_key(&socket, &key);

    let script = updater_tests::workspace().join("docs/signers/ssh-agent.py");
    let (script, public) = (script.to_str().unwrap(), home.join("id.pub"));
    let minisign = Command::new("python3").args([script, "public", public.to_str().unwrap()]).output().unwrap();
    package.write("agent.pub", std::str::from_utf8(&minisign.stdout).unwrap());
    package.run(&["keys", "import", "agent.pub", "--channel", "stable"]).ok();
    let signer = package.keys().join("stable-2.signer");
    let command = serde_json::json!({ "format": 1, "command": ["python3", script, "sign", public.to_str().unwrap()] });
    std::fs::write(&signer, command.to_string()).unwrap();
    let listed = package.run(&["keys", "list"]).ok();
    assert!(listed.stdout.contains("held by a command"), "{}", listed.stdout);
    let agent = [("SSH_AUTH_SOCK", socket.to_str().unwrap())];
    let with = package.keys().join("stable-2.pub").to_str().unwrap().to_owned();
    package.run_with(&["keys", "rotate", "stable", "--with", &with, "--wait", "0"], &agent).ok();
    files(&package, "1.1.0");
    let run = package.run_with(&publish("1.1.0", &[]), &[("SSH_AUTH_SOCK", "/nonexistent")]);
    run.fails(40, &format!("{} does not sign: python3 ended with", signer.display()), "run its command by hand");
    package.run_with(&publish("1.1.0", &[]), &agent).ok();
    package.run(&["verify", "--deep"]).ok();
    // What it signed is what stock minisign checks.
    let targets = package.path("target/updater/repository/hello/targets");
    let bundles = std::fs::read_dir(targets).unwrap().map(|entry| entry.unwrap().path());
    let bundle =
        bundles.into_iter().find(|path| path.to_str().unwrap().ends_with("1.1.0-x86_64-unknown-linux-gnu.tar.xz"));
    let mut minisign = Command::new("minisign");
    minisign.args(["-V", "-p", "agent.pub", "-m"]).arg(bundle.unwrap()).current_dir(package.path(""));
    assert!(minisign.stdout(Stdio::null()).status().unwrap().success());

    std::fs::write(&signer, r#"{"format":1,"command":["echo","no signature"]}"#).unwrap();
    files(&package, "1.2.0");
    package.run(&publish("1.2.0", &[])).fails(
        40,
        &format!("{} does not sign: echo gave 13 bytes", signer.display()),
        "stdin",
    );
}

#[test]
fn keys_of_stock_minisign_with_and_without_a_password_work_everywhere() {
    if !require::command("minisign", "apt-get install minisign") {
        return;
    }
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let folder = package.home().join("minisign");
    std::fs::create_dir_all(&folder).unwrap();
    let make = |name: &str, protection: &[&str]| {
        let mut minisign = Command::new("minisign");
        minisign.args(["-G", "-s", &format!("{name}.key"), "-p", &format!("{name}.pub")]).args(protection);
        let mut child = minisign.current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // Without a password it reads nothing, and may be gone by now.
        let _ = child.stdin.take().unwrap().write_all(b"a stock password\na stock password\n");
        assert!(child.wait().unwrap().success());
    };
    make("locked", &[]);
    make("open", &["-W"]);
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let password = [("UPDATER_KEY_PASSWORD", "a stock password")];

    // As the key of the channel, in the folder of keys.
    package.run(&["keys", "import", &file("locked.key"), "--channel", "stable"]).fails(40, "", "UPDATER_KEY_PASSWORD");
    package.run_with(&["keys", "import", &file("locked.key"), "--channel", "stable"], &password).ok();
    let public = package.keys().join("stable-2.pub").to_str().unwrap().to_owned();
    package.run_with(&["keys", "rotate", "stable", "--with", &public], &password).ok();
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).fails(40, "", "UPDATER_KEY_PASSWORD");
    package.run_with(&publish("1.1.0", &[]), &[("UPDATER_KEY_PASSWORD", "another")]).fails(
        40,
        "wrong password",
        "try again",
    );
    package.run_with(&publish("1.1.0", &[]), &password).ok();
    // As the online key of a scheduled job, in a variable; first the open one, then the one with a password.
    let rotate = |name: &str| {
        let with = file(&format!("{name}.pub"));
        assert_eq!(package.run(&["keys", "rotate", "online", "--with", &with, "--wait", "0"]).code, 11);
    };
    rotate("open");
    let job = ["refresh", "--key-dir", "job", "--wait", "0"];
    package.run_with(&job, &[("UPDATER_ONLINE_KEY", &text("open.key"))]).ok();
    package.run(&["keys", "resume"]).ok();
    make("later", &[]);
    rotate("later");
    let (locked, key) = (text("later.key"), "UPDATER_ONLINE_KEY");
    package.run_with(&job, &[(key, &locked)]).fails(40, "UPDATER_ONLINE_KEY is encrypted", "");
    package.run_with(&job, &[(key, &locked), ("UPDATER_ONLINE_PASSWORD", "a stock password")]).ok();
    package.run(&["keys", "resume"]).ok();
    package.run(&["verify", "--deep"]).ok();
    // As a key of the root, on the machine of its holder.
    make("holder", &[]);
    assert_eq!(package.run(&["keys", "rotate", "root", "--with", &file("holder.pub")]).code, 11);
    package.run(&["keys", "root", "export", &file("")]).ok();
    let holder = file("");
    let sign = ["keys", "root", "sign", &file("root.canonical.json"), "--key-dir", &holder];
    package.run_with(&sign, &password).ok();
    package.run(&["keys", "root", "import", &file("root.signed.json")]).ok();
    package.run(&["verify", "--deep"]).ok();
}
