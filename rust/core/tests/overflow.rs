//! More than a counter can count: it stays full until its window ends, and what others hold and have used stays counted.
//! A limit that is more is refused.

mod common;

use common::{amounts, apply, engine, handle, key, limit, reading, request, settings, settle, used};
use limen_core::engine::Engine;
use limen_core::permit::{Closing, Handle};
use limen_core::policy::{Kind, Window};
use limen_core::units::Millis;
use limen_core::window::single::SlidingWindow;

const MINUTE: i64 = 60_000;
const FULL: i64 = i64::MAX;
/// What a sub-window shows in which more was counted than it can.
const SLOT_FULL: i64 = (1 << 46) - 1;

fn limited(most: i64, window: Window) -> Engine {
    engine(settings(), &[key("k", vec![limit("t", Kind::Tokens, most, "1m", window)])])
}

fn ask(engine: &Engine, tokens: i64, now: i64) -> Handle {
    let request = request(handle(engine, "k"), "p", "m", amounts(Some(tokens), None));
    common::admit(engine, &request, now).expect("room").handle
}

fn update(engine: &Engine, permit: Handle, tokens: i64, now: i64) {
    engine.update(permit, &used(tokens, 0), Millis::new(now)).expect("open");
}

/// (used, held).
fn shown(engine: &Engine, now: i64) -> (i64, i64) {
    let reading = reading(engine, "t", Kind::Tokens, now);
    (reading.used, reading.held)
}

/// One permit grows by more than there is while another holds 100, and then gives nearly all of it back.
fn overflow(engine: &Engine, end: impl Fn(&Engine, Handle)) {
    ask(engine, 100, 0);
    let growing = ask(engine, 1, 0);
    update(engine, growing, i64::MAX - 5, 1);
    end(engine, growing);
}

#[test]
fn whoever_overflows_a_counter_gives_nothing_of_what_others_hold_back() {
    let settled = |engine: &Engine, permit| assert!(settle(engine, permit, 5, 0, 2).is_ok());
    let released = |engine: &Engine, permit| engine.release(permit, false, Millis::new(2)).expect("open");
    for (name, end, used) in [("settle", &settled as &dyn Fn(&Engine, Handle), 5), ("release", &released, 0)]
    {
        for (window, most, full) in [(Window::Fixed, FULL, FULL), (Window::Sliding, 1_000, SLOT_FULL)] {
            let engine = limited(most, window);
            overflow(&engine, end);
            assert_eq!(shown(&engine, 3), (used, full - used), "{name} {window:?}");
            let after = if window == Window::Sliding { MINUTE + 1_000 } else { MINUTE };
            assert_eq!(shown(&engine, after - 1), (used, full - used), "{name} {window:?}");
            assert_eq!(shown(&engine, after), (0, 0), "{name} {window:?}: a new window is an empty one");
        }
    }
}

#[test]
fn what_was_charged_beyond_the_ledger_is_not_forgotten_when_the_first_to_overflow_it_settles() {
    let engine = limited(FULL, Window::Fixed);
    let (first, second) = (ask(&engine, 1, 0), ask(&engine, 1, 0));
    update(&engine, first, i64::MAX, 1);
    settle(&engine, second, 1_000, 0, 2).expect("open");
    settle(&engine, first, 1, 0, 3).expect("open");
    assert_eq!(shown(&engine, 4), (1_001, FULL - 1_001));
}

#[test]
fn what_is_used_stays_at_its_most_as_well() {
    let engine = limited(FULL, Window::Fixed);
    let (first, second) = (ask(&engine, 1, 0), ask(&engine, 1, 0));
    settle(&engine, first, i64::MAX, 0, 1).expect("open");
    settle(&engine, second, 100, 0, 2).expect("open");
    engine.reset("t", Kind::Tokens, Millis::new(3)).expect("the limit exists");
    assert_eq!(shown(&engine, 4), (FULL, 0), "nobody can tell what stands under it");
    assert_eq!(shown(&engine, MINUTE), (0, 0));
}

#[test]
fn exactly_the_most_is_no_overflow() {
    for (window, most) in [(Window::Fixed, FULL), (Window::Sliding, SLOT_FULL - 1)] {
        let engine = limited(most, window);
        let permit = ask(&engine, most, 0);
        assert_eq!(shown(&engine, 1), (0, most));
        settle(&engine, permit, 7, 0, 2).expect("open");
        assert_eq!(shown(&engine, 3), (7, 0), "{window:?}");
    }
}

#[test]
fn an_edit_of_the_window_carries_the_overflow_over() {
    for (before, after, full) in [
        (Window::Fixed, Window::Sliding, SLOT_FULL),
        (Window::Sliding, Window::Fixed, FULL),
        (Window::Fixed, Window::Fixed, FULL),
    ] {
        let engine = limited(1_000, before);
        ask(&engine, 100, 0);
        let growing = ask(&engine, 1, 0);
        update(&engine, growing, i64::MAX, 1);
        apply(&engine, &[key("k", vec![limit("t", Kind::Tokens, 1_000, "1h", after)])], 2);
        engine.settle(growing, &Closing::Used(used(5, 0)), Millis::new(3)).expect("open");
        assert_eq!(shown(&engine, 4), (5, full - 5), "{before:?} to {after:?}");
    }
}

#[test]
fn a_sliding_limit_of_more_than_a_sub_window_can_count_is_refused_and_changes_nothing() {
    let engine = limited(10, Window::Sliding);
    let made = |most, window| {
        engine.apply(&[key("k", vec![limit("t", Kind::Tokens, most, "1m", window)])], Millis::new(1))
    };
    for most in [SLOT_FULL, FULL] {
        let fault = made(most, Window::Sliding).expect_err("too large");
        assert_eq!(
            (fault.param.as_deref(), &*fault.message),
            (Some("limit"), "must be at most 70368744177662 in a sliding window")
        );
        assert!(SlidingWindow::new(most, MINUTE, 60).is_err());
    }
    let eleven = request(handle(&engine, "k"), "p", "m", amounts(Some(11), None));
    assert_eq!(common::admit(&engine, &eleven, 2).expect_err("the limit of before").limits[0].limit, 10);
    made(SLOT_FULL - 1, Window::Sliding).expect("the largest");
    made(FULL, Window::Fixed).expect("a fixed window counts more");
    made(FULL, Window::Sliding).expect_err("an edit of the window alone");
}
