//! One line of a `data.*` file, as the WordNet manual page `wndb(5WN)` describes it:
//!
//! ```text
//! offset lexfile type words(hex) [word id]... pointers(dec) [symbol offset pos source/target]... [frames] | gloss
//! ```

use crate::tables::{self, Pos};

/// A synset, borrowed from its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Synset<'a> {
    /// Eight digits: where the line begins in its file.
    pub(crate) offset: &'a str,
    /// A word such as `noun` or `adjective_satellite`.
    pub(crate) pos: &'static str,
    /// A name such as `noun.animal`.
    pub(crate) lexfile: &'static str,
    /// With spaces for underscores and without the marker of an adjective's position.
    pub(crate) words: Vec<String>,
    /// Relation and soul, in the order of the line.
    pub(crate) pointers: Vec<(&'static str, String)>,
    /// The gloss without its examples.
    pub(crate) definition: String,
    /// What the gloss quotes.
    pub(crate) examples: Vec<&'a str>,
}

/// The soul of the synset at `offset` of the file of `pos`.
pub(crate) fn soul(pos: Pos, offset: &str) -> String {
    format!("wordnet/{}/{offset}", pos.letter())
}

/// Whether the line belongs to the licence at the top of each file.
pub(crate) fn is_licence(line: &str) -> bool {
    line.starts_with("  ")
}

/// Takes the next word of a line.
pub(crate) fn next<'a>(words: &mut impl Iterator<Item = &'a str>, what: &str) -> Result<&'a str, String> {
    words.next().ok_or_else(|| format!("the line ends where {what} should stand"))
}

/// Checks that a word is an offset.
pub(crate) fn offset<'a>(text: &'a str, what: &str) -> Result<&'a str, String> {
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text)
    } else {
        Err(format!("{what} should be eight digits, not '{text}'"))
    }
}

fn number(text: &str, radix: u32, what: &str) -> Result<usize, String> {
    usize::from_str_radix(text, radix).map_err(|_| format!("{what} should be a number, not '{text}'"))
}

impl<'a> Synset<'a> {
    /// Reads a line of the data file of `file`.
    ///
    /// # Errors
    /// A sentence about the part of the line to blame.
    pub(crate) fn parse(line: &'a str, file: Pos) -> Result<Self, String> {
        let (head, gloss) = line.split_once(" | ").ok_or("no ' | ' in front of the gloss")?;
        let mut parts = head.split_ascii_whitespace();
        let offset_text = offset(next(&mut parts, "the offset")?, "the offset")?;
        let lexfile_text = next(&mut parts, "the file number")?;
        let lexfile = tables::lexfile(number(lexfile_text, 10, "the file number")?)
            .ok_or_else(|| format!("no lexicographer file has the number {lexfile_text}"))?;
        let pos = pos_name(next(&mut parts, "the type")?, file)?;

        let mut words = Vec::new();
        for _ in 0..number(next(&mut parts, "the word count")?, 16, "the word count")? {
            words.push(word(next(&mut parts, "a word")?));
            number(next(&mut parts, "a word's id")?, 16, "a word's id")?;
        }
        if words.is_empty() {
            return Err("a synset has at least one word".to_owned());
        }
        let mut pointers = Vec::new();
        for _ in 0..number(next(&mut parts, "the pointer count")?, 10, "the pointer count")? {
            pointers.push(pointer(&mut parts, file)?);
        }
        // What may follow are the sentence frames of verbs, which become no field.
        if let Some(extra) = parts.next()
            && file != Pos::Verb
        {
            return Err(format!("'{extra}' stands behind the last pointer"));
        }
        let (definition, examples) = split_gloss(gloss.trim_ascii());
        Ok(Self { offset: offset_text, pos, lexfile, words, pointers, definition, examples })
    }
}

fn pos_name(letter: &str, file: Pos) -> Result<&'static str, String> {
    match (letter, file) {
        ("n", Pos::Noun) => Ok("noun"),
        ("v", Pos::Verb) => Ok("verb"),
        ("a", Pos::Adjective) => Ok("adjective"),
        ("s", Pos::Adjective) => Ok("adjective_satellite"),
        ("r", Pos::Adverb) => Ok("adverb"),
        _ => Err(format!("type '{letter}' in a file of type '{}'", file.letter())),
    }
}

/// `(p)`, `(a)` and `(ip)` behind an adjective say where it may stand; they are no part of the word.
fn word(text: &str) -> String {
    let bare = ["(p)", "(a)", "(ip)"].iter().find_map(|marker| text.strip_suffix(marker)).unwrap_or(text);
    bare.replace('_', " ")
}

fn pointer<'a>(parts: &mut impl Iterator<Item = &'a str>, from: Pos) -> Result<(&'static str, String), String> {
    let symbol = next(parts, "a pointer's symbol")?;
    let relation = tables::relation(symbol, from).ok_or_else(|| format!("'{symbol}' is no pointer symbol"))?;
    let target = offset(next(parts, "a pointer's offset")?, "a pointer's offset")?;
    let letter = next(parts, "a pointer's type")?;
    let pos = Pos::from_letter(letter).ok_or_else(|| format!("'{letter}' is no type of a pointer"))?;
    // Which word points at which: the relation is kept between the synsets.
    number(next(parts, "a pointer's source and target")?, 16, "a pointer's source and target")?;
    Ok((relation, soul(pos, target)))
}

