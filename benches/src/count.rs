//! One kind of call a given number of times, for a tool that counts instructions.

use limen_core::answer::Answer;
use limen_core::request::Caller;
use limen_core::units::Millis;
use limen_core::window::single::{FixedWindow, SlidingWindow};

use crate::denial::brimful;
use crate::keyed::{Answer as Took, Keys, Shape};
use crate::policy::{Call, handles, now, roomy};
use crate::workloads::{Levels, Workloads};
use crate::{edits, priced, prices};

/// `count NAME TIMES`, NAME being `check_string`, `check_handle`, `sliding_take`, `sliding_turn`, `denial_typical`,
/// `denial_full`, `price_all`, `typical_priced`, `edit_few`, `edit_many`, or a pair's: `typical` or `full`, `string` or
/// `handle`, joined by `_`.
pub(crate) fn run(workloads: &Workloads, name: &str, times: usize) {
    match name.split_once('_').expect("two words") {
        ("check", "string") => checks_by_string(workloads, times),
        ("check", _) => checks_by_handle(workloads, times),
        ("sliding", "take") => sliding(workloads, times, 0),
        ("sliding", _) => sliding(workloads, times, 1),
        ("typical", "priced") => priced::count(workloads, times),
        ("price", _) => prices::count(workloads, times),
        ("edit", "few") => edits::count(workloads, workloads.keys.few, times),
        ("edit", _) => edits::count(workloads, workloads.keys.many, times),
        ("denial", chain) => denials(workloads, chain, times),
        (chain, caller) => pairs(workloads, chain, caller == "string", times),
    }
}

fn levels<'a>(workloads: &'a Workloads, chain: &str) -> &'a Levels {
    match chain {
        "typical" => &workloads.levels.typical,
        _ => &workloads.levels.full,
    }
}

fn checks_by_string(workloads: &Workloads, times: usize) {
    let (limit, per_ms) = (workloads.sliding.limit, workloads.sliding.per_ms);
    let table = Keys::new(limit, per_ms, Shape::Fixed, workloads.keys.cold).expect("a small limit");
    let value = workloads.value(0);
    assert_eq!(table.take_new(&value, 1, now(), &table.view()), Took::Taken);
    for _ in 0..times {
        assert_eq!(table.take_known(&value, 1, now(), &table.view()), Some(true));
    }
}

fn checks_by_handle(workloads: &Workloads, times: usize) {
    let window = FixedWindow::new(workloads.sliding.limit, workloads.sliding.per_ms, Millis::new(0));
    for _ in 0..times {
        assert!(window.take(1, now()));
    }
}

/// Takes of a sliding window, each so many sub-windows after the one before.
fn sliding(workloads: &Workloads, times: usize, turns: i64) {
    let about = &workloads.sliding;
    let window = SlidingWindow::new(about.limit, about.per_ms, about.buckets).expect("a small limit");
    let step = turns * about.per_ms / about.buckets;
    for take in 0..times as i64 {
        assert!(window.take(1, Millis::new(1 + take * step)));
    }
}

fn denials(workloads: &Workloads, chain: &str, times: usize) {
    let engine = brimful(workloads, levels(workloads, chain), 1);
    let (call, value) = (Call::new(workloads), workloads.value(0));
    for _ in 0..times {
        assert!(matches!(call.admit(&engine, Caller::Value(&value)), Answer::Denial(_)));
    }
}

fn pairs(workloads: &Workloads, chain: &str, by_string: bool, times: usize) {
    let limit = |kind, _| workloads.roomy(kind);
    let engine = roomy(workloads, levels(workloads, chain), &limit).build(1);
    let (value, handle) = (workloads.value(0), handles(&engine, 1)[0]);
    let caller = if by_string { Caller::Value(&value) } else { Caller::Handle(handle) };
    let call = Call::new(workloads);
    for _ in 0..times {
        call.pair(&engine, caller);
    }
}
