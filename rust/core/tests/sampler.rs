//! Weighted choice against exact rationals, plain counting, and a logarithm.

use std::cmp::Ordering;
use std::collections::HashMap;

use limen_core::routing::sampler::{MAX_ITEMS, Sampler, SamplerError};
use proptest::prelude::*;

const DRAWS: u64 = 10_000_000;
const KEYS: u64 = DRAWS / 10;

fn sampler(weights: &[f64]) -> Sampler {
    Sampler::new(weights).expect("weights that can be drawn from")
}

fn shares(weights: &[f64]) -> Vec<u128> {
    let sampler = sampler(weights);
    (0..weights.len()).map(|index| sampler.share(index)).collect()
}

/// SplitMix64 as published: a stream of draws.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A natural number as base 2^32 digits, the least first, without zeros at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Natural(Vec<u32>);

impl Natural {
    fn new(mut value: u128) -> Self {
        let mut digits = Vec::new();
        while value > 0 {
            digits.push(value as u32);
            value >>= 32;
        }
        Self(digits)
    }

    fn times(&self, other: &Self) -> Self {
        let mut digits = vec![0u32; self.0.len() + other.0.len()];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0u64;
            for (j, &b) in other.0.iter().chain(&[0]).enumerate() {
                let Some(digit) = digits.get_mut(i + j) else {
                    continue;
                };
                carry += u64::from(*digit) + u64::from(a) * u64::from(b);
                *digit = carry as u32;
                carry >>= 32;
            }
        }
        Self(digits).trimmed()
    }

    fn plus(&self, other: &Self) -> Self {
        let mut carry = 0;
        let digit = |number: &Self, i: usize| u64::from(number.0.get(i).copied().unwrap_or(0));
        let digits = (0..=self.0.len().max(other.0.len())).map(|i| {
            carry += digit(self, i) + digit(other, i);
            let low = carry as u32;
            carry >>= 32;
            low
        });
        Self(digits.collect()).trimmed()
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// A weight in units of the smallest float, by doubling.
    fn of_weight(weight: f64) -> Self {
        let (mut halved, mut doublings) = (weight, 0);
        while halved >= f64::MIN_POSITIVE * 2.0 {
            halved /= 2.0;
            doublings += 1;
        }
        // Below twice the smallest normal float the stored bits are the number of units.
        let mut number = Self::new(u128::from(halved.to_bits()));
        for _ in 0..doublings {
            number = number.plus(&number.clone());
        }
        number
    }
}

/// That `parts` are 2^64 divided among `weights` by largest remainder, at least one each: asked of the answer
/// in exact integers, not computed again.
fn assert_divided(weights: &[f64], parts: &[u128]) {
    assert_eq!(parts.iter().sum::<u128>(), 1 << 64);
    let numbers: Vec<Natural> = weights.iter().map(|&weight| Natural::of_weight(weight)).collect();
    let total = numbers.iter().fold(Natural::new(0), |sum, number| sum.plus(number));
    let all = Natural::new(1 << 64);
    // An ideal share is number * 2^64 / total; all is compared multiplied by total.
    let ideal: Vec<Natural> = numbers.iter().map(|number| number.times(&all)).collect();
    let of = |part: u128| Natural::new(part).times(&total);
    let heaviest = *parts.iter().max().expect("a part");
    let mut lifted = 0;
    for (part, ideal) in parts.iter().zip(&ideal) {
        assert!(*part >= 1);
        if *part == 1 && ideal.cmp(&total) == Ordering::Less {
            lifted += 1;
        } else if *part < heaviest {
            assert_eq!(of(part + 1).cmp(ideal), Ordering::Greater, "never a whole draw too few: {weights:?}");
        }
        if *part > 1 {
            assert_eq!(of(part - 1).cmp(ideal), Ordering::Less, "never a whole draw too many: {weights:?}");
        }
    }
    let largest = parts.iter().position(|part| *part == heaviest).expect("a part");
    assert_eq!(
        of(heaviest + 1 + lifted).cmp(&ideal[largest]),
        Ordering::Greater,
        "only lifting takes from the largest"
    );
    if lifted > 0 {
        return;
    }
    // part * total above the ideal is a remainder that was rounded up; every such one is at least every
    // other.
    for (a, ideal_a) in parts.iter().zip(&ideal) {
        for (b, ideal_b) in parts.iter().zip(&ideal) {
            let (up, down) =
                (of(*a).cmp(ideal_a) == Ordering::Greater, of(*b).cmp(ideal_b) != Ordering::Greater);
            if up && down {
                // (ideal_a - of(a - 1)) >= (ideal_b - of(b))
                let (left, right) = (ideal_a.plus(&of(*b)), ideal_b.plus(&of(a - 1)));
                assert_ne!(left.cmp(&right), Ordering::Less, "the largest remainders first: {weights:?}");
            }
        }
    }
}

