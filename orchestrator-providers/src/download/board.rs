//! What the disk thread tells the hasher: which blocks are written, and some of them still in memory, so that they need not
//! be read back.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many blocks are kept in memory for the hasher at most: 8 MiB.
const MOST_KEPT: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: HashMap<u64, Written>,
    kept: HashMap<u64, Vec<u8>>,
    next: u64,
    end: Option<u64>,
    closed: bool,
}

/// How a block came to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// By us, just now.
    Now,
    /// By an earlier try, with this checksum.
    Earlier(u64),
}

/// What the hasher does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextBlock {
    /// Takes this block, from memory.
    Kept(Vec<u8>),
    /// Reads the block back. One of an earlier try must have the checksum.
    OnDisk { checksum: Option<u64> },
    /// It had all of them.
    End,
    /// Nobody wants the digest any more.
    Closed,
}

impl Board {
    /// Begins with blocks of an earlier try, and their checksums.
    pub(super) fn new(earlier: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let written = earlier.into_iter().map(|(index, checksum)| (index, Written::Earlier(checksum))).collect();
        Self { state: Mutex::new(State { written, ..State::default() }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block was written.
    pub(super) fn add(&self, index: u64, data: Vec<u8>) {
        let mut state = self.lock();
        state.written.insert(index, Written::Now);
        // A block that the hasher wants soon is worth more than one far away.
        if state.kept.len() < MOST_KEPT && index >= state.next {
            state.kept.insert(index, data);
        }
        if index == state.next {
            self.changed.notify_all();
        }
    }

    /// A block of an earlier try is damaged.
    pub(super) fn remove(&self, index: u64) {
        self.lock().written.remove(&index);
    }

    /// The file has so many blocks, all of which are written or will be.
    pub(super) fn set_end(&self, blocks: u64) {
        self.lock().end = Some(blocks);
        self.changed.notify_all();
    }

    /// Nobody wants the digest any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits for a block, the one after the last that was asked for or that one again.
    pub(super) fn wait_for(&self, index: u64) -> NextBlock {
        let mut state = self.lock();
        state.next = index;
        loop {
            if state.closed {
                return NextBlock::Closed;
            }
            if state.end.is_some_and(|end| index >= end) {
                return NextBlock::End;
            }
            if let Some(data) = state.kept.remove(&index) {
                return NextBlock::Kept(data);
            }
            match state.written.get(&index) {
                Some(Written::Now) => return NextBlock::OnDisk { checksum: None },
                Some(Written::Earlier(checksum)) => return NextBlock::OnDisk { checksum: Some(*checksum) },
                None => {}
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn blocks_come_in_order_from_memory_or_from_the_disk() {
        let board = Board::new([(1, 77)]);
        board.add(0, vec![0]);
        for index in 2..100 {
            board.add(index, vec![2]);
        }
        board.set_end(100);
        assert_eq!(board.wait_for(0), NextBlock::Kept(vec![0]));
        assert_eq!(board.wait_for(1), NextBlock::OnDisk { checksum: Some(77) });
        assert_eq!(board.wait_for(2), NextBlock::Kept(vec![2]));
        assert_eq!(board.wait_for(99), NextBlock::OnDisk { checksum: None }, "not everything is kept");
        assert_eq!(board.wait_for(100), NextBlock::End);
        board.close();
        assert_eq!(board.wait_for(0), NextBlock::Closed);
    }

    #[test]
    fn a_block_that_is_not_there_is_waited_for() {
        let board = Arc::new(Board::new([(0, 1)]));
        board.remove(0);
        let waiting = std::thread::spawn({
            let board = Arc::clone(&board);
            move || board.wait_for(0)
        });
        board.add(0, vec![9]);
        assert_eq!(waiting.join().ok(), Some(NextBlock::Kept(vec![9])));
    }
}
