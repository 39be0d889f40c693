use proptest::prelude::*;

use super::*;

fn scan(text: &str, cuts: &[usize]) -> StreamState {
    let mut scanner = StreamScanner::new(Limits { max_whitespace_run: 16, max_bytes: 4096, ..Limits::DEFAULT });
    let bytes = text.as_bytes();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut start = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        scanner.push(&bytes[start..cut]);
        start = cut;
    }
    scanner.state()
}

fn ends_at(text: &str, end: &str) {
    let expected = text.find(end).map(|at| StreamState::Complete { end: at });
    assert_eq!(Some(scan(text, &[])), expected, "{text}");
}

#[test]
fn the_end_of_the_envelope_is_seen_whatever_its_strings_hold() {
    ends_at(r#"{"v":1,"type":"final","content":"}} \" } \\"}@ more"#, "@ more");
    ends_at(r#"Sure: {"v":1,"type":"tool_calls","calls":[{"name":"f","arguments":{"a":"{"}}]}@{"v":1}"#, "@{");
    ends_at("{v: 1, type: 'final', content: 'a } in it'}@", "@");
    ends_at("use {this} and {\"a\": 1}, now {\"v\":1,\"x\":[]}@", "@");
}

#[test]
fn reasoning_never_completes_a_stream() {
    let env = r#"{"v":1,"type":"final","content":""}"#;
    assert_eq!(scan(&format!("<think>{env}"), &[]), StreamState::Running);
    let mut scanner = StreamScanner::new(Limits::DEFAULT).starting_in_reasoning();
    assert_eq!(scanner.push(env.as_bytes()), StreamState::Running);
    assert_eq!(scanner.push(format!("</think>{env}").as_bytes()), StreamState::Complete { end: 2 * env.len() + 8 });
    ends_at(&format!("<think>{env}</think>{env}@"), "@");
    ends_at(&format!("<|channel|>analysis<|message|>{env}<|end|>{env}@"), "@");
}

#[test]
fn whitespace_outside_strings_is_cut_off() {
    let spaces = " ".repeat(40);
    assert_eq!(scan(&format!("{{\"v\":1,{spaces}"), &[]), StreamState::WhitespaceLoop { start: 7 });
    assert_eq!(scan(&format!("{{\"v\":\"{spaces}"), &[]), StreamState::Running);
    assert_eq!(scan(&"\n".repeat(17), &[]), StreamState::WhitespaceLoop { start: 0 });
}

#[test]
fn a_stream_that_never_ends_is_cut_off() {
    assert_eq!(scan(&"a".repeat(5000), &[]), StreamState::TooLong);
}

proptest! {
    #[test]
    fn chunks_make_no_difference(text in "[\\{\\}\\[\\]\"'\\\\:, vtypeca<>/hink|\n]{0,200}", cuts in prop::collection::vec(any::<usize>(), 0..20)) {
        prop_assert_eq!(scan(&text, &cuts), scan(&text, &[]));
    }

    #[test]
    fn the_scanner_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut scanner = StreamScanner::new(Limits::DEFAULT);
        scanner.push(&bytes);
    }
}
