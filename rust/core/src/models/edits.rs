//! Edits against traffic: the swap of the snapshot, the seal of the old counter and the seed of the new.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::AtomicBool;

use super::tiny::{ask, budget, engine, handle, key, limit, settings, settle};
use super::{all, check, thread};
use crate::engine::Engine;
use crate::policy::edit::Edit;
use crate::policy::{Kind, Settings, Window};
use crate::request::KeyHandle;
use crate::units::Millis;

/// The key with a budget of this shape.
fn with(most: i64, per: &str, window: Window) -> Edit {
    key("k", None, None, vec![limit("b", Kind::Budget, most, per, window)])
}

fn start(settings: Settings, first: &Edit) -> (Arc<Engine>, KeyHandle) {
    let engine = engine(settings, core::slice::from_ref(first));
    let caller = handle(&engine, "k");
    (engine, caller)
}

fn edit(engine: &Engine, to: &Edit, now: i64) {
    engine.apply(core::slice::from_ref(to), Millis::new(now)).expect("a good edit");
}

/// Every edit of shape that there is, and one between two lengths of each window.
const SHAPES: [(&str, Window, &str, Window); 4] = [
    ("1m", Window::Fixed, "2m", Window::Fixed),
    ("1m", Window::Fixed, "1m", Window::Sliding),
    ("1m", Window::Sliding, "1m", Window::Fixed),
    ("1m", Window::Sliding, "2m", Window::Sliding),
];

#[test]
fn what_begins_after_an_edit_was_answered_sees_it() {
    check(3, || {
        let (engine, caller) = start(settings(), &with(1, "1m", Window::Fixed));
        let answered = Arc::new(AtomicBool::new(false));
        let seen = answered.clone();
        let steps = vec![
            thread(&engine, move |engine| {
                edit(engine, &with(0, "1m", Window::Fixed), 1);
                answered.store(true, Ordering::Release);
                false
            }),
            thread(&engine, move |engine| {
                let after = seen.load(Ordering::Acquire);
                let passed = ask(engine, caller, 1, 1).is_some();
                assert!(!(after && passed), "the old limit admitted after the edit had been answered");
                passed
            }),
        ];
        let passed = all(steps)[1];
        assert_eq!(budget(&engine, "b", 1), (0, i64::from(passed)), "an edit never touches usage");
        assert!(ask(&engine, caller, 1, 1).is_none(), "and nothing passes any more");
    });
}

/// The last unit, asked for on the old snapshot and on the new.
fn last_unit((per, window, new_per, new_window): (&'static str, Window, &'static str, Window)) {
    check(2, move || {
        let (engine, caller) = start(settings(), &with(1, per, window));
        let steps = vec![
            thread(&engine, move |engine| i64::from(ask(engine, caller, 1, 1).is_some())),
            thread(&engine, move |engine| {
                edit(engine, &with(1, new_per, new_window), 1);
                i64::from(ask(engine, caller, 1, 1).is_some())
            }),
        ];
        assert_eq!(
            all(steps).into_iter().sum::<i64>(),
            1,
            "one unit, one permit, whichever snapshot it was on"
        );
        assert_eq!(budget(&engine, "b", 1), (0, 1), "and the counter of the new snapshot tells it");
    });
}

/// A permit that is opened and settled, while the counter that it was taken from is succeeded.
fn settled((per, window, new_per, new_window): (&'static str, Window, &'static str, Window)) {
    check(2, move || {
        let (engine, caller) = start(settings(), &with(9, per, window));
        let before = ask(&engine, caller, 2, 1).expect("room");
        let steps = vec![
            thread(&engine, move |engine| {
                settle(engine, before, 3, 1).expect("an open permit");
                let permit = ask(engine, caller, 2, 1).expect("room");
                settle(engine, permit, 1, 1).expect("an open permit");
            }),
            thread(&engine, move |engine| edit(engine, &with(9, new_per, new_window), 1)),
        ];
        all(steps);
        assert_eq!(budget(&engine, "b", 1), (4, 0), "no charge was lost, none was doubled");
    });
}

