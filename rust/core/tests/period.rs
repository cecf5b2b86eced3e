//! Durations and windows: the shared vectors, every day of four centuries against a calendar that is walked
//! day by day, and what holds of every lattice.

use limen_core::period::{Duration, DurationError, Epoch, Lattice, MAX_LENGTH_MS, Unit};
use limen_core::units::Millis;
use proptest::prelude::*;
use serde_json::Value;

const DAY_MS: i64 = 86_400_000;

fn rows(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("a list of rows")
}

fn window(lattice: &Lattice, now_ms: i64) -> (i64, i64) {
    let epoch = lattice.window_at(Millis::new(now_ms));
    (lattice.start(epoch).get(), lattice.end(epoch).get())
}

fn calendar(text: &str) -> Lattice {
    let duration = Duration::parse(text).expect("a duration");
    Lattice::calendar(duration).expect("a unit of the calendar")
}

#[test]
fn every_duration_text_of_the_vectors_has_its_length_or_its_reason() {
    for row in rows(include_str!("../../../tests/vectors/durations.json")) {
        let text = row["text"].as_str().expect("a text");
        match Duration::parse(text) {
            Ok(duration) => assert_eq!(row["ms"].as_i64(), Some(duration.rolling_ms()), "{text:?}"),
            Err(fault) => {
                let says = row["says"].as_str().unwrap_or_else(|| panic!("{text:?} was refused: {fault}"));
                assert!(fault.message().contains(says), "{text:?}: {fault}");
            }
        }
    }
}

#[test]
fn every_fault_of_a_duration_is_told_apart() {
    let rows = [
        ("", DurationError::Empty),
        ("1 d", DurationError::Space),
        ("+1h", DurationError::Signed),
        ("1.5d", DurationError::Fraction),
        ("\u{661}h", DurationError::ForeignDigits),
        ("h", DurationError::MissingCount),
        ("60", DurationError::MissingUnit),
        ("1h30m", DurationError::Compound),
        ("1y", DurationError::UnknownUnit),
        ("00000000001s", DurationError::TooManyDigits),
        ("0s", DurationError::Zero),
        ("101Y", DurationError::TooLong),
    ];
    for (position, (text, fault)) in rows.iter().enumerate() {
        assert_eq!(Duration::parse(text), Err(*fault), "{text:?}");
        assert_eq!(fault.to_string(), fault.message());
        assert!(rows[..position].iter().all(|(_, other)| other.message() != fault.message()));
    }
}

#[test]
fn a_duration_is_written_as_count_and_unit() {
    let rows = [
        ("90m", "90m", 90, Unit::Minute),
        ("0060s", "60s", 60, Unit::Second),
        ("3M", "3M", 3, Unit::Month),
        ("100Y", "100Y", 100, Unit::Year),
    ];
    for (text, written, count, unit) in rows {
        let duration = Duration::parse(text).expect("a duration");
        assert_eq!(
            (duration.to_string().as_str(), duration.count(), duration.unit()),
            (written, count, unit)
        );
    }
}

#[test]
fn every_calendar_row_of_the_vectors_has_its_window() {
    for row in rows(include_str!("../../../tests/vectors/calendar.json")) {
        let number = |name: &str| row[name].as_i64().expect("a number");
        let text = format!("{}{}", number("count"), row["unit"].as_str().expect("a unit"));
        let found = window(&calendar(&text), number("now_ms"));
        assert_eq!(found, (number("start_ms"), number("end_ms")), "{text} at {}", row["now"]);
    }
}

#[test]
fn only_days_and_longer_units_are_aligned_to_the_calendar() {
    for (text, aligned) in [
        ("1s", false),
        ("60m", false),
        ("24h", false),
        ("1d", true),
        ("1w", true),
        ("1M", true),
        ("1Y", true),
    ] {
        let duration = Duration::parse(text).expect("a duration");
        assert_eq!(
            (duration.is_calendar_unit(), Lattice::calendar(duration).is_some()),
            (aligned, aligned),
            "{text}"
        );
    }
}

/// Where a period of `count` units ends is found by walking: a date is moved on one day at a time, and a
/// period begins on the days on which its unit begins, every `count`th of them.
struct Walk {
    year: i64,
    month: i64,
    day: i64,
    days: i64,
}

impl Walk {
    fn is_leap(year: i64) -> bool {
        year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    }

