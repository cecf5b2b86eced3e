//! A batch of the HTTP face in one crossing: from its body to its results.
//!
//! What gateways send by the hundred are plain calls: an admit or a settle of texts, counts and amounts of money. They are
//! read, decided and answered here, without the GIL. Every other call goes to Python as the text that it is, and so does a
//! body that is no batch: what is wrong with either is Python's to say.

use std::fmt::{self, Formatter};

use limen_core::answer::{Answer, Denial};
use limen_core::error::Fault;
use limen_core::permit::{Closing, Handle};
use limen_core::request::{Amounts, Asked, Caller, Request, RequestType};
use limen_core::units::{NanoUsd, Rounding};
use limen_core::usage::{Form, Usage, Word};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::answers::Denial as DenialObject;
use crate::ask::Ask;
use crate::convert::{self, MAX_TEXT};
use crate::core::Core;
use crate::engine::Engine;
use crate::granted::{Granted, write_settlement};
use crate::json::{self, Json};

/// Members of most calls, or more.
const LIKELY_MEMBERS: usize = 8;
/// Members of a plain call: each is compared with all before it, and a body has room for a hundred thousand.
const MEMBERS_MOST: usize = 48;
/// Brackets in a value that is handed on; how deep it may be is Python's to say.
const BRACKETS_MOST: usize = 32;
/// The longest number that is money here. Longer ones may be out of range, which is Python's to say.
const LONGEST_NUMBER: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    calls: Vec<Call<'a>>,
}

impl<'a> Batch<'a> {
    /// A body is read where no text has escapes: they may be faulty, and hide what a name is.
    fn read(body: &'a [u8]) -> Option<Batch<'a>> {
        if body.contains(&b'\\') {
            return None;
        }
        serde_json::from_str(str::from_utf8(body).ok()?).ok()
    }
}

/// A name, and the text of a value that is valid JSON.
type Member<'a> = (&'a str, &'a RawValue);

/// One call: its members in the order of the text.
struct Call<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Call<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Call<'a>, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Call<'de>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a call")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Call<'de>, A::Error> {
        let mut members: Vec<Member<'de>> = Vec::with_capacity(LIKELY_MEMBERS);
        while let Some((name, value)) = map.next_entry::<&str, &RawValue>()? {
            if value.get().starts_with(['{', '[']) && brackets(value) > BRACKETS_MOST {
                return Err(A::Error::custom("too deep"));
            }
            members.push((name, value));
        }
        Ok(Call(members))
    }
}

fn brackets(value: &RawValue) -> usize {
    value.get().bytes().filter(|byte| matches!(byte, b'{' | b'[')).count()
}

/// A plain call, read.
enum Plain<'a> {
    Admit(Ask<'a>),
    Settle(Handle, Closing),
}