#[test]
fn an_edit_of_a_fixed_window_to_another_length_admits_the_last_unit_once() {
    last_unit(SHAPES[0]);
}

#[test]
fn an_edit_of_a_fixed_window_to_a_sliding_one_admits_the_last_unit_once() {
    last_unit(SHAPES[1]);
}

#[test]
fn an_edit_of_a_sliding_window_to_a_fixed_one_admits_the_last_unit_once() {
    last_unit(SHAPES[2]);
}

#[test]
fn two_edits_of_shape_in_one_batch_close_nothing_before_they_are_published() {
    check(2, || {
        let (engine, caller) = start(settings(), &with(1, "1m", Window::Fixed));
        let steps = vec![
            thread(&engine, move |engine| i64::from(ask(engine, caller, 1, 1).is_some())),
            thread(&engine, move |engine| {
                let batch = [with(1, "2m", Window::Fixed), with(1, "3m", Window::Fixed)];
                engine.apply(&batch, Millis::new(1)).expect("good edits");
                i64::from(ask(engine, caller, 1, 1).is_some())
            }),
        ];
        assert_eq!(
            all(steps).into_iter().sum::<i64>(),
            1,
            "one unit, one permit, whichever snapshot it was on"
        );
        assert_eq!(budget(&engine, "b", 1), (0, 1), "and the counter of the new snapshot tells it");
    });
}

#[test]
fn an_edit_of_a_fixed_window_to_another_length_keeps_every_charge() {
    settled(SHAPES[0]);
}

#[test]
fn an_edit_of_a_fixed_window_to_a_sliding_one_keeps_every_charge() {
    settled(SHAPES[1]);
}

#[test]
fn an_edit_of_a_sliding_window_to_a_fixed_one_keeps_every_charge() {
    settled(SHAPES[2]);
}

#[test]
fn an_edit_of_a_sliding_window_to_another_length_keeps_every_charge() {
    settled(SHAPES[3]);
}

#[test]
fn what_an_edit_meets_between_the_head_and_the_slot_is_carried_over_whole() {
    check(2, || {
        let (engine, caller) = start(settings(), &with(9, "1m", Window::Sliding));
        let now = 35_000;
        let steps = vec![
            // The first of its sub-window: the slot is still empty when the seal comes.
            thread(&engine, move |engine| {
                let permit = ask(engine, caller, 2, now).expect("room");
                settle(engine, permit, 1, now).expect("an open permit");
            }),
            thread(&engine, move |engine| edit(engine, &with(9, "1m", Window::Fixed), now)),
        ];
        all(steps);
        assert_eq!(budget(&engine, "b", now), (1, 0), "no charge was lost, none was doubled");
    });
}

#[test]
fn a_release_and_an_expiry_follow_an_edit() {
    check(2, || {
        let (engine, caller) =
            start(Settings { give_back_on_expiry: true, ..settings() }, &with(9, "1m", Window::Fixed));
        let (first, _second) = (ask(&engine, caller, 2, 1), ask(&engine, caller, 4, 1));
        let first = first.expect("room");
        let steps = vec![
            thread(&engine, move |engine| {
                engine.release(first, false, Millis::new(1)).expect("an open permit");
                engine.sweep(Millis::new(200));
            }),
            thread(&engine, |engine| edit(engine, &with(9, "2m", Window::Fixed), 1)),
        ];
        all(steps);
        assert_eq!(budget(&engine, "b", 200), (0, 0), "all that was held was given back, wherever it stood");
    });
}

#[test]
fn what_has_left_a_sliding_window_is_not_carried_over() {
    check(2, || {
        let (engine, caller) = start(settings(), &with(9, "1m", Window::Sliding));
        ask(&engine, caller, 2, 1).expect("room");
        let late = 100_000;
        let steps = vec![
            thread(&engine, move |engine| {
                ask(engine, caller, 4, late).expect("what was taken before has left");
            }),
            thread(&engine, move |engine| edit(engine, &with(9, "2m", Window::Fixed), late)),
        ];
        all(steps);
        assert_eq!(budget(&engine, "b", late).1, 4, "held is what still counts");
    });
}
