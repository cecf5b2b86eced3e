//! When a refused amount fits, if nothing else comes, and open permits give back what they hold.

use super::admits;
use crate::period::Epoch;
use crate::units::Millis;

/// What counts in one window, or sub-window, and when that leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    pub(crate) epoch: Epoch,
    pub(crate) total: i64,
    pub(crate) at: Millis,
    /// It has overflown: nothing is given back to it.
    pub(crate) overflown: bool,
}

/// What an open permit gives back if nobody settles it before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) epoch: Epoch,
    pub(crate) amount: i64,
    pub(crate) at: Millis,
}

/// The first instant at which `asked` fits under `limit`. `left`: all that counts, oldest first; what the `endings` give
/// back is part of it.
pub(crate) fn fits_at(mut left: Vec<Leaving>, endings: &[Ending], asked: i64, limit: i64) -> Option<Millis> {
    let mut total = left.iter().map(|window| window.total).sum();
    let mut changes = Vec::with_capacity(left.len() + endings.len());
    for ending in endings {
        let window = left.binary_search_by_key(&ending.epoch, |window| window.epoch);
        if let Some(window) = window.ok().map(|at| &mut left[at])
            && ending.at < window.at
            && !window.overflown
        {
            let amount = ending.amount.min(window.total);
            window.total -= amount;
            changes.push((ending.at, amount));
        }
    }
    changes.extend(left.iter().map(|window| (window.at, window.total)));
    changes.sort_unstable();
    changes.into_iter().find_map(|(at, less)| {
        total -= less;
        admits(total, asked, limit).then_some(at)
    })
}
