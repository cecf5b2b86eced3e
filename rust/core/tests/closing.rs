//! Windows that are closed for good: what may close, and that nothing is counted into what was closed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use limen_core::units::Millis;
use limen_core::window::Take;
use limen_core::window::single::{FixedWindow, SlidingWindow};

const SECOND: i64 = 1_000;

fn at(ms: i64) -> Millis {
    Millis::new(ms)
}

macro_rules! for_both_windows {
    ($($name:ident: $window:ident => $body:block)*) => {
        mod fixed {
            use super::*;
            fn made(limit: i64) -> FixedWindow { FixedWindow::new(limit, SECOND, at(0)) }
            $(#[test] fn $name() { let $window = made; $body })*
        }
        mod sliding {
            use super::*;
            fn made(limit: i64) -> SlidingWindow { SlidingWindow::new(limit, SECOND, 10).expect("a small limit") }
            $(#[test] fn $name() { let $window = made; $body })*
        }
    };
}

for_both_windows! {
    a_window_that_counts_does_not_close: window => {
        let window = window(2);
        assert!(window.take(1, at(0)));
        assert!(!window.close_if_empty(at(SECOND - 1)));
        assert_ne!(window.try_take(1, at(SECOND - 1)), Take::Sealed);
    }

    a_window_closes_once_nothing_counts: window => {
        let window = window(2);
        assert!(window.take(2, at(0)));
        assert!(window.close_if_empty(window.status(at(0)).reset_at));
        assert_eq!(window.try_take(1, at(9 * SECOND)), Take::Sealed);
        assert!(!window.close_if_empty(at(9 * SECOND)), "it was closed before");
    }

    a_window_that_counts_can_be_closed: window => {
        let window = window(2);
        assert!(window.take(1, at(0)));
        window.close();
        assert_eq!(window.try_take(1, at(0)), Take::Sealed);
        assert!(!window.take(1, at(9 * SECOND)));
    }

    nothing_is_counted_into_a_window_that_closed_empty: window => {
        for round in 0..300 {
            let (window, taken) = (window(1), AtomicI64::new(0));
            assert!(window.take(1, at(0)));
            let later = at(10 * SECOND + round);
            let closed = thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| taken.fetch_add(i64::from(window.take(1, later)), Ordering::Relaxed));
                }
                scope.spawn(|| window.close_if_empty(later)).join().unwrap_or(false)
            });
            assert_eq!(taken.load(Ordering::Relaxed), i64::from(!closed));
        }
    }
}
