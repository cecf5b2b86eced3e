//! Evaluation: a walk over the nodes, which allocates nothing and ends after a bounded amount of work.
//!
//! Each node is visited at most once, so the number of steps is bounded when the expression is written. What is left to
//! bound is the reading of texts, which come with the request: [`MAX_WORK`] bytes of them. Texts that are made (by `+`
//! and `lowerAscii`) go into one buffer of the thread, [`MAX_MADE`] bytes and no more.

use core::cell::Cell;
use core::cmp::Ordering;

use super::names::Facts;
use super::node::{Code, Id, Node, Order, Part, Sum};

/// The most bytes of text that one evaluation reads.
pub const MAX_WORK: u32 = 128 * 1_024;
/// The most bytes of text that one evaluation makes.
pub const MAX_MADE: usize = 16 * 1_024;

thread_local! {
    static MADE: Cell<String> = const { Cell::new(String::new()) };
}

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A map has no such entry.
    NoEntry,
    /// A division by zero.
    DivisionByZero,
    /// An integer beyond 64 bits.
    Overflow,
    /// More texts were read or made than one evaluation may.
    OverBudget,
}

/// An expression that has no value, and the step that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub why: Why,
    pub(super) node: Id,
}

impl Failure {
    const ALL: [Why; 4] = [Why::NoEntry, Why::DivisionByZero, Why::Overflow, Why::OverBudget];

    /// It as one word, which is not zero.
    pub(crate) fn packed(self) -> u32 {
        u32::from(self.node) << 8 | (self.why as u32 + 1)
    }

    /// What was packed; None for zero.
    pub(crate) fn unpacked(word: u32) -> Option<Failure> {
        let why = Failure::ALL.get(usize::try_from(word & 0xff).ok()?.checked_sub(1)?)?;
        Some(Failure { why: *why, node: (word >> 8) as Id })
    }
}

/// A number as it is.
#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Double(f64),
}

/// A text of the request or the expression, or a range of those that were made.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Given(&'a str),
    Made(usize, usize),
}

impl Piece<'_> {
    fn len(self) -> usize {
        match self {
            Piece::Given(text) => text.len(),
            Piece::Made(from, to) => to - from,
        }
    }
}

struct Run<'a, F: ?Sized> {
    code: &'a Code,
    facts: &'a F,
    /// Bytes that may still be read.
    left: u32,
    made: String,
}

/// Whether the expression holds.
pub(super) fn run<F: Facts + ?Sized>(code: &Code, facts: &F) -> Result<bool, Failure> {
    let mut run = Run { code, facts, left: MAX_WORK, made: String::new() };
    if !code.makes_texts {
        return run.truth(code.root);
    }
    // At the end of a thread there is no buffer any more.
    run.made = MADE.try_with(Cell::take).unwrap_or_default();
    run.made.clear();
    run.made.reserve_exact(MAX_MADE);
    let found = run.truth(code.root);
    let _ = MADE.try_with(|made| made.set(run.made));
    found
}

impl<'a, F: Facts + ?Sized> Run<'a, F> {
    #[inline(always)]
    fn node(&self, id: Id) -> Node {
        self.code.nodes[usize::from(id)]
    }

