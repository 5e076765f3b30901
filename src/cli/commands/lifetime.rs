//! Times such as `12h` and `30d`.

use crate::exit::{Exit, coded};

/// Seconds of a number with `s`, `m`, `h` or `d` behind it.
pub(super) fn seconds(text: &str) -> anyhow::Result<u64> {
    let wrong = || coded(Exit::Usage, format!("{text:?} is no time: write 90m, 12h, 30d or 3600s"));
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        _ => return Err(wrong()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, wanted) in [("0s", 0), ("90m", 5_400), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(seconds(text).unwrap(), wanted);
        }
        for text in ["", "s", "1", "-1s", "1.5h", "1w", "d", "99999999999999999999d", "999999999999999999d", "ü"] {
            assert_eq!(crate::exit::of(&seconds(text).unwrap_err()), Exit::Usage, "{text}");
        }
    }
}
