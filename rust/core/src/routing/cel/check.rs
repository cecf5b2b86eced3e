//! From the parser's tree to ours: every name known, every type right, or the place and what to write instead.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use std::borrow::Cow;

use super::bounds::{MAX_DEPTH, TOO_DEEP};
use super::names::Type;
use super::node::{Code, Id, Items, Node, Order, Span, Sum};
use super::parse::byte_of;
use super::pattern::Pattern;
use super::place::Refused;
use super::{Map, Percent, Text};

/// The number of a node and the type of its value.
pub(super) type Typed = (Id, Type);

/// An expression in the making.
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    nodes: Vec<Node>,
    parts: Vec<u16>,
    items: Vec<Id>,
    texts: String,
    pub(super) patterns: Vec<Pattern>,
    makes_texts: bool,
    depth: usize,
}

/// Check and compile a parsed expression.
pub(super) fn check(text: &str, tree: &IdedExpr) -> Result<Code, Refused> {
    let mut checker = Checker {
        text,
        nodes: Vec::new(),
        parts: Vec::new(),
        items: Vec::new(),
        texts: String::new(),
        patterns: Vec::new(),
        makes_texts: false,
        depth: 0,
    };
    let (root, is) = checker.value(tree)?;
    if is != Type::Truth {
        let message =
            format!("the expression is a {}, and must be a bool: compare it with something", is.name());
        return checker.refuse(tree, message);
    }
    Ok(Code {
        nodes: checker.nodes.into(),
        parts: checker.parts.into(),
        items: checker.items.into(),
        texts: checker.texts.into(),
        patterns: checker.patterns.into(),
        root,
        makes_texts: checker.makes_texts,
    })
}

