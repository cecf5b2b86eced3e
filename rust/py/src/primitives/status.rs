//! What a counter shows.

use limen_core::window::single::Status;
use pyo3::prelude::*;

/// What one counter shows: units of the counter (things taken, or nano-dollars), instants and lengths in
/// milliseconds.
#[pyclass(frozen, eq, module = "limen")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WindowStatus(Status);

impl From<Status> for WindowStatus {
    fn from(status: Status) -> WindowStatus {
        WindowStatus(status)
    }
}

#[pymethods]
impl WindowStatus {
    /// The most that a window may count.
    #[getter]
    fn limit(&self) -> i64 {
        self.0.limit
    }

    /// Taken, settled or charged in the current window.
    #[getter]
    fn used(&self) -> i64 {
        self.0.used
    }

    /// Reserved in the current window and not settled yet.
    #[getter]
    fn held(&self) -> i64 {
        self.0.held
    }

    /// What may still be taken.
    #[getter]
    fn remaining(&self) -> i64 {
        self.0.remaining
    }

    /// When all that counts now will have left, in milliseconds since the Unix epoch.
    #[getter]
    fn reset_at_ms(&self) -> i64 {
        self.0.reset_at.get()
    }

    /// How long until one unit fits if nothing else comes; 0 where it fits now.
    #[getter]
    fn retry_after_ms(&self) -> i64 {
        self.0.retry_after_ms
    }

    fn __repr__(&self) -> String {
        let Status { limit, used, held, remaining, reset_at, retry_after_ms } = self.0;
        format!(
            "WindowStatus(limit={limit}, used={used}, held={held}, remaining={remaining}, reset_at_ms={}, \
             retry_after_ms={retry_after_ms})",
            reset_at.get()
        )
    }
}
