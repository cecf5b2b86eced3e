//! The steps of one permit against each other and against the sweep, and the reuse of its record.

use std::sync::Arc;

use super::tiny::{ask, budget, engine, handle, key, limit, settings, settle, spent};
use super::{ANY, all, check, thread};
use crate::arena::Slot;
use crate::engine::Engine;
use crate::error::Code;
use crate::period::Epoch;
use crate::permit::{Entry, Handle, Held, Slab, State};
use crate::policy::{Kind, Settings, Window};
use crate::units::Millis;

/// What every permit here holds, of a budget that is large enough.
const HELD: i64 = 5;
/// A permit that is opened at 0 is overdue then; its window still counts.
const OVERDUE: i64 = 150;

fn with_a_permit(settings: Settings) -> (Arc<Engine>, Handle) {
    let money = limit("b", Kind::Budget, 100, "1m", Window::Fixed);
    let engine = engine(settings, &[key("k", None, None, vec![money])]);
    let permit = ask(&engine, handle(&engine, "k"), HELD, 0).expect("a large budget");
    (engine, permit)
}

#[test]
fn two_settles_alike_charge_once_and_one_is_told_so() {
    check(ANY, || {
        let (engine, permit) = with_a_permit(settings());
        let settles = (0..2).map(|_| thread(&engine, move |engine| settle(engine, permit, 3, 1))).collect();
        let answers: Vec<_> =
            all(settles).into_iter().map(|answer| answer.expect("the same usage")).collect();
        assert_eq!(answers.iter().filter(|answer| answer.repeated).count(), 1, "one of the two came second");
        assert!(answers.iter().all(|answer| answer.cost_nano_usd == 3), "both are told the same charge");
        assert_eq!(budget(&engine, "b", 1), (3, 0), "charged once");
        assert_eq!(engine.open_permits(), 0);
    });
}

#[test]
fn of_two_settles_with_different_usage_one_is_a_conflict() {
    check(ANY, || {
        let (engine, permit) = with_a_permit(settings());
        let settles =
            vec![3, 9].into_iter().map(|nano| thread(&engine, move |engine| settle(engine, permit, nano, 1)));
        let answers = all(settles.collect());
        let won = answers.iter().flatten().map(|answer| answer.cost_nano_usd).collect::<Vec<_>>();
        assert_eq!(won.len(), 1, "one permit, one outcome");
        assert!(
            answers.iter().any(|answer| matches!(answer, Err(fault) if fault.code == Code::SettleConflict))
        );
        assert_eq!(budget(&engine, "b", 1), (won[0], 0), "the outcome is what was charged");
    });
}

fn settles_against_the_sweep(give_back: bool) {
    check(ANY, move || {
        let (engine, permit) = with_a_permit(Settings { give_back_on_expiry: give_back, ..settings() });
        let steps = vec![
            thread(&engine, move |engine| settle(engine, permit, 7, OVERDUE).map(|answer| answer.expired)),
            thread(&engine, |engine| {
                engine.sweep(Millis::new(OVERDUE));
                Ok(true)
            }),
        ];
        assert_eq!(all(steps)[0], Ok(true), "a settle after the time to live is taken, and told");
        assert_eq!(budget(&engine, "b", OVERDUE), (7, 0), "the settle stands, whoever expired the permit");
        assert_eq!(engine.open_permits(), 0);
    });
}

#[test]
fn a_settle_and_an_expiry_that_charges_charge_once() {
    settles_against_the_sweep(false);
}

#[test]
fn a_settle_and_an_expiry_that_gives_back_charge_once() {
    settles_against_the_sweep(true);
}

#[test]
fn a_settle_in_time_beside_a_sweep_that_is_ahead_charges_once() {
    check(ANY, || {
        let (engine, permit) = with_a_permit(settings());
        let steps = vec![
            thread(&engine, move |engine| settle(engine, permit, 3, 99).is_ok()),
            thread(&engine, |engine| engine.sweep(Millis::new(100)) <= 1),
        ];
        assert_eq!(all(steps), [true, true]);
        assert_eq!(budget(&engine, "b", 100), (3, 0), "settled, or expired and corrected: the same charge");
    });
}

#[test]
fn an_update_beside_a_settle_adds_nothing_to_what_is_settled() {
    check(ANY, || {
        let (engine, permit) = with_a_permit(settings());
        let steps = vec![
            thread(&engine, move |engine| match engine.update(permit, &spent(8), Millis::new(1)) {
                Ok(over) => over.is_empty(),
                Err(fault) => fault.code == Code::PermitClosed,
            }),
            thread(&engine, move |engine| settle(engine, permit, 6, 1).is_ok()),
        ];
        assert_eq!(all(steps), [true, true]);
        assert_eq!(budget(&engine, "b", 1), (6, 0), "the settle replaces whatever was held");
    });
}

#[test]
fn an_update_beside_an_expiry_that_gives_back_leaves_nothing_held() {
    check(ANY, || {
        let (engine, permit) = with_a_permit(Settings { give_back_on_expiry: true, ..settings() });
        let steps = vec![
            thread(&engine, move |engine| engine.update(permit, &spent(8), Millis::new(99)).is_ok()),
            thread(&engine, |engine| engine.sweep(Millis::new(OVERDUE)) <= 1),
        ];
        all(steps);
        engine.sweep(Millis::new(OVERDUE));
        assert_eq!(budget(&engine, "b", OVERDUE), (0, 0), "all that was held was given back");
    });
}

