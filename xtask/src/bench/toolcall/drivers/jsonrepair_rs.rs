//! The driver of the crate `jsonrepair-rs`: repair, then `serde_json`.

mod protocol;

use serde_json::Value;

fn main() {
    protocol::serve(
        |item| item["text"].as_str().expect("a text").to_owned(),
        |text| serde_json::from_str::<Value>(&jsonrepair_rs::jsonrepair(text).ok()?).ok(),
        |value| value.to_string(),
    );
}
