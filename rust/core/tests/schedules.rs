//! The whole engine under random schedules: at every atomic step another thread may go on.
//!
//! The models beside the core look at one protocol in every interleaving; here whole calls meet, more of them, in a
//! sample of interleavings. Run with `RUSTFLAGS="--cfg shuttle" cargo test -p limen-core --profile models --test
//! schedules`. `LIMEN_SCHEDULES=100000` is how many of each kind; a failure prints a schedule that replays it,
//! and `SHUTTLE_RANDOM_SEED=7` takes other schedules.
#![cfg(shuttle)]

mod common;

use std::sync::Arc;

use common::{
    Still, amounts, apply, ask, budget, customer, engine, handle, key, key_row, limit, money, request,
    settings, settle, team, used,
};
use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::error::Code;
use limen_core::permit::Handle;
use limen_core::policy::edit::{Edit, Entity};
use limen_core::policy::{Kind, Settings, Window};
use limen_core::request::{KeyHandle, Request};
use limen_core::units::Millis;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config, Runner};

/// Schedules of each of two kinds for each scenario.
fn schedules() -> usize {
    std::env::var("LIMEN_SCHEDULES").ok().map_or(5_000, |count| count.parse().expect("a number of schedules"))
}

/// Under schedules that switch anywhere, and under those that switch seldom but where it hurts.
fn check(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    let mut config = Config::new();
    config.silence_warnings = true;
    let seed = 0x6c69_6d65_6e00;
    Runner::new(RandomScheduler::new_from_seed(seed, schedules()), config.clone()).run(scenario.clone());
    Runner::new(PctScheduler::new_from_seed(seed, 3, schedules()), config).run(scenario);
}

fn thread<T: Send + 'static>(
    engine: &Arc<Engine>,
    step: impl FnOnce(&Engine) -> T + Send + 'static,
) -> JoinHandle<T> {
    let engine = engine.clone();
    shuttle::thread::spawn(move || step(&engine))
}

fn end<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("the thread did not panic")
}

const TTL: i64 = 100;

fn start(settings: Settings, edits: &[Edit]) -> Arc<Engine> {
    Arc::new(engine(Settings { permit_ttl_ms: TTL, ..settings }, edits))
}

/// Key `k` in team `t`, with a budget each.
fn pair(settings: Settings) -> (Arc<Engine>, KeyHandle) {
    let engine = start(settings, &[team("t", None, vec![money("of t", 9, "1h")]), member(9, "1h")]);
    let caller = handle(&engine, "k");
    (engine, caller)
}

fn member(most: i64, per: &str) -> Edit {
    let mut row = key_row("k", &["p"], vec![money("of k", most, per)]);
    row.team = Some("t".into());
    Edit::VirtualKey(Box::new(row))
}

#[test]
fn crossing_chains_at_the_last_unit() {
    check(|| {
        let in_both = |id: &str, team: bool, customer: bool| {
            let mut row = key_row(id, &["p"], Vec::new());
            row.team = team.then(|| "t".into());
            row.customer = customer.then(|| "c".into());
            Edit::VirtualKey(Box::new(row))
        };
        let edits = [
            customer("c", vec![money("of c", 3, "1h")]),
            team("t", None, vec![money("of t", 2, "1h")]),
            in_both("both", true, true),
            in_both("c", false, true),
            in_both("t", true, false),
        ];
        let engine = start(settings(), &edits);
        let taken = |id: &str, sizes: [i64; 2]| {
            let caller = handle(&engine, id);
            thread(&engine, move |engine| -> i64 {
                sizes.into_iter().filter(|size| ask(engine, caller, *size, 1).is_some()).sum()
            })
        };
        let threads = [taken("both", [1, 2]), taken("c", [2, 1]), taken("t", [1, 1])];
        let [both, of_c, of_t] = threads.map(end);
        assert!(both + of_t <= 2 && both + of_c <= 3, "a counter exceeded its limit");
        assert_eq!(budget(&engine, "of t", 1), (0, both + of_t), "held is what the permits hold");
        assert_eq!(budget(&engine, "of c", 1), (0, both + of_c), "held is what the permits hold");
    });
}

