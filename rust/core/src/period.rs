//! Durations and the lattices of windows that they span, as integer arithmetic in UTC.
//!
//! A lattice cuts all time into windows without gaps. `1h` anchored at 09:20 has windows from 09:20 to 10:20,
//! from 10:20 to 11:20 and so on, and backwards before the anchor; calendar `3M` has the quarters of every
//! year. A window is known by the instant at which it ends, its [`Epoch`]: a counter learns whether its window
//! is still open by one comparison, without its lattice, and divides only when it rolls.
//!
//! Instants beyond the years -200 to 12000 count as the nearest instant inside, so that no sum can overflow.

use std::fmt;
use std::num::NonZeroI64;

use crate::units::Millis;

const SECOND_MS: u64 = 1_000;
const DAY_MS: i64 = 86_400_000;
const MAX_DAYS: i64 = 36_500;
/// The longest window: 36,500 days.
pub const MAX_LENGTH_MS: i64 = MAX_DAYS * DAY_MS;
const MAX_DIGITS: usize = 10;
/// 1970-01-05.
const FIRST_MONDAY_MS: i64 = 4 * DAY_MS;
const EARLIEST_MS: i64 = days_from_civil(-200, 1) * DAY_MS;
const LATEST_MS: i64 = days_from_civil(12_000, 1) * DAY_MS;
/// Beyond every end of a window, and near enough that no calendar arithmetic overflows.
const FAR_MS: i64 = 1 << 52;

/// A unit of time; `M` and `Y` are months and years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `d`
    Day,
    /// `w`
    Week,
    /// `M`: 30 days where it rolls, a month of the calendar where aligned
    Month,
    /// `Y`: 365 days where it rolls, a year of the calendar where aligned
    Year,
}

impl Unit {
    fn from_letter(letter: &str) -> Option<Self> {
        Some(match letter {
            "s" => Self::Second,
            "m" => Self::Minute,
            "h" => Self::Hour,
            "d" => Self::Day,
            "w" => Self::Week,
            "M" => Self::Month,
            "Y" => Self::Year,
            _ => return None,
        })
    }

    /// The letter that stands for it in a duration.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
            Self::Week => 'w',
            Self::Month => 'M',
            Self::Year => 'Y',
        }
    }

    const fn rolling_ms(self) -> u64 {
        match self {
            Self::Second => SECOND_MS,
            Self::Minute => 60 * SECOND_MS,
            Self::Hour => 3_600 * SECOND_MS,
            Self::Day => 86_400 * SECOND_MS,
            Self::Week => 7 * 86_400 * SECOND_MS,
            Self::Month => 30 * 86_400 * SECOND_MS,
            Self::Year => 365 * 86_400 * SECOND_MS,
        }
    }
}

/// A duration as configuration states it: a count above zero and a unit, at most 36,500 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Duration {
    /// Even in seconds that many days are fewer.
    count: u32,
    unit: Unit,
}

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// No text at all.
    Empty,
    /// White space anywhere: `1 d`.
    Space,
    /// A sign in front: `-1h`, `+1h`.
    Signed,
    /// A point or a comma: `1.5d`.
    Fraction,
    /// Digits that are not 0 to 9.
    ForeignDigits,
    /// A unit and no number: `h`.
    MissingCount,
    /// A number and no unit: `60`.
    MissingUnit,
    /// More than one number: `1h30m`.
    Compound,
    /// A unit that does not exist: `1y`, `500ms`.
    UnknownUnit,
    /// More than ten digits.
    TooManyDigits,
    /// Zero: `0s`.
    Zero,
    /// More than 36,500 days.
    TooLong,
}

