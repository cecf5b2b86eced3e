//! Weighted choice: by a draw, or by a key that is to stay where it is.
//!
//! A plain pick maps one of 2^64 draws to an item. Each item owns as many draws as its share says, exactly
//! (`shares.rs`), laid out in equal buckets of two items at most, so that a pick is one look-up and one
//! comparison however long the list. The layout follows the weights, heaviest first: a draw means the same
//! item whatever the order of the list. Weights 1, 0 and 3: the third item owns the lower half of all draws
//! and half of the upper.
//!
//! A sticky pick is weighted rendezvous hashing: every item draws an exponential waiting time from the key
//! and its own identity, its weight being the rate, and the shortest wins. A change of one weight changes
//! that item's time alone: keys move to it or from it, in the proportion in which its share changed, and no
//! other key moves.
//!
//! Neither holds any chance of its own: the same arguments give the same item, on any machine.

use std::fmt;

use super::shares;

/// The most items of one list.
pub const MAX_ITEMS: usize = 1_000_000;

/// Why a list of weights cannot be drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerError {
    /// No weights.
    Empty,
    /// More than [`MAX_ITEMS`].
    TooMany,
    /// NaN or an infinity, and where.
    NotFinite(usize),
    /// A weight below zero, and where.
    Negative(usize),
    /// No weight above zero (that is left).
    AllZero,
    /// An index to leave out that is not in the list.
    NoSuchItem(usize),
}

impl SamplerError {
    /// What is wrong, to be read after the name of the list or of its item.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Empty => "must have at least one weight",
            Self::TooMany => "must have at most 1000000 weights",
            Self::NotFinite(_) => "must be a finite number",
            Self::Negative(_) => "must not be negative",
            Self::AllZero => "must have a weight above zero that can be drawn",
            Self::NoSuchItem(_) => "is not an index of the list",
        }
    }

    /// The item that it is about: of the weights, or for [`SamplerError::NoSuchItem`] the index that was
    /// given.
    #[must_use]
    pub const fn index(self) -> Option<usize> {
        match self {
            Self::NotFinite(index) | Self::Negative(index) | Self::NoSuchItem(index) => Some(index),
            Self::Empty | Self::TooMany | Self::AllZero => None,
        }
    }
}

impl fmt::Display for SamplerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index() {
            Some(index) => write!(f, "[{index}] {}", self.message()),
            None => f.write_str(self.message()),
        }
    }
}

impl std::error::Error for SamplerError {}

/// A list of weights, ready to be drawn from.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// The items that can be drawn, by weight descending, then by index.
    items: Box<[Item]>,
    /// As many as a power of two, each for the draws that begin with its number.
    buckets: Box<[Bucket]>,
    /// A draw's bucket is what this shift leaves of it.
    shift: u32,
    /// How many weights the list had.
    length: u32,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    weight: f64,
    /// Mean waiting time; the unit is the heaviest item's to within a power of two.
    mean: f64,
    index: u32,
}

/// An equal part of all draws, shared by two items at most.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// The last draw of the first item; the rest of the bucket is the second's.
    last: u64,
    indices: [u32; 2],
}

impl Sampler {
    /// From weights: finite, not negative, any scale, at least one above zero. A weight of zero is never
    /// drawn.
    ///
    /// # Errors
    /// Every [`SamplerError`] but [`SamplerError::NoSuchItem`].
    pub fn new(weights: &[f64]) -> Result<Self, SamplerError> {
        if weights.is_empty() {
            return Err(SamplerError::Empty);
        }
        if weights.len() > MAX_ITEMS {
            return Err(SamplerError::TooMany);
        }
        let mut drawable = Vec::new();
        for (index, &weight) in weights.iter().enumerate() {
            if !weight.is_finite() {
                return Err(SamplerError::NotFinite(index));
            }
            if weight < 0.0 {
                return Err(SamplerError::Negative(index));
            }
            if weight > 0.0 {
                drawable.push((weight, index as u32));
            }
        }
        drawable.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        Self::from_sorted(&drawable, weights.len() as u32)
    }

