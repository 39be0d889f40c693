//! An answer of HTTP/1.1, read piece by piece as it comes. It fails by panicking at whatever is not a good answer.

/// How far an answer is.
pub(crate) struct Answer {
    head: Vec<u8>,
    place: Place,
}

enum Place {
    Head,
    /// Bytes of a body of known length that are missing.
    Length(usize),
    /// The digits of a chunk's size.
    Size(usize),
    /// Bytes of a chunk that are missing, with the line's end after it.
    Chunk(usize),
    /// The empty line after the last chunk.
    LastLine(usize),
    Ended,
}

impl Answer {
    pub(crate) fn new() -> Self {
        Self { head: Vec::with_capacity(512), place: Place::Head }
    }

    /// Begins anew, for the next answer on the same connection.
    pub(crate) fn clear(&mut self) {
        self.head.clear();
        self.place = Place::Head;
    }

    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.place, Place::Ended)
    }

    /// Takes what came and hands out the bytes of the body in it.
    pub(crate) fn take(&mut self, mut bytes: &[u8], mut body: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Head => {
                    let before = self.head.len();
                    self.head.extend_from_slice(bytes);
                    let from = before.saturating_sub(3);
                    let Some(at) = self.head[from..].windows(4).position(|window| window == b"\r\n\r\n") else { return };
                    let end = from + at + 4;
                    bytes = &bytes[end - before..];
                    self.head.truncate(end);
                    self.place = framing(&self.head);
                }
                Place::Length(left) => {
                    let count = bytes.len().min(*left);
                    body(&bytes[..count]);
                    *left -= count;
                    bytes = &bytes[count..];
                    if *left == 0 {
                        self.place = Place::Ended;
                    }
                }
                Place::Size(size) => {
                    match bytes[0] {
                        b'\n' => self.place = if *size == 0 { Place::LastLine(2) } else { Place::Chunk(*size + 2) },
                        b'\r' => {}
                        digit => *size = *size * 16 + char::from(digit).to_digit(16).unwrap() as usize,
                    }
                    bytes = &bytes[1..];
                }
                Place::Chunk(left) => {
                    let count = bytes.len().min(*left);
                    let of_body = count.min(left.saturating_sub(2));
                    body(&bytes[..of_body]);
                    *left -= count;
                    bytes = &bytes[count..];
                    if *left == 0 {
                        self.place = Place::Size(0);
                    }
                }
                Place::LastLine(left) => {
                    *left -= 1;
                    bytes = &bytes[1..];
                    if *left == 0 {
                        self.place = Place::Ended;
                    }
                }
                Place::Ended => panic!("something came after the end of an answer"),
            }
        }
    }
}

fn framing(head: &[u8]) -> Place {
    let head = std::str::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "no good answer: {head}");
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            return Place::Length(value.trim().parse().unwrap());
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Place::Size(0);
        }
    }
    panic!("an answer without a length: {head}");
}
