//! Prices in decisions: what is held before a call, what is charged after it, and by whose prices.

mod common;

use common::prices::{
    CHAT, NANO, asked, card, catalogue, chat, held, over, patch, plain, put, settle, tokens, under, words,
};
use common::{admit, apply, budget, engine, handle, key, key_row, money, settings, splitmix};
use limen_core::answer::{PriceSource, Reason, Settlement};
use limen_core::engine::Engine;
use limen_core::policy::edit::{Edit, Entity};
use limen_core::policy::{Settings, UnknownPrice};
use limen_core::pricing::{Effect, Scope, price};
use limen_core::request::{Amounts, Asked, Request};
use limen_core::units::Millis;
use limen_core::usage::{Usage, Word, texts};

#[test]
fn the_input_and_the_output_that_may_come_are_held_and_the_usage_is_charged() {
    let (engine, key) = under(Settings::default(), 1_000_000);
    let grant = admit(&engine, &chat(key, "m", asked(100, Some(40))), 0).expect("there is room");
    assert_eq!(held(&grant), (100 * 3 + 40 * 15, Some(PriceSource::Known)));
    assert_eq!(budget(&engine, "b", 0), (0, 900));
    let settled = settle(&engine, grant.handle, &tokens(90, 10));
    assert_eq!((settled.cost_nano_usd, settled.price), (90 * 3 + 10 * 15, PriceSource::Known));
    assert!(!settled.overrun);
    assert_eq!(budget(&engine, "b", 0), (420, 0));
    // More than was held is charged in full, and said.
    let grant = admit(&engine, &chat(key, "m", asked(0, Some(1))), 0).expect("there is room");
    let settled = settle(&engine, grant.handle, &tokens(0, 2));
    assert_eq!((settled.cost_nano_usd, settled.overrun), (30, true));
    assert_eq!(budget(&engine, "b", 0), (450, 0));
}

#[test]
fn a_maximum_is_cut_to_what_the_money_left_pays_for() {
    for fit_deny in [false, true] {
        let (engine, key) = under(Settings { fit_deny, ..Settings::default() }, 1_000);
        let outcome = admit(&engine, &chat(key, "m", asked(100, Some(400))), 0);
        match outcome {
            Ok(grant) => {
                assert!(!fit_deny);
                // 300 for the input; 700 pay for 46 tokens and leave 10.
                assert_eq!((grant.max_output_tokens, grant.held_nano_usd), (Some(46), 990));
                let refused = admit(&engine, &chat(key, "m", asked(0, Some(1))), 0).expect_err("10 are left");
                assert_eq!((refused.limits[0].asked, refused.fits), (15, None));
            }
            Err(denial) => {
                assert!(fit_deny);
                assert_eq!((denial.fits, denial.limits[0].asked), (Some(46), 300 + 400 * 15));
            }
        }
        // What is stated is never cut.
        let denial = admit(&engine, &chat(key, "m", asked(334, Some(0))), 0).expect_err("1002 are asked");
        assert_eq!((denial.limits[0].asked, denial.limits[0].wait_ms.is_none()), (1_002, true));
    }
}

#[test]
fn a_guess_is_at_most_its_share_of_a_budget_and_refuses_nothing() {
    let (engine, key) = under(Settings::default(), 100_000);
    let guessed = |engine: &Engine, input| {
        admit(engine, &chat(key, "m", asked(input, None)), 0).map(|grant| grant.held_nano_usd)
    };
    // A tenth of the budget is 10,000: 666 tokens of output.
    assert_eq!(guessed(&engine, 0).expect("room"), 666 * 15);
    assert_eq!(guessed(&engine, 30_000).expect("room"), 90_000);
    assert_eq!(budget(&engine, "b", 0), (0, 99_990));
    assert_eq!(guessed(&engine, 3).expect("room"), 9);
    assert!(guessed(&engine, 3).is_err());
    assert_eq!(guessed(&engine, 0).expect("nothing is stated"), 0);
}

#[test]
fn the_hold_takes_the_tier_that_the_prompt_reaches() {
    let long = card(&[
        ("input_cost_per_token", 3 * NANO),
        ("output_cost_per_token", 15 * NANO),
        ("input_cost_per_token_above_200k_tokens", 6 * NANO),
        ("output_cost_per_token_above_200k_tokens", 22 * NANO),
    ]);
    let edits = [key("k", vec![money("b", i64::MAX, "1h")]), catalogue(&[("m", long)])];
    let engine = engine(settings(), &edits);
    let key = handle(&engine, "k");
    for (prompt, expected) in [(200_000, 200_000 * 3 + 150), (200_001, 200_001 * 6 + 220)] {
        let grant = admit(&engine, &chat(key, "m", asked(prompt, Some(10))), 0).expect("room");
        assert_eq!(grant.held_nano_usd, expected);
        assert_eq!(settle(&engine, grant.handle, &tokens(prompt, 10)).cost_nano_usd, expected);
    }
}

