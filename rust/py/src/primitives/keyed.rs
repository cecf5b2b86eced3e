//! A limit for each of many keys, as Python sees it.

use limen_core::units::Millis;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::keys::{Answer, Keys, Shape, View};
use super::{WindowStatus, cost, decided, limit, now_ms, per};
use crate::clock;
use crate::convert::{self, MAX_ITEMS, Per, fault};

const BUCKETS: i64 = 60;
const MOST_KEYS: i64 = 1_000_000_000;

/// One limit for each of many keys: at most `limit` for every key in every window of length `per`.
///
/// `limit`: an integer from 0. `per`: a duration text such as `"1m"`, or milliseconds. `window`: `"fixed"` (on
/// multiples of `per` since the Unix epoch) or `"sliding"` (in 60 sub-windows; `limit` at most 2**46 - 2). `max_keys`: how many keys are
/// remembered. Beyond it, keys whose window is empty are dropped, and where there is none a new key is refused and
/// counted in `refused_new`: no key that counts is forgotten, none is admitted without being counted.
/// A key is a text of at most 4,096 bytes. Raises InvalidError with the argument's name in `param`. Any number of
/// threads may call it.
///
/// >>> limiter = limen.KeyedLimiter(1, "1m")
/// >>> limiter.take("a", now_ms=0), limiter.take("a", now_ms=0), limiter.take_many(["b", "b", "c"], now_ms=0)
/// (True, False, b'\x01\x00\x01')
#[pyclass(frozen, module = "limen")]
#[derive(Debug)]
pub(crate) struct KeyedLimiter(Keys);

#[pymethods]
impl KeyedLimiter {
    #[new]
    #[pyo3(signature = (limit, per, *, window = Shape::Fixed, max_keys = 1_000_000),
           text_signature = "(limit, per, *, window='fixed', max_keys=1000000)")]
    fn new(
        #[pyo3(from_py_with = limit)] limit: i64,
        #[pyo3(from_py_with = per)] per: Per,
        #[pyo3(from_py_with = window)] window: Shape,
        #[pyo3(from_py_with = max_keys)] max_keys: usize,
    ) -> PyResult<KeyedLimiter> {
        Keys::new(limit, per.length_ms, window, max_keys).map(KeyedLimiter).map_err(convert::raise)
    }

    /// Count `cost` for `key` if it fits: True, or False and nothing is counted.
    ///
    /// A cost of 0 counts nothing, and is refused once the limit is reached. `now_ms` left out is the system's clock.
    #[pyo3(signature = (key, cost = 1, now_ms = None))]
    fn take(
        &self,
        key: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = cost)] cost: i64,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) -> PyResult<bool> {
        let py = key.py();
        let key = convert::borrowed(key, "key")?;
        let view = self.0.view();
        let known = |now| self.0.take_known(key, cost, now, &view);
        let at_once = match now_ms {
            Some(now) => known(now),
            None => match known(clock::coarse()) {
                Some(false) => known(clock::fine()),
                answer => answer,
            },
        };
        drop(view);
        // Who may have to wait lets the others run.
        Ok(at_once.unwrap_or_else(|| py.detach(|| self.admit(key, cost, now_ms, &self.0.view()))))
    }

    /// Many takes in one call, in order, without the GIL: a byte of 1 or 0 for each key.
    ///
    /// `keys`: a list of at most 1,000,000 texts. `costs`: as many integers, or None where each costs 1. `now_ms` is one
    /// instant for all of them. A fault in any (`keys[3]`, `costs[3]`) takes nothing.
    #[pyo3(signature = (keys, costs = None, now_ms = None))]
    fn take_many<'py>(
        &self,
        keys: &Bound<'py, PyAny>,
        costs: Option<&Bound<'py, PyAny>>,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = keys.py();
        let keys = convert::sequence(keys, MAX_ITEMS, "keys")?;
        // Borrowed from the tuple, which is ours: nobody can take a text out of it while the GIL is given away.
        let mut items = reserved(keys.len())?;
        items.extend(keys.iter_borrowed());
        let mut texts = reserved(items.len())?;
        for (index, item) in items.iter().enumerate() {
            texts.push(convert::borrowed(item, format_args!("keys[{index}]"))?);
        }
        let costs = costs.map(|costs| read_costs(costs, texts.len())).transpose()?;
        PyBytes::new_with(py, texts.len(), |taken| {
            py.detach(|| {
                let view = self.0.view();
                for (index, (key, taken)) in texts.iter().zip(taken).enumerate() {
                    let cost = costs.as_ref().and_then(|costs| costs.get(index)).map_or(1, |cost| *cost);
                    *taken = u8::from(self.admit(key, cost, now_ms, &view));
                }
            });
            Ok(())
        })
    }

    /// Whether a take of `cost` for `key` would be admitted now, or at `now_ms`. Changes nothing.
    #[pyo3(signature = (key, cost = 1, now_ms = None))]
    fn peek(
        &self,
        key: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = cost)] cost: i64,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) -> PyResult<bool> {
        let text = convert::borrowed(key, "key")?;
        let peek = || decided(now_ms, |now| self.0.peek(text, cost, now, &self.0.view()));
        Ok(key.py().detach(peek))
    }

    /// What the window of `key` shows now, or at `now_ms`; an empty window where the key is not known.
    #[pyo3(signature = (key, now_ms = None))]
    fn status(
        &self,
        key: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = now_ms)] now_ms: Option<Millis>,
    ) -> PyResult<WindowStatus> {
        let key = convert::borrowed(key, "key")?;
        Ok(self.0.status(key, now_ms.unwrap_or_else(clock::fine), &self.0.view()).into())
    }

    /// Drop `key` and what it counts: it starts empty. True where it was there.
    fn forget(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let text = convert::borrowed(key, "key")?;
        Ok(key.py().detach(|| self.0.forget(text, &self.0.view())))
    }

    /// How many keys are remembered.
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// How many takes were refused because their key was new and `max_keys` others counted something.
    #[getter]
    fn refused_new(&self) -> u64 {
        self.0.refused_new()
    }
}

