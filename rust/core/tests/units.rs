//! Dollars from text and floats: rows of what is money and what is not, and the two readings against each
//! other.

use limen_core::units::{MoneyError, NanoUsd, Rounding};
use proptest::prelude::*;

use MoneyError::{Malformed, Negative, NotFinite, TooFine, TooLarge};
use Rounding::{Exact, Up};

fn read(text: &str, rounding: Rounding) -> Result<i64, MoneyError> {
    NanoUsd::from_decimal(text, rounding).map(NanoUsd::get)
}

fn read_f64(value: f64, rounding: Rounding) -> Result<i64, MoneyError> {
    NanoUsd::from_f64(value, rounding).map(NanoUsd::get)
}

#[test]
fn exact_text_is_that_many_nano_dollars_under_either_rounding() {
    let rows = [
        ("0", 0),
        ("5", 5_000_000_000),
        ("0.30", 300_000_000),
        ("+0.30", 300_000_000),
        ("1e-7", 100),
        ("1E+2", 100_000_000_000),
        ("1e2", 100_000_000_000),
        ("123.456e-2", 1_234_560_000),
        ("007", 7_000_000_000),
        ("0.000000001", 1),
        ("1000000000e-18", 1),
        ("-0", 0),
        ("-0.0", 0),
        ("0E-10", 0),
        ("0e999999", 0),
        ("0e999999999999999999999999999999", 0),
        ("0.000e-999999999999999999999999999999", 0),
        ("9223372036", 9_223_372_036_000_000_000),
        ("9223372036.000000000", 9_223_372_036_000_000_000),
        ("0.000000000009223372036e21", 9_223_372_036_000_000_000),
    ];
    for (text, nano) in rows {
        assert_eq!(read(text, Exact), Ok(nano), "{text}");
        assert_eq!(read(text, Up), Ok(nano), "{text}");
    }
}

#[test]
fn a_fraction_of_a_nano_dollar_is_a_fault_where_exact_and_a_whole_one_where_up() {
    let rows = [
        ("0.30000000000000004", Ok(300_000_000), 300_000_001),
        ("0.29999999999999998", Ok(300_000_000), 300_000_000),
        ("1e-9", Ok(1), 1),
        ("1e-12", Ok(0), 1),
        ("1.000000000001", Ok(1_000_000_000), 1_000_000_001),
        ("1.0000000000010", Ok(1_000_000_000), 1_000_000_001),
        ("1.00000000000100000001", Err(TooFine), 1_000_000_001),
        ("1.000000000998999999", Err(TooFine), 1_000_000_001),
        ("1.000000000999", Ok(1_000_000_001), 1_000_000_001),
        ("1.00000000099900000001", Ok(1_000_000_001), 1_000_000_001),
        ("1e-13", Ok(0), 1),
        ("1e-999999999999999999999", Ok(0), 1),
        ("5e-10", Err(TooFine), 1),
        ("0.1234567891", Err(TooFine), 123_456_790),
        ("9223372035.9999999999999", Ok(9_223_372_036_000_000_000), 9_223_372_036_000_000_000),
    ];
    for (text, exact, up) in rows {
        assert_eq!(read(text, Exact), exact, "{text}");
        assert_eq!(read(text, Up), Ok(up), "{text}");
    }
}

#[test]
fn what_is_no_amount_of_money_is_refused_with_its_reason() {
    let rows = [
        ("", Malformed),
        ("+", Malformed),
        ("-", Malformed),
        (".", Malformed),
        (".5", Malformed),
        ("5.", Malformed),
        ("1e", Malformed),
        ("1e+", Malformed),
        ("1e1.5", Malformed),
        ("--1", Malformed),
        ("+-1", Malformed),
        ("1_000", Malformed),
        ("1,000", Malformed),
        (" 1", Malformed),
        ("1\n", Malformed),
        ("0x10", Malformed),
        ("$5", Malformed),
        ("\u{661}", Malformed),
        ("true", Malformed),
        ("-x", Malformed),
        ("NaN", NotFinite),
        ("nan", NotFinite),
        ("inf", NotFinite),
        ("-Infinity", NotFinite),
        ("-1", Negative),
        ("-1e-400", Negative),
        ("-1e400", Negative),
        ("9223372037", TooLarge),
        ("9223372036.000000001", TooLarge),
        ("9223372036.5", TooLarge),
        ("1e10", TooLarge),
        ("1e999999999", TooLarge),
        ("1e999999999999999999999999999999", TooLarge),
        ("0.0001e99", TooLarge),
        ("99999999999999999999999999999999999999999999", TooLarge),
    ];
    for (text, reason) in rows {
        assert_eq!(read(text, Exact), Err(reason), "{text}");
        assert_eq!(read(text, Up), Err(reason), "{text}");
    }
}

