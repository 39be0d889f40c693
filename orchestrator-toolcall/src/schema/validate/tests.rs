#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use serde_json::json;

use super::*;

#[test]
fn values_are_never_repeated_in_findings() {
    let schema = json!({
        "type": "object",
        "properties": {"age": {"type": "integer", "maximum": 9}, "mail": {"pattern": "^a+$"}, "kind": {"enum": ["x", "y"]}},
        "additionalProperties": false
    });
    let validator = Validator::new(&schema).unwrap();
    let secret = json!({"age": "hunter2", "mail": "hunter2", "kind": "hunter2"});
    let problems = validator.problems(&secret, 10);
    assert_eq!(problems.len(), 3);
    for problem in &problems {
        assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
    }
    let keywords: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.keyword.as_str())).collect();
    assert!(keywords.contains(&("/age", "type")));
    assert!(keywords.contains(&("/kind", "enum")));
}

#[test]
fn references_to_the_outside_are_refused() {
    for reference in ["https://example.com/schema.json", "file:///etc/passwd", "other.json"] {
        let error = Validator::new(&json!({"$ref": reference})).unwrap_err();
        assert_eq!(error.code(), "toolcall.tool_schema", "{reference}");
    }
}

#[test]
fn patterns_that_need_backtracking_are_refused_at_compile_time() {
    assert!(Validator::new(&json!({"pattern": "^(?=a)b"})).is_err());
    let validator = Validator::new(&json!({"pattern": "^(a+)+$"})).unwrap();
    assert!(!validator.is_valid(&json!("a".repeat(50_000) + "b")));
}

#[test]
fn the_number_of_findings_is_bounded() {
    let validator = Validator::new(&json!({"items": {"type": "string"}})).unwrap();
    assert_eq!(validator.problems(&json!([1, 2, 3, 4, 5, 6, 7]), 5).len(), 5);
}

#[test]
fn validators_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Validator>();
}
