//! Clocks: the system's, and one that is moved by hand.
//!
//! Windows follow the wall clock, which somebody may set wrong: were a jump to next year followed, every window would
//! roll. So a clock has two hands, the wall's and one that counts since the machine was booted and that nobody can
//! set. Wall less boot stays the same however long the machine runs or sleeps, unless somebody sets the wall; where
//! it grows by more than a day, the wall is not followed: time goes on from where it was, by the other hand, and the
//! jump is reported until an operator accepts it or sets the wall right. A wall set back is followed: no counter
//! opens a window again.
//!
//! The other hand is not looked at while the wall is less than a day ahead of where it was last found right.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use limen_core::units::Millis;
use pyo3::prelude::*;

use crate::convert::{count, fault, int};

const DAY_MS: i64 = 86_400_000;

/// The wall clock as of the kernel's last tick (1 to 4 ms late), at a twentieth of the price.
#[inline]
pub(crate) fn coarse() -> Millis {
    Millis::new(system::wall_coarse())
}

/// The wall clock to the millisecond.
#[inline]
pub(crate) fn fine() -> Millis {
    Millis::new(system::wall_fine())
}

/// What an engine asks for the time.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The machine's.
    System(SystemClock),
    /// Moved by hand.
    Manual(ManualHands),
}

impl Clock {
    pub(crate) fn system() -> Clock {
        Clock::System(SystemClock { guard: Guard::new(system::wall_fine(), system::boot()) })
    }

    /// Whether its time is in its owner's hands.
    pub(crate) fn is_manual(&self) -> bool {
        matches!(self, Clock::Manual(_))
    }

    /// The time, cheaply: at most one tick of the kernel late.
    #[inline]
    pub(crate) fn now(&self) -> Millis {
        Millis::new(match self {
            Clock::System(clock) => clock.guard.judge(system::wall_coarse(), system::boot),
            Clock::Manual(clock) => clock.now(),
        })
    }

    /// The time to the millisecond: for a refusal, which promises an instant.
    #[inline]
    pub(crate) fn fine_now(&self) -> Millis {
        Millis::new(match self {
            Clock::System(clock) => clock.guard.judge(system::wall_fine(), system::boot),
            Clock::Manual(clock) => clock.now(),
        })
    }

    /// By how many milliseconds the wall is ahead, where it is not followed.
    pub(crate) fn jumped(&self) -> Option<i64> {
        match self {
            Clock::System(clock) => clock.guard.ahead(system::wall_fine(), system::boot()),
            Clock::Manual(clock) => clock.guard.ahead(clock.hands.wall(), Some(clock.hands.boot())),
        }
    }

    /// Follow the wall again, wherever it stands.
    pub(crate) fn accept(&self) {
        match self {
            Clock::System(clock) => clock.guard.accept(system::wall_fine(), system::boot()),
            Clock::Manual(clock) => clock.guard.accept(clock.hands.wall(), Some(clock.hands.boot())),
        }
    }
}

/// The machine's clock behind its guard.
#[derive(Debug)]
pub(crate) struct SystemClock {
    guard: Guard,
}

/// A clock moved by hand, behind the guard of the engine that reads it.
#[derive(Debug)]
pub(crate) struct ManualHands {
    hands: Arc<Hands>,
    guard: Guard,
}

impl ManualHands {
    fn now(&self) -> i64 {
        self.guard.judge(self.hands.wall(), || Some(self.hands.boot()))
    }
}

/// Which wall to follow.
#[derive(Debug)]
struct Guard {
    /// Up to here the wall is followed without a look at the other hand.
    unquestioned: AtomicI64,
    /// Wall less boot when the wall was last found right.
    offset: AtomicI64,
}

impl Guard {
    fn new(wall: i64, boot: Option<i64>) -> Guard {
        let offset = boot.map_or(0, |boot| wall.saturating_sub(boot));
        Guard { unquestioned: AtomicI64::new(wall.saturating_add(DAY_MS)), offset: AtomicI64::new(offset) }
    }

    /// Relaxed throughout: each word is right by itself. A late reader of `unquestioned` looks at the other hand once
    /// more than it had to, or follows a wall that was right when that word was written.
    #[inline]
    fn judge(&self, wall: i64, boot: impl FnOnce() -> Option<i64>) -> i64 {
        if wall <= self.unquestioned.load(Ordering::Relaxed) { wall } else { self.question(wall, boot()) }
    }

