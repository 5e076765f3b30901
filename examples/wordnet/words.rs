//! Index nodes `wordnet/word/<lemma>`: the four index files, each sorted by lemma, are merged line by line, so memory
//! stays constant.
//!
//! ```text
//! lemma type synsets pointers [symbol]... senses tagged [offset]...      (wndb(5WN))
//! ```

use std::{
    io::{self, Write},
    path::Path,
};

use crate::{
    lines::{Error, Lines},
    ndjson::{Link, NodeWriter},
    synset::{self, is_licence, next},
    tables::Pos,
};

/// A line of an index file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lemma {
    /// With underscores, as in the file.
    pub(crate) text: String,
    /// Souls of its synsets.
    pub(crate) senses: Vec<String>,
}

impl Lemma {
    /// Reads a line of the index file of `file`.
    ///
    /// # Errors
    /// A sentence about the part of the line to blame.
    pub(crate) fn parse(line: &str, file: Pos) -> Result<Self, String> {
        let mut parts = line.split_ascii_whitespace();
        let text = next(&mut parts, "the lemma")?.to_owned();
        let letter = next(&mut parts, "the type")?;
        if Pos::from_letter(letter) != Some(file) {
            return Err(format!("type '{letter}' in a file of type '{}'", file.letter()));
        }
        let mut count = |what: &str| -> Result<usize, String> {
            let text = next(&mut parts, what)?;
            text.parse().map_err(|_| format!("{what} should be a number, not '{text}'"))
        };
        let synsets = count("the synset count")?;
        let pointers = count("the pointer count")?;
        // Behind the symbols stand the number of senses and of those that are tagged.
        let mut rest = parts.skip(pointers.saturating_add(2));
        let mut senses = Vec::new();
        for _ in 0..synsets {
            let offset = synset::offset(next(&mut rest, "an offset")?, "an offset")?;
            senses.push(synset::soul(file, offset));
        }
        Ok(Self { text, senses })
    }
}

/// An index file with its next lemma.
struct Index {
    lines: Lines,
    pos: Pos,
    head: Option<Lemma>,
}

impl Index {
    fn open(folder: &Path, pos: Pos) -> Result<Self, Error> {
        let lines = Lines::open(folder.join(format!("index.{}", pos.extension())))?;
        let mut index = Self { lines, pos, head: None };
        index.advance()?;
        Ok(index)
    }

    /// Moves to the next lemma and returns the current one.
    fn advance(&mut self) -> Result<Option<Lemma>, Error> {
        let mut following = None;
        while let Some(line) = self.lines.next_line()? {
            if !is_licence(line) {
                following = Some(Lemma::parse(line, self.pos));
                break;
            }
        }
        let following = following.transpose().map_err(|what| self.lines.error(what))?;
        if let (Some(before), Some(after)) = (&self.head, &following)
            && before.text >= after.text
        {
            return Err(self.lines.error(format!("'{}' should stand before '{}'", after.text, before.text)));
        }
        Ok(std::mem::replace(&mut self.head, following))
    }
}

/// Writes a node for each lemma of the four index files.
///
/// # Errors
/// When a file cannot be read, is not in its format, or the output fails.
pub(crate) fn write<W: Write>(folder: &Path, out: &mut NodeWriter<W>) -> Result<(), Error> {
    let mut indexes = Pos::ALL.into_iter().map(|pos| Index::open(folder, pos)).collect::<Result<Vec<_>, _>>()?;
    while let Some(text) = indexes.iter().filter_map(|index| index.head.as_ref()).map(|head| head.text.clone()).min() {
        let mut senses = Vec::new();
        for index in &mut indexes {
            if index.head.as_ref().is_some_and(|head| head.text == text)
                && let Some(lemma) = index.advance()?
            {
                senses.extend(lemma.senses.into_iter().map(Link));
            }
        }
        write_lemma(&text, senses, out)?;
    }
    Ok(())
}

fn write_lemma<W: Write>(text: &str, senses: Vec<Link>, out: &mut NodeWriter<W>) -> io::Result<()> {
    out.node(&format!("wordnet/word/{text}"), |fields| {
        fields.value("type", "word");
        fields.value("word", &*text.replace('_', " "));
        fields.set("sense", senses);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_lemma() {
        let lemma = Lemma::parse("blue_whelk n 2 3 @ ~ + 2 0 00000123 00000124  ", Pos::Noun).unwrap();
        assert_eq!(lemma.text, "blue_whelk");
        assert_eq!(lemma.senses, ["wordnet/n/00000123", "wordnet/n/00000124"]);
    }

    #[test]
    fn malformed_lines_name_the_part_to_blame() {
        for (line, blame) in [
            ("", "the lemma"),
            ("x v 1 0 1 0 00000001", "type 'v'"),
            ("x n one 0 1 0 00000001", "the synset count"),
            ("x n 2 0 1 0 00000001", "an offset"),
            ("x n 1 18446744073709551615 1 0 00000001", "an offset"),
            ("x n 1 0 1 0 1", "eight digits"),
        ] {
            let error = Lemma::parse(line, Pos::Noun).unwrap_err();
            assert!(error.contains(blame), "{line}: {error}");
        }
    }

    #[test]
    fn a_lemma_of_two_files_becomes_one_node() {
        let folder = tempfile::tempdir().unwrap();
        for (pos, text) in [
            ("noun", "  1 licence\nfall n 1 0 1 0 00000001\nzoo n 1 0 1 0 00000002\n"),
            ("verb", "fall v 1 0 1 0 00000003\n"),
            ("adj", ""),
            ("adv", "aback r 1 0 1 0 00000004\n"),
        ] {
            std::fs::write(folder.path().join(format!("index.{pos}")), text).unwrap();
        }
        let mut bytes = Vec::new();
        let mut out = NodeWriter::new(&mut bytes);
        write(folder.path(), &mut out).unwrap();
        assert_eq!(out.finish().unwrap().nodes, 3);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("{\"soul\":\"wordnet/word/aback\""));
        let fall = "{\"soul\":\"wordnet/word/fall\",\"data\":{\"type\":\"word\",\"word\":\"fall\",\
                    \"sense\":{\"@set\":[{\"#\":\"wordnet/n/00000001\"},{\"#\":\"wordnet/v/00000003\"}]}}}";
        assert_eq!(text.lines().nth(1), Some(fall));
    }

    #[test]
    fn an_unsorted_index_is_an_error_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        for pos in Pos::ALL {
            std::fs::write(folder.path().join(format!("index.{}", pos.extension())), "").unwrap();
        }
        std::fs::write(folder.path().join("index.noun"), "b n 1 0 1 0 00000001\na n 1 0 1 0 00000002\n").unwrap();
        let error = write(folder.path(), &mut NodeWriter::new(Vec::new())).unwrap_err();
        assert!(error.to_string().contains("index.noun:2: 'a' should stand before 'b'"), "{error}");
    }
}
