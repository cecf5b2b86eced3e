//! Prices where several things happen: threads at the last nano-dollar, edits of prices under traffic, a restart.

mod common;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;

use common::prices::{
    CHAT, NANO, asked, card, catalogue, chat, over, patch, plain, put, settle, tokens, under, words,
};
use common::{Still, admit, apply, budget, customer, engine, handle, key_row, money, settings, splitmix};
use limen_core::answer::{Answer, PriceSource};
use limen_core::engine::Engine;
use limen_core::policy::Settings;
use limen_core::policy::credentials::Seeds;
use limen_core::policy::edit::{Edit, Entity, KeyRow, LimitRow};
use limen_core::pricing::{Effect, OverrideRow, Pattern};
use limen_core::request::{Amounts, Asked};
use limen_core::units::Millis;
use limen_core::usage::Word;

#[test]
fn two_threads_at_the_last_nano_dollar_share_it_to_the_end_and_no_further() {
    const ROUNDS: i64 = 200;
    for round in 0..ROUNDS {
        // What is left pays for all calls but for one nano-dollar.
        let calls = 64;
        let (engine, key) = under(Settings::default(), calls * 33 - 1);
        let served = AtomicI64::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..calls {
                        if let Ok(grant) = admit(&engine, &chat(key, "m", asked(1, Some(2))), round) {
                            assert!(grant.held_nano_usd <= 33);
                            served.fetch_add(grant.held_nano_usd, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let (used, held) = budget(&engine, "b", round);
        assert_eq!((used, held), (0, served.into_inner()));
        // The last call had a token less: 32 left pay for one in and one out.
        assert_eq!(held, calls * 33 - 15);
    }
}

/// Over a million settles by price on two threads, while prices are edited: each counter shows what the permits say.
#[test]
fn every_nano_dollar_that_a_price_makes_is_in_every_counter_of_its_chain() {
    const SETTLES: u64 = 1_000_000;
    const THREADS: u64 = 2;
    let mut row = key_row("k", &["p"], vec![money("key", i64::MAX, "8000d")]);
    row.customer = Some("c".into());
    let edits = [
        customer("c", vec![money("customer", i64::MAX, "8000d")]),
        Edit::VirtualKey(Box::new(row)),
        catalogue(&[
            ("m", plain()),
            ("n", card(&[("input_cost_per_token", 7), ("output_cost_per_token", 11)])),
        ]),
    ];
    let engine = engine(settings(), &edits);
    let key = handle(&engine, "k");
    let (told, settled, edits) = (AtomicI64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (engine, told, settled) = (&engine, &told, &settled);
            scope.spawn(move || {
                for call in 0..SETTLES / THREADS {
                    let chance = splitmix(call << 1 | thread);
                    let model = if chance & 1 == 0 { "m" } else { "n" };
                    let (prompt, completion) = ((chance >> 8 & 0xfff) as i64, (chance >> 24 & 0xfff) as i64);
                    let request = chat(key, model, asked(prompt, Some(completion / 2)));
                    let Ok(Answer::Permit(grant)) = engine.admit(&request, Millis::new(0), &Still::at(0))
                    else {
                        panic!("there is room");
                    };
                    let now = settle(engine, grant.handle, &tokens(prompt, completion));
                    assert_eq!(now.price, PriceSource::Known);
                    told.fetch_add(now.cost_nano_usd, Ordering::Relaxed);
                    settled.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while settled.load(Ordering::Relaxed) < SETTLES {
                let round = edits.fetch_add(1, Ordering::Relaxed) as i64;
                let effect = match round % 3 {
                    0 => Effect::Free,
                    _ => patch(&[("input_cost_per_token", round % 1_000 * 997 + 1)]),
                };
                apply(&engine, &[put(over("o", effect))], 0);
                thread::yield_now();
            }
        });
    });
    let told = told.into_inner();
    assert!(told > 0 && edits.into_inner() > 10);
    assert_eq!(budget(&engine, "key", 0), (told, 0));
    assert_eq!(budget(&engine, "customer", 0), (told, 0));
}

#[test]
fn a_permit_settles_by_the_prices_of_its_admission_after_a_restart_too() {
    let row = KeyRow {
        number: 9,
        ..key_row("k", &["p"], vec![LimitRow { number: 7, ..money("b", i64::MAX, "1h") }])
    };
    let key = Edit::VirtualKey(Box::new(row));
    let boot = |number, catalogue: Edit| {
        let engine = Engine::booted(settings(), Seeds::new(1, 2), number);
        engine.apply(&[key.clone(), catalogue], Millis::new(0)).expect("a good configuration");
        engine
    };
    let patched = || patch(&[("input_cost_per_token", 5 * NANO)]);
    let first = boot(1, catalogue(&[("m", plain()), ("n", plain())]));
    let open = |model: &str, asked: Asked| {
        admit(&first, &chat(handle(&first, "k"), model, asked), 0).expect("room").handle
    };
    let usage = words(&[(Word::PromptTokens, 10), (Word::Batch, 1)]);
    let batch =
        Asked::new(&Amounts { usage: Some(usage), ..Amounts::default() }, CHAT).expect("good amounts");
    let mut expected = vec![(open("m", asked(10, Some(0))), 180, PriceSource::Known)];
    let in_batches = patch(&[("input_cost_per_token_batches", NANO)]);
    apply(
        &first,
        &[
            put(over("o", patched())),
            put(OverrideRow { pattern: Pattern::Exact("n".into()), ..over("n", in_batches) }),
        ],
        0,
    );
    expected.push((open("m", asked(10, Some(0))), 200, PriceSource::Known));
    expected.push((open("m", asked(10, Some(0))), 200, PriceSource::Known));
    expected.push((open("n", batch), 160, PriceSource::Known));
    apply(&first, &[put(over("o", Effect::Free))], 0);
    expected.push((open("m", asked(10, Some(0))), 0, PriceSource::Known));
    apply(&first, &[Edit::Delete { entity: Entity::PricingOverride, id: "o".into() }], 0);
    expected.push((open("unknown", asked(10, Some(0))), 0, PriceSource::Zero));

    let kept: Vec<_> = (0..2).map(|_| first.collect(Millis::new(0))).collect();
    let second = boot(2, catalogue(&[("m", card(&[("input_cost_per_token", 1)]))]));
    let counters: Vec<(i64, &[u8])> =
        kept.iter().flat_map(|kept| &kept.counters).map(|row| (row.key, &row.row[..])).collect();
    let permits: Vec<(u32, &[u8])> =
        kept.iter().flat_map(|kept| &kept.permits).map(|(index, row)| (*index, &row[..])).collect();
    assert_eq!(permits.len(), expected.len());
    second.restore_usage(&counters, &permits, Millis::new(0)).expect("good rows");
    // Edits of the new process take nothing from them.
    apply(&second, &[put(over("o", patch(&[("input_cost_per_token", 999)])))], 0);
    for (permit, nano, price) in expected {
        let settled = settle(&second, permit, &tokens(10, 10));
        assert_eq!((settled.cost_nano_usd, settled.price), (nano, price));
    }
}
