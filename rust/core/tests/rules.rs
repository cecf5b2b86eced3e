//! Expressions of rules: the rows of `tests/vectors/rules.json`, and texts that mean harm.

use std::process::Command;

use limen_core::routing::cel::{Expression, Facts, Map, Percent, Text, Variables, Why};
use serde_json::Value;

fn file() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/rules.json")).expect("the vectors are JSON")
}

/// A request of the file: what a row says, over what all of them have.
struct Request<'a>(&'a Value, &'a Value);

impl<'a> Request<'a> {
    fn get(&self, name: &str) -> &'a Value {
        self.1.get(name).unwrap_or(&self.0[name])
    }
}

impl Facts for Request<'_> {
    fn text(&self, name: Text) -> &str {
        self.get(name.name()).as_str().expect("a text")
    }

    fn entry(&self, map: Map, key: &str) -> Option<&str> {
        self.get(map.name()).get(key).map(|value| value.as_str().expect("a text"))
    }

    fn entries(&self, map: Map) -> usize {
        self.get(map.name()).as_object().expect("a map").len()
    }

    fn percent(&self, percent: Percent) -> f64 {
        self.get(percent.name()).as_f64().expect("a number")
    }
}

fn name_of(why: Why) -> &'static str {
    match why {
        Why::NoEntry => "no_entry",
        Why::DivisionByZero => "division_by_zero",
        Why::Overflow => "overflow",
        Why::OverBudget => "over_budget",
    }
}

fn rows<'a>(file: &'a Value, of: &str) -> &'a [Value] {
    file[of].as_array().expect("rows")
}

#[test]
fn an_expression_holds_or_fails_as_its_row_says() {
    let file = file();
    assert!(rows(&file, "holds").len() >= 120);
    for row in rows(&file, "holds") {
        let text = row["expression"].as_str().expect("a text");
        let expression = Expression::new(text).unwrap_or_else(|refused| panic!("{text}: {refused}"));
        let found = match expression.holds(&Request(&file["request"], &row["request"])) {
            Ok(holds) => Value::Bool(holds),
            Err(failure) => name_of(failure.why).into(),
        };
        assert_eq!(found, row["expected"], "{text}");
    }
}

#[test]
fn a_generated_expression_holds_as_it_did_when_others_were_asked() {
    let file = file();
    assert!(rows(&file, "generated").len() >= 500);
    for row in rows(&file, "generated") {
        let text = row["expression"].as_str().expect("a text");
        let expression = Expression::new(text).unwrap_or_else(|refused| panic!("{text}: {refused}"));
        let found = expression.holds(&Request(&file["generated_request"], row));
        assert_eq!(found.map_or("error".into(), Value::Bool), row["expected"], "{text}");
    }
}

