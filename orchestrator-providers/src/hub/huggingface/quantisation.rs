//! The names of quantisations, as they stand in the names of files and as people write them.

/// Words that open a quantisation.
const OPENINGS: [&str; 10] = ["F16", "F32", "F64", "BF16", "FP16", "FP32", "FP8", "MXFP4", "NVFP4", "MXFP6"];
/// Words that can follow one.
const ENDINGS: [&str; 22] =
    ["0", "1", "2", "3", "4", "8", "K", "S", "M", "L", "XL", "XXL", "XS", "XXS", "NL", "KS", "KSS", "KT", "KL", "R4", "R8", "MOE"];
/// What stands in front of the ones that Unsloth makes layer by layer.
const DYNAMIC: &str = "UD";

/// Finds the quantisation in the name of a file, without its ending: its last word that is one, in the usual spelling.
pub(super) fn in_name(name: &str) -> Option<String> {
    let words = words(name);
    let (start, opening) = words.iter().enumerate().rev().find_map(|(index, word)| Some((index, opening(&word.text)?)))?;
    let mut label = opening;
    for word in &words[start + 1..] {
        // A number that is not joined by `_` is a version or a part of something else.
        let joined = word.before == Some('_') || (word.before == Some('-') && !word.text.starts_with(|each: char| each.is_ascii_digit()));
        if !joined || !ENDINGS.contains(&word.text.as_str()) {
            break;
        }
        label.push('_');
        label.push_str(&word.text);
    }
    let dynamic = start.checked_sub(1).and_then(|before| words.get(before)).is_some_and(|word| word.text == DYNAMIC);
    Some(if dynamic { format!("{DYNAMIC}-{label}") } else { label })
}

/// Brings what a person wrote into the form in which two names of the same quantisation are equal.
pub(super) fn normalised(text: &str) -> String {
    let text: String = text.chars().map(|each| if matches!(each, '-' | '.' | ' ') { '_' } else { each.to_ascii_uppercase() }).collect();
    match text.as_str() {
        "FP16" => "F16".to_owned(),
        "FP32" => "F32".to_owned(),
        _ => text,
    }
}

/// Returns a quantisation without the word that says it was made layer by layer.
pub(super) fn plain(normalised: &str) -> &str {
    normalised.strip_prefix("UD_").unwrap_or(normalised)
}

struct Word {
    /// What stands in front of it.
    before: Option<char>,
    text: String,
}

fn words(name: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut before = None;
    let mut text = String::new();
    for each in name.chars() {
        if each.is_alphanumeric() {
            text.extend(each.to_uppercase());
            continue;
        }
        if !text.is_empty() {
            words.push(Word { before, text: std::mem::take(&mut text) });
        }
        before = Some(each);
    }
    if !text.is_empty() {
        words.push(Word { before, text });
    }
    words
}

/// Returns the usual spelling of a word that opens a quantisation.
fn opening(word: &str) -> Option<String> {
    if OPENINGS.contains(&word) {
        return Some(normalised(word));
    }
    let digits = word.strip_prefix("IQ").or_else(|| word.strip_prefix("TQ")).or_else(|| word.strip_prefix('Q'))?;
    matches!(digits.as_bytes(), [b'1'..=b'8']).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_say_their_quantisation() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(in_name(name).as_deref(), expected, "{name}");
        check("Qwen3-0.6B-Q8_0", Some("Q8_0"));
        check("qwen2.5-7b-instruct-q4_k_m", Some("Q4_K_M"));
        check("gemma-3-4b-it-q4_0", Some("Q4_0"));
        check("Llama-3.2-1B-Instruct.Q4_K_S", Some("Q4_K_S"));
        check("Qwen3-30B-A3B-UD-Q4_K_XL", Some("UD-Q4_K_XL"));
        check("Qwen3-30B-A3B-UD-IQ2_XXS", Some("UD-IQ2_XXS"));
        check("model-IQ4_NL", Some("IQ4_NL"));
        check("model-BF16", Some("BF16"));
        check("model.fp16", Some("F16"));
        check("ggml-model-f16", Some("F16"));
        check("gpt-oss-20b-mxfp4", Some("MXFP4"));
        check("gpt-oss-20b-MXFP4_MOE", Some("MXFP4_MOE"));
        check("bitnet-TQ2_0", Some("TQ2_0"));
        check("model-Q4_0_4_8", Some("Q4_0_4_8"));
        check("model-q4-k-m", Some("Q4_K_M"));
        check("model-BF16-Q4_K_M", Some("Q4_K_M"));
        check("model-Q4_K_M-v2", Some("Q4_K_M"));
        check("model-Q6_K-1.5", Some("Q6_K"));
        check("model", None);
        check("QwQ-32B", None);
        check("phi-4-Q9_0", None);
        check("UD", None);
        check("", None);
    }

    #[test]
    fn people_write_them_in_any_case_and_with_any_mark() {
        for text in ["Q4_K_M", "q4_k_m", "q4-k-m", "Q4.K.M", "q4 k m"] {
            assert_eq!(normalised(text), "Q4_K_M");
        }
        assert_eq!(normalised("ud-q4_k_xl"), normalised("UD-Q4_K_XL"));
        assert_eq!(normalised("fp16"), "F16");
        assert_eq!(plain(&normalised("UD-Q4_K_XL")), "Q4_K_XL");
    }
}