#[test]
fn one_chain_at_the_last_units() {
    check(|| {
        let edits = [team("t", None, vec![money("of t", 2, "1h")]), member(3, "1h")];
        let engine = start(settings(), &edits);
        let caller = handle(&engine, "k");
        let one = || {
            thread(&engine, move |engine| {
                let permits = [ask(engine, caller, 1, 1), ask(engine, caller, 1, 1)];
                permits.iter().flatten().count()
            })
        };
        let threads = [one(), one(), one()];
        assert_eq!(threads.map(end).into_iter().sum::<usize>(), 2, "exactly what fits");
        assert_eq!((budget(&engine, "of k", 1), budget(&engine, "of t", 1)), ((0, 2), (0, 2)));
    });
}

#[test]
fn settle_against_expiry_against_release() {
    for give_back in [false, true] {
        check(move || {
            let (engine, caller) = pair(Settings { give_back_on_expiry: give_back, ..settings() });
            let permit = ask(&engine, caller, 4, 1).expect("room");
            let late = 1 + TTL;
            let settling = thread(&engine, move |engine| settle(engine, permit, 0, 6, late - 1));
            let sweeping = thread(&engine, move |engine| engine.sweep(Millis::new(late)));
            let releasing = thread(&engine, move |engine| engine.release(permit, false, Millis::new(late)));
            let (settled, expired, released) = (end(settling), end(sweeping), end(releasing));
            assert_ne!(settled.is_ok(), released.is_ok(), "one permit, one outcome");
            let was_released = released.is_ok();
            for lost in [settled.err(), released.err()].into_iter().flatten() {
                assert_eq!(lost.code, Code::PermitClosed);
            }
            assert!(expired <= 1);
            let charged = if was_released { 0 } else { 6 };
            for id in ["of k", "of t"] {
                assert_eq!(budget(&engine, id, late), (charged, 0), "{id}");
            }
            assert_eq!(engine.open_permits(), 0);
        });
    }
}

/// Fixed and sliding windows of two lengths each.
const SHAPES: [(&str, Window); 4] =
    [("1h", Window::Fixed), ("2h", Window::Fixed), ("1h", Window::Sliding), ("2h", Window::Sliding)];

#[test]
fn edits_of_shape_against_admit_and_settle() {
    for (from, to) in [(0, 1), (0, 2), (2, 0), (2, 3)] {
        let shaped = |at: usize, most: i64| {
            let (per, window) = SHAPES[at];
            key("k", vec![limit("b", Kind::Budget, most, per, window)])
        };
        check(move || {
            let engine = start(settings(), &[shaped(from, 5)]);
            let caller = handle(&engine, "k");
            let before = ask(&engine, caller, 2, 1).expect("room");
            let settling = thread(&engine, move |engine| {
                settle(engine, before, 0, 1, 1).expect("an open permit");
                ask(engine, caller, 3, 1).is_some()
            });
            let asking = thread(&engine, move |engine| ask(engine, caller, 3, 1).is_some());
            let editing = thread(&engine, move |engine| {
                apply(engine, &[shaped(to, 5)], 1);
                apply(engine, &[shaped(from, 5)], 1);
            });
            let passed = i64::from(end(settling)) + i64::from(end(asking));
            end(editing);
            assert!(passed <= 1, "a counter exceeded its limit");
            assert_eq!(
                passed, 1,
                "three of five fit beside the two that were held, and beside the one that was used"
            );
            assert_eq!(budget(&engine, "b", 1), (1, 3), "no charge was lost, none was doubled");
        });
    }
}

#[test]
fn the_turn_of_a_window_against_what_was_taken_before_it() {
    // The first instant at which nothing counts of what was taken at 100 ms.
    for (window, turn) in [(Window::Fixed, 1_000), (Window::Sliding, 1_500)] {
        check(move || {
            let settings = Settings { permit_ttl_ms: 10_000, ..settings() };
            let engine =
                Arc::new(engine(settings, &[key("k", vec![limit("b", Kind::Budget, 2, "1s", window)])]));
            let caller = handle(&engine, "k");
            let before = [(); 2].map(|()| ask(&engine, caller, 1, 100).expect("room"));
            assert!(ask(&engine, caller, 1, turn - 1).is_none(), "both count to the last");
            let asks = |count: usize| {
                thread(&engine, move |engine| {
                    (0..count).filter(|_| ask(engine, caller, 1, turn).is_some()).count()
                })
            };
            let asking = [asks(2), asks(1)];
            let closing = thread(&engine, move |engine| {
                engine.release(before[0], false, Millis::new(turn)).expect("an open permit");
                settle(engine, before[1], 0, 1, turn).expect("an open permit");
            });
            let passed = asking.map(end).into_iter().sum::<usize>() as i64;
            end(closing);
            assert!(passed <= 2, "a counter exceeded its limit");
            if window == Window::Fixed {
                assert_eq!(passed, 2, "exactly what fits: nothing stands in a new window");
            }
            assert_eq!(budget(&engine, "b", turn), (0, passed), "what was taken before changes nothing here");
            let more = (0..3).filter(|_| ask(&engine, caller, 1, turn).is_some()).count() as i64;
            assert_eq!(passed + more, 2, "and all of it is there for the next");
        });
    }
}

