//! The query of a request for content. Websites have parameters of their own, so nothing in it is refused for its form.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a query may not hold as it is (RFC 3986 section 3.4).
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// What stays in a name or value (RFC 3986 section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Parameters that are read; those behind them are left out of redirects too.
const MAX_PAIRS: usize = 256;

/// Names and values, decoded, in their order, with the text that each came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pairs: Vec<Pair>,
}

#[derive(Clone, Debug)]
struct Pair {
    name: String,
    value: String,
    raw: String,
}

impl Query {
    pub(super) fn parse(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(MAX_PAIRS).map(|raw| {
            let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
            Pair { name: decode(name), value: decode(value), raw: raw.to_owned() }
        });
        Self { pairs: pairs.collect() }
    }

    /// The first value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|pair| pair.name == name).map(|pair| pair.value.as_str())
    }

    /// The text without the names that `other` has, followed by all of `other`.
    pub(super) fn overridden_by(&self, other: &Self) -> String {
        let kept = self.pairs.iter().filter(|pair| other.get(&pair.name).is_none());
        let raw: Vec<String> = kept.chain(&other.pairs).map(|pair| clean(&pair.raw)).collect();
        raw.join("&")
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        self.overridden_by(&Self::default())
    }

    /// As text, the names in order: the same parameters are the same URL for a cache.
    pub(super) fn sorted(mut self) -> String {
        self.pairs.sort_by(|a, b| a.name.cmp(&b.name));
        self.text()
    }

    /// With a value for a name, in place of what it had.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.pairs.retain(|pair| pair.name != name);
        let raw = format!("{}={}", encode(name), encode(value));
        self.pairs.push(Pair { name: name.to_owned(), value: value.to_owned(), raw });
    }
}

/// One name or value, percent-encoded.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// What a client sent as a query, so that it can stand in a header.
pub(super) fn clean(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let query = Query::parse(Some("a=1&b=x+y%20z&a=2&c&=d&&%FF=e"));
        assert_eq!((query.get("a"), query.get("b"), query.get("c")), (Some("1"), Some("x y z"), Some("")));
        assert_eq!(query.get("d"), None);
        assert_eq!(query.text(), "a=1&b=x+y%20z&a=2&c&=d&%FF=e");
        assert_eq!(Query::parse(None).text(), "");
        assert_eq!(Query::parse(Some(&"a&".repeat(100_000))).text().len(), 2 * MAX_PAIRS - 1);
    }

    #[test]
    fn the_callers_values_win() {
        let target = Query::parse(Some("static=1&both=2"));
        assert_eq!(target.overridden_by(&Query::parse(Some("both=3&own=%0A"))), "static=1&both=3&own=%0A");
    }

    #[test]
    fn a_name_is_set_once() {
        let mut query = Query::parse(Some("format=raw&a=1&format=car"));
        query.set("format", "dag json");
        assert_eq!(query.text(), "a=1&format=dag%20json");
        query.set("b", "");
        assert_eq!(query.sorted(), "a=1&b=&format=dag%20json");
    }

    #[test]
    fn nothing_in_it_ends_a_header_or_an_attribute() {
        assert_eq!(clean("a=\"<b>\r\nx ü#"), "a=%22%3Cb%3E%0D%0Ax%20%C3%BC%23");
    }
}
