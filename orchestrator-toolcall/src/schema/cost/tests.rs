#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::time::{Duration, Instant};

use serde_json::{Map, json};

use super::*;
use crate::schema::Validator;

fn chain(length: usize, step: impl Fn(&Value) -> Value) -> Value {
    let mut definitions = Map::new();
    for level in 0..length {
        definitions.insert(format!("d{level}"), step(&json!({"$ref": format!("#/$defs/d{}", level + 1)})));
    }
    definitions.insert(format!("d{length}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!({"a": inner}))
}

#[test]
fn ordinary_schemas_are_light() {
    for schema in [
        json!(true),
        json!({"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}),
        json!({"properties": {"next": {"$ref": "#"}}}),
        chain(100, |next| json!({"properties": {"a": next, "b": next}})),
        json!({"anyOf": vec![json!({"properties": {"kind": {"const": 1}}}); 50]}),
    ] {
        assert_eq!(weigh(&schema), Ok(Cost { explains_slowly: false }), "{schema}");
    }
    assert!(weigh(&json!({"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}}]})).unwrap().explains_slowly);
}

#[test]
fn schemas_that_multiply_or_never_end_are_refused() {
    let twice = chain(60, |next| json!({"anyOf": [{"properties": {"a": next}}, {"minProperties": 1, "properties": {"a": next}}]}));
    let patterns = chain(40, |next| json!({"patternProperties": {"a": next, ".": next}}));
    let long = chain(5_000, Clone::clone);
    for schema in [twice, patterns, long, json!({"enum": vec![0; 30_000]})] {
        assert_eq!(Validator::new(&schema).unwrap_err().code(), "toolcall.tool_schema");
    }
}

#[test]
fn validating_deep_values_against_recursive_alternatives_is_quick() {
    for keyword in ["anyOf", "oneOf"] {
        let branch =
            |least: u64| json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["a"], "minProperties": least});
        let schema = json!({"$defs": {"n": {keyword: [branch(0), branch(1)]}}, "$ref": "#/$defs/n"});
        let validator = Validator::new(&schema).unwrap();
        let started = Instant::now();
        for depth in [3, 10, 60] {
            assert!(!validator.is_valid(&nested(depth)));
            assert_eq!(validator.problems(&nested(depth), 5).len(), 1);
            let _ = validator.type_findings(&nested(depth));
        }
        // Without the bound this takes longer than anybody waits.
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
