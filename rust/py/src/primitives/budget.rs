//! A money counter.

use limen_core::budget;
use limen_core::period::Lattice;
use limen_core::units::{Millis, Rounding};
use pyo3::prelude::*;

use super::{WindowStatus, decided, now_ms, per, taken_at_ms};
use crate::clock;
use crate::convert::{self, Per, fault};

/// Money that is held before a call and charged after it: at most `limit_usd` in every window.
///
/// `limit_usd`: dollars as int, float or Decimal, exact to the nano-dollar, up to 9,223,372,036. All other
/// amounts are integers of nano-dollars. `per`: a duration text such as `"1d"`, or milliseconds; with
/// `calendar_aligned` a text in `d`, `w`, `M` or `Y`, whose windows are the calendar's, in UTC; otherwise they lie on
/// multiples of the duration since the Unix epoch.
/// Raises InvalidError with the argument's name in `param`. Any number of threads may call it.
///
/// >>> budget = limen.BudgetCounter(0.01, "1d")
/// >>> budget.reserve(6_000_000, now_ms=0), budget.reserve(6_000_000, now_ms=0)
/// (True, False)
/// >>> budget.settle(6_000_000, 2_500_000, taken_at_ms=0)
/// >>> budget.status(0).used, budget.status(0).held, budget.status(0).remaining
/// (2500000, 0, 7500000)
#[pyclass(frozen, module = "limen")]
#[derive(Debug)]
pub(crate) struct BudgetCounter(budget::BudgetCounter);

#[pymethods]
impl BudgetCounter {
    #[new]
    #[pyo3(signature = (limit_usd, per, *, calendar_aligned = false))]
    fn new(
        limit_usd: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = per)] per: Per,
        #[pyo3(from_py_with = calendar_aligned)] calendar_aligned: bool,
    ) -> PyResult<BudgetCounter> {
        let limit = convert::dollars(limit_usd, "limit_usd", Rounding::Exact)?;
        let lattice = if calendar_aligned {
            per.written.and_then(Lattice::calendar).ok_or_else(|| {
                fault("per", "must be a text in d, w, M or Y to be aligned with the calendar, such as \"1M\"")
            })?
        } else {
            Lattice::rolling(Millis::new(0), per.length_ms)
        };
        Ok(BudgetCounter(budget::BudgetCounter::new(limit.get(), lattice)))
    }

    /// Hold `nano_usd` if it fits: True, or False and nothing is held. `now_ms` left out is the system's clock.
    #[pyo3(signature = (nano_usd, now_ms = None))]
    fn reserve(
        &self,
        #[pyo3(from_py_with = nano_usd)] nano_usd: i64,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) -> bool {
        decided(now_ms, |now| self.0.reserve(nano_usd, now))
    }

    /// Replace `held_nano_usd` by `real_nano_usd`, what it really cost. `taken_at_ms` is the instant of the reserve (left out: now);
    /// where its window has rolled since, only what exceeds the hold is charged, to the current one.
    #[pyo3(signature = (held_nano_usd, real_nano_usd, taken_at_ms = None))]
    fn settle(
        &self,
        #[pyo3(from_py_with = held_nano_usd)] held_nano_usd: i64,
        #[pyo3(from_py_with = real_nano_usd)] real_nano_usd: i64,
        #[pyo3(from_py_with = taken_at_ms)] taken_at_ms: Option<Millis>,
    ) {
        self.0.settle(held_nano_usd, real_nano_usd, taken_at_ms.unwrap_or_else(clock::coarse));
    }

    /// Give back a hold of `nano_usd`, of what is held in its window. `taken_at_ms` is the instant of the reserve (left out: now);
    /// a window that has rolled since is left alone.
    #[pyo3(signature = (nano_usd, taken_at_ms = None))]
    fn give_back(
        &self,
        #[pyo3(from_py_with = nano_usd)] nano_usd: i64,
        #[pyo3(from_py_with = taken_at_ms)] taken_at_ms: Option<Millis>,
    ) {
        self.0.give_back(nano_usd, taken_at_ms.unwrap_or_else(clock::coarse));
    }

    /// Add `nano_usd` to what is used, now or at `now_ms`, without asking whether it fits.
    #[pyo3(signature = (nano_usd, now_ms = None))]
    fn charge(
        &self,
        #[pyo3(from_py_with = nano_usd)] nano_usd: i64,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) {
        self.0.charge(nano_usd, now_ms.unwrap_or_else(clock::coarse));
    }

    /// What it shows now, or at `now_ms`, in nano-dollars.
    #[pyo3(signature = (now_ms = None))]
    fn status(&self, #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>) -> WindowStatus {
        self.0.status(now_ms.unwrap_or_else(clock::fine)).into()
    }
}

fn calendar_aligned(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    convert::flag(value, "calendar_aligned")
}

fn nano_usd(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    convert::count(value, "nano_usd")
}

fn held_nano_usd(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    convert::count(value, "held_nano_usd")
}

fn real_nano_usd(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    convert::count(value, "real_nano_usd")
}
