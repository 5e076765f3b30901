//! A Debian package index as a graph, one package a node, in the NDJSON that `rustdht import` reads.
//!
//! ```text
//! apt-cache dumpavail | cargo run --release --example debian > debian.ndjson
//! ```

#[path = "../shared/lines.rs"]
mod lines;
#[path = "../shared/ndjson.rs"]
mod ndjson;
mod package;
mod stanza;

use std::{
    collections::HashSet,
    io::{self, BufReader, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use crate::{
    lines::{Error, Lines},
    ndjson::{Counts, NodeWriter},
    stanza::Stanzas,
};

const USAGE: &str = "usage: debian [FILE...] > debian.ndjson
  FILE  an uncompressed Packages index; none: standard input, such as `apt-cache dumpavail |`";

fn main() -> ExitCode {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.iter().any(|file| file.to_string_lossy().starts_with('-')) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let inputs: Result<Vec<Lines>, Error> = if files.is_empty() {
        let input = BufReader::with_capacity(1 << 18, io::stdin());
        Ok(vec![Lines::new(input, "<standard input>".to_owned())])
    } else {
        files.into_iter().map(Lines::open).collect()
    };
    let out = BufWriter::with_capacity(1 << 18, io::stdout().lock());
    match inputs.and_then(|inputs| convert(inputs, out)) {
        Ok(Summary { counts: Counts { nodes, fields, elements }, repeated }) => {
            eprintln!("nodes={nodes} fields={fields} set_elements={elements} repeated={repeated}");
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

#[derive(Debug, PartialEq, Eq)]
struct Summary {
    counts: Counts,
    /// Stanzas left out because an earlier one has the same package name.
    repeated: u64,
}

fn convert(inputs: Vec<Lines>, out: impl Write) -> Result<Summary, Error> {
    let mut out = NodeWriter::new(out);
    // Sets are only ever added to by an import, so two versions of a package would mix their dependencies.
    let mut seen = HashSet::new();
    let mut repeated = 0;
    for lines in inputs {
        let mut stanzas = Stanzas::new(lines);
        while let Some(stanza) = stanzas.next_stanza()? {
            let name = stanza.get("Package").ok_or_else(|| stanzas.error("the stanza has no 'Package'".to_owned()))?;
            if !package::is_name(name) {
                return Err(stanzas.error(format!("'{name}' is no package name")));
            }
            if seen.insert(name.to_owned()) {
                let node = package::Package::read(&stanza).map_err(|what| stanzas.error(what))?;
                out.node(&package::soul(name), |fields| node.write(fields))?;
            } else {
                repeated += 1;
            }
        }
    }
    Ok(Summary { counts: out.finish()?, repeated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &'static str) -> Result<(Summary, Vec<serde_json::Value>), String> {
        let mut bytes = Vec::new();
        let summary = convert(vec![Lines::new(text.as_bytes(), "index".to_owned())], &mut bytes)
            .map_err(|error| error.to_string())?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok((summary, lines.map(|line| serde_json::from_slice(line).unwrap()).collect()))
    }

    #[test]
    fn a_stanza_becomes_a_node() {
        let (summary, lines) = run("Package: kettle\nVersion: 1:2.0-1\nInstalled-Size: 12\nArchitecture: any\n\
            Depends: water (>= 1.0), stove | fire:any [amd64], water (<< 3)\nDescription: boils\n more\n\n")
        .unwrap();
        assert_eq!(summary.counts.nodes, 1);
        assert_eq!(lines[0]["soul"], "debian/kettle");
        let data = &lines[0]["data"];
        assert_eq!(data["type"], "package");
        assert_eq!(data["version"], "1:2.0-1");
        assert_eq!(data["installed_size"], 12);
        assert_eq!(data["description"], "boils\nmore");
        assert_eq!(data["depends_text"], "water (>= 1.0), stove | fire:any [amd64], water (<< 3)");
        assert_eq!(
            data["depends"],
            serde_json::json!({"@set": [{"#": "debian/fire"}, {"#": "debian/stove"}, {"#": "debian/water"}]})
        );
        assert_eq!(summary.counts, Counts { nodes: 1, fields: 8, elements: 3 });
    }

    #[test]
    fn the_first_stanza_of_a_package_counts() {
        let (summary, lines) = run("Package: aa\nVersion: 2\n\n\nPackage: aa\nVersion: 1\n\nPackage: bb\n").unwrap();
        assert_eq!((summary.counts.nodes, summary.repeated), (2, 1));
        assert_eq!(lines[0]["data"]["version"], "2");
    }

    #[test]
    fn malformed_indexes_are_errors_with_their_line() {
        for (text, blame) in [
            ("Version: 1\n\n", "index:2: the stanza has no 'Package'"),
            ("Package: a b\n\n", "index:2: 'a b' is no package name"),
            ("Package: aa\nnonsense\n", "index:2: "),
            (" continued\n", "index:1: "),
            ("Package: aa\nPackage: bb\n", "index:2: 'Package' stands twice"),
            ("Package: aa\nInstalled-Size: big\n\n", "'big'"),
            ("Package: aa\nDepends: a (>= 1\n\n", "'Depends'"),
        ] {
            let error = run(text).unwrap_err();
            assert!(error.contains(blame), "{text:?}: {error}");
        }
    }
}
