//! Usage as a store keeps it: rows under integer keys, out and in.

use limen_core::error::Fault;
use limen_core::history::Told;
use limen_core::snapshot::{Collected, RestoredUsage};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::convert;
use crate::core::Core;

/// What changed, as `Engine.collect` answers it.
pub(crate) fn collect<'py>(py: Python<'py>, core: &Core) -> PyResult<Bound<'py, PyTuple>> {
    let Collected { permits, gone, counters, gone_counters, periods } =
        py.detach(|| core.engine.collect(core.clock.now()));
    let permits = permits.iter().map(|(index, row)| (*index, PyBytes::new(py, row)));
    let counters = counters
        .iter()
        .map(|row| (row.key, row.start.get(), row.end.get(), row.total, PyBytes::new(py, &row.row)));
    let periods = periods.iter().map(|period| {
        let (total, correction) = match period.told {
            Told::Total(total) => (Some(total), None),
            Told::Correction(correction) => (None, Some(correction)),
        };
        let key = period.number * 4 + period.kind as i64;
        (key, period.start.get(), period.end.get(), period.limit, total, correction)
    });
    (list(py, permits)?, list(py, gone)?, list(py, counters)?, list(py, gone_counters)?, list(py, periods)?)
        .into_pyobject(py)
}

/// Rows between which others may have the GIL: with 100,000 of them a decision would wait for all.
const ROWS: usize = 1_000;

fn list<'py>(
    py: Python<'py>,
    rows: impl IntoIterator<Item = impl IntoPyObject<'py>>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (at, row) in rows.into_iter().enumerate() {
        if at % ROWS == ROWS - 1 {
            py.detach(|| ());
        }
        list.append(row)?;
    }
    Ok(list)
}

/// Put the rows of a store back.
pub(crate) fn restore<'py>(
    py: Python<'py>,
    core: &Core,
    permits: &[(u32, PyBackedBytes)],
    counters: &[(i64, PyBackedBytes)],
) -> PyResult<Bound<'py, PyDict>> {
    let restored = py.detach(|| {
        let permits: Vec<(u32, &[u8])> = permits.iter().map(|(index, row)| (*index, &row[..])).collect();
        let counters: Vec<(i64, &[u8])> = counters.iter().map(|(key, row)| (*key, &row[..])).collect();
        core.engine.restore_usage(&counters, &permits, core.clock.now())
    });
    let RestoredUsage { counters, permits, unknown } = restored.map_err(convert::raise)?;
    let answer = PyDict::new(py);
    answer.set_item("counters", counters)?;
    answer.set_item("permits", permits)?;
    answer.set_item("unknown", unknown)?;
    Ok(answer)
}

/// The secret of a store, and which of its engines this one is: both or neither.
pub(crate) fn identity(
    secret: Option<&Bound<'_, PyBytes>>,
    boot: Option<u32>,
) -> PyResult<(Option<[u8; 32]>, u32)> {
    let secret = secret.map(|secret| secret.as_bytes().try_into()).transpose();
    let secret = secret.map_err(|_| convert::fault("secret", "must be 32 bytes"))?;
    let boot = boot.unwrap_or(0);
    if boot >> 24 != 0 {
        return Err(convert::raise(Fault::invalid("boot", "must be below 2**24")));
    }
    Ok((secret, boot))
}
