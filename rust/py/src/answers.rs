//! Answers as objects. What nobody reads is not built.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_core::answer::{self, Grant, ModelText};
use limen_core::permit::Handle as PermitHandle;
use limen_core::request::KeyHandle;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::engine::Engine;
use crate::fields;
use crate::granted::{self, Granted, Said};
use crate::json::Json;
use crate::limits::{Exclusion, Limit, limits, seconds};
use crate::objects::{is_sole, leaf};

/// A virtual key resolved once: it follows later edits of the key, and ends with it.
#[pyclass(frozen, module = "limen")]
pub(crate) struct Handle {
    pub(crate) handle: KeyHandle,
    pub(crate) engine: u64,
    pub(crate) id: Arc<str>,
}

#[pymethods]
impl Handle {
    /// The virtual key's id.
    #[getter]
    fn id(&self) -> &str {
        &self.id
    }

    fn __repr__(&self) -> String {
        format!("Handle(id={:?})", self.id)
    }
}

/// What a permit holds: the largest that any level holds, and why. (HTTP names the numbers alone: there settle says which
/// price it was, and an explanation beforehand.)
#[pyclass(frozen, module = "limen", get_all)]
pub(crate) struct Held {
    /// Requests counted.
    requests: i64,
    /// Tokens held.
    tokens: i64,
    /// Nano-dollars held.
    cost_nano_usd: i64,
    /// How the held tokens came about: stated, capped or guessed.
    reason: &'static str,
    /// Where the held money comes from: known, stated, default or zero; None where no budget applies.
    price: Option<&'static str>,
}

#[pymethods]
impl Held {
    fn __repr__(&self) -> String {
        let price = self.price.map_or("None".into(), |price| format!("{price:?}"));
        format!(
            "Held(requests={}, tokens={}, cost_nano_usd={}, reason={:?}, price={price})",
            self.requests, self.tokens, self.cost_nano_usd, self.reason
        )
    }
}

/// A permission to call: true, and to be settled or released once.
#[pyclass(frozen, module = "limen")]
pub(crate) struct Permit {
    engine: Py<Engine>,
    grant: Grant,
    /// The model as the request names it.
    model: Option<Py<PyString>>,
    said: Option<Box<Said>>,
}

impl Permit {
    pub(crate) fn new(
        engine: Py<Engine>,
        grant: Grant,
        model: Option<Py<PyString>>,
        said: Option<Box<Said>>,
    ) -> Permit {
        Permit { engine, grant, model, said }
    }

    /// What it says in texts.
    fn granted<'a>(&'a self, py: Python<'a>) -> PyResult<Granted<'a>> {
        let model = self.model.as_ref().map_or(Ok(""), |model| model.bind(py).to_str())?;
        let core = &self.engine.get().core;
        Ok(Granted { core, grant: &self.grant, model, said: self.said.as_deref() })
    }

    /// The fields of its JSON, the brace at their end left open.
    pub(crate) fn write(&self, py: Python<'_>, json: &mut Json) -> PyResult<()> {
        self.engine.get().ready()?;
        self.granted(py)?.write(json);
        Ok(())
    }

    /// The engine that gave it, and its number there.
    pub(crate) fn own(&self) -> (&Engine, PermitHandle) {
        (self.engine.get(), self.grant.handle)
    }

    pub(crate) fn handle(&self, engine: u64) -> Option<PermitHandle> {
        (self.engine.get().core.number == engine).then_some(self.grant.handle)
    }
}

#[pymethods]
impl Permit {
    fn __bool__(&self) -> bool {
        true
    }

