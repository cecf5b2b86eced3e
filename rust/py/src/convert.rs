//! Python values as the core's numbers, strictly: what is not meant is refused with the argument's name.
//!
//! Every function takes the argument's name, as anything that can be displayed, and spends nothing on it unless
//! there is a fault: `format_args!("costs[{index}]")` will do. An integer may come as a float that is one (`1.0`),
//! since JSON knows no difference; `True` is not a number, `"5"` neither.

use std::fmt::Display;

use limen_core::period::{Duration, MAX_LENGTH_MS};
use limen_core::units::{FemtoUsd, Millis, MoneyError, NanoUsd, Rounding};
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PySequence, PyString, PyTuple,
    PyType,
};

pub(crate) use crate::fault::{fault, raise};

/// The longest text that an argument may be, in bytes of UTF-8.
pub(crate) const MAX_TEXT: usize = 4_096;
/// The most items of a list of names.
pub(crate) const MAX_TEXTS: usize = 1_000;
/// The most items of a batch.
pub(crate) const MAX_ITEMS: usize = 1_000_000;

/// The years -200 and 12000: what lies beyond counts as these, as everywhere in the core.
const EARLIEST_MS: i64 = -68_478_566_400_000;
const LATEST_MS: i64 = 316_516_204_800_000;

/// An integer of 64 bits with its sign.
#[inline]
pub(crate) fn int(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<i64> {
    if value.is_exact_instance_of::<PyInt>()
        && let Ok(number) = value.extract()
    {
        return Ok(number);
    }
    int_of_another_kind(value, param)
}

#[cold]
fn int_of_another_kind(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<i64> {
    let too_large = "must lie between -2**63 and 2**63 - 1";
    if let Ok(float) = value.cast::<PyFloat>() {
        let number = float.value();
        return if number.fract() != 0.0 || !number.is_finite() {
            Err(fault(param, "must be an integer"))
        } else if (-(2f64.powi(63))..2f64.powi(63)).contains(&number) {
            Ok(number as i64)
        } else {
            Err(fault(param, too_large))
        };
    }
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(fault(param, "must be an integer"));
    }
    value.extract().map_err(|_| fault(param, too_large))
}

/// A number of things: an integer that is not negative.
#[inline]
pub(crate) fn count(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<i64> {
    let number = int(value, &param)?;
    if number < 0 { Err(fault(param, "must not be negative")) } else { Ok(number) }
}

/// A number of things with its own bounds, both of them allowed.
pub(crate) fn count_within(
    value: &Bound<'_, PyAny>,
    bounds: std::ops::RangeInclusive<i64>,
    param: impl Display,
) -> PyResult<i64> {
    let number = int(value, &param)?;
    if bounds.contains(&number) {
        return Ok(number);
    }
    Err(fault(param, format_args!("must lie between {} and {}", bounds.start(), bounds.end())))
}

/// A seed: an integer of 64 bits without a sign.
pub(crate) fn seed(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<u64> {
    if value.is_exact_instance_of::<PyInt>() {
        return value.extract().map_err(|_| fault(param, "must lie between 0 and 2**64 - 1"));
    }
    Ok(count(value, param)?.unsigned_abs())
}

/// True or False, and nothing that is merely like them.
pub(crate) fn flag(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<bool> {
    value.cast::<PyBool>().map(PyBoolMethods::is_true).map_err(|_| fault(param, "must be true or false"))
}

/// An instant in milliseconds since the Unix epoch. Beyond the years -200 to 12000 it counts as the nearest inside.
#[inline]
pub(crate) fn instant(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<Millis> {
    Ok(Millis::new(int(value, param)?.clamp(EARLIEST_MS, LATEST_MS)))
}

/// Text, borrowed from the caller's object; at most [`MAX_TEXT`] bytes.
#[inline]
pub(crate) fn borrowed<'a>(value: &'a Bound<'_, PyAny>, param: impl Display) -> PyResult<&'a str> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(fault(param, "must be a text"));
    };
    match text.to_str() {
        Ok(text) if text.len() <= MAX_TEXT => Ok(text),
        Ok(_) => Err(fault(param, format_args!("must have at most {MAX_TEXT} bytes"))),
        Err(_) => Err(fault(param, "must not contain lone surrogates")),
    }
}

/// Text that outlives the call and the interpreter's token, still not copied; at most [`MAX_TEXT`] bytes.
pub(crate) fn text(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<PyBackedStr> {
    borrowed(value, param)?;
    value.extract()
}

/// Text of any length, not copied: for what is looked up and not kept.
#[inline]
pub(crate) fn backed(value: &Bound<'_, PyString>) -> PyResult<PyBackedStr> {
    value.extract()
}

/// A list of texts, at most [`MAX_TEXTS`].
pub(crate) fn texts(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<Vec<PyBackedStr>> {
    let tuple = sequence(value, MAX_TEXTS, &param)?;
    let read = |(index, item): (usize, Bound<'_, PyAny>)| text(&item, format_args!("{param}[{index}]"));
    tuple.iter().enumerate().map(read).collect()
}

/// A duration: the milliseconds it has where it rolls, and what was written where it was a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Per {
    pub(crate) length_ms: i64,
    pub(crate) written: Option<Duration>,
}

/// A duration text such as `"1m"`, or a number of milliseconds; more than none, at most 36,500 days.
pub(crate) fn per(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<Per> {
    if let Ok(written) = value.cast::<PyString>() {
        let duration = Duration::parse(written.to_str().unwrap_or("\u{fffd}"))
            .map_err(|error| fault(param, error.message()))?;
        return Ok(Per { length_ms: duration.rolling_ms(), written: Some(duration) });
    }
    match int(value, &param) {
        Ok(length_ms @ 1..=MAX_LENGTH_MS) => Ok(Per { length_ms, written: None }),
        _ => Err(fault(
            param,
            "must be a duration such as \"1m\" or an integer of milliseconds, above zero and at most 36500 days",
        )),
    }
}

/// Dollars as nano-dollars: an int, a float (the shortest decimal text that reads back to it) or a `Decimal`.
pub(crate) fn dollars(
    value: &Bound<'_, PyAny>,
    param: impl Display,
    rounding: Rounding,
) -> PyResult<NanoUsd> {
    let amount = if value.is_instance_of::<PyBool>() {
        Err(MoneyError::Malformed)
    } else if let Ok(float) = value.cast::<PyFloat>() {
        NanoUsd::from_f64(float.value(), rounding)
    } else if value.is_instance_of::<PyInt>() {
        whole_dollars(value)?
    } else if value.is_instance(decimal(value.py())?)? {
        NanoUsd::from_decimal(value.str()?.to_str()?, rounding)
    } else {
        Err(MoneyError::Malformed)
    };
    amount.map_err(|error| fault(param, error.message()))
}

fn whole_dollars(value: &Bound<'_, PyAny>) -> PyResult<Result<NanoUsd, MoneyError>> {
    let number = match value.extract::<i64>() {
        Ok(number) => number,
        Err(_) if value.lt(0)? => i64::MIN,
        Err(_) => i64::MAX,
    };
    Ok(match number.checked_mul(1_000_000_000).map(NanoUsd::new) {
        _ if number < 0 => Err(MoneyError::Negative),
        Some(amount) if amount <= NanoUsd::MAX_STATED => Ok(amount),
        _ => Err(MoneyError::TooLarge),
    })
}

/// Dollars a unit as femto-dollars, of the same kinds of numbers; and whether decimals beyond 15 were rounded.
pub(crate) fn rate(value: &Bound<'_, PyAny>, param: impl Display) -> PyResult<(FemtoUsd, bool)> {
    let rate = if value.is_instance_of::<PyBool>() {
        Err(MoneyError::Malformed)
    } else if let Ok(float) = value.cast::<PyFloat>() {
        FemtoUsd::from_f64(float.value())
    } else if value.is_instance_of::<PyInt>() {
        match value.extract::<i64>() {
            Ok(number) => FemtoUsd::from_decimal(&number.to_string()),
            Err(_) => Err(MoneyError::TooLarge),
        }
    } else if value.is_instance(decimal(value.py())?)? {
        FemtoUsd::from_decimal(value.str()?.to_str()?)
    } else {
        Err(MoneyError::Malformed)
    };
    rate.map_err(|error| match error {
        MoneyError::Malformed => fault(param, "must be a number of dollars a unit, such as 0.0000025"),
        _ => fault(param, "must be from 0 to 9223 dollars a unit"),
    })
}

fn decimal(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    DECIMAL.import(py, "decimal", "Decimal")
}

/// A mapping as a dict; a dict is not copied.
pub(crate) fn mapping<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    if let Ok(dict) = value.cast::<PyDict>() {
        return Some(dict.clone());
    }
    let mapping = value.cast::<PyMapping>().ok()?;
    PyDict::from_sequence(mapping.items().ok()?.as_any()).ok()
}

/// A sequence of at most `most` items as a tuple, so that nobody can change it meanwhile. Text and
/// bytes are not sequences here.
pub(crate) fn sequence<'py>(
    value: &Bound<'py, PyAny>,
    most: usize,
    param: impl Display,
) -> PyResult<Bound<'py, PyTuple>> {
    let tuple = if let Ok(tuple) = value.cast::<PyTuple>() {
        tuple.clone()
    } else if let Ok(list) = value.cast::<PyList>() {
        if list.len() > most {
            return Err(too_many(most, param));
        }
        list.to_tuple()
    } else if let Ok(sequence) = value.cast::<PySequence>()
        && !value.is_instance_of::<PyString>()
        && !value.is_instance_of::<PyBytes>()
        && !value.is_instance_of::<PyByteArray>()
    {
        if sequence.len()? > most {
            return Err(too_many(most, param));
        }
        sequence.to_tuple()?
    } else {
        return Err(fault(param, "must be a list"));
    };
    if tuple.len() > most { Err(too_many(most, param)) } else { Ok(tuple) }
}

/// The values of a tuple that has no more, each in its place.
#[inline(always)]
pub(crate) fn places<'a, 'py, const N: usize>(
    tuple: &'a Bound<'py, PyTuple>,
) -> [Option<Borrowed<'a, 'py, PyAny>>; N] {
    let length = tuple.len();
    // Beyond the end would be an exception, made to be thrown away.
    std::array::from_fn(|place| if place < length { tuple.get_borrowed_item(place).ok() } else { None })
}

#[cold]
fn too_many(most: usize, param: impl Display) -> PyErr {
    fault(param, format_args!("must have at most {most} items"))
}
