//! Requests with tools, and engines that write whatever a script says.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::instance::spec::ToolsMode;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::tools::Pace;
use super::rig::*;

/// What an engine does with a request.
enum Reply {
    /// Writes this text, a few characters at a time, and ends for this reason.
    Text(&'static str, &'static str),
    /// Calls tools by itself.
    Calls(Value, &'static str),
    /// Refuses.
    Refusal(u16, &'static str),
    /// Writes this text and never ends.
    Endless(&'static str),
    /// Says nothing for this long, and then writes this text.
    Late(Duration, &'static str),
}

/// Starts an engine that gives one reply after the other, and returns it with the bodies that it gets.
async fn scripted(replies: Vec<Reply>, mode: ToolsMode) -> (Scheduler, UnboundedReceiver<Value>) {
    let (seen, bodies) = unbounded_channel();
    let replies = Arc::new(std::sync::Mutex::new(replies.into_iter()));
    let address = engine(move |mut wire, _| {
        let (seen, replies) = (seen.clone(), Arc::clone(&replies));
        async move {
            while let Some(request) = wire.request().await {
                let (_, body) = request.split_once("\r\n\r\n").unwrap();
                seen.send(serde_json::from_str(body).unwrap()).unwrap();
                let reply = replies.lock().unwrap().next().unwrap();
                answer(&mut wire, reply).await;
            }
        }
    })
    .await;
    (Scheduler::with_spec([address], |spec| spec.tools.mode = mode), bodies)
}

async fn answer(wire: &mut Wire, reply: Reply) {
    let chunk = |delta: Value, reason: Value| {
        format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }] }))
    };
    let is_late = matches!(reply, Reply::Late(..));
    let (delta, text, reason) = match reply {
        Reply::Refusal(status, body) => {
            let head = format!("HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
            return wire.write(&format!("{head}{body}")).await;
        }
        Reply::Text(text, reason) => (json!({}), text, reason),
        Reply::Calls(calls, reason) => (json!({ "tool_calls": calls }), "", reason),
        Reply::Endless(text) => (json!({}), text, ""),
        Reply::Late(time, text) => {
            wire.begin_stream().await;
            tokio::time::sleep(time).await;
            (json!({}), text, "stop")
        }
    };
    if !is_late {
        wire.begin_stream().await;
    }
    wire.chunk(&chunk(json!({ "role": "assistant", "content": null }), Value::Null)).await;
    for piece in text.as_bytes().chunks(3) {
        wire.chunk(&chunk(json!({ "content": String::from_utf8_lossy(piece) }), Value::Null)).await;
    }
    if reason.is_empty() {
        wire.closed().await;
        return;
    }
    wire.chunk(&chunk(delta, json!(reason))).await;
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 5 } });
    wire.chunk(&format!("data: {usage}\n\ndata: [DONE]\n\n")).await;
    wire.end_stream().await;
}

const CALL: &str = r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{"at":"sky"}}]}"#;
const FINAL: &str = r#"{"v":1,"type":"final","content":"It is \"blue\".\n"}"#;
const WRONG: &str = r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{"at":7}}]}"#;
const WRONG_TOO: &str = r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{}}]}"#;
const WRONG_STILL: &str = r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{"at":null}}]}"#;

