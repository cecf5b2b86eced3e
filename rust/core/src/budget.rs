//! A money counter on its own: holds, then charges, in whole nano-dollars.
//!
//! ```
//! use limen_core::budget::BudgetCounter;
//! use limen_core::period::{Duration, Lattice};
//! use limen_core::units::Millis;
//!
//! let month = Lattice::calendar(Duration::parse("1M").unwrap()).unwrap();
//! let budget = BudgetCounter::new(1_000_000_000, month);
//! let now = Millis::new(0);
//! assert!(budget.reserve(600_000_000, now));
//! assert!(!budget.reserve(600_000_000, now));
//! budget.settle(600_000_000, 250_000_000, now);
//! assert_eq!(budget.status(now).used, 250_000_000);
//! assert_eq!(budget.status(now).held, 0);
//! ```

use crate::period::{Epoch, Lattice};
use crate::units::Millis;
use crate::window::Met;
use crate::window::admits;
use crate::window::single::{FixedWindow, Status};

/// One budget.
#[derive(Debug)]
pub struct BudgetCounter {
    window: FixedWindow,
    lattice: Lattice,
    limit: i64,
}

impl BudgetCounter {
    /// At most `limit_nano_usd` in every window of a lattice.
    #[must_use]
    pub fn new(limit_nano_usd: i64, lattice: Lattice) -> BudgetCounter {
        BudgetCounter { window: FixedWindow::on(limit_nano_usd, lattice), lattice, limit: limit_nano_usd }
    }

    fn epoch(&self, taken_at: Millis) -> Epoch {
        self.lattice.window_at(taken_at)
    }

    /// Hold an amount if it fits.
    #[inline]
    pub fn reserve(&self, nano_usd: i64, now: Millis) -> bool {
        self.window.take(nano_usd, now)
    }

    /// Replace what was held at `taken_at` by what it really cost. If its window has rolled, only what exceeds the hold
    /// is charged, to the current window.
    pub fn settle(&self, held_nano_usd: i64, real_nano_usd: i64, taken_at: Millis) {
        let fixed = self.window.fixed();
        let met = fixed.correct(self.epoch(taken_at), real_nano_usd - held_nano_usd, real_nano_usd, taken_at);
        if met == Met::Rolled && real_nano_usd > held_nano_usd {
            fixed.charge(real_nano_usd - held_nano_usd, taken_at, |_| {});
        }
    }

    /// Give back what was held at `taken_at`. A window that has rolled is left alone.
    pub fn give_back(&self, nano_usd: i64, taken_at: Millis) {
        let fixed = self.window.fixed();
        let held = fixed.read(taken_at).held;
        fixed.correct(self.epoch(taken_at), -nano_usd.min(held), 0, taken_at);
    }

    /// Add to the current window without asking whether it fits.
    pub fn charge(&self, nano_usd: i64, now: Millis) {
        self.window.fixed().charge(nano_usd, now, |_| {});
    }

    /// What the budget shows.
    #[must_use]
    pub fn status(&self, now: Millis) -> Status {
        let reading = self.window.fixed().read(now);
        let total = reading.total();
        let fits = admits(total, 1, self.limit);
        Status {
            limit: self.limit,
            used: reading.used,
            held: reading.held,
            remaining: self.limit.saturating_sub(total).max(0),
            reset_at: reading.reset,
            retry_after_ms: if fits { 0 } else { reading.reset.get().saturating_sub(now.get()).max(0) },
        }
    }
}
