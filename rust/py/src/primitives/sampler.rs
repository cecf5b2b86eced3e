//! Weighted draws. The core maps a draw to an item; chance is here.

use std::sync::atomic::{AtomicU64, Ordering};

use limen_core::routing::sampler::{MAX_ITEMS, Sampler, SamplerError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyType};
use rapidhash::v3::rapidhash_v3;

use crate::convert::{self, fault};
use crate::core::{STEP, mix};

/// The most draws of one batch: 40 megabytes.
const MAX_DRAWS: i64 = 10_000_000;

/// A sequence of 64-bit draws that threads share. Its state moves by one addition, so that nobody waits and no draw is
/// given twice.
#[derive(Debug)]
struct Draws(AtomicU64);

impl Draws {
    fn new(seed: u64) -> Draws {
        Draws(AtomicU64::new(mix(seed)))
    }

    #[inline]
    fn next(&self) -> u64 {
        mix(self.skip(1).wrapping_add(STEP))
    }

    /// The next `n` draws, this caller's alone.
    fn many(&self, n: u64) -> impl Iterator<Item = u64> {
        let start = self.skip(n);
        (1..=n).map(move |place| mix(start.wrapping_add(STEP.wrapping_mul(place))))
    }

    /// Relaxed: a draw orders nothing.
    #[inline]
    fn skip(&self, n: u64) -> u64 {
        self.0.fetch_add(STEP.wrapping_mul(n), Ordering::Relaxed)
    }
}

/// Draws an index with the probability of its weight.
///
/// `weights`: 1 to 1,000,000 finite numbers, none negative, at least one above zero, on any scale; a weight of zero
/// is never drawn. `seed`: an integer from 0 to 2**64 - 1 that makes the draws repeatable; left out, they are not.
/// Raises InvalidError, with `weights[3]` in `param` where one of them is at fault. Any number of threads may draw.
///
/// >>> sampler = limen.WeightedSampler([3, 0, 1], seed=7)
/// >>> sorted(set(sampler.pick_many(1_000))), sampler.without([0]).pick()
/// ([0, 2], 2)
/// >>> sampler.pick_sticky("a user") == sampler.pick_sticky("a user")
/// True
#[pyclass(frozen, module = "limen")]
#[derive(Debug)]
pub(crate) struct WeightedSampler {
    sampler: Sampler,
    draws: Draws,
}

#[pymethods]
impl WeightedSampler {
    #[new]
    #[pyo3(signature = (weights, *, seed = None))]
    fn new(
        weights: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = seed)] seed: Option<u64>,
    ) -> PyResult<WeightedSampler> {
        let weights = convert::sequence(weights, MAX_ITEMS, "weights")?
            .iter()
            .enumerate()
            .map(|(index, item)| weight(&item, index))
            .collect::<PyResult<Vec<f64>>>()?;
        let sampler = Sampler::new(&weights).map_err(|error| match error.index() {
            Some(index) => fault(format_args!("weights[{index}]"), error.message()),
            None => fault("weights", error.message()),
        })?;
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        Ok(WeightedSampler { sampler, draws: Draws::new(seed) })
    }

    /// One index.
    fn pick(&self) -> usize {
        self.sampler.pick(self.draws.next())
    }

    /// `n` indices (at most 10,000,000), the same as `n` calls of `pick`, as an `array.array` of unsigned integers.
    fn pick_many<'py>(&self, n: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        const SIZE: usize = size_of::<core::ffi::c_uint>();
        let py = n.py();
        let n = convert::count_within(n, 0..=MAX_DRAWS, "n")?.unsigned_abs();
        let bytes = PyBytes::new_with(py, n as usize * SIZE, |bytes| {
            py.detach(|| {
                for (place, draw) in bytes.chunks_exact_mut(SIZE).zip(self.draws.many(n)) {
                    place.copy_from_slice(&(self.sampler.pick(draw) as core::ffi::c_uint).to_ne_bytes());
                }
            });
            Ok(())
        })?;
        static ARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        ARRAY.import(py, "array", "array")?.call1(("I", bytes))
    }

    /// The index that `key` (a text) stays with, on any machine: the draws and the seed have no part in it. Where one
    /// weight changes, keys move to that index or from it, and no other key moves.
    fn pick_sticky(&self, key: &Bound<'_, PyAny>) -> PyResult<usize> {
        let key = convert::borrowed(key, "key")?;
        Ok(self.sampler.pick_sticky(rapidhash_v3(key.as_bytes()), |index| index as u64))
    }

    /// A sampler without some indices. What is left keeps the indices of the first list, and its keys where they are.
    /// Its draws are a sequence of their own, begun by one draw of this one.
    ///
    /// Raises InvalidError for an index that is not in the list, and where nothing is left to be drawn.
    fn without(&self, indices: &Bound<'_, PyAny>) -> PyResult<WeightedSampler> {
        let last = self.sampler.len() as i64 - 1;
        let indices = convert::sequence(indices, MAX_ITEMS, "indices")?
            .iter()
            .enumerate()
            .map(|(place, item)| {
                let param = format_args!("indices[{place}]");
                Ok(convert::count_within(&item, 0..=last, param)?.unsigned_abs() as usize)
            })
            .collect::<PyResult<Vec<usize>>>()?;
        let sampler = self
            .sampler
            .without(&indices)
            .map_err(|error: SamplerError| fault("indices", error.message()))?;
        Ok(WeightedSampler { sampler, draws: Draws::new(self.draws.next()) })
    }

    /// How many weights the first list had.
    fn __len__(&self) -> usize {
        self.sampler.len()
    }

    fn __repr__(&self) -> String {
        format!("WeightedSampler(<{} weights>)", self.sampler.len())
    }
}

fn weight(value: &Bound<'_, PyAny>, index: usize) -> PyResult<f64> {
    let param = || format!("weights[{index}]");
    if let Ok(float) = value.cast::<PyFloat>() {
        Ok(float.value())
    } else if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
        value.extract().map_err(|_| fault(param(), SamplerError::NotFinite(index).message()))
    } else {
        Err(fault(param(), "must be a number"))
    }
}

fn seed(value: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    if value.is_none() { Ok(None) } else { convert::seed(value, "seed").map(Some) }
}
