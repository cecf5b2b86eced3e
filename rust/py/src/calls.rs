//! The calls that every request makes: `admit`, `peek`, `settle` and `update`, of the engine and of a permit.

use std::ffi::CStr;

use pyo3::prelude::*;

use crate::answers::Permit;
use crate::ask::{self, Ask, Given};
use crate::convert;
use crate::engine::Engine;
use crate::fastcall::{Call, Method, Shape, install};
use crate::words;

/// Give the classes these methods.
pub(crate) fn install_all(py: Python<'_>) -> PyResult<()> {
    install::<Admit>(py)?;
    install::<Peek>(py)?;
    install::<Settle>(py)?;
    install::<Update>(py)?;
    install::<PermitSettle>(py)?;
    install::<PermitUpdate>(py)
}

struct Admit;

impl Method for Admit {
    type Class = Engine;
    const NAME: &CStr = c"admit";
    const DOC: &CStr = c"admit($self, key, model, input_tokens=0, max_output_tokens=None, *, provider=None, request_type='chat_completion', \
        tokens=None, cost_usd=None, usage=None, headers=None, params=None, mcp_tool=None, fallbacks=None, sticky=None, \
        id=None, now_ms=None)\n--\n\n\
May this call be made, and where? A Permit, or a Denial with every limit that refuses.

Who and what: `key` is a virtual key's value, a handle, or None; `model` a name, or `provider/model`, or None for
a call of `mcp_tool` (`\"client/tool\"`) alone; `provider` left out is chosen by weight, and with `sticky`, any text,
always alike; `fallbacks` is a list of `\"provider/model\"`; `request_type` such as `\"embedding\"`; `headers` and
`params` are mappings of texts, for rules.

How much, in counts of tokens and in dollars: `input_tokens` and `max_output_tokens`, or `tokens` outright, or
`usage`, a mapping of the usage words that are expected; and `cost_usd`. What is stated is held or refused; a
maximum may be cut, and the permit's `max_output_tokens` says to how much.

`id`, up to 128 bytes: while its permit is open, a call of the same key that differs in nothing but `headers`,
`params` and `sticky` gets that permit, and takes nothing. `now_ms` is for engines with a ManualClock.
Raises InvalidError for what cannot be meant, ConflictError (id_in_progress, id_conflict) for an id that is not
free.";

    fn call<'py>(own: &Bound<'py, Engine>, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        const SHAPE: Shape = asked("Engine.admit");
        decide(own, call, &SHAPE, true)
    }
}

struct Peek;

impl Method for Peek {
    type Class = Engine;
    const NAME: &CStr = c"peek";
    const DOC: &CStr = c"peek($self, key, model, input_tokens=0, max_output_tokens=None, *, provider=None, request_type='chat_completion', \
        tokens=None, cost_usd=None, usage=None, headers=None, params=None, mcp_tool=None, fallbacks=None, sticky=None, \
        id=None, now_ms=None)\n--\n\n\
What `admit` would answer now to the same arguments. Takes nothing and spends no draw.";

    fn call<'py>(own: &Bound<'py, Engine>, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        const SHAPE: Shape = asked("Engine.peek");
        decide(own, call, &SHAPE, false)
    }
}

const fn asked(method: &'static str) -> Shape {
    Shape {
        method,
        required: &["key", "model"],
        by_place: ask::BY_PLACE,
        place_of: ask::place_of,
        others: false,
    }
}

#[inline(always)]
fn decide<'py>(
    own: &Bound<'py, Engine>,
    call: &Call<'_, 'py>,
    shape: &Shape,
    take: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let mut arguments = Given::default();
    call.place(shape, &mut arguments)?;
    let core = own.get().ready()?;
    let ask = Ask::read(core, &arguments)?;
    let answer = ask.answer(core, take).map_err(convert::raise)?;
    ask.object(own, &arguments, answer)
}

struct Settle;

impl Method for Settle {
    type Class = Engine;
    const NAME: &CStr = c"settle";
    const DOC: &CStr = c"settle($self, permit, prompt_tokens=0, completion_tokens=0, *, as_held=False, **usage)\n--\n\n\
Replace what `permit` (or its text) holds by what was really used, once: the words and faults of `Permit.settle`.";

