//! Short forms for refusals.

use std::borrow::Cow;

use rustdht_core::{Code, Refusal};

/// A refusal of the whole.
pub(crate) fn refuse<T>(code: Code, detail: impl Into<Cow<'static, str>>) -> Result<T, Refusal> {
    Err(Refusal::new(code, detail))
}

/// `malformed`.
pub(crate) fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Code::Malformed, detail)
}

/// Blames a part of what is being read.
pub(crate) trait Within {
    /// The same result with `part` in front of the path of what is to blame.
    fn within(self, part: &str) -> Self;
}

impl<T> Within for Result<T, Refusal> {
    fn within(self, part: &str) -> Self {
        self.map_err(|refusal| refusal.within(part))
    }
}
