//! Expressions by the hundred thousand: what is right, what is nearly right, and what is neither.
//!
//! Whatever the crate's own interpreter says of an expression that we take, we say too, but for a few differences that
//! are meant, each of them a row.

use std::collections::HashMap;

use cel::{Context, Program, Value};
use limen_core::routing::cel::{Expression, Variables};

/// A small generator: the same figures in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn truth(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .one(&["true", "false", "has(headers.a)", "'b' in headers", "model == 'gpt'"])
                .to_owned();
        }
        let depth = depth - 1;
        match self.below(14) {
            0 => format!("{} && {}", self.truth(depth), self.truth(depth)),
            1 => format!("{} || {}", self.truth(depth), self.truth(depth)),
            2 => format!("({} || {}) && {}", self.truth(depth), self.truth(depth), self.truth(depth)),
            3 => format!("!({})", self.truth(depth)),
            4 => format!("({} ? {} : {})", self.truth(depth), self.truth(depth), self.truth(depth)),
            5 | 6 => {
                let order = self.one(&["==", "!=", "<", "<=", ">", ">="]);
                format!("{} {order} {}", self.text(depth), self.text(depth))
            }
            7 => {
                let order = self.one(&["==", "!=", "<", "<=", ">", ">="]);
                format!("{} {order} {}", self.int(depth), self.int(depth))
            }
            8 => {
                let order = self.one(&["==", "!=", "<", "<=", ">", ">="]);
                format!("{} {order} {}", self.double(depth), self.double(depth))
            }
            9 => format!("{} in [{}, {}]", self.text(depth), self.text(depth), self.text(depth)),
            10 => format!("{} in [{}, {}]", self.int(depth), self.int(depth), self.int(depth)),
            11 => {
                let part = self.one(&["startsWith", "endsWith", "contains"]);
                format!("{}.{part}({})", self.receiver(depth), self.text(depth))
            }
            12 => {
                let pattern = self
                    .one(&["^g", "t$", "^(a|b)*$", "[a-c]+x?", "p{1,2}", "(?i)GP", "", "a.c", "é", "[^g]p"]);
                format!("{}.matches('{pattern}')", self.receiver(depth))
            }
            _ => format!("{} in {}", self.text(depth), self.one(&["headers", "params"])),
        }
    }

    fn receiver(&mut self, depth: usize) -> String {
        format!("({})", self.text(depth))
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 || self.below(3) == 0 {
            let leaves = [
                "model",
                "provider",
                "team_id",
                "customer_id",
                "'gpt'",
                "\"a\"",
                "''",
                "r'\\d'",
                "'\\u00e9'",
                "headers.a",
                "headers['b']",
                "params.none",
                "'abc'",
                "headers[model]",
            ];
            return self.one(&leaves).to_owned();
        }
        match self.below(3) {
            0 => format!("{} + {}", self.text(depth - 1), self.text(depth - 1)),
            1 => format!("({} ? {} : {})", self.truth(depth - 1), self.text(depth - 1), self.text(depth - 1)),
            _ => self.text(0),
        }
    }

    fn int(&mut self, depth: usize) -> String {
        if depth == 0 || self.below(3) == 0 {
            let leaves =
                ["0", "1", "-1", "7", "9223372036854775807", "-9223372036854775808", "size(model)", "0x1f"];
            return self.one(&leaves).to_owned();
        }
        match self.below(4) {
            0 => format!("-({})", self.int(depth - 1)),
            1 => format!("size({})", self.text(depth - 1)),
            _ => {
                let sum = self.one(&["+", "-", "*", "/", "%"]);
                format!("({} {sum} {})", self.int(depth - 1), self.int(depth - 1))
            }
        }
    }

    fn double(&mut self, depth: usize) -> String {
        if depth == 0 || self.below(3) == 0 {
            return self
                .one(&["0.0", "1.5", "-2.5", "1e30", "budget_used", "tokens_used", "request"])
                .to_owned();
        }
        match self.below(4) {
            // Never by zero: of what is no number theirs has no order.
            0 => format!("({} / 2.5)", self.double(depth - 1)),
            _ => {
                let sum = self.one(&["+", "-", "*"]);
                format!("({} {sum} {})", self.double(depth - 1), self.double(depth - 1))
            }
        }
    }

    /// The text with a few letters changed, doubled or left out.
    fn mutated(&mut self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(3) {
            let at = self.below(letters.len().max(1));
            let new = self.one(&[
                "(",
                ")",
                "[",
                "]",
                "{",
                "}",
                "'",
                "\"",
                "\\",
                "`",
                "!",
                "-",
                ".",
                "?",
                ":",
                "&",
                "|",
                "=",
                "<",
                "/",
                ",",
                "0",
                "9",
                "e",
                "x",
                "u",
                "b",
                "r",
                "\0",
                "é",
                "\u{1f600}",
                "\n",
                "\r",
                " ",
                "in ",
                "has(",
                "&&",
                "//",
                "'''",
                "all(x, ",
                "1e",
                "\\u",
                ".a",
                "[a]",
                "%",
                "*",
            ]);
            match self.below(3) {
                0 if at < letters.len() => {
                    letters.remove(at);
                }
                1 if at < letters.len() => letters[at] = new.chars().next().unwrap_or(' '),
                _ => letters.splice(at..at, new.chars()).for_each(drop),
            }
        }
        letters.into_iter().collect()
    }

    fn garbage(&mut self) -> String {
        let words = [
            "(", ")", "[", "]", "{", "}", "'", "\"", "model", "headers", "1", "1.5", "==", "&&", "||", "!",
            "-", "+", "?", ":", ".", ",", "in", "has", "matches", "true", "null", "'a'", "b'a'", "1u", "//",
            "\n", " ", "\\", "$", "é", "\0", "size", "map", "x", "r'", "`", "\"\"\"", "\u{feff}", "_", "if",
        ];
        (0..self.below(40)).map(|_| self.one(&words)).collect()
    }
}

