//! Counters out of one engine and into another: each in the window that it was counted in, all or a clear error.

mod common;

use common::{admit, amounts, apply, ask, budget, customer, engine, handle, key, key_row, limit, money};
use common::{reading, request, settings};
use limen_core::engine::Engine;
use limen_core::policy::edit::{Edit, LimitRow};
use limen_core::policy::{Kind, Window};
use limen_core::snapshot::Restored;
use limen_core::units::Millis;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// 2024-01-01 and 2024-02-01 at 00:00 UTC.
const JANUARY: i64 = 1_704_067_200_000;
const FEBRUARY: i64 = JANUARY + 31 * DAY;

fn begun(now: i64, edits: &[Edit]) -> Engine {
    let engine = engine(settings(), &[]);
    apply(&engine, edits, now);
    engine
}

fn restore(engine: &Engine, image: &[u8], now: i64) -> (u64, u64) {
    let Restored { restored, unknown } = engine.restore(image, Millis::new(now)).expect("a good image");
    (restored, unknown)
}

fn take(engine: &Engine, tokens: i64, now: i64) -> bool {
    let key = handle(engine, "k");
    admit(engine, &request(key, "p", "m", amounts(Some(tokens), None)), now).is_ok()
}

fn tokens(most: i64, per: &str, window: Window) -> Edit {
    key("k", vec![limit("r", Kind::Tokens, most, per, window)])
}

fn total(engine: &Engine, now: i64) -> i64 {
    reading(engine, "r", Kind::Tokens, now).total()
}

#[test]
fn an_image_of_what_an_engine_has_counted_itself_changes_nothing() {
    for kind in [Kind::Tokens, Kind::Requests, Kind::Budget] {
        for window in [Window::Fixed, Window::Sliding] {
            let engine = begun(0, &[key("k", vec![limit("r", kind, 100, "1m", window)])]);
            let asked = request(handle(&engine, "k"), "p", "m", amounts(Some(3), Some(3)));
            let permit = admit(&engine, &asked, 1).expect("room").handle;
            common::settle(&engine, permit, 3, 3, 2).expect("an open permit");
            let before = reading(&engine, "r", kind, 3);
            for _ in 0..2 {
                assert_eq!(restore(&engine, &engine.snapshot(Millis::new(3)), 3), (1, 0));
                assert_eq!(reading(&engine, "r", kind, 3), before, "{kind:?} {window:?}");
            }
        }
    }
}

#[test]
fn a_sliding_counter_comes_back_slot_by_slot() {
    let edits = [tokens(100, "1m", Window::Sliding)];
    let before = begun(0, &edits);
    for second in 0..10 {
        assert!(take(&before, second + 1, second * 1_000 + 500));
    }
    let now = 10_000;
    let after = begun(now, &edits);
    assert_eq!(restore(&after, &before.snapshot(Millis::new(now)), now), (1, 0));
    assert_eq!(restore(&after, &before.snapshot(Millis::new(now)), now), (1, 0), "twice is once");
    for later in (now..75_000).step_by(250) {
        let (there, here) =
            (reading(&before, "r", Kind::Tokens, later), reading(&after, "r", Kind::Tokens, later));
        assert_eq!((here.total(), here.reset), (there.total(), there.reset), "at {later}");
    }
    // What leaves one by one makes room one by one.
    assert!(!take(&after, 46, 60_999));
    assert!(take(&after, 46, 61_000), "the first sub-window has left with its one token");
    assert!(!take(&after, 2, 61_999));
    assert!(take(&after, 2, 62_000));
}

#[test]
fn what_was_taken_since_stays_beside_what_comes_back_into_a_sliding_counter() {
    let edits = [tokens(100, "1m", Window::Sliding)];
    let before = begun(0, &edits);
    assert!(take(&before, 10, 500) && take(&before, 20, 1_500));
    let after = begun(2_000, &edits);
    assert!(take(&after, 5, 1_500), "its own count in a sub-window that the image knows");
    assert!(take(&after, 7, 3_500));
    restore(&after, &before.snapshot(Millis::new(2_000)), 4_000);
    assert_eq!(total(&after, 4_000), 10 + 20 + 5 + 7, "no count is lowered and none is lost");
    assert_eq!(total(&after, 200_000), 0);
}

