//! The core's parts by themselves, usable without an engine. All are safe under threads.
//!
//! `now_ms` is milliseconds since the Unix epoch; left out, the system's clock.

mod keyed;
mod sampler;
mod windows;

pub(crate) use keyed::KeyedLimiter;
pub(crate) use sampler::WeightedSampler;
pub(crate) use windows::{BudgetCounter, FixedWindow, SlidingWindow, WindowStatus};

use limen_core::units::Millis;
use pyo3::prelude::*;

use crate::{clock, convert};

/// The instant that a call is about.
#[inline(always)]
fn instant(now_ms: Option<&Bound<'_, PyAny>>, param: &'static str) -> PyResult<Millis> {
    match now_ms {
        Some(now_ms) if !now_ms.is_none() => convert::instant(now_ms, param),
        _ => Ok(clock::coarse()),
    }
}

/// A number of units; one where it is left out.
#[inline(always)]
fn cost(cost: Option<&Bound<'_, PyAny>>) -> PyResult<i64> {
    cost.map_or(Ok(1), |cost| convert::count(cost, "cost"))
}
