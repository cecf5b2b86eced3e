//! Units as types, and dollars from decimal text: no bare integer crosses a module.
//!
//! Money never passes through binary fractions. A number of dollars is read as decimal text, digit by digit,
//! into whole nano-dollars; a float stands for the shortest text that reads back to it, which is what its
//! author wrote. `"0.30"`, `"3E-1"` and `0.1 * 3` (the float 0.30000000000000004) are all 300,000,000
//! nano-dollars.

use std::fmt::{self, Write as _};

/// Milliseconds: an instant since the Unix epoch in UTC, or a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(i64);

/// A number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tokens(i64);

/// Money in nano-dollars: 10^-9 of a US dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NanoUsd(i64);

/// The price of one unit in femto-dollars: 10^-15 of a US dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FemtoUsd(i64);

macro_rules! integer_unit {
    ($name:ident, $what:literal) => {
        impl $name {
            #[doc = concat!("From ", $what, ".")]
            #[must_use]
            #[inline]
            pub const fn new(value: i64) -> Self {
                Self(value)
            }

            #[doc = concat!("The ", $what, ".")]
            #[must_use]
            #[inline]
            pub const fn get(self) -> i64 {
                self.0
            }
        }
    };
}

integer_unit!(Millis, "number of milliseconds");
integer_unit!(Tokens, "number of tokens");
integer_unit!(NanoUsd, "number of nano-dollars");
integer_unit!(FemtoUsd, "number of femto-dollars");

const NANO_PER_USD: u64 = 1_000_000_000;
/// Text is read to 10^-12 of a dollar, the tolerance of a limit, and beyond that only for whether anything
/// follows.
const PICO_DIGITS: i64 = 12;
const FEMTO_DIGITS: i64 = 15;
const PICO_PER_NANO: u128 = 1_000;
const FEMTO_PER_USD: i64 = 1_000_000_000_000_000;
/// Below this every integer number of nano-dollars, written in dollars, has at most 15 digits.
const FIFTEEN_DIGITS: f64 = 1e15;

/// What becomes of a fraction of a nano-dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Within 10^-12 of a dollar of a whole nano-dollar it is that one; anything else is a fault. For limits.
    Exact,
    /// Any fraction counts as a whole nano-dollar. For costs.
    Up,
}

/// Why a number is not an amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyError {
    /// Not a decimal number.
    Malformed,
    /// NaN or an infinity.
    NotFinite,
    /// Below zero.
    Negative,
    /// Above 9,223,372,036 dollars.
    TooLarge,
    /// Finer than a nano-dollar where it has to be exact.
    TooFine,
}

impl MoneyError {
    /// What is wrong, to be read after the name of the field.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Malformed => "must be a number of dollars, such as 12.50",
            Self::NotFinite => "must be a finite number of dollars",
            Self::Negative => "must not be negative",
            Self::TooLarge => "must be at most 9223372036 dollars",
            Self::TooFine => "must be a whole number of nano-dollars (at most nine digits after the point)",
        }
    }
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for MoneyError {}

impl NanoUsd {
    /// The most that a text or a float may say: 9,223,372,036 dollars.
    pub const MAX_STATED: Self = Self(9_223_372_036 * 1_000_000_000);

    /// Dollars from decimal text as JSON and Python's `Decimal` and `float` write it: a sign, digits, a
    /// fraction and an exponent, the first and the last two optional. Nothing is allocated, whatever the
    /// exponent.
    ///
    /// # Errors
    /// Every [`MoneyError`]; [`MoneyError::TooFine`] only where `rounding` is [`Rounding::Exact`].
    pub fn from_decimal(text: &str, rounding: Rounding) -> Result<Self, MoneyError> {
        let Scaled { kept: pico, next, more } = scaled(text, PICO_DIGITS)?;
        let (whole, fraction) = (pico / PICO_PER_NANO, pico % PICO_PER_NANO);
        let up = match (rounding, fraction, next > 0 || more) {
            (_, 0, false) => 0,
            (Rounding::Up, _, _) | (Rounding::Exact, 999, _) => 1,
            (Rounding::Exact, 0, true) | (Rounding::Exact, 1, false) => 0,
            (Rounding::Exact, _, _) => return Err(MoneyError::TooFine),
        };
        let nano = Self(i64::try_from(whole + up).map_err(|_| MoneyError::TooLarge)?);
        if nano > Self::MAX_STATED { Err(MoneyError::TooLarge) } else { Ok(nano) }
    }

    /// Dollars from a float, which stands for the shortest decimal text that reads back to it.
    ///
    /// # Errors
    /// As [`NanoUsd::from_decimal`], except [`MoneyError::Malformed`].
    pub fn from_f64(value: f64, rounding: Rounding) -> Result<Self, MoneyError> {
        // Dividing two exact integers rounds once, so r / 10^9 is what the text of r * 10^-9 reads to. Two
        // texts of at most 15 digits never read to one double: where this one reads to `value`, it is the
        // shortest.
        let nano = (value * 1e9).round();
        if (0.0..FIFTEEN_DIGITS).contains(&nano) && (nano / 1e9).to_bits() == value.to_bits() {
            return Ok(Self(nano as i64));
        }
        Self::from_decimal(ShortText::of(value)?.as_str(), rounding)
    }

    /// Dollars as the shortest exact decimal text: `"0.3"`, `"12"`, `"0.000000001"`.
    #[must_use]
    pub fn to_decimal(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nano = self.0.unsigned_abs();
        let (dollars, fraction) = (nano / NANO_PER_USD, nano % NANO_PER_USD);
        if fraction == 0 {
            return format!("{sign}{dollars}");
        }
        let text = format!("{sign}{dollars}.{fraction:09}");
        text.trim_end_matches('0').to_owned()
    }
}