#[test]
fn how_a_call_is_made_holds_for_its_settle_unless_that_says_otherwise() {
    let prices = card(&[
        ("input_cost_per_token", 4 * NANO),
        ("input_cost_per_token_batches", 2 * NANO),
        ("input_cost_per_token_priority", 8 * NANO),
    ]);
    let edits = [key("k", vec![money("b", i64::MAX, "1h")]), catalogue(&[("m", prices)])];
    let engine = engine(settings(), &edits);
    let key = handle(&engine, "k");
    let tier = |name| {
        let place = texts(Word::ServiceTier).iter().position(|text| *text == name).expect("a tier");
        (Word::ServiceTier, place as i64)
    };
    let rows = [
        (vec![(Word::Batch, 1)], vec![], (20, 20)),
        (vec![(Word::Batch, 1)], vec![(Word::Batch, 0)], (20, 40)),
        (vec![tier("priority")], vec![], (80, 80)),
        (vec![tier("priority")], vec![tier("default")], (80, 40)),
        (vec![], vec![(Word::Batch, 1)], (40, 20)),
        (vec![], vec![tier("priority")], (40, 80)),
    ];
    for (before, after, expected) in rows {
        let prompt = (Word::PromptTokens, 10);
        let usage = words(&[&before[..], &[prompt, (Word::CompletionTokens, 0)]].concat());
        let amounts = Amounts { usage: Some(usage), ..Amounts::default() };
        let asked = Asked::new(&amounts, CHAT).expect("good amounts");
        let grant = admit(&engine, &chat(key, "m", asked), 0).expect("room");
        let settled = settle(&engine, grant.handle, &words(&[&after[..], &[prompt]].concat()));
        assert_eq!((grant.held_nano_usd, settled.cost_nano_usd), expected, "{before:?} {after:?}");
    }
}

#[test]
fn the_prices_of_the_admission_settle_it_whatever_is_edited_since() {
    let (engine, key) = under(settings(), i64::MAX);
    let admit = || admit(&engine, &chat(key, "m", asked(10, Some(0))), 0).expect("room").handle;
    let settle = |permit| {
        let settled = settle(&engine, permit, &tokens(10, 0));
        (settled.cost_nano_usd, settled.price)
    };
    let known = |nano| (nano, PriceSource::Known);
    let by_row = admit();
    apply(&engine, &[put(over("o", patch(&[("input_cost_per_token", 5 * NANO)])))], 0);
    let by_first = admit();
    apply(&engine, &[put(over("o", Effect::Free))], 0);
    let free = admit();
    let dearer = card(&[("input_cost_per_token", 7 * NANO)]);
    let delete = Edit::Delete { entity: Entity::PricingOverride, id: "o".into() };
    apply(&engine, &[delete, catalogue(&[("other", plain()), ("m", dearer)])], 0);
    let by_other_row = admit();
    apply(&engine, &[catalogue(&[])], 0);
    let unknown = admit();
    // Long after, as prices go, and not yet so for a permit.
    for round in 0..100 {
        let row = over("o", patch(&[("input_cost_per_token", round + 1)]));
        apply(&engine, &[put(row)], 600_000 + round);
    }
    assert_eq!(settle(by_row), known(30));
    assert_eq!(settle(by_first), known(50));
    assert_eq!(settle(free), known(0));
    assert_eq!(settle(by_other_row), known(70));
    assert_eq!(settle(unknown), (0, PriceSource::Zero));
}

#[test]
fn each_scope_of_an_override_is_met_by_its_own_calls() {
    let provider_key = Edit::ProviderKey {
        provider: "p".into(),
        id: "pk".into(),
        weight: Some(1.0),
        enabled: true,
        models: vec!["*".into()],
        batch: false,
    };
    let edits = [
        provider_key,
        key("k", vec![money("b", i64::MAX, "1h")]),
        Edit::VirtualKey(Box::new(key_row("other", &["p", "q"], vec![money("c", i64::MAX, "1h")]))),
        catalogue(&[("m", plain())]),
    ];
    let engine = engine(settings(), &edits);
    let cost = |id: &str, provider: &str| {
        let request = chat(handle(&engine, id), "m", asked(1, Some(0)));
        let grant = admit(&engine, &Request { provider, ..request }, 0).expect("room");
        settle(&engine, grant.handle, &tokens(1, 0)).cost_nano_usd
    };
    let three = || [cost("k", "p"), cost("other", "p"), cost("other", "q")];
    assert_eq!(three(), [3, 3, 3]);
    let rows = [
        (Scope::Global, [10, 10, 10]),
        (Scope::Provider, [20, 20, 10]),
        (Scope::ProviderKey, [30, 30, 10]),
        (Scope::VirtualKey, [40, 30, 10]),
        (Scope::VirtualKeyProvider, [50, 30, 10]),
        (Scope::VirtualKeyProviderKey, [60, 30, 10]),
    ];
    for (place, (scope, expected)) in rows.into_iter().enumerate() {
        use Scope as S;
        let rate = (place as i64 + 1) * 10 * NANO;
        let mut row = over(&format!("o{place}"), patch(&[("input_cost_per_token", rate)]));
        row.scope = scope;
        let of_key = matches!(scope, S::VirtualKey | S::VirtualKeyProvider | S::VirtualKeyProviderKey);
        row.virtual_key = of_key.then(|| "k".into());
        row.provider = matches!(scope, S::Provider | S::VirtualKeyProvider).then(|| "p".into());
        row.provider_key = matches!(scope, S::ProviderKey | S::VirtualKeyProviderKey).then(|| "pk".into());
        apply(&engine, &[put(row)], 0);
        assert_eq!(three(), expected, "{scope:?}");
    }
}

