//! The streaming scanner: chunks make no difference.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orchestrator_toolcall::{Limits, StreamScanner};

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (bytes, cuts) = input;
    let mut whole = StreamScanner::new(Limits::DEFAULT);
    whole.push(&bytes);
    let mut pieces = StreamScanner::new(Limits::DEFAULT);
    let mut rest = bytes.as_slice();
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(whole.state(), pieces.state());
});