/// Parts of a gloss are separated by `; ` outside quotes. Those that begin with a quote are examples; an attribution
/// behind the closing quote stays with its example.
fn split_gloss(gloss: &str) -> (String, Vec<&str>) {
    let mut definition = String::new();
    let mut examples = Vec::new();
    for part in parts_of(gloss) {
        if !part.starts_with('"') {
            if !definition.is_empty() {
                definition.push_str("; ");
            }
            definition.push_str(part);
        } else if part.matches('"').count() == 2 && part.ends_with('"') {
            examples.push(&part[1..part.len() - 1]);
        } else {
            examples.push(part);
        }
    }
    (definition, examples)
}

fn parts_of(gloss: &str) -> Vec<&str> {
    let mut quoted = false;
    let parts = gloss.split(|c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    parts.map(str::trim_ascii).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "00000123 05 n 02 blue_whelk 0 sea_thing 1 003 @ 00000456 n 0000 #m 00000789 n 0000 \
                        + 00000011 s 0102 | a made-up animal; lives in tests; \"a whelk; blue\"; \"odd\" - A. Writer  ";

    #[test]
    fn a_line_becomes_a_synset() {
        let synset = Synset::parse(LINE, Pos::Noun).unwrap();
        assert_eq!(synset.offset, "00000123");
        assert_eq!((synset.pos, synset.lexfile), ("noun", "noun.animal"));
        assert_eq!(synset.words, ["blue whelk", "sea thing"]);
        let pointers: Vec<_> = synset.pointers.iter().map(|(relation, soul)| (*relation, soul.as_str())).collect();
        assert_eq!(
            pointers,
            [
                ("hypernym", "wordnet/n/00000456"),
                ("member_holonym", "wordnet/n/00000789"),
                ("derivation", "wordnet/a/00000011"),
            ]
        );
        assert_eq!(synset.definition, "a made-up animal; lives in tests");
        assert_eq!(synset.examples, ["a whelk; blue", "\"odd\" - A. Writer"]);
    }

    #[test]
    fn verbs_have_frames_and_words_are_counted_in_hexadecimal() {
        let words: String = (0..16).map(|n| format!("w{n} {n:x} ")).collect();
        let line = format!("00000001 29 v 10 {words}000 02 + 02 00 + 08 03 | to test");
        let synset = Synset::parse(&line, Pos::Verb).unwrap();
        assert_eq!(synset.words.len(), 16);
        assert_eq!(synset.words[15], "w15");
        assert!(synset.pointers.is_empty());
    }

    #[test]
    fn adjectives_lose_their_markers_and_satellites_are_told_apart() {
        let line = "00000002 00 s 02 well_made(ip) 0 fit(p) 0 001 & 00000003 a 0000 | \"no definition here\"";
        let synset = Synset::parse(line, Pos::Adjective).unwrap();
        assert_eq!(synset.words, ["well made", "fit"]);
        assert_eq!(synset.pos, "adjective_satellite");
        assert_eq!(synset.definition, "");
        assert_eq!(synset.examples, ["no definition here"]);
    }

    #[test]
    fn a_backslash_depends_on_the_file() {
        let line = |pos: &str| format!("00000002 02 {pos} 01 x 0 001 \\ 00000003 a 0101 | y");
        assert_eq!(Synset::parse(&line("r"), Pos::Adverb).unwrap().pointers[0].0, "derived_from");
        assert_eq!(Synset::parse(&line("a"), Pos::Adjective).unwrap().pointers[0].0, "pertainym");
    }

    #[test]
    fn malformed_lines_name_the_part_to_blame() {
        for (line, blame) in [
            ("00000001 05 n 01 a 0 000", "no ' | '"),
            (" | y", "ends where the offset"),
            ("0000001 05 n 01 a 0 000 | y", "the offset should be eight digits"),
            ("00000001 99 n 01 a 0 000 | y", "the number 99"),
            ("00000001 05 v 01 a 0 000 | y", "type 'v'"),
            ("00000001 05 n zz a 0 000 | y", "the word count"),
            ("00000001 05 n 00 000 | y", "at least one word"),
            ("00000001 05 n 03 a 0 b 0 000 | y", "ends where"),
            ("00000001 05 n 01 a 0 0x1 | y", "the pointer count"),
            ("00000001 05 n 01 a 0 001 ? 00000002 n 0000 | y", "'?' is no pointer symbol"),
            ("00000001 05 n 01 a 0 001 @ 2 n 0000 | y", "a pointer's offset"),
            ("00000001 05 n 01 a 0 001 @ 00000002 q 0000 | y", "'q' is no type"),
            ("00000001 05 n 01 a 0 002 @ 00000002 n 0000 | y", "ends where a pointer's symbol"),
            ("00000001 05 n 01 a 0 000 surplus | y", "'surplus'"),
        ] {
            let error = Synset::parse(line, Pos::Noun).unwrap_err();
            assert!(error.contains(blame), "{line}: {error}");
        }
    }

    #[test]
    fn no_cut_of_a_line_panics() {
        for at in 0..LINE.len() {
            let _ = Synset::parse(&LINE[..at], Pos::Noun);
            let _ = Synset::parse(&LINE[at..], Pos::Noun);
        }
    }
}
