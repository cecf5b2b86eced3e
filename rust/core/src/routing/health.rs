//! How a rule fares: counted while decisions are made, read by whoever looks at the rule.

use crate::routing::cel::{Expression, Failure, Why};
use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use crate::units::Millis;

const NEVER: i64 = i64::MIN;

/// The counters of one rule. Each is right by itself; nothing is decided by them, so all of them are relaxed.
#[derive(Debug)]
pub(super) struct Counters {
    matches: AtomicU64,
    errors: AtomicU64,
    over_budget: AtomicU64,
    last_error: AtomicU32,
    last_match_at: AtomicI64,
}

/// What the counters of a rule say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How often it matched.
    pub matches: u64,
    /// How often its expression had no value.
    pub errors: u64,
    /// How often it would have cost too much.
    pub over_budget: u64,
    /// The last error, or the last time over budget, in words.
    pub last_error: Option<String>,
    /// When it matched last.
    pub last_match_at: Option<Millis>,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            matches: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            over_budget: AtomicU64::new(0),
            last_error: AtomicU32::new(0),
            last_match_at: AtomicI64::new(NEVER),
        }
    }
}

impl Counters {
    #[inline]
    pub(super) fn matched(&self, now: Millis) {
        self.matches.fetch_add(1, Ordering::Relaxed);
        // Most matches come in the same millisecond as the one before, or would write what is there.
        if self.last_match_at.load(Ordering::Relaxed) < now.get() {
            self.last_match_at.store(now.get(), Ordering::Relaxed);
        }
    }

    #[cold]
    pub(super) fn failed(&self, failure: Failure) {
        let counter = if failure.why == Why::OverBudget { &self.over_budget } else { &self.errors };
        counter.fetch_add(1, Ordering::Relaxed);
        self.last_error.store(failure.packed(), Ordering::Relaxed);
    }

    pub(super) fn read(&self, condition: &Expression) -> Health {
        let at = self.last_match_at.load(Ordering::Relaxed);
        let failure = Failure::unpacked(self.last_error.load(Ordering::Relaxed));
        Health {
            matches: self.matches.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            over_budget: self.over_budget.load(Ordering::Relaxed),
            last_error: failure.map(|failure| condition.said(failure)),
            last_match_at: (at != NEVER).then_some(Millis::new(at)),
        }
    }
}
