#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::time::{Duration, Instant};

use super::*;

const ENVELOPE: &str = r#"{"v":1,"type":"final","content":"x"}"#;

fn found(text: &str) -> (usize, usize) {
    let extraction = extract(text, &Limits::DEFAULT, Finish::Stop).unwrap();
    (extraction.start, extraction.reading.end)
}

fn refused(text: &str) -> &'static str {
    extract(text, &Limits::DEFAULT, Finish::Stop).unwrap_err().error.code()
}

#[test]
fn the_one_envelope_is_found_in_whatever_stands_around_it() {
    for (before, after) in [
        ("", ""),
        ("Sure! ", ""),
        ("Sure!\n```json\n", "\n```\nDone."),
        ("<tool_call>\n", "\n</tool_call>"),
        ("use {placeholder} or {a b}, like {\"a\": 1}: ", " ok?"),
        ("function f() { return {x: [y]}; }\n", ""),
        ("It's \"quoted\" and 'so' on — ", " }"),
        ("<think>{\"v\":1,\"type\":\"final\",\"content\":\"no\"}</think>", ""),
        ("Let me think {\"v\":1}. </think>\n", ""),
        ("<THINK a=\"b\">{</THINK>", ""),
        ("[THINK] { [/THINK]", ""),
        ("◁think▷{\"v\":1}◁/think▷", ""),
        ("<|channel|>analysis<|message|>{\"v\":1,\"type\"<|end|><|start|>assistant<|channel|>final<|message|>", "<|return|>"),
        ("<!-- {\"v\":1} -->", ""),
        ("<answer><![CDATA[", "]]></answer>"),
        ("[Assistant]: ", ""),
        ("a < b and c > d: ", ", that is it, isn't it"),
        ("", "\n,-, or so"),
        ("", "\n,''"),
        ("{\"city\": \"Paris\" ... } ", " {\"open\": "),
    ] {
        let text = format!("{before}{ENVELOPE}{after}");
        let (start, end) = found(&text);
        assert_eq!((start, &text[start..start + ENVELOPE.len()]), (before.len(), ENVELOPE), "{text}");
        assert!(end >= start + ENVELOPE.len(), "{text}");
    }
}

#[test]
fn what_is_not_the_one_envelope_is_refused_for_its_reason() {
    for (text, code) in [
        ("", "toolcall.no_envelope"),
        ("no call today", "toolcall.no_envelope"),
        ("{a} and {b}", "toolcall.no_envelope"),
        ("<think>E</think>", "toolcall.not_spoken"),
        ("<think>E", "toolcall.not_spoken"),
        ("<think>a</think> E <think>", "E"),
        ("E</think>", "toolcall.not_spoken"),
        ("E</think>{\"a\":1}", "toolcall.not_spoken"),
        ("<tool_response>E</tool_response> so it is", "toolcall.not_spoken"),
        ("EE", "toolcall.several_envelopes"),
        ("E then E", "toolcall.several_envelopes"),
        ("E,E", "toolcall.unclear_structure"),
        // More of the same data, as far as can be told.
        ("E\n,'a',", "toolcall.unclear_structure"),
        ("E, -1,", "toolcall.unclear_structure"),
        ("[E,E]", "toolcall.embedded"),
        ("[E]", "toolcall.embedded"),
        ("first {\"v\":1,\"type\":\"final\",\"content\":1 then E", "toolcall.syntax"),
        ("{\"log\": \"a \"bad\" string\", \"x\": E}", "toolcall.guessed_quotes"),
        ("{\"v\":1,\"type\":\"final\",\"content\":\"say \"E\"\"}", "toolcall.guessed_quotes"),
    ] {
        let text = text.replace('E', ENVELOPE);
        if code == "E" {
            found(&text);
        } else {
            assert_eq!(refused(&text), code, "{text}");
        }
    }
}

#[test]
fn an_envelope_inside_other_data_is_not_taken_for_one() {
    let extraction = extract(&format!("{{\"result\":{ENVELOPE}}}"), &Limits::DEFAULT, Finish::Stop).unwrap();
    assert!(!is_like_envelope(&extraction.reading.value));
}

#[test]
fn hostile_texts_take_little_time() {
    let limits = Limits { max_bytes: 1 << 30, ..Limits::DEFAULT };
    for unit in [
        "[",
        "{",
        "\"",
        "<",
        "<think>",
        "</think>",
        "<think ",
        "{\"a\":",
        "[{",
        "{\"a\":1}",
        "{a ",
        "{\"v\":",
        "[[[{",
        "\\",
        "{\\\"",
        "<!--",
        "{'",
        "/*",
        "{//",
        "“",
        "\u{a0}{",
        "{\"a\":1,",
        "[1,{\"b\":[",
        "{\"a\" \"b\" ",
        "```{",
        "}]",
        "{\"b\":[1, {\"a\": } ",
        "{x:{v:",
    ] {
        let text = unit.repeat((1 << 18) / unit.len());
        let started = Instant::now();
        let _ = extract(&text, &limits, Finish::Stop);
        // Quadratic time would take minutes.
        assert!(started.elapsed() < Duration::from_secs(10), "{unit}: {:?}", started.elapsed());
    }
}

#[test]
fn an_object_only_some_of_whose_quotes_are_escaped_is_refused() {
    for text in [r#""{\"v\":1,\"ty":"fint\"}""#, r#"{\"a":1}"#, r#"{\"v\":1,"type\":\"final\",\"content\":\"x\"}"#] {
        let refusal = extract(text, &Limits::DEFAULT, Finish::Stop);
        assert!(refusal.is_err(), "{text}");
    }
    let all = r#"{\"v\":1,\"type\":\"final\",\"content\":\"x\"}"#;
    assert_eq!(extract(all, &Limits::DEFAULT, Finish::Stop).map(|found| found.reading.end).ok(), Some(all.len()));
}
