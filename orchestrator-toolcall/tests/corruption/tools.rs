//! Random tool sets, and envelopes that are valid for them.

use serde_json::{Map, Value, json};

use super::random::Random;

const WORDS: [&str; 40] = [
    "city",
    "days",
    "unit",
    "query",
    "path",
    "limit",
    "user",
    "email",
    "count",
    "filter",
    "start",
    "end",
    "note",
    "tags",
    "mode",
    "source",
    "target",
    "depth",
    "title",
    "body",
    "first_name",
    "max-size",
    "größe",
    "x",
    "id",
    "lang",
    "zone",
    "price",
    "rate",
    "flag",
    "options",
    "range",
    "items",
    "meta",
    "owner",
    "state",
    "level",
    "kind",
    "v",
    "type",
];

const TEXTS: [&str; 40] = [
    "Paris",
    "",
    "a",
    "New York, NY",
    "it's fine",
    "say \"hi\" now",
    "the dogs' bowls, and cats",
    "line one\nline two",
    "tab\there",
    "C:\\temp\\new",
    "日本語のテキスト",
    "Łódź",
    "emoji 😀🎉",
    "{\"v\":1}",
    "[1, 2, 3]",
    "a: b, c: d",
    "// not a comment",
    "/* nor this */",
    "# nor that",
    "True",
    "None",
    "null",
    "12",
    "```json",
    "</think>",
    "<tool_call>",
    "“smart”",
    "back\\slash",
    "trailing\\",
    "a,b;c",
    "50%",
    "x = {y: [z]}",
    "no\u{a0}break",
    "“",
    "don't 'quote' me",
    "rock 'n' roll",
    "end.",
    "http://a.b/c?d=e#f",
    "quote\" in, the: middle",
    "\u{1}\u{1f} control",
];

const NUMBERS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "42",
    "3.14",
    "-0.5",
    "1e-7",
    "1.5e300",
    "2.5E+10",
    "9007199254740993",
    "-9223372036854775808",
    "9223372036854775807",
    "18446744073709551615",
    "0.1",
    "100",
    "1000000",
    "-273.15",
    "5e-324",
    "7",
    "12",
    "0.30000000000000004",
    "65536",
];

/// A random schema and a function of it: values that match.
pub fn schema(random: &mut Random, depth: usize) -> Value {
    let kinds = if depth == 0 { 6 } else { 10 };
    match random.below(kinds) {
        0 | 1 => json!({"type": "string"}),
        2 => json!({"type": "number"}),
        3 => json!({"type": "boolean"}),
        4 => json!({"enum": ["red", "green", "it's", "blue \"deep\"", 7, null]}),
        5 => json!({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]}),
        6 | 7 => object(random, depth - 1),
        8 => json!({"type": "array", "items": schema(random, depth - 1)}),
        _ => {
            json!({"type": ["array", "null"], "items": {"type": "array", "items": schema(random, 0)}})
        }
    }
}

pub fn object(random: &mut Random, depth: usize) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for _ in 0..random.below(6) {
        let name = *random.pick(&WORDS);
        if !properties.contains_key(name) {
            properties.insert(name.to_owned(), schema(random, depth));
            if random.chance(50) {
                required.push(name);
            }
        }
    }
    let mut object = json!({"type": "object", "properties": properties, "required": required});
    if random.chance(40) {
        object["additionalProperties"] = json!(false);
    }
    object
}

/// A random value that matches a schema of this module.
pub fn value(random: &mut Random, schema: &Value) -> Value {
    if let Some(options) = schema["enum"].as_array() {
        return random.pick(options).clone();
    }
    if let Some(branches) = schema["anyOf"].as_array() {
        let branch = random.pick(branches).clone();
        return value(random, &branch);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => random.pick(kinds).as_str().unwrap().to_owned(),
        kind => kind.as_str().unwrap().to_owned(),
    };
    match kind.as_str() {
        "string" => json!(random.pick(&TEXTS)),
        "number" => serde_json::from_str(random.pick::<&str>(&NUMBERS)).unwrap(),
        "boolean" => json!(random.chance(50)),
        "null" => Value::Null,
        "array" => (0..random.below(4)).map(|_| value(random, &schema["items"])).collect(),
        _ => {
            let required = schema["required"].as_array().unwrap();
            let mut members = Map::new();
            for (name, member) in schema["properties"].as_object().unwrap() {
                if required.iter().any(|required| required == name) || random.chance(70) {
                    members.insert(name.clone(), value(random, member));
                }
            }
            Value::Object(members)
        }
    }
}

/// A random tool set in OpenAI's shape.
pub fn tools(random: &mut Random) -> Value {
    (0..=random.below(4))
        .map(|index| {
            json!({"type": "function", "function": {
                "name": format!("{}_{index}", random.pick(&["get", "set", "find", "send"])),
                "parameters": object(random, 3)
            }})
        })
        .collect()
}

/// A random envelope with calls of those tools.
pub fn envelope(random: &mut Random, tools: &Value) -> Value {
    let tools = tools.as_array().unwrap();
    let calls: Vec<Value> = (0..=random.below(3))
        .map(|_| {
            let function = &random.pick(tools)["function"];
            let arguments = value(random, &function["parameters"]);
            json!({"name": function["name"], "arguments": arguments})
        })
        .collect();
    json!({"v": 1, "type": "tool_calls", "calls": calls})
}