    /// The same list without some items; indices stay those of the first list.
    ///
    /// # Errors
    /// [`SamplerError::NoSuchItem`]; [`SamplerError::AllZero`] where nothing is left.
    pub fn without(&self, excluded: &[usize]) -> Result<Self, SamplerError> {
        if let Some(&index) = excluded.iter().find(|&&index| index >= self.length as usize) {
            return Err(SamplerError::NoSuchItem(index));
        }
        let mut excluded = excluded.to_vec();
        excluded.sort_unstable();
        let left = |item: &&Item| excluded.binary_search(&(item.index as usize)).is_err();
        let drawable: Vec<_> = self.items.iter().filter(left).map(|item| (item.weight, item.index)).collect();
        Self::from_sorted(&drawable, self.length)
    }

    fn from_sorted(drawable: &[(f64, u32)], length: u32) -> Result<Self, SamplerError> {
        let Some(&(heaviest, _)) = drawable.first() else {
            return Err(SamplerError::AllZero);
        };
        let weights: Vec<f64> = drawable.iter().map(|&(weight, _)| weight).collect();
        let buckets = pack(shares::divide(&weights), drawable);
        // A power of two, so that an item's mean keeps its digits whatever the others weigh.
        let unit = f64::from_bits(heaviest.to_bits() >> 52 << 52).max(f64::MIN_POSITIVE);
        let item = |&(weight, index): &(f64, u32)| Item { weight, mean: unit / weight, index };
        Ok(Self {
            items: drawable.iter().map(item).collect(),
            shift: 64 - buckets.len().trailing_zeros(),
            buckets: buckets.into(),
            length,
        })
    }

    /// The index that a draw means; over all 2^64 draws every item comes as often as its share says.
    #[must_use]
    #[inline]
    pub fn pick(&self, draw: u64) -> usize {
        let bucket = &self.buckets[draw.wrapping_shr(self.shift) as usize];
        bucket.indices[usize::from(draw > bucket.last)] as usize
    }

    /// The index that a key stays with. `identity` names each item by its index; items must have different
    /// names, and one that keeps its name and weight keeps its keys wherever it stands in the list. Neither
    /// key nor names need to look random.
    #[must_use]
    #[inline]
    pub fn pick_sticky(&self, key: u64, identity: impl Fn(usize) -> u64) -> usize {
        let hash = |item: &Item| mix(key ^ identity(item.index as usize).wrapping_mul(GOLDEN));
        let (mut chosen, mut shortest, mut second) = (self.items[0].index, f64::INFINITY, f64::INFINITY);
        for item in &self.items {
            let time = item.mean * rough_time(hash(item));
            let shorter = time < shortest;
            let loser = if shorter { shortest } else { time };
            second = if loser < second { loser } else { second };
            shortest = if shorter { time } else { shortest };
            chosen = if shorter { item.index } else { chosen };
        }
        if second > shortest * ROUGHLY { chosen as usize } else { self.shortest_time(hash) }
    }

    #[cold]
    fn shortest_time(&self, hash: impl Fn(&Item) -> u64) -> usize {
        let (mut chosen, mut shortest) = (self.items[0].index, f64::INFINITY);
        for item in &self.items {
            let time = item.mean * exact_time(hash(item));
            if time < shortest {
                (chosen, shortest) = (item.index, time);
            }
        }
        chosen as usize
    }

    /// How many of the 2^64 draws mean this item; zero for an index that is not in the list.
    #[must_use]
    pub fn share(&self, index: usize) -> u128 {
        let size = 1u128 << self.shift;
        let mut share = 0;
        for (start, bucket) in (0..).step_by(1 << self.shift).zip(&self.buckets) {
            let first = u128::from(bucket.last) + 1 - start;
            let parts = [first, size - first];
            share += bucket
                .indices
                .iter()
                .zip(parts)
                .filter(|(owner, _)| **owner as usize == index)
                .map(|(_, part)| part)
                .sum::<u128>();
        }
        share
    }

