//! Prices of a model, and patches of them.

use limen_core::pricing::{self, Cell, TooManyColumns, is_about_prices, type_of_mode};
use limen_core::request::RequestType;
use limen_core::units::FemtoUsd;
use limen_core::usage::Usage;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use super::Cost;
use crate::convert::{self, fault};
use crate::words::{self, Param};

/// Prices that take the place of a card's own, in dollars a unit.
///
/// `fields`: the names of the schema's PricingPatch, such as `input_cost_per_token`, each an int, float or Decimal from 0
/// to 9,223 with at most 15 decimals. A float is the shortest decimal text that reads back to it. None is as left out,
/// zero is not applied. Raises InvalidError with the field's name in `param`.
///
/// >>> patch = limen.PricingPatch(input_cost_per_token=2e-6)
/// >>> patch.fields
/// {'input_cost_per_token': '0.000002'}
#[pyclass(frozen, eq, module = "limen")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PricingPatch(pricing::PricingPatch);

#[pymethods]
impl PricingPatch {
    #[new]
    #[pyo3(signature = (**fields))]
    fn new(fields: Option<&Bound<'_, PyDict>>) -> PyResult<PricingPatch> {
        let mut patch = pricing::PricingPatch::default();
        for (name, value) in fields.into_iter().flat_map(PyDictMethods::iter) {
            let name = convert::borrowed(&name, "fields")?;
            let rate = if value.is_none() { FemtoUsd::new(0) } else { exact_rate(&value, name)? };
            patch.set(name, rate).map_err(|unknown| fault(name, unknown))?;
        }
        Ok(PricingPatch(patch))
    }

    /// The fields that are not zero, as decimal text.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        for (name, rate) in self.0.fields().filter(|(_, rate)| rate.get() > 0) {
            fields.set_item(name, rate.to_decimal())?;
        }
        Ok(fields)
    }

    fn __repr__(&self) -> String {
        let fields: Vec<String> =
            self.0.fields().map(|(name, rate)| format!("{name}={}", rate.to_decimal())).collect();
        format!("PricingPatch({})", fields.join(", "))
    }
}

fn exact_rate(value: &Bound<'_, PyAny>, param: &str) -> PyResult<FemtoUsd> {
    match convert::rate(value, param)? {
        (rate, false) => Ok(rate),
        (_, true) => Err(fault(param, "must have at most 15 decimals (femto-dollars)")),
    }
}

/// The prices of one model; `RateCard.from_catalog` makes one.
///
/// >>> entry = {"mode": "chat", "input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5}
/// >>> card = limen.RateCard.from_catalog(entry)
/// >>> cost = card.cost({"prompt_tokens": 812, "completion_tokens": 233})
/// >>> cost.nano_usd, cost.lines[0]
/// (4360000, CostLine(812 x input_cost_per_token 0.0000025 = 0.00203))
/// >>> card.patched(limen.PricingPatch(output_cost_per_token=2e-5)).cost({"completion_tokens": 1}).nano_usd
/// 20000
#[pyclass(frozen, module = "limen")]
#[derive(Debug)]
pub(crate) struct RateCard {
    card: pricing::RateCard,
    request_type: Option<RequestType>,
    rounded: Vec<String>,
    not_taken: Vec<String>,
}

#[pymethods]
impl RateCard {
    /// The card of one `entry` of a price file in LiteLLM's format: a mapping of fields.
    ///
    /// Prices are int, float (the shortest decimal text that reads back to it) or Decimal, from 0 to 9,223 dollars a unit;
    /// beyond 15 decimals they are rounded half to even, see `rounded`. Fields that are not about prices are passed over.
    /// Raises InvalidError with the field's name in `param`.
    #[staticmethod]
    fn from_catalog(entry: &Bound<'_, PyAny>) -> PyResult<RateCard> {
        let fields = convert::mapping(entry).ok_or_else(|| fault("entry", "must be a mapping of fields"))?;
        let mut read = Entry::default();
        for (name, value) in fields.iter() {
            let name = convert::borrowed(&name, "entry")?;
            match value.cast::<PyMapping>() {
                Ok(parts) if !value.is_none() => read.parts(name, parts)?,
                _ => read.field(name, &value)?,
            }
        }
        let mode = fields.get_item("mode")?.filter(|mode| !mode.is_none());
        let mode = mode.as_ref().map(|mode| convert::borrowed(mode, "mode")).transpose()?;
        let card = pricing::RateCard::new(read.prices).map_err(too_many)?;
        let Entry { rounded, not_taken, .. } = read;
        Ok(RateCard { card, request_type: type_of_mode(mode), rounded, not_taken })
    }

