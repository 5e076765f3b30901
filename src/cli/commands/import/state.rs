//! The note of how far an import got, beside its file.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, coded};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Every line up to this one is durable.
    line: u64,
    /// The size of the file in bytes; a file of another size is another file.
    size: Option<u64>,
    /// The gateway that holds the lines.
    api: String,
}

/// The note, and where it lies.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    note: Note,
}

impl State {
    /// The note of `file`, or a new one.
    ///
    /// # Errors
    /// When the note there belongs to another gateway or to a file of another size.
    pub(super) fn of(file: &Path, api: &str, size: Option<u64>) -> anyhow::Result<Self> {
        let mut path = file.as_os_str().to_owned();
        path.push(".rustdht-import");
        let path = PathBuf::from(path);
        let fresh = Note { line: 0, size, api: api.to_owned() };
        let note = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Note>(&bytes)
                .ok()
                .filter(|note| (note.size, note.api.as_str()) == (size, api))
                .ok_or_else(|| {
                    coded(
                        Exit::Failure,
                        format!(
                            "{} belongs to another file or gateway; remove it to begin at line 1, or give --from LINE",
                            path.display()
                        ),
                    )
                })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => fresh,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Self { path, note })
    }

    /// The line to begin at.
    pub(super) fn next(&self) -> u64 {
        self.note.line + 1
    }

    /// Notes that every line up to `line` is durable.
    pub(super) fn save(&mut self, line: u64) -> anyhow::Result<()> {
        if line <= self.note.line {
            return Ok(());
        }
        self.note.line = line;
        // Renamed into place: a note cut short would cost the whole run.
        let draft = self.path.with_extension("rustdht-import.new");
        std::fs::write(&draft, serde_json::to_vec(&self.note)?)
            .and_then(|()| std::fs::rename(&draft, &self.path))
            .with_context(|| {
                format!("cannot write {}; import without --resume needs no such file", self.path.display())
            })
    }

    /// The import is through.
    pub(super) fn remove(self) -> anyhow::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_again_and_only_goes_forward() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("graph.ndjson");
        let mut state = State::of(&file, "http://a", Some(9)).unwrap();
        assert_eq!(state.next(), 1);
        state.save(7).unwrap();
        state.save(5).unwrap();
        assert_eq!(State::of(&file, "http://a", Some(9)).unwrap().next(), 8);
        assert!(State::of(&file, "http://b", Some(9)).is_err());
        assert!(State::of(&file, "http://a", Some(10)).is_err());
        state.remove().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(State::of(&file, "http://b", Some(10)).unwrap().next(), 1);
    }

    #[test]
    fn a_broken_note_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("graph.ndjson");
        std::fs::write(dir.path().join("graph.ndjson.rustdht-import"), "{").unwrap();
        assert!(State::of(&file, "http://a", None).unwrap_err().to_string().contains("--from LINE"));
    }
}
