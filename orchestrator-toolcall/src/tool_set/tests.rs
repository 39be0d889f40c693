#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use serde_json::json;

use super::*;

#[test]
fn dbg() {
    let tools = ToolSet::from_openai(&serde_json::from_str(r#"[{"type":"function","function":{"name":"get_0","parameters":{"type":"object","properties":{"max-size":{"type":"object","properties":{"end":{"type":"object","properties":{"source":{"type":"string"}}},"title":{"type":"string"}},"required":["end"]}},"required":[]}}}]"#).unwrap()).unwrap();
    let text = r#"{"v":1,"type":"tool_calls","calls":[{"name":"get_0","arguments":{"max-size":{"end":{"source":"trailing"}},"title":"no break"}}},{"name":"get_0","arguments":{}}]}"#;
    let v = tools.parse(text, Finish::Stop);
    println!("{v:#?}");
    let r = crate::repair::read_tolerant(text, 0, tools.limits(), Finish::Stop).unwrap();
    println!("{r:#?}");
}
