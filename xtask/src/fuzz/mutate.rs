//! Makes inputs of samples, by a seed. Pure.

use super::samples::PIECES;

/// No input is longer, in bytes.
const LONGEST: usize = 64 * 1024;

/// A source of inputs: the same seed and samples give the same ones.
pub(super) struct Mutator {
    state: u64,
    samples: Vec<Vec<u8>>,
}

impl Mutator {
    pub(super) fn new(seed: u64, samples: Vec<Vec<u8>>) -> Self {
        Self { state: seed, samples }
    }

    /// The next input.
    pub(super) fn input(&mut self) -> Vec<u8> {
        let mut input = self.sample();
        for _ in 0..=self.below(6) {
            self.mutate(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    /// A beginning, and what may follow it again and again.
    pub(super) fn pattern(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut prefix = self.input();
        let length = self.below(200);
        prefix.truncate(length);
        let pattern = if self.below(2) == 0 {
            (0..=self.below(3)).flat_map(|_| PIECES[self.below(PIECES.len())].bytes()).collect()
        } else {
            let from = self.input();
            let start = self.below(from.len());
            from[start..].iter().copied().take(1 + self.below(40)).collect()
        };
        (prefix, pattern)
    }

    fn sample(&mut self) -> Vec<u8> {
        let index = self.below(self.samples.len());
        self.samples.get(index).cloned().unwrap_or_default()
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(9) {
            0 => {
                let bit = self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            1 => {
                let new = self.byte();
                if let Some(byte) = input.get_mut(at) {
                    *byte = new;
                }
            }
            2 => drop(input.drain(at..end)),
            3 => {
                let again = input[at..end].repeat(1 + self.below(3));
                input.splice(at..at, again);
            }
            4 => input.truncate(at),
            5 => {
                let other = self.sample();
                let start = self.below(other.len() + 1);
                let length = self.below((other.len() - start).min(256) + 1);
                input.splice(at..end, other[start..start + length].iter().copied());
            }
            6 => {
                let new = self.byte();
                input.insert(at, new);
            }
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                input.splice(at..at, piece.bytes());
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "any byte will do")]
    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below the bound")]
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// The next number (splitmix64).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_inputs_and_another_does_not() {
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed, vec![b"{\"a\":1}".to_vec(), Vec::new()]);
            (0..200).map(|_| (mutator.input(), mutator.pattern())).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        assert!(inputs(7).iter().all(|(input, _)| input.len() <= LONGEST));
    }
}