#[test]
fn of_a_release_and_a_settle_one_happens() {
    check(ANY, || {
        let (engine, permit) = with_a_permit(settings());
        let steps = vec![
            thread(&engine, move |engine| settle(engine, permit, 3, 1).map(|_| ())),
            thread(&engine, move |engine| engine.release(permit, false, Millis::new(1))),
        ];
        let answers = all(steps);
        let closed = |answer: &Result<(), _>| matches!(answer, Err(fault) if is_closed(fault));
        assert!(answers[0].is_ok() != answers[1].is_ok(), "one permit, one outcome");
        assert!(closed(&answers[0]) != closed(&answers[1]), "the other is told that it is closed");
        let charged = if answers[0].is_ok() { 3 } else { 0 };
        assert_eq!(budget(&engine, "b", 1), (charged, 0), "the outcome is what was charged");
    });
}

fn is_closed(fault: &crate::error::Fault) -> bool {
    fault.code == Code::PermitClosed
}

#[test]
fn an_old_handle_never_reads_or_changes_the_permit_that_has_its_record_now() {
    check(3, || {
        // One record: it is given out anew although its last permit is remembered.
        let (engine, old) = with_a_permit(Settings { max_open_permits: 1, ..settings() });
        settle(&engine, old, 3, 1).expect("an open permit");
        let caller = handle(&engine, "k");
        let steps = vec![
            thread(&engine, move |engine| {
                match settle(engine, old, 3, 2) {
                    Ok(answer) => {
                        assert!(answer.repeated && answer.cost_nano_usd == 3, "its own answer: {answer:?}")
                    }
                    Err(fault) => assert_eq!(fault.code, Code::PermitNotFound, "or none"),
                }
                0
            }),
            thread(&engine, move |engine| {
                let new = ask(engine, caller, 4, 2).expect("the oldest closed record makes room");
                settle(engine, new, 2, 2).expect("an open permit").cost_nano_usd
            }),
        ];
        assert_eq!(all(steps)[1], 2);
        assert_eq!(budget(&engine, "b", 2), (5, 0), "each permit was charged once");
    });
}

/// A permit that remembers one counter, of this number.
fn remembering(slab: &Slab, number: u32) -> Held<'_> {
    let held = slab.take(Millis::new(0), 0).expect("room for eight");
    held.entries().push(entry(number));
    held.ends_at(Millis::new(1));
    held
}

fn entry(number: u32) -> Entry {
    Entry { slot: Slot { number, generation: 0 }, kind: Kind::Budget, epoch: Epoch::from_raw(0) }
}

fn remembers(held: &Held<'_>, number: u32) {
    let mut remembered = Vec::new();
    held.each(|entry, _| remembered.push(entry));
    assert_eq!(remembered, [entry(number)], "a permit remembers its own counters, and no other's");
}

#[test]
fn no_two_permits_share_a_body() {
    check(3, || {
        let slab = Arc::new(Slab::new(8, 0));
        // Two bodies on the stack of free ones.
        drop([remembering(&slab, 1), remembering(&slab, 2)]);
        let callers = vec![
            thread(&slab, |slab| {
                let (first, second) = (remembering(slab, 3), remembering(slab, 4));
                drop(first);
                remembers(&second, 4);
                second.leave(State::Open);
            }),
            thread(&slab, |slab| remembering(slab, 5).leave(State::Open)),
        ];
        all(callers);
        remembering(&slab, 6).leave(State::Open);
        let mut open = 0;
        slab.overdue(Millis::new(1), usize::MAX, |held| {
            held.each(|entry, _| open += entry.slot.number);
            drop(held);
        });
        assert_eq!(open, 4 + 5 + 6, "each open permit remembers what it was opened on");
    });
}

#[test]
fn as_many_permits_open_as_may_be_open() {
    check(3, || {
        let money = limit("b", Kind::Budget, 100, "1m", Window::Fixed);
        let engine =
            engine(Settings { max_open_permits: 2, ..settings() }, &[key("k", None, None, vec![money])]);
        let caller = handle(&engine, "k");
        let callers =
            (0..2).map(|_| thread(&engine, move |engine| ask(engine, caller, 1, 1).is_some())).collect();
        assert_eq!(all(callers), [true, true], "two may be open, and two were asked for");
        assert_eq!(engine.open_permits(), 2);
        assert_eq!(budget(&engine, "b", 1), (0, 2));
    });
}

#[test]
fn a_permit_that_is_opened_beside_a_sweep_is_found_at_its_end() {
    check(3, || {
        let (engine, _) = with_a_permit(Settings { give_back_on_expiry: true, ..settings() });
        let caller = handle(&engine, "k");
        let steps = vec![
            thread(&engine, |engine| engine.sweep(Millis::new(OVERDUE)) == 1),
            thread(&engine, move |engine| ask(engine, caller, HELD, OVERDUE).is_some()),
        ];
        assert_eq!(all(steps), [true, true]);
        assert_eq!(engine.sweep(Millis::new(OVERDUE + 99)), 0);
        assert_eq!(engine.sweep(Millis::new(OVERDUE + 100)), 1);
    });
}

#[test]
fn a_late_settle_beside_a_reset_takes_nothing_of_what_came_since() {
    check(3, || {
        let (engine, permit) = with_a_permit(settings());
        let caller = handle(&engine, "k");
        engine.sweep(Millis::new(OVERDUE));
        let steps = vec![
            thread(&engine, move |engine| settle(engine, permit, 1, OVERDUE).is_ok()),
            thread(&engine, move |engine| {
                engine.reset("b", Kind::Budget, Millis::new(OVERDUE)).expect("the limit exists");
                let since = ask(engine, caller, 2, OVERDUE).expect("a large budget");
                settle(engine, since, 2, OVERDUE).is_ok()
            }),
        ];
        assert_eq!(all(steps), [true, true]);
        assert_eq!(
            budget(&engine, "b", OVERDUE),
            (2, 0),
            "what was charged before is gone, whenever it is corrected"
        );
    });
}
