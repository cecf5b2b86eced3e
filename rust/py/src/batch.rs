//! Many calls in one crossing: read with the GIL, decided without it, answered with it again.

use std::iter::Empty;

use limen_core::permit::{Closing, Handle};
use limen_core::usage::Usage;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::answers::Settlement;
use crate::ask::{Ask, Item};
use crate::convert::{self, MAX_ITEMS};
use crate::core::Core;
use crate::engine::{Engine, flag};
use crate::fastcall::Named;
use crate::words::{self, Param};

pub(crate) fn admit_many<'py>(
    own: &Bound<'py, Engine>,
    requests: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let py = own.py();
    let core = own.get().ready()?;
    let requests = convert::sequence(requests, MAX_ITEMS, "requests")?;
    let given: Vec<_> = requests.iter_borrowed().collect();
    let items: Vec<PyResult<Item<'_, '_>>> = given.iter().map(|item| Item::read(item)).collect();
    let asks: Vec<PyResult<Ask<'_>>> = items.iter().map(|item| asked(py, core, item)).collect();
    let decided = |ask: &PyResult<Ask<'_>>| ask.as_ref().ok().map(|ask| ask.answer(core, true));
    let decide = || asks.iter().map(decided).collect::<Vec<_>>();
    let answers = py.detach(|| core.work(decide)).map_err(convert::raise)?;
    let told = items.iter().zip(&asks).zip(answers).map(|((item, ask), answer)| match (item, ask, answer) {
        (Ok(item), Ok(ask), Some(Ok(answer))) => ask.object(own, &item.given(), answer),
        (_, _, Some(Err(fault))) => Err(convert::raise(fault)),
        (_, Err(error), _) | (Err(error), _, _) => Err(error.clone_ref(py)),
        (Ok(_), Ok(_), None) => Ok(py.None().into_bound(py)),
    });
    PyList::new(py, told.map(|answer| or_fault(py, answer)))
}

pub(crate) fn settle_many<'py>(
    own: &Bound<'py, Engine>,
    settlements: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let py = own.py();
    let core = own.get().ready()?;
    let settlements = convert::sequence(settlements, MAX_ITEMS, "settlements")?;
    let read = |item: Borrowed<'_, 'py, PyAny>| settlement(own.get(), &item);
    let wanted: Vec<PyResult<_>> = settlements.iter_borrowed().map(read).collect();
    let settle_all = || {
        let now = core.clock.now();
        let settle = |(handle, closing): &(Handle, Closing)| core.engine.settle(*handle, closing, now);
        wanted.iter().map(|wanted| wanted.as_ref().ok().map(settle)).collect::<Vec<_>>()
    };
    let answers = py.detach(|| core.work(settle_all)).map_err(convert::raise)?;
    let told = wanted.into_iter().zip(answers).map(|(wanted, answer)| match (wanted, answer) {
        (Err(error), _) => Err(error),
        (Ok(_), Some(settled)) => Ok(Settlement::new(py, settled.map_err(convert::raise)?)?.into_any()),
        (Ok(_), None) => Ok(py.None().into_bound(py)),
    });
    PyList::new(py, told.map(|answer| or_fault(py, answer)))
}

fn asked<'a>(py: Python<'_>, core: &Core, item: &'a PyResult<Item<'_, '_>>) -> PyResult<Ask<'a>> {
    match item {
        Ok(item) => Ask::read(core, &item.given()),
        Err(error) => Err(error.clone_ref(py)),
    }
}

/// A mapping with `permit` and usage words, or `as_held`; or `(permit, prompt_tokens, completion_tokens)`.
fn settlement(engine: &Engine, item: &Bound<'_, PyAny>) -> PyResult<(Handle, Closing)> {
    if let Ok(tuple) = item.cast::<PyTuple>() {
        if !(2..=3).contains(&tuple.len()) {
            return Err(convert::fault(
                "settlements",
                "a tuple is (permit, prompt_tokens, completion_tokens)",
            ));
        }
        let [permit, prompt, completion] = convert::places(tuple);
        let usage = words::read(prompt.as_deref(), completion.as_deref(), None::<Empty<Named<'_, '_>>>)?;
        return Ok((engine.permit(permit.as_deref())?, words::closing(usage, false)?));
    }
    let item = convert::mapping(item)
        .ok_or_else(|| convert::fault("settlements", "each settlement is a mapping or a tuple"))?;
    let (mut usage, mut as_held, mut permit) = (Usage::default(), false, None);
    for (name, value) in item.iter() {
        match convert::borrowed(&name, "settlements")? {
            "permit" => permit = Some(engine.permit(Some(&value))?),
            "as_held" => as_held = flag(Some(&value), "as_held")?,
            word => words::set(&mut usage, &value, Param("", word))?,
        }
    }
    let permit = permit.ok_or_else(|| convert::fault("permit", "is required"))?;
    Ok((permit, words::closing(usage, as_held)?))
}

/// A fault is an item of the answer.
fn or_fault<'py>(py: Python<'py>, answer: PyResult<Bound<'py, PyAny>>) -> Bound<'py, PyAny> {
    answer.unwrap_or_else(|error| error.into_value(py).into_bound(py).into_any())
}
