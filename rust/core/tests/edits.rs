//! Edits and what was opened before them, one step after the other.

mod common;

use common::{apply, ask, budget, engine, handle, key, key_row, limit, money, settings, settle, used};
use limen_core::permit::Closing;
use limen_core::policy::edit::{CredentialRow, Edit, Entity, LimitRow, NEVER};
use limen_core::policy::{Kind, Settings, Window};
use limen_core::request::World;
use limen_core::units::Millis;

fn delete(id: &str) -> Edit {
    Edit::Delete { entity: Entity::VirtualKey, id: id.into() }
}

#[test]
fn a_permit_of_a_deleted_key_changes_no_counter_that_has_its_successors_place() {
    let engine = engine(settings(), &[key("k", vec![money("b", 100, "1m")])]);
    let permit = ask(&engine, handle(&engine, "k"), 5, 1).expect("room");
    // The counter of the permit has a successor, which ends with the key, and whose cell is given to another limit.
    apply(&engine, &[key("k", vec![money("b", 100, "2m")])], 2);
    apply(&engine, &[delete("k")], 3);
    apply(&engine, &[], 4);
    let others: Vec<_> =
        (0..4).map(|n| key(&format!("k{n}"), vec![money(&format!("b{n}"), 100, "2m")])).collect();
    apply(&engine, &others, 5);
    settle(&engine, permit, 0, 9, 6).expect("a permit outlives its key");
    for n in 0..4 {
        assert_eq!(
            budget(&engine, &format!("b{n}"), 6),
            (0, 0),
            "b{n} was charged for a permit of another key"
        );
    }
}

#[test]
fn two_edits_of_shape_in_one_batch_keep_what_was_counted() {
    let engine = engine(settings(), &[key("k", vec![money("b", 100, "1m")])]);
    let permit = ask(&engine, handle(&engine, "k"), 5, 1).expect("room");
    apply(&engine, &[key("k", vec![money("b", 100, "2m")]), key("k", vec![money("b", 100, "3m")])], 2);
    assert_eq!(budget(&engine, "b", 2), (0, 5));
    settle(&engine, permit, 0, 3, 3).expect("an open permit");
    assert_eq!(budget(&engine, "b", 3), (3, 0));
}

#[test]
fn the_first_presentation_of_a_key_lets_no_counter_go_that_an_open_permit_names() {
    let now = Millis::new;
    let ttl = 1_000;
    let settings = Settings { permit_ttl_ms: ttl, give_back_on_expiry: true, ..settings() };
    let engine = engine(settings, &[key("k", vec![money("b", 100, "1h")])]);
    let mut stranger = key_row("other", &["p"], Vec::new());
    let world = common::Still::at(0);
    stranger.credentials =
        Some(vec![CredentialRow { sha256: world.sha256(b"presented"), fingerprint: None, until: NEVER }]);
    apply(&engine, &[Edit::VirtualKey(Box::new(stranger))], 0);
    ask(&engine, handle(&engine, "k"), 5, 1).expect("room");
    apply(&engine, &[key("k", vec![money("b", 100, "2h")])], 2);
    // The counter that the permit was taken from is let go from here on; nobody has swept yet.
    let later = 2 + 2 * ttl;
    engine.handle_of_value("presented", now(later), &world).expect("a known key");
    engine.sweep(now(later));
    assert_eq!(budget(&engine, "b", later), (0, 0), "what an overdue permit held was given back");
}

#[test]
fn a_settle_after_two_edits_of_shape_is_told_as_any_other() {
    let engine = engine(settings(), &[key("k", vec![money("b", 100, "1m")])]);
    let permit = ask(&engine, handle(&engine, "k"), 5, 1).expect("room");
    apply(&engine, &[key("k", vec![money("b", 100, "2m")])], 2);
    apply(&engine, &[key("k", vec![money("b", 100, "3m")])], 3);
    let over = engine.update(permit, &used(0, 120), Millis::new(4)).expect("an open permit");
    assert_eq!(
        over.iter().map(|limit| (limit.used, limit.held, limit.limit)).collect::<Vec<_>>(),
        [(0, 120, 100)]
    );
    let answer = engine.settle(permit, &Closing::Used(used(0, 60)), Millis::new(5)).expect("an open permit");
    assert_eq!((answer.cost_nano_usd, answer.repeated), (60, false));
    assert_eq!(budget(&engine, "b", 5), (60, 0));
}

#[test]
fn a_counter_that_an_open_permit_follows_is_kept_however_late_it_is() {
    let settings = Settings { permit_ttl_ms: 100, ..settings() };
    let engine = engine(settings, &[key("k", vec![money("b", 100, "1h")])]);
    // Taken under a clock that was ahead: the permit is open long after the edit that closes its counter.
    let permit = ask(&engine, handle(&engine, "k"), 7, 1_000).expect("room");
    apply(&engine, &[key("k", vec![money("b", 100, "2h")])], 2);
    apply(&engine, &[key("k", vec![money("b", 100, "3h")])], 3);
    for at in [500, 900, 901] {
        apply(&engine, &[], at);
    }
    settle(&engine, permit, 0, 7, 902).expect("an open permit");
    assert_eq!(budget(&engine, "b", 902), (7, 0), "the charge reached the counter that counts now");
}

#[test]
fn a_counter_that_nobody_follows_any_more_is_let_go() {
    let settings = Settings { permit_ttl_ms: 100, ..settings() };
    let engine = engine(settings, &[key("k", vec![money("b", 100, "1h")])]);
    let caller = handle(&engine, "k");
    for round in 0..200 {
        let now = round * 500;
        // Left to expire.
        ask(&engine, caller, 0, now);
        let per = if round % 2 == 0 { "2h" } else { "1h" };
        apply(&engine, &[key("k", vec![money("b", 100, per)])], now + 1);
    }
    let cells = engine.metrics();
    let cells = cells.lines().find_map(|line| line.strip_prefix("limen_counters ")).expect("the metric");
    assert!(cells.parse::<u32>().expect("a count") < 10, "{cells} cells for one limit");
}

#[test]
fn an_update_after_an_edit_of_shape_tells_the_wait_of_the_counter_that_counts_now() {
    let sliding = limit("b", Kind::Budget, 30, "1s", Window::Sliding);
    let engine = engine(settings(), &[key("k", vec![sliding])]);
    let permit = ask(&engine, handle(&engine, "k"), 2, 1).expect("room");
    let row = LimitRow { anchor: Millis::new(2), ..limit("b", Kind::Budget, 1, "90s", Window::Fixed) };
    engine.apply(&[key("k", vec![row])], Millis::new(2)).expect("a good edit");
    let over = engine.update(permit, &used(0, 2), Millis::new(3)).expect("an open permit");
    assert_eq!(over.iter().map(|limit| limit.wait_ms).collect::<Vec<_>>(), [Some(90_002 - 3)]);
}

#[test]
fn a_reset_leaves_a_window_that_has_passed_as_it_was() {
    let engine = engine(settings(), &[key("k", vec![money("b", 1, "1s")])]);
    let caller = handle(&engine, "k");
    let permit = ask(&engine, caller, 1, 500).expect("room");
    settle(&engine, permit, 0, 1, 500).expect("an open permit");
    engine.reset("b", Kind::Budget, Millis::new(1_500)).expect("the limit exists");
    // The clock is set back: the window is spent, as before.
    assert_eq!(budget(&engine, "b", 600), (1, 0));
    assert!(ask(&engine, caller, 1, 600).is_none());
    engine.reset("b", Kind::Budget, Millis::new(600)).expect("the limit exists");
    assert_eq!(budget(&engine, "b", 600), (0, 0));
}
