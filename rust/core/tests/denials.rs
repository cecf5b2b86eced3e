//! What a denial says: that it comes at all, whose limit it is, and how much would fit.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{Still, admit, amounts, apply, engine, handle, key, limit, request, settings, settle};
use limen_core::engine::Engine;
use limen_core::permit::Handle;
use limen_core::policy::edit::Edit;
use limen_core::policy::{Kind, Level, Settings, Window};
use limen_core::request::{Amounts, Asked, RequestType};
use limen_core::units::Millis;

const LARGEST: i64 = limen_core::window::sliding::LARGEST_LIMIT;

/// A refusal that never comes would hang the test run: give it a thread of its own and ten seconds.
fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, answer) = mpsc::channel();
    thread::spawn(move || done.send(what()));
    answer.recv_timeout(Duration::from_secs(10)).expect("an answer, not an endless loop")
}

#[test]
fn more_tokens_than_a_sliding_slot_can_count_are_refused_for_ever_and_at_once() {
    let sliding = limit("r", Kind::Tokens, LARGEST, "1m", Window::Sliding);
    let engine = engine(settings(), &[key("k", vec![sliding])]);
    let denial = in_time(move || {
        let key = handle(&engine, "k");
        admit(&engine, &request(key, "p", "m", amounts(Some(LARGEST + 1), None)), 1).expect_err("too many")
    });
    let [violation] = &denial.limits[..] else { panic!("one limit refuses: {denial:?}") };
    assert_eq!((violation.limit, violation.wait_ms), (LARGEST, None));
    assert_eq!(denial.wait_ms, None);
}

#[test]
fn a_full_sliding_counter_of_the_largest_size_refuses_and_says_until_when() {
    let sliding = limit("r", Kind::Tokens, LARGEST, "1m", Window::Sliding);
    let engine = engine(settings(), &[key("k", vec![sliding])]);
    let denial = in_time(move || {
        let key = handle(&engine, "k");
        let most = request(key, "p", "m", amounts(Some(LARGEST), None));
        admit(&engine, &most, 1).expect("all of it fits");
        admit(&engine, &request(key, "p", "m", amounts(Some(1), None)), 2).expect_err("nothing is left")
    });
    assert_eq!(denial.wait_ms, Some(61_000 - 2));
}

#[test]
fn a_limit_of_a_model_config_that_changes_its_provider_says_its_new_level() {
    let config = |provider: Option<&str>| Edit::ModelConfig {
        id: "c".into(),
        model: "m".into(),
        provider: provider.map(Into::into),
        limits: vec![limit("r", Kind::Requests, 1, "1h", Window::Fixed)],
    };
    let engine = engine(settings(), &[key("k", vec![]), config(None)]);
    let wanted = request(handle(&engine, "k"), "p", "m", amounts(None, None));
    admit(&engine, &wanted, 1).expect("the first fits");
    let level_at = |now| admit(&engine, &wanted, now).expect_err("the second does not").limits[0].name.level;
    assert_eq!(level_at(2), Level::Model);
    apply(&engine, &[config(Some("p"))], 3);
    assert_eq!(level_at(4), Level::ModelProvider);
    apply(&engine, &[config(None)], 5);
    assert_eq!(level_at(6), Level::Model);
}

fn capped(input: i64, most: i64) -> Asked {
    let amounts = Amounts { input_tokens: Some(input), max_output_tokens: Some(most), ..Amounts::default() };
    Asked::new(&amounts, RequestType::ChatCompletion).expect("good amounts")
}

#[test]
fn what_would_fit_is_left_out_where_what_is_stated_does_not_fit_by_itself() {
    let strict = Settings { fit_deny: true, ..settings() };
    let engine = engine(strict, &[key("k", vec![limit("r", Kind::Tokens, 100, "1m", Window::Fixed)])]);
    let key = handle(&engine, "k");
    let fits = |asked| {
        let denial = admit(&engine, &request(key, "p", "m", asked), 1).expect_err("too much");
        assert_eq!(denial.limits.len(), 1);
        denial.fits
    };
    assert_eq!(fits(capped(90, 50)), Some(10));
    assert_eq!(fits(capped(100, 50)), Some(0), "all that is stated fits, and not a token of output");
    assert_eq!(fits(capped(101, 50)), None);
    admit(&engine, &request(key, "p", "m", amounts(Some(100), None)), 1).expect("room for all");
    assert_eq!(fits(capped(0, 50)), None, "a counter that is full admits nothing, not even nothing");
}

/// An engine that gives back what expires after ten seconds, and a limit of 100 tokens.
fn giving_back(per: &str, window: Window) -> Engine {
    let lenient = Settings { give_back_on_expiry: true, permit_ttl_ms: 10_000, ..settings() };
    engine(lenient, &[key("k", vec![limit("r", Kind::Tokens, 100, per, window)])])
}

