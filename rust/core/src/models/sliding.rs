//! A sliding window: count, turn, give back, and the late adder.
//!
//! Sub-windows of 10 ms of which two count: what was taken in one counts there and in the next.

use std::sync::Arc;

use super::{ANY, all, check, thread};
use crate::period::Epoch;
use crate::sync::Word;
use crate::units::Millis;
use crate::window::sliding::{Ring, Sliding};
use crate::window::{Met, Take, amount_of, epoch_of, pack};

const RING: Ring = Ring { sub_ms: 10, live: 2 };
/// In the second sub-window, beside the unit of the first; in the third, where that unit no longer counts.
const SECOND: Millis = Millis::new(12);
const THIRD: Millis = Millis::new(20);

struct Words {
    head: Word,
    slots: [Word; 2],
}

impl Words {
    /// One unit taken in sub-window 0, and the head in sub-window 1.
    fn new() -> Arc<Words> {
        let words = Words {
            head: Word::new(pack(Epoch::from_raw(0), 0, 0)),
            slots: [Word::new(Sliding::EMPTY_SLOT), Word::new(Sliding::EMPTY_SLOT)],
        };
        assert!(words.take(Millis::new(5), 1, 1).is_some());
        words.counter().advance(SECOND);
        Arc::new(words)
    }

    fn counter(&self) -> Sliding<'_> {
        Sliding { head: &self.head, slots: &self.slots, ring: RING }
    }

    /// The sub-window in which an amount was taken, and the amount.
    fn take(&self, now: Millis, asked: i64, limit: i64) -> Option<(i64, i64)> {
        let (take, owed) = self.counter().take(self.head.load(), now, asked, limit);
        assert_eq!(owed, 0, "no edit has closed this head");
        match take {
            Take::Taken(epoch) => Some((epoch.get(), asked)),
            _ => None,
        }
    }

    /// When all is quiet at `now`: the head is the sum of the slots that count, and that is what was taken.
    fn agrees(&self, taken: &[(i64, i64)], now: Millis) {
        self.counter().advance(now);
        let head = self.head.load();
        let newest = epoch_of(head).get();
        let counts: i64 =
            taken.iter().filter(|(index, _)| newest - index < RING.live).map(|(_, cost)| cost).sum();
        assert_eq!(amount_of(head), counts, "the head tells what was taken in the sub-windows that count");
        assert_eq!(self.counter().read(now).total(), counts, "and so do the slots");
    }
}

/// In no window were more than the limit taken: no sub-windows that ever counted together hold more.
fn within(limit: i64, taken: &[(i64, i64)]) {
    for (last, _) in taken {
        let together: i64 = taken
            .iter()
            .filter(|(index, _)| *index <= *last && last - index < RING.live)
            .map(|(_, cost)| cost)
            .sum();
        assert!(together <= limit, "{together} were taken in one window of {limit}: {taken:?}");
    }
}

fn with_the_first(others: impl IntoIterator<Item = Option<(i64, i64)>>) -> Vec<(i64, i64)> {
    core::iter::once((0, 1)).chain(others.into_iter().flatten()).collect()
}

#[test]
fn a_turn_lets_no_more_than_the_limit_into_any_window() {
    check(3, || {
        let words = Words::new();
        let callers = vec![
            thread(&words, |words| words.take(SECOND, 1, 1)),
            thread(&words, |words| words.take(SECOND, 1, 1)),
            thread(&words, |words| words.take(THIRD, 1, 1)),
        ];
        let taken = with_the_first(all(callers));
        within(1, &taken);
        words.agrees(&taken, THIRD);
    });
}

#[test]
fn a_take_that_turns_the_window_lets_no_more_than_the_limit_into_any() {
    check(3, || {
        let words = Words::new();
        let callers = vec![
            thread(&words, |words| words.take(SECOND, 1, 2)),
            thread(&words, |words| words.take(SECOND, 1, 2)),
            // There is room beside what is about to leave: the head turns and counts in one step.
            thread(&words, |words| words.take(THIRD, 1, 2)),
        ];
        let taken = with_the_first(all(callers));
        within(2, &taken);
        words.agrees(&taken, THIRD);
    });
}

#[test]
fn a_reader_that_turns_the_window_opens_no_room_in_the_old_one() {
    check(3, || {
        let words = Words::new();
        let callers = vec![
            thread(&words, |words| {
                words.counter().advance(THIRD);
                None
            }),
            thread(&words, |words| words.take(SECOND, 1, 2)),
            thread(&words, |words| words.take(SECOND, 1, 2)),
        ];
        let taken = with_the_first(all(callers));
        within(2, &taken);
        words.agrees(&taken, THIRD);
    });
}

#[test]
fn whoever_adds_to_a_sub_window_that_has_left_takes_the_amount_out_again() {
    check(ANY, || {
        let words = Words::new();
        let callers = vec![
            thread(&words, |words| words.take(THIRD, 1, 1)),
            thread(&words, |words| words.take(Millis::new(40), 1, 1)),
        ];
        let taken = with_the_first(all(callers));
        within(1, &taken);
        words.agrees(&taken, Millis::new(40));
        words.agrees(&taken, Millis::new(60));
    });
}

#[test]
fn what_is_given_back_leaves_its_sub_window_once_or_not_at_all() {
    check(3, || {
        let words = Words::new();
        let first = Epoch::from_raw(0);
        let steps = vec![
            thread(&words, move |words| {
                let (met, owed) = words.counter().correct(first, -1, 0, SECOND);
                assert_eq!(owed, 0, "no edit has closed this head");
                (met == Met::Done).then_some((0, -1))
            }),
            thread(&words, |words| words.take(THIRD, 1, 1)),
            thread(&words, |words| words.take(SECOND, 1, 1)),
        ];
        let taken = with_the_first(all(steps));
        within(1, &taken.iter().copied().filter(|(_, cost)| *cost > 0).skip(1).collect::<Vec<_>>());
        words.agrees(&taken, THIRD);
    });
}

#[test]
fn a_settle_beside_a_turn_changes_the_head_by_what_it_changed_the_slot() {
    check(2, || {
        let words = Words::new();
        let first = Epoch::from_raw(0);
        let steps = vec![
            // Held 1, used 3.
            thread(&words, move |words| {
                let (met, owed) = words.counter().correct(first, 2, 3, SECOND);
                assert_eq!(owed, 0, "no edit has closed this head");
                (met == Met::Done).then_some((0, 2))
            }),
            thread(&words, |words| {
                words.counter().charge(1, THIRD);
                Some((2, 1))
            }),
            thread(&words, |words| words.take(Millis::new(30), 1, 1)),
        ];
        let taken = with_the_first(all(steps));
        let reading = words.counter().read(Millis::new(30));
        assert!(reading.used >= 0 && reading.held >= 0, "a reading showed a negative amount");
        words.agrees(&taken, Millis::new(30));
    });
}
