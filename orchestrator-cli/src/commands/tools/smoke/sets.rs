//! The tools that a model is asked to call: ten sets, from one plain tool to unions, nesting and long lists of tools.
//!
//! Their schemas say nothing that a constraint on generation cannot: so even a model of random weights calls them well.

use serde_json::{Value, json};

/// Tools, and something to ask that needs them.
pub(super) struct SmokeSet {
    pub(super) name: &'static str,
    pub(super) question: &'static str,
    pub(super) tools: Value,
}

fn tool(name: &str, description: &str, properties: &Value, required: &[&str]) -> Value {
    let parameters = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    json!({ "type": "function", "function": { "name": name, "description": description, "parameters": parameters } })
}

fn text(longest: u32) -> Value {
    json!({ "type": "string", "maxLength": longest })
}

/// Returns the sets.
pub(super) fn all() -> Vec<SmokeSet> {
    let set = |name, question, tools| SmokeSet { name, question, tools };
    vec![
        set("plain", "How will the weather be in Lisbon?", json!([weather()])),
        set("several", "Find the cheapest flight to Porto and book it.", json!([search(), book(), weather()])),
        set("enum", "Turn the light in the kitchen blue.", json!([light()])),
        set("numbers", "What is 17.5 % of 240?", json!([percent()])),
        set("nested", "Send a parcel of 2 kg to Ada in London.", json!([parcel()])),
        set("arrays", "Remind me of milk, bread and tea.", json!([reminders()])),
        set("union", "Pay 12 euros by card.", json!([payment()])),
        set("optional", "List the open issues.", json!([issues()])),
        set("no arguments", "What time is it?", json!([tool("clock", "Tells the time.", &json!({}), &[])])),
        set("many", "Use the seventh tool.", many()),
    ]
}

fn weather() -> Value {
    let days = json!({ "type": "integer", "minimum": 1, "maximum": 7 });
    tool("weather", "Says how the weather will be.", &json!({ "city": text(40), "days": days }), &["city"])
}

fn search() -> Value {
    let properties =
        json!({ "to": text(40), "max_price": { "type": "integer", "minimum": 0, "maximum": 5000 }, "direct": { "type": "boolean" } });
    tool("search_flights", "Searches for flights.", &properties, &["to", "direct"])
}

fn book() -> Value {
    let flight = json!({ "type": "string", "pattern": "^[A-Z][A-Z][0-9][0-9][0-9]$" });
    tool("book_flight", "Books a flight.", &json!({ "flight": flight }), &["flight"])
}

fn light() -> Value {
    let properties = json!({ "room": { "enum": ["kitchen", "hall", "bath"] }, "colour": { "enum": ["red", "green", "blue", null] } });
    tool("light", "Sets the colour of a light; null turns it off.", &properties, &["room", "colour"])
}

fn percent() -> Value {
    let properties = json!({ "rate": { "type": "number" }, "of": { "type": "integer", "minimum": -1000, "maximum": 1000 } });
    tool("percent", "Calculates a percentage.", &properties, &["rate", "of"])
}

fn parcel() -> Value {
    let address = json!({
        "type": "object",
        "properties": { "name": text(30), "city": text(30), "country": { "type": "string", "minLength": 2, "maxLength": 2 } },
        "required": ["name", "city", "country"],
        "additionalProperties": false,
    });
    let contents = json!({ "type": "object", "properties": { "grams": { "type": "integer" } }, "required": ["grams"] });
    tool("send_parcel", "Sends a parcel.", &json!({ "to": address, "contents": contents }), &["to", "contents"])
}

fn reminders() -> Value {
    let items = json!({ "type": "array", "items": text(30), "minItems": 1, "maxItems": 4 });
    tool("remind", "Writes reminders.", &json!({ "items": items }), &["items"])
}

fn payment() -> Value {
    let way = json!({ "anyOf": [
        { "type": "object", "properties": { "kind": { "const": "card" }, "last4": { "type": "string", "pattern": "^[0-9][0-9][0-9][0-9]$" } },
          "required": ["kind", "last4"], "additionalProperties": false },
        { "type": "object", "properties": { "kind": { "const": "cash" } }, "required": ["kind"], "additionalProperties": false },
    ] });
    tool("pay", "Pays an amount in euros.", &json!({ "euros": { "type": "integer", "minimum": 1 }, "way": way }), &["euros", "way"])
}

fn issues() -> Value {
    let properties = json!({ "state": { "enum": ["open", "closed"] }, "label": { "type": ["string", "null"], "maxLength": 20 } });
    tool("list_issues", "Lists issues.", &properties, &[])
}

fn many() -> Value {
    let one = |number: u32| {
        let properties = json!({ "value": { "type": "integer" }, "why": text(20) });
        tool(&format!("tool_{number}"), &format!("Does thing number {number}."), &properties, &["value"])
    };
    (1..=12).map(one).collect()
}
