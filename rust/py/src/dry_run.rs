//! Dry runs, as objects: of the rules, of a price.

use limen_core::answer::{PriceSource, Told};
use limen_core::pricing::{Ids, Line};
use limen_core::request::RequestType;
use limen_core::units::FemtoUsd;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::answers::Permit;
use crate::ask::{self, Ask, Item};
use crate::convert;
use crate::core::Core;
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

/// What a usage costs at a provider's model, as a dict of what it is made of.
pub(crate) fn trace_price<'py>(
    core: &Core,
    ids: &Ids<'_>,
    model: &str,
    request_type: &Bound<'py, PyAny>,
    usage: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = usage.py();
    let request_type = RequestType::from_text(convert::borrowed(request_type, "request_type")?)
        .ok_or_else(ask::unknown_type)?;
    let found = core.engine.explain_price(ids, model, request_type, &ask::read_usage(usage)?);
    let price = &found.cost.price;
    let told = PyDict::new(py);
    told.set_item("row", found.row.as_ref().map(|(name, by, in_part)| (&**name, by.as_str(), *in_part)))?;
    let overrides: Vec<(&str, bool)> = found.overrides.iter().map(|(id, is_for)| (&**id, *is_for)).collect();
    told.set_item("overrides", overrides)?;
    told.set_item("free", found.free)?;
    told.set_item("nano_usd", price.exact.round_up().get())?;
    told.set_item("exact_usd", price.exact.to_string())?;
    told.set_item("tier", found.cost.tier())?;
    told.set_item("source", found.source.map(PriceSource::as_str))?;
    let line = |line: &Line| {
        let rate = line.rate.map(FemtoUsd::to_decimal);
        (line.cell.to_string(), line.quantity_text(), rate, line.amount().to_string())
    };
    told.set_item("lines", found.cost.lines.iter().map(line).collect::<Vec<_>>())?;
    Ok(told)
}

/// A limit: level, owner, id, kind, and its numbers: limit, used, held, when it is empty.
pub(crate) type LimitTold = (&'static str, String, String, &'static str, i64, i64, i64, i64);

/// The limits that a permit was taken from; of a peek, as they would be after the request.
pub(crate) fn trace_limits(core: &Core, permit: &Permit) -> Vec<LimitTold> {
    let told = |(name, reading): Told| {
        (
            name.level.as_str(),
            name.owner_id.to_string(),
            name.limit_id.to_string(),
            name.kind.as_str(),
            name.limit,
            reading.used,
            reading.held,
            reading.reset.get(),
        )
    };
    core.engine.limits_of(permit.grant(), core.clock.now()).into_iter().map(told).collect()
}