#[test]
fn a_float_is_the_shortest_text_that_reads_back_to_it() {
    let sum = 0.1_f64 + 0.2;
    let rows = [
        (0.0, Ok(0), Ok(0)),
        (-0.0, Ok(0), Ok(0)),
        (0.1, Ok(100_000_000), Ok(100_000_000)),
        (sum, Ok(300_000_000), Ok(300_000_001)),
        (0.3, Ok(300_000_000), Ok(300_000_000)),
        (1e-9, Ok(1), Ok(1)),
        (5e-324, Ok(0), Ok(1)),
        (1.5e-9, Err(TooFine), Ok(2)),
        (999_999.999_999_999, Ok(999_999_999_999_999), Ok(999_999_999_999_999)),
        (1_000_000.1, Ok(1_000_000_100_000_000), Ok(1_000_000_100_000_000)),
        (9_223_372_036.0, Ok(9_223_372_036_000_000_000), Ok(9_223_372_036_000_000_000)),
        (9_223_372_036.000_002, Err(TooLarge), Err(TooLarge)),
        (f64::MAX, Err(TooLarge), Err(TooLarge)),
        (-5e-324, Err(Negative), Err(Negative)),
        (-1.0, Err(Negative), Err(Negative)),
        (f64::NAN, Err(NotFinite), Err(NotFinite)),
        (f64::INFINITY, Err(NotFinite), Err(NotFinite)),
        (f64::NEG_INFINITY, Err(NotFinite), Err(NotFinite)),
    ];
    for (value, exact, up) in rows {
        assert_eq!(read_f64(value, Exact), exact, "{value:e}");
        assert_eq!(read_f64(value, Up), up, "{value:e}");
    }
}

#[test]
fn an_amount_is_written_as_the_shortest_exact_text() {
    let rows = [
        (0, "0"),
        (1, "0.000000001"),
        (300_000_000, "0.3"),
        (12_000_000_000, "12"),
        (10_000_000_010, "10.00000001"),
        (-1_500_000_000, "-1.5"),
        (i64::MAX, "9223372036.854775807"),
        (i64::MIN, "-9223372036.854775808"),
    ];
    for (nano, text) in rows {
        assert_eq!(NanoUsd::new(nano).to_decimal(), text);
    }
}

#[test]
fn every_fault_says_something_of_its_own() {
    let faults = [Malformed, NotFinite, Negative, TooLarge, TooFine];
    for (position, fault) in faults.iter().enumerate() {
        assert_eq!(fault.to_string(), fault.message());
        assert!(faults[..position].iter().all(|other| other.message() != fault.message()));
    }
}

/// Floats as they occur: sums and products of prices, whole nano-dollars, and any bit pattern at all.
fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0..20_000_000_000_000_000_u64).prop_map(|nano| nano as f64 / 1e9),
        (0..1_000_000_u32, 0..1_000_u32)
            .prop_map(|(cents, times)| f64::from(cents) / 100.0 * f64::from(times)),
        any::<u64>().prop_map(f64::from_bits),
    ]
}

proptest! {
    #[test]
    fn a_float_reads_as_its_text(value in floats()) {
        for rounding in [Exact, Up] {
            prop_assert_eq!(read_f64(value, rounding), read(&format!("{value:?}"), rounding));
            prop_assert_eq!(read_f64(value, rounding), read(&format!("{value:e}"), rounding));
        }
    }

    #[test]
    fn an_amount_reads_back_from_its_text_and_wherever_the_point_stands(
        nano in 0..=NanoUsd::MAX_STATED.get(), zeros in 0..40_usize, shift in 0..60_i32,
    ) {
        let text = NanoUsd::new(nano).to_decimal();
        prop_assert_eq!(read(&text, Exact), Ok(nano));
        let padded = format!("{}{nano}{}e{}", "0".repeat(zeros), "0".repeat(zeros), -9 - zeros as i32);
        prop_assert_eq!(read(&padded, Exact), Ok(nano));
        let small = format!("0.{}{nano:019}e{}", "0".repeat(shift as usize), shift + 10);
        prop_assert_eq!(read(&small, Up), Ok(nano));
    }

    #[test]
    fn no_text_panics(text in "[-+0-9.eE_ naif]{0,40}") {
        let _ = (read(&text, Exact), read(&text, Up));
    }

    #[test]
    fn up_is_the_least_amount_that_is_not_below(units in 0..10_u128.pow(21), digits in 9..24_u32) {
        let scale = 10_u128.pow(digits);
        let text = format!("{}.{:0width$}", units / scale, units % scale, width = digits as usize);
        let fine = 10_u128.pow(digits - 9);
        let nano = i64::try_from(units.div_ceil(fine)).ok();
        prop_assert_eq!(read(&text, Up).ok(), nano.filter(|nano| *nano <= NanoUsd::MAX_STATED.get()));
    }
}
