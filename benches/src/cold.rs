//! What does a decision cost where nothing of the key is in the processor's caches?

use limen_core::request::Caller;

use crate::governor_keyed;
use crate::policy::{Call, handles, roomy};
use crate::timing::{Effort, in_turn, print_ratio, side};
use crate::workloads::Workloads;

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let keys = if effort.quick { workloads.keys.many } else { workloads.keys.cold };
    let values = workloads.values(keys);
    let order = workloads.order(keys, effort.calls);
    let limit = |kind, _| workloads.roomy(kind);
    let call = Call::new(workloads);
    let engine = roomy(workloads, &workloads.levels.typical, &limit).build(keys);
    let handles = handles(&engine, keys);
    let governor = governor_keyed();
    for value in &values {
        assert!(governor.check_key(value).is_ok());
    }
    let [peer, by_string, by_handle] = in_turn(
        effort,
        [
            side(&order, |key| assert!(governor.check_key(&values[key]).is_ok())),
            side(&order, |key| call.pair(&engine, Caller::Value(&values[key]))),
            side(&order, |key| call.pair(&engine, Caller::Handle(handles[key]))),
        ],
    );
    print_ratio("admit_settle_cold_string", by_string, peer);
    print_ratio("admit_settle_cold_handle", by_handle, peer);
}
