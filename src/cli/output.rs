//! stdout is data, stderr is talk.

mod human;
mod pretty;
mod progress;

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;

pub(crate) use human::{bytes, count, cut, rate, time_of_stamp};
pub(crate) use pretty::indent;
pub(crate) use progress::Progress;

use crate::exit::STDOUT;

/// How to talk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// One JSON value per line on stdout instead of text for people.
    pub json: bool,
}

impl Output {
    /// A line of data.
    pub(crate) fn line(self, text: impl AsRef<str>) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_ref().as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
            .context(STDOUT)
    }

    /// Data as it is.
    pub(crate) fn raw(self, data: &[u8]) -> anyhow::Result<()> {
        std::io::stdout().lock().write_all(data).context(STDOUT)
    }

    /// Everything written so far leaves.
    pub(crate) fn flush(self) -> anyhow::Result<()> {
        std::io::stdout().lock().flush().context(STDOUT)
    }

    /// A JSON text: one line with `--json`, indented for people otherwise.
    pub(crate) fn json_text(self, text: &str) -> anyhow::Result<()> {
        if self.json { self.line(text.trim()) } else { self.line(indent(text)) }
    }

    /// A line of talk on stderr. That nobody listens there is no failure.
    pub(crate) fn say(self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
    }
}

/// Whether stderr is a terminal that takes colours.
pub(crate) fn stderr_has_colours() -> bool {
    std::io::stderr().is_terminal() && colours_allowed()
}

/// Whether stdout is a terminal that takes colours.
pub(crate) fn stdout_has_colours() -> bool {
    std::io::stdout().is_terminal() && colours_allowed()
}

/// <https://no-color.org>
fn colours_allowed() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Wraps text in an SGR code when colours are wanted.
pub(crate) fn paint(wanted: bool, code: &str, text: &str) -> String {
    if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
