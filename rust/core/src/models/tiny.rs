//! An engine with as little around its counters as there can be: keys that call a tool, teams, customers.

use std::sync::Arc;

use crate::answer::{Answer, Denial, Settlement};
use crate::engine::Engine;
use crate::error::Fault;
use crate::period::Duration;
use crate::permit::{Closing, Handle};
use crate::policy::credentials::Seeds;
use crate::policy::edit::{Edit, KeyRow, LimitRow, NEVER};
use crate::policy::{Kind, Settings, UnknownPrice, Window};
use crate::request::{Amounts, Asked, Caller, KeyHandle, Request, RequestType, World};
use crate::units::{Millis, NanoUsd};
use crate::usage::{Usage, Word};

/// A world in which no time passes beside the one that is stated.
pub(super) struct Still(pub(super) Millis);

impl World for Still {
    fn fine_now(&self) -> Millis {
        self.0
    }

    fn draw(&self) -> u64 {
        0
    }

    fn sha256(&self, _text: &[u8]) -> [u8; 32] {
        [0; 32]
    }
}

pub(super) fn limit(id: &str, kind: Kind, limit: i64, per: &str, window: Window) -> LimitRow {
    let (per, anchor) = (Duration::parse(per).expect("a duration"), Millis::new(0));
    LimitRow { id: id.into(), number: 0, kind, limit, per, window, anchor, since: anchor }
}

pub(super) fn team(id: &str, customer: Option<&str>, limits: Vec<LimitRow>) -> Edit {
    Edit::Team { id: id.into(), name: id.into(), customer: customer.map(Into::into), limits }
}

pub(super) fn customer(id: &str, limits: Vec<LimitRow>) -> Edit {
    Edit::Customer { id: id.into(), name: id.into(), limits }
}

/// A key that may call any tool.
pub(super) fn key(id: &str, team: Option<&str>, customer: Option<&str>, limits: Vec<LimitRow>) -> Edit {
    Edit::VirtualKey(Box::new(KeyRow {
        id: id.into(),
        name: id.into(),
        number: crate::sync::next_number(),
        active: true,
        expires_at: NEVER,
        team: team.map(Into::into),
        customer: customer.map(Into::into),
        credentials: None,
        limits,
        provider_configs: Vec::new(),
        mcp_configs: vec![("tool".into(), vec!["*".into()])],
    }))
}

/// So long ago that what was closed then is forgotten.
const BEFORE: Millis = Millis::new(-1_000_000);

pub(super) fn settings() -> Settings {
    Settings { unknown_price: UnknownPrice::CountZero, permit_ttl_ms: 100, ..Settings::default() }
}

pub(super) fn engine(settings: Settings, edits: &[Edit]) -> Arc<Engine> {
    let engine = Engine::new(settings, Seeds::new(1, 2));
    let warm = key("warm", None, None, vec![limit("of warm", Kind::Budget, 1, "1m", Window::Fixed)]);
    engine.apply(&[warm], BEFORE).expect("a good configuration");
    engine.apply(edits, Millis::new(0)).expect("a good configuration");
    // The checker takes the making of a word for a write to it: the first chunks are made before there are threads.
    let permit = ask(&engine, handle(&engine, "warm"), 1, BEFORE.get()).expect("a unit for a unit");
    engine.release(permit, true, BEFORE).expect("an open permit");
    Arc::new(engine)
}

pub(super) fn handle(engine: &Engine, id: &str) -> KeyHandle {
    engine.handle_of_id(id).expect("the key exists").0
}

/// Ask for money: the permit, or why there is none.
pub(super) fn outcome(engine: &Engine, key: KeyHandle, nano: i64, now: i64) -> Result<Handle, Box<Denial>> {
    let now = Millis::new(now);
    let amounts = Amounts { cost: Some(NanoUsd::new(nano)), ..Amounts::default() };
    let request = Request {
        caller: Caller::Handle(key),
        provider: "",
        model: None,
        request_type: RequestType::default(),
        asked: Asked::new(&amounts, RequestType::default()).expect("good amounts"),
        mcp_tool: Some("tool/call"),
        headers: &[],
        params: &[],
        fallbacks: None,
        sticky: None,
        id: None,
    };
    match engine.admit(&request, now, &Still(now)).expect("a good request") {
        Answer::Permit(grant) => Ok(grant.handle),
        Answer::Denial(denial) => Err(denial),
    }
}

/// Ask for money that only limits may refuse.
pub(super) fn ask(engine: &Engine, key: KeyHandle, nano: i64, now: i64) -> Option<Handle> {
    let answer = outcome(engine, key, nano, now);
    if let Err(denial) = &answer {
        assert!(!denial.limits.is_empty(), "a refusal names the limits that refuse");
    }
    answer.ok()
}

pub(super) fn spent(nano: i64) -> Usage {
    let mut usage = Usage::default();
    usage.set(Word::CostUsd, nano).expect("a good cost");
    usage
}

pub(super) fn settle(engine: &Engine, permit: Handle, nano: i64, now: i64) -> Result<Settlement, Fault> {
    engine.settle(permit, &Closing::Used(spent(nano)), Millis::new(now))
}

/// (used, held) of a budget.
pub(super) fn budget(engine: &Engine, id: &str, now: i64) -> (i64, i64) {
    let reading = engine.read(id, Kind::Budget, Millis::new(now)).expect("the budget exists");
    (reading.used, reading.held)
}
