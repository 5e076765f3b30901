//! The WordNet dictionary as a graph, one synset a node, in the NDJSON that `rustdht import` reads.
//!
//! ```text
//! cargo run --release --example wordnet -- DICT_DIR [--words] > wordnet.ndjson
//! ```

#[path = "../shared/lines.rs"]
mod lines;
#[path = "../shared/ndjson.rs"]
mod ndjson;
mod synset;
mod tables;
mod words;

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    lines::{Error, Lines},
    ndjson::{Counts, Link, NodeWriter},
    synset::{Synset, is_licence},
    tables::Pos,
};

const USAGE: &str = "usage: wordnet DICT_DIR [--words] > wordnet.ndjson
  DICT_DIR  the folder with data.noun, data.verb, data.adj and data.adv
  --words   also a node wordnet/word/<lemma> for each lemma of the index files, with links to its synsets";

fn main() -> ExitCode {
    let mut folder = None;
    let mut with_words = false;
    for argument in std::env::args_os().skip(1) {
        if argument == "--words" {
            with_words = true;
        } else if folder.is_none() && !argument.to_string_lossy().starts_with('-') {
            folder = Some(PathBuf::from(argument));
        } else {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    let Some(folder) = folder else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let out = BufWriter::with_capacity(1 << 18, io::stdout().lock());
    match convert(&folder, with_words, out) {
        Ok(Counts { nodes, fields, elements }) => {
            eprintln!("nodes={nodes} fields={fields} set_elements={elements}");
            ExitCode::SUCCESS
        }
        // A reader that has seen enough (`| head`) is no failure of ours.
        Err(Error::Write(cause)) if cause.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn convert(folder: &Path, with_words: bool, out: impl Write) -> Result<Counts, Error> {
    let mut out = NodeWriter::new(out);
    for pos in Pos::ALL {
        let mut lines = Lines::open(folder.join(format!("data.{}", pos.extension())))?;
        while let Some(line) = lines.next_line()? {
            if is_licence(line) {
                continue;
            }
            match Synset::parse(line, pos) {
                Ok(synset) => write_synset(synset, pos, &mut out)?,
                Err(what) => return Err(lines.error(what)),
            }
        }
    }
    if with_words {
        words::write(folder, &mut out)?;
    }
    Ok(out.finish()?)
}

fn write_synset<W: Write>(synset: Synset<'_>, pos: Pos, out: &mut NodeWriter<W>) -> io::Result<()> {
    let mut relations: BTreeMap<&str, Vec<Link>> = BTreeMap::new();
    for (relation, soul) in synset.pointers {
        relations.entry(relation).or_default().push(Link(soul));
    }
    out.node(&synset::soul(pos, synset.offset), |fields| {
        fields.value("type", "synset");
        fields.value("pos", synset.pos);
        fields.value("lexfile", synset.lexfile);
        if !synset.definition.is_empty() {
            fields.value("definition", &*synset.definition);
        }
        fields.set("examples", synset.examples);
        fields.set("words", synset.words.iter().map(String::as_str));
        for (relation, links) in relations {
            fields.set(relation, links);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(noun: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for pos in Pos::ALL {
            let text = if pos == Pos::Noun { noun } else { "  1 a licence\n" };
            std::fs::write(folder.path().join(format!("data.{}", pos.extension())), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_synset_becomes_a_line_that_an_import_takes() {
        let folder = folder(
            "  1 a licence\n00000123 05 n 01 a\"b 0 003 ~ 00000002 n 0000 ~ 00000002 n 0000 @ 00000001 n 0000 | x\n",
        );
        let mut bytes = Vec::new();
        let counts = convert(folder.path(), false, &mut bytes).unwrap();
        assert_eq!(counts, Counts { nodes: 1, fields: 7, elements: 3 });
        let line: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(line["soul"], "wordnet/n/00000123");
        assert_eq!(line["data"]["words"], serde_json::json!({"@set": ["a\"b"]}));
        assert_eq!(line["data"]["hyponym"], serde_json::json!({"@set": [{"#": "wordnet/n/00000002"}]}));
        assert_eq!(line["data"]["lexfile"], "noun.animal");
        assert_eq!(line["data"]["definition"], "x");
    }

    #[test]
    fn a_malformed_line_stops_with_file_and_line() {
        let folder = folder("  1 a licence\n00000123 05 n 01 a 0 000 | x\n00000124 05 n\n");
        let error = convert(folder.path(), false, io::sink()).unwrap_err().to_string();
        assert!(error.contains("data.noun:3: no ' | '"), "{error}");
        let nowhere = convert(&folder.path().join("nowhere"), false, io::sink()).unwrap_err().to_string();
        assert!(nowhere.contains("data.noun"), "{nowhere}");
    }
}
