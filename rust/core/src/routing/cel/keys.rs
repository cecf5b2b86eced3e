//! What an expression says of a variable before anything else is looked at: a rule for other models is not visited.

use super::node::{Id, Node};
use super::{Expression, Text};

impl Expression {
    /// The values outside which the expression is false, where it says so: by `model == "a"`, by `model in ["a"]`, by
    /// several of these joined by `||`; alone, or as a part of `&&`. (What is false decides, also beside an error.)
    #[must_use]
    pub fn only(&self, name: Text) -> Option<Vec<&str>> {
        let root = self.code.root;
        match self.code.nodes[usize::from(root)] {
            Node::Every(parts) => self.code.ids(parts).iter().find_map(|part| self.values(*part, name)),
            _ => self.values(root, name),
        }
    }

    fn values(&self, id: Id, name: Text) -> Option<Vec<&str>> {
        let code = &self.code;
        match code.nodes[usize::from(id)] {
            Node::Is(of, true, span) if of == name => Some(vec![code.span(span)]),
            Node::AmongConstants(of, items) => match code.nodes[usize::from(of)] {
                Node::Variable(of) if of == name => {
                    Some(code.ids(items).iter().filter_map(|item| code.constant(*item)).collect())
                }
                _ => None,
            },
            Node::Any(parts) => {
                let each = code.ids(parts).iter().map(|part| self.values(*part, name));
                Some(each.collect::<Option<Vec<_>>>()?.concat())
            }
            _ => None,
        }
    }
}
