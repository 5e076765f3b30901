//! A stream of bytes as lines.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::MAX_LINE_BYTES;

/// Cuts pieces of any size into lines, holding at most one line and one piece.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: BytesMut,
    /// Bytes at the start of `buffer` that are known to hold no newline.
    searched: usize,
    /// The rest of the current line is thrown away: it is too long.
    skipping: bool,
    number: u64,
}

/// A line and its number, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    /// Without the newline; `None` when the line is longer than [`MAX_LINE_BYTES`].
    pub(super) text: Option<Bytes>,
}

impl Lines {
    /// Takes a piece. The lines in it are then taken out by [`Self::next`].
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole line.
    pub(super) fn next(&mut self) -> Option<Line> {
        match memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            Some(at) => {
                let mut text = self.buffer.split_to(self.searched + at);
                self.buffer.advance(1);
                self.searched = 0;
                self.number += 1;
                let long = std::mem::take(&mut self.skipping) || text.len() > MAX_LINE_BYTES;
                if text.last() == Some(&b'\r') {
                    text.truncate(text.len() - 1);
                }
                Some(Line { number: self.number, text: (!long).then(|| text.freeze()) })
            }
            None => {
                if self.buffer.len() > MAX_LINE_BYTES {
                    self.buffer.clear();
                    self.skipping = true;
                }
                self.searched = self.buffer.len();
                None
            }
        }
    }

    /// What stands behind the last newline, as a line.
    pub(super) fn last(mut self) -> Option<Line> {
        if self.buffer.is_empty() && !self.skipping {
            return None;
        }
        self.buffer.extend_from_slice(b"\n");
        self.next()
    }

    /// The number of the last line that was whole.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.next() {
                out.push(line);
            }
        }
        out.extend(lines.last());
        out.into_iter().map(|line| (line.number, line.text.map(|text| text.to_vec()))).collect()
    }

    #[test]
    fn pieces_do_not_matter() {
        let whole = all(&[b"a\nbc\r\n\nd"]);
        assert_eq!(
            whole,
            [(1, Some(b"a".to_vec())), (2, Some(b"bc".to_vec())), (3, Some(vec![])), (4, Some(b"d".to_vec()))]
        );
        assert_eq!(all(&[b"a", b"\nb", b"c\r", b"\n", b"\nd"]), whole);
        assert_eq!(all(&[b"a\n"]).len(), 1);
        assert_eq!(all(&[]).len(), 0);
    }

    #[test]
    fn a_long_line_is_counted_and_not_kept() {
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(all(&[&long, &long, b"\nshort\n"]), [(1, None), (2, Some(b"short".to_vec()))]);
        assert_eq!(all(&[&long]), [(1, None)]);
        assert_eq!(all(&[&[&long[..], b"\n"].concat()]), [(1, None)]);
        let edge = &long[1..];
        assert_eq!(all(&[edge, b"\n"]), [(1, Some(edge.to_vec()))]);
        let mut lines = Lines::default();
        for _ in 0..8 {
            lines.push(&long);
            assert_eq!(lines.next(), None);
            assert!(lines.buffer.len() <= MAX_LINE_BYTES);
        }
    }

    proptest! {
        #[test]
        fn lines_joined_are_the_stream(text in "[ab\n]{0,60}", cuts in proptest::collection::vec(0_usize..60, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let read: Vec<Vec<u8>> = all(&pieces).into_iter().map(|(_, text)| text.unwrap()).collect();
            let expected: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
