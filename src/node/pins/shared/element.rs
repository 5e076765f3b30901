//! An element of the community's pins: `{"cid":...,"max":...,"min":...,"name":...}` as text.
//!
//! Keys stand in the order of their bytes, and `name` is left out when it is empty, so that who pins the same thing in the
//! same way at the same time adds one element. It is text, not a blob: a blob in a field would keep it at every replica.

use cid::Cid;
use rustdht_core::{Code, Refusal, Value, ports::MAX_BLOCK_BYTES};
use serde::{Deserialize, Serialize};

use crate::pins::{MAX_CID_BYTES, MAX_PIN_NAME};

/// Replicas that may be asked to hold one pin; a network has at most 1,024.
const MAX_COPIES: u16 = 1024;
/// Copies unless it is said.
const DEFAULT_MIN: u16 = 2;
/// Longest element that is read.
const MAX_ELEMENT_BYTES: usize = 2048;

/// Something that the community keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPin {
    /// The root; pinned with everything that it links.
    pub cid: Cid,
    /// A name for it, perhaps empty.
    pub name: String,
    /// Replicas that hold it at least, as far as there are so many.
    pub min: u16,
    /// Replicas beyond these let go of it.
    pub max: u16,
}

/// In the order of the text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Element {
    cid: String,
    max: u16,
    min: u16,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
}

impl SharedPin {
    /// A pin with the usual number of copies.
    #[must_use]
    pub const fn new(cid: Cid) -> Self {
        Self { cid, name: String::new(), min: DEFAULT_MIN, max: DEFAULT_MIN }
    }

    /// # Errors
    /// `out_of_range`.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let refuse = |detail: String, field: &str| Err(Refusal::new(Code::OutOfRange, detail).within(field));
        if self.min == 0 || self.min > MAX_COPIES {
            return refuse(format!("min is 1 to {MAX_COPIES}"), "min");
        }
        if self.max < self.min || self.max > MAX_COPIES {
            return refuse(format!("max is min to {MAX_COPIES}"), "max");
        }
        if self.name.chars().count() > MAX_PIN_NAME {
            return refuse(format!("a name has at most {MAX_PIN_NAME} characters"), "name");
        }
        Ok(())
    }

    pub(super) fn to_value(&self) -> Value {
        let element = Element { cid: self.cid.to_string(), max: self.max, min: self.min, name: self.name.clone() };
        // Strings and numbers always serialise.
        Value::from(serde_json::to_string(&element).unwrap_or_default().as_str())
    }

    /// `None`: the element is none, and counts for nothing.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        let Value::Text(text) = value else { return None };
        if text.len() > MAX_ELEMENT_BYTES {
            return None;
        }
        let Element { cid, max, min, name } = serde_json::from_str(text).ok()?;
        let pin = Self { cid: cid.parse().ok()?, name, min, max };
        let fits = pin.cid.encoded_len() <= MAX_CID_BYTES && pin.check().is_ok();
        fits.then_some(pin)
    }

    /// Another element of the same CID: who wants more copies is heard.
    pub(super) fn unite(&mut self, other: Self) {
        self.min = self.min.max(other.min);
        self.max = self.max.max(other.max);
        if other.name > self.name {
            self.name = other.name;
        }
    }
}

/// An element is far below what a value may have.
const _: () = assert!(MAX_ELEMENT_BYTES < MAX_BLOCK_BYTES);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cid() -> Cid {
        "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap()
    }

    #[test]
    fn an_element_has_one_text() {
        let pin = SharedPin { name: "n".into(), max: 5, ..SharedPin::new(cid()) };
        let text = format!(r#"{{"cid":"{}","max":5,"min":2,"name":"n"}}"#, cid());
        assert_eq!(pin.to_value(), Value::from(text.as_str()));
        let plain = format!(r#"{{"cid":"{}","max":2,"min":2}}"#, cid());
        assert_eq!(SharedPin::new(cid()).to_value(), Value::from(plain.as_str()));
        for bad in [
            "{}".to_owned(),
            "[]".to_owned(),
            plain.replace("baf", "bag0"),
            plain.replace("\"min\":2", "\"min\":3"),
            plain.replace("\"min\":2", "\"min\":0"),
            plain.replace("\"max\":2", "\"max\":1025"),
            plain.replace("\"min\":2", "\"min\":2,\"more\":1"),
            plain.replace("\"min\":2", &format!("\"min\":2,\"name\":\"{}\"", "x".repeat(256))),
        ] {
            assert_eq!(SharedPin::from_value(&Value::from(bad.as_str())), None, "{bad}");
        }
        assert_eq!(SharedPin::from_value(&Value::Blob(cid())), None);
    }

    fn pins() -> impl Strategy<Value = SharedPin> {
        (1..=MAX_COPIES, 0..50_u16, "\\PC{0,40}").prop_map(|(min, more, name)| SharedPin {
            cid: cid(),
            name,
            min,
            max: min.saturating_add(more).min(MAX_COPIES),
        })
    }

    proptest! {
        #[test]
        fn every_pin_is_read_back(pin in pins()) {
            prop_assert_eq!(SharedPin::from_value(&pin.to_value()), Some(pin));
        }

        #[test]
        fn uniting_asks_no_order(a in pins(), b in pins(), c in pins()) {
            let unite = |pins: [&SharedPin; 3]| {
                let mut all = pins[0].clone();
                all.unite(pins[1].clone());
                all.unite(pins[2].clone());
                all
            };
            let all = unite([&a, &b, &c]);
            prop_assert_eq!(&unite([&c, &b, &a]), &all);
            prop_assert_eq!(&unite([&b, &b, &c]), &unite([&b, &c, &c]));
            prop_assert!(all.check().is_ok());
        }

        #[test]
        fn any_text_is_read_or_passed_over(text in "\\PC{0,200}") {
            let _ = SharedPin::from_value(&Value::from(text.as_str()));
        }
    }
}
