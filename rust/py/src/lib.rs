//! The extension module `limen._core`: convert in, call, convert out. Nothing here decides anything.

#![deny(unsafe_code)]

mod primitives;

#[pyo3::pymodule]
mod _core {
    #[pymodule_export]
    use super::primitives::{
        BudgetCounter, FixedWindow, KeyedLimiter, SlidingWindow, WeightedSampler, WindowStatus,
    };
}
