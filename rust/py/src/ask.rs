//! From the arguments of `admit` and `peek` to a request of the core, and from its answer to an object.

use limen_core::answer::{Answer, Evaluation, Explanation, Grant, ProviderText};
use limen_core::error::Fault;
use limen_core::request::{Amounts, Asked, Caller, KeyHandle, Request, RequestType};
use limen_core::units::{Millis, Rounding};
use limen_core::usage::Usage;
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyMapping, PyString, PyTuple};

use crate::answers::{Denial, Handle, Permit};
use crate::convert;
use crate::core::Core;
use crate::engine::Engine;
use crate::granted::Said;
use crate::objects::leaf;
use crate::words::{self, Param};

/// The arguments of `admit`, each in its place: see [`place_of`].
pub(crate) type Given<'a, 'py> = [Option<&'a Bound<'py, PyAny>>; ARGUMENTS];
const ARGUMENTS: usize = 16;
/// How many of them may be given by place.
pub(crate) const BY_PLACE: usize = 4;

/// Names and values.
type Entries = Vec<(PyBackedStr, PyBackedStr)>;

/// What `admit` and `peek` were asked, in the core's terms. Texts are borrowed from the arguments.
pub(crate) struct Ask<'a> {
    request: Request<'a>,
    fallbacks: Option<Vec<PyBackedStr>>,
    headers: Entries,
    params: Entries,
    now: Option<Millis>,
}

