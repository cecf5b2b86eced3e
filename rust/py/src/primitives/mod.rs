//! The parts by themselves, without an engine: windows, keyed limits, a budget, weighted draws, prices.
//!
//! A call converts its arguments, calls the core, and converts the answer. An instant that is left out is the
//! system's, read from the coarse clock; before a refusal the fine one is asked, since the coarse one may be a tick
//! behind the instant that an earlier refusal promised.

mod budget;
mod cost;
mod keyed;
mod keys;
mod prices;
mod sampler;
mod status;
mod windows;

use limen_core::units::Millis;
use pyo3::prelude::*;

use crate::clock;
use crate::convert::{self, Per};

pub(crate) use budget::BudgetCounter;
pub(crate) use cost::{Cost, CostLine};
pub(crate) use keyed::KeyedLimiter;
pub(crate) use prices::{PricingPatch, RateCard};
pub(crate) use sampler::WeightedSampler;
pub(crate) use status::WindowStatus;
pub(crate) use windows::{FixedWindow, SlidingWindow};

/// Ask at the instant given, or now.
#[inline]
fn decided(now: Option<Millis>, mut take: impl FnMut(Millis) -> bool) -> bool {
    match now {
        Some(now) => take(now),
        None => take(clock::coarse()) || take(clock::fine()),
    }
}

fn limit(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    convert::count(value, "limit")
}

fn per(value: &Bound<'_, PyAny>) -> PyResult<Per> {
    convert::per(value, "per")
}

fn cost(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    convert::count(value, "cost")
}

fn now_ms(value: &Bound<'_, PyAny>) -> PyResult<Option<Millis>> {
    instant_or_none(value, "now_ms")
}

fn taken_at_ms(value: &Bound<'_, PyAny>) -> PyResult<Option<Millis>> {
    instant_or_none(value, "taken_at_ms")
}

fn instant_or_none(value: &Bound<'_, PyAny>, param: &str) -> PyResult<Option<Millis>> {
    if value.is_none() { Ok(None) } else { convert::instant(value, param).map(Some) }
}
