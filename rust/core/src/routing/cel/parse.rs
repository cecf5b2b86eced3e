//! The parser of the `cel` crate: its second one, a hundredth of the size of the first and thirty times as fast.

use cel::common::ast::{Expr, IdedExpr};
use cel::parser::PrattParser;

use super::place::{Place, Refused};

/// The tree of a text that is within the bounds.
pub(super) fn parse(text: &str) -> Result<IdedExpr, Refused> {
    PrattParser::new().parse(text).map_err(|errors| refused(text, &errors))
}

/// Where a part of the tree begins, in bytes; of a call that has a name, where that does.
pub(super) fn byte_of(text: &str, part: &IdedExpr) -> usize {
    let at = byte_of_id(text, part.id);
    let before = text.get(..at).map_or("", str::trim_end);
    match &part.expr {
        Expr::Call(call) if before.ends_with(&*call.func_name) => before.len() - call.func_name.len(),
        Expr::Select(select) if select.test && before.ends_with("has") => before.len() - 3,
        _ => at,
    }
}

/// The parser tells places only of a text that it refuses. So it gets the text with a bracket too many: it numbers the
/// parts as before, and then has something to refuse. This happens once for each text that is refused by us.
pub(super) fn byte_of_id(text: &str, id: u64) -> usize {
    let faulty = PrattParser::new().parse(&format!("{text}\n)"));
    let told = faulty.err().and_then(|errors| errors.errors.into_iter().find_map(|error| error.source_info));
    told.and_then(|info| info.offset_for(id)).map_or(0, |(start, _)| start as usize)
}

/// The parser's first complaint, in our words.
fn refused(text: &str, errors: &cel::ParseErrors) -> Refused {
    let Some(first) = errors.errors.first() else {
        return Refused::new(text, 0, "this is not an expression");
    };
    let at = Place::of_column(text, first.pos.0, first.pos.1);
    let token = text.chars().nth(at.offset as usize);
    let said = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
    let message = match (said, token) {
        _ if token.is_none() || said.contains("<EOF>' expecting expr") => {
            "the expression ends too early".to_owned()
        }
        ("unexpected token", Some(token)) => format!("{token:?} is not expected here"),
        _ if said.starts_with("mismatched input") || said.starts_with("extraneous input") => {
            let token = said.split('\'').nth(1).unwrap_or_default();
            format!("{token:?} is not expected here")
        }
        _ if said.starts_with("invalid argument to has()") => {
            "has() asks for an entry by name: write has(headers.x), or \"x\" in headers".to_owned()
        }
        ("invalid int literal", _) => "an int lies between -2^63 and 2^63 - 1".to_owned(),
        _ => said.to_owned(),
    };
    Refused { at, message: message.into() }
}
