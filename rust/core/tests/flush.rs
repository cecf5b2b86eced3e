//! What a flush tells, and what goes on after a crash, one row after the other; at random it is in `oracle.rs`.

mod common;

use std::collections::BTreeMap;

use common::{amounts, anchored, ask, budget, customer, handle, key, key_row, limit, money, reading};
use common::{request, settings, settle, used};
use limen_core::answer::{Answer, Grant};
use limen_core::engine::Engine;
use limen_core::error::Code;
use limen_core::history::Told;
use limen_core::permit::{Closing, Handle};
use limen_core::policy::credentials::Seeds;
use limen_core::policy::edit::{Edit, LimitRow};
use limen_core::policy::{Kind, Settings, Window};
use limen_core::snapshot::Collected;
use limen_core::units::Millis;

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// An engine and what was written down of it.
struct Stored {
    engine: Engine,
    settings: Settings,
    edits: Vec<Edit>,
    boot: u32,
    permits: BTreeMap<u32, Vec<u8>>,
    counters: BTreeMap<i64, Vec<u8>>,
}

impl Stored {
    fn new(edits: &[Edit]) -> Stored {
        Stored::with(settings(), edits)
    }

    fn with(settings: Settings, edits: &[Edit]) -> Stored {
        let engine = Engine::booted(settings.clone(), Seeds::new(1, 2), 1);
        engine.keep_history(true);
        let (permits, counters) = (BTreeMap::new(), BTreeMap::new());
        let mut stored = Stored { engine, settings, edits: Vec::new(), boot: 1, permits, counters };
        stored.edit(edits, 0);
        stored
    }

    /// The configuration is written down with each edit.
    fn edit(&mut self, edits: &[Edit], now: i64) {
        let edits = anchored(&self.engine, edits, now);
        self.engine.apply(&edits, Millis::new(now)).expect("a good edit");
        self.edits.extend(edits);
    }

    fn flush(&mut self, now: i64) -> Collected {
        let collected = self.engine.collect(Millis::new(now));
        collected.gone.iter().for_each(|index| _ = self.permits.remove(index));
        collected.gone_counters.iter().for_each(|key| _ = self.counters.remove(key));
        self.permits.extend(collected.permits.iter().cloned());
        self.counters.extend(collected.counters.iter().map(|row| (row.key, row.row.clone())));
        collected
    }

    /// Two flushes: what was open at the first is old enough for the second.
    fn flush_twice(&mut self, now: i64) {
        self.flush(now);
        self.flush(now);
    }

    fn crash(&mut self, now: i64) {
        self.boot += 1;
        self.engine = Engine::booted(self.settings.clone(), Seeds::new(1, 2), self.boot);
        self.engine.keep_history(true);
        // Of each entity the last row.
        let last = self.edits.last().expect("there is a configuration").clone();
        self.engine.apply(&[last], Millis::new(now)).expect("a good edit");
        let counters: Vec<(i64, &[u8])> = self.counters.iter().map(|(key, row)| (*key, &row[..])).collect();
        let permits: Vec<(u32, &[u8])> = self.permits.iter().map(|(key, row)| (*key, &row[..])).collect();
        self.engine.restore_usage(&counters, &permits, Millis::new(now)).expect("good rows");
    }

    fn ask(&self, nano: i64, now: i64) -> Option<Handle> {
        ask(&self.engine, handle(&self.engine, "k"), nano, now)
    }

    fn budget(&self, now: i64) -> (i64, i64) {
        budget(&self.engine, "b", now)
    }
}

/// Permits that live on through all that is told here.
fn long() -> Settings {
    Settings { permit_ttl_ms: 100 * DAY, ..settings() }
}

fn row(per: &str, window: Window) -> LimitRow {
    LimitRow { number: 7, ..limit("b", Kind::Budget, 1_000, per, window) }
}

/// Key `k` with one budget.
fn one(per: &str, window: Window) -> Vec<Edit> {
    let mut key = key_row("k", &["p"], vec![row(per, window)]);
    key.number = 9;
    vec![Edit::VirtualKey(Box::new(key))]
}