#[test]
fn an_unknown_price_is_met_as_the_settings_say() {
    use UnknownPrice as U;
    let half = card(&[("input_cost_per_token", 3 * NANO)]);
    let default = card(&[("input_cost_per_token", 100 * NANO), ("output_cost_per_token", 200 * NANO)]);
    // Policy, model, what is held or None where it is refused, and what is charged for ten and ten.
    let rows = [
        (U::DenyUnderBudget, "known", Some((180, PriceSource::Known)), (180, PriceSource::Known)),
        (U::DenyUnderBudget, "half", None, (0, PriceSource::Zero)),
        (U::DenyUnderBudget, "none", None, (0, PriceSource::Zero)),
        (U::Deny, "none", None, (0, PriceSource::Zero)),
        (U::CountZero, "half", Some((30, PriceSource::Zero)), (30, PriceSource::Zero)),
        (U::CountZero, "none", Some((0, PriceSource::Zero)), (0, PriceSource::Zero)),
        (U::DefaultPrice, "known", Some((180, PriceSource::Known)), (180, PriceSource::Known)),
        (U::DefaultPrice, "half", Some((2_030, PriceSource::Default)), (2_030, PriceSource::Default)),
        (U::DefaultPrice, "none", Some((3_000, PriceSource::Default)), (3_000, PriceSource::Default)),
    ];
    for (unknown_price, model, expected, charged) in rows {
        let edits = [
            key("k", vec![money("b", i64::MAX, "1h")]),
            key("open", Vec::new()),
            catalogue(&[("known", plain()), ("half", half.clone())]),
        ];
        let settings =
            Settings { unknown_price, default_price: Some(default.clone()), ..Settings::default() };
        let engine = engine(settings, &edits);
        let key = handle(&engine, "k");
        let told = |settled: Settlement| (settled.cost_nano_usd, settled.price);
        match admit(&engine, &chat(key, model, asked(10, Some(10))), 0) {
            Ok(grant) => {
                assert_eq!(Some(held(&grant)), expected.map(|(nano, source)| (nano, Some(source))));
                assert_eq!(told(settle(&engine, grant.handle, &tokens(10, 10))), charged, "{model}");
            }
            Err(denial) => {
                assert_eq!(
                    (denial.code.as_str(), expected),
                    ("price_unknown", None),
                    "{unknown_price:?} {model}"
                );
            }
        }
        // Without a budget nothing is held; what has a price is told.
        let open = admit(&engine, &chat(handle(&engine, "open"), model, asked(10, Some(10))), 0);
        assert_eq!(
            open.is_err(),
            unknown_price == U::Deny && expected.is_none(),
            "{unknown_price:?} {model}"
        );
        if let Ok(grant) = open {
            assert_eq!(held(&grant).0, 0);
            let known = if model == "half" && charged.0 == 0 { 30 } else { charged.0 };
            assert_eq!(settle(&engine, grant.handle, &tokens(10, 10)).cost_nano_usd, known);
        }
    }
}

#[test]
fn what_is_unknown_at_settle_is_what_was_held_or_the_known_part_if_that_is_more() {
    let half = card(&[("input_cost_per_token", 3 * NANO)]);
    let edits = [key("k", vec![money("b", i64::MAX, "1h")]), catalogue(&[("half", half)])];
    let engine = engine(Settings::default(), &edits);
    let key = handle(&engine, "k");
    for (prompt, expected) in [(10, 30), (9, 30), (20, 60)] {
        let grant = admit(&engine, &chat(key, "half", asked(10, Some(0))), 0).expect("known so far");
        let settled = settle(&engine, grant.handle, &tokens(prompt, 5));
        assert_eq!((settled.cost_nano_usd, settled.price), (expected, PriceSource::Held));
    }
    // No quantity is no usage of nothing.
    let grant = admit(&engine, &chat(key, "half", asked(10, Some(0))), 0).expect("known");
    let settled = settle(&engine, grant.handle, &words(&[(Word::ReportedCostUsd, 5)]));
    assert_eq!((settled.cost_nano_usd, settled.price), (30, PriceSource::Held));
}

