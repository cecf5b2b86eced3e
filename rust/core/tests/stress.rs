//! Real threads at a limit: exactly what fits passes, and nothing is refused without a reason.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use common::{
    Still, amounts, customer, engine, handle, key_row, limit, provider, reading, request, settings, splitmix,
    team,
};
use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::permit::Handle;
use limen_core::policy::edit::Edit;
use limen_core::policy::{Kind, Window};
use limen_core::request::KeyHandle;
use limen_core::units::Millis;

const BURSTS: i64 = 10_000;
const SECOND: i64 = 1_000;

/// A key below a team below a customer.
fn key(id: &str, team: Option<&str>, customer: Option<&str>) -> Edit {
    let mut row = key_row(id, &["p"], Vec::new());
    (row.team, row.customer) = (team.map(Into::into), customer.map(Into::into));
    Edit::VirtualKey(Box::new(row))
}

/// Ask for this much money and as many tokens: the permit, or the ids of the limits that refuse.
fn ask(engine: &Engine, key: KeyHandle, amount: i64, now: i64) -> Result<Handle, Vec<String>> {
    let request = request(key, "p", "m", amounts(Some(amount), Some(amount)));
    match engine.admit(&request, Millis::new(now), &Still::at(now)).expect("a good request") {
        Answer::Permit(grant) => Ok(grant.handle),
        Answer::Denial(denial) => {
            Err(denial.limits.iter().map(|limit| limit.name.limit_id.to_string()).collect())
        }
    }
}