#[expect(clippy::needless_pass_by_value, reason = "each caller makes its own")]
fn request(more: Value) -> String {
    let parameters = json!({ "type": "object", "properties": { "at": { "type": "string" } }, "required": ["at"] });
    let mut body = json!({
        "model": "m",
        "messages": [{ "role": "user", "content": "look" }],
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": parameters } }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

/// The one choice of an answer.
fn choice(body: &str) -> Value {
    let answer: Value = serde_json::from_str(body).unwrap();
    assert_eq!(answer["object"], "chat.completion");
    answer["choices"][0].clone()
}

/// The chunks of a stream, which must end as it should.
fn chunks(body: &str) -> Vec<Value> {
    let data: Vec<_> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let (last, chunks) = data.split_last().unwrap();
    assert_eq!(*last, "[DONE]", "{body}");
    chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
}

#[tokio::test]
async fn in_passthrough_and_without_tools_bodies_pass_byte_for_byte() {
    let odd_body = r#"{"tools" :[ {"x":1e400} ],"model":"m"}"#;
    for (mode, body) in [
        (ToolsMode::Passthrough, odd_body),
        (ToolsMode::Strict, r#"{"model":"m", "messages":[] }"#),
        (ToolsMode::Validated, r#"{"model":"m","tools":null}"#),
        (ToolsMode::Strict, r#"{"model":"m","tools": []}"#),
    ] {
        let address = engine(|mut wire, _| async move {
            let request = wire.request().await.unwrap();
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            wire.json(body).await;
        })
        .await;
        let scheduler = Scheduler::with_spec([address], |spec| spec.tools.mode = mode);
        let (status, headers, answer) = Rig::new(&scheduler).await.chat(body).await;
        assert_eq!((status, answer.as_str()), (200, body));
        assert!(!headers.contains_key("x-orchestrator-tools"));
        assert_eq!(scheduler.admitted(), 1, "a request takes one place");
    }
}

#[tokio::test]
async fn a_strict_call_comes_back_as_an_openai_call() {
    let (scheduler, mut bodies) = scripted(vec![Reply::Text(CALL, "stop")], ToolsMode::Strict).await;
    let (status, headers, body) = Rig::new(&scheduler).await.chat(&request(json!({}))).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(headers["x-orchestrator-tools"], "exact; reasks=0; constraint=tools");
    assert_eq!(headers["x-orchestrator-instance"], "m");
    let choice = choice(&body);
    assert_eq!(choice["finish_reason"], "tool_calls");
    let call = &choice["message"]["tool_calls"][0];
    assert!(call["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!((&call["type"], &call["function"]), (&json!("function"), &json!({ "name": "look", "arguments": "{\"at\":\"sky\"}" })));
    let usage: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(usage["usage"], json!({ "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 }));
    let sent = bodies.recv().await.unwrap();
    assert!(sent.get("tools").is_none() && sent["response_format"]["type"] == "json_schema", "{sent}");
    scheduler.until_free().await;
    let [event] = &scheduler.events()[..] else { panic!("one event is expected") };
    assert_eq!((&event.data["fidelity"], &event.data["calls"]), (&json!("exact"), &json!(["look"])));
    assert!(!event.data.to_string().contains("sky"), "arguments are nobody's business");
}

#[tokio::test]
async fn a_streamed_call_leaves_whole_and_proven() {
    let (scheduler, _bodies) = scripted(vec![Reply::Text(CALL, "stop")], ToolsMode::Strict).await;
    let asked = request(json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let (status, headers, body) = Rig::new(&scheduler).await.chat(&asked).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    assert_eq!(headers["x-orchestrator-tools"], "exact; reasks=0; constraint=tools");
    let chunks = chunks(&body);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let first = &chunks[1]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!((&first["index"], &first["function"]["name"]), (&json!(0), &json!("look")));
    assert_eq!(chunks[2]["choices"][0]["delta"]["tool_calls"][0], json!({ "index": 0, "function": { "arguments": "{\"at\":\"sky\"}" } }));
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!((&chunks[4]["choices"], &chunks[4]["usage"]["total_tokens"]), (&json!([]), &json!(12)));
    assert_eq!(chunks.len(), 5);
}

#[tokio::test]
async fn words_are_streamed_as_they_are_decoded() {
    for stream in [false, true] {
        let (scheduler, _bodies) = scripted(vec![Reply::Text(FINAL, "stop")], ToolsMode::Strict).await;
        let (status, _, body) = Rig::new(&scheduler).await.chat(&request(json!({ "stream": stream }))).await;
        assert_eq!(status, 200);
        let (said, reason) = if stream {
            let chunks = chunks(&body);
            assert!(chunks.len() > 4, "the words came in one piece: {body}");
            let said = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
            (said, chunks.last().unwrap()["choices"][0]["finish_reason"].clone())
        } else {
            let choice = choice(&body);
            (choice["message"]["content"].as_str().unwrap().to_owned(), choice["finish_reason"].clone())
        };
        assert_eq!((said, reason), ("It is \"blue\".\n".to_owned(), json!("stop")));
    }
}

#[tokio::test]
async fn a_wrong_answer_is_asked_for_again_twice_and_then_refused() {
    for stream in [false, true] {
        let replies = vec![Reply::Text(WRONG, "stop"), Reply::Text(WRONG_TOO, "stop"), Reply::Text(WRONG_STILL, "stop")];
        let (scheduler, mut bodies) = scripted(replies, ToolsMode::Strict).await;
        let (status, headers, body) = Rig::new(&scheduler).await.chat(&request(json!({ "stream": stream }))).await;
        assert_eq!(status, 502, "{body}");
        let error = error_of(&body);
        assert_eq!(error["code"], "answer.invalid");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("`type` at /calls/0/arguments/at") && message.contains("2 times"), "{message}");
        assert_eq!(headers["x-orchestrator-tools"], "refused; reasks=2; constraint=tools");
        let sent = [bodies.recv().await.unwrap(), bodies.recv().await.unwrap(), bodies.recv().await.unwrap()];
        assert!(bodies.try_recv().is_err(), "the engine was asked more than three times");
        // What was wrong is told, the bad output is quoted by the user, and the last try is a cold one.
        for body in &sent {
            assert!(body["messages"].as_array().unwrap().iter().all(|message| message["role"] != "assistant"), "{body}");
        }
        assert!(sent[1]["messages"].to_string().contains("/calls/0/arguments/at"));
        assert_eq!((sent[1].get("temperature"), &sent[2]["temperature"]), (None, &json!(0)));
        assert_eq!(scheduler.events().len(), 1);
    }
}

#[tokio::test]
async fn what_is_right_the_second_time_is_an_answer() {
    let replies = vec![
        Reply::Text(WRONG, "stop"),
        Reply::Text("```json\n{v:1,type:'tool_calls',calls:[{name:'look',arguments:{at:'sky'}}]}\n```", "stop"),
    ];
    let (scheduler, _bodies) = scripted(replies, ToolsMode::Strict).await;
    let (_, headers, body) = Rig::new(&scheduler).await.chat(&request(json!({}))).await;
    assert_eq!(headers["x-orchestrator-tools"], "repaired; reasks=1; constraint=tools");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["usage"]["total_tokens"], 24, "both tries count");
}

#[tokio::test]
async fn a_refused_constraint_is_replaced_by_a_weaker_one() {
    let refusal = r#"{"error":{"code":400,"message":"failed to parse grammar"}}"#;
    let replies = vec![Reply::Refusal(400, refusal), Reply::Text(CALL, "stop")];
    let (scheduler, mut bodies) = scripted(replies, ToolsMode::Strict).await;
    let (status, headers, _) = Rig::new(&scheduler).await.chat(&request(json!({}))).await;
    assert_eq!(status, 200);
    assert_eq!(headers["x-orchestrator-tools"], "exact; reasks=0; constraint=envelope");
    let (first, second) = (bodies.recv().await.unwrap(), bodies.recv().await.unwrap());
    assert_ne!(first["response_format"], second["response_format"]);
    assert_eq!(scheduler.events()[0].data["degraded"], true);
}

#[tokio::test]
async fn other_refusals_of_the_engine_are_the_clients_to_see() {
    let refusal = r#"{"error":{"code":400,"message":"the request exceeds the available context size"}}"#;
    for (mode, stream) in [(ToolsMode::Strict, false), (ToolsMode::Strict, true), (ToolsMode::Validated, false)] {
        let (scheduler, _bodies) = scripted(vec![Reply::Refusal(400, refusal)], mode).await;
        let (status, _, body) = Rig::new(&scheduler).await.chat(&request(json!({ "stream": stream }))).await;
        assert_eq!((status, body.as_str()), (400, refusal));
    }
}

#[tokio::test]
async fn an_engine_that_refuses_to_be_asked_again_is_no_fault_of_the_clients_request() {
    let refusal = r#"{"error":{"code":400,"message":"the request exceeds the available context size"}}"#;
    let (scheduler, _bodies) = scripted(vec![Reply::Text(WRONG, "stop"), Reply::Refusal(400, refusal)], ToolsMode::Strict).await;
    let (status, headers, body) = Rig::new(&scheduler).await.chat(&request(json!({}))).await;
    let error = error_of(&body);
    assert_eq!((status, error["code"].as_str().unwrap()), (502, "answer.invalid"));
    assert!(error["message"].as_str().unwrap().contains("context size"), "{body}");
    assert_eq!(headers["x-orchestrator-tools"], "refused; reasks=1; constraint=tools");
}

#[tokio::test]
async fn what_is_cut_off_is_no_call() {
    let cut = &CALL[..CALL.len() - 6];
    for stream in [false, true] {
        let (scheduler, mut bodies) = scripted(vec![Reply::Text(cut, "length")], ToolsMode::Strict).await;
        let (status, _, body) = Rig::new(&scheduler).await.chat(&request(json!({ "stream": stream }))).await;
        assert_eq!(status, 200);
        assert!(!body.contains("tool_calls"), "{body}");
        assert!(body.contains(r#""finish_reason":"length""#), "{body}");
        bodies.recv().await.unwrap();
        assert!(bodies.try_recv().is_err(), "what was cut off is not asked for again");
    }
    // Nor when the engine says that all is well: the count of tokens tells.
    let (scheduler, _bodies) = scripted(vec![Reply::Text(cut, "tool_calls")], ToolsMode::Strict).await;
    let (_, _, body) = Rig::new(&scheduler).await.chat(&request(json!({ "max_tokens": 5 }))).await;
    assert_eq!(choice(&body)["finish_reason"], "length");
}

#[tokio::test]
async fn words_that_are_cut_off_say_how_far_they_came() {
    let (scheduler, _bodies) = scripted(vec![Reply::Text(&FINAL[..FINAL.len() - 7], "length")], ToolsMode::Strict).await;
    let (_, _, body) = Rig::new(&scheduler).await.chat(&request(json!({}))).await;
    let choice = choice(&body);
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!("It is \"blue"), &json!("length")));
}

#[tokio::test]
async fn generation_is_ended_where_the_envelope_ends_and_where_it_goes_nowhere() {
    let (scheduler, _bodies) = scripted(vec![Reply::Endless(CALL)], ToolsMode::Strict).await;
    let (_, headers, _) = Rig::new(&scheduler).await.chat(&request(json!({}))).await;
    assert_eq!(headers["x-orchestrator-tools"], "exact; reasks=0; constraint=tools");
    let spaces: &'static str = Box::leak(format!("{{\"v\":1,{}", " ".repeat(600)).into_boxed_str());
    let (scheduler, _bodies) = scripted(vec![Reply::Endless(spaces), Reply::Text(CALL, "stop")], ToolsMode::Strict).await;
    let (_, headers, _) = Rig::new(&scheduler).await.chat(&request(json!({}))).await;
    assert_eq!(headers["x-orchestrator-tools"], "exact; reasks=1; constraint=tools");
    scheduler.until_free().await;
}

#[tokio::test]
async fn choices_are_honoured_whatever_the_model_writes() {
    let two = r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{"at":"a"}},{"name":"look","arguments":{"at":"b"}}]}"#;
    let named = json!({ "type": "function", "function": { "name": "look" } });
    for (more, bad, good) in [
        (json!({ "tool_choice": "required" }), FINAL, CALL),
        (json!({ "tool_choice": named }), FINAL, CALL),
        (json!({ "tool_choice": "none" }), CALL, FINAL),
        (json!({ "parallel_tool_calls": false }), two, CALL),
    ] {
        let (scheduler, _bodies) = scripted(vec![Reply::Text(bad, "stop"), Reply::Text(good, "stop")], ToolsMode::Strict).await;
        let (status, headers, body) = Rig::new(&scheduler).await.chat(&request(more.clone())).await;
        assert_eq!(
            (status, headers["x-orchestrator-tools"].to_str().unwrap()),
            (200, "exact; reasks=1; constraint=tools"),
            "{more}: {body}"
        );
    }
}

#[tokio::test]
async fn tools_that_cannot_be_used_are_refused_by_name() {
    let tool = |name: &str, schema: Value| json!({ "type": "function", "function": { "name": name, "parameters": schema } });
    let (scheduler, mut bodies) = scripted(Vec::new(), ToolsMode::Strict).await;
    let rig = Rig::new(&scheduler).await;
    for (more, code, words) in [
        (json!({ "tools": [tool("a", json!({})), tool("a", json!({}))] }), "tools.invalid", "`a`"),
        (json!({ "tools": [tool("a b", json!({}))] }), "tools.invalid", "`a b`"),
        (json!({ "tools": [tool("a", json!({ "type": "wat" }))] }), "tools.invalid", "schema of a"),
        (json!({ "tools": [tool("a", json!({})), 7] }), "tools.invalid", "/tools/1"),
        (json!({ "tools": {} }), "tools.invalid", "/tools"),
        (json!({ "tool_choice": { "type": "function", "function": { "name": "b" } } }), "tools.invalid", "`b`"),
        (json!({ "tool_choice": "perhaps" }), "request.invalid", "`tool_choice`"),
        (json!({ "n": 2 }), "request.invalid", "`n`"),
        (json!({ "response_format": { "type": "json_object" } }), "request.invalid", "`response_format`"),
        (json!({ "messages": 1 }), "request.invalid", "`messages`"),
    ] {
        let (status, _, body) = rig.chat(&request(more.clone())).await;
        let error = error_of(&body);
        assert_eq!((status, error["code"].as_str().unwrap()), (400, code), "{body}");
        assert!(error["message"].as_str().unwrap().contains(words), "{more}: {body}");
    }
    assert!(bodies.try_recv().is_err(), "nothing of it reached the engine");
}

#[tokio::test]
async fn a_malformed_history_never_reaches_the_engine() {
    let bad = json!({ "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"at\": \"the s" } });
    let messages = json!([
        { "role": "user", "content": "look" },
        { "role": "assistant", "content": null, "tool_calls": [bad] },
        { "role": "tool", "tool_call_id": "c1", "content": CALL },
        { "role": "user", "content": "and now?" },
    ]);
    let native = json!([{ "index": 0, "id": "e1", "function": { "name": "look", "arguments": "{\"at\":\"sky\"}" } }]);
    for (mode, reply) in [(ToolsMode::Strict, Reply::Text(FINAL, "stop")), (ToolsMode::Validated, Reply::Calls(native, "tool_calls"))] {
        let (scheduler, mut bodies) = scripted(vec![reply], mode).await;
        let (status, _, _) = Rig::new(&scheduler).await.chat(&request(json!({ "messages": messages }))).await;
        assert_eq!(status, 200);
        let sent = bodies.recv().await.unwrap()["messages"].clone();
        assert!(!sent.to_string().contains("the s"), "{sent}");
        assert!(sent.as_array().unwrap().iter().all(|message| message.get("tool_calls").is_none() && message["role"] != "tool"), "{sent}");
    }
}

#[tokio::test]
async fn native_calls_are_checked_repaired_and_else_asked_for_again() {
    let native =
        |arguments: &str| json!([{ "index": 0, "id": "e1", "type": "function", "function": { "name": "look", "arguments": arguments } }]);
    let cases = [
        (vec![Reply::Calls(native(r#"{"at":"sky"}"#), "tool_calls")], "exact; reasks=0; constraint=native"),
        (vec![Reply::Calls(native("{at: 'sky',}"), "tool_calls")], "repaired; reasks=0; constraint=native"),
        (vec![Reply::Calls(native(r#"{"at":7}"#), "tool_calls"), Reply::Text(CALL, "stop")], "exact; reasks=1; constraint=tools"),
    ];
    for (replies, report) in cases {
        let (scheduler, mut bodies) = scripted(replies, ToolsMode::Validated).await;
        let (status, headers, body) = Rig::new(&scheduler).await.chat(&request(json!({}))).await;
        assert_eq!((status, headers["x-orchestrator-tools"].to_str().unwrap()), (200, report), "{body}");
        assert_eq!(choice(&body)["message"]["tool_calls"][0]["function"]["arguments"], r#"{"at":"sky"}"#);
        let sent = bodies.recv().await.unwrap();
        assert!(sent["tools"].is_array() && sent.get("response_format").is_none(), "{sent}");
    }
    let (scheduler, _bodies) = scripted(vec![Reply::Calls(native(r#"{"at":"sk"#), "length")], ToolsMode::Validated).await;
    let (_, _, body) = Rig::new(&scheduler).await.chat(&request(json!({ "stream": true }))).await;
    assert!(!body.contains("tool_calls") && body.contains(r#""finish_reason":"length""#), "{body}");
}

#[tokio::test]
async fn a_waiting_client_gets_signs_of_life() {
    let replies = vec![Reply::Late(Duration::from_millis(400), CALL)];
    let (scheduler, _bodies) = scripted(replies, ToolsMode::Strict).await;
    let pace = Pace { head: Duration::from_millis(50), keep_alive: Duration::from_millis(50) };
    let (status, headers, body) = Rig::with_pace(&scheduler, pace).await.chat(&request(json!({ "stream": true }))).await;
    assert_eq!((status, headers["x-orchestrator-tools"].to_str().unwrap()), (200, "pending; mode=strict"));
    assert!(body.matches(": waiting\n\n").count() >= 2, "{body}");
    assert!(body.contains(": x-orchestrator-tools: exact; reasks=0; constraint=tools\n"), "{body}");
    assert_eq!(chunks(&body).last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn an_engine_that_dies_on_the_way_is_an_error_and_no_call() {
    let address = engine(|mut wire, _| async move {
        wire.request().await.unwrap();
        wire.begin_stream().await;
        let chunk = json!({ "choices": [{ "delta": { "content": &CALL[..30] } }] });
        wire.chunk(&format!("data: {chunk}\n\n")).await;
        wire.reset();
    })
    .await;
    let scheduler = Scheduler::with_spec([address], |spec| spec.tools.mode = ToolsMode::Strict);
    let (status, _, body) = Rig::new(&scheduler).await.chat(&request(json!({}))).await;
    assert_eq!((status, error_of(&body)["code"].as_str().unwrap()), (502, "instance.upstream_failed"));
}

#[tokio::test]
async fn a_request_may_choose_its_mode() {
    let (scheduler, _bodies) = scripted(vec![Reply::Text(CALL, "stop")], ToolsMode::Passthrough).await;
    let rig = Rig::new(&scheduler).await;
    let chat = async |mode: &str| {
        let headers = [("x-orchestrator-tools", mode)];
        rig.client.openai_post_with("/v1/chat/completions", &headers, request(json!({}))).await.unwrap()
    };
    assert_eq!(chat("sloppy").await.status(), 400);
    let answer = chat("strict").await;
    assert_eq!(answer.headers()["x-orchestrator-tools"], "exact; reasks=0; constraint=tools");
}
