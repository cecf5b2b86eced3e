//! From the arguments of `admit` and `peek` to a request of the core, and from its answer to an object.

use limen_core::answer::{Answer, Fallbacks, Grant, ModelText, ProviderText};
use limen_core::error::Fault;
use limen_core::request::{Amounts, Asked, Caller, KeyHandle, Request, RequestType};
use limen_core::units::{Millis, Rounding};
use limen_core::usage::Usage;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyMapping, PyString, PyTuple};

use crate::answers::{Denial, Handle, Permit};
use crate::convert;
use crate::core::Core;
use crate::engine::Engine;
use crate::fault::to_err;
use crate::words;

/// Who calls, kept alive while the GIL is not held.
pub(crate) enum Key {
    Nobody,
    Value(PyBackedStr),
    Handle(KeyHandle),
}

/// Everything that a call of `admit` was given, in the core's terms but for borrowed texts.
pub(crate) struct Ask {
    key: Key,
    model: Option<PyBackedStr>,
    provider: Option<PyBackedStr>,
    request_type: RequestType,
    asked: Asked,
    mcp_tool: Option<PyBackedStr>,
    fallbacks: Option<Vec<PyBackedStr>>,
    sticky: Option<PyBackedStr>,
    id: Option<PyBackedStr>,
    now: Option<Millis>,
}

/// The arguments as they come.
#[derive(Default)]
pub(crate) struct Given<'a, 'py> {
    pub(crate) key: Option<&'a Bound<'py, PyAny>>,
    pub(crate) model: Option<&'a Bound<'py, PyAny>>,
    pub(crate) input_tokens: Option<&'a Bound<'py, PyAny>>,
    pub(crate) max_output_tokens: Option<&'a Bound<'py, PyAny>>,
    pub(crate) provider: Option<&'a Bound<'py, PyAny>>,
    pub(crate) request_type: Option<&'a Bound<'py, PyAny>>,
    pub(crate) tokens: Option<&'a Bound<'py, PyAny>>,
    pub(crate) cost_usd: Option<&'a Bound<'py, PyAny>>,
    pub(crate) usage: Option<&'a Bound<'py, PyAny>>,
    pub(crate) headers: Option<&'a Bound<'py, PyAny>>,
    pub(crate) params: Option<&'a Bound<'py, PyAny>>,
    pub(crate) mcp_tool: Option<&'a Bound<'py, PyAny>>,
    pub(crate) fallbacks: Option<&'a Bound<'py, PyAny>>,
    pub(crate) sticky: Option<&'a Bound<'py, PyAny>>,
    pub(crate) id: Option<&'a Bound<'py, PyAny>>,
    pub(crate) now_ms: Option<&'a Bound<'py, PyAny>>,
}

