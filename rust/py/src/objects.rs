//! What an answer's object need not cost: a visit by every collection of cycles, and an allocation where none is kept.

#![allow(unsafe_code, reason = "pyo3 offers neither call")]

use pyo3::prelude::*;
use pyo3::{PyClass, PyClassInitializer, ffi};

/// A new object that refers to nothing which could refer back to it: the collector of cycles need not look at it.
/// Permits may be open by the thousand, and every collection would visit each.
pub(crate) fn leaf<T: PyClass>(
    py: Python<'_>,
    value: impl Into<PyClassInitializer<T>>,
) -> PyResult<Bound<'_, T>> {
    let object = Bound::new(py, value)?;
    // SAFETY: it is an object of a class of pyo3's, all of which the collector tracks; to stop that is allowed at any
    // time, and their deallocation expects it.
    unsafe { ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) };
    Ok(object)
}

/// Whether this is the one reference to its object, so that nobody else sees what becomes of it. Nobody can get
/// another meanwhile: the interpreter is ours.
#[inline]
pub(crate) fn is_sole<T>(object: &Bound<'_, T>) -> bool {
    // SAFETY: the object is alive.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}
