//! Finds the word somebody may have meant.

/// Returns the candidate nearest to `word`, when it is near enough to be a slip.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Far longer than any name of ours; distances grow with the square.
    const LONGEST: usize = 80;
    if word.len() > LONGEST {
        return None;
    }
    let plain = normalized(word);
    let scored = candidates.map(|candidate| (strsim::damerau_levenshtein(&plain, &normalized(candidate)), candidate));
    let limit = 1 + plain.chars().count() / 4;
    scored.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Returns whether two words differ only in case, `-` and `_`.
pub(crate) fn same_word(left: &str, right: &str) -> bool {
    normalized(left) == normalized(right)
}

fn normalized(word: &str) -> String {
    word.chars().filter(|character| !matches!(character, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let keys = ["host", "port", "timeout", "parallel", "context_size"];
        for (word, expected) in [
            ("prot", Some("port")),
            ("Port", Some("port")),
            ("contextSize", Some("context_size")),
            ("paralel", Some("parallel")),
            ("gpu", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys.into_iter()), expected, "{word}");
        }
    }
}
