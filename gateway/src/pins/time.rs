//! Reading times as text (RFC 3339), as clients of the Pinning Service API send them.

/// Milliseconds since the Unix epoch; digits behind them are cut. Times before the epoch are none.
pub(super) fn to_ms(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (clock, rest) = time.split_at_checked(8)?;
    let [hours, minutes, seconds] = numbers(clock, ':', [2, 2, 2])?;
    let fraction =
        rest.strip_prefix('.').map_or("", |rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(""));
    let zone = if fraction.is_empty() { rest } else { &rest[1 + fraction.len()..] };
    let offset_minutes = offset(zone)?;
    let leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(leap_year),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // A leap second stands at :60.
    if day == 0 || day > days_of_month || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let millis: i64 = fraction.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let all_seconds = ((days(year, month, day) * 24 + hours) * 60 + minutes - offset_minutes) * 60 + seconds;
    u64::try_from(all_seconds * 1000 + millis).ok()
}

fn numbers(text: &str, separator: char, lengths: [usize; 3]) -> Option<[i64; 3]> {
    let mut numbers = [0; 3];
    let mut parts = text.split(separator);
    for (number, len) in numbers.iter_mut().zip(lengths) {
        let part = parts.next().filter(|part| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    // A plus sign that nobody escaped arrives as a space.
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+" | " ", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, most: i64| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| digits && *number <= most)
    };
    Some(sign * (number(hours, 23)? * 60 + number(minutes, 59)?))
}

/// Days since the epoch, proleptic Gregorian: years begin in March, so that the odd day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rfc3339;

    #[test]
    fn times_of_clients() {
        let at = Some(1_595_871_148_276);
        for text in [
            "2020-07-27T17:32:28.276Z",
            "2020-07-27t17:32:28.276z",
            "2020-07-27T17:32:28.2769999Z",
            "2020-07-27T19:32:28.276+02:00",
            "2020-07-27T19:32:28.276 02:00",
            "2020-07-27T12:02:28.276-05:30",
        ] {
            assert_eq!(to_ms(text), at, "{text}");
        }
        assert_eq!(to_ms("2020-07-27T17:32:28Z"), Some(1_595_871_148_000));
        assert_eq!(to_ms("2000-02-29T00:00:00.5Z"), Some(951_782_400_500));
        for bad in [
            "",
            "2020-07-27",
            "2020-07-27T17:32:28",
            "2020-13-27T17:32:28Z",
            "2020-02-30T17:32:28Z",
            "2021-02-29T17:32:28Z",
            "2020-07-27T24:32:28Z",
            "2020-07-27T17:32:28.Z",
            "2020-07-27T17:32:28+2:00",
            "2020-07-27T17:32:28+02:60",
            "1969-12-31T23:59:59Z",
            "2020-7-27T17:32:28Z",
            "+020-07-27T17:32:28Z",
            "20é0-07-27T17:32:28Z",
        ] {
            assert_eq!(to_ms(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(ms in 0..253_402_300_800_000_u64) {
            prop_assert_eq!(to_ms(&rfc3339::from_ms(ms)), Some(ms));
        }

        #[test]
        fn any_text_is_a_time_or_none(text in "\\PC{0,40}") {
            let _ = to_ms(&text);
        }
    }
}