#[test]
fn what_is_no_list_of_weights_is_refused_with_its_place() {
    let rows: [(&[f64], SamplerError); 8] = [
        (&[], SamplerError::Empty),
        (&[0.0], SamplerError::AllZero),
        (&[0.0, -0.0], SamplerError::AllZero),
        (&[1.0, f64::NAN], SamplerError::NotFinite(1)),
        (&[f64::INFINITY, 1.0], SamplerError::NotFinite(0)),
        (&[1.0, 2.0, f64::NEG_INFINITY], SamplerError::NotFinite(2)),
        (&[1.0, -5e-324], SamplerError::Negative(1)),
        (&[1.0; MAX_ITEMS + 1], SamplerError::TooMany),
    ];
    for (weights, fault) in rows {
        assert_eq!(Sampler::new(weights).err(), Some(fault));
        assert!(fault.to_string().ends_with(fault.message()));
        assert_eq!(fault.to_string().starts_with('['), fault.index().is_some());
    }
}

#[test]
fn shares_of_simple_weights_are_the_known_ones() {
    let all = 1u128 << 64;
    let rows: [(&[f64], &[u128]); 9] = [
        (&[7.0], &[all]),
        (&[1.0, 1.0], &[all / 2, all / 2]),
        (&[1.0, 0.0, 3.0], &[all / 4, 0, all / 4 * 3]),
        (&[2.0, 1.0], &[12_297_829_382_473_034_411, 6_148_914_691_236_517_205]),
        (&[1.0, 2.0], &[6_148_914_691_236_517_205, 12_297_829_382_473_034_411]),
        (&[1.0, 1.0, 1.0], &[all / 3 + 1, all / 3, all / 3]),
        (&[1e-300, 1.0], &[1, all - 1]),
        (&[5e-324, f64::MAX, 5e-324], &[1, all - 2, 1]),
        (&[f64::MAX, f64::MAX], &[all / 2, all / 2]),
    ];
    for (weights, expected) in rows {
        assert_eq!(shares(weights), expected, "{weights:?}");
    }
}

#[test]
fn draws_are_laid_out_heaviest_first_in_buckets_of_two() {
    let sampler = sampler(&[1.0, 0.0, 3.0]);
    let half = 1 << 63;
    let rows =
        [(0, 2), (half - 1, 2), (half, 0), (half + half / 2 - 1, 0), (half + half / 2, 2), (u64::MAX, 2)];
    for (draw, index) in rows {
        assert_eq!(sampler.pick(draw), index, "{draw}");
    }
}

#[test]
fn many_weights_far_apart_are_divided_exactly() {
    let mut stream = Stream(5);
    let weights: Vec<f64> = (0..60)
        .map(|_| (stream.next() as f64 / 2f64.powi(64)) * 10f64.powi(-((stream.next() % 13) as i32)))
        .collect();
    assert_divided(&weights, &shares(&weights));
    let many: Vec<f64> = (0..1_000).map(|i| 1.0 / f64::from(i + 1)).collect();
    assert_eq!(shares(&many).iter().sum::<u128>(), 1 << 64);
}

#[test]
fn a_weight_of_zero_and_an_item_left_out_are_never_drawn() {
    let left = sampler(&[0.0, 1.0, 1e-300, 0.0, 2.0]).without(&[4, 0, 4]).expect("two are left");
    assert_eq!(left.len(), 5);
    let mut stream = Stream(1);
    for draw in [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1]
        .into_iter()
        .chain((0..10_000).map(|_| stream.next()))
    {
        assert!([1, 2].contains(&left.pick(draw)));
        assert!([1, 2].contains(&left.pick_sticky(draw, |index| index as u64)));
    }
    assert_eq!(left.without(&[1, 2]).err(), Some(SamplerError::AllZero));
    assert_eq!(left.without(&[5]).err(), Some(SamplerError::NoSuchItem(5)));
}

#[test]
fn draws_come_as_often_as_their_shares_say() {
    for count in [2_u64, 4, 10, 17, 300] {
        let weights: Vec<f64> =
            (0..count).map(|i| [0.7, 0.2, 0.1, 0.03][(i % 4) as usize] * (i + 1) as f64).collect();
        let sampler = sampler(&weights);
        let mut stream = Stream(count);
        assert_fits(&weights, DRAWS, (0..DRAWS).map(|_| sampler.pick(stream.next())));
    }
}