#[test]
fn a_short_call_is_never_written_and_a_long_one_from_its_second_flush_on() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    let short = stored.ask(5, 1).expect("room");
    settle(&stored.engine, short, 0, 5, 2).expect("an open permit");
    let long = stored.ask(7, 3).expect("room");
    assert!(stored.flush(4).permits.is_empty());
    let keys =
        |collected: &Collected| -> Vec<u32> { collected.permits.iter().map(|(key, _)| *key).collect() };
    assert_eq!(keys(&stored.flush(5)), [long.index]);
    assert_eq!(stored.flush(6), Collected::default(), "nothing has changed");
    settle(&stored.engine, long, 0, 7, 7).expect("an open permit");
    assert_eq!(keys(&stored.flush(8)), [long.index]);
}

#[test]
fn a_row_is_gone_with_the_record_that_another_permit_gets() {
    let small = Settings { permit_ttl_ms: 10, max_open_permits: 1, ..settings() };
    let mut stored = Stored::with(small, &one("1h", Window::Fixed));
    let first = stored.ask(5, 1).expect("room");
    stored.flush_twice(2);
    assert_eq!(stored.permits.keys().copied().collect::<Vec<_>>(), [first.index]);
    settle(&stored.engine, first, 0, 5, 3).expect("an open permit");
    let second = stored.ask(5, 4).expect("the oldest closed one makes room");
    assert_eq!(second.index, first.index);
    let collected = stored.flush(5);
    assert_eq!((collected.gone, stored.permits.len()), (vec![first.index], 0));
}

#[test]
fn what_is_held_after_a_crash_is_what_permits_that_are_known_hold() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    let known = stored.ask(100, 1).expect("room");
    stored.flush(2);
    let lost = stored.ask(50, 3).expect("room");
    stored.flush(4);
    assert_eq!(stored.budget(4), (0, 150));
    stored.crash(5);
    assert_eq!(stored.budget(5), (0, 100));
    assert_eq!(settle(&stored.engine, lost, 0, 50, 6).expect_err("it is lost").code, Code::PermitNotFound);
    let settled = settle(&stored.engine, known, 0, 40, 7).expect("it is known");
    assert!(!settled.repeated && stored.budget(7) == (40, 0));
    assert!(settle(&stored.engine, known, 0, 40, 8).expect("it is known").repeated);
}

#[test]
fn no_more_permits_are_open_after_a_crash_than_may_be() {
    let mut stored = Stored::with(Settings { max_open_permits: 5, ..settings() }, &one("1h", Window::Fixed));
    for now in 0..3 {
        stored.ask(1, now).expect("room");
    }
    stored.flush_twice(4);
    stored.crash(5);
    let opened = (0..9).filter(|_| stored.ask(1, 6).is_some()).count();
    assert_eq!((opened, stored.engine.open_permits()), (2, 5));
}

#[test]
fn a_permit_that_was_closed_before_the_crash_answers_as_it_did() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    let permits: Vec<Handle> = (0..3).map(|_| stored.ask(10, 1).expect("room")).collect();
    stored.flush_twice(2);
    let settled = settle(&stored.engine, permits[0], 0, 30, 3).expect("an open permit");
    stored.engine.release(permits[1], true, Millis::new(3)).expect("an open permit");
    stored.flush(4);
    stored.crash(5);
    let again = settle(&stored.engine, permits[0], 0, 30, 6).expect("it is known");
    assert_eq!(again, limen_core::answer::Settlement { repeated: true, ..settled });
    assert_eq!(
        settle(&stored.engine, permits[0], 0, 31, 6).expect_err("other usage").code,
        Code::SettleConflict
    );
    stored.engine.release(permits[1], true, Millis::new(6)).expect("twice alike");
    assert_eq!(
        stored.engine.release(permits[1], false, Millis::new(6)).expect_err("the other flag").code,
        Code::PermitClosed
    );
    assert_eq!(stored.budget(6), (30, 10));
}

#[test]
fn no_permit_has_the_handle_of_one_that_was_lost() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    let mut lost = Vec::new();
    for now in 0..4 {
        lost.extend((0..3).map(|_| stored.ask(1, now).expect("room")));
        stored.crash(now);
        for handle in &lost {
            assert!(!stored.engine.knows(*handle));
        }
    }
    let given = stored.ask(1, 9).expect("room");
    assert!(!lost.contains(&given));
}

fn with_id(stored: &Stored, id: &str, now: i64) -> Result<Grant, Code> {
    let asked = amounts(Some(3), Some(5));
    let mut request = request(handle(&stored.engine, "k"), "p", "m", asked);
    request.id = Some(id);
    match stored.engine.admit(&request, Millis::new(now), &common::Still::at(now)) {
        Ok(Answer::Permit(grant)) => Ok(grant),
        Ok(Answer::Denial(denial)) => Err(denial.code),
        Err(fault) => Err(fault.code),
    }
}

