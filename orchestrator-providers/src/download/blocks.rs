//! Which blocks of a file are here, are being fetched, or are missing. Pure.

use super::answer::ByteRange;

/// The unit of checkpoints, in bytes: what is not whole is fetched again.
pub(super) const BLOCK_BYTES: u64 = 256 << 10;

/// No file is longer: what says it is, lies. 16 TiB.
pub(super) const LONGEST_FILE: u64 = 16 << 40;

/// The blocks of a file of known length.
#[derive(Debug, Clone)]
pub(super) struct BlockMap {
    length: u64,
    blocks: Vec<BlockState>,
    /// No block before this one is missing.
    first_missing: usize,
    done_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockState {
    Missing,
    Taken,
    Done,
}

/// Returns how many blocks a file has.
pub(super) fn block_count(length: u64) -> u64 {
    length.div_ceil(BLOCK_BYTES)
}

/// Returns which bytes of a file of so many bytes a block is.
pub(super) fn block_range(index: u64, length: u64) -> ByteRange {
    let start = index.saturating_mul(BLOCK_BYTES);
    ByteRange { start, end: start.saturating_add(BLOCK_BYTES).min(length) }
}

impl BlockMap {
    pub(super) fn new(length: u64) -> Self {
        let count = usize::try_from(block_count(length)).unwrap_or(usize::MAX);
        Self { length, blocks: vec![BlockState::Missing; count], first_missing: 0, done_bytes: 0 }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.done_bytes == self.length
    }

    pub(super) fn done_bytes(&self) -> u64 {
        self.done_bytes
    }

    pub(super) fn missing_bytes(&self) -> u64 {
        self.length - self.done_bytes
    }

    /// Takes the first missing blocks in a row, at most `longest` bytes and at least one block.
    pub(super) fn take(&mut self, longest: u64) -> Option<ByteRange> {
        let waiting = self.blocks.get(self.first_missing..)?;
        let first = self.first_missing + waiting.iter().position(|state| *state == BlockState::Missing)?;
        let most = usize::try_from((longest / BLOCK_BYTES).max(1)).unwrap_or(usize::MAX);
        let run = self.blocks[first..].iter().take(most).take_while(|state| **state == BlockState::Missing).count();
        self.blocks[first..first + run].fill(BlockState::Taken);
        self.first_missing = first + run;
        let last = block_range((first + run - 1) as u64, self.length);
        Some(ByteRange { start: first as u64 * BLOCK_BYTES, end: last.end })
    }

    /// Says how a range ended that was taken: the blocks before `reached` are here, the others are missing again.
    pub(super) fn settle(&mut self, range: ByteRange, reached: u64) {
        for index in self.indices(range) {
            let block = block_range(index as u64, self.length);
            if block.end <= reached { self.mark_done(index) } else { self.mark_missing(index) }
        }
    }

    /// Says that a block of an earlier try is here.
    pub(super) fn add(&mut self, index: u64) {
        if let Ok(index) = usize::try_from(index) {
            self.mark_done(index);
        }
    }

    /// Says that a block which was thought to be here is not.
    pub(super) fn lose(&mut self, index: u64) {
        if let Ok(index) = usize::try_from(index) {
            self.mark_missing(index);
        }
    }

    fn indices(&self, range: ByteRange) -> std::ops::Range<usize> {
        let place = |block: u64| usize::try_from(block).unwrap_or(usize::MAX).min(self.blocks.len());
        place(range.start / BLOCK_BYTES)..place(range.end.div_ceil(BLOCK_BYTES))
    }

    fn mark_done(&mut self, index: usize) {
        let Some(state) = self.blocks.get_mut(index) else { return };
        if *state != BlockState::Done {
            *state = BlockState::Done;
            self.done_bytes += block_range(index as u64, self.length).len();
        }
    }

    fn mark_missing(&mut self, index: usize) {
        let Some(state) = self.blocks.get_mut(index) else { return };
        if *state == BlockState::Done {
            self.done_bytes -= block_range(index as u64, self.length).len();
        }
        *state = BlockState::Missing;
        self.first_missing = self.first_missing.min(index);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_are_taken_in_order_and_the_last_may_be_short() {
        let mut map = BlockMap::new(BLOCK_BYTES * 3 + 5);
        assert_eq!(map.take(2 * BLOCK_BYTES).unwrap(), ByteRange { start: 0, end: 2 * BLOCK_BYTES });
        assert_eq!(map.take(9 * BLOCK_BYTES).unwrap(), ByteRange { start: 2 * BLOCK_BYTES, end: 3 * BLOCK_BYTES + 5 });
        assert_eq!(map.take(BLOCK_BYTES), None);
        map.settle(ByteRange { start: 0, end: 2 * BLOCK_BYTES }, BLOCK_BYTES + 7);
        assert_eq!(map.done_bytes(), BLOCK_BYTES);
        assert_eq!(map.take(BLOCK_BYTES).unwrap(), ByteRange { start: BLOCK_BYTES, end: 2 * BLOCK_BYTES });
    }

    #[test]
    fn what_is_here_is_stepped_over_and_can_be_lost() {
        let mut map = BlockMap::new(4 * BLOCK_BYTES);
        map.add(1);
        map.add(99);
        assert_eq!(map.take(4 * BLOCK_BYTES).unwrap(), ByteRange { start: 0, end: BLOCK_BYTES });
        map.lose(1);
        assert_eq!(map.take(BLOCK_BYTES).unwrap(), ByteRange { start: BLOCK_BYTES, end: 2 * BLOCK_BYTES });
        assert_eq!(map.missing_bytes(), 4 * BLOCK_BYTES);
    }

    #[test]
    fn an_empty_file_is_complete() {
        let mut map = BlockMap::new(0);
        assert!(map.is_complete() && map.take(1).is_none());
    }

    proptest! {
        #[test]
        fn whatever_fails_every_byte_is_fetched_in_the_end(length in 1..40 * BLOCK_BYTES, fates in prop::collection::vec(any::<(u8, u16, u16)>(), 1..200)) {
            let mut map = BlockMap::new(length);
            let mut taken: Vec<ByteRange> = Vec::new();
            let mut held = vec![0_u8; usize::try_from(block_count(length)).unwrap()];
            for (kind, a, b) in fates {
                match kind % 4 {
                    0 => map.lose(u64::from(a) % block_count(length)),
                    1 if !taken.is_empty() => {
                        let range = taken.swap_remove(usize::from(a) % taken.len());
                        map.settle(range, range.start + u64::from(b) * range.len() / u64::from(u16::MAX));
                    }
                    _ => if let Some(range) = map.take(u64::from(a) * 64) {
                        prop_assert!(range.start < range.end && range.end <= length);
                        prop_assert!(range.start % BLOCK_BYTES == 0);
                        taken.push(range);
                    }
                }
            }
            for range in taken.drain(..) {
                map.settle(range, range.start);
            }
            while let Some(range) = map.take(5 * BLOCK_BYTES) {
                for index in range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES) {
                    held[usize::try_from(index).unwrap()] += 1;
                }
                map.settle(range, range.end);
            }
            prop_assert!(map.is_complete() && map.missing_bytes() == 0);
            prop_assert!(held.iter().all(|count| *count <= 1), "a block was fetched twice");
        }
    }
}
