//! Reads a text line by line into one reused buffer, and knows where it stands.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::PathBuf,
};

/// Longest line taken, so that a file of another kind is an error and not a full memory.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// What went wrong, and where.
#[derive(Debug)]
pub(crate) enum Error {
    /// A file could not be opened or read.
    Read { path: String, cause: io::Error },
    /// A line is not in its format.
    Line { path: String, line: u64, what: String },
    /// The output could not be written.
    Write(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, cause } => write!(f, "{path}: {cause}"),
            Self::Line { path, line, what } => write!(f, "{path}:{line}: {what}"),
            Self::Write(cause) => write!(f, "cannot write the output: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::Write(cause)
    }
}

/// The lines of a text.
pub(crate) struct Lines {
    reader: Box<dyn BufRead>,
    path: String,
    bytes: Vec<u8>,
    line: u64,
}

impl Lines {
    /// The lines of a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Error> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Ok(Self::new(BufReader::with_capacity(1 << 18, file), name)),
            Err(cause) => Err(Error::Read { path: name, cause }),
        }
    }

    /// The lines of `reader`, called `name` in errors.
    pub(crate) fn new(reader: impl BufRead + 'static, name: String) -> Self {
        Self { reader: Box::new(reader), path: name, bytes: Vec::new(), line: 0 }
    }

    /// The next line without its end; `None` at the end of the text.
    ///
    /// # Errors
    /// When it cannot be read, is not UTF-8 or is too long.
    pub(crate) fn next_line(&mut self) -> Result<Option<&str>, Error> {
        self.bytes.clear();
        self.line += 1;
        let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut self.bytes);
        match read {
            Err(cause) => return Err(Error::Read { path: self.path.clone(), cause }),
            Ok(0) => return Ok(None),
            Ok(_) => {}
        }
        if self.bytes.last() == Some(&b'\n') {
            self.bytes.pop();
        } else if self.bytes.len() as u64 == MAX_LINE_BYTES {
            return Err(self.error("the line is longer than 4 MiB".to_owned()));
        }
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.error("not UTF-8".to_owned())),
        }
    }

    /// An error that names the line read last.
    pub(crate) fn error(&self, what: String) -> Error {
        Error::Line { path: self.path.clone(), line: self.line, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_line() {
        let mut lines = Lines::new(&b"one\ntwo \xff\nthree"[..], "x".to_owned());
        assert_eq!(lines.next_line().unwrap(), Some("one"));
        assert_eq!(lines.next_line().unwrap_err().to_string(), "x:2: not UTF-8");
        assert_eq!(lines.next_line().unwrap(), Some("three"));
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut lines = Lines::new(BufReader::new(io::repeat(b'x')), "x".to_owned());
        assert!(lines.next_line().unwrap_err().to_string().contains("longer than 4 MiB"));
    }
}
