//! The engine's class: its methods convert, call the core once, and convert back.

use std::sync::Arc;

use limen_core::error::{Code, Fault};
use limen_core::permit::Handle as PermitHandle;
use limen_core::policy::Kind;
use limen_core::policy::edit::Edit;
use limen_core::pricing::Ids;
use limen_core::units::Millis;
use limen_core::usage::Usage;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyAny, PyBool, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::answers::{Handle, Permit, Settlement};
use crate::clock::{Clock, ManualClock};
use crate::convert;
use crate::core::{Core, Secrets, random};
use crate::edits::Edits;
use crate::limits::{Limit, limits};
use crate::{ask, batch, dry_run, edits, json, served, usage, words};

/// Decisions over one policy. `limen.Engine` adds the entities; this class knows resolved rows only.
#[pyclass(frozen, subclass, module = "limen._core")]
pub(crate) struct Engine {
    pub(crate) core: Arc<Core>,
}

/// Matches, errors, times over budget, the last error, the last match in ms.
type RuleHealth = (u64, u64, u64, Option<String>, Option<i64>);

pub(crate) fn flag(value: Option<&Bound<'_, PyAny>>, param: &str) -> PyResult<bool> {
    match value {
        None => Ok(false),
        Some(value) if value.is_none() => Ok(false),
        Some(value) => value
            .cast::<PyBool>()
            .map(PyBoolMethods::is_true)
            .map_err(|_| convert::fault(param, "must be true or false")),
    }
}

fn kind_of(text: &str) -> PyResult<Kind> {
    match text {
        "tokens" => Ok(Kind::Tokens),
        "requests" => Ok(Kind::Requests),
        "budget" => Ok(Kind::Budget),
        _ => Err(convert::fault("kind", "must be tokens, requests or budget")),
    }
}

impl Engine {
    #[inline(always)]
    pub(crate) fn ready(&self) -> PyResult<&Core> {
        self.core.check().map_err(convert::raise)?;
        Ok(&self.core)
    }

    /// A permit, or its text.
    pub(crate) fn permit(&self, permit: Option<&Bound<'_, PyAny>>) -> PyResult<PermitHandle> {
        let core = self.ready()?;
        let permit = permit.ok_or_else(|| convert::fault("permit", "is required"))?;
        if let Ok(permit) = permit.cast::<Permit>() {
            let own = permit.get().handle(core.number);
            return own.ok_or_else(|| convert::raise(Fault::new(Code::PermitNotFound)));
        }
        let text = permit
            .cast::<PyString>()
            .map_err(|_| convert::fault("permit", "must be a permit or its text"))?;
        core.permit_of(&convert::backed(text)?).map_err(convert::raise)
    }

    #[inline]
    pub(crate) fn settle_handle<'py>(
        &self,
        py: Python<'py>,
        handle: PermitHandle,
        usage: Usage,
        as_held: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, Settlement>> {
        let core = self.ready()?;
        let closing = words::closing(usage, flag(as_held, "as_held")?)?;
        let settled = core.engine.settle(handle, &closing, core.clock.now());
        Settlement::told(py, settled.map_err(convert::raise)?)
    }

    pub(crate) fn update_handle(&self, handle: PermitHandle, totals: &Usage) -> PyResult<Vec<Limit>> {
        let core = self.ready()?;
        let over = core.engine.update(handle, totals, core.clock.now()).map_err(convert::raise)?;
        Ok(limits(&over))
    }

