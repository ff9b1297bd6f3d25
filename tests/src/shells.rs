//! Asks a shell to complete words with a script of completions loaded, as a person does with the key Tab.

use std::path::Path;
use std::process::{Command, Stdio};

/// Asks bash. `before` is run before the script is loaded.
///
/// # Panics
/// When bash fails or complains.
#[must_use]
pub fn bash(before: &str, script: &Path, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (name, last, previous) = (words[0], words[words.len() - 1], words[words.len() - 2]);
    let text = format!(
        "{before}\nsource '{}'\nCOMP_WORDS=({}); COMP_CWORD={}\n\
         function=$(complete -p {name} | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n$function {name} '{last}' '{previous}'\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        quoted.join(" "),
        words.len() - 1,
    );
    lines(&run(Command::new("bash").args(["--norc", "-c", &text])))
}

/// Asks zsh, with a folder of completions in `fpath`.
///
/// # Panics
/// When zsh fails or complains.
#[must_use]
pub fn zsh(functions: &Path, words: &[&str]) -> Vec<String> {
    // zsh completes on a terminal only: `zpty` gives it one. The list of matches ends with the marks.
    let text = format!(
        "zmodload zsh/zpty\nzpty z zsh -f -i\nzpty -w z 'PS1=; unsetopt beep; fpath=({} $fpath); autoload -U compinit; \
         compinit -u -d {}; zstyle \":completion:*\" list-prompt \"\"; LISTMAX=0; \
         comppostfuncs=(print_all); print_all() {{ print -r -- \"<<$compstate[nmatches]>>\" }}; \
         compadd() {{ builtin compadd \"$@\"; builtin compadd -O found \"$@\"; print -rl -- \"m:$^found[@]\" }}; print ready'\n\
         repeat 1200 {{ zpty -r -t z line && [[ $line == *ready* && $line != *print* ]] && break; sleep 0.05 }}\n\
         zpty -w -n z $'{}\\t'\nrepeat 3000 {{ if zpty -r -t z line; then print -r -- $line; [[ $line == *'>>'* ]] && break; \
         else sleep 0.02; fi }}\nzpty -d z",
        functions.display(),
        functions.with_extension("zcompdump").display(),
        words.join(" "),
    );
    let told = run(Command::new("zsh").args(["-f", "-c", &text]));
    // What is shown is broken into lines by the terminal: the matches are marked.
    let marked = told.lines().filter_map(|line| line.trim_end().rsplit_once("m:").map(|(_, word)| word.to_owned()));
    marked.collect()
}

/// Asks fish, with a home of its own.
///
/// # Panics
/// When fish cannot be started or gives no text.
#[must_use]
pub fn fish(home: &Path, script: &Path, words: &[&str]) -> Vec<String> {
    let text = format!("source '{}'; complete -C '{}'", script.display(), words.join(" "));
    let output = Command::new("fish").args(["--no-config", "-c", &text]).env("HOME", home).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    told.lines().filter_map(|line| line.split('\t').next().map(str::to_owned)).collect()
}

/// Asks PowerShell. `before` is run after the script is loaded.
///
/// # Panics
/// When it fails or complains.
#[must_use]
pub fn powershell(script: &Path, before: &str, words: &[&str]) -> Vec<String> {
    let line = words.join(" ");
    let text = format!(
        ". '{}'; {before}; (TabExpansion2 -inputScript '{line}' -cursorColumn {}).CompletionMatches | \
         ForEach-Object {{ $_.CompletionText }}",
        script.display(),
        line.len()
    );
    lines(&run(Command::new(POWERSHELL).args(["-NoProfile", "-NonInteractive", "-Command", &text])))
}

/// Tells whether PowerShell is here. Debian has none, and nothing that runs in CI depends on it.
#[must_use]
pub fn has_powershell() -> bool {
    let found = Command::new(POWERSHELL).arg("--version").output().is_ok();
    if !found {
        crate::require::opt_in("pwsh", "PowerShell 7, for example by `dotnet tool install --global PowerShell`");
    }
    found
}

/// Asserts that each question has the one word in its answer, and not the other.
///
/// # Panics
/// When an answer is another one.
pub fn asked<'q>(questions: &[Question<'q>], ask: impl Fn(&[&'q str]) -> Vec<String>) {
    for (words, has, has_not) in questions {
        let told = ask(words);
        assert!(told.iter().any(|word| word == has), "{words:?}: {told:?}");
        assert!(!told.iter().any(|word| word == has_not), "{words:?}: {told:?}");
    }
}

/// The words before the key Tab, one that is offered, and one that is not.
pub type Question<'q> = (&'q [&'q str], &'q str, &'q str);

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && stderr.is_empty(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).collect()
}

const POWERSHELL: &str = "pwsh";
