#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use proptest::prelude::*;

use super::*;
use crate::schema::Validator;

fn check(full: &Value, reduced: &Value) {
    assert_eq!(portable(full), *reduced, "{full}");
}

#[test]
fn what_engines_do_not_take_is_left_out() {
    check(&json!(true), &json!({}));
    check(
        &json!({"type": "string", "format": "email", "minLength": 1, "maxLength": 5000, "pattern": "a+", "title": "x", "default": "y"}),
        &json!({"type": "string", "minLength": 1}),
    );
    check(&json!({"type": "string", "pattern": "^[a-z]+\\.[0-9]*$"}), &json!({"type": "string", "pattern": "^[a-z]+\\.[0-9]*$"}));
    for pattern in ["^[0-9]{4}$", "^[a-z]{2,8}(-[0-9]{2})?$", "^a{1,}$", "^a\\{9999$"] {
        check(&json!({"pattern": pattern}), &json!({"pattern": pattern}));
    }
    for pattern in ["a$", "^a", "^a|b$", "^\\d$", "^(?:a)$", "^a{1,9999}$", "^((a{20}){20}){2}$", "^a{$", "^a{x}$", "^a\\$"] {
        check(&json!({"pattern": pattern}), &json!({}));
    }
    check(&json!({"type": "integer", "minimum": 1, "maximum": 9}), &json!({"type": "integer", "minimum": 1, "maximum": 9}));
    check(&json!({"type": "number", "minimum": 1, "multipleOf": 2}), &json!({"type": "number"}));
    check(&json!({"not": {"type": "null"}, "if": {}, "then": {}, "uniqueItems": true}), &json!({}));
    check(&json!({"type": "string", "enum": ["a", "b"]}), &json!({"enum": ["a", "b"]}));
    check(&json!({"oneOf": [{"type": "string"}, {"type": "null"}]}), &json!({"anyOf": [{"type": "string"}, {"type": "null"}]}));
    check(&json!({"prefixItems": [{"type": "string"}], "items": false, "type": "array"}), &json!({"type": "array"}));
    check(
        &json!({"properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        &json!({"properties": {"a": {"type": "string"}}}),
    );
    check(&json!({"required": ["a"]}), &json!({"required": ["a"], "properties": {"a": {}}}));
}

#[test]
fn branches_of_all_of_are_merged() {
    check(
        &json!({
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"properties": {"b": {"type": "integer"}}, "required": ["b"], "additionalProperties": false}
            ]
        }),
        &json!({
            "type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
            "required": ["a", "b"], "additionalProperties": false
        }),
    );
}

#[test]
fn references_are_inlined_and_recursion_is_bounded() {
    let tree = json!({
        "type": "object", "properties": {"root": {"$ref": "#/$defs/node"}},
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "value": {"$ref": "#/$defs/value"}}}, "value": {"$anchor": "v", "type": "string"}}
    });
    let reduced = portable(&tree).to_string();
    assert!(!reduced.contains("$ref"));
    assert_eq!(reduced.matches("\"next\"").count(), 3);
    check(&json!({"$ref": "#v", "$defs": {"x": {"$anchor": "v", "type": "string"}}}), &json!({"type": "string"}));
    check(&json!({"$ref": "#"}), &json!({}));
    check(&json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}), &json!({}));
    let old = json!({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"$ref": "#/definitions/s", "minLength": 3}}, "definitions": {"s": {"type": "string"}}});
    check(&old, &json!({"properties": {"a": {"type": "string"}}}));
}

#[test]
fn growth_is_bounded() {
    // Each definition names the next one several times: inlined in full, this has 8^12 parts.
    let mut definitions = Map::new();
    for level in 0..12 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        let members: Map<String, Value> = (0..8).map(|index| (format!("p{index}"), next.clone())).collect();
        definitions.insert(format!("d{level}"), json!({"type": "object", "properties": members}));
    }
    definitions.insert("d12".to_owned(), json!({"type": "string"}));
    let reduced = portable(&json!({"$ref": "#/$defs/d0", "$defs": definitions}));
    assert!(reduced.to_string().len() < 1 << 20, "{}", reduced.to_string().len());
    // All members refer to themselves in every way.
    let knot = json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"items": {"$ref": "#"}}, "c": {"anyOf": [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}]}}});
    assert!(portable(&knot).to_string().len() < 1 << 20);
}

fn schemas() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!({"type": "string", "maxLength": 3, "format": "email"})),
        Just(json!({"type": ["string", "null"]})),
        Just(json!({"type": "integer", "minimum": 0, "maximum": 3})),
        Just(json!({"type": "number", "exclusiveMaximum": 2})),
        Just(json!({"enum": ["a", 1, null]})),
        Just(json!({"const": {"a": 1}})),
        Just(json!({"not": {"type": "string"}})),
        Just(json!({"$ref": "#/$defs/d"})),
        Just(json!({"$ref": "#", "type": ["object", "string"]})),
        Just(json!({"type": "string", "pattern": "^[ab]*$"})),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let members = prop::collection::btree_map(name.clone(), inner.clone(), 0..3);
        let required = prop::collection::btree_set(name.clone(), 0..2);
        prop_oneof![
            (members, required, any::<Option<bool>>()).prop_map(|(members, required, rest)| {
                let mut schema = json!({"type": "object", "properties": members, "required": required});
                if let Some(rest) = rest {
                    schema["additionalProperties"] = json!(rest);
                }
                schema
            }),
            inner.clone().prop_map(|items| json!({"type": "array", "items": items, "maxItems": 2})),
            inner.clone().prop_map(|rest| json!({"additionalProperties": rest, "patternProperties": {"^a": {}}})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|branches| json!({"anyOf": branches})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|branches| json!({"oneOf": branches})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|branches| json!({"allOf": branches})),
            (prop::collection::vec(inner.clone(), 1..3), inner).prop_map(|(branches, items)| {
                json!({"anyOf": branches, "required": ["a"], "items": items, "prefixItems": [{"type": "string"}]})
            }),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..5_i64).prop_map(|number| json!(number)),
        prop::sample::select(vec!["", "a", "ab", "abcd"]).prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), inner, 0..3).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_the_full_schema_accepts_the_portable_one_accepts(mut schema in schemas(), definition in schemas(), values in prop::collection::vec(values(), 1..12)) {
        if let Value::Object(object) = &mut schema {
            object.insert("$defs".to_owned(), json!({"d": definition}));
        }
        let Ok(full) = Validator::new(&schema) else { return Ok(()) };
        let reduced = portable(&schema);
        let portable = Validator::new(&reduced).unwrap();
        for value in values {
            if full.is_valid(&value) {
                prop_assert!(portable.is_valid(&value), "{} is refused by {} but not by {}", value, reduced, schema);
            }
        }
        prop_assert!(!reduced.to_string().contains("$ref"));
    }
}
