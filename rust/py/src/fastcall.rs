//! Methods that read their arguments where the interpreter has put them.
//!
//! For a method with `**usage` pyo3 takes the convention by tuple and dict: both are made for every call, and thrown
//! away. Here the interpreter hands over its own array (`METH_FASTCALL | METH_KEYWORDS`), and nothing is made.

#![allow(unsafe_code, reason = "the interpreter's calling convention is a C interface")]

use std::ffi::CStr;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyTypeError;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use pyo3::{Borrowed, PyClass, ffi};

/// One method of a class.
pub(crate) trait Method {
    /// Whose method it is.
    type Class: PyClass;
    /// Its name.
    const NAME: &'static CStr;
    /// Its signature as the interpreter wants it, and its docstring.
    const DOC: &'static CStr;

    /// The call.
    fn call<'py>(own: &Bound<'py, Self::Class>, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>>;
}

/// The arguments of a call as they come: those given by place, then those given by name.
pub(crate) struct Call<'a, 'py> {
    values: &'a [Borrowed<'a, 'py, PyAny>],
    names: Option<&'a Bound<'py, PyTuple>>,
    by_place: usize,
}

/// What a method takes.
pub(crate) struct Shape {
    /// Its name in a fault.
    pub(crate) method: &'static str,
    /// The first arguments, which must be given.
    pub(crate) required: &'static [&'static str],
    /// How many may be given by place.
    pub(crate) by_place: usize,
    /// The place of a name.
    pub(crate) place_of: fn(&str) -> Option<usize>,
    /// Whether other names are taken as well: see [`Call::others`].
    pub(crate) others: bool,
}

/// An argument given by name.
pub(crate) type Named<'a, 'py> = (Borrowed<'a, 'py, PyAny>, &'a Bound<'py, PyAny>);

impl<'a, 'py> Call<'a, 'py> {
    #[inline]
    fn named(&self) -> impl Iterator<Item = Named<'a, 'py>> {
        let names = self.names;
        self.values[self.by_place..]
            .iter()
            .enumerate()
            .filter_map(move |(index, value)| Some((names?.get_borrowed_item(index).ok()?, &**value)))
    }

    /// Put every argument in its place: whether there are others.
    #[inline(always)]
    pub(crate) fn place(
        &self,
        shape: &Shape,
        places: &mut [Option<&'a Bound<'py, PyAny>>],
    ) -> PyResult<bool> {
        if self.by_place > shape.by_place {
            let (most, count) = (shape.by_place, self.by_place);
            return Err(misuse(shape, format_args!("takes at most {most} by place, {count} were given")));
        }
        for (place, value) in places.iter_mut().zip(&self.values[..self.by_place]) {
            *place = Some(&**value);
        }
        let others = self.names.is_some() && self.place_named(shape, places)?;
        match shape.required.iter().zip(&*places).find(|(_, value)| value.is_none()) {
            Some((name, _)) => Err(misuse(shape, format_args!("missing required argument: '{name}'"))),
            None => Ok(others),
        }
    }

    fn place_named(&self, shape: &Shape, places: &mut [Option<&'a Bound<'py, PyAny>>]) -> PyResult<bool> {
        let mut others = false;
        for (name, value) in self.named() {
            match place_of(shape, &name) {
                Some(place) if places[place].is_some() => {
                    return Err(misuse(shape, format_args!("got multiple values for argument '{}'", *name)));
                }
                Some(place) => places[place] = Some(value),
                None if shape.others => others = true,
                None => return Err(misuse(shape, format_args!("got an unexpected argument '{}'", *name))),
            }
        }
        Ok(others)
    }

    /// The named arguments that have no place.
    pub(crate) fn others(&self, shape: &'static Shape) -> impl Iterator<Item = Named<'a, 'py>> {
        self.named().filter(|(name, _)| place_of(shape, name).is_none())
    }
}

fn place_of(shape: &Shape, name: &Bound<'_, PyAny>) -> Option<usize> {
    (shape.place_of)(name.cast::<PyString>().ok()?.to_str().ok()?)
}

#[cold]
fn misuse(shape: &Shape, what: impl Display) -> PyErr {
    PyTypeError::new_err(format!("{}() {what}", shape.method))
}

/// Give a class its method.
pub(crate) fn install<M: Method>(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<M::Class>();
    // The interpreter keeps the pointer as long as the class: for ever.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: M::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: enter::<M> },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: M::DOC.as_ptr(),
    }));
    // SAFETY: the class is alive, the definition lives for ever, and the function has the convention of its flags.
    let method =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_type_ptr(), definition))? };
    class.setattr(PyString::intern(py, &M::NAME.to_string_lossy()), method)
}

unsafe extern "C" fn enter<M: Method>(
    own: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    by_place: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls attached, with `own` of the class that the method was installed in (its descriptor
    // has checked that), with as many values as are given by place and by name, none of them null, alive for the call,
    // and names as a tuple or null. `Borrowed` is a transparent pointer to an object.
    let (py, own, values, names) = unsafe {
        let py = Python::assume_attached();
        let own = Borrowed::from_ptr(py, own).cast_unchecked::<M::Class>();
        let names = Borrowed::from_ptr_or_opt(py, names).map(|names| names.cast_unchecked::<PyTuple>());
        let values = match by_place.unsigned_abs() + names.map_or(0, |names| names.len()) {
            0 => &[],
            count => std::slice::from_raw_parts(values.cast::<Borrowed<'_, '_, PyAny>>(), count),
        };
        (py, own, values, names)
    };
    let call = Call { values, names: names.as_deref(), by_place: by_place.unsigned_abs() };
    // A panic must not unwind into the interpreter.
    match catch_unwind(AssertUnwindSafe(|| M::call(&own, &call))) {
        Ok(Ok(answer)) => answer.into_ptr(),
        Ok(Err(error)) => raised(py, error),
        Err(_) => {
            raised(py, PanicException::new_err("a panic in limen: its message is on the standard error"))
        }
    }
}

#[cold]
fn raised(py: Python<'_>, error: PyErr) -> *mut ffi::PyObject {
    error.restore(py);
    std::ptr::null_mut()
}
