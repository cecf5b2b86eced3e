//! What a call costs, and its lines.

use limen_core::pricing::{self, Line};
use limen_core::units::FemtoUsd;
use pyo3::prelude::*;

/// What a call costs: `RateCard.cost` answers with it.
#[pyclass(frozen, eq, module = "limen")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cost(pub(super) pricing::Cost);

#[pymethods]
impl Cost {
    /// Nano-dollars: the exact sum, rounded up once. Beyond 2**63 - 1 it stays there.
    #[getter]
    fn nano_usd(&self) -> i64 {
        self.0.price.exact.round_up().get()
    }

    /// The exact sum in dollars, as decimal text.
    #[getter]
    fn exact_usd(&self) -> String {
        self.0.price.exact.to_string()
    }

    /// The tier that the call took, as price fields are named (`above_200k_tokens_priority`); None where all prices
    /// are plain.
    #[getter]
    fn tier(&self) -> Option<String> {
        Some(self.0.tier()).filter(|tier| !tier.is_empty())
    }

    /// What it is the sum of.
    #[getter]
    fn lines(&self) -> Vec<CostLine> {
        self.0.lines.iter().copied().map(CostLine).collect()
    }

    fn __repr__(&self) -> String {
        format!("Cost(nano_usd={}, exact_usd='{}')", self.nano_usd(), self.exact_usd())
    }
}

/// One product of a cost: quantity x rate = amount, each an exact decimal text.
#[pyclass(frozen, eq, module = "limen")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CostLine(Line);

#[pymethods]
impl CostLine {
    /// The field whose price it is, with its tier.
    #[getter]
    fn field(&self) -> String {
        self.0.cell.to_string()
    }

    /// How many tokens, characters, seconds, images, pixels, searches or sessions.
    #[getter]
    fn quantity(&self) -> String {
        self.0.quantity_text()
    }

    /// Dollars for one.
    #[getter]
    fn rate_usd(&self) -> String {
        self.0.rate.unwrap_or(FemtoUsd::new(0)).to_decimal()
    }

    /// Dollars for all.
    #[getter]
    fn amount_usd(&self) -> String {
        self.0.amount().to_string()
    }

    fn __repr__(&self) -> String {
        format!(
            "CostLine({} x {} {} = {})",
            self.quantity(),
            self.field(),
            self.rate_usd(),
            self.amount_usd()
        )
    }
}
