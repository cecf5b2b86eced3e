//! Usage words: from keyword arguments to the core's list.

use std::fmt::{self, Display, Formatter};

use limen_core::error::Fault;
use limen_core::permit::Closing;
use limen_core::units::Rounding;
use limen_core::usage::{Form, Usage, Word, texts};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::convert;
use crate::fastcall::Named;

/// Seconds are kept in millionths; finer ones are rounded up.
const NANO_PER_MICRO: i64 = 1_000;

/// A word as a fault's `param`: the name as given, behind a prefix.
#[derive(Clone, Copy)]
pub(crate) struct Param<'a>(pub(crate) &'static str, pub(crate) &'a str);

impl Display for Param<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, self.1)
    }
}

/// Give the word of this name its value; None gives none.
pub(crate) fn set(usage: &mut Usage, value: &Bound<'_, PyAny>, param: Param<'_>) -> PyResult<()> {
    let Some(word) = Word::from_text(param.1) else {
        return Err(convert::fault(param, "is not a usage word"));
    };
    if value.is_none() {
        return Ok(());
    }
    let number = match word.form() {
        Form::Count => convert::int(value, param)?,
        Form::Dollars => convert::dollars(value, param, Rounding::Up)?.get(),
        Form::Seconds => {
            let nano = convert::dollars(value, param, Rounding::Up)
                .map_err(|_| convert::fault(param, "must be a number of seconds, zero or more"))?
                .get();
            nano / NANO_PER_MICRO + i64::from(nano % NANO_PER_MICRO > 0)
        }
        Form::Flag => match value.cast::<PyBool>() {
            Ok(flag) => i64::from(flag.is_true()),
            Err(_) => return Err(convert::fault(param, "must be true or false")),
        },
        Form::Text => {
            let text = convert::borrowed(value, param)?;
            match texts(word).iter().position(|known| *known == text) {
                Some(place) => place as i64,
                None => {
                    let known = texts(word).join(", ");
                    return Err(convert::fault(param, format!("must be one of: {known}")));
                }
            }
        }
    };
    usage.set(word, number).map_err(|fault| refused(fault, param))
}

#[cold]
fn refused(mut fault: Fault, param: Param<'_>) -> PyErr {
    fault.param = Some(param.to_string().into());
    convert::raise(fault)
}

/// The arguments of `settle` and `update`.
#[inline(always)]
pub(crate) fn read<'a, 'py: 'a>(
    prompt_tokens: Option<&Bound<'py, PyAny>>,
    completion_tokens: Option<&Bound<'py, PyAny>>,
    others: Option<impl Iterator<Item = Named<'a, 'py>>>,
) -> PyResult<Usage> {
    let mut usage = Usage::default();
    for (word, value) in [(Word::PromptTokens, prompt_tokens), (Word::CompletionTokens, completion_tokens)] {
        if let Some(value) = value.filter(|value| !value.is_none()) {
            let param = Param("", word.as_str());
            usage.set(word, convert::int(value, param)?).map_err(|fault| refused(fault, param))?;
        }
    }
    if let Some(others) = others {
        for (name, value) in others {
            set(&mut usage, value, Param("", convert::borrowed(&name, "usage")?))?;
        }
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
