//! What do prices cost a whole decision, admit and settle, beside the same one whose costs are stated?

use limen_core::request::Caller;

use crate::policy::{Call, handles, now, roomy};
use crate::prices::{catalogue, nano_of_pair};
use crate::timing::{Effort, in_turn, print_ratio, side};
use crate::workloads::Workloads;

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let keys = workloads.keys.hot;
    let order = workloads.order(keys, effort.calls);
    let limit = |kind, _| workloads.roomy(kind);
    let plan = roomy(workloads, &workloads.levels.typical, &limit);
    let engines = [plan.build(keys), plan.build(keys)];
    engines[1].apply(&[catalogue(workloads)], now()).expect("prices");
    let calls = [Call::new(workloads), Call::priced(workloads, nano_of_pair(workloads))];
    let handles = engines.each_ref().map(|engine| handles(engine, keys));
    let sides = [0, 1].map(|place| {
        let (engine, handles, call) = (&engines[place], &handles[place], &calls[place]);
        side(&order, move |key| call.pair(engine, Caller::Handle(handles[key])))
    });
    let [stated, priced] = in_turn(effort, sides);
    print_ratio("admit_settle_prices", priced, stated);
}

/// Pairs by price, for a tool that counts instructions.
pub(crate) fn count(workloads: &Workloads, times: usize) {
    let limit = |kind, _| workloads.roomy(kind);
    let engine = roomy(workloads, &workloads.levels.typical, &limit).build(1);
    engine.apply(&[catalogue(workloads)], now()).expect("prices");
    let (call, handle) = (Call::priced(workloads, nano_of_pair(workloads)), handles(&engine, 1)[0]);
    for _ in 0..times {
        call.pair(&engine, Caller::Handle(handle));
    }
}