/// In each burst all threads do the `work` at once, then the `check` looks at what came of it. Who fails must not leave
/// the others waiting for him.
fn bursts(threads: usize, work: impl Fn(usize, i64) + Sync, check: impl Fn(i64) + Sync) {
    let (together, failed) = (Barrier::new(threads), AtomicBool::new(false));
    thread::scope(|scope| {
        for number in 0..threads {
            let (together, failed, work, check) = (&together, &failed, &work, &check);
            scope.spawn(move || {
                for burst in 0..BURSTS {
                    together.wait();
                    if failed.load(Ordering::SeqCst) {
                        break;
                    }
                    let worked = catch_unwind(AssertUnwindSafe(|| work(number, burst)));
                    together.wait();
                    let checked = catch_unwind(AssertUnwindSafe(|| {
                        if number == 0 {
                            check(burst);
                        }
                    }));
                    if worked.is_err() || checked.is_err() {
                        failed.store(true, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(!failed.load(Ordering::SeqCst), "see above");
}

/// Bursts of `threads` callers whose only way is key, team, customer, provider; `most` of each in rank order. What
/// must pass is the smallest.
fn exactly_the_limit(threads: usize, kind: Kind, window: Window, amount: i64, most: [i64; 3]) {
    let row = |id, most| vec![limit(id, kind, most, "1s", window)];
    let engine = engine(
        settings(),
        &[
            customer("c", row("of c", most[1])),
            team("t", Some("c"), row("of t", most[0])),
            provider("p", row("of p", most[2])),
            key("k", Some("t"), None),
        ],
    );
    let caller = handle(&engine, "k");
    let fits = most.into_iter().min().expect("three limits") / amount;
    // A sliding window is empty again two lengths later.
    let (step, late) = if window == Window::Sliding { (2 * SECOND, SECOND) } else { (SECOND, 1) };
    let tries = fits as usize / threads + 2;
    let passed = AtomicI64::new(0);
    let pass = |at, now| {
        let permit = ask(&engine, caller, amount, at).ok()?;
        common::settle(&engine, permit, amount, amount, now).expect("an open permit");
        Some(passed.fetch_add(1, Ordering::Relaxed))
    };
    let work = |number, burst| {
        let now = burst * step;
        for attempt in 0..tries {
            // One clock is late. Before the boundary the window is full: a late call is refused, or counts in the
            // new window if that was opened already.
            let is_late = number == 0 && attempt == 0 && burst > 0;
            pass(if is_late { now - late } else { now }, now);
        }
    };
    bursts(threads, work, |burst| {
        let now = burst * step;
        if window == Window::Sliding {
            // Whoever turns the window closes what has left and then lowers the total: put to sleep in between, he leaves
            // others refused for as long. So nothing too much passes in the burst, and alone the rest does.
            assert!(passed.load(Ordering::Relaxed) <= fits, "burst {burst} over {most:?}");
            while pass(now, now).is_some() {}
        }
        assert_eq!(passed.swap(0, Ordering::Relaxed), fits, "burst {burst} over {most:?}");
        for (id, most) in ["of t", "of c", "of p"].into_iter().zip(most) {
            let count = reading(&engine, id, kind, now);
            assert_eq!(count.held, 0, "{id} in burst {burst}");
            // Where the window before had room, the late call may have counted there.
            let late = if most > fits * amount { amount } else { 0 };
            assert!(
                (fits * amount - late..=fits * amount).contains(&count.used),
                "{id} in burst {burst}: {count:?}"
            );
        }
    });
    assert_eq!(engine.open_permits(), 0);
}

#[test]
fn two_threads_share_exactly_the_requests_of_a_fixed_window() {
    exactly_the_limit(2, Kind::Requests, Window::Fixed, 1, [3, 5, 4]);
}

#[test]
fn four_threads_share_exactly_the_money_of_a_fixed_window() {
    exactly_the_limit(4, Kind::Budget, Window::Fixed, 7, [70, 49, 56]);
}

#[test]
fn three_threads_share_exactly_the_tokens_of_a_sliding_window() {
    exactly_the_limit(3, Kind::Tokens, Window::Sliding, 5, [40, 45, 30]);
}

/// One answer of a burst, with the instants between which it was made on a clock that counts calls.
struct Call {
    from: u64,
    to: u64,
    key: usize,
    amount: i64,
    answer: Result<Handle, Vec<String>>,
}

impl Call {
    /// Whether it may have stood in a counter for a moment without staying there.
    fn was_undone(&self) -> bool {
        // The team is asked first: who was refused there stood nowhere.
        matches!(&self.answer, Err(limits) if self.key == 0 && !limits.iter().any(|limit| limit == "of t"))
    }

    fn overlaps(&self, other: &Call) -> bool {
        self.from < other.to && other.from < self.to
    }
}

#[test]
fn crossing_chains_of_mixed_sizes_never_exceed_a_limit_and_refuse_nothing_that_would_pass() {
    let (of_team, of_customer) = (10, 13);
    let row = |id, most| vec![limit(id, Kind::Budget, most, "1s", Window::Fixed)];
    let engine = engine(
        settings(),
        &[
            customer("c", row("of c", of_customer)),
            team("t", None, row("of t", of_team)),
            key("both", Some("t"), Some("c")),
            key("customer", None, Some("c")),
            key("team", Some("t"), None),
        ],
    );
    let callers = ["both", "customer", "team"].map(|id| handle(&engine, id));
    let clock = AtomicU64::new(0);
    let calls: [Mutex<Vec<Call>>; THREADS] = Default::default();
    let work = |number: usize, burst: i64| {
        let mut calls = calls[number].lock().expect("no panic");
        for attempt in 0..6 {
            let chance = splitmix((burst as u64 * 6 + attempt) * THREADS as u64 + number as u64);
            let (key, amount) = (chance as usize % 3, 1 + (chance >> 32) as i64 % 4);
            let from = clock.fetch_add(1, Ordering::SeqCst);
            let answer = ask(&engine, callers[key], amount, burst * SECOND);
            let to = clock.fetch_add(1, Ordering::SeqCst);
            calls.push(Call { from, to, key, amount, answer });
        }
    };
    bursts(THREADS, work, |burst| {
        let calls = calls.iter().flat_map(|calls| std::mem::take(&mut *calls.lock().expect("no panic")));
        let calls: Vec<Call> = calls.collect();
        all_is_right(&engine, &callers, &calls, burst * SECOND, [of_team, of_customer]);
    });
    assert_eq!(engine.open_permits(), 0);
}

const THREADS: usize = 3;

/// The counters hold what the permits hold, and what was refused is refused again now that all is quiet: but for who
/// met, both times it looked, a call that was itself refused at another level.
fn all_is_right(engine: &Engine, callers: &[KeyHandle; 3], calls: &[Call], now: i64, most: [i64; 2]) {
    let sum = |not: usize| -> i64 {
        calls.iter().filter(|call| call.answer.is_ok() && call.key != not).map(|call| call.amount).sum()
    };
    for (id, held, most) in [("of t", sum(1), most[0]), ("of c", sum(2), most[1])] {
        assert!(held <= most, "{id} admitted {held}");
        assert_eq!(common::budget(engine, id, now), (0, held), "{id} holds what its permits hold");
    }
    for refused in calls.iter().filter(|call| call.answer.is_err()) {
        let again = request(callers[refused.key], "p", "m", amounts(Some(0), Some(refused.amount)));
        let again = engine.peek(&again, Millis::new(now), &Still::at(now)).expect("a good request");
        if matches!(again, Answer::Permit(_)) {
            assert!(
                calls.iter().any(|other| other.was_undone() && other.overlaps(refused)),
                "{} for {} was refused, and nothing was in its way",
                refused.amount,
                refused.key
            );
        }
    }
    for permit in calls.iter().filter_map(|call| call.answer.as_ref().ok()) {
        engine.release(*permit, true, Millis::new(now)).expect("an open permit");
    }
}
