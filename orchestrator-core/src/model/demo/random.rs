//! Small deterministic random numbers, and 16-bit floats. Only exact operations: the same bytes on every machine.

/// The `SplitMix64` generator.
pub(super) struct Random(u64);

impl Random {
    /// Starts a sequence that follows from `seed` and a name, so that tensors do not depend on each other's size.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a over the name.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
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
        let bytes = self.next().to_le_bytes();
        let (pairs, _) = bytes.as_chunks::<2>();
        let sum: f32 = pairs.iter().map(|pair| f32::from(u16::from_le_bytes(*pair))).sum();
        // Four even numbers from 0 to 1 have a mean of 2 and a variance of 4/12.
        (sum / 65_536.0 - 2.0) * 1.732_050_8
    }
}

/// Converts to the nearest 16-bit float (ties to even); what is too large becomes infinity, and NaN stays NaN.
pub(super) fn half_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    // The 32-bit format's exponent, which is biased by 127; the 16-bit format's is biased by 15.
    let exponent = (bits >> 23) & 0xff;
    let fraction = bits & 0x007f_ffff;
    let magnitude = match exponent {
        0xff if fraction != 0 => 0x7e00,
        // The leading one is implied, and 13 bits of the fraction are dropped.
        113..=142 => ((exponent - 112) << 10) + rounded_shift(fraction, 13),
        // Below the smallest normal number the leading one moves into the fraction.
        102..=112 => rounded_shift(fraction | 0x0080_0000, 126 - exponent),
        0..=101 => 0,
        _ => 0x7c00,
    };
    // A carry out of the fraction raises the exponent, at most to infinity.
    sign | u16::try_from(magnitude).unwrap_or(0x7c00)
}

/// Drops the lowest bits, rounding to the nearest, ties to even.
fn rounded_shift(bits: u32, dropped: u32) -> u32 {
    let kept = bits >> dropped;
    let rest = bits & ((1 << dropped) - 1);
    let halfway = 1 << (dropped - 1);
    kept + u32::from(rest > halfway || (rest == halfway && kept & 1 == 1))
}
