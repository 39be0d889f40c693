//! Small deterministic random numbers, and 16-bit floats. Only exact operations: the same bytes on every machine.

/// The `SplitMix64` generator.
pub(super) struct Random(u64);

impl Random {
    /// Starts a sequence that follows from `seed` and a name, so that tensors do not depend on each other's size.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a over the name.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(seed ^ hash)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number around 0 with a standard deviation of 1, nearly normal: four even ones, added.
    pub(super) fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u32 = (0..4)
            .map(|index| u32::from((bits >> (16 * index)) as u16))
            .sum();
        // Four even numbers from 0 to 1 have a mean of 2 and a variance of 4/12.
        (sum as f32 / 65_536.0 - 2.0) * 1.732_050_8
    }
}

/// Converts to the nearest 16-bit float (ties to even); what is too large becomes infinity.
pub(super) fn half_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let exponent = ((bits >> 23) & 0xff) as i32 - 127;
    let fraction = bits & 0x007f_ffff;
    if exponent == 128 {
        return sign | 0x7c00 | u16::from(fraction != 0) << 9;
    }
    if exponent > 15 {
        return sign | 0x7c00;
    }
    if exponent < -25 {
        return sign;
    }
    // The bits to keep, with the leading one, and how many to drop: more of them below the smallest normal number.
    let (base, kept, dropped) = if exponent >= -14 {
        (((exponent + 15) as u32) << 10, fraction, 13)
    } else {
        (0, fraction | 0x0080_0000, (-exponent - 1) as u32)
    };
    let truncated = base + (kept >> dropped);
    let rest = kept & ((1 << dropped) - 1);
    let halfway = 1 << (dropped - 1);
    let round_up = rest > halfway || (rest == halfway && truncated & 1 == 1);
    // A carry out of the fraction raises the exponent, up to infinity, as it should.
    sign | (truncated + u32::from(round_up)) as u16
}
