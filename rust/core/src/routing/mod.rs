//! Where a request goes: conditions of rules, weighted and sticky draws among the targets that can serve it.

pub mod cel;
pub mod sampler;
mod shares;
pub(crate) mod target;
