//! What does a whole decision cost, admit and settle, beside one check of a keyed limiter?

use limen_core::request::Caller;

use crate::governor_keyed;
use crate::policy::{Call, handles, roomy};
use crate::timing::{Effort, in_turn, print_ratio, side};
use crate::workloads::Workloads;

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let keys = workloads.keys.hot;
    let values = workloads.values(keys);
    let order = workloads.order(keys, effort.calls);
    let limit = |kind, _| workloads.roomy(kind);
    let call = Call::new(workloads);
    for (name, levels) in [("typical", &workloads.levels.typical), ("full", &workloads.levels.full)] {
        let engine = roomy(workloads, levels, &limit).build(keys);
        let handles = handles(&engine, keys);
        let governor = governor_keyed();
        let [peer, by_string, by_handle] = in_turn(
            effort,
            [
                side(&order, |key| assert!(governor.check_key(&values[key]).is_ok())),
                side(&order, |key| call.pair(&engine, Caller::Value(&values[key]))),
                side(&order, |key| call.pair(&engine, Caller::Handle(handles[key]))),
            ],
        );
        print_ratio(&format!("admit_settle_{name}_string"), by_string, peer);
        print_ratio(&format!("admit_settle_{name}_handle"), by_handle, peer);
    }
}