    fn truth(&mut self, id: Id) -> Result<bool, Failure> {
        Ok(match self.node(id) {
            Node::Is(name, wanted, span) => {
                let (text, other) = (self.facts.text(name), self.code.span(span));
                if text.len() == other.len() {
                    self.spend(id, text.len())?;
                }
                (text == other) == wanted
            }
            Node::Every(items) => return self.all(self.code.ids(items), true),
            Node::Any(items) => return self.all(self.code.ids(items), false).map(|all| !all),
            Node::Not(of) => !self.truth(of)?,
            Node::Truth(truth) => truth,
            Node::CompareTexts(order, left, right) => {
                let (left, right) = (self.text(left)?, self.text(right)?);
                self.spend(id, left.len().min(right.len()))?;
                order.holds(Some(self.read(left).cmp(self.read(right))))
            }
            Node::CompareNumbers(order, left, right) => {
                order.holds(compare(self.number(left)?, self.number(right)?))
            }
            Node::CompareTruths(order, left, right) => {
                order.holds(Some(self.truth(left)?.cmp(&self.truth(right)?)))
            }
            Node::AmongConstants(of, items) => {
                let of = self.text(of)?;
                self.spend(id, of.len())?;
                let text = self.read(of);
                let found = |id: &Id| self.code.constant(*id).unwrap_or_default().cmp(text);
                self.code.ids(items).binary_search_by(found).is_ok()
            }
            Node::AmongTexts(of, items) => {
                let (of, mut found) = (self.text(of)?, false);
                for item in self.code.ids(items) {
                    let item = self.text(*item)?;
                    self.spend(id, of.len().min(item.len()))?;
                    found |= self.read(of) == self.read(item);
                }
                found
            }
            Node::AmongNumbers(of, items) => {
                let (of, mut found) = (self.number(of)?, false);
                for item in self.code.ids(items) {
                    found |= compare(of, self.number(*item)?) == Some(Ordering::Equal);
                }
                found
            }
            Node::AmongTruths(of, items) => {
                let (of, mut found) = (self.truth(of)?, false);
                for item in self.code.ids(items) {
                    found |= of == self.truth(*item)?;
                }
                found
            }
            Node::HasEntry(map, key) => {
                let key = self.text(key)?;
                self.facts.entry(map, self.read(key)).is_some()
            }
            Node::HasPart(part, text, other) => {
                let (text, other) = (self.text(text)?, self.text(other)?);
                self.spend(
                    id,
                    if matches!(part, Part::Any) { text.len() } else { other.len().min(text.len()) },
                )?;
                let (text, other) = (self.read(text), self.read(other));
                match part {
                    Part::Start => text.starts_with(other),
                    Part::End => text.ends_with(other),
                    Part::Any => text.contains(other),
                }
            }
            Node::Matches(text, pattern) => {
                let text = self.text(text)?;
                self.spend(id, text.len())?;
                self.code.patterns[usize::from(pattern)].is_in(self.read(text))
            }
            Node::If(condition, yes, no) => {
                let next = if self.truth(condition)? { yes } else { no };
                return self.truth(next);
            }
            _ => unreachable!("the check gives bools where bools are wanted"),
        })
    }

    /// Whether all of the parts are `wanted`. One that is not decides, also beside one that has no value; but who ran
    /// out of budget is not asked again.
    fn all(&mut self, parts: &[Id], wanted: bool) -> Result<bool, Failure> {
        let mut failed = None;
        for part in parts {
            match self.truth(*part) {
                Ok(truth) if truth == wanted => {}
                Ok(_) => return Ok(false),
                Err(failure) if failure.why == Why::OverBudget => return Err(failure),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        failed.map_or(Ok(true), Err)
    }

    fn text(&mut self, id: Id) -> Result<Piece<'a>, Failure> {
        let (code, facts) = (self.code, self.facts);
        Ok(match self.node(id) {
            Node::Constant(span) => Piece::Given(code.span(span)),
            Node::Variable(name) => Piece::Given(facts.text(name)),
            Node::Entry(map, key) => {
                let key = self.text(key)?;
                let found = facts.entry(map, self.read(key));
                Piece::Given(found.ok_or(Failure { why: Why::NoEntry, node: id })?)
            }
            Node::Join(left, right) => {
                let (left, right) = (self.text(left)?, self.text(right)?);
                let from = self.made.len();
                self.append(id, left, false)?;
                self.append(id, right, false)?;
                Piece::Made(from, self.made.len())
            }
            Node::Lower(of) => {
                let (of, from) = (self.text(of)?, self.made.len());
                self.append(id, of, true)?;
                Piece::Made(from, self.made.len())
            }
            Node::If(condition, yes, no) => {
                let next = if self.truth(condition)? { yes } else { no };
                return self.text(next);
            }
            _ => unreachable!("the check gives strings where strings are wanted"),
        })
    }

    fn number(&mut self, id: Id) -> Result<Number, Failure> {
        Ok(match self.node(id) {
            Node::Int(number) => Number::Int(number),
            Node::Double(number) => Number::Double(number),
            Node::Percent(percent) => Number::Double(self.facts.percent(percent)),
            Node::Negative(of) => match self.number(of)? {
                Number::Int(number) => {
                    Number::Int(number.checked_neg().ok_or(Failure { why: Why::Overflow, node: id })?)
                }
                Number::Double(number) => Number::Double(-number),
            },
            Node::Sum(sum, left, right) => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                sum.of(left, right).map_err(|why| Failure { why, node: id })?
            }
            Node::LengthOf(text) => {
                let text = self.text(text)?;
                self.spend(id, text.len())?;
                Number::Int(self.read(text).chars().count() as i64)
            }
            Node::EntriesOf(map) => Number::Int(self.facts.entries(map) as i64),
            Node::If(condition, yes, no) => {
                let next = if self.truth(condition)? { yes } else { no };
                return self.number(next);
            }
            _ => unreachable!("the check gives numbers where numbers are wanted"),
        })
    }

