#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "city": {"type": "string"}, "days": {"type": "integer"}, "exact": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}}, "area": {"type": "object"}
        },
        "required": ["city"]
    })
}

fn tools() -> ToolSet {
    ToolSet::from_openai(&json!([
        {"type": "function", "function": {"name": "weather", "parameters": schema()}},
        {"type": "function", "function": {"name": "time", "parameters": null}}
    ]))
    .unwrap()
}

fn call(arguments: &str) -> String {
    format!(r#"{{"v":1,"type":"tool_calls","calls":[{{"name":"weather","arguments":{arguments}}}]}}"#)
}

fn judge(set: &ToolSet, text: &str) -> (Fidelity, bool, Vec<String>) {
    let verdict = set.parse(text, Finish::Stop);
    assert_eq!(verdict.is_accepted(), verdict.errors.is_empty(), "{text}");
    let errors = verdict.errors.iter().map(|problem| format!("{} {}", problem.pointer, problem.keyword)).collect();
    (verdict.fidelity, verdict.is_accepted(), errors)
}

#[test]
fn tools_are_read_in_the_shapes_of_three_protocols() {
    let openai = ToolSet::from_openai(&json!([{"type": "function", "function": {"name": "f", "parameters": schema()}}])).unwrap();
    let flat = ToolSet::from_openai(&json!([{"type": "function", "name": "f", "parameters": schema()}])).unwrap();
    let anthropic = ToolSet::from_anthropic(&json!([{"name": "f", "input_schema": schema()}])).unwrap();
    let mcp =
        ToolSet::from_mcp(&json!({"tools": [{"name": "f", "inputSchema": schema(), "annotations": {"readOnlyHint": true}}]})).unwrap();
    for set in [openai, flat, anthropic, mcp] {
        assert_eq!(*set.tool("f").unwrap().parameters(), schema());
        assert!(!set.tool("f").unwrap().is_read_only());
    }
    let mixed =
        json!([{"name": "a", "input_schema": {}}, {"name": "b", "inputSchema": {}}, {"type": "function", "function": {"name": "c"}}]);
    assert_eq!(ToolSet::from_json(&mixed).unwrap().tools().len(), 3);
}

#[test]
fn unusable_tools_are_refused_for_their_reason() {
    for (tools, code) in [
        (json!({}), "toolcall.tool_shape"),
        (json!([1]), "toolcall.tool_shape"),
        (json!([{"type": "function", "function": {}}]), "toolcall.tool_shape"),
        (json!([{"type": "web_search"}]), "toolcall.tool_shape"),
        (json!([{"name": "a b", "input_schema": {}}]), "toolcall.tool_name"),
        (json!([{"name": "a", "input_schema": {}}, {"name": "a", "input_schema": {}}]), "toolcall.duplicate_tool"),
        (json!([{"name": "a", "input_schema": {"type": "nonsense"}}]), "toolcall.tool_schema"),
        (json!([{"name": "a", "input_schema": {"$ref": "http://x.y/z"}}]), "toolcall.tool_schema"),
    ] {
        assert_eq!(ToolSet::from_json(&tools).unwrap_err().code(), code, "{tools}");
    }
    let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
    assert_eq!(ToolSet::from_json(&json!([{"name": "a", "input_schema": deep}])).unwrap_err().code(), "toolcall.tool_schema");
    let unknown = tools().with_choice(ToolChoice::Named("nope".to_owned())).unwrap_err();
    assert_eq!(unknown.code(), "toolcall.unknown_tool");
}

#[test]
fn one_invalid_call_rejects_the_whole_envelope() {
    let text = r#"{"v":1,"type":"tool_calls","calls":[{"name":"time","arguments":{}},{"name":"weather","arguments":{"city":5}}]}"#;
    assert_eq!(judge(&tools(), text), (Fidelity::Exact, false, vec!["/calls/1/arguments/city type".to_owned()]));
}

#[test]
fn names_are_never_matched_loosely() {
    for name in ["Weather", "weather ", "wether", "functions.weather"] {
        let text = call("{\"city\":\"x\"}").replace("weather", name);
        assert_eq!(judge(&tools(), &text), (Fidelity::Exact, false, vec!["/calls/0/name enum".to_owned()]), "{name}");
    }
}

#[test]
fn the_choice_and_the_number_of_calls_are_enforced() {
    let answer = r#"{"v":1,"type":"final","content":"x"}"#;
    let one = call("{\"city\":\"x\"}");
    for (choice, calls, answers) in [
        (ToolChoice::Auto, true, true),
        (ToolChoice::None, false, true),
        (ToolChoice::Required, true, false),
        (ToolChoice::Named("weather".to_owned()), true, false),
        (ToolChoice::Named("time".to_owned()), false, false),
    ] {
        let set = tools().with_choice(choice.clone()).unwrap();
        assert_eq!((judge(&set, &one).1, judge(&set, answer).1), (calls, answers), "{choice:?}");
        for schema in [set.full_schema(), set.portable_schema(), set.outline_schema()] {
            let validator = crate::schema::Validator::new(&schema).unwrap();
            let is_valid = |text: &str| validator.is_valid(&serde_json::from_str(text).unwrap());
            assert_eq!((is_valid(&one), is_valid(answer)), (calls, answers), "{choice:?} {schema}");
        }
    }
    let two = one.replace("}}]", "}},{\"name\":\"time\",\"arguments\":{}}]");
    assert!(judge(&tools(), &two).1);
    assert_eq!(judge(&tools().with_max_calls(1), &two).2, ["/calls maxItems"]);
}

#[test]
fn repaired_calls_run_only_for_tools_marked_read_only() {
    let broken = call("{city:\"x\"}");
    let verdict = tools().parse(&broken, Finish::Stop);
    assert_eq!(verdict.fidelity, Fidelity::Repaired);
    assert!(!tools().may_run(&verdict));
    assert!(tools().with_read_only("weather").unwrap().may_run(&verdict));
    let exact = tools().parse(call("{\"city\":\"x\"}"), Finish::Stop);
    assert!(tools().may_run(&exact));
    assert!(!tools().may_run(&tools().parse("nothing", Finish::Stop)));
}

#[test]
fn types_change_only_where_the_tool_allows_it() {
    let text = call(r#"{"city":7,"days":"3","exact":"true","tags":"a","area":"{\"x\":1}"}"#);
    assert!(!judge(&tools(), &text).1);
    let set = tools().with_coercion("weather", Coercion::ALL).unwrap();
    let verdict = set.parse(&text, Finish::Stop);
    assert_eq!(verdict.fidelity, Fidelity::Coerced);
    let arguments = Value::Object(verdict.calls()[0].arguments.clone());
    assert_eq!(arguments, json!({"city": "7", "days": 3, "exact": true, "tags": ["a"], "area": {"x": 1}}));
    assert!(verdict.edits.iter().any(|edit| edit.kind == crate::EditKind::Coerced));
    assert!(!set.may_run(&verdict));
    let trusted = tools().with_coercion("weather", Coercion { may_run: true, ..Coercion::ALL }).unwrap();
    assert!(trusted.may_run(&verdict));
    for wrong in [r#"{"city":"x","days":"3.5"}"#, r#"{"city":"x","days":"three"}"#, r#"{"city":null}"#] {
        assert!(!judge(&set, &call(wrong)).1, "{wrong}");
    }
    let quoted = call(r#""{\"city\":\"x\"}""#);
    assert_eq!(judge(&set, &quoted).0, Fidelity::Coerced);
    assert_eq!(judge(&tools(), &quoted).2, ["/calls/0/arguments type"]);
}

#[test]
fn native_calls_are_judged_by_the_same_rules() {
    let set = tools();
    for (name, arguments, finish, fidelity, accepted) in [
        ("weather", r#"{"city":"x"}"#, Finish::Stop, Fidelity::Exact, true),
        ("weather", r#"{"city":"x",}"#, Finish::Stop, Fidelity::Repaired, true),
        ("weather", r#"{"city":"x""#, Finish::Stop, Fidelity::Repaired, true),
        ("weather", r#"{"city":"x""#, Finish::Length, Fidelity::Ambiguous, false),
        ("weather", r#"{"city":"x"#, Finish::Stop, Fidelity::Ambiguous, false),
        ("weather", r#"{"city":"x"} and"#, Finish::Stop, Fidelity::Ambiguous, false),
        ("weather", "{}", Finish::Stop, Fidelity::Exact, false),
        ("weather", "[]", Finish::Stop, Fidelity::Exact, false),
        ("time", "", Finish::Stop, Fidelity::Exact, true),
        ("time", "", Finish::Length, Fidelity::Ambiguous, false),
        ("nope", "{}", Finish::Stop, Fidelity::Exact, false),
    ] {
        let verdict = set.parse_call(name, arguments, finish);
        assert_eq!((verdict.fidelity, verdict.is_accepted()), (fidelity, accepted), "{name} {arguments}: {verdict:?}");
    }
}

#[test]
fn brackets_that_may_belong_elsewhere_are_not_mended() {
    let set = ToolSet::from_json(&json!([{"name": "f", "input_schema": {
        "type": "object", "properties": {"a": {"type": "object"}, "c": {"type": "integer"}}
    }}]))
    .unwrap();
    let text = r#"{"v":1,"type":"tool_calls","calls":[{"name":"f","arguments":{"a":{"b":1,"c":2}}]}"#;
    assert_eq!(judge(&set, text), (Fidelity::Ambiguous, false, vec![" unclear_structure".to_owned()]));
    let text = r#"{"v":1,"type":"tool_calls","calls":[{"name":"f","arguments":{"a":{"b":1}}]}"#;
    assert_eq!(judge(&set, text).0, Fidelity::Repaired);
}

#[test]
fn the_schema_puts_the_discriminator_first() {
    let text = tools().portable_schema().to_string();
    assert!(
        text.starts_with(r#"{"anyOf":[{"type":"object","properties":{"v":{"const":1},"type":{"const":"tool_calls"},"calls":"#),
        "{text}"
    );
}

#[test]
fn a_verdict_is_what_the_command_line_prints() {
    let text = call("{city:\"x\"}");
    let key = text.find("city").unwrap();
    let verdict = tools().parse(&text, Finish::Stop);
    let printed = serde_json::to_value(&verdict).unwrap();
    assert_eq!(printed["fidelity"], "repaired");
    assert_eq!(printed["edits"], json!([{"kind": "unquoted_key", "start": key, "end": key + 4}]));
    assert_eq!(printed["errors"], json!([]));
    let refused = serde_json::to_value(tools().parse("x", Finish::Stop)).unwrap();
    assert_eq!((&refused["fidelity"], &refused["envelope"]), (&json!("ambiguous"), &Value::Null));
    assert_eq!(refused["errors"][0]["keyword"], "no_envelope");
}

#[test]
fn sets_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<ToolSet>();
}
