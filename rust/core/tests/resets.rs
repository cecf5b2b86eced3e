//! A reset takes what is used, and a correction that comes later takes nothing of what others have used since.

mod common;

use common::{amounts, apply, engine, handle, key, limit, reading, request, settings, settle};
use limen_core::engine::Engine;
use limen_core::permit::Handle;
use limen_core::policy::{Kind, Settings, Window};
use limen_core::units::Millis;

const WINDOWS: [Window; 2] = [Window::Fixed, Window::Sliding];

/// Tokens and requests of one key; permits expire after 100 ms and are charged.
fn limited(window: Window) -> Engine {
    let limits =
        vec![limit("r", Kind::Tokens, 1_000, "1h", window), limit("r", Kind::Requests, 1_000, "1h", window)];
    engine(Settings { permit_ttl_ms: 100, ..settings() }, &[key("k", limits)])
}

fn hold(engine: &Engine, tokens: i64, now: i64) -> Handle {
    let wanted = request(handle(engine, "k"), "p", "m", amounts(Some(tokens), None));
    common::admit(engine, &wanted, now).expect("room").handle
}

fn use_up(engine: &Engine, tokens: i64, now: i64) {
    settle(engine, hold(engine, tokens, now), tokens, 0, now).expect("open");
}

fn reset(engine: &Engine, kind: Kind, now: i64) {
    engine.reset("r", kind, Millis::new(now)).expect("the limit exists");
}

/// Used, and held.
fn tokens(engine: &Engine, now: i64) -> (i64, i64) {
    let reading = reading(engine, "r", Kind::Tokens, now);
    (reading.used, reading.held)
}

fn requests(engine: &Engine, now: i64) -> i64 {
    reading(engine, "r", Kind::Requests, now).used
}

#[test]
fn what_an_expired_permit_was_charged_is_gone_with_the_reset() {
    for window in WINDOWS {
        // What it says too late, and what of that is new: only what exceeds what it was charged.
        for (real, new) in [(Some(0), 0), (Some(3), 0), (Some(10), 0), (Some(14), 4), (None, 0)] {
            for swept in [true, false] {
                let engine = limited(window);
                let late = hold(&engine, 10, 0);
                if swept {
                    engine.sweep(Millis::new(100));
                }
                reset(&engine, Kind::Tokens, 110);
                assert_eq!(tokens(&engine, 110), (0, 0));
                use_up(&engine, 20, 120);
                match real {
                    Some(real) => assert!(settle(&engine, late, real, 0, 130).is_ok()),
                    None => engine.release(late, false, Millis::new(130)).expect("remembered"),
                }
                assert_eq!(tokens(&engine, 140), (20 + new, 0), "{real:?} {window:?} {swept}");
            }
        }
    }
}

#[test]
fn what_is_held_stays_held_and_is_settled_as_ever() {
    for window in WINDOWS {
        for (real, used) in [(3, 3), (10, 10), (14, 14)] {
            let engine = limited(window);
            use_up(&engine, 5, 0);
            let open = hold(&engine, 10, 0);
            reset(&engine, Kind::Tokens, 1);
            assert_eq!(tokens(&engine, 1), (0, 10));
            settle(&engine, open, real, 0, 2).expect("open");
            assert_eq!(tokens(&engine, 3), (used, 0), "{window:?}");
        }
    }
}

#[test]
fn what_is_charged_after_the_reset_is_corrected_as_ever() {
    for window in WINDOWS {
        let engine = limited(window);
        let late = hold(&engine, 10, 0);
        reset(&engine, Kind::Tokens, 1);
        engine.sweep(Millis::new(100));
        assert_eq!(tokens(&engine, 100), (10, 0));
        settle(&engine, late, 3, 0, 110).expect("remembered");
        assert_eq!(tokens(&engine, 110), (3, 0), "{window:?}");
    }
}

#[test]
fn a_request_of_before_the_reset_is_given_back_to_nobody() {
    for window in WINDOWS {
        let engine = limited(window);
        let before = hold(&engine, 1, 0);
        reset(&engine, Kind::Requests, 1);
        let after = hold(&engine, 1, 2);
        hold(&engine, 1, 2);
        engine.release(before, true, Millis::new(3)).expect("open");
        assert_eq!(requests(&engine, 4), 2, "{window:?}");
        engine.release(after, true, Millis::new(5)).expect("open");
        assert_eq!((requests(&engine, 6), tokens(&engine, 6)), (1, (0, 1)), "{window:?}");
    }
}

#[test]
fn a_reset_reaches_what_an_edit_has_carried_over() {
    let engine = limited(Window::Fixed);
    let late = hold(&engine, 10, 0);
    engine.sweep(Millis::new(100));
    apply(&engine, &[key("k", vec![limit("r", Kind::Tokens, 1_000, "1d", Window::Fixed)])], 110);
    reset(&engine, Kind::Tokens, 120);
    use_up(&engine, 20, 130);
    settle(&engine, late, 0, 0, 140).expect("remembered");
    assert_eq!(tokens(&engine, 150), (20, 0));
}
