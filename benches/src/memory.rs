//! What does a key cost that nobody uses? Heap as the allocator counts it, and what the process takes in all.

use crate::policy::{handles, roomy};
use crate::timing::{Effort, print_value};
use crate::workloads::Workloads;

/// Bytes that are allocated and not freed.
fn heap() -> usize {
    // SAFETY: the call takes nothing and answers by value.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// Bytes of memory that the process occupies.
fn resident() -> usize {
    // SAFETY: the call takes a plain number. It gives free pages back, so that what is left is in use.
    unsafe { libc::malloc_trim(0) };
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4_096
}

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let keys = if effort.quick { workloads.keys.many } else { workloads.keys.cold };
    let limit = |kind, _| workloads.roomy(kind);
    let plan = roomy(workloads, &workloads.levels.typical, &limit);
    let (heap_before, resident_before) = (heap(), resident());
    let engine = plan.build(keys);
    let (heap, resident) = (heap() - heap_before, resident() - resident_before);
    assert_eq!(handles(&engine, keys).len(), keys);
    let note = format!("{keys} keys, with tokens, requests and a budget each, their ids and fingerprints");
    print_value("memory_key_bytes", heap as f64 / keys as f64, &note);
    print_value("memory_million_mb", resident as f64 / keys as f64, &note);
}