impl DurationError {
    /// What is wrong and what to write, to be read after the name of the field.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Empty => "must be a duration such as \"1h\", not an empty text",
            Self::Space => "must not contain spaces: write \"1d\"",
            Self::Signed => "must not have a sign: write \"1h\"",
            Self::Fraction => "must be a whole number of one unit: write \"36h\" for one and a half days",
            Self::ForeignDigits => "must be written with the digits 0 to 9",
            Self::MissingCount => "must begin with a number: write \"1h\"",
            Self::MissingUnit => "must end with a unit, one of s m h d w M Y: write \"60s\"",
            Self::Compound => "must be one number and one unit: write \"90m\", not \"1h30m\"",
            Self::UnknownUnit => {
                "must end with one of the units s m h d w M Y (m minutes, M months): write \"30s\" or \"1M\""
            }
            Self::TooManyDigits => "must have at most ten digits: write it in a larger unit",
            Self::Zero => "must be above zero: write \"1s\" or more",
            Self::TooLong => {
                "must be at most 36500 days, a month counted as 30 and a year as 365: write \"100Y\" or less"
            }
        }
    }
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for DurationError {}

impl Duration {
    /// From text: one to ten ASCII digits and one unit of `s m h d w M Y`.
    ///
    /// # Errors
    /// A [`DurationError`] with the reason.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, letter) = text.split_at(digits_end);
        if text.is_empty() {
            return Err(DurationError::Empty);
        }
        if text.contains(char::is_whitespace) {
            return Err(DurationError::Space);
        }
        if text.starts_with(['+', '-', '\u{2212}']) {
            return Err(DurationError::Signed);
        }
        if letter.contains(['.', ',']) {
            return Err(DurationError::Fraction);
        }
        if letter.contains(|c: char| !c.is_ascii() && c.is_numeric()) {
            return Err(DurationError::ForeignDigits);
        }
        if digits.is_empty() {
            return Err(DurationError::MissingCount);
        }
        if letter.is_empty() {
            return Err(DurationError::MissingUnit);
        }
        if letter.contains(|c: char| c.is_ascii_digit()) {
            return Err(DurationError::Compound);
        }
        let unit = Unit::from_letter(letter).ok_or(DurationError::UnknownUnit)?;
        if digits.len() > MAX_DIGITS {
            return Err(DurationError::TooManyDigits);
        }
        let count = digits.bytes().fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
        if count == 0 {
            return Err(DurationError::Zero);
        }
        if u128::from(count) * u128::from(unit.rolling_ms()) > MAX_LENGTH_MS as u128 {
            return Err(DurationError::TooLong);
        }
        Ok(Self { count: count as u32, unit })
    }

    /// How many units.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.count as u64
    }

    /// Which unit.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// The length in milliseconds where it rolls: a month is 30 days, a year 365.
    #[must_use]
    pub const fn rolling_ms(self) -> i64 {
        (self.count as u64 * self.unit.rolling_ms()) as i64
    }

    /// Whether the calendar knows periods of this unit: `d`, `w`, `M`, `Y`.
    #[must_use]
    pub const fn is_calendar_unit(self) -> bool {
        matches!(self.unit, Unit::Day | Unit::Week | Unit::Month | Unit::Year)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit.letter())
    }
}

/// A window of one lattice, as one ordered integer: its end in ms. Later windows compare greater. It fits 60
/// bits with its sign. (A sliding counter's is the number of a sub-window.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(i64);

impl Epoch {
    /// The integer, to be kept in a counter's word.
    #[must_use]
    #[inline]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// From an integer that [`Epoch::get`] gave, of the same lattice.
    #[must_use]
    #[inline]
    pub const fn from_raw(raw: i64) -> Self {
        Self(raw)
    }
}

/// All the windows of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice(Shape);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Rolling { anchor_ms: i64, length_ms: NonZeroI64 },
    Months { count: u32 },
}

impl Lattice {
    /// Windows of `length_ms` at `anchor` and every multiple of the length before and after it. Lengths are
    /// held between 1 ms and 36,500 days.
    #[must_use]
    pub fn rolling(anchor: Millis, length_ms: i64) -> Self {
        let length_ms = NonZeroI64::new(length_ms.clamp(1, MAX_LENGTH_MS)).unwrap_or(NonZeroI64::MIN);
        // The same lattice with its anchor near the epoch: whatever the caller's, no difference overflows.
        Self(Shape::Rolling { anchor_ms: anchor.get().rem_euclid(length_ms.get()), length_ms })
    }