const HEADERS: [(&str, &str); 2] = [("a", "abc"), ("b", "é")];

fn request() -> Variables<'static> {
    Variables {
        model: "gpt",
        provider: "a",
        team_id: "abc",
        headers: &HEADERS,
        budget_used: 80.5,
        request: 100.0,
        ..Variables::default()
    }
}

fn context() -> Context<'static, 'static> {
    let request = request();
    let mut context = Context::default();
    for (name, text) in [
        ("model", request.model),
        ("provider", request.provider),
        ("request_type", ""),
        ("virtual_key_id", ""),
        ("virtual_key_name", ""),
        ("team_id", request.team_id),
        ("team_name", ""),
        ("customer_id", ""),
        ("customer_name", ""),
    ] {
        context.add_variable_from_value(name, text.to_owned());
    }
    let map = |entries: &[(&str, &str)]| -> HashMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    context.add_variable_from_value("headers", map(request.headers));
    context.add_variable_from_value("params", map(request.params));
    context.add_variable_from_value("budget_used", request.budget_used);
    context.add_variable_from_value("tokens_used", request.tokens_used);
    context.add_variable_from_value("request", request.request);
    context
}

/// What is right is taken, and means what the crate's interpreter says.
#[test]
fn ours_and_the_crates_interpreter_agree_on_what_is_right() {
    let (mut chance, context, request) = (Chance(1), context(), request());
    let (mut compared, mut errors) = (0, 0);
    for _ in 0..20_000 {
        let depth = 1 + chance.below(3);
        let text = chance.truth(depth);
        let Ok(expression) = Expression::new(&text) else {
            // Beyond a bound: nothing else may be wrong with it.
            let refused = Expression::new(&text).expect_err("as before").message;
            assert!(
                refused.contains("nested too deeply") || refused.contains("too many"),
                "{text}: {refused}"
            );
            continue;
        };
        let ours = expression.holds(&request);
        let theirs = Program::compile(&text).expect(&text).execute(&context);
        match (ours, &theirs) {
            (Ok(ours), Ok(Value::Bool(theirs))) => assert_eq!(ours, *theirs, "{text}"),
            // Of two errors either may be told.
            (Err(_), Err(_)) => errors += 1,
            _ => panic!("{text}: ours {ours:?}, theirs {theirs:?}"),
        }
        compared += 1;
    }
    assert!(compared > 15_000, "{compared}");
    assert!(errors > 500, "{errors}");
}

#[test]
fn ours_differs_where_it_is_meant_to() {
    let (context, request) = (context(), request());
    for (text, ours, theirs) in [
        // What is no number is unequal to all, and neither more nor less: an answer, not an error.
        ("0.0 / 0.0 < 1.0", Ok(false), "error"),
        // Beyond 2^53 an int is not the double next to it.
        ("9007199254740993 == 9007199254740992.0", Ok(false), "true"),
        ("9007199254740993 > 9007199254740992.0", Ok(true), "false"),
        // RE2's classes are of ASCII.
        ("'é'.matches('^\\\\w$')", Ok(false), "true"),
        ("'\u{0663}'.matches('^\\\\d$')", Ok(false), "true"),
        // A fault of types is told when the rule is written, not when it is asked.
        ("1 + 'a' == 2", Err("two numbers"), "error"),
        ("model || true", Err("bools"), "true"),
        ("nothing == 1 || true", Err("no variable"), "true"),
        ("[1, 2].exists(x, x == 2)", Err("left out"), "true"),
    ] {
        let found = Expression::new(text);
        match (&found, ours) {
            (Ok(expression), Ok(ours)) => assert_eq!(expression.holds(&request), Ok(ours), "{text}"),
            (Err(refused), Err(says)) => assert!(refused.message.contains(says), "{text}: {refused}"),
            _ => panic!("{text}: {found:?}"),
        }
        let found = match Program::compile(text).expect(text).execute(&context) {
            Ok(Value::Bool(truth)) => truth.to_string(),
            _ => "error".to_owned(),
        };
        assert_eq!(found, theirs, "{text}");
    }
}

/// Whatever the text, it is answered: taken and evaluated, or refused at a place inside it.
#[test]
fn no_text_panics_or_hangs() {
    let (mut chance, request) = (Chance(2), request());
    let (mut taken, mut refused) = (0, 0);
    for turn in 0..100_000 {
        let depth = chance.below(4);
        let text = match turn % 4 {
            0 => chance.garbage(),
            1 => chance.truth(depth),
            _ => {
                let text = chance.truth(depth);
                chance.mutated(&text)
            }
        };
        match Expression::new(&text) {
            Ok(expression) => {
                taken += 1;
                if let Err(failure) = expression.holds(&request) {
                    assert!(expression.said(failure).starts_with("line "), "{text}");
                }
            }
            Err(fault) => {
                refused += 1;
                assert!(fault.at.offset as usize <= text.chars().count(), "{text:?}: {fault}");
                assert!(!fault.message.is_empty(), "{text:?}");
            }
        }
    }
    assert!(taken > 20_000, "{taken}");
    assert!(refused > 20_000, "{refused}");
}