    pub(crate) fn release_handle(
        &self,
        handle: PermitHandle,
        reason: Option<&Bound<'_, PyAny>>,
        request: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let core = self.ready()?;
        if let Some(reason) = reason.filter(|reason| !reason.is_none()) {
            convert::text(reason, "reason")?;
        }
        let request = flag(request, "request")?;
        core.engine.release(handle, request, core.clock.now()).map_err(convert::raise)
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (settings, clock=None, seed=None, *, secret=None, boot=None))]
    fn new(
        settings: &Bound<'_, PyDict>,
        clock: Option<&Bound<'_, PyAny>>,
        seed: Option<&Bound<'_, PyAny>>,
        secret: Option<&Bound<'_, PyBytes>>,
        boot: Option<u32>,
    ) -> PyResult<Engine> {
        let clock = match clock {
            None => Clock::system(),
            Some(clock) => clock
                .cast::<ManualClock>()
                .map_err(|_| convert::fault("clock", "must be a ManualClock or None"))?
                .get()
                .clock(),
        };
        let seed = seed.map(|seed| convert::seed(seed, "seed")).transpose()?;
        let (secret, boot) = usage::identity(secret, boot)?;
        let secret = secret.map_or_else(random, Ok).map_err(convert::raise)?;
        let secrets = Secrets::of(&secret).map_err(convert::raise)?;
        let engine = limen_core::engine::Engine::booted(edits::settings(settings)?, secrets.seeds(), boot);
        Ok(Engine { core: Arc::new(Core::new(engine, clock, seed, secrets)) })
    }

    /// Whether periods that end are told, and idempotency ids are kept, for `collect`: from before the first request on
    /// where there is a store, else never.
    fn keep_history(&self, on: bool) -> PyResult<()> {
        self.ready()?.engine.keep_history(on);
        Ok(())
    }

    /// What changed since the last call: (permits, permits gone, counters, counters gone, periods).
    ///
    /// permits: (key, row); counters: (key, start, end, total, row), the key being the limit's number * 4 + kind
    /// (tokens 0, requests 1, budget 2); periods: (key, start, end, limit, total, correction), of the last two one is
    /// None. Gone are keys of rows to delete. Nothing is told twice: who could not write it lays the next answer over
    /// it, in which a row replaces one of its key and what is gone comes before the rows. A closed engine tells the rest.
    fn collect<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.core.check_fork().map_err(convert::raise)?;
        usage::collect(py, &self.core)
    }

    /// Put back the rows that `collect` gave, the newest of each key: (key, row) of permits and of counters. Once, after
    /// the configuration and before the first request. {"counters": n, "permits": n, "unknown": keys of counters whose
    /// limits are gone}. Raises InvalidError for a row that is none, and changes nothing then.
    fn restore_usage<'py>(
        &self,
        py: Python<'py>,
        permits: Vec<(u32, PyBackedBytes)>,
        counters: Vec<(i64, PyBackedBytes)>,
    ) -> PyResult<Bound<'py, PyDict>> {
        usage::restore(py, self.ready()?, &permits, &counters)
    }

    /// A key resolved once, by its value or by its id; a handle of this engine is itself. Raises LimenError
    /// virtual_key_not_found.
    #[pyo3(signature = (value=None, *, id=None))]
    fn handle(&self, value: Option<&Bound<'_, PyAny>>, id: Option<&Bound<'_, PyAny>>) -> PyResult<Handle> {
        let core = self.ready()?;
        if let (Some(handle), None) = (value.and_then(|value| value.cast::<Handle>().ok()), id) {
            let Handle { handle, id, .. } = ask::own(core, handle.get())?;
            // Where the key is gone, another may have got its id.
            return match core.engine.handle_of_id(id) {
                Ok((found, id)) if found == *handle => Ok(Handle { handle: found, engine: core.number, id }),
                _ => Err(convert::raise(Fault::new(Code::VirtualKeyNotFound))),
            };
        }
        let handle = match (value.filter(|value| !value.is_none()), id.filter(|id| !id.is_none())) {
            (Some(value), None) => {
                let text = value.cast::<PyString>().map_err(|_| convert::fault("value", "must be a text"))?;
                let value = convert::backed(text)?;
                core.engine.handle_of_value(&value, core.clock.now(), &core.here(false, None))
            }
            (None, Some(id)) => core.engine.handle_of_id(&convert::text(id, "id")?),
            _ => return Err(convert::fault("value", "give either the key's value or its id")),
        };
        let (handle, id) = handle.map_err(convert::raise)?;
        Ok(Handle { handle, engine: core.number, id })
    }

    /// Give back what `permit` (or its text) holds: the arguments and faults of `Permit.release`.
    #[pyo3(signature = (permit, reason=None, request=None),
           text_signature = "($self, permit, reason=None, request=False)")]
    fn release(
        &self,
        permit: &Bound<'_, PyAny>,
        reason: Option<&Bound<'_, PyAny>>,
        request: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.release_handle(self.permit(Some(permit))?, reason, request)
    }

    /// Raise NotFoundError permit_not_found unless `key` is a value of the key that the permit was given to.
    fn check_credential(&self, permit: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let handle = self.permit(Some(permit))?;
        let key = key.cast::<PyString>().map_err(|_| convert::fault("key", "must be a text"))?;
        let key = convert::backed(key)?;
        if self.core.engine.may_act(handle, &key, &self.core.here(false, None)) {
            return Ok(());
        }
        Err(convert::raise(Fault::new(Code::PermitNotFound)))
    }

    /// Many requests in one crossing, decided without the GIL: each a mapping with the argument names of `admit`, or a
    /// tuple `(key, model, input_tokens, max_output_tokens)`. Answers in order; a fault is an item of the answer.
    fn admit_many<'py>(slf: &Bound<'py, Self>, requests: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        batch::admit_many(slf, requests)
    }

    /// Many settlements in one crossing: each a mapping with `permit` and usage words, or a tuple `(permit, prompt_tokens,
    /// completion_tokens)`. Answers in order; a fault is an item of the answer.
    fn settle_many<'py>(
        slf: &Bound<'py, Self>,
        settlements: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        batch::settle_many(slf, settlements)
    }

    /// Many answers as one JSON list, each with its `status` in it. What is neither a permit nor a settlement is written
    /// by `told`: from the answer to bytes.
    fn json_list<'py>(
        &self,
        answers: &Bound<'py, PyList>,
        told: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.ready()?;
        json::list(answers, told)
    }

    /// The results of the batch in `body` as one JSON list, each with its `status` in it; None where it is no batch of at
    /// most `most` calls. Admits and settles that say nothing out of the ordinary are decided and written in one crossing,
    /// without the GIL; where `is_plain` is false none is. All others are answered by `others`, from their texts to a list
    /// of answers, in their turn. What is neither a permit nor a settlement is written by `told`, from the answer to bytes.
    fn answer_batch<'py>(
        slf: &Bound<'py, Self>,
        body: &Bound<'py, PyBytes>,
        most: usize,
        is_plain: bool,
        others: &Bound<'py, PyAny>,
        told: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        served::answer(slf, body, (most, is_plain), others, told)
    }

    /// What `usage` costs at a provider's model, by the prices in force: row, overrides, lines. `ids` are those of the virtual
    /// key, the provider and the provider key, or None; `request_type` is as for `admit`.
    fn trace_price<'py>(
        &self,
        ids: (Option<PyBackedStr>, Option<PyBackedStr>, Option<PyBackedStr>),
        model: &str,
        request_type: &Bound<'py, PyAny>,
        usage: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (virtual_key, provider, provider_key) = &ids;
        let ids = Ids {
            virtual_key: virtual_key.as_deref(),
            provider: provider.as_deref(),
            provider_key: provider_key.as_deref(),
        };
        dry_run::trace_price(self.ready()?, &ids, model, request_type, usage)
    }

    /// What `peek` answers to a mapping of its arguments, and all that takes part: where the request goes, rules, targets,
    /// counters.
    fn trace_decision<'py>(
        slf: &Bound<'py, Self>,
        request: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        dry_run::trace_decision(slf, request)
    }

    /// The engine's own clock, in ms since the Unix epoch.
    fn now_ms(&self) -> PyResult<i64> {
        Ok(self.ready()?.clock.now().get())
    }

    /// By how many ms the system's clock has leapt ahead without being followed; None where it has not.
    fn clock_jump_ms(&self) -> PyResult<Option<i64>> {
        Ok(self.ready()?.clock.jumped())
    }

    /// Follow the system's clock where it has leapt.
    fn accept_clock_jump(&self) -> PyResult<()> {
        self.ready()?.clock.accept();
        Ok(())
    }

    /// Make a batch of edits, published together as one snapshot. All or nothing. `edits` are rows, or what `check` has
    /// made of them.
    fn apply(&self, py: Python<'_>, edits: &Bound<'_, PyAny>) -> PyResult<()> {
        let core = self.ready()?;
        // Without the GIL: a thread in a batch may be waiting for the edit that this one makes.
        let apply =
            |edits: &[Edit]| py.detach(|| core.engine.apply(edits, core.clock.now())).map_err(convert::raise);
        match edits.cast::<Edits>() {
            Ok(checked) => apply(&checked.get().0),
            Err(_) => apply(&edits::read(core, edits)?),
        }
    }

    /// Raise what `apply` would raise for these `edits`, and change nothing: the edits, ready for `apply`.
    fn check(&self, py: Python<'_>, edits: &Bound<'_, PyAny>) -> PyResult<Edits> {
        let core = self.ready()?;
        let edits = edits::read(core, edits)?;
        py.detach(|| core.engine.check(&edits)).map_err(convert::raise)?;
        Ok(Edits(edits))
    }

    /// For each (limit_id, kind) of `limits`: used, held, start of the current window, its end, in ms. Raises
    /// NotFoundError.
    fn read(&self, limits: Vec<(PyBackedStr, PyBackedStr)>) -> PyResult<Vec<(i64, i64, i64, i64)>> {
        let core = self.ready()?;
        let now = core.clock.now();
        let reading = |(id, kind): &(PyBackedStr, PyBackedStr)| {
            let reading = core.engine.read(id, kind_of(kind)?, now).map_err(convert::raise)?;
            Ok((reading.used, reading.held, reading.start.get(), reading.reset.get()))
        };
        limits.iter().map(reading).collect()
    }

    /// Which rule would bind `request`, a mapping with the argument names of `admit`: (variables, steps, answer). Each step
    /// is (rule id, result, reason); the answer is that of `peek` under the rule that binds, None where none does. Takes,
    /// draws and counts nothing. Raises what `admit` raises, and the refusal of a caller who is unknown, missing or blocked.
    fn trace_rules<'py>(
        slf: &Bound<'py, Self>,
        request: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        dry_run::trace_rules(slf, request)
    }

    /// How the rule `rule_id` fares: matches, errors, times over budget, the last error, the last match in ms. Raises
    /// NotFoundError.
    fn rule_health(&self, rule_id: &str) -> PyResult<RuleHealth> {
        let health = self.ready()?.engine.rule_health(rule_id).map_err(convert::raise)?;
        let at = health.last_match_at.map(Millis::get);
        Ok((health.matches, health.errors, health.over_budget, health.last_error, at))
    }

    /// The usage of `limit_id` in one `kind` (tokens, requests, budget) to zero in the current window; what is held
    /// stays. Raises NotFoundError.
    fn reset(&self, limit_id: &str, kind: &str) -> PyResult<()> {
        let core = self.ready()?;
        core.engine.reset(limit_id, kind_of(kind)?, core.clock.now()).map_err(convert::raise)
    }

    /// Lower the usage of the budget `limit_id` in its current window by `nano_usd` (negative: raise it), never below
    /// zero. Raises NotFoundError.
    fn credit(&self, limit_id: &str, nano_usd: i64) -> PyResult<()> {
        let core = self.ready()?;
        core.engine.credit(limit_id, nano_usd, core.clock.now()).map_err(convert::raise)
    }

    /// Permits that are open.
    fn open_permits(&self) -> PyResult<i64> {
        Ok(self.ready()?.engine.open_permits())
    }

    /// Expire permits that are past their time to live, a bounded number per call; how many there were.
    fn sweep(&self) -> PyResult<u64> {
        let core = self.ready()?;
        Ok(core.engine.sweep(core.clock.now()))
    }

    /// Counts of what was decided, as Prometheus text.
    fn metrics(&self) -> PyResult<String> {
        let core = self.ready()?;
        core.engine.sweep(core.clock.now());
        Ok(core.engine.metrics())
    }

    /// Every counter that has counted anything, as a versioned and checksummed image.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let core = self.ready()?;
        let image = py.detach(|| core.engine.snapshot(core.clock.now()));
        Ok(PyBytes::new(py, &image))
    }

    /// Counters of limits that exist, from `data`, the bytes of a snapshot: {"restored": n, "unknown": n}. Raises
    /// InvalidError for an image that is damaged or of another version, and changes nothing then.
    fn restore<'py>(&self, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let core = self.ready()?;
        let py = data.py();
        let data = data.cast::<PyBytes>().map_err(|_| convert::fault("data", "must be bytes"))?;
        let done = core.engine.restore(data.as_bytes(), core.clock.now()).map_err(convert::raise)?;
        let answer = PyDict::new(py);
        answer.set_item("restored", done.restored)?;
        answer.set_item("unknown", done.unknown)?;
        Ok(answer)
    }

    /// No call is answered any more: LimenError engine_closed.
    fn shut(&self, py: Python<'_>) {
        py.detach(|| self.core.close());
    }
}