#[test]
fn a_stated_cost_stands_for_prices_and_a_reported_one_where_it_is_believed() {
    for (trust_reported_cost, expected) in
        [(false, (30, PriceSource::Known)), (true, (77, PriceSource::Reported))]
    {
        let (engine, key) = under(Settings { trust_reported_cost, ..Settings::default() }, i64::MAX);
        let admit = || admit(&engine, &chat(key, "m", asked(10, Some(0))), 0).expect("room").handle;
        let reported = [(Word::PromptTokens, 10), (Word::ReportedCostUsd, 77)];
        let settled = settle(&engine, admit(), &words(&reported));
        assert_eq!((settled.cost_nano_usd, settled.price), expected);
        let stated = settle(&engine, admit(), &words(&[&reported[..], &[(Word::CostUsd, 5)]].concat()));
        assert_eq!((stated.cost_nano_usd, stated.price), (5, PriceSource::Stated));
    }
}

#[test]
fn a_stream_holds_what_its_totals_cost() {
    let (engine, key) = under(Settings::default(), 1_000);
    let grant = admit(&engine, &chat(key, "m", asked(10, Some(10))), 0).expect("room");
    let update = |usage: Usage| engine.update(grant.handle, &usage, Millis::new(0)).expect("it grows");
    assert_eq!(budget(&engine, "b", 0), (0, 180));
    assert!(update(tokens(10, 5)).is_empty());
    assert_eq!(budget(&engine, "b", 0), (0, 180));
    assert!(update(tokens(10, 20)).is_empty());
    assert_eq!(budget(&engine, "b", 0), (0, 330));
    assert_eq!(update(tokens(10, 70)).len(), 1);
    assert_eq!(budget(&engine, "b", 0), (0, 1_080));
    let settled = settle(&engine, grant.handle, &tokens(10, 60));
    assert_eq!((settled.cost_nano_usd, settled.overrun), (930, false));
    assert_eq!(budget(&engine, "b", 0), (930, 0));
}

#[test]
fn a_target_without_a_price_is_left_out() {
    let row = key_row("k", &["p", "q"], vec![money("b", i64::MAX, "1h")]);
    let edits = [Edit::VirtualKey(Box::new(row)), catalogue(&[("q/m", plain())])];
    let engine = engine(Settings::default(), &edits);
    for now in 0..20 {
        let request = Request { provider: "", ..chat(handle(&engine, "k"), "m", asked(10, Some(0))) };
        let grant = admit(&engine, &request, now).expect("q can serve");
        assert_eq!(grant.held_nano_usd, 30);
        assert_eq!(settle(&engine, grant.handle, &tokens(10, 0)).cost_nano_usd, 30);
    }
    let request = chat(handle(&engine, "k"), "m", asked(10, Some(0)));
    let fallbacks = ["p/other"];
    let request = Request { fallbacks: Some(&fallbacks), ..request };
    let denial = admit(&engine, &request, 0).expect_err("p has no price");
    assert_eq!(denial.code.as_str(), "price_unknown");
    assert!(denial.excluded.iter().all(|target| target.reason == Reason::PriceUnknown));
    assert_eq!(denial.excluded.len(), 2);
}

/// The same row by the engine as by the card alone.
#[test]
fn a_settled_price_is_the_price_of_the_card() {
    let cached = card(&[
        ("input_cost_per_token", 2_500_001),
        ("output_cost_per_token", 10_000_003),
        ("cache_read_input_token_cost", 1_250_007),
        ("search_context_cost_per_query", 35_000_000_000_000),
    ]);
    let edits = [key("k", vec![money("b", i64::MAX, "1h")]), catalogue(&[("m", cached.clone())])];
    let engine = engine(settings(), &edits);
    let key = handle(&engine, "k");
    for round in 0..1_000 {
        let part = |shift: u32| (splitmix(round) >> shift & 0x3ff) as i64;
        let usage = words(&[
            (Word::PromptTokens, part(0)),
            (Word::CachedReadTokens, part(10)),
            (Word::CompletionTokens, part(20)),
            (Word::Searches, part(30) % 3),
        ]);
        let grant = admit(&engine, &chat(key, "m", asked(part(0), Some(9))), 0).expect("room");
        let alone = price(&cached, &usage, CHAT).exact.round_up().get();
        assert_eq!(settle(&engine, grant.handle, &usage).cost_nano_usd, alone);
    }
}