#[test]
fn an_idempotency_id_is_written_at_once_and_answers_the_same_after_a_crash() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    let open = with_id(&stored, "open", 1).expect("room");
    let closed = with_id(&stored, "closed", 1).expect("room");
    settle(&stored.engine, closed.handle, 3, 5, 2).expect("an open permit");
    stored.flush(3);
    stored.crash(4);
    let again = with_id(&stored, "open", 5).expect("the same permit");
    assert_eq!(format!("{again:?}"), format!("{open:?}"));
    assert_eq!(with_id(&stored, "closed", 5).expect_err("its permit is closed"), Code::IdConflict);
    assert_eq!(stored.budget(5), (5, 5), "nothing was taken twice");
}

#[test]
fn the_id_of_the_later_of_two_permits_of_one_record_is_the_one_that_is_kept() {
    // Ids are told shard by shard: either of the two may come first.
    for number in 0..32 {
        let small = Settings { max_open_permits: 1, ..settings() };
        let mut stored = Stored::with(small, &one("1h", Window::Fixed));
        let earlier = with_id(&stored, &format!("earlier {number}"), 1).expect("room");
        settle(&stored.engine, earlier.handle, 3, 5, 1).expect("an open permit");
        let id = format!("later {number}");
        let later = with_id(&stored, &id, 2).expect("the closed one makes room");
        assert_eq!(later.handle.index, earlier.handle.index);
        stored.flush(3);
        stored.crash(4);
        assert_eq!(with_id(&stored, &id, 5).expect("the same permit").handle, later.handle, "{number}");
    }
}

#[test]
fn what_is_overdue_when_it_is_loaded_expires_by_its_rule() {
    let mut stored = Stored::with(Settings { permit_ttl_ms: 100, ..settings() }, &one("1h", Window::Fixed));
    let permit = stored.ask(100, 1).expect("room");
    stored.flush_twice(2);
    stored.crash(150);
    stored.engine.sweep(Millis::new(150));
    assert_eq!(stored.budget(150), (100, 0));
    let settled = settle(&stored.engine, permit, 0, 30, 160).expect("it is remembered");
    assert!(settled.expired && stored.budget(160) == (30, 0));
    stored.flush(161);
    stored.crash(1_000);
    assert!(settle(&stored.engine, permit, 0, 30, 1_000).is_err(), "it is forgotten");
    assert_eq!(stored.flush(1_001).gone, [permit.index]);
}

#[test]
fn an_edit_after_the_last_flush_moves_what_was_flushed() {
    use Window::{Calendar, Fixed, Sliding};
    // Before and after, when it is edited and when the engine is there again, and what is used and held then.
    let rows = [
        ("1h", Fixed, "1d", Fixed, 5, 5 * HOUR, (30, 100)),
        ("1h", Fixed, "1d", Fixed, HOUR, 5 * HOUR, (0, 0)),
        ("1d", Fixed, "1h", Fixed, 5, HOUR / 2, (30, 100)),
        ("1d", Fixed, "1h", Fixed, 10 * HOUR, 10 * HOUR + 9, (30, 100)),
        ("1d", Fixed, "1h", Fixed, 5, 5 * HOUR, (0, 0)),
        ("1d", Fixed, "1d", Calendar, 5, HOUR, (0, 0)),
        ("1d", Calendar, "1w", Calendar, 5, HOUR, (30, 100)),
        ("1d", Calendar, "2d", Fixed, 5, 30 * HOUR, (30, 100)),
        ("1h", Sliding, "1d", Fixed, 5, 5 * HOUR, (30, 100)),
        ("1h", Sliding, "1d", Fixed, 2 * HOUR, 5 * HOUR, (0, 0)),
        ("1h", Fixed, "1d", Sliding, 5, 5 * HOUR, (30, 100)),
        ("1h", Sliding, "1d", Sliding, HOUR / 2, 5 * HOUR, (30, 100)),
    ];
    for (before, old, after, new, edited, at, shown) in rows {
        let mut stored = Stored::with(long(), &one(before, old));
        let permit = stored.ask(30, 1).expect("room");
        settle(&stored.engine, permit, 0, 30, 2).expect("an open permit");
        let open = stored.ask(100, 3).expect("room");
        stored.flush_twice(4);
        let mut edits = one(after, new);
        let Edit::VirtualKey(key) = &mut edits[0] else { panic!("it is a key") };
        key.limits[0].since = Millis::new(edited);
        key.limits[0].anchor = match old {
            Sliding => Millis::new(edited),
            _ => reading(&stored.engine, "b", Kind::Budget, edited).start,
        };
        stored.engine.apply(&edits, Millis::new(edited)).expect("a good edit");
        stored.edits = edits;
        for crash in 0..2 {
            stored.crash(at);
            let told = format!("{before} {old:?} to {after} {new:?}, crash {crash}");
            assert_eq!(stored.budget(at), shown, "{told}");
            stored.flush(at);
        }
        settle(&stored.engine, open, 0, 40, at).expect("it is known");
        let now = stored.budget(at);
        assert_eq!(now, if shown == (0, 0) { shown } else { (70, 0) }, "{before} {old:?} to {after} {new:?}");
    }
}

