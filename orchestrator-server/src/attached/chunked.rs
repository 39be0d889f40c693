//! The chunked transfer coding, taken apart (RFC 9112, 7.1). Pure.

use bytes::{Buf, BytesMut};

use super::WireError;

/// The longest line with a chunk's size; what comes after the size means nothing to us.
const LONGEST_LINE: usize = 1_024;
/// The longest block of trailers; they are skipped.
const LONGEST_TRAILERS: usize = 16 * 1_024;

/// How far a chunked body is.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Before the line with a size.
    #[default]
    Size,
    /// In a chunk of which so much is missing.
    Data(u64),
    /// Before the end of the line after a chunk.
    DataEnd,
    /// In the trailers, so many bytes of which were skipped.
    Trailers(usize),
    Ended,
}

impl Chunked {
    /// Returns whether the body is at its end.
    pub(super) fn is_ended(&self) -> bool {
        self.place == Place::Ended
    }

    /// Takes all the data that `input` begins with, of as many chunks as there are, and leaves what comes after it.
    /// What is broken is told once all data before it was taken.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<BytesMut, WireError> {
        // The data of later chunks is moved up to that of the first: `read` is where we look, `data` what was found.
        let mut data: Option<std::ops::Range<usize>> = None;
        let mut read = 0;
        while read < input.len() && self.place != Place::Ended {
            if let Place::Data(left) = self.place {
                let there = input.len() - read;
                let count = usize::try_from(left).map_or(there, |left| left.min(there));
                match &mut data {
                    None => data = Some(read..read + count),
                    Some(found) => {
                        input.copy_within(read..read + count, found.end);
                        found.end += count;
                    }
                }
                read += count;
                self.place = match left - count as u64 {
                    0 => Place::DataEnd,
                    left => Place::Data(left),
                };
                continue;
            }
            match self.place.past_line(&input[read..]) {
                Ok(Some((place, length))) => {
                    read += length;
                    self.place = place;
                }
                Err(error) if data.is_none() => return Err(error),
                Ok(None) | Err(_) => break,
            }
        }
        let Some(found) = data else {
            input.advance(read);
            return Ok(BytesMut::new());
        };
        input.advance(found.start);
        let taken = input.split_to(found.len());
        input.advance(read - found.end);
        Ok(taken)
    }
}

impl Place {
    /// Returns where the line that comes now leads, and how long it is; nothing where it is not there as a whole.
    fn past_line(self, input: &[u8]) -> Result<Option<(Self, usize)>, WireError> {
        match self {
            Self::Size => {
                let Some((line, length)) = line_of(input, LONGEST_LINE)? else { return Ok(None) };
                let size = size_of(line)?;
                Ok(Some((if size == 0 { Self::Trailers(0) } else { Self::Data(size) }, length)))
            }
            Self::DataEnd => match input {
                [b'\r', b'\n', ..] => Ok(Some((Self::Size, 2))),
                [b'\r'] | [] => Ok(None),
                _ => Err(WireError::Chunk { detail: "one is longer than its size" }),
            },
            Self::Trailers(skipped) => {
                let Some((line, length)) = line_of(input, LONGEST_TRAILERS - skipped)? else { return Ok(None) };
                let skipped = skipped + length;
                if line.is_empty() {
                    Ok(Some((Self::Ended, length)))
                } else if skipped > LONGEST_TRAILERS {
                    Err(WireError::Chunk { detail: "the trailers are too long" })
                } else {
                    Ok(Some((Self::Trailers(skipped), length)))
                }
            }
            Self::Data(_) | Self::Ended => Ok(None),
        }
    }
}

/// Returns the first line without its end, and its length with it; nothing where it is not there as a whole.
fn line_of(input: &[u8], longest: usize) -> Result<Option<(&[u8], usize)>, WireError> {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) if end <= longest => {
            let line = input[..end].strip_suffix(b"\r");
            line.map(|line| Some((line, end + 1))).ok_or(WireError::Chunk { detail: "a line ends without a carriage return" })
        }
        None if input.len() <= longest => Ok(None),
        _ => Err(WireError::Chunk { detail: "a line between them is too long" }),
    }
}

fn size_of(line: &[u8]) -> Result<u64, WireError> {
    let broken = || WireError::Chunk { detail: "a size is no number" };
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    // Sixteen digits are all that a number of 64 bits has.
    if digits.is_empty() || digits.len() > 16 {
        return Err(broken());
    }
    digits.iter().try_fold(0_u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or_else(broken)?;
        Ok(size << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const BODY: &[u8] = b"5\r\nhello\r\n1;ext=\"x\"\r\n,\r\n0A \r\n 0123456\r\n\r\n0\r\nx-trailer: 1\r\n\r\nnext";

    /// The data of each piece, what is left at the end, and whether that is the end.
    type Fed = (Vec<Vec<u8>>, Vec<u8>, bool);

    /// Feeds the pieces one after the other.
    fn feed(pieces: &[&[u8]]) -> Result<Fed, WireError> {
        let mut chunked = Chunked::default();
        let mut input = BytesMut::new();
        let mut found = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            found.push(chunked.take(&mut input)?.to_vec());
        }
        Ok((found, input.to_vec(), chunked.is_ended()))
    }

    #[test]
    fn all_chunks_of_one_read_are_one_piece_and_what_follows_stays() {
        let (found, left, is_ended) = feed(&[BODY]).unwrap();
        assert_eq!(found, [b"hello, 0123456\r\n".to_vec()]);
        assert_eq!((left.as_slice(), is_ended), (&b"next"[..], true));
    }

    #[test]
    fn the_data_is_the_same_however_it_is_cut() {
        for cut in 1..BODY.len() {
            let (found, left, is_ended) = feed(&[&BODY[..cut], &BODY[cut..]]).unwrap();
            assert_eq!(found.concat(), b"hello, 0123456\r\n", "cut at {cut}");
            assert_eq!((left.as_slice(), is_ended), (&b"next"[..], true), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = BODY.chunks(1).collect();
        assert_eq!(feed(&bytes[..bytes.len() - 4]).unwrap().0.concat(), b"hello, 0123456\r\n");
    }

    #[test]
    fn data_before_something_broken_is_taken_first() {
        let mut chunked = Chunked::default();
        let mut input = BytesMut::from("2\r\nok\r\nzz\r\n");
        assert_eq!(chunked.take(&mut input).unwrap(), "ok");
        assert!(chunked.take(&mut input).is_err());
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long_line = [&[b'0'; 2_000][..], b"\r\n"].concat();
        let long_trailers = [&b"0\r\n"[..], &b"a: b\r\n".repeat(4_000)].concat();
        for broken in [&b"x\r\n"[..], b"\r\n", b"5\nhello", b"11111111111111111\r\n", b"-1\r\n", &long_line, &long_trailers] {
            assert!(feed(&[broken]).is_err(), "{}", String::from_utf8_lossy(broken));
        }
        assert!(feed(&[&[b'1'; 2_000][..]]).is_err(), "a size that does not end");
        assert!(feed(&[b"5\r\nhello!\r\n", b""]).is_err(), "a chunk that is longer than its size");
    }
}
