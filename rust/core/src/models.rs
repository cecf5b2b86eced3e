//! Every atomic protocol under loom: all interleavings of a few threads, up to a number of preemptions, with the
//! stale reads that the memory orders allow.
//!
//! A model is small on purpose: two or three threads, one or two steps each, limits of one or two. What it asserts
//! is the invariant of the protocol, in words. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p limen-core --profile models --lib models::`.

mod chains;
mod edits;
mod fixed;
mod flush;
mod permits;
mod reuse;
mod sliding;
mod tiny;

use loom::thread::{JoinHandle, spawn};

/// Every interleaving there is.
const ANY: usize = usize::MAX;

/// Explore every interleaving with at most `preemptions` switches away from a thread that could go on.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = (preemptions != ANY).then_some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

/// What every thread came to, in the order in which they were given.
fn all<T: 'static>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().expect("the thread did not panic")).collect()
}

/// A thread on a shared value.
fn thread<S, T>(shared: &std::sync::Arc<S>, step: impl FnOnce(&S) -> T + 'static) -> JoinHandle<T>
where
    S: 'static,
    T: 'static,
{
    let shared = shared.clone();
    spawn(move || step(&shared))
}
