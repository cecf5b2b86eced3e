//! What decisions cost beside the best peer: `limen-benches QUESTION... [--quick]` prints one line of JSON a row.
//! `limen-benches count NAME TIMES` makes so many calls of one kind and prints nothing.
//!
//! `benches/run.py` runs this, and says how the rows are to be read.
#![expect(clippy::print_stdout, reason = "the rows are what it is for")]

mod admit_settle;
mod cold;
mod count;
mod denial;
mod edits;
#[expect(dead_code, reason = "of the table under Python's KeyedLimiter only the known key is measured")]
#[path = "../../rust/py/src/primitives/keys.rs"]
mod keyed;
mod memory;
mod picks;
mod policy;
mod priced;
mod prices;
mod ruled;
mod rules;
mod single;
mod sliding;
mod threads;
mod timing;
mod workloads;

use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use timing::Effort;
use workloads::Workloads;

type Question = fn(&Workloads, Effort);

const QUESTIONS: &[(&str, Question)] = &[
    ("single", single::run),
    ("sliding", sliding::run),
    ("admit_settle", admit_settle::run),
    ("cold", cold::run),
    ("denial", denial::run),
    ("threads", threads::run),
    ("picks", picks::run),
    ("rules", rules::run),
    ("ruled", ruled::run),
    ("prices", prices::run),
    ("priced", priced::run),
    ("edits", edits::run),
    ("memory", memory::run),
];

/// The peer, as shipped: String keys, a DashMap, its default clock. Nothing is ever refused.
fn governor_keyed() -> DefaultKeyedRateLimiter<String> {
    RateLimiter::keyed(Quota::per_second(NonZeroU32::MAX))
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let workloads = Workloads::read();
    if let [count, name, pairs] = words.as_slice()
        && count == "count"
    {
        return count::run(&workloads, name, pairs.parse().expect("a number of times"));
    }
    let mut effort = Effort::FULL;
    let mut asked = Vec::new();
    for word in words {
        match QUESTIONS.iter().find(|(name, _)| *name == word) {
            Some((_, question)) => asked.push(question),
            None if word == "--quick" => effort = Effort::QUICK,
            None => panic!(
                "no such question: {word}; there are {:?}",
                QUESTIONS.iter().map(|(name, _)| name).collect::<Vec<_>>()
            ),
        }
    }
    for question in asked {
        question(&workloads, effort);
    }
}