#[test]
fn a_calendar_budget_comes_back_in_its_month_also_on_its_thirty_first_day() {
    let edits = [key("k", vec![limit("b", Kind::Budget, 100, "1M", Window::Calendar)])];
    let before = begun(JANUARY, &edits);
    ask(&before, handle(&before, "k"), 70, JANUARY).expect("room");
    let image = before.snapshot(Millis::new(JANUARY + DAY));
    let last = FEBRUARY - 1;
    let after = begun(last, &edits);
    assert_eq!(restore(&after, &image, last), (1, 0));
    assert_eq!(budget(&after, "b", last), (70, 0), "January has not ended");
    assert_eq!(budget(&after, "b", FEBRUARY), (0, 0));
    let too_late = begun(FEBRUARY, &edits);
    assert_eq!(restore(&too_late, &image, FEBRUARY), (1, 0));
    assert_eq!(budget(&too_late, "b", FEBRUARY), (0, 0), "what was spent in January is no debt of February");
}

#[test]
fn a_calendar_month_of_28_days_does_not_reach_into_the_next() {
    let edits = [key("k", vec![limit("b", Kind::Budget, 100, "1M", Window::Calendar)])];
    let february = FEBRUARY + 366 * DAY;
    let before = begun(february, &edits);
    ask(&before, handle(&before, "k"), 70, february).expect("room");
    let march = february + 28 * DAY;
    let after = begun(march, &edits);
    restore(&after, &before.snapshot(Millis::new(february)), march);
    assert_eq!(budget(&after, "b", march), (0, 0));
}

#[test]
fn a_restart_does_not_put_off_the_reset_of_a_fixed_window() {
    let edits = [tokens(100, "1h", Window::Fixed)];
    let mut engine = begun(0, &edits);
    assert!(take(&engine, 60, 0));
    let mut now = 0;
    for _ in 0..5 {
        now += 11 * MINUTE;
        let image = engine.snapshot(Millis::new(now));
        engine = begun(now, &edits);
        assert_eq!(restore(&engine, &image, now), (1, 0));
        assert_eq!(total(&engine, now), 60);
        let reading = reading(&engine, "r", Kind::Tokens, now);
        assert_eq!((reading.start.get(), reading.reset.get()), (0, 60 * MINUTE));
    }
    assert!(!take(&engine, 41, 60 * MINUTE - 1));
    assert!(take(&engine, 41, 60 * MINUTE));
    assert_eq!(total(&engine, 60 * MINUTE), 41);
}

#[test]
fn what_is_open_while_the_windows_are_moved_settles_in_them() {
    let edits = [key("k", vec![money("b", 100, "1h")])];
    let before = begun(0, &edits);
    ask(&before, handle(&before, "k"), 30, 1).expect("room");
    let after = begun(10 * MINUTE, &edits);
    let own = ask(&after, handle(&after, "k"), 20, 11 * MINUTE).expect("room");
    restore(&after, &before.snapshot(Millis::new(10 * MINUTE)), 12 * MINUTE);
    assert_eq!(budget(&after, "b", 12 * MINUTE), (30, 20), "more than either has counted is never lost");
    common::settle(&after, own, 0, 5, 13 * MINUTE).expect("an open permit");
    assert_eq!(budget(&after, "b", 13 * MINUTE), (35, 0));
    assert_eq!(budget(&after, "b", 60 * MINUTE), (0, 0));
}

#[test]
fn a_limit_that_was_edited_since_counts_what_still_counts_in_its_current_window() {
    for (per, window) in [("2h", Window::Fixed), ("1h", Window::Sliding), ("1d", Window::Calendar)] {
        let before = begun(0, &[tokens(100, "1h", Window::Fixed)]);
        assert!(take(&before, 60, 0));
        let image = before.snapshot(Millis::new(1));
        for (now, counted) in [(59 * MINUTE, 60), (60 * MINUTE, 0)] {
            let after = begun(now, &[tokens(100, per, window)]);
            assert_eq!(restore(&after, &image, now), (1, 0));
            assert_eq!(total(&after, now), counted, "{per} {window:?} at {now}");
        }
    }
}

