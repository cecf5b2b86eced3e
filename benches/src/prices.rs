//! What does an exact price cost, beside the sum of four products of f64 that one would write instead?
//!
//! The card has all fields of a patch, so that thresholds and variants are looked at; the call uses four of them.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use limen_core::policy::edit::Edit;
use limen_core::pricing::{BaseRow, Catalogue, Cell, FIELDS, RateCard, cost, price};
use limen_core::request::RequestType;
use limen_core::units::FemtoUsd;
use limen_core::usage::{Usage, Word};

use crate::timing::{Effort, in_turn, print_ratio, side};
use crate::workloads::Workloads;

const CHAT: RequestType = RequestType::ChatCompletion;

/// A call in three ways: as usage words, as what four floats would be made of, and what it costs.
struct Call {
    usage: Usage,
    quantities: [i64; 4],
    nano: i64,
}

fn femto(text: &str) -> FemtoUsd {
    FemtoUsd::from_decimal(text).expect("a price").0
}

fn card(rates: &BTreeMap<String, String>, other: &str) -> RateCard {
    let prices = FIELDS.iter().flat_map(|field| {
        let rate = rates.get(*field).map_or(other, |rate| rate);
        Cell::of_field(field).expect("a field").map(move |cell| (cell, femto(rate)))
    });
    RateCard::new(prices).expect("few columns")
}

/// The price of the workloads' model, as an edit.
pub(crate) fn catalogue(workloads: &Workloads) -> Edit {
    let row = BaseRow {
        name: workloads.model.as_str().into(),
        provider: Some(workloads.provider.as_str().into()),
        card: card(&workloads.priced.rates, &workloads.priced.other_rates),
        in_part: false,
    };
    Edit::Catalogue(Arc::new(Catalogue::new(vec![row])))
}

/// What the pair's usage costs by it.
pub(crate) fn nano_of_pair(workloads: &Workloads) -> i64 {
    let rate = |field: &str| femto(&workloads.priced.rates[field]).get();
    let used = &workloads.used;
    let prompt = used.prompt_tokens * rate("input_cost_per_token");
    (prompt + used.completion_tokens * rate("output_cost_per_token") + 999_999) / 1_000_000
}

/// The calls of the workload, and the card they are priced by.
struct Priced {
    card: RateCard,
    floats: [f64; 4],
    calls: Vec<Call>,
}

impl Priced {
    fn new(workloads: &Workloads) -> Priced {
        let about = &workloads.priced;
        let fields = ["input", "cache_read", "cache_creation", "output"];
        let rates: [&str; 4] = fields.map(|start| {
            let found = about.rates.iter().find(|(field, _)| field.starts_with(start));
            &**found.expect("four prices").1
        });
        let calls = (0..about.calls).map(|more| {
            let mut usage = Usage::default();
            let mut of = BTreeMap::new();
            for (name, value) in &about.usage {
                usage.set(Word::from_text(name).expect("a word"), value + more).expect("not negative");
                of.insert(&**name, value + more);
            }
            let (read, written) = (of["cached_read_tokens"], of["cached_write_tokens"]);
            let quantities = [of["prompt_tokens"] - read - written, read, written, of["completion_tokens"]];
            let exact: i64 = quantities.iter().zip(rates).map(|(many, rate)| many * femto(rate).get()).sum();
            Call { usage, quantities, nano: (exact + 999_999) / 1_000_000 }
        });
        Priced {
            card: card(&about.rates, &about.other_rates),
            floats: rates.map(|rate| rate.parse().expect("a number")),
            calls: calls.collect(),
        }
    }
}

/// Prices, for a tool that counts instructions.
pub(crate) fn count(workloads: &Workloads, times: usize) {
    let Priced { card, calls, .. } = Priced::new(workloads);
    for call in calls.iter().cycle().take(times) {
        let call = black_box(call);
        assert!(price(black_box(&card), &call.usage, CHAT).exact.round_up().get() == call.nano);
    }
}

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let Priced { card, floats, calls } = Priced::new(workloads);
    for call in &calls {
        assert_eq!(price(&card, &call.usage, CHAT).exact.round_up().get(), call.nano);
    }

    let order: Vec<usize> = (0..effort.calls).map(|call| call % calls.len()).collect();
    let [peer, ours, lines] = in_turn(
        effort,
        [
            side(&order, |call| {
                let products = black_box(&calls[call].quantities).iter().zip(black_box(&floats));
                black_box(products.map(|(many, rate)| *many as f64 * rate).sum::<f64>());
            }),
            side(&order, |call| {
                let call = black_box(&calls[call]);
                assert!(price(black_box(&card), &call.usage, CHAT).exact.round_up().get() == call.nano);
            }),
            side(&order, |call| {
                let call = black_box(&calls[call]);
                let cost = cost(black_box(&card), &call.usage, CHAT);
                assert!(cost.price.exact.round_up().get() == call.nano && cost.lines.len() == 4);
            }),
        ],
    );
    print_ratio("price_call", ours, peer);
    print_ratio("price_lines", lines, peer);
}
