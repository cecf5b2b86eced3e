//! What does a sliding window cost beside a fixed one, and what does the turn to its next sub-window?

use limen_core::units::Millis;
use limen_core::window::single::{FixedWindow, SlidingWindow};

use crate::timing::{Effort, in_turn, print_ratio, side};
use crate::workloads::Workloads;

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let keys = workloads.keys.hot;
    let order = workloads.order(keys, effort.calls);
    let about = &workloads.sliding;
    let fixed: Vec<FixedWindow> =
        (0..keys).map(|_| FixedWindow::new(about.limit, about.per_ms, Millis::new(0))).collect();
    let sliding = || SlidingWindow::new(about.limit, about.per_ms, about.buckets).expect("a small limit");
    let still: Vec<SlidingWindow> = (0..keys).map(|_| sliding()).collect();
    // Every take of these comes one sub-window after the one before.
    let turning: Vec<(SlidingWindow, std::cell::Cell<i64>)> =
        (0..keys).map(|_| (sliding(), std::cell::Cell::new(0))).collect();
    let (now, step) = (Millis::new(1), about.per_ms / about.buckets);
    let [peer, taken, turned] = in_turn(
        effort,
        [
            side(&order, |key| assert!(fixed[key].take(1, now))),
            side(&order, |key| assert!(still[key].take(1, now))),
            side(&order, |key| {
                let (window, time) = &turning[key];
                time.set(time.get() + step);
                assert!(window.take(1, Millis::new(time.get())));
            }),
        ],
    );
    for (window, time) in &turning {
        // One unit in each sub-window; the oldest counts until it has left whole.
        let (used, taken) = (window.status(Millis::new(time.get())).used, time.get() / step);
        assert!(
            (taken.min(about.buckets)..=taken.min(about.buckets + 1)).contains(&used),
            "{used} of {taken}"
        );
    }
    print_ratio("sliding_take", taken, peer);
    print_ratio("sliding_turn", turned, peer);
}
