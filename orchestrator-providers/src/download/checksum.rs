//! A quick checksum of a block, to notice that a block of an earlier try was never written (a power loss) or was damaged. It
//! is no proof against anybody: the digest of the whole file is.

const LANES: usize = 4;
const STEP: usize = 8 * LANES;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the checksum of a block.
pub(super) fn checksum(data: &[u8]) -> u64 {
    let mut lanes: [u64; LANES] = [1, 2, 3, 4];
    let (steps, rest) = data.as_chunks::<STEP>();
    for step in steps {
        absorb(&mut lanes, step);
    }
    if !rest.is_empty() {
        let mut last = [0; STEP];
        last[..rest.len()].copy_from_slice(rest);
        absorb(&mut lanes, &last);
    }
    lanes.iter().fold(data.len() as u64, |sum, lane| mix(sum.rotate_left(17) ^ mix(*lane)))
}

fn absorb(lanes: &mut [u64; LANES], step: &[u8; STEP]) {
    let (words, _) = step.as_chunks::<8>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR).rotate_left(29);
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (value ^ (value >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_and_lengths_are_told_apart() {
        assert_ne!(checksum(&[0; 64]), checksum(&[0; 65]));
        assert_ne!(checksum(&[0; 32]), checksum(&[0; 64]));
        assert_ne!(checksum(&[]), checksum(&[0]));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_noticed(mut data in prop::collection::vec(any::<u8>(), 1..300), place in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let before = checksum(&data);
            prop_assert_eq!(before, checksum(&data));
            let place = place.index(data.len());
            data[place] ^= 1_u8 << bit;
            prop_assert_ne!(before, checksum(&data));
        }
    }
}