/// An argument that may be left out or None.
fn given<T>(
    value: Option<&Bound<'_, PyAny>>,
    read: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Option<T>> {
    value.filter(|value| !value.is_none()).map(read).transpose()
}

fn text(value: Option<&Bound<'_, PyAny>>, param: &str) -> PyResult<Option<PyBackedStr>> {
    given(value, |value| convert::text(value, param))
}

/// A mapping of texts; read for its faults until rules read it.
fn text_mapping(value: Option<&Bound<'_, PyAny>>, param: &str) -> PyResult<()> {
    given(value, |value| {
        let mapping = value.cast::<PyMapping>().map_err(|_| {
            to_err(value.py(), Fault::invalid(param.to_owned(), "must be a mapping of texts"))
        })?;
        for item in mapping.items()?.iter() {
            let (name, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            let name = convert::text(&name, param)?;
            convert::text(&value, format!("{param}.{name}"))?;
        }
        Ok(())
    })?;
    Ok(())
}

impl Ask {
    #[inline(always)]
    pub(crate) fn read(core: &Core, given_arguments: &Given<'_, '_>) -> PyResult<Ask> {
        let arguments = given_arguments;
        let key = match arguments.key.filter(|key| !key.is_none()) {
            None => Key::Nobody,
            Some(key) => match key.cast::<PyString>() {
                Ok(value) => Key::Value(convert::backed(value)?),
                Err(_) => Key::Handle(handle(core, key)?),
            },
        };
        let request_type = match text(arguments.request_type, "request_type")? {
            None => RequestType::ChatCompletion,
            Some(name) => RequestType::from_text(&name).ok_or_else(|| {
                convert::fault(
                    "request_type",
                    "is not a known type of request, such as chat_completion or embedding",
                )
            })?,
        };
        let int =
            |value: Option<&Bound<'_, PyAny>>, param: &str| given(value, |value| convert::int(value, param));
        let amounts = Amounts {
            input_tokens: int(arguments.input_tokens, "input_tokens")?,
            max_output_tokens: int(arguments.max_output_tokens, "max_output_tokens")?,
            tokens: int(arguments.tokens, "tokens")?,
            cost: given(arguments.cost_usd, |value| convert::dollars(value, "cost_usd", Rounding::Up))?,
            usage: given(arguments.usage, usage)?,
        };
        text_mapping(arguments.headers, "headers")?;
        text_mapping(arguments.params, "params")?;
        let fallbacks = given(arguments.fallbacks, |value| convert::texts(value, "fallbacks"))?;
        let now = given(arguments.now_ms, |value| convert::int(value, "now_ms").map(Millis::new))?;
        if now.is_some() && !core.clock.is_manual() {
            return Err(convert::fault("now_ms", "is for engines with a ManualClock only"));
        }
        Ok(Ask {
            key,
            model: text(arguments.model, "model")?,
            provider: text(arguments.provider, "provider")?,
            request_type,
            asked: Asked::new(&amounts, request_type).map_err(convert::raise)?,
            mcp_tool: text(arguments.mcp_tool, "mcp_tool")?,
            fallbacks,
            sticky: text(arguments.sticky, "sticky")?,
            id: text(arguments.id, "id")?,
            now,
        })
    }

    /// From one item of a batch: a mapping with the argument names, or `(key, model, input_tokens, max_output_tokens)`.
    pub(crate) fn read_item(core: &Core, item: &Bound<'_, PyAny>) -> PyResult<Ask> {
        if let Ok(tuple) = item.cast::<PyTuple>() {
            if !(2..=4).contains(&tuple.len()) {
                return Err(convert::fault(
                    "requests",
                    "a tuple is (key, model, input_tokens, max_output_tokens)",
                ));
            }
            let at = |place: usize| tuple.get_item(place).ok();
            let (key, model, input, most) = (at(0), at(1), at(2), at(3));
            return Ask::read(
                core,
                &Given {
                    key: key.as_ref(),
                    model: model.as_ref(),
                    input_tokens: input.as_ref(),
                    max_output_tokens: most.as_ref(),
                    ..Given::default()
                },
            );
        }
        let mapping = convert::mapping(item)
            .ok_or_else(|| convert::fault("requests", "each request is a mapping or a tuple"))?;
        let mut values: [Option<Bound<'_, PyAny>>; 16] = [const { None }; 16];
        for (name, value) in mapping.iter() {
            let name = convert::borrowed(&name, "requests")?;
            let place = place_of(name).ok_or_else(|| convert::fault(name, "is not an argument of admit"))?;
            values[place] = Some(value);
        }
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
        ] = values.each_ref().map(Option::as_ref);
        Ask::read(
            core,
            &Given {
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
            },
        )
    }

    /// Ask the core.
    #[inline(always)]
    pub(crate) fn answer(&self, core: &Core, take: bool) -> Result<Answer, Fault> {
        let own: Option<Vec<&str>> =
            self.fallbacks.as_ref().map(|texts| texts.iter().map(|text| &**text).collect());
        let request = Request {
            caller: match &self.key {
                Key::Nobody => Caller::Nobody,
                Key::Value(value) => Caller::Value(value),
                Key::Handle(handle) => Caller::Handle(*handle),
            },
            provider: self.provider.as_deref().unwrap_or(""),
            model: self.model.as_deref(),
            request_type: self.request_type,
            asked: self.asked,
            mcp_tool: self.mcp_tool.as_deref(),
            fallbacks: own.as_deref(),
            sticky: self.sticky.as_deref(),
            id: self.id.as_deref(),
        };
        let now = self.now.unwrap_or_else(|| core.clock.now());
        let here = core.here(take, self.now);
        if take { core.engine.admit(&request, now, &here) } else { core.engine.peek(&request, now, &here) }
    }

    /// The answer as an object.
    #[inline(always)]
    pub(crate) fn object<'py>(
        &self,
        py: Python<'py>,
        engine: &Py<Engine>,
        answer: Answer,
    ) -> PyResult<Bound<'py, PyAny>> {
        match answer {
            Answer::Permit(grant) => {
                let (model, fallbacks) = (self.model_text(py, &grant)?, self.fallback_texts(engine, &grant));
                let stated = self.stated_provider(&grant).to_owned();
                Ok(Bound::new(py, Permit::new(engine.clone_ref(py), grant, stated, model, fallbacks))?
                    .into_any())
            }
            Answer::Denial(denial) => Ok(Bound::new(py, Denial::new(denial))?.into_any()),
        }
    }

    /// The provider's name where the configuration has none for it.
    fn stated_provider(&self, grant: &Grant) -> &str {
        match (grant.provider, &self.fallbacks) {
            (ProviderText::Stated, _) => self.provider.as_deref().unwrap_or(""),
            (ProviderText::Fallback(index), Some(texts)) => {
                texts[index].split_once('/').map_or("", |(provider, _)| provider)
            }
            _ => "",
        }
    }

    fn model_text(&self, py: Python<'_>, grant: &Grant) -> PyResult<Option<Py<PyAny>>> {
        let cut = |text: &str, from: usize| PyString::new(py, &text[from..]).into_any().unbind();
        Ok(match (grant.model, &self.model, &self.fallbacks) {
            (ModelText::Requested(0), Some(model), _) => {
                Some(model.clone_ref(py).into_pyobject(py)?.into_any().unbind())
            }
            (ModelText::Requested(from), Some(model), _) => Some(cut(model, from)),
            (ModelText::Fallback { index, from }, _, Some(texts)) => Some(cut(&texts[index], from)),
            _ => None,
        })
    }

    /// Where to go if the target fails, as `provider/model`.
    fn fallback_texts(&self, engine: &Py<Engine>, grant: &Grant) -> Vec<String> {
        match &grant.fallbacks {
            Fallbacks::Requested(from) => {
                let texts = self.fallbacks.as_deref().unwrap_or(&[]);
                texts.iter().skip(*from).map(ToString::to_string).collect()
            }
            Fallbacks::Others(others) if others.is_empty() => Vec::new(),
            Fallbacks::Others(others) => {
                let view = engine.get().core.engine.view();
                let model = self.model.as_deref().unwrap_or("");
                others.iter().map(|number| format!("{}/{model}", view.provider_name(*number))).collect()
            }
        }
    }
}

/// The place of an argument of `admit` in its signature, by name.
fn place_of(name: &str) -> Option<usize> {
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
        .map_err(|_| convert::fault("key", "must be a virtual key's value, a handle, or None"))?
        .get();
    if handle.engine != core.number {
        return Err(convert::fault("key", "this handle belongs to another engine"));
    }
    Ok(handle.handle)
}

fn usage(value: &Bound<'_, PyAny>) -> PyResult<Usage> {
    let mapping =
        value.cast::<PyMapping>().map_err(|_| convert::fault("usage", "must be a mapping of usage words"))?;
    let mut usage = Usage::default();
    for item in mapping.items()?.iter() {
        let (name, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let name = convert::text(&name, "usage")?;
        words::set(&mut usage, &name, &value, "usage.")?;
    }
    Ok(usage)
}
