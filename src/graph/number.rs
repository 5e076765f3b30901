//! Numbers compared exactly.

use std::cmp::Ordering;

use rustdht_core::Value;

/// 2^63, the least float above every i64.
const ABOVE_I64: f64 = 9_223_372_036_854_775_808.0;

/// Compares two integers or floats by what they are worth, without rounding either; `None` for other values.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Float(b)) => compare_mixed(*a, *b),
        (Value::Float(a), Value::Int(b)) => compare_mixed(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

fn compare_mixed(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        None
    } else if float >= ABOVE_I64 {
        Some(Ordering::Less)
    } else if float < -ABOVE_I64 {
        Some(Ordering::Greater)
    } else {
        // In this range the whole part of a float is an i64, exactly.
        Some(int.cmp(&(float.trunc() as i64)).then(0.0_f64.total_cmp(&(float.fract() + 0.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_compare_without_rounding() {
        use Ordering::{Equal, Greater, Less};
        for (int, float, order) in [
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Greater),
            (i64::MAX, ABOVE_I64, Less),
            (i64::MAX, 9_223_372_036_854_774_784.0, Greater),
            (i64::MIN, -ABOVE_I64, Equal),
            (i64::MIN, -1e300, Greater),
            (0, -0.0, Equal),
            (0, 5e-324, Less),
            (0, -5e-324, Greater),
            (-1, -1.5, Greater),
            (1, 1.5, Less),
            (5, 5.0, Equal),
        ] {
            let (int, float) = (Value::Int(int), Value::Float(float));
            assert_eq!(compare(&int, &float), Some(order), "{int:?} {float:?}");
            assert_eq!(compare(&float, &int), Some(order.reverse()), "{float:?} {int:?}");
        }
        assert_eq!(compare(&Value::Int(1), &Value::from("1")), None);
    }
}