    #[cold]
    fn question(&self, wall: i64, boot: Option<i64>) -> i64 {
        let Some(boot) = boot else {
            return wall;
        };
        let (before, offset) = (self.offset.load(Ordering::Relaxed), wall.saturating_sub(boot));
        if offset.saturating_sub(before) > DAY_MS {
            return before.saturating_add(boot);
        }
        // Only if nobody was first: hands that were read before a jump must not undo its acceptance.
        let first =
            self.offset.compare_exchange(before, offset, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if first {
            self.unquestioned.store(wall.saturating_add(DAY_MS), Ordering::Relaxed);
        }
        wall
    }

    fn ahead(&self, wall: i64, boot: Option<i64>) -> Option<i64> {
        let ahead = wall.saturating_sub(boot?).saturating_sub(self.offset.load(Ordering::Relaxed));
        (ahead > DAY_MS && wall > self.unquestioned.load(Ordering::Relaxed)).then_some(ahead)
    }

    fn accept(&self, wall: i64, boot: Option<i64>) {
        if let Some(boot) = boot {
            self.offset.store(wall.saturating_sub(boot), Ordering::Relaxed);
            self.unquestioned.store(wall.saturating_add(DAY_MS), Ordering::Relaxed);
        }
    }
}

/// The hands of a clock that stands still.
#[derive(Debug, Default)]
struct Hands {
    wall: AtomicI64,
    boot: AtomicI64,
    /// Held while the hands move, so that no two movements mix. Readers do not ask for it.
    moving: Mutex<()>,
}

impl Hands {
    fn wall(&self) -> i64 {
        // Acquire: partner of the Release in `shift`. Who sees the wall moved sees the other hand moved.
        self.wall.load(Ordering::Acquire)
    }

    fn boot(&self) -> i64 {
        self.boot.load(Ordering::Relaxed)
    }

    /// False, and nothing is moved, where the wall would leave 64 bits.
    fn shift(&self, wall_ms: i64, boot_ms: i64) -> bool {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wall) = self.wall().checked_add(wall_ms) else {
            return false;
        };
        self.boot.store(self.boot().saturating_add(boot_ms), Ordering::Relaxed);
        self.wall.store(wall, Ordering::Release);
        true
    }
}

/// A clock that stands still until it is moved. It has two hands, as a machine has: the wall clock, and the time
/// since boot, which nobody can set.
///
/// `ManualClock(start_ms=0)`: the wall shows `start_ms`, milliseconds since the Unix epoch. An engine that reads it
/// does not follow a wall that jumps ahead by more than a day.
///
/// >>> clock = limen.ManualClock(1_000)
/// >>> clock.advance(500)
/// >>> clock.jump(-200)
/// >>> clock.now_ms
/// 1300
#[pyclass(frozen, module = "limen")]
#[derive(Debug)]
pub(crate) struct ManualClock {
    hands: Arc<Hands>,
}

#[pymethods]
impl ManualClock {
    #[new]
    #[pyo3(signature = (start_ms = 0))]
    fn new(#[pyo3(from_py_with = start_ms)] start_ms: i64) -> ManualClock {
        ManualClock { hands: Arc::new(Hands { wall: AtomicI64::new(start_ms), ..Hands::default() }) }
    }

    /// Let `ms` milliseconds pass: both hands move.
    ///
    /// Raises InvalidError (`ms`) for a negative number, and where the wall would leave 64 bits.
    fn advance(&self, ms: &Bound<'_, PyAny>) -> PyResult<()> {
        let step = count(ms, "ms")?;
        self.moved(step, step)
    }

    /// Set the wall clock `ms` milliseconds on (negative: back). The other hand stays where it is.
    ///
    /// Raises InvalidError (`ms`) where the wall would leave 64 bits.
    fn jump(&self, ms: &Bound<'_, PyAny>) -> PyResult<()> {
        self.moved(int(ms, "ms")?, 0)
    }

    /// What the wall shows: milliseconds since the Unix epoch.
    #[getter]
    fn now_ms(&self) -> i64 {
        self.hands.wall()
    }

    fn __repr__(&self) -> String {
        format!("ManualClock({})", self.hands.wall())
    }
}

impl ManualClock {
    /// The same hands as an engine reads them, with a guard of its own.
    pub(crate) fn clock(&self) -> Clock {
        let hands = Arc::clone(&self.hands);
        let guard = Guard::new(hands.wall(), Some(hands.boot()));
        Clock::Manual(ManualHands { hands, guard })
    }

    fn moved(&self, wall_ms: i64, boot_ms: i64) -> PyResult<()> {
        if self.hands.shift(wall_ms, boot_ms) {
            Ok(())
        } else {
            Err(fault("ms", "must leave the clock between -2**63 and 2**63 - 1"))
        }
    }
}

fn start_ms(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    int(value, "start_ms")
}

/// The machine's hands, in milliseconds.
mod system {
    use std::time::{SystemTime, UNIX_EPOCH};

    pub(super) use hands::{boot, wall_coarse};