fn periods(collected: &Collected) -> Vec<(i64, i64, Told)> {
    collected.periods.iter().map(|period| (period.start.get(), period.end.get(), period.told)).collect()
}

#[test]
fn a_period_is_told_when_it_rolls_and_corrected_when_a_permit_of_it_ends() {
    let mut stored = Stored::with(long(), &one("1h", Window::Fixed));
    let late: Vec<Handle> = (0..4).map(|_| stored.ask(100, 1).expect("room")).collect();
    settle(&stored.engine, late[0], 0, 20, 2).expect("an open permit");
    assert_eq!(stored.flush(3).periods, []);
    stored.ask(1, HOUR).expect("room");
    assert_eq!(periods(&stored.flush(HOUR)), [(0, HOUR, Told::Total(320))]);
    settle(&stored.engine, late[1], 0, 40, HOUR).expect("an open permit");
    settle(&stored.engine, late[2], 0, 130, HOUR).expect("an open permit");
    stored.engine.release(late[3], false, Millis::new(HOUR)).expect("an open permit");
    let told = periods(&stored.flush(HOUR));
    // What exceeds a hold is the new window's.
    assert_eq!(told, [(0, HOUR, Told::Correction(-60)), (0, HOUR, Told::Correction(-100))]);
    assert_eq!(stored.budget(HOUR), (30, 1));
}

#[test]
fn a_period_that_ends_while_nobody_is_there_is_told_by_the_next_roll() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    let permit = stored.ask(30, 1).expect("room");
    stored.flush_twice(2);
    stored.crash(5 * HOUR);
    stored.ask(1, 5 * HOUR).expect("room");
    assert_eq!(periods(&stored.flush(5 * HOUR)), [(0, HOUR, Told::Total(30))]);
    assert!(settle(&stored.engine, permit, 0, 10, 5 * HOUR).is_err(), "it is forgotten");
}

#[test]
fn an_edit_that_ends_a_period_tells_it() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    let permit = stored.ask(30, 1).expect("room");
    settle(&stored.engine, permit, 0, 25, 2).expect("an open permit");
    stored.edit(&one("1d", Window::Calendar), 3);
    assert_eq!(periods(&stored.flush(4)), [(0, HOUR, Told::Total(25))]);
}

#[test]
fn a_limit_that_is_deleted_tells_what_was_used_of_its_window() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    let permit = stored.ask(30, 1).expect("room");
    settle(&stored.engine, permit, 0, 25, 2).expect("an open permit");
    let open = stored.ask(10, 3).expect("room");
    stored.flush(4);
    stored.edit(&[key("k", vec![])], 5);
    settle(&stored.engine, open, 0, 10, 6).expect("an open permit");
    assert_eq!(periods(&stored.flush(7)), [(0, HOUR, Told::Total(25))]);
}

#[test]
fn nothing_is_told_of_periods_where_nobody_keeps_them() {
    let engine = common::engine(settings(), &[key("k", vec![money("b", 100, "1h")])]);
    ask(&engine, handle(&engine, "k"), 5, 1).expect("room");
    ask(&engine, handle(&engine, "k"), 5, HOUR).expect("room");
    assert_eq!(engine.collect(Millis::new(HOUR)).periods, []);
}

