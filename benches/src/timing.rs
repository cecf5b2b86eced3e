//! Samples in turn, and the rows that come of them.

use serde_json::json;

/// How long to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) calls: usize,
    /// A look at whether all works: figures mean little.
    pub(crate) quick: bool,
}

impl Effort {
    pub(crate) const FULL: Effort = Effort { rounds: 31, calls: 50_000, quick: false };
    pub(crate) const QUICK: Effort = Effort { rounds: 3, calls: 5_000, quick: true };
}

/// Time that this thread was running: what others do on the machine meanwhile is not in it.
pub(crate) struct Stopwatch(f64);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(Stopwatch::now())
    }

    /// Nanoseconds since the start.
    pub(crate) fn elapsed(&self) -> f64 {
        Stopwatch::now() - self.0
    }

    fn now() -> f64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a whole timespec of ours, and the call writes nothing else.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    }
}

/// One side of a comparison: a sample of it, in nanoseconds a call.
pub(crate) type Side<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// A side that makes one call for each entry of an order.
pub(crate) fn side<'a>(order: &'a [usize], mut call: impl FnMut(usize) + 'a) -> Side<'a> {
    Box::new(move || {
        let watch = Stopwatch::start();
        for item in order {
            call(*item);
        }
        watch.elapsed() / order.len() as f64
    })
}

/// Median and least of one side's samples.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
}

impl Spread {
    pub(crate) fn of(mut samples: Vec<f64>) -> Spread {
        samples.sort_by(f64::total_cmp);
        Spread { median: samples[samples.len() / 2], least: samples[0] }
    }
}

/// Sample every side in turn, A B C then C B A, after one round that does not count.
pub(crate) fn in_turn<const N: usize>(effort: Effort, mut sides: [Side<'_>; N]) -> [Spread; N] {
    let mut samples: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for side in &mut sides {
        side();
    }
    for round in 0..effort.rounds {
        for place in 0..N {
            let place = if round % 2 == 1 { N - 1 - place } else { place };
            samples[place].push(sides[place]());
        }
    }
    samples.map(Spread::of)
}

/// A row that is a ratio of times: ours to the peer's, medians and minima.
pub(crate) fn print_ratio(row: &str, ours: Spread, peer: Spread) {
    let (median, least) = (ours.median / peer.median, ours.least / peer.least);
    let line = json!({
        "row": row, "median": median, "least": least,
        "ours_ns": ours.median, "peer_ns": peer.median,
    });
    println!("{line}");
}

/// A row that is one number, with what a reader should know of it.
pub(crate) fn print_value(row: &str, value: f64, note: &str) {
    println!("{}", json!({ "row": row, "median": value, "least": value, "note": note }));
}
