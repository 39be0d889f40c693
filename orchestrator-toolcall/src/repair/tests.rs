#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn strict(text: impl AsRef<[u8]>) -> Result<Value, &'static str> {
    parse_strict(text.as_ref(), &Limits::DEFAULT).map_err(|error| error.code())
}

#[test]
fn json_is_read_as_any_other_parser_reads_it() {
    for text in [
        "null",
        " true ",
        "-0",
        "-0.0",
        "0",
        "12",
        "-9223372036854775808",
        "18446744073709551615",
        "1e3",
        "1.5E-7",
        "5e-324",
        r#""""#,
        r#""\u00e9\ud83d\ude00\n\/\"""#,
        "[]",
        "{}",
        "[1,[2,{}]]",
        r#"{"a":{"b":[null]},"":0}"#,
        "\r\n{\t\"a\" : 1 }\n",
    ] {
        assert_eq!(strict(text).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
    }
}

#[test]
fn everything_else_is_an_error_with_a_code() {
    for (text, code) in [
        ("", "toolcall.cut_off"),
        ("[1,2", "toolcall.cut_off"),
        ("{\"a\"", "toolcall.cut_off"),
        ("{\"a\":", "toolcall.cut_off"),
        ("\"a", "toolcall.cut_off"),
        ("1.", "toolcall.cut_off"),
        ("tru", "toolcall.cut_off"),
        ("[1,]", "toolcall.syntax"),
        ("{\"a\":1,}", "toolcall.syntax"),
        ("{a:1}", "toolcall.syntax"),
        ("{'a':1}", "toolcall.syntax"),
        ("[1 2]", "toolcall.syntax"),
        ("01", "toolcall.syntax"),
        ("+1", "toolcall.syntax"),
        ("NaN", "toolcall.cut_off"),
        ("[NaN]", "toolcall.syntax"),
        ("[True]", "toolcall.syntax"),
        ("1 2", "toolcall.syntax"),
        ("[1]]", "toolcall.syntax"),
        ("[1}", "toolcall.syntax"),
        ("\u{feff}1", "toolcall.syntax"),
        ("\u{a0}1", "toolcall.syntax"),
        ("1 // one", "toolcall.syntax"),
        ("\"a\nb\"", "toolcall.control_character"),
        (r#""\x41""#, "toolcall.bad_escape"),
        (r#""\'""#, "toolcall.bad_escape"),
        (r#""\ud800""#, "toolcall.lone_surrogate"),
        (r#""\ud800\n""#, "toolcall.lone_surrogate"),
        (r#""\udc00""#, "toolcall.lone_surrogate"),
        (r#""\ud800\ud800""#, "toolcall.lone_surrogate"),
        ("1e999", "toolcall.number_out_of_range"),
        ("18446744073709551617", "toolcall.number_out_of_range"),
        ("-9223372036854775809", "toolcall.number_out_of_range"),
        (r#"{"a":1,"a":1}"#, "toolcall.duplicate_key"),
        (r#"{"a":1,"\u0061":2}"#, "toolcall.duplicate_key"),
        (r#"[{"b":{"a":1,"a":1}}]"#, "toolcall.duplicate_key"),
        ("\0", "toolcall.syntax"),
        ("\"\0\"", "toolcall.control_character"),
    ] {
        assert_eq!(strict(text).unwrap_err(), code, "{text:?}");
    }
}

#[test]
fn integers_are_exact_or_refused() {
    assert_eq!(strict("18446744073709551616").unwrap(), json!(18_446_744_073_709_551_616.0));
    assert_eq!(strict("100000000000000000000").unwrap(), json!(1e20));
    assert_eq!(strict("9007199254740993").unwrap().as_u64(), Some(9_007_199_254_740_993));
    assert_eq!(strict("123456789012345678901234567890"), Err("toolcall.number_out_of_range"));
}

#[test]
fn hostile_texts_are_errors_in_little_time() {
    let deep = "[".repeat(100_000);
    let objects = "{\"a\":".repeat(40_000);
    let quotes = "\"".repeat(1 << 20);
    let long = format!("\"{}\"", "a".repeat(10 << 20));
    let digits = "9".repeat(200_000);
    let started = Instant::now();
    assert_eq!(strict(&deep), Err("toolcall.too_deep"));
    assert_eq!(strict(&objects), Err("toolcall.too_deep"));
    assert_eq!(strict(&quotes), Err("toolcall.too_large"));
    assert_eq!(strict(&long), Err("toolcall.too_large"));
    assert_eq!(strict(&digits), Err("toolcall.number_out_of_range"));
    assert_eq!(strict(b"\xff\xfe"), Err("toolcall.not_utf8"));
    assert_eq!(strict(b"\"a\xed\xa0\x80\""), Err("toolcall.not_utf8"));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn limits_are_the_callers() {
    let limits = Limits { max_bytes: 10, max_depth: 2, ..Limits::DEFAULT };
    assert!(parse_strict(b"[[1]]", &limits).is_ok());
    assert_eq!(parse_strict(b"[[[1]]]", &limits).unwrap_err().code(), "toolcall.too_deep");
    assert_eq!(parse_strict(b"[1,2,3,4,5]", &limits).unwrap_err().code(), "toolcall.too_large");
}
