//! Usage words: from keyword arguments to the core's list.

use limen_core::permit::Closing;
use limen_core::units::Rounding;
use limen_core::usage::{Form, Usage, Word, texts};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};

use crate::convert;

/// Seconds are kept in millionths; finer ones are rounded up.
const NANO_PER_MICRO: i64 = 1_000;

/// Give one word its value. `prefix` stands before the word in a fault's `param`.
pub(crate) fn set(usage: &mut Usage, name: &str, value: &Bound<'_, PyAny>, prefix: &str) -> PyResult<()> {
    let param = || format!("{prefix}{name}");
    let Some(word) = Word::from_text(name) else {
        return Err(convert::fault(param(), "is not a usage word"));
    };
    if value.is_none() {
        return Ok(());
    }
    let number = match word.form() {
        Form::Count => convert::int(value, param())?,
        Form::Dollars => convert::dollars(value, param(), Rounding::Up)?.get(),
        Form::Seconds => {
            let nano = convert::dollars(value, param(), Rounding::Up)
                .map_err(|_| convert::fault(param(), "must be a number of seconds, zero or more"))?
                .get();
            nano / NANO_PER_MICRO + i64::from(nano % NANO_PER_MICRO > 0)
        }
        Form::Flag => match value.cast::<PyBool>() {
            Ok(flag) => i64::from(flag.is_true()),
            Err(_) => return Err(convert::fault(param(), "must be true or false")),
        },
        Form::Text => {
            let text = convert::text(value, param())?;
            match texts(word).iter().position(|known| **known == *text) {
                Some(place) => place as i64,
                None => {
                    let known = texts(word).join(", ");
                    return Err(convert::fault(param(), format!("must be one of: {known}")));
                }
            }
        }
    };
    usage.set(word, number).map_err(|mut fault| {
        fault.param = Some(param().into());
        convert::raise(fault)
    })
}

/// The arguments of `settle` and `update`.
pub(crate) fn read(
    prompt_tokens: Option<&Bound<'_, PyAny>>,
    completion_tokens: Option<&Bound<'_, PyAny>>,
    more: Option<&Bound<'_, PyDict>>,
) -> PyResult<Usage> {
    let mut usage = Usage::default();
    for (name, value) in [("prompt_tokens", prompt_tokens), ("completion_tokens", completion_tokens)] {
        if let Some(value) = value {
            set(&mut usage, name, value, "")?;
        }
    }
    for (name, value) in more.into_iter().flat_map(PyDictMethods::iter) {
        set(&mut usage, &convert::text(&name, "usage")?, &value, "")?;
    }
    Ok(usage)
}

/// What `settle` is to do.
pub(crate) fn closing(usage: Usage, as_held: bool) -> PyResult<Closing> {
    match (as_held, usage.is_empty()) {
        (true, true) => Ok(Closing::AsHeld),
        (true, false) => {
            Err(convert::fault("as_held", "charge what was held, or state what was used: not both"))
        }
        (false, _) => Ok(Closing::Used(usage)),
    }
}