    /// Periods of the calendar in UTC, `n` units grouped: days from 1970-01-01, weeks from Monday 1970-01-05,
    /// months and years from January of year 0. None for seconds, minutes and hours.
    #[must_use]
    pub fn calendar(duration: Duration) -> Option<Self> {
        let months = |each: u32| Self(Shape::Months { count: duration.count * each });
        match duration.unit {
            Unit::Second | Unit::Minute | Unit::Hour => None,
            Unit::Day => Some(Self::rolling(Millis::new(0), duration.rolling_ms())),
            Unit::Week => Some(Self::rolling(Millis::new(FIRST_MONDAY_MS), duration.rolling_ms())),
            Unit::Month => Some(months(1)),
            Unit::Year => Some(months(12)),
        }
    }

    /// As two integers, for a counter's cell: the anchor and the length, or no anchor and the months negated.
    pub(crate) const fn to_words(self) -> (i64, i64) {
        match self.0 {
            Shape::Rolling { anchor_ms, length_ms } => (anchor_ms, length_ms.get()),
            Shape::Months { count } => (0, -(count as i64)),
        }
    }

    /// What [`Lattice::to_words`] gave.
    #[inline(always)]
    pub(crate) const fn from_words(anchor_ms: i64, length: i64) -> Self {
        match NonZeroI64::new(length) {
            Some(length_ms) if length > 0 => Self(Shape::Rolling { anchor_ms, length_ms }),
            _ => Self(Shape::Months { count: length.unsigned_abs() as u32 }),
        }
    }

    /// The window that contains `now`.
    #[must_use]
    pub fn window_at(&self, now: Millis) -> Epoch {
        let now_ms = now.get().clamp(EARLIEST_MS, LATEST_MS);
        match self.0 {
            Shape::Rolling { anchor_ms, length_ms } => {
                Epoch(now_ms - (now_ms - anchor_ms).rem_euclid(length_ms.get()) + length_ms.get())
            }
            Shape::Months { count } => Epoch(months_at(now_ms, count).1),
        }
    }

    /// The first instant of a window.
    #[must_use]
    pub fn start(&self, epoch: Epoch) -> Millis {
        Millis::new(match self.0 {
            Shape::Rolling { length_ms, .. } => epoch.0.saturating_sub(length_ms.get()),
            Shape::Months { count } => months_at(epoch.0.clamp(-FAR_MS, FAR_MS) - 1, count).0,
        })
    }

    /// The first instant after a window, which is the start of the next.
    #[must_use]
    #[inline(always)]
    pub const fn end(&self, epoch: Epoch) -> Millis {
        Millis::new(epoch.0)
    }
}

impl Epoch {
    /// Whether `now` lies in this window or before it: false exactly where [`Lattice::window_at`] gives a
    /// later one.
    #[must_use]
    #[inline(always)]
    pub fn contains_or_after(self, now: Millis) -> bool {
        now.get().min(LATEST_MS) < self.0
    }
}

/// The ends of the group of `count` months that contains an instant, in ms.
fn months_at(now_ms: i64, count: u32) -> (i64, i64) {
    let count = i64::from(count);
    let first = month_of_day(now_ms.div_euclid(DAY_MS)).div_euclid(count) * count;
    (first_day_of_month(first) * DAY_MS, first_day_of_month(first + count) * DAY_MS)
}

/// Months since January of year 0.
const fn month_of_day(day: i64) -> i64 {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years that begin in
    // March, counted in eras of 400, so that the leap day is the last of its year.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + march_month + 2
}

/// The first day of a month given as months since January of year 0.
const fn first_day_of_month(month: i64) -> i64 {
    days_from_civil(month.div_euclid(12), month.rem_euclid(12) + 1)
}

/// Days from 1970-01-01 to the first of a month (1 to 12) of a year.
const fn days_from_civil(year: i64, month: i64) -> i64 {
    // The same source, days_from_civil.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