impl FemtoUsd {
    /// The highest price of a unit: 9,223 dollars.
    pub const MAX: Self = Self(9_223 * FEMTO_PER_USD);

    /// The price that decimal text says in dollars, rounded half to even where it has more than 15 decimals, and
    /// whether it was rounded.
    ///
    /// # Errors
    /// Every [`MoneyError`] but [`MoneyError::TooFine`].
    pub fn from_decimal(text: &str) -> Result<(Self, bool), MoneyError> {
        let Scaled { kept, next, more } = scaled(text, FEMTO_DIGITS)?;
        let up = next > 5 || next == 5 && (more || kept % 2 == 1);
        let femto = Self(i64::try_from(kept + u128::from(up)).map_err(|_| MoneyError::TooLarge)?);
        // Compared before it is rounded as well: 9223.0000000000000001 dollars are too much.
        let rounded = next > 0 || more;
        if femto > Self::MAX || femto == Self::MAX && rounded && !up {
            return Err(MoneyError::TooLarge);
        }
        Ok((femto, rounded))
    }

    /// The same of a float, which stands for the shortest decimal text that reads back to it.
    ///
    /// # Errors
    /// As [`FemtoUsd::from_decimal`], except [`MoneyError::Malformed`].
    pub fn from_f64(value: f64) -> Result<(Self, bool), MoneyError> {
        Self::from_decimal(ShortText::of(value)?.as_str())
    }

    /// Dollars as the shortest exact decimal text.
    #[must_use]
    pub fn to_decimal(self) -> String {
        let (dollars, fraction) = (self.0 / FEMTO_PER_USD, self.0 % FEMTO_PER_USD);
        if fraction == 0 {
            return dollars.to_string();
        }
        format!("{dollars}.{fraction:015}").trim_end_matches('0').to_owned()
    }
}

/// A number of dollars in whole units of a decimal place, the digit after it, and whether any digit follows.
struct Scaled {
    kept: u128,
    next: u8,
    more: bool,
}

/// Decimal text as what it has to the given number of decimals.
fn scaled(text: &str, decimals: i64) -> Result<Scaled, MoneyError> {
    let (negative, rest) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let number = match Number::read(rest) {
        Some(number) => number,
        None if is_special(rest) => return Err(MoneyError::NotFinite),
        None => return Err(MoneyError::Malformed),
    };
    match number.leading {
        None => Ok(Scaled { kept: 0, next: 0, more: false }),
        Some(_) if negative => Err(MoneyError::Negative),
        // The largest amount has ten digits before the point.
        Some(leading) if leading >= 10 => Err(MoneyError::TooLarge),
        Some(leading) => Ok(number.scaled(leading, decimals)),
    }
}

/// A decimal number as its digits and where they stand.
struct Number<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
    /// The power of ten of the first digit that is not zero; none where all are.
    leading: Option<i64>,
}

impl<'a> Number<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        let (whole, rest) = digits(text)?;
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest)?,
            rest => (&[][..], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', b'-', rest @ ..] => -exponent(rest)?,
            [b'e' | b'E', b'+', rest @ ..] | [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        let zeros = whole.iter().chain(fraction).position(|&digit| digit != b'0');
        let leading = zeros.map(|zeros| length(whole) - 1 - index(zeros) + exponent);
        Some(Self { whole, fraction, exponent, leading })
    }

    /// The value to so many decimals. `leading` is below 10, so that at most 25 digits are kept.
    fn scaled(&self, leading: i64, decimals: i64) -> Scaled {
        let mut place = length(self.whole) - 1 + self.exponent;
        let (mut kept, mut last, mut next, mut more) = (0u128, leading + 1, 0, false);
        for &digit in self.whole.iter().chain(self.fraction) {
            if place <= leading {
                if place >= -decimals {
                    kept = kept * 10 + u128::from(digit - b'0');
                    last = place;
                } else if place == -decimals - 1 {
                    next = digit - b'0';
                } else if digit != b'0' {
                    more = true;
                    break;
                }
            }
            place -= 1;
        }
        if kept > 0 {
            for _ in -decimals..last {
                kept *= 10;
            }
        }
        Scaled { kept, next, more }
    }
}

/// The digits that `text` begins with, at least one, and what follows them.
fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// An exponent that is all of `text`; held at a bound beyond any text's length, so that sums with it are
/// safe.
fn exponent(text: &[u8]) -> Option<i64> {
    const BOUND: i64 = i64::MAX / 16;
    let (digits, rest) = digits(text)?;
    let value = digits.iter().fold(0i64, |value, &digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(BOUND)
    });
    rest.is_empty().then_some(value)
}

fn length(digits: &[u8]) -> i64 {
    index(digits.len())
}

fn index(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX / 16)
}

fn is_special(text: &[u8]) -> bool {
    ["nan", "inf", "infinity"].iter().any(|name| text.eq_ignore_ascii_case(name.as_bytes()))
}

/// Room for the text of one float, without the heap: at most 17 digits, a point, a sign and an exponent of
/// four.
#[derive(Default)]
struct ShortText {
    bytes: [u8; 32],
    length: usize,
}

impl ShortText {
    fn of(value: f64) -> Result<ShortText, MoneyError> {
        if !value.is_finite() {
            return Err(MoneyError::NotFinite);
        }
        let mut text = ShortText::default();
        write!(text, "{value:e}").map_err(|_| MoneyError::Malformed)?;
        Ok(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
