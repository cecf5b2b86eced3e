//! What is overdue is found by a sweep, and nothing is looked for before anything can be. A refusal finds all of it.

mod common;

use common::{Still, amounts, apply, ask, budget, engine, handle, key, money, request, settings};
use limen_core::answer::Answer;
use limen_core::policy::Settings;
use limen_core::policy::edit::Edit;
use limen_core::request::World;
use limen_core::units::Millis;

fn lasting(permit_ttl_ms: i64) -> Settings {
    Settings { permit_ttl_ms, give_back_on_expiry: true, ..settings() }
}

fn sweep(engine: &limen_core::engine::Engine, now: i64) -> u64 {
    engine.sweep(Millis::new(now))
}

#[test]
fn a_permit_is_swept_at_its_end_however_often_was_swept_before() {
    let engine = engine(lasting(100), &[key("k", vec![money("b", 100, "1d")])]);
    ask(&engine, handle(&engine, "k"), 1, 0).expect("room");
    ask(&engine, handle(&engine, "k"), 1, 30).expect("room");
    let swept: Vec<i64> = (0..200).filter(|now| sweep(&engine, *now) > 0).collect();
    assert_eq!(swept, [100, 130]);
}

#[test]
fn a_permit_that_ends_before_those_that_were_open_already_is_swept_at_its_own_end() {
    let engine = engine(lasting(10_000), &[key("k", vec![money("b", 100, "1d")])]);
    ask(&engine, handle(&engine, "k"), 1, 0).expect("room");
    assert_eq!(sweep(&engine, 1), 0);
    apply(&engine, &[Edit::Settings(lasting(50))], 2);
    ask(&engine, handle(&engine, "k"), 2, 10).expect("room");
    assert_eq!((sweep(&engine, 59), sweep(&engine, 60)), (0, 1));
    assert_eq!(budget(&engine, "b", 60), (0, 1), "the first one lives on");
}

#[test]
fn a_permit_of_a_clock_set_back_is_swept_at_its_own_end() {
    let engine = engine(lasting(100), &[key("k", vec![money("b", 100, "1d")])]);
    ask(&engine, handle(&engine, "k"), 1, 1_000).expect("room");
    assert_eq!(sweep(&engine, 1_010), 0);
    ask(&engine, handle(&engine, "k"), 2, 500).expect("room");
    assert_eq!((sweep(&engine, 599), sweep(&engine, 600)), (0, 1));
}

#[test]
fn more_permits_than_one_sweep_looks_at_are_swept_by_several() {
    let engine = engine(lasting(100), &[key("k", vec![money("b", 1_000_000, "1d")])]);
    for _ in 0..10_000 {
        ask(&engine, handle(&engine, "k"), 1, 0).expect("room");
    }
    assert_eq!(sweep(&engine, 99), 0);
    let swept: Vec<u64> = (0..4).map(|_| sweep(&engine, 100)).collect();
    assert!(swept[0] < 10_000, "one sweep is bounded: {swept:?}");
    assert_eq!(swept.iter().sum::<u64>(), 10_000);
    assert_eq!(budget(&engine, "b", 100), (0, 0));
}

#[test]
fn nothing_is_refused_for_a_hold_that_is_overdue_wherever_it_is() {
    let edits = [key("others", vec![money("o", 1_000_000, "1d")]), key("ours", vec![money("b", 2, "1d")])];
    let engine = engine(lasting(100), &edits);
    let (others, ours) = (handle(&engine, "others"), handle(&engine, "ours"));
    ask(&engine, ours, 1, 0).expect("room");
    for _ in 0..100_000 {
        ask(&engine, others, 1, 0).expect("room");
    }
    ask(&engine, ours, 1, 0).expect("room");
    assert_eq!(ask(&engine, ours, 2, 99), None);
    ask(&engine, ours, 2, 100).expect("both have given back");
    assert_eq!((budget(&engine, "b", 100), budget(&engine, "o", 100)), ((0, 2), (0, 0)));
}

#[test]
fn each_permit_is_found_at_its_own_end_by_whoever_is_refused_for_it() {
    let engine = engine(lasting(1_000), &[key("k", vec![money("b", 500, "1d")])]);
    let key = handle(&engine, "k");
    for now in 0..500 {
        ask(&engine, key, 1, now).expect("room");
    }
    for now in 1_000..1_500 {
        ask(&engine, key, 1, now).expect("one has just given back");
        assert_eq!(ask(&engine, key, 1, now), None, "and no other at {now}");
    }
}

/// A world whose fine clock is ahead of the instant that a caller was given.
struct Ahead(Still);

impl World for Ahead {
    fn fine_now(&self) -> Millis {
        Millis::new(self.0.now.get() + 4)
    }

    fn draw(&self) -> u64 {
        self.0.draw()
    }

    fn sha256(&self, text: &[u8]) -> [u8; 32] {
        self.0.sha256(text)
    }
}

#[test]
fn what_is_overdue_on_the_fine_clock_is_swept_before_it_refuses() {
    let engine = engine(lasting(100), &[key("k", vec![money("b", 1, "1d")])]);
    let wanted = request(handle(&engine, "k"), "p", "m", amounts(Some(0), Some(1)));
    common::admit(&engine, &wanted, 0).expect("room");
    let answer =
        |now| engine.admit(&wanted, Millis::new(now), &Ahead(Still::at(now))).expect("a good request");
    assert!(matches!(answer(95), Answer::Denial(_)), "it is 99");
    assert!(matches!(answer(96), Answer::Permit(_)), "it is 100");
}
