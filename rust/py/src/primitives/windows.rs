//! One limit, one window.

use limen_core::units::Millis;
use limen_core::window::single;
use pyo3::prelude::*;

use super::{WindowStatus, cost, decided, limit, now_ms, per, taken_at_ms};
use crate::clock;
use crate::convert::{self, Per};

/// More sub-windows cost memory (16 bytes each) and time at every turn, and tell nobody anything.
const MAX_BUCKETS: i64 = 10_000;

/// Windows one after the other: at most `limit` in each, on the boundaries `anchor_ms + k * per`.
///
/// `limit`: an integer from 0 (refuses everything). `per`: a duration text such as `"1m"`, or milliseconds.
/// `anchor_ms`: any instant at which a window starts, in milliseconds since the Unix epoch.
/// Raises InvalidError with the argument's name in `param`. Any number of threads may call it.
///
/// >>> window = limen.FixedWindow(5, "1m")
/// >>> [window.take(2, now_ms=59_999) for _ in range(3)], window.take(now_ms=60_000)
/// ([True, True, False], True)
#[pyclass(frozen, module = "limen")]
#[derive(Debug)]
pub(crate) struct FixedWindow(single::FixedWindow);

#[pymethods]
impl FixedWindow {
    #[new]
    #[pyo3(signature = (limit, per, *, anchor_ms = 0))]
    fn new(
        #[pyo3(from_py_with = limit)] limit: i64,
        #[pyo3(from_py_with = per)] per: Per,
        #[pyo3(from_py_with = anchor_ms)] anchor_ms: i64,
    ) -> FixedWindow {
        FixedWindow(single::FixedWindow::new(limit, per.length_ms, Millis::new(anchor_ms)))
    }

    /// Count `cost` if it fits: True, or False and nothing is counted.
    ///
    /// A cost of 0 counts nothing, and is refused once the limit is reached. `now_ms` left out is the system's clock.
    #[pyo3(signature = (cost = 1, now_ms = None))]
    fn take(
        &self,
        #[pyo3(from_py_with = cost)] cost: i64,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) -> bool {
        decided(now_ms, |now| self.0.take(cost, now))
    }

    /// Whether `cost` fits now, or at `now_ms`. Changes nothing.
    #[pyo3(signature = (cost = 1, now_ms = None))]
    fn peek(
        &self,
        #[pyo3(from_py_with = cost)] cost: i64,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) -> bool {
        decided(now_ms, |now| self.0.peek(cost, now))
    }

    /// Undo a take of `cost`. `taken_at_ms` is its instant (left out: now); a window that has rolled since is left
    /// alone.
    #[pyo3(signature = (cost, taken_at_ms = None))]
    fn give_back(
        &self,
        #[pyo3(from_py_with = cost)] cost: i64,
        #[pyo3(from_py_with = taken_at_ms)] taken_at_ms: Option<Millis>,
    ) {
        self.0.give_back(cost, taken_at_ms.unwrap_or_else(clock::coarse));
    }

    /// What it shows now, or at `now_ms`.
    #[pyo3(signature = (now_ms = None))]
    fn status(&self, #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>) -> WindowStatus {
        self.0.status(now_ms.unwrap_or_else(clock::fine)).into()
    }
}

/// The last `per`, whenever it is looked at: at most `limit` in every stretch of that length.
///
/// `buckets` sub-windows (1 to 10,000) say how finely it forgets: what was taken counts for up to `per / buckets` too
/// long, never too short. `limit` is at most 2**46 - 2. Other arguments and faults are those of
/// FixedWindow. Any number of threads may call it.
///
/// >>> window = limen.SlidingWindow(5, "1m")
/// >>> window.take(5, now_ms=59_999), window.take(now_ms=60_000), window.take(now_ms=120_000)
/// (True, False, True)
#[pyclass(frozen, module = "limen")]
#[derive(Debug)]
pub(crate) struct SlidingWindow(single::SlidingWindow);

#[pymethods]
impl SlidingWindow {
    #[new]
    #[pyo3(signature = (limit, per, *, buckets = 60))]
    fn new(
        #[pyo3(from_py_with = limit)] limit: i64,
        #[pyo3(from_py_with = per)] per: Per,
        #[pyo3(from_py_with = buckets)] buckets: i64,
    ) -> PyResult<SlidingWindow> {
        single::SlidingWindow::new(limit, per.length_ms, buckets).map(SlidingWindow).map_err(convert::raise)
    }

    /// Count `cost` if it fits: True, or False and nothing is counted.
    ///
    /// A cost of 0 counts nothing, and is refused once the limit is reached. `now_ms` left out is the system's clock.
    #[pyo3(signature = (cost = 1, now_ms = None))]
    fn take(
        &self,
        #[pyo3(from_py_with = cost)] cost: i64,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) -> bool {
        decided(now_ms, |now| self.0.take(cost, now))
    }

    /// Whether `cost` fits now, or at `now_ms`. Changes nothing.
    #[pyo3(signature = (cost = 1, now_ms = None))]
    fn peek(
        &self,
        #[pyo3(from_py_with = cost)] cost: i64,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) -> bool {
        decided(now_ms, |now| self.0.peek(cost, now))
    }

    /// Undo a take of `cost`. `taken_at_ms` is its instant (left out: now); what has left the window is left alone.
    #[pyo3(signature = (cost, taken_at_ms = None))]
    fn give_back(
        &self,
        #[pyo3(from_py_with = cost)] cost: i64,
        #[pyo3(from_py_with = taken_at_ms)] taken_at_ms: Option<Millis>,
    ) {
        self.0.give_back(cost, taken_at_ms.unwrap_or_else(clock::coarse));
    }

    /// What it shows now, or at `now_ms`.
    #[pyo3(signature = (now_ms = None))]
    fn status(&self, #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>) -> WindowStatus {
        self.0.status(now_ms.unwrap_or_else(clock::fine)).into()
    }
}

fn anchor_ms(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    convert::int(value, "anchor_ms")
}

fn buckets(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    convert::count_within(value, 1..=MAX_BUCKETS, "buckets")
}
