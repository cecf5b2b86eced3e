//! The functions of an expression.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

use super::check::{Checker, Typed};
use super::names::Type;
use super::node::{Node, Part};
use super::pattern::{MAX_TABLE, Pattern, TOO_LARGE};
use super::place::Refused;

impl Checker<'_> {
    pub(super) fn function(&mut self, of: &IdedExpr, call: &CallExpr) -> Result<Typed, Refused> {
        let target = call.target.as_deref();
        match (&*call.func_name, target, &*call.args) {
            ("startsWith", Some(text), [part]) => self.part(of, Part::Start, text, part),
            ("endsWith", Some(text), [part]) => self.part(of, Part::End, text, part),
            ("contains", Some(text), [part]) => self.part(of, Part::Any, text, part),
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                self.matches(of, text, pattern)
            }
            ("size", Some(value), []) | ("size", None, [value]) => self.size(of, value),
            ("lowerAscii", Some(text), []) => {
                let (text, _) = self.of_type(text, Type::Text, "lowerAscii() is of a string")?;
                Ok((self.push(of, Node::Lower(text)), Type::Text))
            }
            (name, ..) => self.refuse(of, instead_of(name)),
        }
    }

    fn part(
        &mut self,
        of: &IdedExpr,
        part: Part,
        text: &IdedExpr,
        other: &IdedExpr,
    ) -> Result<Typed, Refused> {
        let must = "startsWith, endsWith and contains are of strings";
        let (text, _) = self.of_type(text, Type::Text, must)?;
        let (other, _) = self.of_type(other, Type::Text, must)?;
        Ok((self.push(of, Node::HasPart(part, text, other)), Type::Truth))
    }

    fn matches(&mut self, of: &IdedExpr, text: &IdedExpr, pattern: &IdedExpr) -> Result<Typed, Refused> {
        let (text, _) = self.of_type(text, Type::Text, "matches() is of a string")?;
        let Expr::Literal(LiteralValue::String(source)) = &pattern.expr else {
            let message = "the pattern of matches() is written out, so that it is compiled once: \
                           write it in quotes, or use contains()";
            return self.refuse(pattern, message);
        };
        let pattern_found = match Pattern::new(source.inner()) {
            Ok(found) => found,
            Err(message) => return self.refuse(pattern, message),
        };
        self.patterns.push(pattern_found);
        if self.patterns.iter().map(Pattern::size).sum::<usize>() > MAX_TABLE {
            return self.refuse(pattern, TOO_LARGE);
        }
        let number = (self.patterns.len() - 1) as u16;
        Ok((self.push(of, Node::Matches(text, number)), Type::Truth))
    }

    fn size(&mut self, of: &IdedExpr, value: &IdedExpr) -> Result<Typed, Refused> {
        if matches!(value.expr, Expr::List(_)) {
            return self.refuse(of, "the size of a list is known: write the number");
        }
        let node = match self.value(value)? {
            (text, Type::Text) => Node::LengthOf(text),
            (_, Type::Map(map)) => Node::EntriesOf(map),
            (_, is) => {
                return self
                    .refuse(value, format!("size() is of a string or a map, and this is a {}", is.name()));
            }
        };
        Ok((self.push(of, node), Type::Int))
    }
}

/// What to say of a function that is not there, or not with these arguments.
fn instead_of(name: &str) -> String {
    let usage = match name {
        "startsWith" | "endsWith" | "contains" | "matches" => format!("write model.{name}(\"x\")"),
        "size" => "write size(model)".to_owned(),
        "has" => "write has(headers.x), or \"x\" in headers".to_owned(),
        "lowerAscii" => "write model.lowerAscii()".to_owned(),
        "upperAscii" => "write lowerAscii() and compare with lower case".to_owned(),
        "double" | "int" | "uint" => {
            "numbers are compared as they are, and a header stays a string".to_owned()
        }
        "string" => "write the number in quotes".to_owned(),
        "timestamp" | "duration" | "now" => "times are left out: a limit has a reset_duration".to_owned(),
        _ => "there are startsWith, endsWith, contains, matches, size, has and lowerAscii".to_owned(),
    };
    match name {
        "startsWith" | "endsWith" | "contains" | "matches" | "size" | "has" | "lowerAscii" => {
            format!("{name}() is not called like this: {usage}")
        }
        _ => format!("there is no function {name:?}: {usage}"),
    }
}
