//! One counter as a row.

use super::bytes::{Rest, put};
use crate::arena::{Counter, Shape, Standing};
use crate::period::Epoch;
use crate::policy::{Kind, Window};
use crate::units::Millis;

const VERSION: i64 = 1;

/// What a flush says of one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterRow {
    /// The limit's number times four, and its kind.
    pub key: i64,
    /// The window that it stands in, and what was taken in it: where nobody counts any more once it has ended, this is
    /// all that will be told of that period. A sliding one has none: it ends where it starts.
    pub start: Millis,
    /// The first instant after it.
    pub end: Millis,
    /// Used and held.
    pub total: i64,
    /// All of it, for [`crate::engine::Engine::restore_usage`].
    pub row: Vec<u8>,
}

/// A row, read.
pub(super) struct Read {
    pub(super) window: Window,
    pub(super) standing: Standing,
}

pub(super) fn key(number: i64, kind: Kind) -> i64 {
    number * 4 + kind as i64
}

/// The row of a counter; None where another counts on for it, or its limit is gone.
pub(super) fn write(counter: &Counter<'_>, at: Millis) -> Option<CounterRow> {
    let (name, standing) = counter.standing()?;
    let (sliding, first, second) = standing.shape.to_words();
    let mut row = Vec::with_capacity(48);
    let count = standing.pieces.len() as i64;
    for number in
        [VERSION, name.window as i64, i64::from(sliding), first, second, standing.newest.get(), count]
    {
        put(&mut row, number);
    }
    for (epoch, total, used) in &standing.pieces {
        for number in [standing.newest.get() - epoch.get(), *total, total - used] {
            put(&mut row, number);
        }
    }
    let (start, end, total) = match standing.shape {
        Shape::Sliding(_) => (at, at, 0),
        Shape::Fixed(lattice) => {
            let newest = standing.newest;
            (lattice.start(newest), lattice.end(newest), standing.pieces.first().map_or(0, |piece| piece.1))
        }
    };
    Some(CounterRow { key: key(name.number, name.kind), start, end, total, row })
}

/// A row that `write` made; None for what it never makes.
pub(super) fn read(row: &[u8]) -> Option<Read> {
    let mut rest = Rest(row);
    let [version, window, sliding, first, second, newest] = rest.numbers()?;
    let shape = Shape::from_words(sliding == 1, first, second).filter(|_| version == VERSION)?;
    let window = *Window::ALL.get(usize::try_from(window).ok()?)?;
    let far = 1 << 58;
    let newest = Some(newest).filter(|newest| (-far..far).contains(newest))?;
    let pieces = (0..rest.count()?).map(|_| {
        let [before, total, held] = rest.numbers()?;
        let good = (0..1 << 40).contains(&before) && total >= 0 && (0..=total).contains(&held);
        good.then(|| (Epoch::from_raw(newest - before), total, total - held))
    });
    let pieces = pieces.collect::<Option<Vec<_>>>()?;
    rest.end()?;
    let newest = Epoch::from_raw(newest);
    if matches!(shape, Shape::Fixed(_)) && (pieces.len() != 1 || pieces[0].0 != newest) {
        return None;
    }
    Some(Read { window, standing: Standing { shape, newest, pieces } })
}
