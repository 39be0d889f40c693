#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

use serde_json::json;

use super::*;
use crate::verdict::Finish;

fn tools() -> ToolSet {
    ToolSet::from_json(&json!([
        {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}},
        {"name": "look_up", "input_schema": {"type": "object"}}
    ]))
    .unwrap()
}

fn ask(reask: &mut Reask, text: &str) -> Correction {
    let verdict = tools().parse(text, Finish::Stop);
    match reask.next(&verdict, text) {
        ReaskStep::Ask(correction) => *correction,
        other => panic!("{other:?}"),
    }
}

const WITHOUT_PLACE: &str = r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{}}]}"#;
const WRONG_TYPE: &str = r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{"at":42}}]}"#;

#[test]
fn a_model_is_asked_twice_and_the_last_time_about_one_tool() {
    let mut reask = Reask::new(tools());
    let first = ask(&mut reask, WITHOUT_PLACE);
    assert!(!first.is_last);
    assert_eq!(*first.tools.choice(), ToolChoice::Auto);
    let second = ask(&mut reask, WRONG_TYPE);
    assert!(second.is_last);
    assert_eq!(*second.tools.choice(), ToolChoice::Named("look".to_owned()));
    assert_eq!(second.tools.max_calls(), 1);
    let third = "I cannot.";
    let step = reask.next(&tools().parse(third, Finish::Stop), third);
    assert!(matches!(step, ReaskStep::GiveUp(GiveUp::Exhausted { .. })), "{step:?}");
    assert_eq!(reask.asked(), MAX_REASKS);
}

#[test]
fn the_same_output_twice_stops_the_loop() {
    let mut reask = Reask::new(tools());
    ask(&mut reask, WITHOUT_PLACE);
    let again = format!("{WITHOUT_PLACE}\n");
    let step = reask.next(&tools().parse(&again, Finish::Stop), &again);
    assert!(matches!(step, ReaskStep::GiveUp(GiveUp::Repeated { .. })), "{step:?}");
}

#[test]
fn an_accepted_answer_is_accepted() {
    let good = r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{"at":"it"}}]}"#;
    let step = Reask::new(tools()).next(&tools().parse(good, Finish::Stop), good);
    assert!(matches!(step, ReaskStep::Accept));
}

#[test]
fn the_message_quotes_the_answer_and_names_at_most_five_findings() {
    let call = r#"{"name":"lok","arguments":{}}"#;
    let text = format!(r#"{{"v":1,"type":"tool_calls","calls":[{}]}}"#, [call; 7].join(","));
    let correction = ask(&mut Reask::new(tools()), &text);
    assert_eq!(correction.message.lines().filter(|line| line.starts_with("- ")).count(), 5);
    assert!(correction.message.contains("\n> {\"v\":1"));
    insta::assert_snapshot!(ask(&mut Reask::new(tools()), WRONG_TYPE).message);
}

#[test]
fn a_name_is_only_recognised_as_a_whole() {
    let text = "I would look_up(x)";
    assert_eq!(Reask::new(tools()).meant_tool(text).map(Tool::name), Some("look_up"));
    assert!(Reask::new(tools()).meant_tool("overlook_up-x").is_none());
}

#[test]
fn long_answers_are_quoted_in_part() {
    let correction = ask(&mut Reask::new(tools()), &"ä".repeat(10_000));
    assert!(correction.message.len() < 3_000);
}
