//! What does a weighted choice cost, by a draw and by a key?

use limen_core::routing::sampler::Sampler;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::timing::{Effort, Side, Stopwatch, in_turn, print_ratio};
use crate::workloads::Workloads;

/// Samples of one way to pick, each with the same generator inside the time. Generator and sum are the loop's
/// own, in registers: kept anywhere else they would cost more than a pick.
fn side<'a>(
    workloads: &Workloads,
    weights: &'a [f64],
    picks: usize,
    pick: impl Fn(&mut SmallRng) -> usize + 'a,
) -> Side<'a> {
    let mut generator = SmallRng::seed_from_u64(workloads.seed);
    Box::new(move || {
        let (mut sum, mut own, watch) = (0, generator.clone(), Stopwatch::start());
        for _ in 0..picks {
            sum += pick(&mut own);
        }
        let elapsed = watch.elapsed();
        generator = own;
        check(weights, picks as f64, sum as f64);
        elapsed / picks as f64
    })
}

/// The mean of what was picked is within six standard deviations: wrong by chance once in five hundred million.
fn check(weights: &[f64], picks: f64, sum: f64) {
    let mean: f64 = (0u32..).zip(weights).map(|(item, weight)| f64::from(item) * weight).sum();
    let square: f64 = (0u32..).zip(weights).map(|(item, weight)| f64::from(item * item) * weight).sum();
    let deviation = ((square - mean * mean) / picks).sqrt();
    assert!((sum / picks - mean).abs() < 6.0 * deviation, "{} is not about {mean}", sum / picks);
}

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let picks = effort.calls * 10;
    for (row, weights) in [("pick_4", &workloads.weights.four), ("pick_10", &workloads.weights.ten)] {
        let sampler = Sampler::new(weights).expect("weights");
        let index = WeightedIndex::new(weights).expect("weights");
        let names: Vec<u64> = (0..weights.len() as u64).collect();
        let [peer, plain, sticky] = in_turn(
            effort,
            [
                side(workloads, weights, picks, |generator| index.sample(generator)),
                side(workloads, weights, picks, |generator| sampler.pick(generator.next_u64())),
                side(workloads, weights, picks, |generator| {
                    sampler.pick_sticky(generator.next_u64(), |item| names[item])
                }),
            ],
        );
        print_ratio(row, plain, peer);
        if row == "pick_4" {
            print_ratio("pick_sticky_4", sticky, plain);
        }
    }
}
