//! What is found in a body, what is refused, and what a rewrite leaves alone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use serde_json::json;

use super::*;

fn model_of(body: &[u8]) -> Result<Cow<'_, str>, BodyError> {
    head_of(body).map(|asked| asked.model)
}

#[test]
fn finds_the_model_wherever_it_stands() {
    for (body, model) in [
        (r#"{"model":"a"}"#, "a"),
        (r#" { "messages" : [ {"model":"inner","x":[1,{"model":2}]} ], "model" : "outer" } "#, "outer"),
        (r#"{"mod\u0065l":"q\u0077en"}"#, "qwen"),
        (r#"{"a":"\"model\":\"no\"","model":"yes"}"#, "yes"),
        (r#"{"n":1e400,"model":"m"}"#, "m"),
    ] {
        assert_eq!(model_of(body.as_bytes()).unwrap(), model, "{body}");
    }
}

#[test]
fn a_plain_name_is_not_copied() {
    assert!(matches!(model_of(br#"{"model":"a"}"#).unwrap(), Cow::Borrowed(_)));
}

#[test]
fn a_deeply_nested_body_neither_overflows_nor_is_refused() {
    let body = format!(r#"{{"x":{}{},"model":"m"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(model_of(body.as_bytes()).unwrap(), "m");
}

#[test]
fn says_where_a_body_is_no_json() {
    for (body, line, column) in
        [("nonsense", 1, 2), ("{\"model\":\n  'a'}", 2, 3), ("{\"model\":\"a\"", 1, 12), ("{\"model\":\"a\"} x", 1, 15)]
    {
        match model_of(body.as_bytes()) {
            Err(BodyError::NotJson { line: l, column: c, .. }) => assert_eq!((l, c), (line, column), "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn refuses_what_has_no_usable_model() {
    for (body, expected) in [
        ("", "Empty"),
        ("  \n", "Empty"),
        ("{}", "NoModel"),
        (r#"{"model":null}"#, "NoModel"),
        (r#"{"model":""}"#, "NoModel"),
        (r#"{"model":7}"#, "Shape"),
        (r#"{"model":"a","model":"b"}"#, "Shape"),
        (r#"{"model":"a","mod\u0065l":"b"}"#, "Shape"),
        (r#"["model","a"]"#, "Shape"),
        (r#"["a"]"#, "Shape"),
        (r#""model""#, "Shape"),
        ("3", "Shape"),
    ] {
        let error = model_of(body.as_bytes()).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{body}: {error:?}");
    }
}

#[test]
fn an_error_shows_no_control_bytes() {
    let error = model_of(b"{\"model\":\"a\",\"model\":\"\x1b[31m\"}").unwrap_err();
    assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
}

#[test]
fn a_rewrite_sets_and_strips_and_leaves_the_rest_as_it_was_written() {
    let mut changes = RequestSpec::default();
    changes.strip.push("seed".to_owned());
    changes.set.insert("temperature".to_owned(), json!(0.5));
    let body = Bytes::from_static(br#"{"model":"m","seed":1,"temperature":2,"big":123456789012345678901234567890.10}"#);
    let rewritten = rewrite(&body, &changes).unwrap();
    assert_eq!(rewritten, r#"{"big":123456789012345678901234567890.10,"model":"m","temperature":0.5}"#);
}