    fn call<'py>(own: &Bound<'py, Engine>, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        const SHAPE: Shape = used("Engine.settle", &["permit"], |name| match name {
            "permit" => Some(0),
            "prompt_tokens" => Some(1),
            "completion_tokens" => Some(2),
            "as_held" => Some(3),
            _ => None,
        });
        let mut places = [None; 4];
        let others = call.place(&SHAPE, &mut places)?;
        let [permit, prompt, completion, as_held] = places;
        let usage = words::read(prompt, completion, others.then(|| call.others(&SHAPE)))?;
        let engine = own.get();
        let settled = engine.settle_handle(own.py(), engine.permit(permit)?, usage, as_held)?;
        Ok(settled.into_any())
    }
}

struct Update;

impl Method for Update {
    type Class = Engine;
    const NAME: &CStr = c"update";
    const DOC: &CStr = c"update($self, permit, prompt_tokens=0, completion_tokens=0, **usage)\n--\n\n\
Tell what the stream of `permit` (or its text) has used so far, in all: the words and faults of `Permit.update`.";

    fn call<'py>(own: &Bound<'py, Engine>, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        const SHAPE: Shape = used("Engine.update", &["permit"], |name| match name {
            "permit" => Some(0),
            "prompt_tokens" => Some(1),
            "completion_tokens" => Some(2),
            _ => None,
        });
        let mut places = [None; 3];
        let others = call.place(&SHAPE, &mut places)?;
        let [permit, prompt, completion] = places;
        let usage = words::read(prompt, completion, others.then(|| call.others(&SHAPE)))?;
        let engine = own.get();
        engine.update_handle(engine.permit(permit)?, &usage)?.into_pyobject(own.py())
    }
}

struct PermitSettle;

impl Method for PermitSettle {
    type Class = Permit;
    const NAME: &CStr = c"settle";
    const DOC: &CStr = c"settle($self, prompt_tokens=0, completion_tokens=0, *, as_held=False, **usage)\n--\n\n\
Replace what is held by what was really used, once.

`prompt_tokens` and `completion_tokens` are counts, and so are the other words of `usage`: cached_read_tokens,
reasoning_tokens, images and the like, seconds (input_seconds, output_seconds), or the sums outright: tokens,
cost_usd in dollars. `as_held`, without any word, charges what was held. The same usage again gives the same
answer, marked repeated. Raises ConflictError (settle_conflict, permit_closed), NotFoundError (permit_not_found),
InvalidError.";

    fn call<'py>(own: &Bound<'py, Permit>, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        const SHAPE: Shape = used("Permit.settle", &[], |name| match name {
            "prompt_tokens" => Some(0),
            "completion_tokens" => Some(1),
            "as_held" => Some(2),
            _ => None,
        });
        let mut places = [None; 3];
        let others = call.place(&SHAPE, &mut places)?;
        let [prompt, completion, as_held] = places;
        let usage = words::read(prompt, completion, others.then(|| call.others(&SHAPE)))?;
        let (engine, handle) = own.get().own();
        Ok(engine.settle_handle(own.py(), handle, usage, as_held)?.into_any())
    }
}

struct PermitUpdate;

impl Method for PermitUpdate {
    type Class = Permit;
    const NAME: &CStr = c"update";
    const DOC: &CStr = c"update($self, prompt_tokens=0, completion_tokens=0, **usage)\n--\n\n\
Tell what a stream has used so far, in all. Answers the limits that are over now, so that it may be cut.

`prompt_tokens`, `completion_tokens` and the other words of `usage` are those of `Permit.settle`, as totals that
never fall. Raises InvalidError where one does, ConflictError (permit_closed), NotFoundError (permit_not_found).";

    fn call<'py>(own: &Bound<'py, Permit>, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        const SHAPE: Shape = used("Permit.update", &[], |name| match name {
            "prompt_tokens" => Some(0),
            "completion_tokens" => Some(1),
            _ => None,
        });
        let mut places = [None; 2];
        let others = call.place(&SHAPE, &mut places)?;
        let [prompt, completion] = places;
        let usage = words::read(prompt, completion, others.then(|| call.others(&SHAPE)))?;
        let (engine, handle) = own.get().own();
        engine.update_handle(handle, &usage)?.into_pyobject(own.py())
    }
}

/// Usage: two counts by place after what is required, and any other word by name.
const fn used(
    method: &'static str,
    required: &'static [&'static str],
    place_of: fn(&str) -> Option<usize>,
) -> Shape {
    Shape { method, required, by_place: required.len() + 2, place_of, others: true }
}
