//! Where a request goes: conditions of rules, weighted and sticky draws among the targets that can serve it.

pub mod cel;
pub mod health;
pub mod rules;
pub mod sampler;
mod shares;
pub(crate) mod target;
