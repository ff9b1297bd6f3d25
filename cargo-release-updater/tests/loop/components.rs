//! The example of a component as a real program: it takes new words by a patch, in the same process, without a new version
//! of itself.

use crate::app::App;
use updater_tests::server::TestServer;
use updater_tests::workspace;

fn example(file: &str) -> String {
    std::fs::read_to_string(workspace().join("examples/components").join(file)).unwrap()
}

#[test]
fn the_example_swaps_its_words_while_it_runs() {
    let server = TestServer::start();
    let manifest = example("Cargo.toml");
    let table =
        manifest.split("[package.metadata.updater]\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let app = App::new(&example("src/main.rs"), &server.url(""), table);
    std::fs::create_dir(app.path("greetings")).unwrap();
    let words = |version: &str, words: &str| {
        app.write("greetings/VERSION", &format!("{version}\n"));
        app.write("greetings/words.txt", words);
        // Something that a patch saves.
        let mut state = 7u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'!' + (state >> 24) as u8 % 90)
        };
        app.write("greetings/voices.dat", &(0..20_000).map(|_| noise()).collect::<String>());
    };
    words("1.0.0", "hello");
    // One command publishes both.
    let repository = app.publish("repository");
    server.serve_folder(&repository);
    let installed = app.install(&repository, "1.0.0");

    let first = installed.run(&[""; 0]);
    assert!(first.status.success(), "{first:#?}");
    let lines: Vec<_> = first.stdout.lines().collect();
    assert!(lines[0].starts_with("(no words yet) from process ") && lines[1].starts_with("hello from process "));
    let process = |line: &str| line.rsplit(' ').next().map(str::to_owned);
    assert_eq!(process(lines[0]), process(lines[1]), "the same process");
    server.take_log();

    // New words without a new program, and nothing new the second time.
    words("1.1.0", "bonjour");
    app.publish_with("repository", &["--component", "greetings"]);
    let second = installed.run(&[""; 0]);
    let lines: Vec<_> = second.stdout.lines().collect();
    assert!(lines[0].starts_with("hello from") && lines[1].starts_with("bonjour from"), "{second:#?}");
    assert_eq!(process(lines[0]), process(lines[1]), "the same process");
    assert!(second.stderr.contains("greeter: words 1.0.0 -> 1.1.0 ("), "{second:#?}");
    let asked: Vec<_> = server.take_log().into_iter().map(|request| request.target).collect();
    assert_eq!(asked.iter().filter(|path| path.ends_with(".patch")).count(), 1, "{asked:?}");
    assert!(!asked.iter().any(|path| path.ends_with(".tar.xz")), "{asked:?}");
    let third = installed.run(&[""; 0]);
    assert!(third.stderr.contains("words 1.1.0: 1.1.0 is the newest version"), "{third:#?}");
    assert_eq!(std::fs::read_to_string(installed.path("bin/greetings/VERSION")).unwrap(), "1.1.0\n");
    assert!(!installed.path("bin/.greetings.updater").exists() && !installed.hidden().exists());

    // A new program without new words: the words stay listed.
    app.replace("Cargo.toml", "version = \"1.0.0\"", "version = \"1.2.0\"");
    let run =
        app.cargo_updater(&["publish", "--level", "1", "--storage", &format!("fs:{}", repository.display())]).ok();
    assert!(run.stderr.contains("Unchanged hello greetings 1.1.0 is published in stable already"), "{}", run.stderr);
    assert!(run.stderr.contains("Published hello 1.2.0 in stable"), "{}", run.stderr);
    let last = installed.run(&[""; 0]);
    assert!(last.stderr.contains("words 1.1.0: 1.1.0 is the newest version"), "{last:#?}");
}
