//! Recognises a prompt template of the library by the marks it puts around messages. Pure.
//!
//! Owns: the way from a template in Go's language to the name of the same template at llama.cpp. It translates nothing: what
//! a template does besides — tools, thinking — is lost, which is why a template in the model's own file is preferred.

use crate::runtime::chat_template;

/// Marks that are all in a template, and its name. The first that fits decides.
const MARKS: [(&[&str], &str); 17] = [
    (&["<|im_start|>", "<|im_sep|>"], "phi4"),
    (&["<|im_start|>", "<|im_end|>"], "chatml"),
    (&["<|start_header_id|>", "<|eot_id|>"], "llama3"),
    (&["<|header_start|>", "<|eot|>"], "llama4"),
    (&["<start_of_turn>", "<end_of_turn>"], "gemma"),
    (&["[SYSTEM_PROMPT]", "[INST]"], "mistral-v7"),
    (&["<<SYS>>", "[INST]"], "llama2-sys"),
    (&["[INST]", " [/INST]"], "mistral-v1"),
    (&["[INST]", "[/INST]"], "mistral-v3"),
    (&["<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"], "command-r"),
    (&["<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"], "granite"),
    (&["<｜User｜>", "<｜Assistant｜>"], "deepseek3"),
    (&["<|user|>", "<|assistant|>", "<|end|>"], "phi3"),
    (&["<|user|>", "<|assistant|>", "</s>"], "zephyr"),
    (&["<|user|>", "<|assistant|>", "<|endoftext|>"], "zephyr"),
    (&["GPT4 Correct"], "openchat"),
    (&["USER:", "ASSISTANT:"], "vicuna"),
];

/// Returns the name of the template, or `None` for one of another kind.
pub(super) fn recognise(template: &str) -> Option<&'static str> {
    let (_, name) = MARKS.iter().find(|(marks, _)| marks.iter().all(|mark| template.contains(mark)))?;
    chat_template(name).is_some().then_some(*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_known_by_their_marks() {
        for (template, expected) in [
            (
                "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}<|im_start|>user\n{{ .Prompt }}<|im_end|>",
                Some("chatml"),
            ),
            ("{{- range .Messages }}<|im_start|>{{ .Role }}<|im_sep|>\n{{ .Content }}<|im_end|>{{ end }}", Some("phi4")),
            ("<|start_header_id|>user<|end_header_id|>\n\n{{ .Prompt }}<|eot_id|>", Some("llama3")),
            ("<start_of_turn>user\n{{ .Prompt }}<end_of_turn>\n<start_of_turn>model", Some("gemma")),
            ("[INST] <<SYS>>{{ .System }}<</SYS>>\n\n{{ .Prompt }} [/INST]", Some("llama2-sys")),
            ("[INST] {{ .System }} {{ .Prompt }} [/INST]", Some("mistral-v1")),
            ("[AVAILABLE_TOOLS] {{ .Tools }}[/AVAILABLE_TOOLS][INST] {{ .Content }}[/INST]", Some("mistral-v3")),
            ("[SYSTEM_PROMPT]{{ .System }}[/SYSTEM_PROMPT][INST]{{ .Content }}[/INST]", Some("mistral-v7")),
            ("<|user|>\n{{ .Prompt }}<|end|>\n<|assistant|>\n", Some("phi3")),
            ("<|system|>\n{{ .System }}</s>\n<|user|>\n{{ .Prompt }}</s>\n<|assistant|>\n", Some("zephyr")),
            ("{{ .System }}\nUSER: {{ .Prompt }}\nASSISTANT: ", Some("vicuna")),
            ("<｜User｜>{{ .Prompt }}<｜Assistant｜>", Some("deepseek3")),
            ("{{ .Prompt }}", None),
            ("<|start|>user<|message|>{{ .Content }}<|end|><|start|>assistant", None),
            ("### Instruction:\n{{ .Prompt }}\n### Response:\n", None),
            ("", None),
        ] {
            assert_eq!(recognise(template), expected, "{template}");
        }
    }

    #[test]
    fn the_engine_has_every_template_that_is_recognised() {
        for (_, name) in MARKS {
            assert!(chat_template(name).is_some(), "{name}");
        }
    }
}
