//! Usage out and in.
//!
//! An *image* is one text of all counters, for whoever asks for one. A *flush* is what a store writes down every second:
//! what changed of the counters and of the permits since the last one, each under an integer key, and the periods that
//! have ended. After a restart the store's rows are put back, and what was flushed goes on: counts in their windows,
//! permits under their handles, idempotency ids with their answers.

mod bytes;
mod counters;
mod flush;
mod image;
mod permits;
mod restore;

pub use counters::CounterRow;
pub use flush::Collected;
pub(crate) use flush::Flush;
pub use image::Restored;
pub use restore::RestoredUsage;
