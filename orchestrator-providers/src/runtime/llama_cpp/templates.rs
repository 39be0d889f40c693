//! Chat templates for model files that carry none, by the names that llama.cpp has for them.
//!
//! Owns: their text. The engine knows these names too, but not together with `--jinja`, which tools need: there it takes a name
//! for a template and gives every model that one word to read. So it is given the template itself. Each says what the engine's
//! own template of that name says, but for `zephyr`, which ends a message with the token that the file names.

/// Every template.
const TEMPLATES: [(&str, &str); 16] = [
    ("chatml", include_str!("templates/chatml.jinja")),
    ("command-r", include_str!("templates/command-r.jinja")),
    ("deepseek3", include_str!("templates/deepseek3.jinja")),
    ("gemma", include_str!("templates/gemma.jinja")),
    ("granite", include_str!("templates/granite.jinja")),
    ("llama2-sys", include_str!("templates/llama2-sys.jinja")),
    ("llama3", include_str!("templates/llama3.jinja")),
    ("llama4", include_str!("templates/llama4.jinja")),
    ("mistral-v1", include_str!("templates/mistral-v1.jinja")),
    ("mistral-v3", include_str!("templates/mistral-v3.jinja")),
    ("mistral-v7", include_str!("templates/mistral-v7.jinja")),
    ("openchat", include_str!("templates/openchat.jinja")),
    ("phi3", include_str!("templates/phi3.jinja")),
    ("phi4", include_str!("templates/phi4.jinja")),
    ("vicuna", include_str!("templates/vicuna.jinja")),
    ("zephyr", include_str!("templates/zephyr.jinja")),
];

/// Returns the template of a name, in the language Jinja.
pub(crate) fn of_name(name: &str) -> Option<&'static str> {
    TEMPLATES.iter().find(|(known, _)| *known == name).map(|(_, template)| template.trim_end())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn every_template_writes_each_message_and_begins_the_answer() {
        for (name, _) in TEMPLATES {
            let template = of_name(name).unwrap();
            assert!(template.contains("for message in messages"), "{name}");
            assert!(template.contains("message.content or ''"), "{name}: a message may have no content");
            let waits = ["[/INST]", "add_generation_prompt"];
            assert!(waits.iter().any(|end| template.contains(end)), "{name}");
            assert!(!template.starts_with(char::is_whitespace) && !template.ends_with(char::is_whitespace), "{name}");
        }
    }

    #[test]
    fn no_other_name_has_a_template() {
        assert_eq!(of_name("llama"), None);
    }
}
