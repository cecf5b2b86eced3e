//! The extension module `limen._core`: convert in, call, convert out. Nothing here decides anything.

#![deny(unsafe_code)]

mod answers;
mod ask;
mod batch;
mod calls;
mod clock;
mod convert;
mod core;
mod dry_run;
mod edits;
mod engine;
mod fastcall;
mod fault;
mod fields;
mod granted;
mod json;
mod limits;
mod memory;
mod objects;
mod pricing;
mod primitives;
mod served;
mod usage;
mod words;

/// The compiled core of limen.
#[pyo3::pymodule]
mod _core {
    use limen_core::error::Code;
    use limen_core::period::Duration;
    use limen_core::routing::cel::Expression;
    use limen_core::units::Rounding;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::answers::{Denial, Handle, Held, Permit, Settlement};
    #[pymodule_export]
    use super::clock::ManualClock;
    #[pymodule_export]
    use super::edits::Edits;
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::limits::{Exclusion, Limit};
    #[pymodule_export]
    use super::pricing::BasePrices;
    #[pymodule_export]
    use super::primitives::{
        BudgetCounter, Cost, CostLine, FixedWindow, KeyedLimiter, PricingPatch, RateCard, SlidingWindow,
        WeightedSampler, WindowStatus,
    };

    /// Called in the child after fork: every engine of the parent raises ForkedError from now on.
    #[pyfunction]
    fn forked() {
        super::core::forked();
    }

    /// Give memory that holds nothing any more back to the operating system, where its C library keeps it otherwise.
    #[pyfunction]
    fn trim(py: Python<'_>) {
        py.detach(super::memory::trim);
    }

    /// (count, unit) of a duration text. Raises InvalidError with the reason.
    #[pyfunction]
    fn parse_duration(text: &Bound<'_, PyAny>) -> PyResult<(u64, String)> {
        let text = super::convert::text(text, "duration")?;
        let duration =
            Duration::parse(&text).map_err(|error| super::convert::fault("duration", error.message()))?;
        Ok((duration.count(), duration.unit().letter().to_string()))
    }

    /// Dollars to nano-dollars; `rounding` is exact (within 1e-12 of a whole nano-dollar, else InvalidError) or up.
    #[pyfunction]
    #[pyo3(signature = (value, rounding="exact"))]
    fn parse_dollars(value: &Bound<'_, PyAny>, rounding: &str) -> PyResult<i64> {
        let rounding = match rounding {
            "exact" => Rounding::Exact,
            "up" => Rounding::Up,
            _ => return Err(super::convert::fault("rounding", "must be exact or up")),
        };
        Ok(super::convert::dollars(value, "value", rounding)?.get())
    }

    /// Nothing where the text is an expression of a routing rule. Raises InvalidError with the place and what is wrong.
    #[pyfunction]
    fn check_expression(text: &Bound<'_, PyAny>) -> PyResult<()> {
        let text = super::convert::text(text, "cel_expression")?;
        Expression::new(&text).map_err(|refused| super::convert::fault("cel_expression", refused))?;
        Ok(())
    }

    /// Every code that the extension raises or refuses with.
    #[pyfunction]
    fn error_codes() -> Vec<&'static str> {
        Code::ALL.iter().map(|code| code.as_str()).collect()
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::calls::install_all(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("debug_build", cfg!(debug_assertions))
    }
}