    /// The provider to call; empty where none takes part.
    #[getter]
    fn provider<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(self.granted(py)?.with_provider(|provider| PyString::new(py, provider)))
    }

    /// The model to call, without a provider's prefix; empty for a tool alone.
    #[getter]
    fn model<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        match (self.grant.model, &self.model) {
            (ModelText::Requested(0), Some(model)) => Ok(model.bind(py).clone()),
            _ => Ok(PyString::new(py, self.granted(py)?.model())),
        }
    }

    /// The provider key to call with; None where the gateway uses its own.
    #[getter]
    fn key_id(&self) -> Option<&str> {
        self.grant.key_id.as_deref()
    }

    /// Where to go if the target fails, in order, as `provider/model`.
    #[getter]
    fn fallbacks(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(self.granted(py)?.fallbacks())
    }

    /// The rule that chose the target, or None.
    #[getter]
    fn rule_id(&self) -> Option<&str> {
        self.grant.ruling().map(|ruling| &*ruling.rule_id)
    }

    /// The most output tokens that may be produced, where the stated maximum was cut to fit; else None.
    #[getter]
    fn max_output_tokens(&self) -> Option<i64> {
        self.grant.max_output_tokens
    }

    /// What is held.
    #[getter]
    fn held(&self) -> Held {
        Held {
            requests: self.grant.held_requests,
            tokens: self.grant.held_tokens,
            cost_nano_usd: self.grant.held_nano_usd,
            reason: self.grant.held_reason.as_str(),
            price: self.grant.held_price.map(answer::PriceSource::as_str),
        }
    }

    /// When it expires, in ms since the Unix epoch.
    #[getter]
    fn expires_at_ms(&self) -> i64 {
        self.grant.expires_at.get()
    }

    /// The permit as text, for another thread or across HTTP. Whoever has it can settle.
    #[getter]
    fn token<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(PyString::new(py, self.engine.get().ready()?.text_of(self.grant.handle).as_str()))
    }

    /// The body of the HTTP face as JSON.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut json = Json::default();
        self.write(py, &mut json)?;
        Ok(json.whole(py))
    }

    /// Give back what is held; with `request`, the request as well. `reason` is a text for whoever reads the call.
    ///
    /// Twice alike is once. Raises ConflictError (permit_closed) after a settle, or where `request` was another,
    /// NotFoundError (permit_not_found).
    #[pyo3(signature = (reason=None, request=None), text_signature = "($self, reason=None, request=False)")]
    fn release(&self, reason: Option<&Bound<'_, PyAny>>, request: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.engine.get().release_handle(self.grant.handle, reason, request)
    }

    /// The RateLimit and RateLimit-Policy fields: for each kind the limit with the least left after this request.
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let headers = PyDict::new(py);
        let core = &self.engine.get().core;
        let now = core.clock.now();
        let readings = core.engine.limits_of(&self.grant, now);
        fields::set(&headers, &fields::of_readings(&readings, now))?;
        Ok(headers)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "Permit(provider={:?}, model={:?}, expires_at_ms={})",
            self.provider(py)?.to_str()?,
            self.model(py)?.to_str()?,
            self.grant.expires_at.get()
        ))
    }
}

/// A refusal: false, with its status, code, and every limit that is violated.
#[pyclass(frozen, module = "limen")]
pub(crate) struct Denial {
    inner: Box<answer::Denial>,
}

impl Denial {
    pub(crate) fn new(inner: Box<answer::Denial>) -> Denial {
        Denial { inner }
    }

    fn status_of(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        crate::fault::status(py, self.inner.code.as_str())
    }
}

#[pymethods]
impl Denial {
    fn __bool__(&self) -> bool {
        false
    }

    /// The HTTP status.
    #[getter]
    fn status(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.status_of(py)
    }

