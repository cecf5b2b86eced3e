//! The decisions of limen: counters, admission over levels, permits, policy, weighted choice.
//!
//! There is no Python, clock, randomness source, file, network, JSON or log in here: time, chance and money are
//! arguments. See the code map beside the two crates for what belongs where.
#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod admit;
pub mod answer;
pub mod arena;
pub mod budget;
mod decide;
pub mod engine;
pub mod error;
pub mod explain;
pub mod history;
mod ids;
mod mark;
#[cfg(all(test, loom))]
mod models;
pub mod period;
pub mod permit;
pub mod policy;
pub mod pricing;
pub mod request;
pub mod routing;
pub mod snapshot;
mod stats;
mod sync;
pub mod units;
pub mod usage;
pub mod window;
