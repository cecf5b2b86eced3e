//! The compiled form: typed nodes in one list, each with the numbers of the nodes that it stands over.

use super::pattern::Pattern;

/// The number of a node; an expression has far fewer than 65,536.
pub(super) type Id = u16;

/// A run of nodes' numbers in [`Code::items`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Items {
    pub(super) first: u16,
    pub(super) len: u16,
}

/// A constant text in [`Code::texts`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: u16,
    pub(super) len: u16,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Two numbers to one; both have one type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sum {
    Plus,
    Minus,
    Times,
    Divide,
    Rest,
}

/// Which part of a text another one must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Start,
    End,
    Any,
}

/// One step. What it stands over has the type that it needs: that was checked when it was made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    // Truths
    Truth(bool),
    Not(Id),
    /// `&&` of any number.
    Every(Items),
    /// `||` of any number.
    Any(Items),
    CompareTexts(Order, Id, Id),
    CompareNumbers(Order, Id, Id),
    CompareTruths(Order, Id, Id),
    /// A text variable is, or is not, a constant: what most rules ask.
    Is(super::Text, bool, Span),
    AmongTexts(Id, Items),
    AmongNumbers(Id, Items),
    AmongTruths(Id, Items),
    /// A text is one of constants, which are in order.
    AmongConstants(Id, Items),
    HasEntry(super::Map, Id),
    HasPart(Part, Id, Id),
    Matches(Id, u16),
    // Texts
    Constant(Span),
    Variable(super::Text),
    Entry(super::Map, Id),
    Join(Id, Id),
    Lower(Id),
    // Numbers
    Int(i64),
    Double(f64),
    Percent(super::Percent),
    Negative(Id),
    Sum(Sum, Id, Id),
    LengthOf(Id),
    EntriesOf(super::Map),
    // Of any of these types
    If(Id, Id, Id),
}

/// A whole expression.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub(super) nodes: Box<[Node]>,
    /// Which part of the parser's tree each node was made of.
    pub(super) parts: Box<[u16]>,
    pub(super) items: Box<[Id]>,
    pub(super) texts: Box<str>,
    pub(super) patterns: Box<[Pattern]>,
    pub(super) root: Id,
    /// Whether it makes texts that it has to put somewhere.
    pub(super) makes_texts: bool,
}

impl Code {
    #[inline(always)]
    pub(super) fn span(&self, span: Span) -> &str {
        let first = usize::from(span.first);
        &self.texts[first..first + usize::from(span.len)]
    }

    #[inline(always)]
    pub(super) fn ids(&self, items: Items) -> &[Id] {
        let first = usize::from(items.first);
        &self.items[first..first + usize::from(items.len)]
    }

    /// The constant that a node is.
    pub(super) fn constant(&self, id: Id) -> Option<&str> {
        match self.nodes[usize::from(id)] {
            Node::Constant(span) => Some(self.span(span)),
            _ => None,
        }
    }
}