#[test]
fn a_permit_of_more_counters_than_fit_into_one_list_goes_on() {
    let configs = (0..7).map(|config| {
        let limits = ["1h", "2h", "3h", "4h", "5h"];
        let limit = |per: &&str| money(&format!("{config} {per}"), 1_000, per);
        limits.iter().map(limit).collect::<Vec<_>>()
    });
    let mut row = key_row("k", &["p"; 7], vec![]);
    for (config, limits) in row.provider_configs.iter_mut().zip(configs) {
        config.limits = limits;
    }
    let mut stored = Stored::new(&[Edit::VirtualKey(Box::new(row))]);
    let permit = stored.ask(10, 1).expect("room");
    stored.flush_twice(2);
    stored.crash(3);
    let count = |id: &str| budget(&stored.engine, id, 4);
    assert_eq!((count("0 1h"), count("6 5h")), ((0, 10), (0, 10)));
    stored.engine.settle(permit, &Closing::Used(used(0, 4)), Millis::new(4)).expect("it is known");
    assert_eq!((count("0 1h"), count("6 5h")), ((4, 0), (4, 0)));
}

#[test]
fn what_an_update_has_told_is_known_after_a_crash() {
    let mut stored = Stored::with(long(), &one("1h", Window::Fixed));
    let permit = stored.ask(10, 1).expect("room");
    stored.flush_twice(2);
    stored.engine.update(permit, &used(0, 30), Millis::new(3)).expect("an open permit");
    stored.engine.update(permit, &used(0, 50), Millis::new(HOUR)).expect("an open permit");
    stored.flush(HOUR);
    stored.crash(HOUR);
    assert_eq!(stored.budget(HOUR), (20, 0), "growth in another window is used there");
    let fallen = stored.engine.update(permit, &used(0, 40), Millis::new(HOUR));
    assert_eq!(fallen.expect_err("totals never fall").code, Code::InvalidRequest);
    settle(&stored.engine, permit, 0, 55, HOUR).expect("it is known");
    assert_eq!(stored.budget(HOUR), (25, 0));
}

#[test]
fn counters_of_limits_that_are_gone_are_named() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    stored.ask(10, 1).expect("room");
    stored.flush(2);
    let row = stored.counters[&(7 * 4 + 2)].clone();
    stored.edit(&[key("k", vec![])], 3);
    assert_eq!(stored.flush(4).gone_counters, [7 * 4 + 2]);
    let engine = common::engine(settings(), &[customer("c", vec![])]);
    let restored = engine.restore_usage(&[(7 * 4 + 2, &row)], &[], Millis::new(5)).expect("a good row");
    assert_eq!((restored.counters, restored.unknown), (0, vec![7 * 4 + 2]));
}

#[test]
fn rows_that_are_none_change_nothing() {
    let mut stored = Stored::new(&one("1h", Window::Fixed));
    with_id(&stored, "id", 1).expect("room");
    stored.flush(2);
    let (counter, permit) = (stored.counters[&30].clone(), stored.permits.iter().next().expect("a row"));
    let engine = Engine::booted(settings(), Seeds::new(1, 2), 2);
    engine.apply(&one("1h", Window::Fixed), Millis::new(0)).expect("a good configuration");
    let refused = |counter: &[u8], permit: &[u8], index: u32| {
        let answer = engine.restore_usage(&[(30, counter)], &[(index, permit)], Millis::new(3));
        assert_eq!(answer.expect_err("no row").code, Code::InvalidRequest);
        assert_eq!((budget(&engine, "b", 3), engine.open_permits()), ((0, 0), 0));
    };
    let index = *permit.0;
    for length in 0..counter.len() {
        refused(&counter[..length], permit.1, index);
    }
    for length in 0..permit.1.len() {
        refused(&counter, &permit.1[..length], index);
    }
    let longer = |row: &[u8]| [row, &[0]].concat();
    refused(&longer(&counter), permit.1, index);
    refused(&counter, &longer(permit.1), index);
    refused(&counter, permit.1, u32::MAX);
    // A permit that an engine of this boot gave out cannot have been before it.
    let same_boot = Engine::booted(settings(), Seeds::new(1, 2), 1);
    assert!(same_boot.restore_usage(&[], &[(index, permit.1)], Millis::new(3)).is_err());
    engine.restore_usage(&[(30, &counter)], &[(index, permit.1)], Millis::new(3)).expect("good rows");
    assert_eq!(budget(&engine, "b", 3), (0, 5));
    assert!(engine.restore_usage(&[], &[], Millis::new(3)).is_err(), "there are permits by now");
    assert_eq!(reading(&engine, "b", Kind::Budget, 3).start, Millis::new(0));
}
