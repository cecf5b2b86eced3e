//! The integers and texts of a row: short where they are small.

/// Append an integer: seven bits to a byte, the lowest first; the sign in the lowest bit of all.
pub(super) fn put(row: &mut Vec<u8>, number: i64) {
    let mut left = (number << 1 ^ number >> 63) as u64;
    while left >= 0x80 {
        row.push(left as u8 | 0x80);
        left >>= 7;
    }
    row.push(left as u8);
}

pub(super) fn put_text(row: &mut Vec<u8>, text: &str) {
    put(row, text.len() as i64);
    row.extend_from_slice(text.as_bytes());
}

/// What has not been read of a row. Every reading answers None where the row does not go on so.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn number(&mut self) -> Option<i64> {
        let mut read: u64 = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            read |= bits << shift;
            if byte & 0x80 == 0 {
                return Some((read >> 1) as i64 ^ -((read & 1) as i64));
            }
        }
        None
    }

    pub(super) fn numbers<const N: usize>(&mut self) -> Option<[i64; N]> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.number()?;
        }
        Some(numbers)
    }

    /// A count of things of which each takes at least one byte: a longer one is no count.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.count()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        core::str::from_utf8(text).ok()
    }

    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integer_is_read_as_it_was_written() {
        for number in [0, 1, -1, 63, 64, -64, -65, 1 << 40, i64::MAX, i64::MIN] {
            let mut row = Vec::new();
            put(&mut row, number);
            let mut rest = Rest(&row);
            assert_eq!((rest.number(), rest.end()), (Some(number), Some(())));
            row.pop();
            assert_eq!(Rest(&row).number(), None);
        }
    }

    #[test]
    fn what_is_no_integer_is_not_read() {
        assert_eq!(Rest(&[0xff; 11]).number(), None);
        assert_eq!(Rest(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).number(), None);
    }
}