#[test]
fn delete_against_settle_and_admit() {
    check(|| {
        let (engine, caller) = pair(settings());
        let permit = ask(&engine, caller, 4, 1).expect("room");
        let settling =
            thread(&engine, move |engine| settle(engine, permit, 0, 6, 1).expect("an open permit"));
        let deleting = thread(&engine, |engine| {
            apply(engine, &[Edit::Delete { entity: Entity::VirtualKey, id: "k".into() }], 1);
            apply(engine, &[member(9, "1h")], 1);
            apply(engine, &[], 1);
        });
        let asking = thread(&engine, move |engine| {
            let request = request(caller, "p", "m", amounts(None, Some(2)));
            match engine.admit(&request, Millis::new(1), &Still::at(1)).expect("a good request") {
                Answer::Permit(grant) => {
                    engine.release(grant.handle, true, Millis::new(1)).expect("an open permit");
                }
                Answer::Denial(denial) => assert_eq!(denial.code, Code::VirtualKeyNotFound),
            }
        });
        end(settling);
        end(deleting);
        end(asking);
        assert_eq!(budget(&engine, "of t", 1), (6, 0), "the parent is charged all the same");
        assert_eq!(budget(&engine, "of k", 1), (0, 0), "a key made again starts anew");
    });
}

/// The permit, or the fault's code; a denial is none of both.
fn ask_by_id(engine: &Engine, caller: KeyHandle, nano: i64) -> Result<Handle, Code> {
    let asked = amounts(None, Some(nano));
    let request = Request { id: Some("once"), ..request(caller, "p", "m", asked) };
    match engine.admit(&request, Millis::new(1), &Still::at(1)) {
        Ok(Answer::Permit(grant)) => Ok(grant.handle),
        Ok(Answer::Denial(denial)) => panic!("there is room: {denial:?}"),
        Err(fault) => Err(fault.code),
    }
}

#[test]
fn an_idempotency_id_claimed_by_several() {
    check(|| {
        let (engine, caller) = pair(settings());
        let ask = |nano| thread(&engine, move |engine| ask_by_id(engine, caller, nano));
        let threads = [ask(2), ask(2), ask(3)];
        let [one, other, unlike] = threads.map(end);
        let mut permits: Vec<Handle> = [one, other, unlike].into_iter().flatten().collect();
        permits.dedup();
        assert_eq!(permits.len(), 1, "one id, one permit");
        for code in [one, other].into_iter().filter_map(Result::err) {
            let lost_to_another = unlike.is_ok() && code == Code::IdConflict;
            assert!(code == Code::IdInProgress || lost_to_another, "{code:?}");
        }
        if let Err(code) = unlike {
            assert!(matches!(code, Code::IdInProgress | Code::IdConflict), "{code:?}");
        }
        let held = if unlike.is_ok() { 3 } else { 2 };
        assert_eq!(budget(&engine, "of k", 1), (0, held), "taken once");
        engine.release(permits[0], true, Millis::new(1)).expect("an open permit");
        assert_eq!(ask_by_id(&engine, caller, held), Err(Code::IdConflict), "a closed permit has the id");
    });
}

#[test]
fn sweep_against_update_and_read() {
    check(|| {
        let (engine, caller) = pair(settings());
        let permit = ask(&engine, caller, 4, 1).expect("room");
        let late = 1 + TTL;
        let updating =
            thread(&engine, move |engine| engine.update(permit, &used(0, 7), Millis::new(late - 1)));
        let sweeping = thread(&engine, move |engine| engine.sweep(Millis::new(late)));
        let reading = thread(&engine, move |engine| {
            let (used, held) = budget(engine, "of k", late);
            assert!(used >= 0 && held >= 0 && matches!(used + held, 4 | 7), "{used} used and {held} held");
        });
        let (updated, expired) = (end(updating), end(sweeping));
        end(reading);
        assert_eq!(expired, u64::from(budget(&engine, "of k", late).1 == 0), "a busy permit was passed over");
        engine.sweep(Millis::new(late));
        let charged = match updated {
            Ok(over) => {
                assert!(over.is_empty(), "seven of nine");
                7
            }
            Err(fault) => {
                assert_eq!(fault.code, Code::PermitClosed);
                4
            }
        };
        for id in ["of k", "of t"] {
            assert_eq!(budget(&engine, id, late), (charged, 0), "{id}");
        }
        settle(&engine, permit, 0, 5, late).expect("a permit that is remembered");
        assert_eq!(budget(&engine, "of t", late), (5, 0), "a late settle corrects the charge");
    });
}

