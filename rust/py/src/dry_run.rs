//! Dry runs, as objects: of the rules, of a whole decision, of a price.

use limen_core::answer::{Candidate, Counted, PriceSource, Step};
use limen_core::pricing::{Ids, Line};
use limen_core::request::RequestType;
use limen_core::units::FemtoUsd;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

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
    let steps = steps(&found.steps);
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

/// A counter: level, owner, id, kind; limit, used, held, what is asked; when it is empty; whether it refuses, and the ms until it
/// does not.
type CounterTold<'a> =
    (&'a str, &'a str, &'a str, &'a str, i64, i64, i64, Option<i64>, i64, bool, Option<i64>);

fn counter(counted: &Counted) -> CounterTold<'_> {
    let (name, reading) = (&counted.name, counted.reading);
    let refusal = counted.refusal.as_ref();
    (
        name.level.as_str(),
        &name.owner_id,
        &name.limit_id,
        name.kind.as_str(),
        name.limit,
        reading.used,
        reading.held,
        counted.asked,
        reading.reset.get(),
        refusal.is_some(),
        refusal.and_then(|refusal| refusal.wait_ms),
    )
}

/// All that takes part in a decision, as a dict: what `peek` answers; where the request goes, or would first; rules, targets
/// and counters.
pub(crate) fn trace_decision<'py>(
    own: &Bound<'py, Engine>,
    request: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let core = own.get().ready()?;
    let item = Item::read(request)?;
    let ask = Ask::read(core, &item.given())?;
    let found = ask.explanation(core).map_err(convert::raise)?;
    let told = PyDict::new(own.py());
    told.set_item("virtual_key_id", found.virtual_key.as_deref())?;
    told.set_item("provider", named(&found.provider))?;
    told.set_item("model", found.model.as_deref())?;
    told.set_item("key_id", found.key_id.as_deref())?;
    told.set_item("steps", steps(&found.steps))?;
    told.set_item("candidates", found.candidates.iter().map(candidate).collect::<Vec<_>>())?;
    told.set_item("counters", found.counters.iter().map(counter).collect::<Vec<_>>())?;
    told.set_item("answer", ask.object(own, &item.given(), found.answer)?)?;
    Ok(told)
}

/// A target: provider, model, key, weight, what became of it, the counters that refuse it.
type CandidateTold<'a> =
    (Option<&'a str>, &'a str, Option<&'a str>, Option<f64>, &'a str, Vec<CounterTold<'a>>);

fn candidate(one: &Candidate) -> CandidateTold<'_> {
    let limits = one.limits.iter().map(counter).collect();
    (named(&one.provider), &one.model, one.key_id.as_deref(), one.weight, one.fate.as_str(), limits)
}

fn named(provider: &str) -> Option<&str> {
    Some(provider).filter(|provider| !provider.is_empty())
}

/// (rule id, result, reason) of each.
fn steps(steps: &[Step]) -> Vec<(&str, &str, &str)> {
    steps.iter().map(|step| (&*step.rule.row().id, step.result, &*step.reason)).collect()
}
