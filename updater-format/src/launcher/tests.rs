use super::*;
use serde_json::json;

fn table(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

fn one(value: Value) -> Result<LauncherSettings, LauncherError> {
    LauncherSettings::from_layers([&table(value)])
}

#[test]
fn nothing_gives_the_defaults() {
    assert_eq!(one(json!({})).unwrap(), LauncherSettings::default());
}

#[test]
fn a_later_layer_wins_key_by_key() {
    let bundle = table(json!({"args": ["--port", "80"], "stop": {"signal": "INT", "grace": "2s"}, "env": {"A": "1"}}));
    let local = table(json!({"args": ["--port", "8080"], "stop": {"grace": "9s"}, "env": {"B": "2"}}));
    let settings = LauncherSettings::from_layers([&bundle, &local]).unwrap();
    assert_eq!(settings.args, ["--port", "8080"], "a list is replaced");
    assert_eq!(settings.stop, Stop { signal: StopSignal::Int, grace: Span::seconds(9) });
    assert_eq!(settings.env.len(), 2);
}

#[test]
fn an_unknown_key_knows_its_neighbours() {
    match one(json!({"stop": {"grase": "1s"}})) {
        Err(LauncherError::UnknownKey { key, known }) => {
            assert_eq!(key, "stop.grase");
            assert_eq!(known, ["stop.grace", "stop.signal"]);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(one(json!({"restrat": "never"})), Err(LauncherError::UnknownKey { .. })));
    one(json!({"env": {"ANY": "x"}, "script": {"any": ["x"]}, "values": {"any": "x"}})).unwrap();
}

#[test]
fn a_wrong_value_names_its_key() {
    for (value, key) in [
        (json!({"restart": "sometimes"}), "restart"),
        (json!({"keep": 1}), "keep"),
        (json!({"keep": "2"}), "keep"),
        (json!({"interval": "0s"}), "interval"),
        (json!({"health": {"limit": "1s"}}), "health.limit"),
        (json!({"health": {"http": "https://127.0.0.1/"}}), "health.http"),
        (json!({"health": 3}), "health"),
        (json!({"exec": "../out"}), "exec"),
        (json!({"listen": "localhost"}), "listen"),
        (json!({"hooks": {"before-swap": [[]]}}), "hooks.before-swap"),
        (json!({"hooks": {"before-swap": ["bin/x"]}}), "hooks"),
        (json!({"script": {"x": []}}), "script.x"),
        (json!({"env": {"A=B": ""}}), "env.A=B"),
        (json!({"log": {"bytes": 1}}), "log.bytes"),
    ] {
        match one(value.clone()) {
            Err(LauncherError::Value { key: found, .. }) => assert_eq!(found, key, "{value}"),
            other => panic!("{value}: {other:?}"),
        }
    }
}

#[test]
fn the_old_version_never_answers_for_the_new_one() {
    let of =
        |health: Value, overlap: bool| one(json!({"listen": "0.0.0.0:8080", "overlap": overlap, "health": health}));
    for health in [
        json!({"http": "http://127.0.0.1:8080/health"}),
        json!({"http": "http://localhost:8080"}),
        json!({"http": "http://[::1]:8080/x"}),
        json!({"tcp": "127.0.0.1:8080"}),
    ] {
        match of(health.clone(), true) {
            Err(LauncherError::Value { key, .. }) => assert_eq!(key, "overlap", "{health}"),
            other => panic!("{health}: {other:?}"),
        }
        of(health, false).unwrap();
    }
    of(json!({"http": "http://127.0.0.1:8081/health", "tcp": "127.0.0.1:8082"}), true).unwrap();
    of(json!({"http": "http://[::1]/health"}), true).unwrap();
    match one(json!({"listen": "0.0.0.0:80", "health": {"http": "http://[::1]/health"}})) {
        Err(LauncherError::Value { key, .. }) => assert_eq!(key, "overlap"),
        other => panic!("{other:?}"),
    }
    one(json!({"health": {"http": "http://127.0.0.1:8080/"}})).unwrap();
}

#[test]
fn every_key_is_written_and_read_again() {
    let full = LauncherSettings::default().to_map();
    assert_eq!(LauncherSettings::from_layers([&full]).unwrap(), LauncherSettings::default());
    assert_eq!(full.len(), 17, "a new key belongs into docs/format/launcher.md");
}