    #[inline(always)]
    fn read<'s>(&'s self, piece: Piece<'s>) -> &'s str {
        match piece {
            Piece::Given(text) => text,
            Piece::Made(from, to) => &self.made[from..to],
        }
    }

    #[inline(always)]
    fn spend(&mut self, node: Id, bytes: usize) -> Result<(), Failure> {
        match u32::try_from(bytes).ok().and_then(|bytes| self.left.checked_sub(bytes)) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Failure { why: Why::OverBudget, node }),
        }
    }

    /// Make a text of another one. It fits into what the buffer has: nothing is allocated.
    fn append(&mut self, node: Id, piece: Piece<'_>, lower: bool) -> Result<(), Failure> {
        self.spend(node, piece.len())?;
        if self.made.len() + piece.len() > MAX_MADE {
            return Err(Failure { why: Why::OverBudget, node });
        }
        let mut at = 0;
        while let Some(letter) = self.read(piece)[at..].chars().next() {
            at += letter.len_utf8();
            self.made.push(if lower { letter.to_ascii_lowercase() } else { letter });
        }
        Ok(())
    }
}

impl Order {
    /// None where one of the two is no number: then they are unequal, and nothing else.
    fn holds(self, found: Option<Ordering>) -> bool {
        match self {
            Order::Equal => found == Some(Ordering::Equal),
            Order::Unequal => found != Some(Ordering::Equal),
            Order::Less => found == Some(Ordering::Less),
            Order::AtMost => matches!(found, Some(Ordering::Less | Ordering::Equal)),
            Order::Greater => found == Some(Ordering::Greater),
            Order::AtLeast => matches!(found, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// Numbers of either type as the numbers that they are: 2^53 + 1 is not 2^53.
fn compare(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => Some(left.cmp(&right)),
        (Number::Double(left), Number::Double(right)) => left.partial_cmp(&right),
        (Number::Int(left), Number::Double(right)) => mixed(left, right),
        (Number::Double(left), Number::Int(right)) => mixed(right, left).map(Ordering::reverse),
    }
}

fn mixed(int: i64, double: f64) -> Option<Ordering> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() {
        return None;
    }
    if double >= END {
        return Some(Ordering::Less);
    }
    if double < -END {
        return Some(Ordering::Greater);
    }
    let whole = double.trunc();
    Some(int.cmp(&(whole as i64)).then_with(|| whole.total_cmp(&double)))
}

impl Sum {
    fn of(self, left: Number, right: Number) -> Result<Number, Why> {
        match (left, right) {
            (Number::Int(left), Number::Int(right)) => {
                if right == 0 && matches!(self, Sum::Divide | Sum::Rest) {
                    return Err(Why::DivisionByZero);
                }
                let sum = match self {
                    Sum::Plus => left.checked_add(right),
                    Sum::Minus => left.checked_sub(right),
                    Sum::Times => left.checked_mul(right),
                    Sum::Divide => left.checked_div(right),
                    Sum::Rest => left.checked_rem(right),
                };
                sum.map(Number::Int).ok_or(Why::Overflow)
            }
            (Number::Double(left), Number::Double(right)) => Ok(Number::Double(match self {
                Sum::Plus => left + right,
                Sum::Minus => left - right,
                Sum::Times => left * right,
                Sum::Divide => left / right,
                Sum::Rest => unreachable!("the check gives % two ints"),
            })),
            _ => unreachable!("the check gives two numbers of one type"),
        }
    }
}