#[test]
fn a_snapshot_against_traffic() {
    check(|| {
        let (engine, caller) = pair(settings());
        let before = ask(&engine, caller, 2, 1).expect("room");
        settle(&engine, before, 0, 2, 1).expect("an open permit");
        let asking = thread(&engine, move |engine| {
            let permit = ask(engine, caller, 3, 1).expect("room");
            settle(engine, permit, 0, 4, 1).expect("an open permit");
        });
        let editing = thread(&engine, |engine| apply(engine, &[member(9, "2h")], 1));
        let writing = thread(&engine, |engine| engine.snapshot(Millis::new(1)));
        let image = end(writing);
        end(asking);
        end(editing);
        let (copy, _) = pair(settings());
        let restored = copy.restore(&image, Millis::new(1)).expect("a whole image");
        assert_eq!((restored.restored, restored.unknown), (2, 0));
        for id in ["of k", "of t"] {
            let (used, held) = budget(&copy, id, 1);
            assert_eq!(held, 0, "nobody will settle what was held");
            assert!(matches!(used, 2 | 5 | 6), "{id}: {used} was never counted");
            assert_eq!(budget(&engine, id, 1), (6, 0), "and the traffic did not notice");
        }
    });
}

#[test]
fn a_counter_let_go_against_a_step_on_its_way_to_it() {
    check(|| {
        let (engine, caller) = pair(settings());
        let permit = ask(&engine, caller, 4, 1).expect("room");
        // The counter of the permit is closed, and the clock leaps past the time that it is kept.
        apply(&engine, &[member(9, "2h")], 1);
        let late = 2 * TTL + 2;
        let settling = thread(&engine, move |engine| settle(engine, permit, 0, 6, TTL));
        let sweeping = thread(&engine, move |engine| engine.sweep(Millis::new(late)));
        let editing = thread(&engine, move |engine| {
            apply(engine, &[member(9, "3h")], late);
            apply(engine, &[member(9, "4h")], 2 * late);
        });
        let settled = end(settling);
        end(sweeping);
        end(editing);
        engine.sweep(Millis::new(late));
        let charged = match settled {
            Ok(_) => 6,
            Err(fault) => {
                assert_eq!(fault.code, Code::PermitNotFound);
                4
            }
        };
        for id in ["of k", "of t"] {
            assert_eq!(budget(&engine, id, late), (charged, 0), "{id}");
        }
    });
}

#[test]
fn a_record_given_to_another_permit_against_steps_of_the_first() {
    check(|| {
        let (engine, caller) = pair(Settings { max_open_permits: 1, ..settings() });
        let first = ask(&engine, caller, 2, 1).expect("room");
        let close = || thread(&engine, move |engine| settle(engine, first, 0, 1, 1));
        let closing = [close(), close()];
        let asking = thread(&engine, move |engine| {
            let request = request(caller, "p", "m", amounts(None, Some(3)));
            match engine.admit(&request, Millis::new(1), &Still::at(1)).expect("a good request") {
                Answer::Permit(grant) => Some(grant.handle),
                Answer::Denial(denial) => {
                    assert_eq!(denial.code, Code::TooManyPermits);
                    None
                }
            }
        });
        let (closed, second) = (closing.map(end), end(asking));
        let charged = closed.iter().flatten().filter(|answer| !answer.repeated).count();
        assert_eq!(charged, 1, "one of two alike charged");
        for fault in closed.iter().filter_map(|answer| answer.as_ref().err()) {
            assert!(fault.code == Code::PermitNotFound && second.is_some(), "{fault:?}");
        }
        let held = if second.is_some() { 3 } else { 0 };
        assert_eq!(budget(&engine, "of k", 1), (1, held), "each permit holds and charges its own");
        assert_eq!(engine.open_permits(), i64::from(second.is_some()));
    });
}
