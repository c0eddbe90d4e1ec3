//! JSON numbers: their grammar, and the canonical text of a number (the parent module defines it), exact for any length
//! of number and exponent.

use super::JsonError;
use super::input::Input;

/// A number as it was written.
pub(super) struct Number<'a> {
    text: &'a str,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: Option<Exponent<'a>>,
}

struct Exponent<'a> {
    negative: bool,
    digits: &'a [u8],
}

/// Returns the length of a whole number at the start of the bytes that is surely written canonically; `None` for any other
/// number, and at the end of a text.
#[inline(always)]
pub(super) fn canonical_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let is_whole = !matches!(bytes[length], b'.' | b'e' | b'E');
    let is_canonical = bytes[0] != b'0' && bytes[length.checked_sub(1)?] != b'0' || bytes[..length] == *b"0";
    (is_whole && is_canonical).then_some(length)
}

impl<'a> Number<'a> {
    /// Reads a number; the next byte is its sign or first digit.
    pub(super) fn read(input: &mut Input<'a>) -> Result<Self, JsonError> {
        let start = input.at();
        if input.peek() == Some(b'-') {
            input.advance(1);
        }
        let offset = input.at();
        let integer = some_digits(input)?;
        if integer.len() > 1 && integer.starts_with(b"0") {
            return Err(JsonError {
                offset,
                what: "a zero in front of other digits",
            });
        }
        let fraction = match input.peek() {
            Some(b'.') => {
                input.advance(1);
                some_digits(input)?
            }
            _ => &[],
        };
        let exponent = Exponent::read(input)?;
        Ok(Self {
            text: input.since(start),
            integer,
            fraction,
            exponent,
        })
    }

    /// Returns the number as it was written.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Returns whether it is surely written canonically; most numbers are.
    pub(super) fn is_canonical(&self) -> bool {
        let is_integer = self.integer.len() == self.text.len() - usize::from(self.is_negative());
        is_integer && (!self.integer.ends_with(b"0") || self.text == "0")
    }

    /// Appends the canonical text.
    pub(super) fn write_canonical(&self, out: &mut Vec<u8>) {
        let digits = self.integer.iter().chain(self.fraction);
        let trailing_zeros = digits.clone().rev().take_while(|digit| **digit == b'0').count();
        let significant = self.integer.len() + self.fraction.len() - trailing_zeros;
        if significant == 0 {
            out.push(b'0');
            return;
        }
        if self.is_negative() {
            out.push(b'-');
        }
        out.extend(digits.take(significant).skip_while(|digit| **digit == b'0'));
        // Both are lengths in memory, far below the limits of an i128.
        let power = self.integer.len() as i128 - significant as i128;
        match &self.exponent {
            Some(exponent) => exponent.write_sum(power, out),
            None => write_power(power, out),
        }
    }

    fn is_negative(&self) -> bool {
        self.text.starts_with('-')
    }
}

impl<'a> Exponent<'a> {
    /// Exponents of up to this many digits are added as `i128`.
    const SMALL: usize = 30;

    fn read(input: &mut Input<'a>) -> Result<Option<Self>, JsonError> {
        if !matches!(input.peek(), Some(b'e' | b'E')) {
            return Ok(None);
        }
        input.advance(1);
        let sign = input.peek().filter(|byte| matches!(byte, b'+' | b'-'));
        if sign.is_some() {
            input.advance(1);
        }
        let digits = some_digits(input)?;
        let leading_zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        Ok(Some(Self {
            negative: sign == Some(b'-'),
            digits: &digits[leading_zeros..],
        }))
    }

    /// Appends the sum of this exponent and a power of ten.
    fn write_sum(&self, power: i128, out: &mut Vec<u8>) {
        let sign = if self.negative { -1 } else { 1 };
        if self.digits.len() <= Self::SMALL {
            let magnitude = self
                .digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
            return write_power(sign * magnitude + power, out);
        }
        out.extend_from_slice(if self.negative { b"e-" } else { b"e" });
        out.extend(
            sum(self.digits, sign * power)
                .iter()
                .skip_while(|digit| **digit == b'0'),
        );
    }
}

fn write_power(power: i128, out: &mut Vec<u8>) {
    if power != 0 {
        out.push(b'e');
        out.extend_from_slice(power.to_string().as_bytes());
    }
}

