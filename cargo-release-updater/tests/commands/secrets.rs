//! No secret leaves its file: every command is run, with errors provoked on purpose, and every byte that is written,
//! printed or handed to another program is searched for seeds, keys and passwords.

use crate::package::Package;
use crate::publish::{files, publish, write_program};
use base64::Engine as _;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The password of the keys.
const PASSWORD: &str = "correct-horse-battery-7391";
/// One that opens nothing, typed by mistake: perhaps that of something else.
const WRONG: &str = "hunter2-is-not-it-4417";
/// Credentials where none belong.
const TOKEN: &str = "AKIA0SECRET0TOKEN0042";

/// Runs commands and keeps what they tell and what they tell other programs.
struct Watched {
    package: Package,
    told: Vec<u8>,
    /// The commands that were run, by their words.
    covered: BTreeSet<String>,
}

impl Watched {
    fn new() -> Self {
        let watched = Self { package: Package::new(), told: Vec::new(), covered: BTreeSet::new() };
        let bin = watched.bin();
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(watched.package.home().join("children")).unwrap();
        for program in ["cargo", "git", "rustc", "ssh", "tar"] {
            let real = real(program).unwrap_or_else(|| "/bin/false".into());
            // Nobody is called here: what would be told to another machine counts, not its answer.
            let real = if program == "ssh" { Path::new("/bin/false").to_owned() } else { real };
            let trap = watched.trap(program).display().to_string();
            let script = format!("#!/bin/sh\n{{ echo \"$0 $*\"; env; }} >> {trap}\nexec {} \"$@\"\n", real.display());
            write_program(&bin.join(program), &script);
        }
        watched
    }

    fn bin(&self) -> PathBuf {
        self.package.home().join("bin")
    }

    /// The file in which another program writes what it was given.
    fn trap(&self, program: &str) -> PathBuf {
        self.package.home().join("children").join(program)
    }

    /// Runs the program, by people's words, with JSON, and in detail. The exit code must be one of these.
    fn run(&mut self, arguments: &[&str], variables: &[(&str, &str)], codes: &[i32]) {
        let output = self.command(arguments, variables).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code().unwrap();
        assert!(codes.contains(&code), "{arguments:?} ended with {code}: {stderr}");
        self.keep(arguments, &output.stdout, &output.stderr);
    }

    /// Runs what does not end by itself until it has told its first line.
    fn run_for_a_while(&mut self, arguments: &[&str], variables: &[(&str, &str)]) {
        use std::io::{BufRead as _, Read as _};
        let mut command = self.command(arguments, variables);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut stdout, mut stderr) = (String::new(), Vec::new());
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut stdout).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        assert!(!stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        self.keep(arguments, stdout.as_bytes(), &stderr);
    }

    fn keep(&mut self, arguments: &[&str], stdout: &[u8], stderr: &[u8]) {
        let words = (1..=arguments.len().min(3)).map(|words| arguments[..words].join(" "));
        self.covered.extend(words);
        self.told.extend(arguments.join(" ").bytes());
        self.told.extend(stdout);
        self.told.extend(stderr);
    }

    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-updater"));
        for name in ["UPDATER_KEY_DIR", "UPDATER_ONLINE_KEY", "XDG_CONFIG_HOME", "CARGO_TARGET_DIR", "RUSTC"] {
            command.env_remove(name);
        }
        let path = format!("{}:{}", self.bin().display(), std::env::var("PATH").unwrap());
        let password = self.package.home().join("password.key");
        let stdin = match arguments.contains(&"--password-stdin") {
            true => Stdio::from(std::fs::File::open(password).unwrap()),
            false => Stdio::null(),
        };
        command.args(arguments).current_dir(self.package.path("")).stdin(stdin);
        command.env("HOME", self.package.home()).env("PATH", path).env("CARGO", self.bin().join("cargo"));
        command.env("RUST_BACKTRACE", "full").envs(variables.iter().copied());
        command
    }
}

/// Returns the words of every command that the program has, as its own help lists them.
fn every_command(package: &Package) -> BTreeSet<String> {
    let mut leaves = BTreeSet::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(words) = open.pop() {
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let help = package.run(&arguments).ok().stdout;
        // Commands stand before the options, a name two spaces in; what its description goes on with stands further in.
        let listed = help.split("\nOptions:\n").next().unwrap();
        let names = listed.lines().filter_map(|line| line.strip_prefix("  "));
        let names = names.filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
        let names: Vec<&str> =
            names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
        if names.is_empty() {
            leaves.insert(words.join(" "));
        }
        open.extend(names.into_iter().map(|name| [words.as_slice(), &[name.to_owned()]].concat()));
    }
    leaves
}

