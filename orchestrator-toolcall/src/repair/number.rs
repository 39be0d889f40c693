//! Numbers: the grammar of JSON, values that are exact, or a refusal.

use serde_json::{Number, Value};

use super::reader::Reader;
use crate::error::{CutOff, ParseError};

impl Reader<'_> {
    /// Reads the number at the cursor.
    pub(super) fn number(&mut self) -> Result<Value, ParseError> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let whole = self.at;
        self.skip_digits();
        let whole_digits = self.at - whole;
        if whole_digits == 0 {
            return Err(self.bad_number(start));
        }
        if whole_digits > 1 && self.bytes[whole] == b'0' {
            return Err(ParseError::Unexpected { offset: start, expected: "a number without leading zeros" });
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits_of_number(start)?;
            is_integer = false;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits_of_number(start)?;
            is_integer = false;
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-' | b'\'')) {
            return Err(ParseError::Unexpected { offset: self.at, expected: "the end of the number" });
        }
        let digits = &self.text[start..self.at];
        let number = if is_integer { integer(digits, negative) } else { float(digits) };
        number.map(Value::Number).ok_or(ParseError::NumberOutOfRange { offset: start })
    }

    fn digits_of_number(&mut self, start: usize) -> Result<(), ParseError> {
        let first = self.at;
        self.skip_digits();
        if self.at == first { Err(self.bad_number(start)) } else { Ok(()) }
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn bad_number(&self, start: usize) -> ParseError {
        if self.at >= self.bytes.len() {
            ParseError::CutOff { offset: self.at, inside: CutOff::Number }
        } else {
            ParseError::Unexpected { offset: start, expected: "a JSON number" }
        }
    }
}

fn integer(digits: &str, negative: bool) -> Option<Number> {
    if negative {
        // `-0` is a float in JSON libraries: an integer has no negative zero.
        match digits.parse::<i64>() {
            Ok(0) => Number::from_f64(-0.0),
            Ok(value) => Some(value.into()),
            Err(_) => large_integer(digits),
        }
    } else {
        digits.parse::<u64>().map_or_else(|_| large_integer(digits), |value| Some(value.into()))
    }
}

/// An integer beyond 64 bits, if a float holds exactly this one.
fn large_integer(digits: &str) -> Option<Number> {
    // No finite float has more than 309 digits before the point.
    if digits.len() > 310 {
        return None;
    }
    let value: f64 = digits.parse().ok()?;
    if value.is_finite() && format!("{value:.0}") == digits { Number::from_f64(value) } else { None }
}

fn float(digits: &str) -> Option<Number> {
    digits.parse::<f64>().ok().and_then(Number::from_f64)
}