    /// The stable code.
    #[getter]
    fn code(&self) -> &'static str {
        self.inner.code.as_str()
    }

    /// What a person reads.
    #[getter]
    fn message(&self) -> String {
        fields::message(&self.inner)
    }

    /// Every limit that is violated, in rank order.
    #[getter]
    fn limits(&self) -> Vec<Limit> {
        limits(&self.inner.limits)
    }

    /// Output tokens that would fit, where a maximum was refused; else None.
    #[getter]
    fn fits(&self) -> Option<i64> {
        self.inner.fits
    }

    /// Targets that were left out, in the order in which they were tried.
    #[getter]
    fn excluded(&self) -> Vec<Exclusion> {
        self.inner.excluded.iter().map(Exclusion::from).collect()
    }

    /// Seconds to the millisecond until the same request passes; None where waiting does not help.
    #[getter]
    fn retry_after(&self) -> Option<f64> {
        seconds(self.inner.wait_ms)
    }

    /// Retry-After, retry-after-ms, x-should-retry, RateLimit and RateLimit-Policy as far as they apply.
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let headers = PyDict::new(py);
        match self.inner.wait_ms {
            Some(ms) => {
                headers.set_item("Retry-After", (ms / 1_000 + i64::from(ms % 1_000 > 0)).to_string())?;
                headers.set_item("retry-after-ms", ms.to_string())?;
            }
            None => headers.set_item("x-should-retry", "false")?,
        }
        fields::set(&headers, &fields::of_violations(&self.inner.limits))?;
        Ok(headers)
    }

    /// The error body of the HTTP face, as a dict: money in dollars as Decimal, instants as RFC 3339 text.
    fn body(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        crate::fault::denial_body(slf.as_any())
    }

    fn __repr__(&self) -> String {
        format!("Denial(code={:?}, message={:?})", self.code(), self.message())
    }
}

/// What was charged in the end.
#[pyclass(frozen, module = "limen")]
pub(crate) struct Settlement(Mutex<answer::Settlement>);

thread_local! {
    /// The last object that this thread was told a settlement by.
    static LAST: Cell<Option<Py<Settlement>>> = const { Cell::new(None) };
}

impl Settlement {
    /// A settlement as an object. Most are dropped unread: the last one, where nobody else has it, is filled anew.
    #[inline(always)]
    pub(crate) fn told(py: Python<'_>, settled: answer::Settlement) -> PyResult<Bound<'_, Settlement>> {
        let last = LAST.take().map(|last| last.into_bound(py)).filter(is_sole);
        let object = match last {
            Some(last) => {
                *last.get().lock() = settled;
                last
            }
            None => Settlement::new(py, settled)?,
        };
        LAST.set(Some(object.clone().unbind()));
        Ok(object)
    }

    pub(crate) fn new(py: Python<'_>, settled: answer::Settlement) -> PyResult<Bound<'_, Settlement>> {
        leaf(py, Settlement(Mutex::new(settled)))
    }

    /// The fields of its JSON, the brace at their end left open.
    pub(crate) fn write(&self, json: &mut Json) {
        granted::write_settlement(&self.lock(), json);
    }

    fn lock(&self) -> MutexGuard<'_, answer::Settlement> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Settlement {
    /// What was charged, in nano-dollars.
    #[getter]
    fn cost_nano_usd(&self) -> i64 {
        self.lock().cost_nano_usd
    }

    /// Tokens that were counted.
    #[getter]
    fn tokens(&self) -> i64 {
        self.lock().tokens
    }

    /// More was used than was held.
    #[getter]
    fn overrun(&self) -> bool {
        self.lock().overrun
    }

    /// The same usage had been settled before: nothing was charged again.
    #[getter]
    fn repeated(&self) -> bool {
        self.lock().repeated
    }

    /// The permit had expired.
    #[getter]
    fn expired(&self) -> bool {
        self.lock().expired
    }

    /// The body of the HTTP face as JSON.
    fn json<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut json = Json::default();
        self.write(&mut json);
        json.whole(py)
    }

    /// Where the cost comes from.
    #[getter]
    fn price(&self) -> &'static str {
        self.lock().price.as_str()
    }

    fn __repr__(&self) -> String {
        let told = *self.lock();
        let truth = |flag: bool| if flag { "True" } else { "False" };
        format!(
            "Settlement(cost_nano_usd={}, tokens={}, overrun={}, repeated={}, expired={}, price={:?})",
            told.cost_nano_usd,
            told.tokens,
            truth(told.overrun),
            truth(told.repeated),
            truth(told.expired),
            told.price.as_str()
        )
    }
}
