//! Times as text (RFC 3339). Records have nanoseconds; milliseconds are kept.

/// Days from the epoch to the first day of a month, by the civil calendar (the era arithmetic of Hinnant's "chrono-compatible
/// low-level date algorithms", for years from 1970 on).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && range.contains(number))
}

/// Milliseconds since the epoch; `None` for what is no such time, or one before 1970.
pub(super) fn read(text: &str) -> Option<u64> {
    let at = |range: std::ops::Range<usize>| text.get(range);
    let marks = [(4, "-"), (7, "-"), (13, ":"), (16, ":")];
    if marks.iter().any(|(place, mark)| at(*place..place + 1) != Some(mark)) || !matches!(at(10..11)?, "T" | "t") {
        return None;
    }
    let (year, month) = (number(at(0..4)?, 1970..=9999)?, number(at(5..7)?, 1..=12)?);
    let day = number(at(8..10)?, 1..=days_in(year, month))?;
    let (hour, minute) = (number(at(11..13)?, 0..=23)?, number(at(14..16)?, 0..=59)?);
    // A leap second counts as the one before it.
    let second = number(at(17..19)?, 0..=60)?.min(59);
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return None;
        }
        millis = number(&format!("{:0<3}", &fraction[..len])[..3], 0..=999)?;
        rest = &fraction[len..];
    }
    let utc_s = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = match rest {
        "Z" | "z" => utc_s,
        _ => {
            let offset_s = match (rest.get(1..3), rest.get(3..4), rest.get(4..)) {
                (Some(hours), Some(":"), Some(minutes)) if minutes.len() == 2 => {
                    number(hours, 0..=23)? * 3600 + number(minutes, 0..=59)? * 60
                }
                _ => return None,
            };
            match rest.get(..1)? {
                "+" => utc_s.checked_sub(offset_s)?,
                "-" => utc_s + offset_s,
                _ => return None,
            }
        }
    };
    Some(seconds * 1000 + millis)
}

/// `2026-11-22T21:17:25.123000000Z`: nine digits, as the specification's example has it. Times behind the year 9999 are
/// its last second.
pub(super) fn write(ms: u64) -> String {
    let ms = ms.min(253_402_300_799_999);
    let (days_left, of_day) = (ms / 86_400_000 + 719_468, ms % 86_400_000);
    let (era, of_era) = (days_left / 146_097, days_left % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}000000Z", of_day % 1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("2123-08-14T12:17:03.694052Z", 4_847_689_023_694),
            ("2000-02-29T23:59:59.999999999Z", 951_868_799_999),
            ("2000-03-01T01:00:00+01:00", 951_868_800_000),
            ("2000-02-29T22:30:00-01:30", 951_868_800_000),
            ("2100-02-28t00:00:00.5z", 4_107_456_000_500),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(read(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "2000",
            "2000-02-30T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-01-01 00:00:00Z",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:00:00",
            "2000-01-01T00:00:00.Z",
            "2000-01-01T00:00:00+1:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "+200-01-01T00:00:00Z",
            "2000-01-01T00:00:00Zx",
            "2000-01-01T00:00:00\u{fc}",
            "20\u{fc}0-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(write(1), "1970-01-01T00:00:00.001000000Z");
        assert_eq!(write(u64::MAX), "9999-12-31T23:59:59.999000000Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in 0..253_402_300_800_000_u64) {
            prop_assert_eq!(read(&write(ms)), Some(ms));
        }

        #[test]
        fn any_text_ends_in_an_answer(text in "\\PC{0,40}") {
            let _ = read(&text);
        }
    }
}