    pub(super) fn wall_fine() -> i64 {
        let now = SystemTime::now();
        let whole = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) => whole(since),
            Err(error) => -whole(error.duration()),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    mod hands {
        #[inline]
        pub(in super::super) fn wall_coarse() -> i64 {
            read(libc::CLOCK_REALTIME_COARSE).unwrap_or_else(super::wall_fine)
        }

        /// Counts while the machine sleeps too.
        pub(in super::super) fn boot() -> Option<i64> {
            read(libc::CLOCK_BOOTTIME)
        }

        /// None where a sandbox knows no such clock.
        #[inline]
        fn read(clock: libc::clockid_t) -> Option<i64> {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: the pointer is to a timespec of ours, valid and writable for the length of the call.
            #[allow(unsafe_code, reason = "the standard library offers neither clock")]
            let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
            #[allow(clippy::useless_conversion, reason = "a machine of 32 bits has clocks of 32 bits")]
            let (seconds, nanos) = (i64::from(time.tv_sec), i64::from(time.tv_nsec));
            (answer == 0).then(|| seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    mod hands {
        use std::sync::OnceLock;
        use std::time::Instant;

        pub(in super::super) fn wall_coarse() -> i64 {
            super::wall_fine()
        }

        /// Since this was first asked. Where it stands still while the machine sleeps, a sleep of more than a day
        /// reads as a jump.
        pub(in super::super) fn boot() -> Option<i64> {
            static START: OnceLock<Instant> = OnceLock::new();
            i64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an engine's clock shows after the hands moved: (wall, boot) each.
    fn shows(clock: &Clock, hands: &ManualClock, steps: &[(i64, i64)]) -> Vec<i64> {
        let step = |&(wall, boot): &(i64, i64)| {
            assert!(hands.hands.shift(wall, boot));
            clock.now().get()
        };
        steps.iter().map(step).collect()
    }

    fn clock() -> (ManualClock, Clock) {
        let hands = ManualClock::new(0);
        let clock = hands.clock();
        (hands, clock)
    }

    #[test]
    fn time_that_passes_is_followed_however_long() {
        let (hands, clock) = clock();
        let year = 365 * DAY_MS;
        assert_eq!(shows(&clock, &hands, &[(DAY_MS, DAY_MS), (year, year)]), [DAY_MS, DAY_MS + year]);
        assert_eq!(clock.jumped(), None);
    }

    #[test]
    fn a_jump_of_up_to_a_day_and_any_step_back_are_followed() {
        let (hands, clock) = clock();
        assert_eq!(shows(&clock, &hands, &[(DAY_MS, 0), (-40 * DAY_MS, 0)]), [DAY_MS, -39 * DAY_MS]);
        assert_eq!(clock.jumped(), None);
    }

    #[test]
    fn a_jump_of_more_than_a_day_is_not_followed_and_reported_until_accepted() {
        let (hands, clock) = clock();
        let jump = DAY_MS + 1;
        assert_eq!(shows(&clock, &hands, &[(jump, 0), (60_000, 60_000)]), [0, 60_000]);
        assert_eq!(clock.jumped(), Some(jump));
        clock.accept();
        assert_eq!(clock.jumped(), None);
        assert_eq!(shows(&clock, &hands, &[(1, 1)]), [jump + 60_001]);
    }

    #[test]
    fn a_wall_set_right_again_is_followed_without_being_accepted() {
        let (hands, clock) = clock();
        let steps = [(30 * DAY_MS, 0), (2 * DAY_MS, 2 * DAY_MS), (-30 * DAY_MS, 0), (DAY_MS, DAY_MS)];
        assert_eq!(shows(&clock, &hands, &steps), [0, 2 * DAY_MS, 2 * DAY_MS, 3 * DAY_MS]);
        assert_eq!(clock.jumped(), None);
    }

    #[test]
    fn a_jump_is_measured_from_the_last_day_that_was_right() {
        let (hands, clock) = clock();
        let most_of_a_day = DAY_MS - 1;
        let steps = [(most_of_a_day, most_of_a_day), (most_of_a_day, 0), (DAY_MS + 1, 0)];
        let seen = shows(&clock, &hands, &steps);
        assert_eq!(seen[..2], [most_of_a_day, 2 * most_of_a_day]);
        assert_eq!(seen[2], 2 * most_of_a_day, "time stands where it stood");
    }

    #[test]
    fn the_hands_never_leave_their_bits() {
        let hands = ManualClock::new(i64::MAX);
        let clock = hands.clock();
        assert!(!hands.hands.shift(1, 1));
        assert_eq!((hands.hands.wall(), hands.hands.boot()), (i64::MAX, 0));
        assert!(hands.hands.shift(i64::MIN, 0));
        assert!(hands.hands.shift(i64::MIN + 1, 0));
        assert_eq!(clock.now().get(), hands.hands.wall());
    }

    #[test]
    fn the_machines_coarse_hand_is_at_most_a_tick_behind_its_fine_one() {
        let clock = Clock::system();
        let (coarse, fine) = (clock.now().get(), clock.fine_now().get());
        assert!((-1..1_000).contains(&(fine - coarse)), "{fine} - {coarse}");
        assert_eq!(clock.jumped(), None);
    }
}