#[test]
fn what_is_left_out_is_refused_at_its_place_with_what_to_write_instead() {
    let file = file();
    let mut wrong = Vec::new();
    for row in rows(&file, "refused") {
        let text = row["expression"].as_str().expect("a text");
        let (offset, says) =
            (row["offset"].as_u64().expect("an offset"), row["says"].as_str().expect("a text"));
        match Expression::new(text) {
            Ok(_) => wrong.push(format!("{text}: taken")),
            Err(refused) if u64::from(refused.at.offset) == offset && refused.message.contains(says) => {}
            Err(refused) => wrong.push(format!("{text}: {refused}, not {offset} {says:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_place_is_told_by_line_and_column_and_offset_in_letters() {
    for (text, place) in [
        ("é", "line 1, column 1 (offset 0)"),
        ("\"é\" == 1", "line 1, column 5 (offset 4)"),
        ("true &&\n  \"é\" == 1", "line 2, column 7 (offset 14)"),
        ("true\r\n&& 1", "line 2, column 4 (offset 9)"),
        ("true &&\n", "line 1, column 8 (offset 7)"),
    ] {
        assert_eq!(Expression::new(text).expect_err(text).at.to_string(), place, "{text:?}");
    }
}

/// Texts that are short, and would cost the parser more than a thread's stack or the evaluator more than its time.
fn hostile() -> Vec<(String, &'static str)> {
    let flat = |term: &str, by: &str, terms: usize| vec![term; terms].join(by);
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let mut found = vec![
        (flat("1", "+", 2_047), "nested too deeply"),
        (flat("1", "<", 2_047), "nested too deeply"),
        (flat("1", "*", 65), "nested too deeply"),
        (format!("{} == 33", flat("1", "+", 33)), "nested too deeply"),
        (flat("x", "&&", 1_365), "too many terms"),
        (flat("x", "||", 514), "too many terms"),
        (format!("1 in [{}]", flat("1", ",", 1_000)), "too many terms"),
        (format!("headers{}", ".a".repeat(1_000)), "nested too deeply"),
        (format!("headers{}", "[0]".repeat(1_000)), "too many terms"),
        (format!("{}true", "!".repeat(4_000)), "nested too deeply"),
        (format!("{}1 > 0", "-".repeat(4_000)), "nested too deeply"),
        (format!("{}true", "true ? true : ".repeat(200)), "nested too deeply"),
        (format!("{}true", "true ? true : ".repeat(40)), "nested too deeply"),
        (format!("true{}", " ".repeat(4_093)), "4096 bytes"),
        (format!("'{}' == ''", "ü".repeat(2_048)), "4096 bytes"),
        (format!("model.matches('{}')", "(".repeat(2_000)), "not valid"),
        (format!("model.matches('{}')", "a?".repeat(2_000)), "too large"),
        (format!("model.matches('{}')", "(a|b|ab)*".repeat(400)), ""),
        (format!("model.matches('{}a{}')", "(".repeat(40), ")*".repeat(40)), "not valid"),
        (format!("{}'a' in []", "model.matches('[a-z]{40}[0-9]{40}') && ".repeat(50)), "too large"),
        (flat("[1].map(a, [1].map(b, [1].map(c, a)))", "+", 40), "nested too deeply"),
        (nested("[1].map(x, ", ")", 30), "left out"),
    ];
    for (open, close) in [("(", ")"), ("[", "]"), ("f(", ")"), ("{1:", "}"), ("!(", ")"), ("(!f([", "]))")] {
        for depth in [33, 100, 500] {
            found.push((nested(open, close, depth), "nested too deeply"));
        }
        found.push((nested(open, close, 10), ""));
    }
    // As deep as they may be, where each level is dear.
    let mut dear = "1".to_owned();
    while let Some(next) = Some(format!("(-{dear}+1*2<3?1:2)")).filter(|next| next.matches('(').count() <= 31)
    {
        dear = next;
    }
    found.extend([
        (dear, "too deeply"),
        (nested("(", ")", 32), "must be a bool"),
        (nested("f([", "])", 16), ""),
    ]);
    found.push((format!("{} == 31", flat("1", "+", 31)), "taken"));
    found.push((format!("{} == 32", flat("1", "+", 32)), "nested too deeply"));
    found.push((format!("model in [{}]", flat("'a'", ",", 500)), "taken"));
    found.push((flat("model == 'a'", "||", 250), "taken"));
    found
}

/// What `cargo test` starts again, by itself: an overflow of the stack ends a process.
#[test]
fn no_text_overflows_the_stack_of_a_thread_with_2_mib() {
    const NAME: &str = "no_text_overflows_the_stack_of_a_thread_with_2_mib";
    if std::env::var_os("LIMEN_RULES_CHILD").is_none() {
        let program = std::env::current_exe().expect("this test has a program");
        let child = Command::new(program)
            .args(["--exact", NAME, "--nocapture"])
            .env("LIMEN_RULES_CHILD", "1")
            .output()
            .expect("it can be started again");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    let all = || {
        for (text, says) in hostile() {
            let found = Expression::new(&text).map_or_else(|refused| refused.message, |_| "taken".into());
            assert!(found.contains(says), "{text:.60}: {found}, not {says}");
        }
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(all)
        .expect("a thread")
        .join()
        .expect("no assertion");
}

#[test]
fn what_a_rule_reads_is_bounded_and_more_than_that_fails() {
    let long = "é".repeat(2_048);
    let headers: Vec<(String, String)> = (0..40).map(|n| (format!("h{n}"), long.clone())).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let request = Variables { headers: &headers, ..Variables::default() };
    let over = |part: &dyn Fn(usize) -> String, by: &str, parts: usize| {
        let text = (0..parts).map(part).collect::<Vec<_>>().join(by);
        Expression::new(&text)
            .unwrap_or_else(|refused| panic!("{refused}"))
            .holds(&request)
            .map_err(|found| found.why)
    };
    // 32 texts of 4 KiB are 128 KiB.
    assert_eq!(over(&|n| format!("headers.h{n}.contains('x')"), "||", 32), Ok(false));
    assert_eq!(over(&|n| format!("headers.h{n}.contains('x')"), "||", 33), Err(Why::OverBudget));
    assert_eq!(over(&|n| format!("headers.h{n}.matches('x')"), "||", 33), Err(Why::OverBudget));
    assert_eq!(over(&|n| format!("size(headers.h{n}) == 1"), "||", 33), Err(Why::OverBudget));
    assert_eq!(over(&|n| format!("headers.h0 == headers.h{n}"), "&&", 33), Err(Why::OverBudget));
    // Who has no budget left is not asked further, and what would absorb another error does not absorb this.
    let last = |n| if n < 33 { format!("headers.h{n}.contains('x')") } else { "true".to_owned() };
    assert_eq!(over(&last, "||", 34), Err(Why::OverBudget));
    // Made texts: 16 KiB together.
    let joined = |parts: usize| {
        let text = (0..parts).map(|n| format!("headers.h{n}.lowerAscii()")).collect::<Vec<_>>();
        let text = text.iter().map(|part| format!("{part} == ''")).collect::<Vec<_>>().join("||");
        Expression::new(&text).expect("valid").holds(&request).map_err(|found| found.why)
    };
    assert_eq!(joined(4), Ok(false));
    assert_eq!(joined(5), Err(Why::OverBudget));
}

#[test]
fn a_failure_tells_what_is_missing_and_where() {
    let said = |text: &str| {
        let expression = Expression::new(text).expect("valid");
        let failure = expression.holds(&Variables::default()).expect_err("it has no value");
        expression.said(failure)
    };
    assert_eq!(
        said("headers[\"x-tier\"] == \"a\""),
        "line 1, column 8 (offset 7): headers has no \"x-tier\""
    );
    assert_eq!(said("true && params.a == \"a\""), "line 1, column 15 (offset 14): params has no \"a\"");
    assert_eq!(said("params[model] == \"a\""), "line 1, column 7 (offset 6): params has no such entry");
    assert_eq!(said("1 / 0 > 1"), "line 1, column 3 (offset 2): a division by zero");
}

#[test]
fn the_values_a_rule_is_about_are_found_where_it_says_so() {
    let only = |text: &str| {
        let expression = Expression::new(text).expect("valid");
        expression.only(Text::Model).map(|found| found.join(" "))
    };
    for (text, found) in [
        ("model == 'a'", Some("a")),
        ("'a' == model", Some("a")),
        ("model in ['b', 'a']", Some("a b")),
        ("model in []", Some("")),
        ("model == 'a' || model in ['b', 'c']", Some("a b c")),
        ("headers.x == 'y' && (model == 'a' || model == 'b')", Some("a b")),
        ("provider == 'p' && model == 'a' && budget_used > 80", Some("a")),
        ("1 / 0 == 1 && model == 'a'", Some("a")),
        ("model == 'a' || provider == 'p'", None),
        ("model == 'a' || true", None),
        ("!(model == 'a')", None),
        ("model != 'a'", None),
        ("model == provider", None),
        ("model in ['a', provider]", None),
        ("provider == 'a'", None),
        ("true ? model == 'a' : false", None),
        ("model.startsWith('a')", None),
        ("", None),
    ] {
        assert_eq!(only(text).as_deref(), found, "{text}");
    }
}
