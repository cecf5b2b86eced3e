//! A counter that an edit lets go of and another gives to somebody else, against whoever knew it before.

use std::sync::Arc;

use super::tiny::{budget, engine, handle, key, limit, outcome, settings, settle};
use super::{all, check, thread};
use crate::engine::Engine;
use crate::policy::edit::{Edit, Entity};
use crate::policy::{Kind, Window};
use crate::request::KeyHandle;
use crate::units::Millis;

/// More than any of these asks for: whoever finds room in another's counter would take it.
const LIMIT: i64 = 9;

fn with(id: &str, budget: &str) -> Edit {
    key(id, None, None, vec![limit(budget, Kind::Budget, LIMIT, "1m", Window::Fixed)])
}

fn start() -> (Arc<Engine>, KeyHandle) {
    let engine = engine(settings(), &[with("k", "b")]);
    let caller = handle(&engine, "k");
    (engine, caller)
}

/// The first key is deleted, and another gets its counter as soon as it may be given out anew.
fn replace(engine: &Engine) {
    let gone = Edit::Delete { entity: Entity::VirtualKey, id: "k".into() };
    engine.apply(&[gone], Millis::new(1)).expect("a good edit");
    engine.apply(&[with("other", "o")], Millis::new(1)).expect("a good edit");
}

#[test]
fn who_asks_on_an_old_policy_takes_nothing_from_a_counter_that_was_given_out_anew() {
    check(3, || {
        let (engine, caller) = start();
        let steps = vec![
            thread(&engine, move |engine| {
                // Before the key is deleted it passes, afterwards there is no such key.
                let _ = outcome(engine, caller, 2, 1);
            }),
            thread(&engine, replace),
        ];
        all(steps);
        assert_eq!(budget(&engine, "o", 1), (0, 0), "nobody has used the new key");
    });
}

#[test]
fn who_settles_a_permit_charges_nothing_to_a_counter_that_was_given_out_anew() {
    check(3, || {
        let (engine, caller) = start();
        let permit = outcome(&engine, caller, 2, 1).expect("room");
        let steps = vec![
            thread(&engine, move |engine| {
                settle(engine, permit, 3, 1).expect("the permit outlives its key");
            }),
            thread(&engine, replace),
        ];
        all(steps);
        assert_eq!(budget(&engine, "o", 1), (0, 0), "nobody has used the new key");
        assert_eq!(engine.open_permits(), 0);
    });
}