/// Until when `tokens` are refused, or None where they are not.
fn refused_until(engine: &Engine, tokens: i64, now: i64) -> Option<i64> {
    let wanted = request(handle(engine, "k"), "p", "m", amounts(Some(tokens), None));
    let answer = engine.peek(&wanted, Millis::new(now), &Still::at(now)).expect("a good request");
    let limen_core::answer::Answer::Denial(denial) = answer else { return None };
    assert_eq!(denial.wait_ms, denial.limits[0].wait_ms);
    Some(now + denial.wait_ms.expect("not for ever"))
}

fn hold(engine: &Engine, tokens: i64, now: i64) -> Handle {
    let wanted = request(handle(engine, "k"), "p", "m", amounts(Some(tokens), None));
    admit(engine, &wanted, now).expect("room").handle
}

#[test]
fn a_wait_ends_when_enough_permits_have_given_back_what_they_hold() {
    for window in [Window::Fixed, Window::Sliding] {
        let engine = giving_back("1m", window);
        for now in [0, 1, 2] {
            hold(&engine, 30, now);
        }
        for (tokens, until) in
            [(10, None), (11, Some(10_000)), (40, Some(10_000)), (41, Some(10_001)), (100, Some(10_002))]
        {
            assert_eq!(refused_until(&engine, tokens, 3), until, "{tokens} {window:?}");
        }
        assert_eq!(
            (refused_until(&engine, 41, 10_000), refused_until(&engine, 41, 10_001)),
            (Some(10_001), None)
        );
        assert_eq!(
            (refused_until(&engine, 100, 10_001), refused_until(&engine, 100, 10_002)),
            (Some(10_002), None)
        );
    }
}

#[test]
fn a_wait_ends_with_the_window_where_that_comes_before_the_permits() {
    for (window, first, second) in [(Window::Fixed, 5_000, 5_000), (Window::Sliding, 5_124, 9_072)] {
        let engine = giving_back("5s", window);
        hold(&engine, 60, 0);
        hold(&engine, 40, 4_000);
        assert_eq!(
            (refused_until(&engine, 1, 4_500), refused_until(&engine, 61, 4_500)),
            (Some(first), Some(second))
        );
    }
}

#[test]
fn what_is_used_is_not_given_back_by_anybody() {
    let engine = giving_back("1m", Window::Fixed);
    settle(&engine, hold(&engine, 50, 0), 50, 0, 1).expect("open");
    hold(&engine, 50, 2);
    assert_eq!((refused_until(&engine, 50, 3), refused_until(&engine, 51, 3)), (Some(10_002), Some(60_000)));
}

#[test]
fn a_wait_follows_a_hold_that_an_edit_has_carried_over() {
    let engine = giving_back("1m", Window::Fixed);
    hold(&engine, 100, 0);
    apply(&engine, &[key("k", vec![limit("r", Kind::Tokens, 100, "1h", Window::Sliding)])], 1);
    assert_eq!(refused_until(&engine, 100, 2), Some(10_000));
}

#[test]
fn a_wait_is_not_too_long_where_more_permits_hold_something_than_are_looked_at() {
    let engine = giving_back("1h", Window::Fixed);
    apply(&engine, &[key("others", vec![])], 0);
    let others = request(handle(&engine, "others"), "p", "m", amounts(None, None));
    for place in 0..40_000 {
        admit(&engine, &others, place / 10_000).expect("nothing limits it");
    }
    hold(&engine, 100, 3);
    let until = refused_until(&engine, 1, 4).expect("all is held");
    assert!((10_000..=10_003).contains(&until), "{until}");
    let mut now = 4;
    while let Some(until) = refused_until(&engine, 1, now) {
        assert!(until > now);
        now = until;
    }
    assert_eq!(now, 10_003, "who asks again when he is told comes in at the first instant");
}

#[test]
fn peek_shows_what_is_left_after_the_request_and_takes_nothing() {
    let engine = engine(settings(), &[key("k", vec![limit("r", Kind::Requests, 5, "1m", Window::Fixed)])]);
    let wanted = request(handle(&engine, "k"), "p", "m", amounts(None, None));
    for _ in 0..2 {
        let answer = engine.peek(&wanted, Millis::new(1), &Still::at(1)).expect("a good request");
        let limen_core::answer::Answer::Permit(grant) = answer else { panic!("it fits") };
        let left: Vec<_> =
            grant.peeked().iter().map(|(name, reading)| name.limit - reading.total()).collect();
        assert_eq!(left, [4]);
    }
}
