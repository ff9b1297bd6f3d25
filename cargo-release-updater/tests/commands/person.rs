//! A ceremony as a person goes through it: on a terminal, by question and answer.

use crate::publish::publish;
use crate::refresh::real_package;
use crate::terminal::Terminal;
use updater_tests::require;

#[test]
fn a_person_is_asked_which_role_and_whether_to_sign_and_to_publish() {
    if !require::command("tmux", "apt-get install tmux") {
        return;
    }
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let terminal = Terminal::start(&package.command(&["keys", "rotate", "--wait", "6"]), &package.home().join("tmux"));
    terminal.shows("Which role gets another key");
    terminal.types(&["Down", "Down", "Enter"]);
    terminal.shows("Password for the new keys");
    terminal.types(&["otter violin rust", "Enter"]);
    terminal.shows("The same again");
    terminal.types(&["otter violin rust", "Enter"]);
    terminal.shows("change: timestamp: ");
    terminal.shows("Sign this with the keys that are here?");
    terminal.types(&["y"]);
    terminal.shows("Publish what is signed of hello?");
    // An answer that stops it changes nothing, and the same command goes on.
    terminal.types(&["n"]);
    terminal.shows("stopped by your answer");
    terminal.shows("It ended with 2.");
    assert!(!terminal.screen().contains("otter"), "{}", terminal.screen());
    drop(terminal);
    assert!(!package.path("target/updater/repository/hello/metadata/2.root.json").exists());

    let terminal =
        Terminal::start(&package.command(&["keys", "rotate", "online", "--wait", "6"]), &package.home().join("tmux"));
    terminal.shows("Continuing the ceremony in");
    terminal.shows("Publish what is signed of hello?");
    terminal.types(&["y"]);
    terminal.shows("online-2.key");
    terminal.types(&["otter violin rust", "Enter"]);
    terminal.shows(" s left");
    terminal.shows("Published the new documents of hello: root");
    terminal.shows("It ended with 0.");
    drop(terminal);
    package.run(&["verify"]).ok();
}