impl Checker<'_> {
    pub(super) fn refuse<T>(
        &self,
        at: &IdedExpr,
        message: impl Into<Cow<'static, str>>,
    ) -> Result<T, Refused> {
        Err(Refused::new(self.text, byte_of(self.text, at), message))
    }

    pub(super) fn push(&mut self, of: &IdedExpr, node: Node) -> Id {
        self.makes_texts |= matches!(node, Node::Join(..) | Node::Lower(_));
        // The bounds on the text keep both far below 65,536.
        self.parts.push(of.id as u16);
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    fn constant(&mut self, text: &str) -> Span {
        let first = self.texts.len() as u16;
        self.texts.push_str(text);
        Span { first, len: text.len() as u16 }
    }

    fn run_of(&mut self, ids: &[Id]) -> Items {
        let first = self.items.len() as u16;
        self.items.extend_from_slice(ids);
        Items { first, len: ids.len() as u16 }
    }

    /// Any expression; a map has no node.
    pub(super) fn value(&mut self, of: &IdedExpr) -> Result<Typed, Refused> {
        if self.depth == MAX_DEPTH {
            return self.refuse(of, TOO_DEEP);
        }
        self.depth += 1;
        let found = match &of.expr {
            Expr::Literal(literal) => self.literal(of, literal),
            Expr::Ident(name) => self.variable(of, name),
            Expr::Select(select) => self.select(of, select),
            Expr::Call(call) => self.call(of, call),
            Expr::List(_) => {
                self.refuse(of, "a list stands on the right of \"in\" only: write model in [\"a\", \"b\"]")
            }
            Expr::Map(_) | Expr::Struct(_) => {
                self.refuse(of, "maps of one's own are left out: write a condition for each entry, joined by ||")
            }
            Expr::Comprehension(_) => self.refuse(
                of,
                "all, exists, exists_one, filter and map are left out: write a condition for each case, joined by && or ||",
            ),
            Expr::Unspecified => self.refuse(of, "this is not an expression"),
        }?;
        self.depth -= 1;
        Ok(found)
    }

    fn literal(&mut self, of: &IdedExpr, literal: &LiteralValue) -> Result<Typed, Refused> {
        let (node, is) = match literal {
            LiteralValue::Boolean(truth) => (Node::Truth(*truth.inner()), Type::Truth),
            LiteralValue::Int(number) => (Node::Int(*number.inner()), Type::Int),
            LiteralValue::Double(number) => (Node::Double(*number.inner()), Type::Double),
            LiteralValue::String(text) => (Node::Constant(self.constant(text.inner())), Type::Text),
            LiteralValue::UInt(_) => {
                return self.refuse(of, "unsigned numbers are left out: write it without u");
            }
            LiteralValue::Bytes(_) => return self.refuse(of, "bytes are left out: write it without b"),
            LiteralValue::Null => {
                return self.refuse(
                    of,
                    "null is left out: what is absent is \"\", and has(headers.x) asks for an entry",
                );
            }
        };
        Ok((self.push(of, node), is))
    }

    fn variable(&mut self, of: &IdedExpr, name: &str) -> Result<Typed, Refused> {
        if let Some(found) = Text::find(name) {
            return Ok((self.push(of, Node::Variable(found)), Type::Text));
        }
        if let Some(found) = Percent::find(name) {
            return Ok((self.push(of, Node::Percent(found)), Type::Double));
        }
        if let Some(found) = Map::find(name) {
            return Ok((0, Type::Map(found)));
        }
        let texts = Text::ALL.iter().map(|text| text.name());
        let maps = Map::ALL.iter().map(|map| map.name());
        let known: Vec<&str> = texts.chain(maps).chain(Percent::ALL.iter().map(|one| one.name())).collect();
        self.refuse(of, format!("there is no variable {name:?}: there are {}", known.join(", ")))
    }

    /// `headers.x`, and `has(headers.x)`.
    fn select(&mut self, of: &IdedExpr, select: &SelectExpr) -> Result<Typed, Refused> {
        let (_, is) = self.value(&select.operand)?;
        let Type::Map(map) = is else {
            let message =
                format!("a {} has no entries: headers and params have, as in headers[\"x\"]", is.name());
            return self.refuse(of, message);
        };
        let span = self.constant(&select.field);
        let key = self.push(of, Node::Constant(span));
        Ok(match select.test {
            true => (self.push(of, Node::HasEntry(map, key)), Type::Truth),
            false => (self.push(of, Node::Entry(map, key)), Type::Text),
        })
    }

    fn call(&mut self, of: &IdedExpr, call: &CallExpr) -> Result<Typed, Refused> {
        match (&call.target, &*call.args, &*call.func_name) {
            (None, [_, _], operators::LOGICAL_AND | operators::LOGICAL_OR) => self.logic(of, &call.func_name),
            (None, [one], operators::LOGICAL_NOT) => {
                let (id, _) = self.of_type(one, Type::Truth, "! stands before a bool")?;
                Ok((self.push(of, Node::Not(id)), Type::Truth))
            }
            (None, [one], operators::NEGATE) => match self.value(one)? {
                (id, is @ (Type::Int | Type::Double)) => Ok((self.push(of, Node::Negative(id)), is)),
                (_, is) => self.refuse(one, format!("- stands before a number, and this is a {}", is.name())),
            },
            (None, [condition, yes, no], operators::CONDITIONAL) => self.conditional(of, condition, yes, no),
            (None, [left, right], operators::IN) => self.among(of, left, right),
            (None, [map, key], operators::INDEX) => self.entry(of, map, key),
            (None, [left, right], name) => match (order_of(name), sum_of(name)) {
                (Some(order), _) => self.comparison(of, order, left, right),
                (_, Some(sum)) => self.sum(of, sum, left, right),
                _ => self.function(of, call),
            },
            _ => self.function(of, call),
        }
    }

    pub(super) fn of_type(&mut self, of: &IdedExpr, wanted: Type, must: &str) -> Result<Typed, Refused> {
        match self.value(of)? {
            found if found.1 == wanted => Ok(found),
            (_, is) => self.refuse(of, format!("{must}, and this is a {}", is.name())),
        }
    }

    /// The parts of a chain of `&&` or `||`, which the parser has put into a tree.
    fn logic(&mut self, of: &IdedExpr, name: &str) -> Result<Typed, Refused> {
        fn parts<'e>(of: &'e IdedExpr, name: &str, found: &mut Vec<&'e IdedExpr>) {
            match &of.expr {
                Expr::Call(call) if call.func_name == name && call.target.is_none() => {
                    call.args.iter().for_each(|part| parts(part, name, found));
                }
                _ => found.push(of),
            }
        }
        let mut found = Vec::new();
        parts(of, name, &mut found);
        let must = if name == operators::LOGICAL_AND { "&& joins bools" } else { "|| joins bools" };
        let mut ids = Vec::with_capacity(found.len());
        for part in found {
            ids.push(self.of_type(part, Type::Truth, must)?.0);
        }
        let items = self.run_of(&ids);
        let node = if name == operators::LOGICAL_AND { Node::Every(items) } else { Node::Any(items) };
        Ok((self.push(of, node), Type::Truth))
    }

    fn conditional(
        &mut self,
        of: &IdedExpr,
        condition: &IdedExpr,
        yes: &IdedExpr,
        no: &IdedExpr,
    ) -> Result<Typed, Refused> {
        let (condition, _) = self.of_type(condition, Type::Truth, "a bool stands before ?")?;
        let (yes, is) = self.value(yes)?;
        let (other, other_is) = self.value(no)?;
        if is != other_is || matches!(is, Type::Map(_)) {
            let message = format!(
                "both answers of a condition have one type, and these are {} and {}",
                is.name(),
                other_is.name()
            );
            return self.refuse(no, message);
        }
        Ok((self.push(of, Node::If(condition, yes, other)), is))
    }

    fn comparison(
        &mut self,
        of: &IdedExpr,
        order: Order,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Typed, Refused> {
        let (a, left_is) = self.value(left)?;
        let (b, right_is) = self.value(right)?;
        let equality = matches!(order, Order::Equal | Order::Unequal);
        let node = match (left_is, right_is) {
            (Type::Text, Type::Text) => match (self.nodes[usize::from(a)], self.nodes[usize::from(b)]) {
                (Node::Variable(name), Node::Constant(span))
                | (Node::Constant(span), Node::Variable(name))
                    if equality =>
                {
                    Node::Is(name, order == Order::Equal, span)
                }
                _ => Node::CompareTexts(order, a, b),
            },
            (left, right) if left.is_number() && right.is_number() => Node::CompareNumbers(order, a, b),
            (Type::Truth, Type::Truth) if equality => Node::CompareTruths(order, a, b),
            (Type::Truth, Type::Truth) => return self.refuse(of, "bools have no order: write a && !b"),
            (left_is, right_is) => return self.refuse(of, not_compared(left_is, right_is)),
        };
        Ok((self.push(of, node), Type::Truth))
    }

    fn sum(&mut self, of: &IdedExpr, sum: Sum, left: &IdedExpr, right: &IdedExpr) -> Result<Typed, Refused> {
        let (a, left_is) = self.value(left)?;
        let (b, right_is) = self.value(right)?;
        match (left_is, right_is, sum) {
            (Type::Text, Type::Text, Sum::Plus) => Ok((self.push(of, Node::Join(a, b)), Type::Text)),
            (Type::Double, Type::Double, Sum::Rest) => self.refuse(of, "% is for ints"),
            (Type::Int, Type::Int, _) | (Type::Double, Type::Double, _) => {
                Ok((self.push(of, Node::Sum(sum, a, b)), left_is))
            }
            (Type::Int, Type::Double, _) | (Type::Double, Type::Int, _) => {
                self.refuse(of, "an int and a double are only compared: write 2.0 for 2")
            }
            (left, right, _) => self
                .refuse(of, format!("this is for two numbers, not for {} and {}", left.name(), right.name())),
        }
    }

    fn entry(&mut self, of: &IdedExpr, map: &IdedExpr, key: &IdedExpr) -> Result<Typed, Refused> {
        if matches!(map.expr, Expr::List(_)) {
            return self.refuse(of, "entries of lists are left out: write the value itself");
        }
        let (_, is) = self.value(map)?;
        let Type::Map(map) = is else {
            return self.refuse(of, format!("a {} has no entries: headers and params have", is.name()));
        };
        let (key, _) = self.of_type(key, Type::Text, "the key of an entry is a string")?;
        Ok((self.push(of, Node::Entry(map, key)), Type::Text))
    }

    /// `in`, of a map's keys or of a list.
    fn among(&mut self, of: &IdedExpr, value: &IdedExpr, within: &IdedExpr) -> Result<Typed, Refused> {
        let (id, is) = self.value(value)?;
        if matches!(is, Type::Map(_)) {
            return self.refuse(value, "a map is in nothing: ask for an entry, as in headers[\"x\"]");
        }
        let Some(items) = list(within) else {
            return match self.value(within)? {
                (_, Type::Map(map)) if is == Type::Text => {
                    Ok((self.push(of, Node::HasEntry(map, id)), Type::Truth))
                }
                (_, Type::Map(_)) => self.refuse(value, "the keys of a map are strings"),
                (_, Type::Text) => {
                    self.refuse(of, "\"in\" asks a list or a map: write model.contains(\"x\")")
                }
                (_, within_is) => self.refuse(
                    within,
                    format!("\"in\" asks a list or a map, and this is a {}", within_is.name()),
                ),
            };
        };
        let mut ids = Vec::with_capacity(items.len());
        for item in items {
            let (item_id, item_is) = self.value(item)?;
            if item_is != is && !(item_is.is_number() && is.is_number()) {
                return self.refuse(item, not_compared(is, item_is));
            }
            ids.push(item_id);
        }
        let constants = ids.iter().all(|id| matches!(self.nodes[usize::from(*id)], Node::Constant(_)));
        if is == Type::Text && constants {
            ids.sort_by_key(|id| match self.nodes[usize::from(*id)] {
                Node::Constant(span) => {
                    let first = usize::from(span.first);
                    self.texts[first..first + usize::from(span.len)].to_owned()
                }
                _ => String::new(),
            });
        }
        let items = self.run_of(&ids);
        let node = match is {
            Type::Text if constants => Node::AmongConstants(id, items),
            Type::Text => Node::AmongTexts(id, items),
            Type::Int | Type::Double => Node::AmongNumbers(id, items),
            Type::Truth => Node::AmongTruths(id, items),
            Type::Map(_) => unreachable!("a map was refused above"),
        };
        Ok((self.push(of, node), Type::Truth))
    }
}

