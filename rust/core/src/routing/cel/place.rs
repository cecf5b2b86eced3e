//! Where in an expression something is, and what is wrong there.

use core::fmt;
use std::borrow::Cow;

/// A place in an expression's text, counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// From 1, in the line.
    pub column: u32,
    /// From 0, in the whole text.
    pub offset: u32,
}

impl Place {
    /// The place of a byte.
    pub(super) fn of_byte(text: &str, byte: usize) -> Place {
        let before = text.char_indices().take_while(|(at, _)| *at < byte).map(|(_, letter)| letter);
        let mut place = Place { line: 1, column: 1, offset: 0 };
        for letter in before {
            place.step(letter);
        }
        place
    }

    /// The place of a line and a byte in it, both from 1.
    pub(super) fn of_column(text: &str, line: isize, column: isize) -> Place {
        let lines = usize::try_from(line - 1).unwrap_or_default();
        let before: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
        Place::of_byte(text, before + usize::try_from(column - 1).unwrap_or_default())
    }

    fn step(&mut self, letter: char) {
        self.offset += 1;
        (self.line, self.column) =
            if letter == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {} (offset {})", self.line, self.column, self.offset)
    }
}

/// Why a text is no expression of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where.
    pub at: Place,
    /// What a person should read: what is wrong, and what to write instead.
    pub message: Cow<'static, str>,
}

impl Refused {
    pub(super) fn new(text: &str, byte: usize, message: impl Into<Cow<'static, str>>) -> Refused {
        Refused { at: Place::of_byte(text, byte), message: message.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

impl std::error::Error for Refused {}
