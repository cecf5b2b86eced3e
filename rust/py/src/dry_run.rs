//! A dry run of the rules, as objects.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::ask::{Ask, Item};
use crate::convert;
use crate::engine::Engine;

/// Variables by name; (rule id, result, reason) of each rule that was looked at; what `peek` answers under the rule that
/// binds, or None where none does.
pub(crate) fn trace_rules<'py>(
    own: &Bound<'py, Engine>,
    request: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = own.py();
    let core = own.get().ready()?;
    let item = Item::read(request)?;
    let ask = Ask::read(core, &item.given())?;
    let found = ask.evaluation(core).map_err(convert::raise)?;
    let variables = PyDict::new(py);
    for (name, text) in &found.texts {
        variables.set_item(name, text)?;
    }
    for (name, entries) in &found.maps {
        let map = PyDict::new(py);
        entries.iter().try_for_each(|(name, value)| map.set_item(name, value))?;
        variables.set_item(name, map)?;
    }
    for (name, percent) in &found.percents {
        variables.set_item(name, percent)?;
    }
    let step = found.steps.iter().map(|step| (&*step.rule.row().id, step.result, &*step.reason));
    let steps: Vec<_> = step.collect();
    let answer = found.answer.map(|answer| ask.object(own, &item.given(), answer)).transpose()?;
    (variables, steps, answer).into_pyobject(py)
}
