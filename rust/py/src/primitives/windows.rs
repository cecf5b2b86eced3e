//! One limit, one counter.

use limen_core::budget;
use limen_core::period::Lattice;
use limen_core::units::{Millis, Rounding};
use limen_core::window::single;
use pyo3::prelude::*;

use super::{cost, instant};
use crate::convert;

/// What one counter shows, in its own units: tokens, requests, or nano-dollars. Instants and waits are in ms.
#[pyclass(frozen, module = "limen", get_all)]
pub(crate) struct WindowStatus {
    /// The most that a window may count.
    limit: i64,
    /// Used in the current window.
    used: i64,
    /// Held in the current window.
    held: i64,
    /// What may still be taken.
    remaining: i64,
    /// When what counts now will all be gone.
    reset_at_ms: i64,
    /// How long until one unit can be taken; 0 where it can be now.
    retry_after_ms: i64,
}

impl From<single::Status> for WindowStatus {
    fn from(status: single::Status) -> WindowStatus {
        WindowStatus {
            limit: status.limit,
            used: status.used,
            held: status.held,
            remaining: status.remaining,
            reset_at_ms: status.reset_at.get(),
            retry_after_ms: status.retry_after_ms,
        }
    }
}

#[pymethods]
impl WindowStatus {
    fn __repr__(&self) -> String {
        format!(
            "WindowStatus(limit={}, used={}, held={}, remaining={}, reset_at_ms={}, retry_after_ms={})",
            self.limit, self.used, self.held, self.remaining, self.reset_at_ms, self.retry_after_ms
        )
    }
}

/// At most `limit` in every window of `per` (a duration such as "1m", or ms), on the lattice `anchor_ms + k x per`.
#[pyclass(frozen, module = "limen")]
pub(crate) struct FixedWindow(single::FixedWindow);

