//! Limits that a request met, and targets that were left out for them, as objects.

use std::sync::Arc;

use limen_core::answer;
use limen_core::policy::LimitName;
use pyo3::prelude::*;

/// One limit that a request met, with its numbers: tokens, requests, or nano-dollars where `kind` is budget.
#[pyclass(frozen, module = "limen")]
pub(crate) struct Limit {
    name: Arc<LimitName>,
    limit: i64,
    used: i64,
    held: i64,
    asked: i64,
    reset_at_ms: i64,
    wait_ms: Option<i64>,
}

impl From<&answer::Violation> for Limit {
    fn from(violation: &answer::Violation) -> Limit {
        Limit {
            name: violation.name.clone(),
            limit: violation.limit,
            used: violation.used,
            held: violation.held,
            asked: violation.asked,
            reset_at_ms: violation.reset_at.get(),
            wait_ms: violation.wait_ms,
        }
    }
}

pub(crate) fn limits(violations: &[answer::Violation]) -> Vec<Limit> {
    violations.iter().map(Limit::from).collect()
}

/// Milliseconds of waiting as seconds.
pub(crate) fn seconds(wait_ms: Option<i64>) -> Option<f64> {
    wait_ms.map(|ms| ms as f64 / 1_000.0)
}

#[pymethods]
impl Limit {
    /// tokens, requests or budget.
    #[getter]
    fn kind(&self) -> &'static str {
        self.name.kind.as_str()
    }

    /// Whose limit it is.
    #[getter]
    fn level(&self) -> &'static str {
        self.name.level.as_str()
    }

    /// The owner's id; at the level provider its name.
    #[getter]
    fn owner_id(&self) -> &str {
        &self.name.owner_id
    }

    /// The budget's or the rate limit's id.
    #[getter]
    fn limit_id(&self) -> &str {
        &self.name.limit_id
    }

    /// The most that a window may count.
    #[getter]
    fn limit(&self) -> i64 {
        self.limit
    }

    /// Used in the current window.
    #[getter]
    fn used(&self) -> i64 {
        self.used
    }

    /// Held in the current window by open permits.
    #[getter]
    fn held(&self) -> i64 {
        self.held
    }

    /// The least that must fit.
    #[getter]
    fn asked(&self) -> i64 {
        self.asked
    }

    /// When what counts now will all be gone.
    #[getter]
    fn reset_at_ms(&self) -> i64 {
        self.reset_at_ms
    }

    /// Seconds until the same request passes if nothing else comes; None where it never does.
    #[getter]
    fn retry_after(&self) -> Option<f64> {
        seconds(self.wait_ms)
    }

    /// Whether waiting does not help: asked alone is more than the limit, or the limit is 0.
    #[getter]
    fn never(&self) -> bool {
        self.wait_ms.is_none()
    }

    /// The length of its window, as a duration.
    #[getter]
    fn per(&self) -> String {
        self.name.per.to_string()
    }

    fn __repr__(&self) -> String {
        format!(
            "Limit(kind={:?}, level={:?}, owner_id={:?}, limit={}, used={}, held={}, asked={}, per={:?}, retry_after={})",
            self.kind(),
            self.level(),
            self.owner_id(),
            self.limit,
            self.used,
            self.held,
            self.asked,
            self.per(),
            self.retry_after().map_or_else(|| "None".to_owned(), |wait| format!("{wait:?}")),
        )
    }
}

/// A target that could not serve, and why.
#[pyclass(frozen, module = "limen")]
pub(crate) struct Exclusion {
    inner: answer::Exclusion,
}

impl From<&answer::Exclusion> for Exclusion {
    fn from(exclusion: &answer::Exclusion) -> Exclusion {
        Exclusion { inner: exclusion.clone() }
    }
}

#[pymethods]
impl Exclusion {
    /// The provider.
    #[getter]
    fn provider(&self) -> &str {
        &self.inner.provider
    }

    /// The model.
    #[getter]
    fn model(&self) -> &str {
        &self.inner.model
    }

    /// The provider key that had been drawn, or None.
    #[getter]
    fn key_id(&self) -> Option<&str> {
        self.inner.key_id.as_deref()
    }

    /// Why it was left out.
    #[getter]
    fn reason(&self) -> &'static str {
        self.inner.reason.as_str()
    }

    /// The limits that refuse, where they are the reason.
    #[getter]
    fn limits(&self) -> Vec<Limit> {
        limits(&self.inner.limits)
    }

    fn __repr__(&self) -> String {
        format!(
            "Exclusion(provider={:?}, model={:?}, reason={:?})",
            self.inner.provider,
            self.inner.model,
            self.reason()
        )
    }
}