/// The items of a list, or of lists that are joined.
fn list(of: &IdedExpr) -> Option<Vec<&IdedExpr>> {
    match &of.expr {
        Expr::List(list) if list.optional_indices.is_empty() => Some(list.elements.iter().collect()),
        Expr::Call(call) if call.func_name == operators::ADD => {
            let [left, right] = &*call.args else { return None };
            let mut found = list(left)?;
            found.extend(list(right)?);
            Some(found)
        }
        _ => None,
    }
}

fn not_compared(left: Type, right: Type) -> String {
    let instead = match (left, right) {
        (Type::Map(_), _) | (_, Type::Map(_)) => "ask for an entry, as in headers[\"x\"]",
        (Type::Truth, _) | (_, Type::Truth) => "write the condition by itself, or with ! before it",
        _ => "write the number in quotes where a string is meant",
    };
    format!("{} and {} are not compared: {instead}", left.name(), right.name())
}

fn order_of(name: &str) -> Option<Order> {
    Some(match name {
        operators::EQUALS => Order::Equal,
        operators::NOT_EQUALS => Order::Unequal,
        operators::LESS => Order::Less,
        operators::LESS_EQUALS => Order::AtMost,
        operators::GREATER => Order::Greater,
        operators::GREATER_EQUALS => Order::AtLeast,
        _ => return None,
    })
}

fn sum_of(name: &str) -> Option<Sum> {
    Some(match name {
        operators::ADD => Sum::Plus,
        operators::SUBSTRACT => Sum::Minus,
        operators::MULTIPLY => Sum::Times,
        operators::DIVIDE => Sum::Divide,
        operators::MODULO => Sum::Rest,
        _ => return None,
    })
}
