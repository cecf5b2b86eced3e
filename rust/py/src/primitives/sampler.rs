//! Weighted and sticky draws.

use std::sync::atomic::{AtomicU64, Ordering};

use limen_core::routing::sampler::Sampler;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt};

use crate::convert;
use crate::core::{STEP, mix};

/// Draws an index in proportion to its weight. A weight of 0 is never drawn; all zero is a fault. With a seed, the same
/// picks come in the same order.
#[pyclass(frozen, module = "limen")]
pub(crate) struct WeightedSampler {
    sampler: Sampler,
    /// Shared by all threads: each draw is one step of a counter, mixed.
    state: AtomicU64,
}

/// The most draws of one call.
const MAX_PICKS: i64 = 10_000_000;

impl WeightedSampler {
    fn of(sampler: Sampler, state: u64) -> WeightedSampler {
        WeightedSampler { sampler, state: AtomicU64::new(state) }
    }

    #[inline(always)]
    fn draw(&self) -> u64 {
        mix(self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }
}

fn weight(value: &Bound<'_, PyAny>, place: usize) -> PyResult<f64> {
    let fault = |message| convert::fault(format_args!("weights[{place}]"), message);
    if value.is_instance_of::<PyBool>() {
        return Err(fault("must be a number"));
    }
    if let Ok(float) = value.cast::<PyFloat>() {
        return Ok(float.value());
    }
    if value.is_instance_of::<PyInt>() {
        return value.extract().map_err(|_| fault("is too large"));
    }
    Err(fault("must be a number"))
}

#[pymethods]
impl WeightedSampler {
    #[new]
    #[pyo3(signature = (weights, *, seed=None))]
    fn new(weights: &Bound<'_, PyAny>, seed: Option<&Bound<'_, PyAny>>) -> PyResult<WeightedSampler> {
        let items = convert::items(weights, "weights")?;
        let weights: Vec<f64> =
            items.iter().enumerate().map(|(place, item)| weight(item, place)).collect::<PyResult<_>>()?;
        let sampler = Sampler::new(&weights).map_err(|error| match error.index() {
            Some(index) => convert::fault(format_args!("weights[{index}]"), error.message()),
            None => convert::fault("weights", error.message()),
        })?;
        let seed = match seed.filter(|seed| !seed.is_none()) {
            Some(seed) => mix(convert::count(seed, "seed")? as u64),
            None => fastrand::u64(..),
        };
        Ok(WeightedSampler::of(sampler, seed))
    }

    /// One index.
    fn pick(&self) -> usize {
        self.sampler.pick(self.draw())
    }

    /// `n` indices (at most 10,000,000) as an array of 32-bit integers.
    fn pick_many<'py>(&self, py: Python<'py>, n: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let n = convert::count_within(n, 0..=MAX_PICKS, "n")? as usize;
        let mut bytes: Vec<u8> = Vec::new();
        bytes
            .try_reserve_exact(4 * n)
            .map_err(|_| convert::fault("n", "there is not enough memory for so many"))?;
        py.detach(|| {
            for _ in 0..n {
                bytes.extend_from_slice(&(self.sampler.pick(self.draw()) as u32).to_ne_bytes());
            }
        });
        py.import("array")?.getattr("array")?.call1(("I", PyBytes::new(py, &bytes)))
    }

    /// The index that a key stays with: a change of weights moves only the share of keys that must move.
    fn pick_sticky(&self, key: &Bound<'_, PyAny>) -> PyResult<usize> {
        let key = rapidhash::v3::rapidhash_v3(convert::borrowed(key, "key")?.as_bytes());
        Ok(self.sampler.pick_sticky(key, |index| index as u64))
    }

    /// The same sampler without some indices; the others stay those of the first list.
    fn without(&self, indices: &Bound<'_, PyAny>) -> PyResult<WeightedSampler> {
        let items = convert::items(indices, "indices")?;
        let read = |(place, item): (usize, &Bound<'_, PyAny>)| {
            convert::count(item, format_args!("indices[{place}]")).map(|index| index as usize)
        };
        let indices: Vec<usize> = items.iter().enumerate().map(read).collect::<PyResult<_>>()?;
        let sampler =
            self.sampler.without(&indices).map_err(|error| convert::fault("indices", error.message()))?;
        Ok(WeightedSampler::of(sampler, mix(self.state.load(Ordering::Relaxed))))
    }

    fn __len__(&self) -> usize {
        self.sampler.len()
    }
}