#[test]
fn keys_are_spread_as_the_weights_say_even_where_they_are_counted_up() {
    for (weights, step) in [
        (vec![0.9, 0.1], 1),
        (vec![1.0; 4], 1),
        (vec![0.5, 3.0, 0.25, 2.0], 1 << 40),
        (vec![1e-3, 1.0, 40.0], 0x100),
    ] {
        let sampler = sampler(&weights);
        assert_fits(
            &weights,
            KEYS,
            (0..KEYS).map(|key| sampler.pick_sticky(key * step, |index| index as u64)),
        );
        let far = |index: usize| (index as u64) << 60;
        assert_fits(&weights, KEYS, (0..KEYS).map(|key| sampler.pick_sticky(key * step, far)));
    }
}

/// Chi-square of what was picked, within six standard deviations of its mean. The streams are fixed.
fn assert_fits(weights: &[f64], draws: u64, picks: impl Iterator<Item = usize>) {
    let mut counts = vec![0u64; weights.len()];
    picks.for_each(|index| counts[index] += 1);
    let total: f64 = weights.iter().sum();
    let chi_square = weights
        .iter()
        .zip(&counts)
        .map(|(weight, &count)| {
            let expected = draws as f64 * weight / total;
            (count as f64 - expected).powi(2) / expected
        })
        .sum::<f64>();
    let freedom = (weights.len() - 1) as f64;
    assert!(chi_square <= freedom + 6.0 * (2.0 * freedom).sqrt(), "{chi_square} of {freedom}: {counts:?}");
}

#[test]
fn a_change_of_one_weight_moves_its_share_of_the_keys_and_no_other() {
    let before = sampler(&[1.0, 2.0, 3.0, 4.0]);
    // (weights after, item changed, share before, share after)
    let rows: [([f64; 4], usize, f64, f64); 3] = [
        ([1.0, 2.0, 3.0, 14.0], 3, 0.4, 0.7),
        ([1.0, 2.0, 0.5, 4.0], 2, 0.3, 1.0 / 15.0),
        ([1.0, 0.0, 3.0, 4.0], 1, 0.2, 0.0),
    ];
    for (weights, item, share_before, share_after) in rows {
        let after = sampler(&weights);
        let mut moved = 0;
        for key in 0..KEYS {
            let (old, new) = (before.pick_sticky(key, |i| i as u64), after.pick_sticky(key, |i| i as u64));
            if old != new {
                moved += 1;
                assert_eq!(if share_after > share_before { new } else { old }, item);
            }
        }
        let expected = (share_after - share_before).abs() * KEYS as f64;
        assert!(
            (f64::from(moved) - expected).abs() < 6.0 * expected.sqrt(),
            "{moved} moved, expected {expected}"
        );
    }
}

#[test]
fn an_item_that_is_left_out_gives_up_its_own_keys_alone() {
    let all = sampler(&[1.0, 2.0, 3.0]);
    let left = all.without(&[1]).expect("two are left");
    for key in 0..10_000 {
        let (old, new) = (all.pick_sticky(key, |i| i as u64), left.pick_sticky(key, |i| i as u64));
        assert!(old == 1 || old == new);
    }
}

#[test]
fn a_key_stays_with_a_name_wherever_it_stands_and_whatever_the_scale() {
    let names = [77, 0, u64::MAX];
    let (first, turned) = (sampler(&[1.0, 2.0, 3.0]), sampler(&[30.0, 10.0, 20.0]));
    for key in 0..10_000 {
        let a = names[first.pick_sticky(key, |i| names[i])];
        let name = |i: usize| names[(i + 2) % 3];
        assert_eq!(a, name(turned.pick_sticky(key, name)));
    }
}

#[test]
fn sticky_picks_are_the_same_for_ever() {
    let sampler = sampler(&[0.7, 0.2, 0.1, 1.0]);
    let picks: Vec<usize> = (0..32).map(|key| sampler.pick_sticky(key, |index| index as u64)).collect();
    let pinned =
        [0, 3, 3, 0, 3, 1, 3, 0, 3, 3, 0, 3, 0, 1, 3, 0, 3, 0, 2, 0, 3, 3, 3, 0, 3, 3, 3, 2, 3, 3, 0, 0];
    assert_eq!(picks, pinned);
}

