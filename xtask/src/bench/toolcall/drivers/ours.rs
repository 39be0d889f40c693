//! The driver of `orchestrator-toolcall`: extraction, repair and validation against the schemas of the tools.

mod protocol;

use orchestrator_toolcall::{Finish, Limits, ToolSet};
use serde_json::Value;

fn main() {
    let folder = std::env::args().nth(1).expect("the folder of the corpus");
    let file = std::fs::read_to_string(std::path::Path::new(&folder).join("tools.json")).expect("the tools are in the corpus");
    let sets: Vec<Value> = serde_json::from_str(&file).expect("the tools are JSON");
    // The longest texts of the corpus are beyond what is usual.
    let limits = Limits { max_bytes: 4 << 20, ..Limits::DEFAULT };
    let sets: Vec<ToolSet> = sets.iter().map(|set| ToolSet::from_openai(set).expect("the tools can be used").with_limits(limits)).collect();
    protocol::serve(
        |item| {
            let text = item["text"].as_str().expect("a text").to_owned();
            let finish = if item["stopped"] == true { Finish::Stop } else { Finish::Length };
            (text, finish, &sets[item["tools"].as_u64().and_then(|index| usize::try_from(index).ok()).expect("an index")])
        },
        |(text, finish, tools)| tools.parse(text, *finish).envelope,
        |envelope| serde_json::to_string(&envelope).expect("an envelope is JSON"),
    );
}
