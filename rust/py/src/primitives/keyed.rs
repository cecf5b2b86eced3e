//! One limit for each of many keys.
//!
//! Keys come and go. A window is taken out of the map only after it was closed, in the step that finds it empty: a
//! thread that still has it in hand finds it closed and looks the key up again. Without that, this happens: A looks
//! the key up, B drops its empty window, C makes a new one and takes the last unit, and A takes it again in the old.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use limen_core::units::Millis;
use limen_core::window::Take;
use limen_core::window::single::{self, Status};
use papaya::HashMap;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;

use super::windows::WindowStatus;
use super::{cost, instant};
use crate::convert;

enum Window {
    Fixed(single::FixedWindow),
    Sliding(Box<single::SlidingWindow>),
}

impl Window {
    #[inline(always)]
    fn take(&self, cost: i64, now: Millis) -> Take {
        match self {
            Window::Fixed(window) => window.try_take(cost, now),
            Window::Sliding(window) => window.try_take(cost, now),
        }
    }

    fn peek(&self, cost: i64, now: Millis) -> bool {
        match self {
            Window::Fixed(window) => window.peek(cost, now),
            Window::Sliding(window) => window.peek(cost, now),
        }
    }

    fn status(&self, now: Millis) -> Status {
        match self {
            Window::Fixed(window) => window.status(now),
            Window::Sliding(window) => window.status(now),
        }
    }

    fn close(&self) {
        match self {
            Window::Fixed(window) => window.close(),
            Window::Sliding(window) => window.close(),
        }
    }

    fn close_if_empty(&self, now: Millis) -> bool {
        match self {
            Window::Fixed(window) => window.close_if_empty(now),
            Window::Sliding(window) => window.close_if_empty(now),
        }
    }
}

/// At most `limit` in every window of `per` for each key. `window` is fixed or sliding. At `max_keys`, keys whose window
/// is empty make room; where there is none, a new key is refused and counted in `refused_new`.
#[pyclass(frozen, module = "limen")]
pub(crate) struct KeyedLimiter {
    windows: HashMap<Box<str>, Window, rapidhash::fast::RandomState>,
    limit: i64,
    length_ms: i64,
    sliding: bool,
    max_keys: usize,
    /// Keys in the map. Changed together with it, under the lock.
    count: AtomicUsize,
    /// Insertion and removal are one at a time; takes of known keys never come here. The instant at which an
    /// emptying last found nothing.
    changing: Mutex<i64>,
    refused_new: AtomicU64,
}

const SUB_WINDOWS: i64 = 60;

impl KeyedLimiter {
    fn fresh(&self) -> Window {
        if self.sliding {
            Window::Sliding(Box::new(single::SlidingWindow::new(self.limit, self.length_ms, SUB_WINDOWS)))
        } else {
            Window::Fixed(single::FixedWindow::new(self.limit, self.length_ms, Millis::new(0)))
        }
    }

    #[inline(always)]
    fn take_at(&self, key: &str, cost: i64, now: Millis) -> bool {
        let windows = self.windows.pin();
        loop {
            match windows.get(key).map(|window| window.take(cost, now)) {
                Some(Take::Taken(_)) => return true,
                Some(Take::Refused) => return false,
                // Closed: it is being taken out of the map, or was.
                Some(Take::Sealed) => std::hint::spin_loop(),
                None if !self.insert(key, now) => return false,
                None => {}
            }
        }
    }