/// Finds a program in the path of this test.
fn real(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// One thing that must not be found, with a name for it.
struct Needle {
    name: String,
    bytes: Vec<u8>,
}

/// Returns every form in which the secrets of the key files could leave them.
fn needles(keys: &[PathBuf]) -> Vec<Needle> {
    let mut needles: Vec<Needle> = [PASSWORD, WRONG, TOKEN]
        .iter()
        .map(|secret| Needle { name: (*secret).to_owned(), bytes: secret.as_bytes().to_vec() })
        .collect();
    for path in keys {
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().nth(1).unwrap();
        let secret = minisign::SecretKeyBox::from_string(&text).unwrap();
        let plain = line.starts_with("RWQAA");
        let opened = match plain {
            true => base64::engine::general_purpose::STANDARD.decode(line).unwrap(),
            false => secret.into_secret_key(Some(PASSWORD.to_owned())).unwrap().to_bytes(),
        };
        let seed = &opened[62..94];
        let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = |form: &str| format!("{} of {}", form, path.display());
        needles.push(Needle { name: name("the seed"), bytes: seed.to_vec() });
        needles.push(Needle { name: name("the hexadecimal seed"), bytes: hex.to_uppercase().into_bytes() });
        needles.push(Needle { name: name("the hexadecimal seed"), bytes: hex.into_bytes() });
        // As a list of numbers, which is how a derived Debug would print it.
        let list = seed[..8].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        needles.push(Needle { name: name("the printed seed"), bytes: list.into_bytes() });
        // In base64 the seed looks different at each of three places in a longer text.
        for shift in 0..3 {
            let shifted = [&vec![0; shift], seed].concat();
            let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(shifted);
            needles.push(Needle { name: name("the base64 seed"), bytes: text.as_bytes()[4..40].to_vec() });
        }
        needles.push(Needle { name: name("the key text"), bytes: line.as_bytes()[84..124].to_vec() });
    }
    needles
}

fn find(needles: &[Needle], place: &str, bytes: &[u8]) -> Vec<String> {
    let holds = |needle: &&Needle| bytes.windows(needle.bytes.len()).any(|window| window == needle.bytes);
    needles.iter().filter(holds).map(|needle| format!("{} in {place}", needle.name)).collect()
}

/// Everything that becomes of a release.
fn steer(watched: &mut Watched, open: &[(&str, &str)]) {
    files(&watched.package, "1.2.0");
    let mut run =
        |arguments: &[&str]| watched.run(&[arguments, &["--message-format", "json", "-v"]].concat(), open, &[0]);
    run(&publish("1.2.0", &["--channel", "beta"]));
    for arguments in [
        &["promote", "1.2.0", "--from", "beta", "--channel", "stable"][..],
        &["rollout", "1.2.0", "50"],
        &["hold", "1.2.0", "10"],
        &["require", "1.1.0"],
        &["retreat", "1.2.0", "1.1.0"],
        &["yank", "1.0.0"],
        &["floor", "1.0.0"],
        &["sign"],
    ] {
        run(&[&["release"], arguments].concat());
    }
    files(&watched.package, "1.3.0");
    let mut run = |arguments: &[&str]| watched.run(&[arguments, &["-v"]].concat(), open, &[0]);
    let mut bundle = publish("1.3.0", &[]);
    bundle[0] = "bundle";
    run(&bundle);
    run(&["diff", "--version", "1.3.0"]);
    run(&["sign", "--version", "1.3.0"]);
    run(&["rehearse"]);
}

/// Keys and signatures on their way between machines.
fn carry(watched: &mut Watched, keys: &Path, open: &[(&str, &str)]) {
    let home = watched.package.home();
    let mut run =
        |arguments: &[&str], variables: &[(&str, &str)], codes: &[i32]| watched.run(arguments, variables, codes);
    run(&["keys", "export", "public.json"], open, &[0]);
    // What is in it is as secret as the keys are. Not in the package, from where it would be published.
    let at_home = |name: &str| home.join(name).to_str().unwrap().to_owned();
    run(&["keys", "export", &at_home("backup.key"), "--with-secrets"], open, &[0]);
    run(&["keys", "import", &at_home("backup.key"), "--key-dir", &at_home("imported")], open, &[0]);
    let (root, away) = (keys.join("root.key"), keys.join("away"));
    std::fs::create_dir(&away).unwrap();
    std::fs::rename(&root, away.join("root.key")).unwrap();
    std::fs::copy(root.with_extension("pub"), away.join("root.pub")).unwrap();
    let away = away.to_str().unwrap();
    run(&["keys", "renew", "root"], open, &[11]);
    run(&["keys", "resume"], open, &[11]);
    run(&["keys", "root", "export", "exported"], open, &[0]);
    run(&["keys", "root", "review", "exported/root.canonical.json"], open, &[0]);
    run(
        &["keys", "root", "sign", "exported/root.canonical.json", "--key-dir", away],
        &[("UPDATER_KEY_PASSWORD", WRONG)],
        &[40],
    );
    run(&["keys", "root", "sign", "exported/root.canonical.json", "--key-dir", away], open, &[0]);
    run(&["keys", "root", "import", "exported/root.signed.json"], open, &[0]);
    std::fs::rename(Path::new(away).join("root.key"), root).unwrap();
    std::fs::remove_dir_all(away).unwrap();
}

#[test]
fn nothing_that_is_written_or_handed_on_holds_a_secret() {
    let mut watched = Watched::new();
    std::fs::write(watched.package.home().join("password.key"), format!("{PASSWORD}\n")).unwrap();
    let keys = watched.package.keys();
    let open = [("UPDATER_KEY_PASSWORD", PASSWORD)];
    let shut = [("UPDATER_KEY_PASSWORD", WRONG)];
    // A scheduled job has the key itself in a variable, encrypted here.
    let init =
        ["init", "--url", "http://127.0.0.1:9/hello", "--channel", "stable", "--channel", "beta", "--password-stdin"];
    watched.run(&init, &[], &[0]);
    for version in ["1.0.0", "1.1.0"] {
        files(&watched.package, version);
        // The program tells, too, what it is given when the rehearsal starts it.
        let tell = format!("\nenv >> {}\n", watched.trap("app").display());
        let script = watched.package.read("dist/hello").replacen('\n', &tell, 1);
        write_program(&watched.package.path("dist/hello"), &script);
        watched.run(&publish(version, &["-v"]), &open, &[0]);
    }
    let online = std::fs::read_to_string(keys.join("online.key")).unwrap();
    let job = [("UPDATER_ONLINE_KEY", online.as_str()), ("UPDATER_ONLINE_PASSWORD", PASSWORD)];
    watched.run(&["keys", "new", "spare", "--no-password"], &[], &[0]);
    let spare = std::fs::read_to_string(keys.join("spare.key")).unwrap();

    {
        // JSON on stdout, and people's words with every detail on stderr.
        let mut run = |arguments: &[&str], variables: &[(&str, &str)], codes: &[i32]| {
            watched.run(&[arguments, &["--message-format", "json", "-v"]].concat(), variables, codes);
        };
        run(&["status"], &open, &[0]);
        run(&["keys", "list"], &open, &[0]);
        run(&["release", "list"], &open, &[0]);
        run(&["release", "rollout", "1.0.0", "50"], &open, &[0]);
        run(&["release", "hold", "1.0.0", "10"], &open, &[0]);
        run(&["refresh", "--key-dir", "job"], &job, &[0]);
        run(&["verify", "--deep", "--save", "copy"], &open, &[0]);
        run(&["restore", "copy"], &open, &[0]);
        run(&["doctor"], &job, &[60]);
        run(&["services"], &open, &[0]);
        run(&["page"], &open, &[0]);
        run(&["prune", "--dry-run"], &open, &[0]);
        run(&[], &open, &[0]);
        run(&["completions", "bash"], &open, &[0]);
        run(&["man", "manual"], &open, &[0]);
        run(&["schema", "messages"], &open, &[0]);
        run(&["schema", "table"], &open, &[0]);
        run(&["keys", "renew", "root", "--password-stdin"], &[], &[0]);
        // One that makes keys of its own, as far as it gets without Cargo.
        run(&["demo"], &[&open[..], &job[..], &[("CARGO", "/bin/false")]].concat(), &[1, 2, 20, 30]);
        run(&["keys", "rotate", "online", "--wait", "0", "--dry-run"], &open, &[0]);
        // Errors on purpose.
        run(&["refresh"], &shut, &[40]);
        run(&["refresh"], &[], &[40]);
        run(&publish("1.2.0", &[]), &shut, &[30, 40]);
        run(&["keys", "rotate", "stable", "--dry-run"], &shut, &[0, 40]);
        run(
            &["refresh", "--key-dir", "job"],
            &[("UPDATER_ONLINE_KEY", &online), ("UPDATER_ONLINE_PASSWORD", WRONG)],
            &[40],
        );
        run(&["refresh", "--key-dir", "job"], &[("UPDATER_ONLINE_KEY", &online)], &[40]);
        let cut = &spare[..spare.len() - 20];
        run(&["refresh", "--key-dir", "job"], &[("UPDATER_ONLINE_KEY", cut)], &[40]);
        run(&["refresh", "--key-dir", "job"], &[("UPDATER_ONLINE_KEY", &spare)], &[40]);
        run(&["status", "--storage", "sftp://me@127.0.0.1:9/x"], &[&open[..], &job[..]].concat(), &[60]);
    }
    // Cargo builds the package itself; the build fails before it has left hundreds of megabytes to search, and is given nothing.
    std::fs::create_dir(watched.package.path(".cargo")).unwrap();
    watched.package.write(".cargo/config.toml", "[build]\nrustc = \"/bin/false\"\n");
    watched.run(&["bundle", "--message-format", "json", "-v"], &[&open[..], &job[..]].concat(), &[20, 30]);
    std::fs::remove_dir_all(watched.package.path(".cargo")).unwrap();
    steer(&mut watched, &open);
    carry(&mut watched, &keys, &open);
    watched.run_for_a_while(&["serve", "--bind", "127.0.0.1:0", "--message-format", "json"], &open);
    // What people read on stdout.
    watched.run(&["status"], &open, &[0]);
    watched.run(&["keys", "list"], &open, &[0]);
    watched.run(&["release", "list"], &open, &[0]);
    watched.run(&["verify"], &open, &[0]);
    watched.run(&["doctor"], &job, &[60]);
    // Addresses with credentials are an error of who typed them; they must not be repeated.
    for uri in [
        format!("sftp://me:{TOKEN}@host/path"),
        format!("sftp:me:{TOKEN}@host"),
        format!("s3://bucket?secret_access_key={TOKEN}"),
        format!("https://me:{TOKEN}@host/x"),
        format!("s4://me:{TOKEN}@host/x"),
    ] {
        let before = watched.told.len();
        watched.run(&["status", "--storage", &uri], &[], &[2, 20, 60]);
        watched.told.drain(before..before + "status --storage ".len() + uri.len());
    }
    // A secret key where a public one belongs.
    std::fs::copy(keys.join("spare.key"), keys.join("mistake.pub")).unwrap();
    watched.run(&["keys", "list", "-v"], &[], &[40]);
    watched.run(&["doctor", "--message-format", "json"], &[], &[40]);
    std::fs::remove_file(keys.join("mistake.pub")).unwrap();
    watched.run(&["keys", "rotate", "online", "--wait", "0"], &open, &[0]);
    watched.run(&["verify"], &[], &[0]);

    let mut secret_files: Vec<PathBuf> = std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path()).collect();
    secret_files.retain(|path| path.extension().is_some_and(|ending| ending == "key"));
    assert!(secret_files.len() >= 6, "{secret_files:?}");
    let needles = needles(&secret_files);
    let trap = |program: &str| String::from_utf8_lossy(&std::fs::read(watched.trap(program)).unwrap()).into_owned();
    for (program, words) in [
        ("cargo", "bin/cargo metadata"),
        ("cargo", "bin/cargo package"),
        ("cargo", "bin/cargo build"),
        ("git", "bin/git "),
        ("ssh", "bin/ssh "),
        ("app", "UPDATER_PROBE="),
    ] {
        assert!(trap(program).contains(words), "{words} was not started");
    }
    let mut found = find(&needles, "what was printed", &watched.told);
    let (mut in_keys, mut looked_at) = (Vec::new(), 0);
    for (path, bytes) in watched.package.snapshot() {
        let place = path.display().to_string();
        match place.ends_with(".key") {
            // The search finds what there is to be found.
            true => in_keys.extend(find(&needles, &place, &bytes)),
            false => found.extend(find(&needles, &place, &bytes)),
        }
        looked_at += 1;
    }
    assert_eq!(found, Vec::<String>::new());
    let missing: Vec<_> = every_command(&watched.package).difference(&watched.covered).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "commands that are not looked at here");
    assert!(looked_at > 40, "{looked_at} files");
    for control in ["the base64 seed of", "the key text of", PASSWORD] {
        assert!(in_keys.iter().any(|hit| hit.starts_with(control)), "{control}: {in_keys:?}");
    }
}
