//! HAM order: which of two entries of one slot wins.
//!
//! Greater stamp; then the greater JSON text of the stored value, compared by UTF-16 code units with numbers printed
//! as ECMAScript does (GUN's running rule: string < number < false < null < true < link); then the greater id.

use std::cmp::Ordering;

use crate::{Body, Entry, Value, json};

/// The text that HAM compares: what `JSON.stringify` prints for the value; every number is printed as a double.
#[must_use]
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Int(number) => out.push_str(ryu_js::Buffer::new().format(*number as f64)),
        Value::Float(number) => out.push_str(ryu_js::Buffer::new().format(*number)),
        other => json::write(&mut out, other, json::Ints::Numbers),
    }
    out
}

/// Compares two texts by UTF-16 code units, as ECMAScript's `<` does. (Byte order differs for U+E000..U+FFFF
/// against astral characters.)
#[must_use]
pub fn compare_text(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// Compares two values as HAM does.
#[must_use]
pub fn compare_values(a: &Value, b: &Value) -> Ordering {
    compare_text(&text(a), &text(b))
}

/// HAM order of two entries. Values are looked at only when the stamps are equal; an entry whose value was dropped
/// stands below every live one of the same stamp.
#[must_use]
pub fn compare(a: &Entry, b: &Entry) -> Ordering {
    a.stamp.cmp(&b.stamp).then_with(|| compare_bodies(&a.body, &b.body)).then_with(|| a.id.cmp(&b.id))
}

fn compare_bodies(a: &Body, b: &Body) -> Ordering {
    match (a, b) {
        (Body::Live { value: a, .. }, Body::Live { value: b, .. }) => compare_values(a, b),
        (Body::Live { .. }, _) => Ordering::Greater,
        (_, Body::Live { .. }) => Ordering::Less,
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_order_as_in_gun() {
        let rising = [
            Value::from(""),
            Value::from("b"),
            Value::Int(-1),
            Value::Int(5),
            Value::Bool(false),
            Value::Null,
            Value::Bool(true),
            Value::Link("x".parse().unwrap()),
        ];
        for pair in rising.windows(2) {
            assert_eq!(compare_values(&pair[0], &pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn numbers_are_printed_as_ecmascript_does() {
        for (value, printed) in [
            (Value::Float(1e21), "1e+21"),
            (Value::Float(5.0), "5"),
            (Value::Float(-0.0), "0"),
            (Value::Float(1e-7), "1e-7"),
            (Value::Int(9_007_199_254_740_993), "9007199254740992"),
            (Value::Int(i64::MIN), "-9223372036854776000"),
        ] {
            assert_eq!(text(&value), printed);
        }
    }

    #[test]
    fn order_is_by_utf16_units() {
        assert_eq!(compare_text("\u{ffff}", "\u{10000}"), Ordering::Greater);
        assert_eq!("\u{ffff}".cmp("\u{10000}"), Ordering::Less);
    }

    #[test]
    fn controls_are_escaped_in_lower_case() {
        assert_eq!(text(&Value::from("\u{1f}\n\"\\/\u{7f}")), "\"\\u001f\\n\\\"\\\\/\u{7f}\"");
    }
}
