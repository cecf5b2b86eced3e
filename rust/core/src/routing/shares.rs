//! 2^64 draws divided among weights, exactly.
//!
//! Every finite float is an integer times a power of two, so a list of weights is a list of integers over one
//! common power. Each weight gets the whole part of 2^64 times its share; what is left over goes one draw
//! each to the largest remainders, and a weight that came out empty takes one draw from the largest. Weights
//! 2 and 1 get 12,297,829,382,473,034,411 and 6,148,914,691,236,517,205.
//!
//! The integers are as wide as the weights lie apart: one word for 0.9 and 0.1, 34 for the smallest float
//! beside the largest.

use std::cmp::Ordering;

const DRAW_BITS: u32 = 64;
const WORD_BITS: usize = 64;

/// How many of the 2^64 draws each weight gets; the sum is 2^64. The weights are finite, above zero, at least
/// one, and in descending order, which also settles equal remainders.
pub(super) fn divide(weights: &[f64]) -> Vec<u128> {
    let all = 1u128 << DRAW_BITS;
    if weights.len() == 1 {
        return vec![all];
    }
    let (mut remainders, width) = common_integers(weights);
    let total = sum(&remainders, width);
    let mut parts: Vec<u128> =
        remainders.chunks_exact_mut(width).map(|remainder| divide_in_place(remainder, &total)).collect();

    let left_over = all - parts.iter().sum::<u128>();
    let remainder = |position: usize| &remainders[position * width..][..width];
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by(|&a, &b| compare(remainder(b), remainder(a)));
    for position in by_remainder.into_iter().take(left_over as usize) {
        parts[position] += 1;
    }

    for position in 1..parts.len() {
        if parts[position] == 0 {
            parts[position] = 1;
            parts[0] -= 1;
        }
    }
    parts
}

/// Every weight as an integer of `width` words, the least word first, all over one power of two. The width
/// leaves room for their sum, doubled.
fn common_integers(weights: &[f64]) -> (Vec<u64>, usize) {
    let (largest, smallest) = (weights[0], weights[weights.len() - 1]);
    let (_, base) = decompose(smallest);
    let span = decompose(largest).1 - base + f64::MANTISSA_DIGITS as usize;
    let count_bits = (usize::BITS - weights.len().leading_zeros()) as usize;
    let width = (span + count_bits + 1).div_ceil(WORD_BITS);
    let mut words = vec![0; weights.len() * width];
    for (weight, words) in weights.iter().zip(words.chunks_exact_mut(width)) {
        let (mantissa, exponent) = decompose(*weight);
        let (word, bit) = ((exponent - base) / WORD_BITS, (exponent - base) % WORD_BITS);
        let shifted = u128::from(mantissa) << bit;
        words[word] = shifted as u64;
        if let Some(next) = words.get_mut(word + 1) {
            *next = (shifted >> WORD_BITS) as u64;
        }
    }
    (words, width)
}

/// A positive float as `mantissa * 2^(exponent - 1074)`.
fn decompose(weight: f64) -> (u64, usize) {
    let stored = f64::MANTISSA_DIGITS - 1;
    let (mantissa, exponent) =
        (weight.to_bits() & ((1 << stored) - 1), (weight.to_bits() >> stored) as usize);
    if exponent == 0 { (mantissa, 0) } else { (mantissa | 1 << stored, exponent - 1) }
}

fn sum(numbers: &[u64], width: usize) -> Vec<u64> {
    let mut total = vec![0u64; width];
    for number in numbers.chunks_exact(width) {
        let mut carry = false;
        for (word, &other) in total.iter_mut().zip(number) {
            (*word, carry) = word.carrying_add(other, carry);
        }
    }
    total
}

/// The whole part of `2^64 * number / total`, leaving the remainder of that division in `number`, which is
/// less than `total` to begin with.
fn divide_in_place(number: &mut [u64], total: &[u64]) -> u128 {
    let mut quotient = 0;
    for _ in 0..DRAW_BITS {
        double(number);
        quotient <<= 1;
        if compare(number, total) != Ordering::Less {
            subtract(number, total);
            quotient |= 1;
        }
    }
    quotient
}

fn double(number: &mut [u64]) {
    let mut carry = 0;
    for word in number {
        (*word, carry) = (*word << 1 | carry, *word >> (WORD_BITS - 1));
    }
}

fn subtract(number: &mut [u64], other: &[u64]) {
    let mut borrow = false;
    for (word, &other) in number.iter_mut().zip(other) {
        (*word, borrow) = word.borrowing_sub(other, borrow);
    }
}

fn compare(a: &[u64], b: &[u64]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}
