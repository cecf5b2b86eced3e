//! What a text must be before the parser sees it.
//!
//! The parser calls itself for each bracket, and its tree is walked by calls as deep as the tree: 2,047 terms of a sum
//! fit into 4 KiB and overflow the stack of a thread that has 2 MiB, and so do a hundred brackets. So the depth that the
//! tree can have is found first, from the tokens. They are read here as strictly as in the parser's grammar: a text
//! that the parser would read on behind a faulty one (`'\q((((` is such) is refused at the fault.

use super::place::Refused;

/// The longest expression, in bytes.
pub const MAX_BYTES: usize = 4_096;
/// The deepest tree.
pub(super) const MAX_DEPTH: usize = 32;
/// The most operators, separators and brackets.
const MAX_TERMS: usize = 512;
/// The deepest that a tree may seem. It seems deeper than it is where operators bind differently: `a + b * c + d * e`.
const MAX_SEEMING: usize = 2 * MAX_DEPTH;

/// How deep the tree of a text between two brackets is.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Where the bracket is, and what closes it.
    opened: usize,
    close: u8,
    /// Operators since the last `&&`, `||`, `?`, `:` or comma, each of them a step deeper for what stands before it.
    chain: usize,
    /// The deepest bracket of this chain.
    inner: usize,
    /// The deepest chain.
    deepest: usize,
    /// Conditions, each of them a step deeper for what follows.
    conditions: usize,
}

impl Level {
    fn end_chain(&mut self) {
        self.deepest = self.deepest.max(self.chain + self.inner);
        (self.chain, self.inner) = (0, 0);
    }

    fn depth(mut self) -> usize {
        self.end_chain();
        self.deepest + self.conditions + 1
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    levels: [Level; MAX_DEPTH + 1],
    open: usize,
    terms: usize,
}

/// Refuse what is too long, too deep or too much for the parser, and what is no token.
pub(super) fn check(text: &str) -> Result<(), Refused> {
    if text.len() > MAX_BYTES {
        return Err(Refused::new(text, MAX_BYTES, "an expression has at most 4096 bytes"));
    }
    let mut scan = Scan { text, at: 0, levels: [Level::default(); MAX_DEPTH + 1], open: 0, terms: 0 };
    while scan.at < text.len() {
        scan.token()?;
    }
    let level = scan.levels[scan.open];
    if scan.open > 0 {
        return Err(Refused::new(text, level.opened, "this bracket is not closed"));
    }
    scan.bounded(level.depth(), 0)
}

impl Scan<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn refused<T>(&self, message: &'static str) -> Result<T, Refused> {
        Err(Refused::new(self.text, self.at, message))
    }

    fn bounded(&self, depth: usize, at: usize) -> Result<(), Refused> {
        if depth > MAX_SEEMING {
            return Err(Refused::new(self.text, at, TOO_DEEP));
        }
        Ok(())
    }

    fn token(&mut self) -> Result<(), Refused> {
        let (first, second) = (self.byte(0), self.byte(1));
        match (first, second) {
            (b' ' | b'\t' | b'\r' | b'\n' | 0x0c, _) => self.at += 1,
            (b'/', b'/') => self.at += self.text[self.at..].find('\n').unwrap_or(self.text.len() - self.at),
            (b'"' | b'\'', _) => self.string(false)?,
            (b'a'..=b'z' | b'A'..=b'Z' | b'_', _) => self.word()?,
            (b'0'..=b'9', _) | (b'.', b'0'..=b'9') => self.number(),
            (b'(' | b'[' | b'{', _) => return self.opening(first),
            (b')' | b']' | b'}', _) => return self.closing(first),
            (b'&', b'&') | (b'|', b'|') => self.separator(2)?,
            (b',' | b':', _) => self.separator(1)?,
            (b'?', _) => {
                self.levels[self.open].conditions += 1;
                self.separator(1)?;
            }
            (b'=' | b'!' | b'<' | b'>', b'=') => self.operator(2)?,
            (b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'!' | b'.', _) => self.operator(1)?,
            (b'=', _) => return self.refused("= is not an operator: write == to compare"),
            (b'&', _) => return self.refused("& is not an operator: write && for \"and\""),
            (b'|', _) => return self.refused("| is not an operator: write || for \"or\""),
            (b'`', _) => return self.refused("names in ` are left out: write headers[\"x-name\"]"),
            _ => return self.refused("this is not part of an expression: text stands in quotes"),
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Refused> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return self
                .refused("too many terms: an expression has at most 512 operators, commas and brackets");
        }
        Ok(())
    }

