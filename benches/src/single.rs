//! What does one check of one limit cost?
//!
//! By string: the table under Python's `KeyedLimiter`. By handle: a window of one's own.

use limen_core::units::Millis;
use limen_core::window::single::FixedWindow;

use crate::governor_keyed;
use crate::keyed::{Answer, Keys, Shape};
use crate::policy::now;
use crate::timing::{Effort, in_turn, print_ratio, side};
use crate::workloads::Workloads;

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let keys = workloads.keys.hot;
    let values = workloads.values(keys);
    let order = workloads.order(keys, effort.calls);
    let (limit, per_ms) = (workloads.sliding.limit, workloads.sliding.per_ms);
    let table = Keys::new(limit, per_ms, Shape::Fixed, workloads.keys.cold).expect("a small limit");
    for value in &values {
        assert_eq!(table.take_new(value, 1, now(), &table.view()), Answer::Taken);
    }
    let windows: Vec<FixedWindow> =
        (0..keys).map(|_| FixedWindow::new(limit, per_ms, Millis::new(0))).collect();
    let governor = governor_keyed();
    let [peer, by_string, by_handle] = in_turn(
        effort,
        [
            side(&order, |key| assert!(governor.check_key(&values[key]).is_ok())),
            side(&order, |key| {
                let taken = table.take_known(&values[key], 1, now(), &table.view());
                assert_eq!(taken, Some(true));
            }),
            side(&order, |key| assert!(windows[key].take(1, now()))),
        ],
    );
    print_ratio("check_string", by_string, peer);
    print_ratio("check_handle", by_handle, peer);
}
