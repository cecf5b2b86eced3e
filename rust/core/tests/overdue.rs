//! What is overdue is found by a sweep, and nothing is looked for before anything can be.

mod common;

use common::{apply, ask, budget, engine, handle, key, money, settings};
use limen_core::policy::Settings;
use limen_core::policy::edit::Edit;
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
