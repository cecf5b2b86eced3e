//! Where a request goes: weighted and sticky draws among the targets that can serve it.

pub mod sampler;
mod shares;
pub(crate) mod target;
