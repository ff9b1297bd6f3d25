//! Makes the schema of the messages from their types.

use crate::cli;
use crate::renewed::{committed, renewed};
use crate::shell::Message;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

/// The schemas by the names of the messages.
struct Messages {
    generator: SchemaGenerator,
    schemas: Map<String, Value>,
}

impl Messages {
    fn add<M: Message + JsonSchema>(&mut self) -> &mut Self {
        let mut schema = M::json_schema(&mut self.generator).to_value();
        // One that is another one under a name of its own: its fields stand here, or each half would refuse the other's.
        if let Some(Value::String(other)) = schema.as_object_mut().and_then(|schema| schema.remove("$ref")) {
            let other = &self.generator.definitions()[other.trim_start_matches("#/$defs/")];
            for (key, value) in other.as_object().unwrap() {
                schema.as_object_mut().unwrap().entry(key).or_insert_with(|| value.clone());
            }
        }
        schema["properties"]["reason"] = json!({ "const": M::REASON });
        match schema["required"].as_array_mut() {
            Some(required) => required.insert(0, json!("reason")),
            None => schema["required"] = json!(["reason"]),
        }
        let before = self.schemas.insert(M::REASON.to_owned(), schema);
        assert!(before.is_none(), "two messages are called {}", M::REASON);
        self
    }

    /// Every message there is.
    fn all() -> Value {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let mut all = Self { generator: settings.into_generator(), schemas: Map::new() };
        all.add::<crate::shell::Warning>()
            .add::<crate::shell::Failure>()
            .add::<cli::overview::Outside>()
            .add::<cli::overview::Overview>()
            .add::<cli::overview::NextMessage>()
            .add::<crate::init::Changes>()
            .add::<cli::keys::list::Key>()
            .add::<cli::keys::list::RoleMessage<'_>>()
            .add::<cli::keys::advance::Told<'_>>()
            .add::<cli::keys::root::Written>()
            .add::<crate::ceremony::Review>()
            .add::<crate::plan::Plan>()
            .add::<cli::bundle::Made>()
            .add::<cli::desk::diffed::Diffed>()
            .add::<cli::sign::Signed>()
            .add::<crate::steps::rehearse::Run>()
            .add::<cli::publish::Done>()
            .add::<cli::publish::Submitted>()
            .add::<cli::refresh::Told<'_>>()
            .add::<cli::release::Steered>()
            .add::<cli::release::list::Listed>()
            .add::<cli::release::sign::Told<'_>>()
            .add::<cli::status::Status<'_>>()
            .add::<cli::status::Release>()
            .add::<cli::status::Saved>()
            .add::<cli::status::Waiting>()
            .add::<cli::status::Signing>()
            .add::<crate::expiry::RoleExpiry>()
            .add::<crate::verify::Checked>()
            .add::<crate::verify::Summary>()
            .add::<cli::page::Written>()
            .add::<cli::prune::Removed<'_>>()
            .add::<cli::prune::Told>()
            .add::<crate::restore::Restored>()
            .add::<crate::doctor::Finding>()
            .add::<crate::doctor::Embedded>()
            .add::<cli::doctor::Summary>()
            .add::<crate::services::Offer>()
            .add::<crate::demo::Summary>()
            .add::<cli::serve::Serving>()
            .add::<crate::serve::Request>()
            .add::<cli::man::Page>();
        let mut definitions = all.generator.take_definitions(true);
        let names: Vec<Value> = all.schemas.keys().map(|name| json!({ "$ref": format!("#/$defs/{name}") })).collect();
        let text = serde_json::to_string(&(&all.schemas, &definitions)).unwrap();
        definitions.retain(|name, _| text.contains(&format!("#/$defs/{name}\"")));
        for (name, schema) in all.schemas {
            let before = definitions.insert(name.clone(), schema);
            assert!(before.is_none(), "a message and a part of one are both called {name}");
        }
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Messages of `cargo updater --message-format json`",
            "description": "One object per line on stdout. New fields and new reasons may come at any time: pass over \
                            what you do not know.",
            "oneOf": names,
            "$defs": definitions,
        })
    }
}

#[test]
fn the_schema_of_the_messages_is_made_from_their_types() {
    let text = serde_json::to_string_pretty(&Messages::all()).unwrap() + "\n";
    renewed("schema/messages.schema.json", &text);
}

/// Returns every `REASON` that stands in the source.
fn reasons() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut reasons = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        if entry.path().extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let parts = text.split("const REASON: &'static str = \"").skip(1);
            reasons.extend(parts.filter_map(|part| Some(part.split_once('"')?.0.to_owned())));
        }
    }
    reasons.sort();
    reasons
}

#[test]
fn no_message_is_left_out_of_the_schema_or_of_the_page() {
    // This file has the words, too, and a quotation mark behind them.
    let reasons: Vec<String> =
        reasons().into_iter().filter(|reason| reason.chars().all(|c| c.is_ascii_lowercase() || c == '-')).collect();
    let schema: Value = committed("schema/messages.schema.json");
    let listed: Vec<String> = schema["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["$ref"].as_str().unwrap().replace("#/$defs/", ""))
        .collect();
    for reason in &reasons {
        assert!(listed.contains(reason), "add the message {reason} to `Messages::all`");
    }
    assert_eq!(listed.len(), reasons.len());
    let page = include_str!("../../../../docs/format/messages.md");
    for reason in &reasons {
        assert!(page.contains(&format!("| `{reason}` |")), "docs/format/messages.md does not have {reason}");
    }
}
