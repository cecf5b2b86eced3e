//! What does a weighted choice cost, by a draw and by a key?

use std::cell::Cell;

use limen_core::routing::sampler::Sampler;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::timing::{Effort, Side, in_turn, print_ratio, side};
use crate::workloads::Workloads;

/// The sum of the places that were picked, to see that the shares are right.
#[derive(Default)]
struct Picked(Cell<u64>, Cell<u64>);

impl Picked {
    fn add(&self, place: usize) {
        self.0.set(self.0.get() + place as u64);
        self.1.set(self.1.get() + 1);
    }

    /// The mean place is within six standard deviations: wrong by chance once in five hundred million runs.
    fn check(&self, weights: &[f64]) {
        let (picks, sum) = (self.1.get() as f64, self.0.get() as f64);
        let mean: f64 = (0u32..).zip(weights).map(|(place, weight)| f64::from(place) * weight).sum();
        let square: f64 =
            (0u32..).zip(weights).map(|(place, weight)| f64::from(place * place) * weight).sum();
        let deviation = ((square - mean * mean) / picks).sqrt();
        assert!((sum / picks - mean).abs() < 6.0 * deviation, "{} is not about {mean}", sum / picks);
    }
}

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let calls: Vec<usize> = (0..effort.calls).collect();
    // The generator is the same on every side, and inside the time.
    let generator = || SmallRng::seed_from_u64(workloads.seed);
    for (row, weights) in [("pick_4", &workloads.weights.four), ("pick_10", &workloads.weights.ten)] {
        let sampler = Sampler::new(weights).expect("weights");
        let index = WeightedIndex::new(weights).expect("weights");
        let (mut one, mut other, mut third) = (generator(), generator(), generator());
        let picked: [Picked; 3] = Default::default();
        let names: Vec<u64> = (0..weights.len() as u64).collect();
        let sides: [Side<'_>; 3] = [
            side(&calls, |_| picked[0].add(index.sample(&mut one))),
            side(&calls, |_| picked[1].add(sampler.pick(other.next_u64()))),
            side(&calls, |_| picked[2].add(sampler.pick_sticky(third.next_u64(), |item| names[item]))),
        ];
        let [peer, plain, sticky] = in_turn(effort, sides);
        for picked in &picked {
            picked.check(weights);
        }
        print_ratio(row, plain, peer);
        if row == "pick_4" {
            print_ratio("pick_sticky_4", sticky, plain);
        }
    }
}