impl<'a> Call<'a> {
    /// The call, where it is a plain one.
    fn plain(&self, core: &Core) -> Option<Plain<'a>> {
        let members = &self.0;
        if members.len() > MEMBERS_MOST {
            return None;
        }
        let repeats = |(place, (name, _)): (usize, &Member<'a>)| {
            members[..place].iter().any(|(before, _)| before == name)
        };
        if members.iter().enumerate().any(repeats) {
            return None;
        }
        match text(members.iter().find(|(name, _)| *name == "op")?.1)? {
            "admit" => self.request().map(|request| Plain::Admit(Ask::of(request))),
            "settle" => self.settlement(core).map(|(permit, closing)| Plain::Settle(permit, closing)),
            _ => None,
        }
    }

    fn request(&self) -> Option<Request<'a>> {
        let (mut key, mut model, mut provider, mut mcp_tool, mut sticky, mut id) =
            (None, None, None, None, None, None);
        let (mut amounts, mut request_type) = (Amounts::default(), RequestType::ChatCompletion);
        for (name, value) in &self.0 {
            match *name {
                "op" => {}
                "virtual_key" => key = Some(text(value)?),
                "model" => model = Some(text(value)?),
                "input_tokens" => amounts.input_tokens = Some(count(value)?),
                "max_output_tokens" => amounts.max_output_tokens = Some(count(value)?),
                "provider" => provider = Some(text(value)?),
                "request_type" => request_type = RequestType::from_text(text(value)?)?,
                "tokens" => amounts.tokens = Some(count(value)?),
                "cost_usd" => amounts.cost = Some(dollars(value)?),
                "mcp_tool" => mcp_tool = Some(text(value)?),
                "sticky" => sticky = Some(text(value)?),
                "id" => id = Some(text(value)?),
                _ => return None,
            }
        }
        Some(Request {
            caller: Caller::Value(key.filter(|key| !key.is_empty())?),
            provider: provider.unwrap_or(""),
            model,
            request_type,
            asked: Asked::new(&amounts, request_type).ok()?,
            mcp_tool,
            fallbacks: None,
            headers: &[],
            params: &[],
            sticky,
            id,
        })
    }

    fn settlement(&self, core: &Core) -> Option<(Handle, Closing)> {
        let (mut usage, mut permit, mut as_held) = (Usage::default(), None, false);
        for (name, value) in &self.0 {
            match *name {
                "op" => {}
                "permit" => permit = Some(core.permit_of(text(value)?).ok()?),
                "as_held" => as_held = flag(value)?,
                name => {
                    let word = Word::from_text(name)?;
                    let number = match word.form() {
                        Form::Count => count(value)?,
                        Form::Dollars => dollars(value)?.get(),
                        Form::Seconds | Form::Flag | Form::Text => return None,
                    };
                    usage.set(word, number).ok()?;
                }
            }
        }
        let closing =
            if as_held { usage.is_empty().then_some(Closing::AsHeld)? } else { Closing::Used(usage) };
        Some((permit?, closing))
    }

    /// The call as text.
    fn text(&self) -> String {
        let members: Vec<_> = self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// A text that is no longer than an argument may be.
fn text(value: &RawValue) -> Option<&str> {
    let text = value.get().strip_prefix('"')?.strip_suffix('"')?;
    (text.len() <= MAX_TEXT).then_some(text)
}

fn count(value: &RawValue) -> Option<i64> {
    value.get().parse().ok()
}

fn flag(value: &RawValue) -> Option<bool> {
    value.get().parse().ok()
}

/// An amount that is written out.
fn dollars(value: &RawValue) -> Option<NanoUsd> {
    let number = value.get();
    let is_plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if number.len() > LONGEST_NUMBER || !number.bytes().all(is_plain) {
        return None;
    }
    NanoUsd::from_decimal(number, Rounding::Up).ok()
}

/// Why the interpreter is needed.
enum Stop {
    Denied(Box<Denial>),
    Refused(Fault),
    /// Calls that are Python's, as their texts.
    Others(Vec<String>),
}

/// Answer plain calls for as long as they come and need nobody: how many calls that was, and what stands in the way of more.
fn decide(core: &Core, calls: &[Call<'_>], is_plain: bool, json: &mut Json) -> (usize, Option<Stop>) {
    let mut others = Vec::new();
    for (done, call) in calls.iter().enumerate() {
        match call.plain(core).filter(|_| is_plain) {
            None => others.push(call.text()),
            Some(_) if !others.is_empty() => return (done, Some(Stop::Others(others))),
            Some(plain) => {
                if let Err(stop) = plain.answer(core, json) {
                    return (done + 1, Some(stop));
                }
            }
        }
    }
    (calls.len(), (!others.is_empty()).then_some(Stop::Others(others)))
}

impl Plain<'_> {
    fn answer(&self, core: &Core, json: &mut Json) -> Result<(), Stop> {
        match self {
            Plain::Admit(ask) => match ask.answer(core, true).map_err(Stop::Refused)? {
                Answer::Permit(grant) => {
                    let said = ask.said(&grant);
                    Granted { core, grant: &grant, model: ask.model(), said: said.as_deref() }.write(json);
                }
                Answer::Denial(denial) => return Err(Stop::Denied(denial)),
            },
            Plain::Settle(permit, closing) => {
                let settled = core.engine.settle(*permit, closing, core.clock.now());
                write_settlement(&settled.map_err(Stop::Refused)?, json);
            }
        }
        json.end_item();
        Ok(())
    }
}

/// The results of a batch as a JSON list, each with its status in it; None where the body is no batch of at most `most`
/// calls. Calls that are not plain are answered by `others`, from their texts to a list of answers; and so are all where the
/// headers have a say in them. What is neither a permit nor a settlement is written by `told`.
pub(crate) fn answer<'py>(
    own: &Bound<'py, Engine>,
    body: &Bound<'py, PyBytes>,
    (most, is_plain): (usize, bool),
    others: &Bound<'py, PyAny>,
    told: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = own.py();
    let core = own.get().ready()?;
    let body = body.as_bytes();
    let batch = py.detach(|| Batch::read(body));
    let Some(batch) = batch.filter(|batch| batch.calls.len() <= most) else { return Ok(None) };
    let (mut json, mut calls) = (Json::list(batch.calls.len()), &batch.calls[..]);
    while !calls.is_empty() {
        let work = || core.work(|| decide(core, calls, is_plain, &mut json));
        let (done, stop) = py.detach(work).map_err(convert::raise)?;
        calls = &calls[done..];
        match stop {
            None => {}
            Some(Stop::Denied(denial)) => {
                json::tell(&mut json, told, Bound::new(py, DenialObject::new(denial))?.as_any())?;
            }
            Some(Stop::Refused(fault)) => {
                json::tell(&mut json, told, convert::raise(fault).value(py).as_any())?;
            }
            Some(Stop::Others(texts)) => {
                json::tell_all(&mut json, others.call1((texts,))?.cast::<PyList>()?, told)?;
            }
        }
    }
    Ok(Some(json.whole_list(py)))
}
