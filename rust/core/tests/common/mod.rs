//! What the tests of the whole engine share: a small configuration, a world without surprises, short calls.
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

pub mod prices;

use std::sync::atomic::{AtomicU64, Ordering};

use limen_core::answer::{Answer, Denial, Grant, Settlement};
use limen_core::engine::Engine;
use limen_core::error::Fault;
use limen_core::period::Duration;
use limen_core::permit::{Closing, Handle};
use limen_core::policy::credentials::Seeds;
use limen_core::policy::edit::{Edit, KeyRow, LimitRow, NEVER, ProviderConfigRow};
use limen_core::policy::{Kind, Settings, UnknownPrice, Window};
use limen_core::request::{Amounts, Asked, Caller, KeyHandle, Request, RequestType, World};
use limen_core::units::{Millis, NanoUsd};
use limen_core::usage::{Usage, Word};
use limen_core::window::Reading;

/// A world in which no time passes beside the one that is stated, with its own sequence of draws.
pub struct Still {
    pub now: Millis,
    draws: AtomicU64,
}

impl Still {
    pub fn at(now: i64) -> Still {
        Still { now: Millis::new(now), draws: AtomicU64::new(now as u64) }
    }
}

impl World for Still {
    fn fine_now(&self) -> Millis {
        self.now
    }

    fn draw(&self) -> u64 {
        splitmix(self.draws.fetch_add(1, Ordering::Relaxed))
    }

    fn sha256(&self, text: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        for (place, byte) in text.iter().enumerate() {
            digest[place % 32] ^= byte.rotate_left(place as u32 / 32);
        }
        digest
    }
}

/// The number `index` of a sequence of well mixed ones.
pub fn splitmix(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub fn limit(id: &str, kind: Kind, limit: i64, per: &str, window: Window) -> LimitRow {
    let (per, anchor) = (Duration::parse(per).expect("a duration"), Millis::new(0));
    LimitRow { id: id.into(), number: new_number(), kind, limit, per, window, anchor, since: anchor }
}

pub fn money(id: &str, most: i64, per: &str) -> LimitRow {
    limit(id, Kind::Budget, most, per, Window::Fixed)
}

pub fn customer(id: &str, limits: Vec<LimitRow>) -> Edit {
    Edit::Customer { id: id.into(), name: id.into(), limits }
}

pub fn team(id: &str, customer: Option<&str>, limits: Vec<LimitRow>) -> Edit {
    Edit::Team { id: id.into(), name: id.into(), customer: customer.map(Into::into), limits }
}

pub fn provider(name: &str, limits: Vec<LimitRow>) -> Edit {
    Edit::Provider { name: name.into(), limits }
}

/// A key that may call any model on these providers.
pub fn key_row(id: &str, providers: &[&str], limits: Vec<LimitRow>) -> KeyRow {
    let config = |(place, provider): (usize, &&str)| ProviderConfigRow {
        id: place as i64,
        provider: (*provider).into(),
        weight: Some(1.0),
        allowed_models: vec!["*".into()],
        key_ids: None,
        limits: Vec::new(),
    };
    KeyRow {
        id: id.into(),
        name: id.into(),
        number: new_number() as u64,
        active: true,
        expires_at: NEVER,
        team: None,
        customer: None,
        credentials: None,
        limits,
        provider_configs: providers.iter().enumerate().map(config).collect(),
        mcp_configs: Vec::new(),
    }
}

/// A key that may call any model on provider `p`.
pub fn key(id: &str, limits: Vec<LimitRow>) -> Edit {
    Edit::VirtualKey(Box::new(key_row(id, &["p"], limits)))
}

pub fn settings() -> Settings {
    Settings { unknown_price: UnknownPrice::CountZero, ..Settings::default() }
}

pub fn engine(settings: Settings, edits: &[Edit]) -> Engine {
    let engine = Engine::new(settings, Seeds::new(1, 2));
    engine.apply(edits, Millis::new(0)).expect("a good configuration");
    engine
}

/// A number that no limit and no key has.
pub fn new_number() -> i64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed) as i64
}

/// Anchor limits as the entities do: a new one at the edit, another at the start of the window that runs.
pub fn anchored(engine: &Engine, edits: &[Edit], now: i64) -> Vec<Edit> {
    let now = Millis::new(now);
    let mut edits = edits.to_vec();
    for edit in &mut edits {
        let lists = match edit {
            Edit::Customer { limits, .. }
            | Edit::Team { limits, .. }
            | Edit::Provider { limits, .. }
            | Edit::ModelConfig { limits, .. } => vec![limits],
            Edit::VirtualKey(row) => {
                let configs = row.provider_configs.iter_mut().map(|config| &mut config.limits);
                configs.chain([&mut row.limits]).collect()
            }
            _ => continue,
        };
        for row in lists.into_iter().flatten() {
            match engine.read(&row.id, row.kind, now) {
                Ok(reading) => row.anchor = reading.start,
                Err(_) => (row.anchor, row.since) = (now, now),
            }
        }
    }
    edits
}

pub fn apply(engine: &Engine, edits: &[Edit], now: i64) {
    engine.apply(&anchored(engine, edits, now), Millis::new(now)).expect("a good edit");
}

pub fn handle(engine: &Engine, id: &str) -> KeyHandle {
    engine.handle_of_id(id).expect("the key exists").0
}

pub fn amounts(tokens: Option<i64>, nano: Option<i64>) -> Asked {
    let amounts = Amounts { tokens, cost: nano.map(NanoUsd::new), ..Amounts::default() };
    Asked::new(&amounts, RequestType::Embedding).expect("good amounts")
}

pub fn request<'a>(key: KeyHandle, provider: &'a str, model: &'a str, asked: Asked) -> Request<'a> {
    Request {
        caller: Caller::Handle(key),
        provider,
        model: Some(model),
        request_type: RequestType::Embedding,
        asked,
        mcp_tool: None,
        headers: &[],
        params: &[],
        fallbacks: None,
        sticky: None,
        id: None,
    }
}

pub fn admit(engine: &Engine, request: &Request<'_>, now: i64) -> Result<Grant, Box<Denial>> {
    match engine.admit(request, Millis::new(now), &Still::at(now)).expect("a good request") {
        Answer::Permit(grant) => Ok(grant),
        Answer::Denial(denial) => Err(denial),
    }
}

/// Ask provider `p` for money.
pub fn ask(engine: &Engine, key: KeyHandle, nano: i64, now: i64) -> Option<Handle> {
    let request = request(key, "p", "m", amounts(Some(0), Some(nano)));
    admit(engine, &request, now).ok().map(|grant| grant.handle)
}

pub fn used(tokens: i64, nano: i64) -> Usage {
    let mut usage = Usage::default();
    usage.set(Word::Tokens, tokens).expect("a good count");
    usage.set(Word::CostUsd, nano).expect("a good cost");
    usage
}

pub fn settle(
    engine: &Engine,
    permit: Handle,
    tokens: i64,
    nano: i64,
    now: i64,
) -> Result<Settlement, Fault> {
    engine.settle(permit, &Closing::Used(used(tokens, nano)), Millis::new(now))
}

pub fn reading(engine: &Engine, id: &str, kind: Kind, now: i64) -> Reading {
    engine.read(id, kind, Millis::new(now)).expect("the limit exists")
}

/// (used, held) of a budget.
pub fn budget(engine: &Engine, id: &str, now: i64) -> (i64, i64) {
    let reading = reading(engine, id, Kind::Budget, now);
    (reading.used, reading.held)
}
