//! Gzip without compression: enough to be unpacked by whoever believes `Content-Encoding`.

/// A stored block has at most this many bytes.
const BLOCK: usize = 65_535;

/// Packs some bytes.
pub(super) fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let count = bytes.len().div_ceil(BLOCK).max(1);
    for number in 0..count {
        let block = &bytes[number * BLOCK..bytes.len().min((number + 1) * BLOCK)];
        let length = u16::try_from(block.len()).unwrap();
        packed.push(u8::from(number + 1 == count));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(block);
    }
    packed.extend(checksum(bytes).to_le_bytes());
    packed.extend(u32::try_from(bytes.len() & 0xffff_ffff).unwrap().to_le_bytes());
    packed
}

/// CRC-32.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(super::checksum(b"123456789"), 0xcbf4_3926);
    }
}