#[test]
fn what_open_permits_hold_comes_back_as_used() {
    let edits = [key("k", vec![money("b", 100, "1h")])];
    let before = begun(0, &edits);
    ask(&before, handle(&before, "k"), 30, 1).expect("room");
    let after = begun(2, &edits);
    restore(&after, &before.snapshot(Millis::new(2)), 2);
    assert_eq!(budget(&after, "b", 2), (30, 0));
}

#[test]
fn counters_of_what_does_not_exist_are_counted_and_told() {
    let limits = |id: &str| vec![money(id, 100, "1h")];
    let all = [key("k", limits("b")), customer("gone", limits("c")), customer("stays", limits("d"))];
    let before = begun(0, &all);
    for id in ["b", "c", "d"] {
        before.credit(id, -7, Millis::new(1)).expect("it exists");
    }
    let after =
        begun(2, &[key("k", limits("b")), customer("stays", limits("d")), customer("new", limits("e"))]);
    assert_eq!(restore(&after, &before.snapshot(Millis::new(2)), 2), (2, 1));
    assert_eq!(["b", "d", "e"].map(|id| budget(&after, id, 2).0), [7, 7, 0]);
}

#[test]
fn an_owner_that_is_made_again_with_its_id_knows_its_limits_by_their_durations() {
    let made = |suffix: &str| {
        let id = |name: &str| format!("{name}{suffix}");
        let mut row = key_row("k", &["p", "p"], vec![money(&id("own"), 100, "1h")]);
        row.provider_configs[0].limits = vec![money(&id("first"), 100, "1h"), money(&id("day"), 100, "1d")];
        row.provider_configs[1].limits = vec![money(&id("second"), 100, "1h")];
        [Edit::VirtualKey(Box::new(row))]
    };
    let before = begun(0, &made(""));
    for (id, amount) in [("own", 1), ("first", 2), ("day", 3), ("second", 4)] {
        before.credit(id, -amount, Millis::new(1)).expect("it exists");
    }
    let after = begun(2, &made(" again"));
    assert_eq!(restore(&after, &before.snapshot(Millis::new(2)), 2), (4, 0));
    let spent = ["own", "first", "day", "second"].map(|id| budget(&after, &format!("{id} again"), 2).0);
    assert_eq!(spent, [1, 2, 3, 4]);
}

fn furnished() -> Engine {
    let limits: Vec<LimitRow> = vec![
        limit("r", Kind::Tokens, 1_000, "1m", Window::Sliding),
        limit("r", Kind::Requests, 1_000, "1m", Window::Fixed),
        limit("b", Kind::Budget, 1_000, "1M", Window::Calendar),
    ];
    let engine = begun(JANUARY, &[key("k", limits)]);
    assert!(ask(&engine, handle(&engine, "k"), 7, JANUARY + 1).is_some() && take(&engine, 5, JANUARY + 1));
    engine
}

#[test]
fn an_image_that_is_cut_off_or_altered_anywhere_is_refused_and_changes_nothing() {
    let image = furnished().snapshot(Millis::new(JANUARY + 2));
    let after = begun(JANUARY + 2, &[key("k", vec![money("b", 1_000, "1M")])]);
    let empty = after.snapshot(Millis::new(JANUARY + 2));
    let refuse = |bytes: &[u8], what: &str| {
        let fault = after.restore(bytes, Millis::new(JANUARY + 2)).expect_err(what);
        assert_eq!((fault.code.as_str(), fault.param.as_deref()), ("invalid_request", Some("data")));
        assert_eq!(after.snapshot(Millis::new(JANUARY + 2)), empty, "{what}: something was set");
    };
    for length in 0..image.len() {
        refuse(&image[..length], &format!("cut at {length}"));
    }
    for at in 0..image.len() {
        let mut altered = image.clone();
        altered[at] ^= 1 << (at % 8);
        refuse(&altered, &format!("altered at {at}"));
    }
    let longer: Vec<u8> = image.iter().copied().chain([0]).collect();
    refuse(&longer, "a byte too many");
    refuse(b"limen\0c1 of an older program, in its own form", "another version");
    assert_eq!(restore(&after, &image, JANUARY + 2).0, 1, "and the image itself is good");
}
