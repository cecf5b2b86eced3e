//! Take and undo over several counters, through the whole engine.

use std::sync::Arc;

use super::tiny::{ask, budget, customer, engine, handle, key, limit, settings, team};
use super::{all, check, thread};
use crate::engine::Engine;
use crate::policy::{Kind, Window};
use crate::request::KeyHandle;

/// Keys above a team and a customer, above the customer alone, and above the team alone.
fn crossing(of_team: i64, of_customer: i64) -> (Arc<Engine>, [KeyHandle; 3]) {
    let money = |id, most| vec![limit(id, Kind::Budget, most, "1m", Window::Fixed)];
    let engine = engine(
        settings(),
        &[
            customer("c", money("of c", of_customer)),
            team("t", None, money("of t", of_team)),
            key("t and c", Some("t"), Some("c"), Vec::new()),
            key("c", None, Some("c"), Vec::new()),
            key("t", Some("t"), None, Vec::new()),
        ],
    );
    let keys = ["t and c", "c", "t"].map(|id| handle(&engine, id));
    (engine, keys)
}

#[test]
fn of_crossing_chains_each_takes_all_or_nothing() {
    check(3, || {
        let (engine, [both, customer, _]) = crossing(1, 1);
        let callers = vec![
            thread(&engine, move |engine| i64::from(ask(engine, both, 1, 1).is_some())),
            thread(&engine, move |engine| i64::from(ask(engine, customer, 1, 1).is_some())),
        ];
        let passed = all(callers);
        assert_eq!(passed[0] + passed[1], 1, "one unit, one permit");
        assert_eq!(budget(&engine, "of t", 1), (0, passed[0]), "what was refused below was undone above");
        assert_eq!(budget(&engine, "of c", 1), (0, 1), "the unit is held");
    });
}

#[test]
fn mixed_sizes_on_crossing_chains_never_exceed_a_limit() {
    check(2, || {
        let (engine, [both, customer, team]) = crossing(2, 3);
        let callers = vec![
            thread(&engine, move |engine| {
                [2, 1].map(|nano| if ask(engine, both, nano, 1).is_some() { nano } else { 0 })
            }),
            thread(&engine, move |engine| {
                [(customer, 2), (team, 1)]
                    .map(|(key, nano)| if ask(engine, key, nano, 1).is_some() { nano } else { 0 })
            }),
        ];
        let passed = all(callers);
        let both = passed[0][0] + passed[0][1];
        let (of_team, of_customer) = (both + passed[1][1], both + passed[1][0]);
        assert!(of_team <= 2 && of_customer <= 3, "a counter exceeded its limit");
        assert_eq!(budget(&engine, "of t", 1), (0, of_team), "held is what the permits hold");
        assert_eq!(budget(&engine, "of c", 1), (0, of_customer), "held is what the permits hold");
    });
}

#[test]
fn a_refusal_by_a_reservation_that_is_being_undone_still_names_its_limit() {
    check(3, || {
        let (engine, [both, _, team]) = crossing(1, 1);
        let policy = engine.policy.load();
        let of_customer = policy.customers.get(0).expect("the customer").limits.0[0].slot;
        let callers = vec![
            thread(&engine, move |engine| i64::from(ask(engine, both, 1, 1).is_some())),
            thread(&engine, move |engine| i64::from(ask(engine, team, 1, 1).is_some())),
        ];
        // The customer's room goes away in one step, between the first caller's reading and its take or not.
        engine.arena.get(of_customer).set_ceiling(0);
        let passed = all(callers);
        assert!(passed[0] + passed[1] <= 1, "one unit, one permit");
        assert_eq!(
            budget(&engine, "of t", 1),
            (0, passed[0] + passed[1]),
            "what was refused below was undone above"
        );
        assert_eq!(budget(&engine, "of c", 1), (0, passed[0]));
    });
}