    fn operator(&mut self, bytes: usize) -> Result<(), Refused> {
        self.count()?;
        self.levels[self.open].chain += 1;
        self.bounded(self.levels[self.open].chain, self.at)?;
        self.at += bytes;
        Ok(())
    }

    fn separator(&mut self, bytes: usize) -> Result<(), Refused> {
        self.count()?;
        self.levels[self.open].end_chain();
        self.at += bytes;
        Ok(())
    }

    fn opening(&mut self, bracket: u8) -> Result<(), Refused> {
        self.count()?;
        if self.open == MAX_DEPTH {
            return self.refused(TOO_DEEP);
        }
        self.open += 1;
        // In ASCII, ) follows (, and the others are two apart.
        let close = if bracket == b'(' { b')' } else { bracket + 2 };
        self.levels[self.open] = Level { opened: self.at, close, ..Level::default() };
        self.at += 1;
        Ok(())
    }

    fn closing(&mut self, bracket: u8) -> Result<(), Refused> {
        let level = self.levels[self.open];
        if self.open == 0 || level.close != bracket {
            return self.refused("this bracket closes nothing");
        }
        self.open -= 1;
        let depth = level.depth();
        self.bounded(depth, level.opened)?;
        let outer = &mut self.levels[self.open];
        outer.inner = outer.inner.max(depth);
        self.at += 1;
        Ok(())
    }

    fn word(&mut self) -> Result<(), Refused> {
        let rest = &self.text[self.at..];
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let word = &rest[..end.unwrap_or(rest.len())];
        match word {
            "and" => return self.refused("\"and\" is not an operator: write &&"),
            "or" => return self.refused("\"or\" is not an operator: write ||"),
            "not" => return self.refused("\"not\" is not an operator: write !"),
            "in" => return self.operator(2),
            _ => self.at += word.len(),
        }
        let is_prefix = matches!(word, "r" | "R" | "b" | "B" | "br" | "bR" | "Br" | "BR");
        if is_prefix && matches!(self.byte(0), b'"' | b'\'') {
            self.string(word.ends_with(['r', 'R']))?;
        }
        Ok(())
    }

    fn number(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let len = (1..rest.len())
            .find(|at| {
                let fraction = rest[*at] == b'.' && rest.get(at + 1).is_some_and(u8::is_ascii_digit);
                !rest[*at].is_ascii_alphanumeric() && !fraction
            })
            .unwrap_or(rest.len());
        self.at += len;
    }

    fn string(&mut self, raw: bool) -> Result<(), Refused> {
        let (start, quote) = (self.at, self.byte(0));
        let triple = self.byte(1) == quote && self.byte(2) == quote;
        let marks = if triple { 3 } else { 1 };
        self.at += marks;
        loop {
            let next = self.byte(0);
            let ends = next == quote && (!triple || (self.byte(1) == quote && self.byte(2) == quote));
            if ends {
                self.at += marks;
                return Ok(());
            }
            if self.at >= self.text.len() || (!triple && matches!(next, b'\n' | b'\r')) {
                self.at = start;
                return self.refused("this text is not closed");
            }
            self.at += if next == b'\\' && !raw { self.escape()? } else { 1 };
        }
    }

    /// The length of an escape sequence.
    fn escape(&self) -> Result<usize, Refused> {
        let digits = |from: usize, count: usize, radix: u32| {
            (from..from + count).all(|at| (self.byte(at) as char).is_digit(radix))
        };
        match self.byte(1) {
            b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`' => Ok(2),
            b'x' | b'X' if digits(2, 2, 16) => Ok(4),
            b'u' if digits(2, 4, 16) => Ok(6),
            b'U' if digits(2, 8, 16) => Ok(10),
            b'0'..=b'3' if digits(2, 2, 8) => Ok(4),
            _ => self.refused(
                "there is no such escape: write \\\\ for a backslash, or a raw text such as r\"\\d\"",
            ),
        }
    }
}

pub(super) const TOO_DEEP: &str = "nested too deeply: an expression has at most 32 levels, and each operator of a sum is one; join parts by && or ||";