#[pymethods]
impl FixedWindow {
    #[new]
    #[pyo3(signature = (limit, per, *, anchor_ms=None), text_signature = "(limit, per, *, anchor_ms=0)")]
    fn new(
        limit: &Bound<'_, PyAny>,
        per: &Bound<'_, PyAny>,
        anchor_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<FixedWindow> {
        let limit = convert::count(limit, "limit")?;
        let per = convert::per(per, "per")?;
        let anchor = anchor_ms.map_or(Ok(Millis::new(0)), |anchor| convert::instant(anchor, "anchor_ms"))?;
        Ok(FixedWindow(single::FixedWindow::new(limit, per.length_ms, anchor)))
    }

    /// Take `cost` if it fits.
    #[pyo3(signature = (cost=None, now_ms=None), text_signature = "($self, cost=1, now_ms=None)")]
    fn take(&self, cost: Option<&Bound<'_, PyAny>>, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Ok(self.0.take(self::cost(cost)?, instant(now_ms, "now_ms")?))
    }

    /// Whether `cost` fits. Takes nothing.
    #[pyo3(signature = (cost=None, now_ms=None), text_signature = "($self, cost=1, now_ms=None)")]
    fn peek(&self, cost: Option<&Bound<'_, PyAny>>, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Ok(self.0.peek(self::cost(cost)?, instant(now_ms, "now_ms")?))
    }

    /// Undo a take, by the instant at which it was made. A window that has rolled is left alone.
    #[pyo3(signature = (cost, taken_at_ms=None))]
    fn give_back(&self, cost: &Bound<'_, PyAny>, taken_at_ms: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.give_back(convert::count(cost, "cost")?, instant(taken_at_ms, "taken_at_ms")?);
        Ok(())
    }

    /// What the counter shows.
    #[pyo3(signature = (now_ms=None))]
    fn status(&self, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<WindowStatus> {
        Ok(self.0.status(instant(now_ms, "now_ms")?).into())
    }
}

/// At most `limit` in any true window of `per`, told apart in `buckets` sub-windows (1 to 10,000): conservative by up to
/// one of them.
#[pyclass(frozen, module = "limen")]
pub(crate) struct SlidingWindow(single::SlidingWindow);

/// More sub-windows than this are no better, and memory comes from the caller's number.
const MAX_BUCKETS: i64 = 10_000;

#[pymethods]
impl SlidingWindow {
    #[new]
    #[pyo3(signature = (limit, per, *, buckets=None), text_signature = "(limit, per, *, buckets=60)")]
    fn new(
        limit: &Bound<'_, PyAny>,
        per: &Bound<'_, PyAny>,
        buckets: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<SlidingWindow> {
        let limit = convert::count(limit, "limit")?;
        let per = convert::per(per, "per")?;
        let buckets =
            buckets.map_or(Ok(60), |buckets| convert::count_within(buckets, 1..=MAX_BUCKETS, "buckets"))?;
        Ok(SlidingWindow(single::SlidingWindow::new(limit, per.length_ms, buckets)))
    }

    /// Take `cost` if it fits.
    #[pyo3(signature = (cost=None, now_ms=None), text_signature = "($self, cost=1, now_ms=None)")]
    fn take(&self, cost: Option<&Bound<'_, PyAny>>, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Ok(self.0.take(self::cost(cost)?, instant(now_ms, "now_ms")?))
    }

    /// Whether `cost` fits. Takes nothing.
    #[pyo3(signature = (cost=None, now_ms=None), text_signature = "($self, cost=1, now_ms=None)")]
    fn peek(&self, cost: Option<&Bound<'_, PyAny>>, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Ok(self.0.peek(self::cost(cost)?, instant(now_ms, "now_ms")?))
    }

    /// Undo a take, by the instant at which it was made. A sub-window that has left is left alone.
    #[pyo3(signature = (cost, taken_at_ms=None))]
    fn give_back(&self, cost: &Bound<'_, PyAny>, taken_at_ms: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.give_back(convert::count(cost, "cost")?, instant(taken_at_ms, "taken_at_ms")?);
        Ok(())
    }

    /// What the counter shows.
    #[pyo3(signature = (now_ms=None))]
    fn status(&self, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<WindowStatus> {
        Ok(self.0.status(instant(now_ms, "now_ms")?).into())
    }
}

/// At most `limit_usd` dollars in every window of `per`; holds first, then charges, in whole nano-dollars.
/// `calendar_aligned` puts the windows on UTC calendar boundaries, for the units d, w, M and Y.
#[pyclass(frozen, module = "limen")]
pub(crate) struct BudgetCounter(budget::BudgetCounter);

#[pymethods]
impl BudgetCounter {
    #[new]
    #[pyo3(signature = (limit_usd, per, *, calendar_aligned=false))]
    fn new(
        limit_usd: &Bound<'_, PyAny>,
        per: &Bound<'_, PyAny>,
        calendar_aligned: bool,
    ) -> PyResult<BudgetCounter> {
        let limit = convert::dollars(limit_usd, "limit_usd", Rounding::Exact)?;
        let per = convert::per(per, "per")?;
        let rolling = Lattice::rolling(Millis::new(0), per.length_ms);
        let lattice = if calendar_aligned {
            per.written.and_then(Lattice::calendar).ok_or_else(|| {
                convert::fault("per", "must be in d, w, M or Y where calendar_aligned, such as \"1M\"")
            })?
        } else {
            rolling
        };
        Ok(BudgetCounter(budget::BudgetCounter::new(limit.get(), lattice)))
    }

    /// Hold an amount if it fits.
    #[pyo3(signature = (nano_usd, now_ms=None))]
    fn reserve(&self, nano_usd: &Bound<'_, PyAny>, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Ok(self.0.reserve(convert::count(nano_usd, "nano_usd")?, instant(now_ms, "now_ms")?))
    }

    /// Replace what was held at `taken_at_ms` by what it really cost. If its window has rolled, only what exceeds the
    /// hold is charged, to the current window.
    #[pyo3(signature = (held_nano_usd, real_nano_usd, taken_at_ms=None))]
    fn settle(
        &self,
        held_nano_usd: &Bound<'_, PyAny>,
        real_nano_usd: &Bound<'_, PyAny>,
        taken_at_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let held = convert::count(held_nano_usd, "held_nano_usd")?;
        let real = convert::count(real_nano_usd, "real_nano_usd")?;
        self.0.settle(held, real, instant(taken_at_ms, "taken_at_ms")?);
        Ok(())
    }

    /// Give back what was held at `taken_at_ms`. A window that has rolled is left alone.
    #[pyo3(signature = (nano_usd, taken_at_ms=None))]
    fn give_back(&self, nano_usd: &Bound<'_, PyAny>, taken_at_ms: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.give_back(convert::count(nano_usd, "nano_usd")?, instant(taken_at_ms, "taken_at_ms")?);
        Ok(())
    }

    /// Add to the current window without asking whether it fits.
    #[pyo3(signature = (nano_usd, now_ms=None))]
    fn charge(&self, nano_usd: &Bound<'_, PyAny>, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.charge(convert::count(nano_usd, "nano_usd")?, instant(now_ms, "now_ms")?);
        Ok(())
    }

    /// What the budget shows, in nano-dollars.
    #[pyo3(signature = (now_ms=None))]
    fn status(&self, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<WindowStatus> {
        Ok(self.0.status(instant(now_ms, "now_ms")?).into())
    }
}
