//! Answers as the JSON of the HTTP face, for whoever sends them on and reads none of it.
//!
//! Most answers over HTTP are permits and settlements. As Python's objects they would be made to be written out once.

use limen_core::units::Millis;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::answers::{Permit, Settlement};

const NANO_PER_USD: u64 = 1_000_000_000;
const MS_PER_DAY: i64 = 86_400_000;
/// 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for the year.
const LAST_MS: i64 = 253_402_300_799_999;

/// Bytes that an answer takes, or more.
const LIKELY_LENGTH: usize = 320;

/// A text that is being written: names and punctuation as they are, values by their kind.
pub(crate) struct Json(Vec<u8>);

impl Default for Json {
    fn default() -> Json {
        Json(Vec::with_capacity(LIKELY_LENGTH))
    }
}

impl Json {
    /// A list of so many answers.
    pub(crate) fn list(items: usize) -> Json {
        let mut json = Json(Vec::with_capacity(LIKELY_LENGTH * items + 2));
        json.raw("[");
        json
    }

    /// The end of an answer that is an item of a list, and was given.
    pub(crate) fn end_item(&mut self) {
        self.raw(",\"status\":200},");
    }

    /// A list, closed.
    pub(crate) fn whole_list(mut self, py: Python<'_>) -> Bound<'_, PyBytes> {
        self.0.pop_if(|last| *last == b',');
        self.raw("]");
        PyBytes::new(py, &self.0)
    }

    #[inline]
    pub(crate) fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A text in quotation marks.
    pub(crate) fn text(&mut self, text: &str) {
        let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        let bytes = text.as_bytes();
        self.0.push(b'"');
        let mut written = 0;
        // Without an early end it is looked at by many bytes at once.
        let are_special = bytes.iter().fold(false, |found, &byte| found | is_special(byte));
        let looked_at = if are_special { bytes } else { &[] };
        for (place, &byte) in looked_at.iter().enumerate() {
            if !is_special(byte) {
                continue;
            }
            self.0.extend_from_slice(&bytes[written..place]);
            written = place + 1;
            match byte {
                b'"' | b'\\' => self.0.extend([b'\\', byte]),
                _ => {
                    self.raw("\\u00");
                    self.0.extend([byte >> 4, byte & 15].map(hex));
                }
            }
        }
        self.0.extend_from_slice(&bytes[written..]);
        self.0.push(b'"');
    }

    pub(crate) fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.raw("null"),
        }
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.raw(if flag { "true" } else { "false" });
    }

    pub(crate) fn number(&mut self, value: i64) {
        if value < 0 {
            self.0.push(b'-');
        }
        self.digits(value.unsigned_abs());
    }

    fn digits(&mut self, mut value: u64) {
        let mut digits = [b'0'; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[at..]);
    }

    /// The last `width` digits, with the zeros in front.
    fn padded(&mut self, value: u64, width: usize) {
        let start = self.0.len();
        self.0.resize(start + width, b'0');
        pad(&mut self.0[start..], value);
    }

    /// Nano-dollars as dollars, exactly and with no digit too many; what is tiny with an exponent, as floats are written.
    pub(crate) fn dollars(&mut self, nano: i64) {
        if nano < 0 {
            self.0.push(b'-');
        }
        let nano = nano.unsigned_abs();
        let (mut rest, mut width) = (nano, 9);
        while width > 0 && rest % 10 == 0 {
            (rest, width) = (rest / 10, width - 1);
        }
        let (whole, fraction) = (nano / NANO_PER_USD, nano % NANO_PER_USD);
        if fraction == 0 {
            self.digits(whole);
        } else if nano < 10_000 {
            let length = rest.ilog10();
            self.digits(rest / 10u64.pow(length));
            if length > 0 {
                self.0.push(b'.');
                self.padded(rest, length as usize);
            }
            self.raw("e-");
            self.digits(u64::from(width - length));
        } else {
            self.digits(whole);
            self.0.push(b'.');
            self.padded(rest, width as usize);
        }
    }

    /// An instant as RFC 3339 in UTC, to the millisecond, in quotation marks.
    pub(crate) fn instant(&mut self, at: Millis) {
        let ms = at.get().clamp(0, LAST_MS);
        let (year, month, day) = civil(ms / MS_PER_DAY);
        let of_day = (ms % MS_PER_DAY).unsigned_abs();
        let mut text = *b"\"0000-00-00T00:00:00.000Z\"";
        for (place, width, value) in [
            (1, 4, year),
            (6, 2, month),
            (9, 2, day),
            (12, 2, of_day / 3_600_000),
            (15, 2, of_day / 60_000 % 60),
            (18, 2, of_day / 1_000 % 60),
            (21, 3, of_day % 1_000),
        ] {
            pad(&mut text[place..place + width], value);
        }
        self.0.extend_from_slice(&text);
    }

    /// What was written, closed.
    pub(crate) fn whole(mut self, py: Python<'_>) -> Bound<'_, PyBytes> {
        self.raw("}");
        PyBytes::new(py, &self.0)
    }
}

/// Many answers, each with its status in it, as the list that a batch is answered with. Permits and settlements are
/// written here, anything else by `told`.
pub(crate) fn list<'py>(
    answers: &Bound<'py, PyList>,
    told: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut json = Json::list(answers.len());
    tell_all(&mut json, answers, told)?;
    Ok(json.whole_list(answers.py()))
}

/// The answers as items of a list.
pub(crate) fn tell_all(
    json: &mut Json,
    answers: &Bound<'_, PyList>,
    told: &Bound<'_, PyAny>,
) -> PyResult<()> {
    for answer in answers {
        if let Ok(permit) = answer.cast::<Permit>() {
            permit.get().write(answers.py(), json)?;
            json.end_item();
        } else if let Ok(settlement) = answer.cast::<Settlement>() {
            settlement.get().write(json);
            json.end_item();
        } else {
            tell(json, told, &answer)?;
        }
    }
    Ok(())
}

/// One answer as `told` writes it, as an item of a list.
pub(crate) fn tell(json: &mut Json, told: &Bound<'_, PyAny>, answer: &Bound<'_, PyAny>) -> PyResult<()> {
    json.0.extend_from_slice(told.call1((answer,))?.cast::<PyBytes>()?.as_bytes());
    json.raw(",");
    Ok(())
}

/// The last digits of a number, as many as there is room for, over zeros.
#[inline(always)]
fn pad(zeros: &mut [u8], mut value: u64) {
    for digit in zeros.iter_mut().rev() {
        *digit += (value % 10) as u8;
        value /= 10;
    }
}

fn hex(digit: u8) -> u8 {
    b"0123456789abcdef"[usize::from(digit)]
}

/// Year, month and day of a day since the epoch, none before it: the years are counted from March on, so that a leap
/// day is the last of its year.
fn civil(day: i64) -> (u64, u64, u64) {
    let day = day.unsigned_abs() + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}
