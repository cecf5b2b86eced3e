//! A fixed window: count and roll, give back, and what a reader sees.

use std::sync::Arc;

use super::{ANY, all, check, thread};
use crate::period::{Epoch, Lattice};
use crate::sync::Word;
use crate::units::Millis;
use crate::window::fixed::Fixed;
use crate::window::{ShapeWords, Take, amount_of, epoch_of, pack};

const LENGTH: i64 = 10;
const OLD: Epoch = Epoch::from_raw(LENGTH);
const NEW: Epoch = Epoch::from_raw(2 * LENGTH);
const BEFORE_THE_ROLL: Millis = Millis::new(9);
const AFTER_THE_ROLL: Millis = Millis::new(10);

struct Words {
    word: Word,
    used: Word,
    shape: ShapeWords,
}

impl Words {
    fn new(total: i64, used: i64) -> Arc<Words> {
        Arc::new(Words {
            word: Word::new(pack(OLD, 0, total)),
            used: Word::new(pack(OLD, 0, used)),
            shape: ShapeWords::of(Lattice::rolling(Millis::new(0), LENGTH)),
        })
    }

    fn counter(&self) -> Fixed<'_> {
        Fixed { word: &self.word, used: &self.used, shape: &self.shape }
    }

    fn take(&self, now: Millis, asked: i64, limit: i64) -> Option<Epoch> {
        match self.counter().take(self.word.load(), now, asked, limit, |_| {}) {
            Take::Taken(epoch) => Some(epoch),
            _ => None,
        }
    }

    fn taken(&self) -> (Epoch, i64) {
        let word = self.word.load();
        (epoch_of(word), amount_of(word))
    }
}

#[test]
fn of_callers_for_the_last_units_as_many_pass_as_fit() {
    check(ANY, || {
        let words = Words::new(1, 0);
        let callers = (0..3).map(|_| thread(&words, |words| words.take(BEFORE_THE_ROLL, 1, 3))).collect();
        let passed = all(callers).into_iter().flatten().count();
        assert_eq!(passed, 2, "exactly as many pass as fit");
        assert_eq!(words.taken(), (OLD, 3), "the counter tells what passed");
    });
}

#[test]
fn the_roll_to_a_new_window_lets_no_more_than_the_limit_into_either() {
    check(ANY, || {
        let words = Words::new(1, 0);
        let callers = vec![
            thread(&words, |words| words.take(BEFORE_THE_ROLL, 1, 2)),
            thread(&words, |words| words.take(AFTER_THE_ROLL, 1, 2)),
            thread(&words, |words| words.take(AFTER_THE_ROLL, 2, 2)),
        ];
        let passed = all(callers);
        let costs = [1, 1, 2];
        let counted = |window| -> i64 {
            passed.iter().zip(costs).filter(|(epoch, _)| **epoch == Some(window)).map(|(_, cost)| cost).sum()
        };
        assert!(1 + counted(OLD) <= 2, "the old window counted more than its limit");
        assert!(counted(NEW) <= 2, "the new window counted more than its limit");
        assert_eq!(words.taken(), (NEW, counted(NEW)), "every unit of the new window was counted, once");
    });
}

#[test]
fn what_is_given_back_never_lands_in_a_new_window() {
    check(ANY, || {
        let words = Words::new(2, 0);
        let steps = vec![
            thread(&words, |words| {
                words.counter().correct(OLD, -2, 0, BEFORE_THE_ROLL);
                None
            }),
            thread(&words, |words| words.take(AFTER_THE_ROLL, 1, 2)),
            thread(&words, |words| words.take(AFTER_THE_ROLL, 1, 2)),
        ];
        let passed = all(steps).into_iter().flatten().count();
        assert_eq!(passed, 2, "two units fit into an empty window");
        assert_eq!(words.taken(), (NEW, 2), "the give-back of the old window lowered the new one");
    });
}

#[test]
fn settles_and_give_backs_on_one_counter_lose_nothing() {
    check(ANY, || {
        let words = Words::new(5, 0);
        let steps = vec![
            // Held 2, used 2; held 3, used 1; a charge of 4 beside them.
            thread(&words, |words| words.counter().correct(OLD, 0, 2, BEFORE_THE_ROLL)),
            thread(&words, |words| words.counter().correct(OLD, -2, 1, BEFORE_THE_ROLL)),
            thread(&words, |words| words.counter().charge(4, BEFORE_THE_ROLL, |_| {})),
        ];
        all(steps);
        assert_eq!(words.taken(), (OLD, 7), "the total is the sum of what was attributed to it");
        assert_eq!(amount_of(words.used.load()), 7, "and so is what is used");
    });
}

#[test]
fn a_reader_never_sees_more_used_than_taken() {
    check(ANY, || {
        let words = Words::new(3, 0);
        let steps = vec![
            // An overrun (the total rises, then what is used) and the correction of another charge (the reverse).
            thread(&words, |words| {
                words.counter().correct(OLD, 2, 5, BEFORE_THE_ROLL);
                words.counter().correct(OLD, -4, -4, BEFORE_THE_ROLL);
            }),
            thread(&words, |words| {
                words.take(AFTER_THE_ROLL, 1, 9);
                words.counter().charge(1, AFTER_THE_ROLL, |_| {});
            }),
        ];
        let used = words.used.load();
        let word = words.word.load();
        if epoch_of(used) == epoch_of(word) {
            assert!(amount_of(used) >= 0, "what is used fell below zero");
            assert!(amount_of(used) <= amount_of(word), "more was used than was taken");
        }
        let reading = words.counter().read(BEFORE_THE_ROLL);
        assert!(reading.used >= 0 && reading.held >= 0, "a reading showed a negative amount");
        all(steps);
        assert_eq!(words.taken(), (NEW, 2), "the new window counts its own alone");
    });
}
