//! What has changed since a flush looked: one byte beside each cell that is kept on a disk.
//!
//! Whoever changes a cell does so first and notes it afterwards; a flush clears the note first and reads the cell
//! afterwards. So what is noted already need not be noted again, and a change is in this flush or in the next:
//!
//! - A changes the cell and finds it noted: the flush had not cleared the note yet, so it reads the cell later, with A's
//!   change in it.
//! - A finds it clear, and notes it: whatever this flush has read, the next one reads again.
//!
//! Were the cell read first and the note cleared afterwards, A could change it in between and find it noted: nobody
//! would read it again until something else changes it.
//!
//! "Later" and "earlier" need one order of steps on two words: the change is a SeqCst exchange, the look at the note a
//! SeqCst load, and between clearing and reading stands a SeqCst fence.

use crate::sync::{AtomicU8, Ordering, checked_fence, fence};

/// Beside one cell.
#[derive(Debug, Default)]
pub(crate) struct Mark(AtomicU8);

impl Mark {
    /// The cell has changed.
    #[inline(always)]
    pub(crate) fn note(&self) {
        checked_fence();
        if self.0.load(Ordering::SeqCst) == 0 {
            // Release: partner of the exchange in `clear`.
            self.0.store(1, Ordering::Release);
        }
    }

    /// Whether the cell is to be read, which comes after this.
    pub(crate) fn clear(&self) -> bool {
        if cfg!(canary = "flush_reads_before_it_clears") {
            return self.0.load(Ordering::SeqCst) != 0;
        }
        let noted = self.0.load(Ordering::Relaxed) != 0 && self.0.swap(0, Ordering::SeqCst) != 0;
        fence(Ordering::SeqCst);
        noted
    }

    /// The end of the look at a cell.
    #[inline(always)]
    pub(crate) fn was_read(&self) {
        if cfg!(canary = "flush_reads_before_it_clears") {
            // The fault: what changed since it was read is taken for read.
            self.0.store(0, Ordering::SeqCst);
        }
    }
}
