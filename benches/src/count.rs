//! Admit and settle a given number of times, for a tool that counts instructions.

use limen_core::request::Caller;

use crate::policy::{Call, handles, roomy};
use crate::workloads::Workloads;

/// `count NAME PAIRS`, NAME being `typical` or `full`, `string` or `handle`, joined by `_`.
pub(crate) fn run(workloads: &Workloads, name: &str, pairs: usize) {
    let (levels, caller) = name.split_once('_').expect("a chain and a caller");
    let levels = match levels {
        "typical" => &workloads.levels.typical,
        _ => &workloads.levels.full,
    };
    let limit = |kind, _| workloads.roomy(kind);
    let engine = roomy(workloads, levels, &limit).build(1);
    let (value, handle) = (workloads.value(0), handles(&engine, 1)[0]);
    let caller = if caller == "string" { Caller::Value(&value) } else { Caller::Handle(handle) };
    let call = Call::new(workloads);
    for _ in 0..pairs {
        call.pair(&engine, caller);
    }
}
