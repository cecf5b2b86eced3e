//! How do two threads share one engine?
//!
//! Throughput of two threads to that of one. A round counts only where two threads that merely spin, before it
//! and after it, do 1.9 times the work of one, and no thread in it had to wait for a processor: else the machine
//! was not ours. A thread that waits for the other one, at a lock, is not in want of a processor, and counts.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use limen_core::engine::Engine;
use limen_core::policy::Kind;
use limen_core::request::{Caller, KeyHandle};
use serde_json::json;

use crate::policy::{Call, Owners, Plan, handles, now, roomy};
use crate::timing::{Effort, Spread};
use crate::workloads::Workloads;

const CALLS_A_LOOK: u64 = 64;
/// What two spinning threads must do of one's work.
const SPIN: f64 = 1.9;
/// The least part of all calls that the slower of two threads must have made, in the middle round: in one round
/// somebody else may have had its processor.
const SHARE: f64 = 0.1;

/// The part of its time that a thread may have waited for a processor.
const WAIT: f64 = 0.05;

/// What one thread did: calls, in how many nanoseconds, and how many of those it waited for a processor.
struct Done {
    calls: u64,
    elapsed: f64,
    waited: f64,
}

/// Nanoseconds for which this thread could have run, and no processor was free.
fn waited() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').nth(1).and_then(|waited| waited.parse().ok()).expect("a number")
}

/// What each of some threads did.
fn sample(threads: usize, length: Duration, work: impl Fn(usize) + Sync) -> Vec<Done> {
    let (start, stop) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let one = |thread: usize| {
        start.wait();
        let (mut calls, before, began) = (0, waited(), Instant::now());
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..CALLS_A_LOOK {
                work(thread);
            }
            calls += CALLS_A_LOOK;
        }
        let elapsed = began.elapsed().as_nanos() as f64;
        Done { calls, elapsed, waited: waited() - before }
    };
    thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        start.wait();
        thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        running.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    })
}

fn throughput(sample: &[Done]) -> f64 {
    sample.iter().map(|done| done.calls as f64 / done.elapsed).sum()
}

/// How much more two spinning threads do than one.
fn spin(length: Duration) -> f64 {
    let spin = |_| {
        for _ in 0..16 {
            std::hint::black_box(std::hint::black_box(7u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
    };
    let one = throughput(&sample(1, length, spin));
    throughput(&sample(2, length, spin)) / one
}

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    for (row, owners, keys) in [
        ("threads_nothing_shared", Owners::Apart, 2),
        ("threads_customer_shared", Owners::OwnTeams, 2),
        ("threads_hot_key", Owners::Shared, 1),
    ] {
        let limit = |kind, _| workloads.roomy(kind);
        let plan = Plan { owners, still: true, ..roomy(workloads, &workloads.levels.typical, &limit) };
        let engine = plan.build(keys);
        let providers: Vec<String> = (0..keys).map(|key| plan.name("provider", key)).collect();
        let handles = handles(&engine, keys);
        let each = |thread: usize| (handles[thread % keys], providers[thread % keys].as_str());
        let made = measure(row, workloads, effort, &engine, each);
        check_totals(workloads, &plan, &engine, keys, made);
    }
}

fn measure<'a>(
    row: &str,
    workloads: &Workloads,
    effort: Effort,
    engine: &Engine,
    each: impl Fn(usize) -> (KeyHandle, &'a str) + Sync,
) -> [u64; 2] {
    let plain = Call::new(workloads);
    let calls = [0, 1].map(|thread| {
        let (handle, provider) = each(thread);
        (plain.on(provider), handle)
    });
    let work = |thread: usize| calls[thread].0.pair(engine, Caller::Handle(calls[thread].1));
    let length = Duration::from_millis(if effort.quick { 5 } else { 40 });
    let (mut ratios, mut shares, mut void, mut made) = (Vec::new(), Vec::new(), 0, [0, 0]);
    for round in 0..effort.rounds * 3 {
        if ratios.len() == effort.rounds {
            break;
        }
        let before = spin(length);
        let mut samples = [Vec::new(), Vec::new()];
        for place in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            samples[place] = sample(place + 1, length, work);
            for (thread, done) in samples[place].iter().enumerate() {
                made[thread] += done.calls;
            }
        }
        let in_want = samples.iter().flatten().any(|done| done.waited > WAIT * done.elapsed);
        if before < SPIN || in_want || spin(length) < SPIN {
            void += 1;
            continue;
        }
        let (first, second) = (samples[1][0].calls as f64, samples[1][1].calls as f64);
        let share = first.min(second) / (first + second);
        shares.push(share);
        ratios.push(throughput(&samples[1]) / throughput(&samples[0]));
    }
    let line = if ratios.len() < effort.rounds / 3 {
        let note = format!("void: the machine had two free processors in {} rounds only", ratios.len());
        json!({ "row": row, "median": null, "least": null, "note": note })
    } else {
        let (valid, share) = (ratios.len(), Spread::of(shares));
        let Spread { median, least } = Spread::of(ratios);
        let slower = share.median;
        assert!(slower >= SHARE, "{row}: one thread made {slower} of all calls");
        let note = format!("{valid} rounds, {void} void; the slower thread made {slower:.2} of all calls");
        json!({ "row": row, "median": median, "least": least, "note": note })
    };
    println!("{line}");
    made
}

/// Every limit shows exactly what all threads settled.
fn check_totals(workloads: &Workloads, plan: &Plan<'_>, engine: &Engine, keys: usize, made: [u64; 2]) {
    let used = &workloads.used;
    let one = |kind| match kind {
        Kind::Tokens => used.prompt_tokens + used.completion_tokens,
        Kind::Requests => 1,
        Kind::Budget => used.cost_nano_usd,
    };
    let check = |limit: String, kind: Kind, calls: u64| {
        let reading = engine.read(&format!("{limit}-{}", kind.as_str()), kind, now()).expect("a limit");
        assert_eq!((reading.used, reading.held), (one(kind) * calls as i64, 0), "{limit}");
    };
    let all = made[0] + made[1];
    for (key, made) in made.iter().enumerate().take(keys) {
        let own = if keys == 1 { all } else { *made };
        for kind in [Kind::Tokens, Kind::Requests, Kind::Budget] {
            check(format!("key{key}"), kind, own);
        }
        let of = |owner: &str| if plan.name(owner, 0) == plan.name(owner, 1) { all } else { own };
        check(plan.name("team", key), Kind::Budget, of("team"));
        check(plan.name("customer", key), Kind::Budget, of("customer"));
        check(plan.name("provider", key), Kind::Tokens, of("provider"));
        check(plan.name("provider", key), Kind::Requests, of("provider"));
    }
}
