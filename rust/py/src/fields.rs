//! The RateLimit and RateLimit-Policy response fields (draft-ietf-httpapi-ratelimit-headers), and a denial's message.

use std::sync::Arc;

use limen_core::answer::{Denial, Violation};
use limen_core::period::Duration;
use limen_core::policy::{Kind, Level, LimitName};
use limen_core::units::Millis;
use limen_core::window::Reading;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Money is told in whole micro-dollars.
const NANO_PER_MICRO: i64 = 1_000;

/// The largest integer of a structured field (RFC 9651) has 15 digits; what is more is told as this.
const LARGEST: i64 = 999_999_999_999_999;

/// One limit in the two fields.
pub(crate) struct Item<'a> {
    name: &'a LimitName,
    remaining: i64,
    reset_in_ms: i64,
}

impl Item<'_> {
    fn units(&self, amount: i64) -> i64 {
        let amount = match self.name.kind {
            Kind::Budget => amount / NANO_PER_MICRO,
            Kind::Tokens | Kind::Requests => amount,
        };
        amount.min(LARGEST)
    }

    /// What tells it from the others in a field.
    fn identity(&self) -> (Level, Kind, Duration) {
        (self.name.level, self.name.kind, self.name.per)
    }
}

/// The violated limits of a denial.
pub(crate) fn of_violations(violations: &[Violation]) -> Vec<Item<'_>> {
    violations
        .iter()
        .map(|violation| Item {
            name: &violation.name,
            remaining: violation.limit.saturating_sub(violation.used).saturating_sub(violation.held).max(0),
            reset_in_ms: violation.wait_ms.unwrap_or(0),
        })
        .collect()
}

/// For each kind the limit of a permit with the least left.
pub(crate) fn of_readings(readings: &[(Arc<LimitName>, Reading)], now: Millis) -> Vec<Item<'_>> {
    [Kind::Tokens, Kind::Requests, Kind::Budget]
        .into_iter()
        .filter_map(|kind| {
            readings
                .iter()
                .filter(|(name, _)| name.kind == kind)
                .map(|(name, reading)| Item {
                    name,
                    remaining: name.limit.saturating_sub(reading.total()).max(0),
                    reset_in_ms: reading.reset.get().saturating_sub(now.get()).max(0),
                })
                .min_by_key(|item| item.remaining)
        })
        .collect()
}

/// Every admitted call over HTTP comes by here: digits written where they belong, without the formatter.
fn number(field: &mut String, value: i64) {
    let mut digits = [b'0'; 20];
    let (mut at, mut rest) = (digits.len(), value.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    field.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// Both fields, or none where no limit is told about.
pub(crate) fn set(headers: &Bound<'_, PyDict>, items: &[Item<'_>]) -> PyResult<()> {
    if items.is_empty() {
        return Ok(());
    }
    let length = items.len() * 64;
    let (mut limit, mut policy) = (String::with_capacity(length), String::with_capacity(length));
    for (place, item) in items.iter().enumerate() {
        if items[..place].iter().any(|told| told.identity() == item.identity()) {
            continue;
        }
        if place > 0 {
            limit.push_str(", ");
            policy.push_str(", ");
        }
        for field in [&mut limit, &mut policy] {
            field.push('"');
            field.push_str(item.name.level.as_str());
            field.push('-');
            field.push_str(item.name.kind.as_str());
            field.push('-');
            number(field, item.name.per.count() as i64);
            field.push(item.name.per.unit().letter());
            field.push('"');
        }
        let seconds = |ms: i64| ms / 1_000 + i64::from(ms % 1_000 > 0);
        limit.push_str(";r=");
        number(&mut limit, item.units(item.remaining));
        limit.push_str(";t=");
        number(&mut limit, seconds(item.reset_in_ms));
        policy.push_str(";q=");
        number(&mut policy, item.units(item.name.limit));
        policy.push_str(";w=");
        number(&mut policy, item.name.per.rolling_ms() / 1_000);
    }
    headers.set_item(intern!(headers.py(), "RateLimit"), limit)?;
    headers.set_item(intern!(headers.py(), "RateLimit-Policy"), policy)
}

/// Who refuses, and why, in one line.
pub(crate) fn message(denial: &Denial) -> String {
    let Some(first) = denial.limits.first() else { return denial.code.message().to_owned() };
    let dollars = |amount: i64| match first.name.kind {
        Kind::Budget => format!("${}", limen_core::units::NanoUsd::new(amount).to_decimal()),
        Kind::Tokens | Kind::Requests => amount.to_string(),
    };
    let more = match denial.limits.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    format!(
        "{}: the {} limit of {} {} per {} has {} used and {} held, {} asked{more}",
        denial.code.message(),
        first.name.kind.as_str(),
        first.name.level.as_str(),
        dollars(first.limit),
        first.name.per,
        dollars(first.used),
        dollars(first.held),
        dollars(first.asked),
    )
}
