//! One number at a time, and how it changed since the last run: `cargo bench -p limen-benches`.
//!
//! For whoever changes something and wants to see what came of it. What is compared with others is in the table.

use criterion::{Criterion, criterion_group, criterion_main};
use limen_core::request::Caller;
use limen_core::units::Millis;
use limen_core::window::single::{FixedWindow, SlidingWindow};

#[allow(dead_code, reason = "not all of what the table's benches build is used here")]
#[path = "src/policy.rs"]
mod policy;
#[allow(dead_code, reason = "as above")]
#[path = "src/workloads.rs"]
mod workloads;

use policy::{Call, handles, now, roomy};
use workloads::Workloads;

fn windows(criterion: &mut Criterion) {
    let about = Workloads::read().sliding;
    let fixed = FixedWindow::new(about.limit, about.per_ms, Millis::new(0));
    criterion.bench_function("fixed window", |bencher| bencher.iter(|| assert!(fixed.take(1, now()))));
    let sliding = SlidingWindow::new(about.limit, about.per_ms, about.buckets).expect("a small limit");
    criterion.bench_function("sliding window", |bencher| bencher.iter(|| assert!(sliding.take(1, now()))));
}

fn pairs(criterion: &mut Criterion) {
    let workloads = Workloads::read();
    let limit = |kind, _| workloads.roomy(kind);
    let call = Call::new(&workloads);
    for (name, levels) in [("7 counters", &workloads.levels.typical), ("21 counters", &workloads.levels.full)]
    {
        let engine = roomy(&workloads, levels, &limit).build(1);
        let (value, handle) = (workloads.value(0), handles(&engine, 1)[0]);
        let mut bench = |by: &str, caller: Caller<'_>| {
            let name = format!("admit + settle, {name}, {by}");
            criterion.bench_function(&name, |bencher| bencher.iter(|| call.pair(&engine, caller)));
        };
        bench("by string", Caller::Value(&value));
        bench("by handle", Caller::Handle(handle));
    }
}

criterion_group!(numbers, windows, pairs);
criterion_main!(numbers);
