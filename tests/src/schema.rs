//! Holds JSON against a schema, as far as the schemas of this project go: a keyword that is not known here is a mistake of
//! the test, not something to pass over.

use serde_json::Value;

/// Tells whether a value is what a schema describes, and that it has nothing that the schema does not name.
/// # Errors
/// Where it is not, and why.
///
/// # Panics
/// For a schema that uses more than this knows.
pub fn check(schema: &Value, value: &Value) -> Result<(), String> {
    Checker { root: schema }.check(schema, value, "$")
}

/// Returns what refers to a definition of a schema.
#[must_use]
pub fn named(schema: &Value, name: &str) -> Value {
    assert!(schema["$defs"].get(name).is_some(), "the schema does not describe {name}");
    serde_json::json!({ "$ref": format!("#/$defs/{name}") })
}

/// Does the same by a part of a schema.
/// # Errors
/// Where it is not, and why.
///
/// # Panics
/// For a schema that uses more than this knows.
pub fn check_part(schema: &Value, part: &Value, value: &Value) -> Result<(), String> {
    Checker { root: schema }.check(part, value, "$")
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let Value::Object(keywords) = schema else {
            return match schema {
                Value::Bool(true) => Ok(()),
                _ => Err(format!("{at}: nothing may stand here")),
            };
        };
        for (keyword, rule) in keywords {
            self.keyword(keyword, rule, value, at)?;
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object)
            && let Some(fields) = value.as_object()
            // The schemas of Cargo.toml describe a part of it.
            && (schema.get("additionalProperties").is_some() || schema.get("required").is_some())
            && let Some(unknown) = fields.keys().find(|key| !properties.contains_key(*key))
        {
            return Err(format!("{at}: nothing describes `{unknown}`"));
        }
        Ok(())
    }

    fn keyword(&self, keyword: &str, rule: &Value, value: &Value, at: &str) -> Result<(), String> {
        let holds = match keyword {
            "$schema" | "$defs" | "title" | "description" | "format" | "default" => true,
            "$ref" => {
                let path = rule.as_str().unwrap_or_default().trim_start_matches('#');
                let target = self.root.pointer(path).unwrap_or_else(|| panic!("{path} leads nowhere"));
                return self.check(target, value, at);
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|one| is_of_type(one, value)),
                one => is_of_type(one, value),
            },
            "const" => rule == value,
            "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap_or(f64::NAN)),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap_or(f64::NAN)),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().unwrap_or_default(), text)),
            "anyOf" | "oneOf" => {
                let fitting = |one: &&Value| self.check(one, value, at).is_ok();
                let fitting = rule.as_array().map_or(0, |all| all.iter().filter(fitting).count());
                if keyword == "oneOf" { fitting == 1 } else { fitting > 0 }
            }
            "required" => {
                let fields = value.as_object();
                let mut wanted = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                match fields.and_then(|fields| wanted.find(|key| !fields.contains_key(*key))) {
                    Some(missing) => return Err(format!("{at}: `{missing}` is missing")),
                    None => true,
                }
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(key) {
                        self.check(rule, value, &format!("{at}.{key}"))?;
                    }
                }
                true
            }
            "additionalProperties" if rule.is_boolean() => true,
            "additionalProperties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    self.check(rule, value, &format!("{at}.{key}"))?;
                }
                true
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    self.check(rule, value, &format!("{at}[{index}]"))?;
                }
                true
            }
            other => panic!("the keyword `{other}` is not known here"),
        };
        if holds { Ok(()) } else { Err(format!("{at}: {value} is not {keyword} {rule}")) }
    }
}

fn is_of_type(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap_or_default() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type `{other}` is not known here"),
    }
}

/// The patterns of our schemas, by hand: a crate for regular expressions is not worth three of them.
fn matches(pattern: &str, text: &str) -> bool {
    let span = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && ["ms", "s", "m", "h", "d"].contains(&&text[digits..])
    };
    match pattern {
        "^[a-z0-9][a-z0-9_-]*$" => {
            let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            text.bytes().next().is_some_and(small) && text.bytes().all(|byte| small(byte) || b"_-".contains(&byte))
        }
        "^[0-9]+(ms|s|m|h|d)$" => span(text),
        "^(never|[0-9]+(ms|s|m|h|d))$" => text == "never" || span(text),
        other => panic!("the pattern {other} is not known here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_schema_does_not_describe_is_refused_by_name() {
        let schema = json!({
            "type": "object",
            "required": ["reason"],
            "properties": { "reason": { "const": "x" }, "list": { "type": "array", "items": { "$ref": "#/$defs/n" } } },
            "$defs": { "n": { "type": ["integer", "null"], "minimum": 0 } },
        });
        for (value, told) in [
            (json!({ "reason": "x" }), None),
            (json!({ "reason": "x", "list": [1, null] }), None),
            (json!({ "list": [] }), Some("$: `reason` is missing")),
            (json!({ "reason": "y" }), Some("$.reason: \"y\" is not const \"x\"")),
            (json!({ "reason": "x", "list": [-1] }), Some("$.list[0]: -1 is not minimum 0")),
            (json!({ "reason": "x", "more": 1 }), Some("$: nothing describes `more`")),
        ] {
            assert_eq!(check(&schema, &value).err().as_deref(), told, "{value}");
        }
    }
}
