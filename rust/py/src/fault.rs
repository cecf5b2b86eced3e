//! A fault of the core as a Python exception. Classes and statuses are Python's table, `limen.errors`.
//!
//! Nothing here asks for the interpreter's token: a fault may arise where it was given away, and is rare.

use std::fmt::Display;

use limen_core::error::Fault;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The exception of a fault, ready to be raised.
#[cold]
pub(crate) fn raise(fault: Fault) -> PyErr {
    Python::attach(|py| to_err(py, fault))
}

/// `InvalidError`: the argument `param`, and what is wrong with it.
#[cold]
pub(crate) fn fault(param: impl Display, message: impl Display) -> PyErr {
    raise(Fault::invalid(param.to_string(), message.to_string()))
}

/// The exception of a fault.
#[cold]
pub(crate) fn to_err(py: Python<'_>, fault: Fault) -> PyErr {
    let Fault { code, message, param } = fault;
    match exception(py, code.as_str(), Some(&message), param.as_deref()) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The HTTP status of a code.
pub(crate) fn status(py: Python<'_>, code: &str) -> PyResult<Py<PyAny>> {
    Ok(exception(py, code, None, None)?.getattr("status")?.unbind())
}

/// `limen.errors` is imported when the first fault occurs: it stands above this module and imports nothing of it.
fn exception<'py>(
    py: Python<'py>,
    code: &str,
    message: Option<&str>,
    param: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    static TABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let table = TABLE
        .get_or_try_init(py, || Ok::<_, PyErr>(py.import("limen.errors")?.getattr("fault")?.unbind()))?;
    table.bind(py).call1((code, message.unwrap_or_default(), param))
}

/// The HTTP error body of a denial, as a dict.
pub(crate) fn denial_body(denial: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    Ok(denial.py().import("limen.wire")?.getattr("denial_body")?.call1((denial,))?.unbind())
}
