//! Exit codes, which scripts rely on.

use std::{fmt, process::ExitCode};

/// Why the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No such node, field, blob or commit.
    NotFound = 3,
    /// `--if-match` does not hold.
    Conflict = 4,
    /// No gateway answers at `--api`.
    Unreachable = 5,
    /// The configuration is wrong (`EX_USAGE`).
    BadConfig = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code.
#[derive(Debug)]
struct Coded {
    exit: Exit,
    text: String,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Coded {}

/// An error that ends the process with `exit`.
pub(crate) fn coded(exit: Exit, text: impl Into<String>) -> anyhow::Error {
    Coded { exit, text: text.into() }.into()
}

/// The exit code of an error: its own if it has one, else 1.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Coded>().map_or(Exit::Failure, |coded| coded.exit)
}

/// Whether the reader of stdout went away: no failure worth a word.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe && is_stdout(error))
    })
}

/// Marks errors of writing to stdout, so that a broken connection is not taken for a closed pager.
pub(crate) const STDOUT: &str = "cannot write to stdout";

fn is_stdout(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.to_string() == STDOUT)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_code_survives_added_context() {
        let error = coded(Exit::NotFound, "no such node");
        assert_eq!(of(&error), Exit::NotFound);
        assert_eq!(of(&error.context("while reading")), Exit::NotFound);
        assert_eq!(of(&anyhow::anyhow!("x")), Exit::Failure);
    }

    #[test]
    fn only_a_closed_stdout_is_quiet() {
        let pipe = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let out: anyhow::Result<()> = Err(pipe()).context(STDOUT);
        assert!(is_broken_pipe(&out.unwrap_err()));
        assert!(!is_broken_pipe(&pipe().into()));
    }
}
