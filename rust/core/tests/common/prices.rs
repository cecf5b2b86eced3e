//! Engines with prices, for tests that are about these.

use std::sync::Arc;

use limen_core::answer::{Grant, PriceSource, Settlement};
use limen_core::engine::Engine;
use limen_core::permit::{Closing, Handle};
use limen_core::policy::Settings;
use limen_core::policy::edit::Edit;
use limen_core::pricing::{
    BaseRow, Catalogue, Cell, Effect, OverrideRow, Pattern, PricingPatch, RateCard, Scope,
};
use limen_core::request::{Amounts, Asked, KeyHandle, Request, RequestType};
use limen_core::units::{FemtoUsd, Millis};
use limen_core::usage::{Usage, Word};

use super::{engine, handle, key, money, request};

pub const CHAT: RequestType = RequestType::ChatCompletion;
/// Femto-dollars in a nano-dollar: a price of so much makes a token a nano-dollar.
pub const NANO: i64 = 1_000_000;

pub fn card(prices: &[(&str, i64)]) -> RateCard {
    let each = |(field, rate): &(&str, i64)| {
        let rate = FemtoUsd::new(*rate);
        Cell::of_field(field).expect("a field").map(move |cell| (cell, rate)).collect::<Vec<_>>()
    };
    RateCard::new(prices.iter().flat_map(each)).expect("few columns")
}

/// A token costs 3 nano-dollars in and 15 out.
pub fn plain() -> RateCard {
    card(&[("input_cost_per_token", 3 * NANO), ("output_cost_per_token", 15 * NANO)])
}

pub fn catalogue(rows: &[(&str, RateCard)]) -> Edit {
    let row = |(name, card): &(&str, RateCard)| BaseRow {
        name: (*name).into(),
        provider: None,
        card: card.clone(),
        in_part: false,
    };
    Edit::Catalogue(Arc::new(Catalogue::new(rows.iter().map(row).collect())))
}

pub fn patch(prices: &[(&str, i64)]) -> Effect {
    let mut patch = PricingPatch::default();
    for (field, rate) in prices {
        patch.set(field, FemtoUsd::new(*rate)).expect("a field");
    }
    Effect::Patch(patch)
}

/// For all models and everybody.
pub fn over(id: &str, effect: Effect) -> OverrideRow {
    OverrideRow {
        id: id.into(),
        created_at: Millis::new(0),
        scope: Scope::Global,
        virtual_key: None,
        provider: None,
        provider_key: None,
        pattern: Pattern::Prefix("".into()),
        request_types: vec![CHAT],
        effect,
    }
}

pub fn put(row: OverrideRow) -> Edit {
    Edit::PricingOverride(Box::new(row))
}

/// Key `k` under a budget of so many nano-dollars, with model `m` priced plainly.
pub fn under(settings: Settings, most: i64) -> (Engine, KeyHandle) {
    let edits = [key("k", vec![money("b", most, "1h")]), catalogue(&[("m", plain())])];
    let engine = engine(settings, &edits);
    let key = handle(&engine, "k");
    (engine, key)
}

pub fn asked(input: i64, most: Option<i64>) -> Asked {
    let amounts = Amounts { input_tokens: Some(input), max_output_tokens: most, ..Amounts::default() };
    Asked::new(&amounts, CHAT).expect("good amounts")
}

pub fn chat<'a>(key: KeyHandle, model: &'a str, asked: Asked) -> Request<'a> {
    Request { request_type: CHAT, ..request(key, "p", model, asked) }
}

pub fn words(words: &[(Word, i64)]) -> Usage {
    let mut usage = Usage::default();
    for (word, value) in words {
        usage.set(*word, *value).expect("not negative");
    }
    usage
}

pub fn tokens(prompt: i64, completion: i64) -> Usage {
    words(&[(Word::PromptTokens, prompt), (Word::CompletionTokens, completion)])
}

pub fn settle(engine: &Engine, permit: Handle, usage: &Usage) -> Settlement {
    engine.settle(permit, &Closing::Used(usage.clone()), Millis::new(0)).expect("good usage")
}

pub fn held(grant: &Grant) -> (i64, Option<PriceSource>) {
    (grant.held_nano_usd, grant.held_price)
}
