//! Numbers for people.

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// `1536` as `1.5 KiB`.
#[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
pub(crate) fn bytes(number: u64) -> String {
    let mut size = number as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How many per second, rounded down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people; both sides are small and positive"
)]
pub(crate) fn rate(number: u64, elapsed: std::time::Duration) -> u64 {
    (number as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

/// At most so many characters, with a mark where something was left out, and on one line.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let mut short: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// The time in a stamp (a decimal u64: milliseconds times 4096 and a counter); the text itself when it is none.
pub(crate) fn time_of_stamp(stamp: &str) -> String {
    stamp.parse::<u64>().map_or_else(|_| stamp.to_owned(), |stamp| rustdht_gateway::rfc3339(stamp / 4096))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes_counts_and_rates() {
        assert_eq!((cut("abc", 3), cut("abcd", 3), cut("a\nb", 9)), ("abc".into(), "ab…".into(), "a b".into()));
        assert_eq!(time_of_stamp("4096000"), "1970-01-01T00:00:01.000Z");
        assert_eq!(time_of_stamp("x"), "x");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(2 << 30), "2.0 GiB");
        assert_eq!(count(7), "7");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(rate(100, Duration::from_secs(4)), 25);
        assert_eq!(rate(1, Duration::ZERO), 1000);
    }
}