/// Returns the decimal sum of digits and an addend that is nearer to 0; leading zeros are possible.
fn sum(digits: &[u8], addend: i128) -> Vec<u8> {
    let mut sum = [b"0", digits].concat();
    let mut carry = addend;
    for digit in sum.iter_mut().rev() {
        carry += i128::from(*digit - b'0');
        *digit = b'0' + carry.rem_euclid(10) as u8;
        carry = carry.div_euclid(10);
    }
    sum
}

fn some_digits<'a>(input: &mut Input<'a>) -> Result<&'a [u8], JsonError> {
    match input.digits() {
        [] => Err(input.malformed("no digit where a number needs one")),
        digits => Ok(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let mut input = Input::new(text);
        let number = Number::read(&mut input).unwrap();
        assert_eq!(input.peek(), None, "{text}");
        let mut out = Vec::new();
        number.write_canonical(&mut out);
        let out = String::from_utf8(out).unwrap();
        if number.is_canonical() {
            assert_eq!(out, text);
        }
        out
    }

    #[test]
    fn all_ways_to_write_a_number_have_one_text() {
        for (expected, ways) in [
            (
                "0",
                &[
                    "0",
                    "-0",
                    "0.0",
                    "-0.000",
                    "0e5",
                    "0E-5",
                    "-0.0e+99999999999999999999999999999999999999",
                ][..],
            ),
            (
                "1",
                &[
                    "1",
                    "1.0",
                    "10e-1",
                    "0.1e1",
                    "0.001E+3",
                    "1e0",
                    "1e-0",
                    "1e+000",
                    "100000e-5",
                ],
            ),
            ("-1", &["-1", "-1.00", "-10e-1", "-0.1e01"]),
            ("11e-1", &["1.1", "1.10", "11e-1", "110e-2", "0.11e1", "0.0011e3"]),
            ("12e2", &["1200", "1200.0", "12e2", "1.2e3", "0.12E4", "12000e-1"]),
            ("1e400", &["1e400", "10e399", "0.1e401", "1.0e+0400"]),
            ("1e-400", &["1e-400", "10e-401", "0.1e-399"]),
            ("101", &["101", "101.0", "1.01e2", "1010e-1"]),
            ("-305e-2", &["-3.05", "-3.050", "-0.00305e3"]),
        ] {
            for way in ways {
                assert_eq!(canonical(way), expected, "{way}");
            }
        }
    }

    #[test]
    fn exponents_of_any_length_are_exact() {
        let nines = "9".repeat(30);
        let power_of_ten = format!("1{}", "0".repeat(30));
        for (one, other) in [
            (format!("1e{power_of_ten}"), format!("10e{nines}")),
            (format!("1e-{power_of_ten}"), format!("0.1e-{nines}")),
            (format!("1e{nines}"), format!("0.1e{power_of_ten}")),
            (format!("1e-{nines}"), format!("10e-{power_of_ten}")),
            (format!("1e00{nines}9"), format!("0.00001e{}4", power_of_ten)),
            (format!("1e-{nines}{nines}"), format!("1000e-1{}2", "0".repeat(59))),
            ("1e999999999999999999999".into(), "10e999999999999999999998".into()),
        ] {
            assert_eq!(canonical(&one), canonical(&other), "{one} {other}");
        }
        assert_eq!(canonical(&format!("1e{nines}9")), format!("1e{nines}9"));
        assert_ne!(canonical(&format!("1e{nines}9")), canonical(&format!("1e-{nines}9")));
        assert_ne!(canonical(&format!("1e{nines}9")), canonical(&format!("1e{nines}8")));
    }

    #[test]
    fn a_long_number_costs_no_more_than_its_length() {
        let million = "9".repeat(1_000_000);
        assert_eq!(canonical(&format!("1e{million}")), format!("1e{million}"));
        assert_eq!(
            canonical(&format!("{million}.{million}")),
            format!("{million}{million}e-1000000")
        );
        assert_eq!(canonical(&format!("0.{}1", "0".repeat(1_000_000))), "1e-1000001");
        assert_eq!(canonical(&format!("0.{}1e1000001", "0".repeat(1_000_000))), "1");
        assert_eq!(canonical(&format!("1{}e-10", "0".repeat(1_000_000))), "1e999990");
    }
}
