//! What does it cost to say no, with every limit that is violated and the instant from which it would pass?

use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::permit::Closing;
use limen_core::policy::Kind;
use limen_core::request::Caller;

use crate::policy::{Call, Plan, now, roomy};
use crate::timing::{Effort, in_turn, print_ratio, side};
use crate::workloads::{Levels, Workloads};

/// An engine in which every limit is full: one call of each key has filled them to the brim.
pub(crate) fn brimful(workloads: &Workloads, levels: &Levels, keys: usize) -> Engine {
    let asked = &workloads.asked;
    let brim = |kind, shared| {
        let one = match kind {
            Kind::Tokens => asked.input_tokens + asked.max_output_tokens,
            Kind::Requests => 1,
            Kind::Budget => asked.cost_nano_usd,
        };
        if shared { one * keys as i64 } else { one }
    };
    let full = Plan { still: true, ..roomy(workloads, levels, &brim) }.build(keys);
    let call = Call::new(workloads);
    for value in &workloads.values(keys) {
        let Answer::Permit(permit) = call.admit(&full, Caller::Value(value)) else { panic!("denied") };
        full.settle(permit.handle, &Closing::AsHeld, now()).expect("a permit");
    }
    full
}

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let keys = workloads.keys.hot;
    let values = workloads.values(keys);
    let order = workloads.order(keys, effort.calls);
    let unreached = |kind, _| workloads.roomy(kind);
    let call = Call::new(workloads);
    for (name, levels) in [("typical", &workloads.levels.typical), ("full", &workloads.levels.full)] {
        let open = roomy(workloads, levels, &unreached).build(keys);
        let full = brimful(workloads, levels, keys);
        let violated = levels.counters();
        let [pair, denial] = in_turn(
            effort,
            [
                side(&order, |key| call.pair(&open, Caller::Value(&values[key]))),
                side(&order, |key| match call.admit(&full, Caller::Value(&values[key])) {
                    Answer::Denial(denial) => {
                        assert_eq!(denial.limits.len(), violated);
                        assert!(denial.wait_ms.is_some());
                    }
                    Answer::Permit(_) => panic!("admitted"),
                }),
            ],
        );
        print_ratio(&format!("denial_{name}"), denial, pair);
    }
}