impl KeyedLimiter {
    fn admit(&self, key: &str, cost: i64, now: Option<Millis>, view: &View<'_>) -> bool {
        let mut no_room = false;
        let taken = decided(now, |now| {
            let known = self.0.take_known(key, cost, now, view);
            known.unwrap_or_else(|| {
                let answer = self.0.take_new(key, cost, now, view);
                no_room = answer == Answer::NoRoom;
                answer == Answer::Taken
            })
        });
        if no_room {
            self.0.count_refused_new();
        }
        taken
    }
}

fn read_costs(costs: &Bound<'_, PyAny>, length: usize) -> PyResult<Vec<i64>> {
    let costs = convert::sequence(costs, MAX_ITEMS, "costs")?;
    if costs.len() != length {
        return Err(fault("costs", "must be as many as the keys"));
    }
    let mut read = reserved(length)?;
    for (index, cost) in costs.iter_borrowed().enumerate() {
        read.push(convert::count(&cost, format_args!("costs[{index}]"))?);
    }
    Ok(read)
}

fn reserved<T>(length: usize) -> PyResult<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(length).map_err(|_| PyMemoryError::new_err("no memory for the batch"))?;
    Ok(vec)
}

fn window(value: &Bound<'_, PyAny>) -> PyResult<Shape> {
    match convert::borrowed(value, "window")? {
        "fixed" => Ok(Shape::Fixed),
        "sliding" => Ok(Shape::Sliding { buckets: BUCKETS }),
        _ => Err(fault("window", "must be \"fixed\" or \"sliding\"")),
    }
}

fn max_keys(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(convert::count_within(value, 1..=MOST_KEYS, "max_keys")?.unsigned_abs() as usize)
}
