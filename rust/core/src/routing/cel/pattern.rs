//! `matches`: a regular expression as RE2 reads it, compiled once into a table.
//!
//! The table is a deterministic automaton: one step a byte, nothing to write to while it runs, found anywhere in the
//! text. A pattern whose table, or whose making, would be large is refused: `(?:a{1000}){1000}` before it is spelt out.
//! What RE2 reads otherwise than the crate is rewritten (`\d`, `\w`, `\s` and `\b` are ASCII there) or refused.

use regex_automata::Input;
use regex_automata::dfa::dense::{Builder, Config, DFA};
use regex_automata::dfa::{Automaton, StartKind};
use regex_automata::nfa::thompson::{self, Compiler, WhichCaptures};
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{self, Assertion, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, Flag};

/// The most that the table of one pattern, and the tables of one expression, may take.
pub(super) const MAX_TABLE: usize = 64 * 1_024;
const MAX_MAKING: usize = 256 * 1_024;
const MAX_NESTING: u32 = 32;
pub(super) const TOO_LARGE: &str =
    "the pattern is too large: use fewer or smaller repetitions, or several rules";

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern(DFA<Vec<u32>>);

impl Pattern {
    /// Compile it, or say why it cannot be.
    pub(super) fn new(text: &str) -> Result<Pattern, String> {
        let parsed = ParserBuilder::new().nest_limit(MAX_NESTING).build().parse(text);
        let parsed = parsed.map_err(|error| format!("the pattern is not valid: {}", error.kind()))?;
        let as_re2 = ast::visit(&parsed, Rewriting { text, done: 0, out: String::new() })?;
        let hir =
            regex_syntax::ParserBuilder::new().utf8(false).nest_limit(MAX_NESTING + 2).build().parse(&as_re2);
        let hir = hir.map_err(|error| format!("the pattern is not valid: {}", last_line(&error)))?;
        let compiler = thompson::Config::new()
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(MAX_MAKING))
            .utf8(false);
        let table = Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(MAX_TABLE))
            .determinize_size_limit(Some(MAX_MAKING));
        let nfa = Compiler::new().configure(compiler).build_from_hir(&hir).map_err(|_| TOO_LARGE)?;
        Builder::new().configure(table).build_from_nfa(&nfa).map(Pattern).map_err(|_| TOO_LARGE.to_owned())
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        // An error would be a byte that the table stops at, or an anchored search: it has neither.
        matches!(self.0.try_search_fwd(&Input::new(text).earliest(true)), Ok(Some(_)))
    }

    pub(super) fn size(&self) -> usize {
        self.0.memory_usage()
    }
}

/// What is wrong, without the drawing above it.
fn last_line(error: &regex_syntax::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// The pattern again, with what RE2 reads differently put in its words.
struct Rewriting<'a> {
    text: &'a str,
    /// How far the pattern is written.
    done: usize,
    out: String,
}

impl Rewriting<'_> {
    fn replace(&mut self, span: &ast::Span, by: &str) {
        self.out.push_str(&self.text[self.done..span.start.offset]);
        self.out.push_str(by);
        self.done = span.end.offset;
    }

    fn class(&mut self, class: &ClassPerl) {
        let not = if class.negated { "^" } else { "" };
        let letters = match class.kind {
            ClassPerlKind::Digit => "0-9",
            ClassPerlKind::Space => r"\t\n\f\r ",
            ClassPerlKind::Word => "0-9A-Za-z_",
        };
        self.replace(&class.span, &format!("[{not}{letters}]"));
    }

    fn assertion(&mut self, assertion: &Assertion) -> Result<(), String> {
        match assertion.kind {
            AssertionKind::WordBoundary => self.replace(&assertion.span, r"(?-u:\b)"),
            AssertionKind::NotWordBoundary => self.replace(&assertion.span, r"(?-u:\B)"),
            AssertionKind::StartLine
            | AssertionKind::EndLine
            | AssertionKind::StartText
            | AssertionKind::EndText => {}
            _ => return Err(r"the pattern has a word boundary that is left out: write \b".to_owned()),
        }
        Ok(())
    }
}

impl ast::Visitor for Rewriting<'_> {
    type Output = String;
    type Err = String;

    fn finish(mut self) -> Result<String, String> {
        self.out.push_str(&self.text[self.done..]);
        Ok(self.out)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), String> {
        let flags = match ast {
            Ast::ClassPerl(class) => {
                self.class(class);
                None
            }
            Ast::Assertion(assertion) => {
                self.assertion(assertion)?;
                None
            }
            Ast::ClassUnicode(_) => return Err(UNICODE.to_owned()),
            Ast::Flags(set) => Some(&set.flags),
            Ast::Group(group) => group.flags(),
            _ => None,
        };
        let known = [Flag::CaseInsensitive, Flag::MultiLine, Flag::DotMatchesNewLine, Flag::SwapGreed];
        let all_known = flags.is_none_or(|flags| {
            flags.items.iter().all(|item| match item.kind {
                ast::FlagsItemKind::Flag(flag) => known.contains(&flag),
                ast::FlagsItemKind::Negation => true,
            })
        });
        if all_known {
            Ok(())
        } else {
            Err("the pattern has a flag that is left out: there are i, m, s and U".to_owned())
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), String> {
        match item {
            ClassSetItem::Perl(class) => self.class(class),
            ClassSetItem::Unicode(_) => return Err(UNICODE.to_owned()),
            ClassSetItem::Bracketed(_) => {
                return Err(r"the pattern has a class within a class: write \[ for a bracket".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), String> {
        Err(r"the pattern has an operation on classes: write \& \- or \~ for the letters".to_owned())
    }
}

const UNICODE: &str = r"the pattern has a class of Unicode, which is left out: write a class such as [a-z]";
