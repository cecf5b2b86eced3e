//! A flush beside what changes: what happens during one is in it or in the next.

use std::sync::Arc;

use super::tiny::{ask, engine, handle, key, limit, settings};
use super::{ANY, all, check, thread};
use crate::mark::Mark;
use crate::period::Lattice;
use crate::policy::{Kind, Window};
use crate::sync::Word;
use crate::units::Millis;
use crate::window::fixed::Fixed;
use crate::window::{ShapeWords, Take, amount_of, pack};

const NOW: Millis = Millis::new(5);

struct Marked {
    word: Word,
    used: Word,
    shape: ShapeWords,
    mark: Mark,
}

impl Marked {
    fn new() -> Arc<Marked> {
        let lattice = Lattice::rolling(Millis::new(0), 10);
        let word = pack(lattice.window_at(NOW), 0, 0);
        let (word, used, shape) = (Word::new(word), Word::new(word), ShapeWords::of(lattice));
        Arc::new(Marked { word, used, shape, mark: Mark::default() })
    }

    fn count(&self) {
        let fixed = Fixed { word: &self.word, used: &self.used, shape: &self.shape };
        let taken = fixed.take(self.word.load(), NOW, 1, 9, |_| {});
        assert!(matches!(taken, Take::Taken(_)), "there is room");
        self.mark.note();
    }

    /// What a flush reads, where there is anything to read.
    fn flush(&self) -> Option<i64> {
        let read = self.mark.clear().then(|| amount_of(self.word.load()));
        self.mark.was_read();
        read
    }
}

#[test]
fn what_is_counted_during_a_flush_is_in_this_one_or_in_the_next() {
    check(ANY, || {
        let marked = Marked::new();
        // Noted before, so that whoever counts may find it so.
        marked.count();
        let counting = (0..2).map(|_| thread(&marked, |marked| marked.count())).collect();
        let kept = marked.flush();
        all(counting);
        let kept = marked.flush().or(kept);
        assert_eq!(kept, Some(3), "a count was in neither flush");
    });
}

#[test]
fn what_was_counted_before_a_flush_began_is_in_it() {
    check(ANY, || {
        let marked = Marked::new();
        let first = thread(&marked, |marked| marked.count());
        let flushing = thread(&marked, |marked| marked.flush());
        let before = all(vec![first]).len() as i64;
        let second = marked.flush();
        let first = all(vec![flushing])[0];
        assert_eq!(second.or(first), Some(before), "a count that had ended was in no flush");
    });
}

const MINUTE: i64 = 60_000;

#[test]
fn a_window_that_ends_during_a_flush_is_told_with_the_row_of_the_next_one() {
    check(2, || {
        let budget = limit("b", Kind::Budget, 9, "1m", Window::Fixed);
        let engine = engine(settings(), &[key("k", None, None, vec![budget])]);
        engine.keep_history(true);
        let caller = handle(&engine, "k");
        ask(&engine, caller, 1, 1).expect("room");
        _ = engine.collect(Millis::new(1));
        let (mut standing, mut told) = (0, 0);
        let mut flush = || {
            let collected = engine.collect(Millis::new(MINUTE));
            told += collected.periods.len();
            standing = collected.counters.last().map_or(standing, |row| row.start.get());
            assert!(told == 0 || standing == MINUTE, "a crash right now would have it told twice");
            (standing, told)
        };
        let rolling = thread(&engine, move |engine| ask(engine, caller, 1, MINUTE));
        flush();
        all(vec![rolling]);
        assert_eq!(flush(), (MINUTE, 1));
    });
}
