//! Conditions of routing rules: a subset of CEL, checked and compiled when a rule is written.
//!
//! The crate's parser alone is used, behind [`bounds`]. Types, costs and evaluation are ours, so that a faulty
//! expression is refused when it is written, and none can cost much, fail loudly or allocate when it is asked.
//!
//! ```
//! use limen_core::routing::cel::{Expression, Variables};
//!
//! let expression = Expression::new("model == 'gpt-4o' && budget_used > 80").unwrap();
//! let request = Variables { model: "gpt-4o", budget_used: 80.5, ..Variables::default() };
//! assert_eq!(expression.holds(&request), Ok(true));
//!
//! let refused = Expression::new("model = 'gpt-4o'").unwrap_err();
//! assert_eq!(refused.to_string(), "line 1, column 7 (offset 6): = is not an operator: write == to compare");
//! ```

mod bounds;
mod calls;
mod check;
mod keys;
mod names;
mod node;
mod parse;
mod pattern;
mod place;
mod run;
mod variables;

pub use bounds::MAX_BYTES;
pub use names::{Facts, Map, Percent, Text};
use node::{Code, Node};
pub use place::{Place, Refused};
pub use run::{Failure, MAX_MADE, MAX_WORK, Why};
pub use variables::Variables;

/// A condition, ready to be asked.
#[derive(Debug)]
pub struct Expression {
    text: Box<str>,
    code: Code,
}

impl Expression {
    /// Check and compile a text; one without any content holds always.
    ///
    /// # Errors
    /// Where the text is faulty, too long, too deep or beyond what rules may say: the place, and what to write instead.
    pub fn new(text: &str) -> Result<Expression, Refused> {
        bounds::check(text)?;
        let code = if text.trim().is_empty() {
            Code { nodes: [Node::Truth(true)].into(), parts: [0].into(), ..Code::default() }
        } else {
            check::check(text, &parse::parse(text)?)?
        };
        Ok(Expression { text: text.into(), code })
    }

    /// The text that it was made of.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// Where it has no value, or would cost too much.
    #[inline]
    pub fn holds<F: Facts + ?Sized>(&self, facts: &F) -> Result<bool, Failure> {
        run::run(&self.code, facts)
    }

    /// A failure in words, with its place.
    #[must_use]
    pub fn said(&self, failure: Failure) -> String {
        let part = self.code.parts.get(usize::from(failure.node)).copied().unwrap_or_default();
        let at = Place::of_byte(&self.text, parse::byte_of_id(&self.text, u64::from(part)));
        match (failure.why, self.code.nodes.get(usize::from(failure.node))) {
            (Why::NoEntry, Some(Node::Entry(map, key))) => match self.code.constant(*key) {
                Some(key) => format!("{at}: {} has no {key:?}", map.name()),
                None => format!("{at}: {} has no such entry", map.name()),
            },
            (why, _) => format!("{at}: {}", why.said()),
        }
    }
}

impl Why {
    fn said(self) -> &'static str {
        match self {
            Why::NoEntry => "there is no such entry",
            Why::DivisionByZero => "a division by zero",
            Why::Overflow => "an integer beyond 64 bits",
            Why::OverBudget => "the texts of the request are too long for this expression",
        }
    }
}
