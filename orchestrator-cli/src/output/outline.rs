//! A value as indented text, in the manner of YAML: for reading, not for reading back.

use serde_json::Value;

use super::format;

/// Writes a value with each line indented by `indent` blanks.
#[must_use]
pub(crate) fn render(value: &Value, indent: usize) -> String {
    let mut text = String::new();
    write_value(&mut text, value, indent);
    text
}

fn write_value(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                write_entry(text, &format!("{key}:"), value, indent);
            }
        }
        Value::Array(items) => {
            for item in items {
                write_entry(text, "-", item, indent);
            }
        }
        scalar => text.push_str(&format!("{}{}\n", " ".repeat(indent), words(scalar))),
    }
}

fn write_entry(text: &mut String, head: &str, value: &Value, indent: usize) {
    let blanks = " ".repeat(indent);
    let is_nested = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_nested {
        text.push_str(&format!("{blanks}{head}\n"));
        write_value(text, value, indent + 2);
    } else {
        text.push_str(&format!("{blanks}{head} {}\n", words(value)));
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => format::printable(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_are_indented_and_empty_ones_stand_on_their_line() {
        let value = serde_json::json!({"a": 1, "b": {"c": "x\u{1b}", "d": []}, "e": [true, {"f": null}], "g": {}, "h": ""});
        insta::assert_snapshot!(render(&value, 2), @r#"
          a: 1
          b:
            c: x\u{1b}
            d: []
          e:
            - true
            -
              f: null
          g: {}
          h: ""
        "#);
    }
}