/// An argument that may be left out or None.
#[inline(always)]
fn given<'a, 'py, T>(
    value: Option<&'a Bound<'py, PyAny>>,
    read: impl FnOnce(&'a Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Option<T>> {
    value.filter(|value| !value.is_none()).map(read).transpose()
}

#[inline(always)]
fn text<'a>(value: Option<&'a Bound<'_, PyAny>>, param: &str) -> PyResult<Option<&'a str>> {
    given(value, |value| convert::borrowed(value, param))
}

/// A mapping of texts. They are kept: it may be changed while it is looked at.
fn entries(value: &Bound<'_, PyAny>, param: &str) -> PyResult<Entries> {
    let mapping =
        value.cast::<PyMapping>().map_err(|_| convert::fault(param, "must be a mapping of texts"))?;
    let entry = |item: Bound<'_, PyAny>| {
        let (name, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let name = convert::text(&name, param)?;
        let value = convert::text(&value, format_args!("{param}.{}", &*name))?;
        Ok((name, value))
    };
    mapping.items()?.iter().map(entry).collect()
}

fn pairs(entries: &Entries) -> Vec<(&str, &str)> {
    entries.iter().map(|(name, value)| (&**name, &**value)).collect()
}

fn own_time(core: &Core, value: &Bound<'_, PyAny>) -> PyResult<Millis> {
    let now = convert::int(value, "now_ms")?;
    if core.clock.is_manual() {
        return Ok(Millis::new(now));
    }
    Err(convert::fault("now_ms", "is for engines with a ManualClock only"))
}

#[cold]
pub(crate) fn unknown_type() -> PyErr {
    convert::fault("request_type", "is not a known type of request, such as chat_completion or embedding")
}

impl<'a> Ask<'a> {
    #[inline(always)]
    pub(crate) fn read<'py>(core: &Core, arguments: &Given<'a, 'py>) -> PyResult<Ask<'a>> {
        let [
            key,
            model,
            input_tokens,
            max_output_tokens,
            provider,
            request_type,
            tokens,
            cost_usd,
            usage,
            headers,
            params,
            mcp_tool,
            fallbacks,
            sticky,
            id,
            now_ms,
        ] = *arguments;
        let caller = match key.filter(|key| !key.is_none()) {
            None => Caller::Nobody,
            Some(key) => match key.cast::<PyString>() {
                Ok(value) => Caller::Value(value.to_str()?),
                Err(_) => Caller::Handle(handle(core, key)?),
            },
        };
        let request_type = match text(request_type, "request_type")? {
            None => RequestType::ChatCompletion,
            Some(name) => RequestType::from_text(name).ok_or_else(unknown_type)?,
        };
        let amounts = Amounts {
            input_tokens: given(input_tokens, |value| convert::int(value, "input_tokens"))?,
            max_output_tokens: given(max_output_tokens, |value| convert::int(value, "max_output_tokens"))?,
            tokens: given(tokens, |value| convert::int(value, "tokens"))?,
            cost: given(cost_usd, |value| convert::dollars(value, "cost_usd", Rounding::Up))?,
            usage: given(usage, read_usage)?,
        };
        let headers = given(headers, |value| entries(value, "headers"))?.unwrap_or_default();
        let params = given(params, |value| entries(value, "params"))?.unwrap_or_default();
        let fallbacks = given(fallbacks, |value| convert::texts(value, "fallbacks"))?;
        let now = given(now_ms, |value| own_time(core, value))?;
        let request = Request {
            caller,
            model: text(model, "model")?,
            provider: text(provider, "provider")?.unwrap_or(""),
            request_type,
            asked: Asked::new(&amounts, request_type).map_err(convert::raise)?,
            mcp_tool: text(mcp_tool, "mcp_tool")?,
            headers: &[],
            params: &[],
            fallbacks: None,
            sticky: text(sticky, "sticky")?,
            id: text(id, "id")?,
        };
        Ok(Ask { request, fallbacks, headers, params, now })
    }

    /// A request without parts of any number.
    #[inline(always)]
    pub(crate) fn of(request: Request<'a>) -> Ask<'a> {
        Ask { request, fallbacks: None, headers: Entries::new(), params: Entries::new(), now: None }
    }

    /// The model as the request names it; empty where it names none.
    pub(crate) fn model(&self) -> &str {
        self.request.model.unwrap_or("")
    }

    /// Ask the core.
    #[inline(always)]
    pub(crate) fn answer(&self, core: &Core, take: bool) -> Result<Answer, Fault> {
        self.put(|request| {
            let now = self.now.unwrap_or_else(|| core.clock.now());
            let here = core.here(take, self.now);
            if take { core.engine.admit(request, now, &here) } else { core.engine.peek(request, now, &here) }
        })
    }

    /// A dry run of the rules.
    pub(crate) fn evaluation(&self, core: &Core) -> Result<Evaluation, Fault> {
        self.put(|request| {
            let now = self.now.unwrap_or_else(|| core.clock.now());
            core.engine.evaluate(request, now, &core.here(false, self.now))
        })
    }

    /// A dry run of the whole decision.
    pub(crate) fn explanation(&self, core: &Core) -> Result<Explanation, Fault> {
        self.put(|request| {
            let now = self.now.unwrap_or_else(|| core.clock.now());
            core.engine.explain(request, now, &core.here(false, self.now))
        })
    }

    /// Put the request together where it has parts of any number, and do something with it.
    #[inline(always)]
    fn put<T>(&self, call: impl FnOnce(&Request<'_>) -> T) -> T {
        if self.fallbacks.is_none() && self.headers.is_empty() && self.params.is_empty() {
            return call(&self.request);
        }
        let own: Option<Vec<&str>> =
            self.fallbacks.as_ref().map(|own| own.iter().map(|text| &**text).collect());
        call(&Request {
            fallbacks: own.as_deref(),
            headers: &pairs(&self.headers),
            params: &pairs(&self.params),
            ..self.request.clone()
        })
    }

    /// The answer as an object, to the arguments that were read.
    #[inline(always)]
    pub(crate) fn object<'py>(
        &self,
        engine: &Bound<'py, Engine>,
        arguments: &Given<'_, 'py>,
        answer: Answer,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = engine.py();
        match answer {
            Answer::Permit(grant) => {
                let model = arguments[MODEL].and_then(|model| model.cast::<PyString>().ok());
                let (model, said) = (model.cloned().map(Bound::unbind), self.said(&grant));
                let permit = Permit::new(engine.clone().unbind(), grant, model, said);
                Ok(leaf(py, permit)?.into_any())
            }
            Answer::Denial(denial) => Ok(Bound::new(py, Denial::new(denial))?.into_any()),
        }
    }

    /// What the answer may refer to by its number; most requests say none of it.
    pub(crate) fn said(&self, grant: &Grant) -> Option<Box<Said>> {
        if self.fallbacks.is_none() && grant.provider != ProviderText::Stated {
            return None;
        }
        let fallbacks = self.fallbacks.iter().flatten().map(ToString::to_string).collect();
        Some(Box::new(Said { provider: self.request.provider.to_owned(), fallbacks }))
    }
}

/// One item of a batch. None of its values may go away while the interpreter is others': a tuple cannot be changed and
/// keeps them, those of a mapping are kept here.
pub(crate) enum Item<'a, 'py> {
    Few([Option<Borrowed<'a, 'py, PyAny>>; BY_PLACE]),
    All(Box<[Option<Borrowed<'a, 'py, PyAny>>; ARGUMENTS]>),
    Mapping(Box<[Option<Bound<'py, PyAny>>; ARGUMENTS]>),
}

impl<'a, 'py> Item<'a, 'py> {
    /// A mapping with the argument names, or a tuple: `(key, model, input_tokens, max_output_tokens)`, of which the last
    /// two may be left out, or every argument there is.
    pub(crate) fn read(item: &'a Bound<'py, PyAny>) -> PyResult<Item<'a, 'py>> {
        if let Ok(tuple) = item.cast::<PyTuple>() {
            return match tuple.len() {
                2..=BY_PLACE => Ok(Item::Few(convert::places(tuple))),
                ARGUMENTS => Ok(Item::All(Box::new(convert::places(tuple)))),
                _ => Err(convert::fault(
                    "requests",
                    "a tuple is (key, model, input_tokens, max_output_tokens)",
                )),
            };
        }
        let mapping = convert::mapping(item)
            .ok_or_else(|| convert::fault("requests", "each request is a mapping or a tuple"))?;
        let mut values = Box::new([const { None }; ARGUMENTS]);
        for (name, value) in mapping.iter() {
            let name = convert::borrowed(&name, "requests")?;
            let place = place_of(name).ok_or_else(|| convert::fault(name, "is not an argument of admit"))?;
            values[place] = Some(value);
        }
        Ok(Item::Mapping(values))
    }

    #[inline(always)]
    pub(crate) fn given(&self) -> Given<'_, 'py> {
        let mut given = Given::default();
        match self {
            Item::Few(values) => fill(&mut given, values.iter().map(Option::as_deref)),
            Item::All(values) => fill(&mut given, values.iter().map(Option::as_deref)),
            Item::Mapping(values) => fill(&mut given, values.iter().map(Option::as_ref)),
        }
        given
    }
}

#[inline(always)]
fn fill<'a, 'py>(given: &mut Given<'a, 'py>, values: impl Iterator<Item = Option<&'a Bound<'py, PyAny>>>) {
    for (place, value) in given.iter_mut().zip(values) {
        *place = value;
    }
}

const MODEL: usize = 1;

/// The place of an argument of `admit` in its signature, by name.
pub(crate) fn place_of(name: &str) -> Option<usize> {
    Some(match name {
        "key" => 0,
        "model" => 1,
        "input_tokens" => 2,
        "max_output_tokens" => 3,
        "provider" => 4,
        "request_type" => 5,
        "tokens" => 6,
        "cost_usd" => 7,
        "usage" => 8,
        "headers" => 9,
        "params" => 10,
        "mcp_tool" => 11,
        "fallbacks" => 12,
        "sticky" => 13,
        "id" => 14,
        "now_ms" => 15,
        _ => return None,
    })
}

/// A key's handle, if it is one of this engine's.
fn handle(core: &Core, key: &Bound<'_, PyAny>) -> PyResult<KeyHandle> {
    let handle = key
        .cast::<Handle>()
        .map_err(|_| convert::fault("key", "must be a virtual key's value, a handle, or None"))?;
    Ok(own(core, handle.get())?.handle)
}

/// The handle, unless another engine gave it.
pub(crate) fn own<'a>(core: &Core, handle: &'a Handle) -> PyResult<&'a Handle> {
    if handle.engine == core.number {
        return Ok(handle);
    }
    Err(convert::fault("key", "this handle belongs to another engine"))
}

pub(crate) fn read_usage(value: &Bound<'_, PyAny>) -> PyResult<Usage> {
    let mapping =
        value.cast::<PyMapping>().map_err(|_| convert::fault("usage", "must be a mapping of usage words"))?;
    let mut usage = Usage::default();
    for item in mapping.items()?.iter() {
        let (name, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        words::set(&mut usage, &value, Param("usage.", convert::borrowed(&name, "usage")?))?;
    }
    Ok(usage)
}