/// The shortest of `-ln(1 - t) / weight` with a library's logarithm, and whether it is so by more than
/// rounding.
fn by_logarithm(weights: &[f64], key: u64) -> (usize, bool) {
    let mut times: Vec<(f64, usize)> = weights
        .iter()
        .enumerate()
        .map(|(index, weight)| {
            let input = key ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            // The stream adds its constant before it mixes.
            let hash = Stream(input.wrapping_sub(0x9e37_79b9_7f4a_7c15)).next();
            let t = ((hash ^ (hash >> 31) ^ (hash >> 62)) >> 11) as f64 / 2f64.powi(53);
            (-(-t).ln_1p() / weight, index)
        })
        .collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    (times[0].1, times.len() == 1 || times[1].0 > times[0].0 * (1.0 + 1e-9))
}

fn weights(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    let weight = prop_oneof![
        (0.0..1.0_f64).prop_map(|x| x.max(1e-3)),
        (-12.0..0.0_f64).prop_map(|x| 10f64.powf(x)),
        Just(0.25),
    ];
    prop::collection::vec(weight, length)
}

fn any_positive() -> impl Strategy<Value = f64> {
    (1..f64::INFINITY.to_bits()).prop_map(f64::from_bits)
}

fn shares_by_weight(weights: &[f64]) -> HashMap<u64, u128> {
    let mut sums = HashMap::new();
    for (weight, share) in weights.iter().zip(shares(weights)) {
        *sums.entry(weight.to_bits()).or_default() += share;
    }
    sums
}

proptest! {
    #[test]
    fn shares_are_exact_to_a_draw(weights in weights(1..20)) {
        assert_divided(&weights, &shares(&weights));
    }

    #[test]
    fn shares_are_exact_to_a_draw_over_the_whole_range_of_floats(
        weights in prop::collection::vec(any_positive(), 1..6),
    ) {
        assert_divided(&weights, &shares(&weights));
    }

    #[test]
    fn a_draw_means_the_same_item_however_the_list_is_ordered(
        weights in weights(1..24), seed in any::<u64>(), draws in prop::collection::vec(any::<u64>(), 50),
    ) {
        let mut order: Vec<usize> = (0..weights.len()).collect();
        let mut stream = Stream(seed);
        order.sort_by_cached_key(|_| stream.next());
        let shuffled: Vec<f64> = order.iter().map(|&index| weights[index]).collect();
        let (a, b) = (sampler(&weights), sampler(&shuffled));
        for draw in draws {
            prop_assert_eq!(weights[a.pick(draw)].to_bits(), shuffled[b.pick(draw)].to_bits());
        }
        prop_assert_eq!(shares_by_weight(&weights), shares_by_weight(&shuffled));
    }

    #[test]
    fn evenly_spaced_draws_fall_as_the_shares_say(weights in weights(1..24)) {
        let sampler = sampler(&weights);
        let mut counts = vec![0u128; weights.len()];
        for step in 0..1u64 << 14 {
            counts[sampler.pick(step << 50)] += 1;
        }
        for (index, count) in counts.into_iter().enumerate() {
            // Every run of draws may hold one more or one less; an item has at most one run a bucket.
            prop_assert!((count << 50).abs_diff(sampler.share(index)) <= 64 << 50);
        }
    }

    #[test]
    fn leaving_out_is_the_same_as_a_weight_of_zero(
        weights in weights(2..24), out in any::<u32>(), draws in prop::collection::vec(any::<u64>(), 50),
    ) {
        let excluded: Vec<usize> = (0..weights.len()).filter(|index| out >> index & 1 == 1).collect();
        prop_assume!(excluded.len() < weights.len());
        let mut zeroed = weights.clone();
        excluded.iter().for_each(|&index| zeroed[index] = 0.0);
        let (left, zeroed) = (sampler(&weights).without(&excluded).expect("some are left"), sampler(&zeroed));
        for draw in draws {
            prop_assert_eq!(left.pick(draw), zeroed.pick(draw));
            prop_assert_eq!(left.pick_sticky(draw, |i| i as u64), zeroed.pick_sticky(draw, |i| i as u64));
        }
    }

    #[test]
    fn the_sticky_item_is_the_one_with_the_shortest_waiting_time(
        weights in weights(1..12), first in any::<u64>(),
    ) {
        let sampler = sampler(&weights);
        for key in (0..200).map(|step| first.wrapping_add(step)) {
            let (expected, sure) = by_logarithm(&weights, key);
            prop_assert!(!sure || sampler.pick_sticky(key, |index| index as u64) == expected);
        }
    }

    #[test]
    fn no_weights_panic(
        weights in prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..8), draw in any::<u64>(),
    ) {
        if let Ok(sampler) = Sampler::new(&weights) {
            prop_assert!(weights[sampler.pick(draw)] > 0.0);
            prop_assert!(weights[sampler.pick_sticky(draw, |index| index as u64)] > 0.0);
        }
    }
}
