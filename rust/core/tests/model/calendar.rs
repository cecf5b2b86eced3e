//! Calendar periods by counting: no formula, one month after the other.

const DAY: i64 = 86_400_000;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(month: i64) -> i64 {
    match month.rem_euclid(12) {
        1 if is_leap(month.div_euclid(12)) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Months are counted from January of year 0; the day is one since 1970-01-01.
fn first_day(wanted: i64) -> i64 {
    let (mut month, mut day) = (1970 * 12, 0);
    while month < wanted {
        day += days_of(month);
        month += 1;
    }
    while month > wanted {
        month -= 1;
        day -= days_of(month);
    }
    day
}

fn month_of(day: i64) -> i64 {
    let (mut month, mut first) = (1970 * 12, 0);
    while first + days_of(month) <= day {
        first += days_of(month);
        month += 1;
    }
    while first > day {
        month -= 1;
        first -= days_of(month);
    }
    month
}

/// Start and end of the period of `count` units that contains `at`.
pub fn period(count: i64, unit: char, at: i64) -> (i64, i64) {
    let day = at.div_euclid(DAY);
    // 1970-01-05 was a Monday.
    let by_days = |origin: i64, length: i64| {
        let start = origin + (day - origin).div_euclid(length) * length;
        (start * DAY, (start + length) * DAY)
    };
    let by_months = |length: i64| {
        let start = month_of(day).div_euclid(length) * length;
        (first_day(start) * DAY, first_day(start + length) * DAY)
    };
    match unit {
        'd' => by_days(0, count),
        'w' => by_days(4, count * 7),
        'M' => by_months(count),
        'Y' => by_months(count * 12),
        _ => panic!("{unit} is no unit of the calendar"),
    }
}
