//! Completions in the shells they are for, manual pages in the programs that show them, schemas in what editors use.

use crate::package::Package;
use std::process::{Command, Stdio};
use updater_tests::{require, workspace};

/// Runs a script in a shell, with the completions in a file, and returns what it says.
fn shell(program: &str, arguments: &[&str], script: &str) -> String {
    let output = Command::new(program).args(arguments).arg(script).stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && stderr.is_empty(), "{program}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Writes the completions of a shell into a file of a package, and returns its path.
fn completions(package: &Package, shell: &str, file: &str) -> String {
    let run = package.run(&["completions", shell]).ok();
    package.write(file, &run.stdout);
    package.path(file).display().to_string()
}

/// What every shell is asked, and words that the answer has and has not.
const QUESTIONS: &[(&[&str], &str, &str)] = &[
    (&["cargo-updater", "pub"], "publish", "status"),
    (&["cargo-updater", "release", "r"], "rollout", "publish"),
    (&["cargo-updater", "publish", "--ch"], "--channel", "--storage"),
    (&["cargo", "updater", "pub"], "publish", "status"),
    (&["cargo", "updater", "release", "r"], "rollout", "publish"),
    (&["cargo", "updater", "publish", "--ch"], "--channel", "--storage"),
];

#[test]
fn bash_completes_both_names_and_leaves_cargo_its_own() {
    if !require::command("bash", "apt-get install bash") {
        return;
    }
    let package = Package::new();
    let file = completions(&package, "bash", "completions.bash");
    for (words, has, has_not) in QUESTIONS {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let (last, before) = (words.last().unwrap(), words[words.len() - 2]);
        let script = format!(
            "_cargo() {{ COMPREPLY=(of-cargo); }}\nsource '{file}'\nCOMP_WORDS=({}); COMP_CWORD={}\n\
             function=$(complete -p {} | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n$function {} '{last}' '{before}'\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quoted.join(" "),
            words.len() - 1,
            words[0],
            words[0],
        );
        let told = shell("bash", &["--norc", "-c"], &script);
        assert!(told.lines().any(|line| line == *has), "{words:?}: {told}");
        assert!(!told.lines().any(|line| line == *has_not || line == "of-cargo"), "{words:?}: {told}");
    }
    let script = format!(
        "_cargo() {{ COMPREPLY=(of-cargo); }}\nsource '{file}'\nCOMP_WORDS=(cargo bui); COMP_CWORD=1\n\
         _cargo_and_updater cargo bui cargo\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    assert_eq!(shell("bash", &["--norc", "-c"], &script), "of-cargo\n");
}

#[test]
fn zsh_completes_both_names_where_cargo_has_its_own() {
    if !require::command("zsh", "apt-get install zsh") {
        return;
    }
    let package = Package::new();
    std::fs::create_dir_all(package.path("functions")).unwrap();
    completions(&package, "zsh", "functions/_cargo-updater");
    // A stand-in of Cargo's, which passes on what it does not know in the same way: by a function of that name.
    package.write(
        "functions/_cargo",
        "#compdef cargo\nlocal ret=1\nshift words; (( CURRENT-- ))\n_call_function ret _cargo-${words[1]}\nreturn ret\n",
    );
    for (words, has, has_not) in QUESTIONS {
        // zsh completes on a terminal only: `zpty` gives it one. The list of matches ends with the marks.
        let script = format!(
            "zmodload zsh/zpty\nzpty z zsh -f -i\nzpty -w z 'PS1=; unsetopt beep; fpath=({} $fpath); autoload -U compinit; \
             compinit -u -d {}; zstyle \":completion:*\" list-prompt \"\"; LISTMAX=0; \
             comppostfuncs=(print_all); print_all() {{ print -r -- \"<<$compstate[nmatches]>>\" }}; \
             compadd() {{ builtin compadd \"$@\"; builtin compadd -O found \"$@\"; print -rl -- \"m:$^found[@]\" }}; print ready'\n\
             repeat 100 {{ zpty -r -t z line && [[ $line == *ready* && $line != *print* ]] && break; sleep 0.05 }}\n\
             zpty -w -n z $'{}\\t'\nrepeat 200 {{ if zpty -r -t z line; then print -r -- $line; [[ $line == *'>>'* ]] && break; \
             else sleep 0.02; fi }}\nzpty -d z",
            package.path("functions").display(),
            package.path("zcompdump").display(),
            words.join(" "),
        );
        let told = shell("zsh", &["-f", "-c"], &script);
        assert!(told.contains(has), "{words:?}: {told}");
        assert!(!told.contains(&format!("m:{has_not}")), "{words:?}: {told}");
    }
}

#[test]
fn fish_completes_both_names() {
    if !require::command("fish", "apt-get install fish") {
        return;
    }
    let package = Package::new();
    let file = completions(&package, "fish", "completions.fish");
    std::fs::create_dir_all(package.home()).unwrap();
    for (words, has, has_not) in QUESTIONS {
        let output = Command::new("fish")
            .args(["--no-config", "-c", &format!("source '{file}'; complete -C '{}'", words.join(" "))])
            .env("HOME", package.home())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let of = |word: &str| told.lines().any(|line| line.split('\t').next() == Some(word));
        assert!(of(has), "{words:?}: {told} {}", String::from_utf8_lossy(&output.stderr));
        assert!(!of(has_not), "{words:?}: {told}");
    }
}

#[test]
fn powershell_completes_the_name_and_cargo_where_it_is_asked_to() {
    let program = "pwsh";
    if Command::new(program).arg("--version").output().is_err() {
        // Debian has none; nothing that runs here depends on it.
        println!("skipped: pwsh (install PowerShell 7, for example by `dotnet tool install --global PowerShell`)");
        return;
    }
    let package = Package::new();
    let file = completions(&package, "powershell", "completions.ps1");
    for (words, has, has_not) in QUESTIONS {
        let line = words.join(" ");
        let script = format!(
            ". '{file}'; Register-CargoUpdaterForCargo; \
             (TabExpansion2 -inputScript '{line}' -cursorColumn {}).CompletionMatches | ForEach-Object {{ $_.CompletionText }}",
            line.len()
        );
        let told = shell(program, &["-NoProfile", "-NonInteractive", "-Command"], &script);
        assert!(told.lines().any(|line| line.trim() == *has), "{words:?}: {told}");
        assert!(!told.lines().any(|line| line.trim() == *has_not), "{words:?}: {told}");
    }
}

#[test]
fn every_command_has_a_manual_page_that_a_formatter_takes() {
    let package = Package::new();
    let run = package.run(&["man", "man/man1", "--message-format", "json"]).ok();
    let pages = run.messages("man-page");
    for name in
        ["cargo-updater.1", "cargo-updater-publish.1", "cargo-updater-keys-root-sign.1", "cargo-updater-release-yank.1"]
    {
        assert!(package.path("man/man1").join(name).is_file(), "{name} is missing");
    }
    let text = package.read("man/man1/cargo-updater-publish.1");
    assert!(text.starts_with(".ie") && text.contains("cargo updater publish \\-\\-dry\\-run"), "{text}");
    if require::command("mandoc", "apt-get install mandoc") {
        let paths: Vec<_> = pages.iter().map(|page| page["path"].as_str().unwrap()).collect();
        let output = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).args(&paths).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let output = Command::new("mandoc").args(["-T", "utf8"]).arg(paths[0]).output().unwrap();
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(page.contains("cargo-updater(1)") || page.contains("CARGO-UPDATER(1)"), "{page}");
    }
    // A dry run writes nothing, and a file in the way is told.
    package.run(&["man", "other", "--dry-run"]).ok();
    assert!(!package.path("other").exists());
    package.write("file", "");
    package.run(&["man", "file"]).fails(20, "", "name a folder that you can write");
}

#[test]
fn schemas_are_written_as_they_are_committed() {
    let package = Package::new();
    for (what, file) in [("messages", "messages"), ("table", "table")] {
        let run = package.run(&["schema", what, "--message-format", "json"]).ok();
        let committed = workspace().join(format!("cargo-release-updater/schema/{file}.schema.json"));
        assert_eq!(run.stdout, std::fs::read_to_string(committed).unwrap());
    }
}

#[test]
fn an_editor_sees_a_wrong_key_by_the_schema() {
    let Some(taplo) = updater_tests::peers::python_program("taplo", "taplo==0.9.3") else {
        return;
    };
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    package.write("updater.schema.json", &package.run(&["schema", "table"]).ok().stdout);
    let lint = |package: &Package| {
        let mut command = Command::new(&taplo);
        command.args(["lint", "--no-auto-config", "--schema"]);
        command.arg(format!("file://{}", package.path("updater.schema.json").display())).arg("Cargo.toml");
        command.current_dir(package.path("")).output().unwrap()
    };
    let output = lint(&package);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    package.write(
        "Cargo.toml",
        &package
            .read("Cargo.toml")
            .replace("[package.metadata.updater]", "[package.metadata.updater]\ntrail = \"confirm\""),
    );
    let output = lint(&package);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("trail"), "{told}");
}
