//! The decisions of limen. No Python, clock, randomness source, file, network, JSON or log in here:
//! time, chance and price are arguments.
#![forbid(unsafe_code)]

pub mod period;
pub mod routing;
pub mod units;
