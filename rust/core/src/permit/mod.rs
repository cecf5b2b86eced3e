//! Permits: what was taken, until it is settled, released or overdue.
//!
//! The steps of one permit (update, settle, release, expiry) run one after the other under its own state word.
//! Each corrects the permit's counters by a difference, in the window of the hold where that is still current.

mod body;
mod charge;
mod endings;
mod keeping;
mod record;
mod ring;
mod slab;
mod steps;

pub(crate) use body::Entry;
pub(crate) use keeping::{Kept, Look};
pub(crate) use record::State;
pub(crate) use slab::{Found, Held, Slab};
pub use steps::Closing;

/// A permit's number, with the generation in which it was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Which record.
    pub index: u32,
    /// Which of its lives (56 bits).
    pub generation: u64,
}

impl Handle {
    /// As bytes, for a permit's text.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.index.to_be_bytes());
        bytes[4..].copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }

    /// From the bytes of a permit's text.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 12]) -> Handle {
        let [a, b, c, d, generation @ ..] = bytes;
        Handle { index: u32::from_be_bytes([a, b, c, d]), generation: u64::from_be_bytes(generation) }
    }
}
