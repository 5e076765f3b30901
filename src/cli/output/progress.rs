//! Progress bars, on a terminal only.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr; draws nothing when stderr is no terminal.
#[derive(Clone, Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar over `total` bytes, or a spinner when the total is not known.
    pub(crate) fn bytes(total: Option<u64>) -> Self {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = if total.is_some() {
            "{bar:30} {bytes:>11} of {total_bytes}  {binary_bytes_per_sec:>12}  eta {eta}  {msg}"
        } else {
            "{spinner} {bytes:>11}  {binary_bytes_per_sec:>12}  {msg}"
        };
        // The templates are literals; a slip in one falls back to indicatif's own bar.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::with_draw_target(total, target).with_style(style.progress_chars("█▌ ")))
    }

    /// So many more bytes.
    pub(crate) fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// What stands behind the bar.
    pub(crate) fn message(&self, text: impl Into<String>) {
        self.0.set_message(text.into());
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }

    /// Writes a line above the bar.
    pub(crate) fn above(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }
}