    /// This card under a `patch`: its fields take the place of the card's own.
    fn patched(&self, patch: &PricingPatch) -> PyResult<RateCard> {
        Ok(RateCard {
            card: self.card.patched(&patch.0).map_err(too_many)?,
            request_type: self.request_type,
            rounded: self.rounded.clone(),
            not_taken: self.not_taken.clone(),
        })
    }

    /// What a call costs that used `usage`, a mapping of usage words such as `prompt_tokens`.
    ///
    /// `request_type` left out is that of the entry's mode. Raises LimenError `price_unknown` with the field in `param` where
    /// the usage needs a price that the card does not have, and InvalidError for usage that cannot be.
    #[pyo3(signature = (usage, request_type = None))]
    fn cost(&self, usage: &Bound<'_, PyAny>, request_type: Option<&Bound<'_, PyAny>>) -> PyResult<Cost> {
        let request_type = match request_type.filter(|value| !value.is_none()) {
            Some(value) => RequestType::from_text(convert::borrowed(value, "request_type")?)
                .ok_or_else(|| fault("request_type", "is not a known type of request")),
            None => self.request_type.ok_or_else(|| {
                fault("request_type", "is required: the mode of the entry is no type of request")
            }),
        }?;
        let usage = read_usage(usage)?;
        self.card.cost(&usage, request_type).map(Cost).map_err(convert::raise)
    }

    /// The type of request that the entry's mode means; None where it means none.
    #[getter]
    fn request_type(&self) -> Option<&'static str> {
        self.request_type.map(RequestType::as_str)
    }

    /// Its prices by the names of their fields, as decimal text in dollars a unit.
    #[getter]
    fn prices<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let prices = PyDict::new(py);
        for (cell, rate) in self.card.prices() {
            prices.set_item(cell.to_string(), rate.to_decimal())?;
        }
        Ok(prices)
    }

    /// The fields of the entry that had more than 15 decimals.
    #[getter]
    fn rounded(&self) -> Vec<String> {
        self.rounded.clone()
    }

    /// The fields of the entry that are about prices and were not taken.
    #[getter]
    fn not_taken(&self) -> Vec<String> {
        self.not_taken.clone()
    }

    fn __repr__(&self) -> String {
        format!("RateCard(<{} prices>)", self.card.prices().count())
    }
}

impl RateCard {
    /// The prices.
    pub(crate) fn card(&self) -> &pricing::RateCard {
        &self.card
    }

    /// Whether the entry says more about prices than was taken.
    pub(crate) fn is_in_part(&self) -> bool {
        !self.not_taken.is_empty()
    }
}

fn too_many(_: TooManyColumns) -> PyErr {
    fault("entry", format_args!("has more than {} thresholds and variants", pricing::MAX_COLUMNS))
}

/// An entry of a price file, as far as it was read.
#[derive(Default)]
struct Entry {
    prices: Vec<(Cell, FemtoUsd)>,
    rounded: Vec<String>,
    not_taken: Vec<String>,
}

impl Entry {
    fn field(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(cells) = Cell::of_field(name) else {
            if is_about_prices(name) {
                self.not_taken.push(name.into());
            }
            return Ok(());
        };
        if !value.is_none() {
            let (rate, rounded) = convert::rate(value, name)?;
            self.prices.extend(cells.map(|cell| (cell, rate)));
            if rounded {
                self.rounded.push(name.into());
            }
        }
        Ok(())
    }

    /// A field that is a mapping: its parts are fields, or it is none of ours.
    fn parts(&mut self, name: &str, parts: &Bound<'_, PyMapping>) -> PyResult<()> {
        if Cell::of_field(name).is_none() {
            if is_about_prices(name) {
                self.not_taken.push(name.into());
            }
            return Ok(());
        }
        for item in parts.items()?.iter() {
            let (part, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            let part = convert::borrowed(&part, name)?;
            self.field(&format!("{name}.{part}"), &value)?;
        }
        Ok(())
    }
}

fn read_usage(value: &Bound<'_, PyAny>) -> PyResult<Usage> {
    let words = convert::mapping(value).ok_or_else(|| fault("usage", "must be a mapping of usage words"))?;
    let mut usage = Usage::default();
    for (name, value) in words.iter() {
        words::set(&mut usage, &value, Param("usage.", convert::borrowed(&name, "usage")?))?;
    }
    Ok(usage)
}