    fn next(&mut self) {
        let long =
            [31, if Self::is_leap(self.year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        self.days += 1;
        self.day += 1;
        if self.day > long[(self.month - 1) as usize] {
            (self.day, self.month) = (1, self.month + 1);
        }
        if self.month > 12 {
            (self.month, self.year) = (1, self.year + 1);
        }
    }

    fn begins(&self, unit: char, count: i64) -> bool {
        match unit {
            'd' => self.days % count == 0,
            'w' => (self.days + 3) % 7 == 0 && ((self.days - 4) / 7) % count == 0,
            'M' => self.day == 1 && (self.year * 12 + self.month - 1) % count == 0,
            _ => (self.month, self.day) == (1, 1) && self.year % count == 0,
        }
    }
}

#[test]
fn every_day_of_four_centuries_lies_in_the_period_that_a_walk_finds() {
    for unit in ['d', 'w', 'M', 'Y'] {
        for count in [1, 2, 3, 5, 6, 12] {
            let lattice = calendar(&format!("{count}{unit}"));
            let mut walk = Walk { year: 1970, month: 1, day: 1, days: 0 };
            let mut starts = Vec::new();
            while walk.year <= 2412 {
                if walk.begins(unit, count) {
                    starts.push(walk.days);
                }
                walk.next();
            }
            assert!(
                starts.len() > 35 && starts[starts.len() - 2] > 156_000,
                "the walk must reach the year 2400"
            );
            for pair in starts.windows(2) {
                for day in pair[0]..pair[1] {
                    let expected = (pair[0] * DAY_MS, pair[1] * DAY_MS);
                    assert_eq!(window(&lattice, day * DAY_MS), expected, "{count}{unit}, day {day}");
                    assert_eq!(
                        window(&lattice, day * DAY_MS + DAY_MS - 1),
                        expected,
                        "{count}{unit}, day {day}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_lattice_takes_two_words() {
    assert_eq!(size_of::<Lattice>(), 16);
}

#[test]
fn a_window_of_a_foreign_integer_is_wrong_but_no_panic() {
    for lattice in [Lattice::rolling(Millis::new(7), 1_000), calendar("1M")] {
        for raw in [i64::MIN, i64::MAX] {
            let epoch = Epoch::from_raw(raw);
            let _ = (lattice.start(epoch), lattice.end(epoch), epoch.contains_or_after(Millis::new(raw)));
        }
    }
}

fn lattices() -> impl Strategy<Value = Lattice> {
    prop_oneof![
        (any::<i64>(), 1..=MAX_LENGTH_MS)
            .prop_map(|(anchor, length)| Lattice::rolling(Millis::new(anchor), length)),
        (any::<i64>(), 1..100_000_i64)
            .prop_map(|(anchor, length)| Lattice::rolling(Millis::new(anchor), length)),
        (1..=1_216_u32).prop_map(|count| calendar(&format!("{count}M"))),
        (1..=100_u32).prop_map(|count| calendar(&format!("{count}Y"))),
        (1..=5_214_u32).prop_map(|count| calendar(&format!("{count}w"))),
    ]
}

const SANE_MS: std::ops::Range<i64> = -60_000_000_000_000..300_000_000_000_000;

proptest! {
    #[test]
    fn windows_tile_time_without_gaps_and_in_order(lattice in lattices(), now_ms in SANE_MS) {
        let now = Millis::new(now_ms);
        let epoch = lattice.window_at(now);
        let (start, end) = (lattice.start(epoch), lattice.end(epoch));
        prop_assert!(start <= now && now < end);
        prop_assert_eq!(Epoch::from_raw(epoch.get()), epoch);
        prop_assert_eq!(lattice.window_at(start), epoch);
        prop_assert_eq!(lattice.window_at(Millis::new(end.get() - 1)), epoch);
        let (before, after) = (lattice.window_at(Millis::new(start.get() - 1)), lattice.window_at(end));
        prop_assert_eq!(lattice.end(before), start);
        prop_assert_eq!(lattice.start(after), end);
        prop_assert!(before < epoch && epoch < after);
        prop_assert!(epoch.contains_or_after(start));
        prop_assert!(epoch.contains_or_after(Millis::new(end.get() - 1)));
        prop_assert!(!epoch.contains_or_after(end));
    }

    #[test]
    fn a_rolling_window_starts_a_whole_number_of_lengths_from_its_anchor(
        anchor in any::<i64>(), length in 1..=MAX_LENGTH_MS, now_ms in SANE_MS,
    ) {
        let (start, end) = window(&Lattice::rolling(Millis::new(anchor), length), now_ms);
        prop_assert_eq!((i128::from(start) - i128::from(anchor)) % i128::from(length), 0);
        prop_assert_eq!(end - start, length);
    }

    #[test]
    fn any_instant_has_one_window_that_is_open_then_and_fits_62_bits(
        lattice in lattices(), now in any::<i64>(),
    ) {
        let now = Millis::new(now);
        let epoch = lattice.window_at(now);
        prop_assert!(epoch.contains_or_after(now));
        prop_assert!(epoch.get().abs() < 1 << 61);
        prop_assert!(lattice.start(epoch) < lattice.end(epoch));
    }

    #[test]
    fn later_instants_never_have_earlier_windows(lattice in lattices(), a in any::<i64>(), b in SANE_MS) {
        let (a, b) = (a.min(b), a.max(b));
        prop_assert!(lattice.window_at(Millis::new(a)) <= lattice.window_at(Millis::new(b)));
    }

    #[test]
    fn no_text_panics_and_what_is_read_is_written_alike(text in "[-+ 0-9.smhdwMYy\u{661}]{0,13}") {
        if let Ok(duration) = Duration::parse(&text) {
            prop_assert_eq!(Duration::parse(&duration.to_string()), Ok(duration));
            prop_assert!((1_000..=MAX_LENGTH_MS).contains(&duration.rolling_ms()));
        }
    }
}