    /// How many weights the list had, zeros and items left out included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// Never: a list without weights is a fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Lays the items' draws out in buckets (the alias method of Walker and Vose, in integers): an item that does
/// not fill a bucket shares it with one that has more than fills its own.
fn pack(mut parts: Vec<u128>, drawable: &[(f64, u32)]) -> Vec<Bucket> {
    let count = parts.len().next_power_of_two().max(2);
    parts.resize(count, 0);
    let size = (1u128 << 64) / count as u128;
    let index = |position: usize| drawable[position.min(drawable.len() - 1)].1;
    let whole = |position: usize| Bucket {
        last: ((position as u128 + 1) * size - 1) as u64,
        indices: [index(position); 2],
    };
    let mut buckets: Vec<Bucket> = (0..count).map(whole).collect();
    let (mut short, mut long): (Vec<usize>, Vec<usize>) =
        (0..count).partition(|&position| parts[position] < size);
    while let (Some(filled), Some(&from)) = (short.pop(), long.last()) {
        let first = filled as u128 * size;
        buckets[filled] = match parts[filled] {
            0 => Bucket { indices: [index(from); 2], ..buckets[filled] },
            own => Bucket { last: (first + own - 1) as u64, indices: [index(filled), index(from)] },
        };
        parts[from] -= size - parts[filled];
        if parts[from] < size {
            long.pop();
            short.push(from);
        }
    }
    buckets
}

/// 2^64 over the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of `SplitMix64` (Steele, Lea, Flood 2014) without its last step, which would change the
/// lower half: every bit of the input moves half of the leading ones, and those alone are used.
#[inline]
const fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
}

const ONE: f64 = (1u64 << 53) as f64;
/// What a halving adds to a waiting time, counted as the bits of a float count it.
const HALVING: f64 = std::f64::consts::LN_2 * 1.5 / (1u64 << 52) as f64;
const ROUGHLY: f64 = 1.0005;

/// With t the hash as a fraction of one, `-ln(1 - t)` is an exponential waiting time. Where 1 - t = v /
/// 2^halvings, v from 0.7 to 1.4, and s = (1 - v) / (1 + v), that is in units of two thirds `halvings *
/// HALVING + 3 s + s^3 + 3/5 s^5 + ...`. These are halvings and s, which is at most 0.172 on either side.
///
/// Sums, products and quotients only, which IEEE 754 rounds alike everywhere; a library's logarithm may
/// differ from machine to machine in the last digit. One is 2^53 here: the shortest times, which decide, are
/// exact differences.
#[inline]
fn reduce(hash: u64) -> (f64, f64) {
    let v = ONE - (hash >> 11) as i64 as f64;
    let rounded = v.to_bits().wrapping_add(1.0f64.to_bits() - std::f64::consts::FRAC_1_SQRT_2.to_bits());
    let one = rounded >> 52 << 52;
    let halvings = ONE.to_bits().wrapping_sub(one) as i64 as f64;
    let one = f64::from_bits(one);
    (halvings, (one - v) / (one + v))
}

/// A waiting time to within 2 parts in 10^4, so that of two the shorter is so in truth where they differ by
/// more than [`ROUGHLY`].
#[inline]
fn rough_time(hash: u64) -> f64 {
    let (halvings, s) = reduce(hash);
    halvings * HALVING + s * (3.0 + s * s)
}

/// A waiting time to within one part in 10^12.
fn exact_time(hash: u64) -> f64 {
    let (halvings, s) = reduce(hash);
    let square = s * s;
    let sum = (0..8).rev().fold(0.0, |sum, term| sum * square + 3.0 / f64::from(2 * term + 1));
    halvings * HALVING + s * sum
}