    /// Make room for a key and put an empty window there; false where there is no room.
    #[cold]
    fn insert(&self, key: &str, now: Millis) -> bool {
        let windows = self.windows.pin();
        let mut found_full = self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if windows.contains_key(key) {
            return true;
        }
        if self.count.load(Ordering::Relaxed) >= self.max_keys && !self.make_room(&mut found_full, now) {
            self.refused_new.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        windows.insert(key.into(), self.fresh());
        self.count.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Drop every key whose window is empty. A walk that found none is not repeated before the next window can have
    /// become empty, so that a flood of new keys does not walk the map each time.
    fn make_room(&self, found_full: &mut i64, now: Millis) -> bool {
        let step = if self.sliding { (self.length_ms / SUB_WINDOWS).max(1) } else { self.length_ms };
        if *found_full == now.get().div_euclid(step) {
            return false;
        }
        let windows = self.windows.pin();
        let mut dropped = 0;
        for (key, window) in &windows {
            if window.close_if_empty(now) {
                windows.remove(key);
                dropped += 1;
            }
        }
        self.count.fetch_sub(dropped, Ordering::Relaxed);
        if dropped == 0 {
            *found_full = now.get().div_euclid(step);
        }
        dropped > 0
    }
}

fn key<'a>(key: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    convert::borrowed(key, "key")
}

#[pymethods]
impl KeyedLimiter {
    #[new]
    #[pyo3(signature = (limit, per, *, window=None, max_keys=None),
           text_signature = "(limit, per, *, window='fixed', max_keys=1000000)")]
    fn new(
        limit: &Bound<'_, PyAny>,
        per: &Bound<'_, PyAny>,
        window: Option<&Bound<'_, PyAny>>,
        max_keys: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<KeyedLimiter> {
        let sliding = match window.map(|window| convert::borrowed(window, "window")).transpose()? {
            None | Some("fixed") => false,
            Some("sliding") => true,
            Some(_) => return Err(convert::fault("window", "must be fixed or sliding")),
        };
        let max_keys = max_keys
            .map_or(Ok(1_000_000), |keys| convert::count_within(keys, 1..=i64::from(u32::MAX), "max_keys"))?;
        Ok(KeyedLimiter {
            windows: HashMap::with_hasher(rapidhash::fast::RandomState::new()),
            limit: convert::count(limit, "limit")?,
            length_ms: convert::per(per, "per")?.length_ms,
            sliding,
            max_keys: max_keys as usize,
            count: AtomicUsize::new(0),
            changing: Mutex::new(i64::MIN),
            refused_new: AtomicU64::new(0),
        })
    }

    /// Take `cost` for a key if it fits.
    #[pyo3(signature = (key, cost=None, now_ms=None), text_signature = "($self, key, cost=1, now_ms=None)")]
    fn take(
        &self,
        key: &Bound<'_, PyAny>,
        cost: Option<&Bound<'_, PyAny>>,
        now_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        Ok(self.take_at(self::key(key)?, self::cost(cost)?, instant(now_ms, "now_ms")?))
    }

    /// Take for many keys in one crossing, without the GIL. One byte each, in order: 1 taken, 0 refused.
    #[pyo3(signature = (keys, costs=None, now_ms=None))]
    fn take_many<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        costs: Option<&Bound<'py, PyAny>>,
        now_ms: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let now = instant(now_ms, "now_ms")?;
        let keys: Vec<PyBackedStr> = convert::items(keys, "keys")?
            .iter()
            .enumerate()
            .map(|(place, key)| convert::text(key, format_args!("keys[{place}]")))
            .collect::<PyResult<_>>()?;
        let costs: Option<Vec<i64>> = costs
            .filter(|costs| !costs.is_none())
            .map(|costs| {
                convert::items(costs, "costs")?
                    .iter()
                    .enumerate()
                    .map(|(place, cost)| convert::count(cost, format_args!("costs[{place}]")))
                    .collect::<PyResult<Vec<i64>>>()
            })
            .transpose()?;
        if costs.as_ref().is_some_and(|costs| costs.len() != keys.len()) {
            return Err(convert::fault("costs", "must be as many as keys"));
        }
        let taken: Vec<u8> = py.detach(|| {
            let cost = |place: usize| costs.as_ref().map_or(1, |costs| costs[place]);
            keys.iter()
                .enumerate()
                .map(|(place, key)| u8::from(self.take_at(key, cost(place), now)))
                .collect()
        });
        Ok(PyBytes::new(py, &taken))
    }

    /// Whether `cost` fits for a key. Takes nothing.
    #[pyo3(signature = (key, cost=None, now_ms=None), text_signature = "($self, key, cost=1, now_ms=None)")]
    fn peek(
        &self,
        key: &Bound<'_, PyAny>,
        cost: Option<&Bound<'_, PyAny>>,
        now_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let (key, cost, now) = (self::key(key)?, self::cost(cost)?, instant(now_ms, "now_ms")?);
        let windows = self.windows.pin();
        Ok(windows.get(key).map_or_else(|| self.fresh().peek(cost, now), |window| window.peek(cost, now)))
    }

    /// What a key's counter shows; an unknown key's is empty.
    #[pyo3(signature = (key, now_ms=None))]
    fn status(&self, key: &Bound<'_, PyAny>, now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<WindowStatus> {
        let (key, now) = (self::key(key)?, instant(now_ms, "now_ms")?);
        let windows = self.windows.pin();
        Ok(windows.get(key).map_or_else(|| self.fresh().status(now), |window| window.status(now)).into())
    }

    /// Forget a key and what it has taken; whether it was known.
    fn forget(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = self::key(key)?;
        let windows = self.windows.pin();
        let _changing = self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(window) = windows.get(key) else { return Ok(false) };
        window.close();
        windows.remove(key);
        self.count.fetch_sub(1, Ordering::Relaxed);
        Ok(true)
    }

    fn __len__(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// New keys that were refused because there was no room.
    #[getter]
    fn refused_new(&self) -> u64 {
        self.refused_new.load(Ordering::Relaxed)
    }
}
