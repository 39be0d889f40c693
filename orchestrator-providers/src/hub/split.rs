//! The names of GGUF files that hold a part of a model: `…-00001-of-00003.gguf`.

/// The ending of GGUF files.
pub(super) const ENDING: &str = ".gguf";
/// How many parts a model has at most; llama.cpp's own names have room for five digits.
const MOST_PARTS: u64 = 99_999;

/// What the name of a part says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SplitName<'a> {
    /// What stands in front of the numbers.
    pub(super) stem: &'a str,
    /// The number of the part, counted from 1.
    pub(super) number: u64,
    /// How many parts there are.
    pub(super) count: u64,
}

impl<'a> SplitName<'a> {
    /// Reads the name of a GGUF file. `None` for one that is whole.
    pub(super) fn of(name: &'a str) -> Option<Self> {
        let stem = without_ending(name)?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let split = Self { stem, number: five_digits(number)?, count: five_digits(count)? };
        (split.count >= 1 && split.number >= 1 && split.number <= split.count).then_some(split)
    }

    /// Returns the name of a part of the same model.
    pub(super) fn part(&self, number: u64) -> String {
        part_name(self.stem, number, self.count)
    }
}

/// Returns the name of a part.
pub(super) fn part_name(stem: &str, number: u64, count: u64) -> String {
    format!("{stem}-{number:05}-of-{count:05}{ENDING}")
}

/// Returns the name of a GGUF file without its ending. `None` for other files.
pub(super) fn without_ending(name: &str) -> Option<&str> {
    let at = name.len().checked_sub(ENDING.len())?;
    let (stem, ending) = name.split_at_checked(at)?;
    (!stem.is_empty() && ending.eq_ignore_ascii_case(ENDING)).then_some(stem)
}

fn five_digits(text: &str) -> Option<u64> {
    let digits = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= MOST_PARTS)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_part_says_which_one_it_is() {
        let split = SplitName::of("big/model-Q8_0-00002-of-00003.gguf").unwrap();
        assert_eq!(split, SplitName { stem: "big/model-Q8_0", number: 2, count: 3 });
        assert_eq!(split.part(1), "big/model-Q8_0-00001-of-00003.gguf");
    }

    #[test]
    fn other_names_are_whole_files() {
        for name in [
            "model.gguf",
            "model-1-of-3.gguf",
            "model-00004-of-00003.gguf",
            "model-00000-of-00003.gguf",
            "model-00001-of-00003.safetensors",
            "model-+0001-of-00003.gguf",
            ".gguf",
            "",
            "ä.guf",
        ] {
            assert_eq!(SplitName::of(name), None, "{name}");
        }
    }
}
