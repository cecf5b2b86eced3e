//! Counts of what was decided, rendered for Prometheus.

use core::fmt::Write;

use crate::error::Code;
use crate::sync::{AtomicU64, Ordering, sized, thread_number};

const STRIPES: usize = sized(8, 1) as usize;

/// One thread's share of the counts, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe {
    permits: AtomicU64,
    denials: [AtomicU64; Code::ALL.len()],
}

/// Counts of decisions.
#[derive(Debug)]
pub(crate) struct Stats {
    stripes: [Stripe; STRIPES],
    /// Refusals by reservations that were being undone at that moment.
    pub(crate) transient_refusals: AtomicU64,
    pub(crate) expired: AtomicU64,
}

impl Default for Stats {
    fn default() -> Stats {
        let stripe =
            |_| Stripe { permits: AtomicU64::new(0), denials: std::array::from_fn(|_| AtomicU64::new(0)) };
        Stats {
            stripes: std::array::from_fn(stripe),
            transient_refusals: AtomicU64::new(0),
            expired: AtomicU64::new(0),
        }
    }
}

impl Stats {
    #[inline(always)]
    pub(crate) fn permitted(&self) {
        self.stripes[thread_number() % STRIPES].permits.fetch_add(1, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn denied(&self, code: Code) {
        self.stripes[thread_number() % STRIPES].denials[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Prometheus text, version 0.0.4.
    pub(crate) fn render(&self, open_permits: i64, counters: u32, periods_lost: u64) -> String {
        let sum = |pick: &dyn Fn(&Stripe) -> &AtomicU64| -> u64 {
            self.stripes.iter().map(|stripe| pick(stripe).load(Ordering::Relaxed)).sum()
        };
        let mut text = String::from(
            "# HELP limen_decisions_total Decisions by outcome.\n# TYPE limen_decisions_total counter\n",
        );
        let permitted = sum(&|stripe| &stripe.permits);
        let _ = writeln!(text, "limen_decisions_total{{outcome=\"permit\"}} {permitted}");
        for code in Code::ALL {
            let denied = sum(&|stripe| &stripe.denials[*code as usize]);
            if denied > 0 {
                let _ = writeln!(text, "limen_decisions_total{{outcome=\"{}\"}} {denied}", code.as_str());
            }
        }
        for (name, kind, help, value) in [
            (
                "limen_transient_refusals_total",
                "counter",
                "Refusals that met a reservation in the act of being undone.",
                self.transient_refusals.load(Ordering::Relaxed),
            ),
            (
                "limen_permits_expired_total",
                "counter",
                "Permits that expired before they were settled.",
                self.expired.load(Ordering::Relaxed),
            ),
            (
                "limen_periods_lost_total",
                "counter",
                "Ends and corrections of periods that found no room before a flush took them.",
                periods_lost,
            ),
            ("limen_permits_open", "gauge", "Permits that are open.", open_permits.max(0) as u64),
            ("limen_counters", "gauge", "Counter cells in the arena.", u64::from(counters)),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }
}
