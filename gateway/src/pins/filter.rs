//! Which pins a request asks for.

use std::collections::BTreeMap;

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use rustdht_core::{Code, Refusal};
use rustdht_node::{MAX_CIDS, MAX_PIN_NAME, MAX_PINS_PAGE, NameMatch, PinFilter, PinStatus};
use utoipa::IntoParams;

use super::{schema, time};
use crate::problem::Problem;

/// What the document says of the query. It is read by hand: lists come with commas or as repeated parameters, whichever a
/// client's generator made.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query in the document")]
pub(crate) struct FilterQuery {
    /// CIDs, up to 10, separated by commas.
    cid: Option<String>,
    /// A name, or a part of one.
    name: Option<String>,
    /// How it is compared: `exact`, `iexact`, `partial`, `ipartial`.
    #[param(example = "exact")]
    r#match: Option<String>,
    /// `queued`, `pinning`, `pinned`, `failed`, separated by commas; absent `pinned`.
    #[param(example = "queued,pinning")]
    status: Option<String>,
    /// Made before this time.
    #[param(example = "2026-11-22T21:17:25.123Z")]
    before: Option<String>,
    /// Made after this time.
    after: Option<String>,
    /// At most so many; absent 10, at most 1,000.
    limit: Option<u16>,
    /// A JSON object: notes that the pin has.
    #[param(example = "{\"app_id\":\"x\"}")]
    meta: Option<String>,
}

/// A bad parameter of this API is a bad request.
fn bad(field: &'static str, detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Refusal::new(Code::Malformed, detail).within(field).into()
}

fn once(found: &mut Vec<String>, field: &'static str) -> Result<Option<String>, Problem> {
    if found.len() > 1 {
        return Err(bad(field, "it stands twice"));
    }
    Ok(found.pop())
}

/// # Errors
/// `malformed`, with the parameter to blame.
pub(super) fn read(uri: &Uri) -> Result<PinFilter, Problem> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8().map(Into::into).map_err(|_| bad("query", "it is not UTF-8"))
        };
        let (key, value): (String, String) = (decode(key)?, decode(value)?);
        found.entry(key).or_default().push(value);
    }
    let mut take = |key: &str| found.remove(key).unwrap_or_default();
    let list = |values: Vec<String>| -> Vec<String> {
        let items = values.iter().flat_map(|value| value.split(','));
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let mut filter = PinFilter::default();
    let cids = list(take("cid"));
    if cids.len() > MAX_CIDS {
        return Err(bad("cid", format!("at most {MAX_CIDS} CIDs are looked for at once")));
    }
    filter.cids =
        cids.iter().map(|cid| schema::cid(cid).map_err(|_| bad("cid", "not a CID"))).collect::<Result<_, _>>()?;
    let statuses = list(take("status"));
    if !statuses.is_empty() {
        let status = |name: &String| PinStatus::ALL.into_iter().find(|status| status.as_str() == name);
        let read = |name| status(name).ok_or_else(|| bad("status", "a status is queued, pinning, pinned or failed"));
        filter.statuses = statuses.iter().map(read).collect::<Result<_, _>>()?;
    }
    let how = match once(&mut take("match"), "match")?.as_deref() {
        None | Some("exact") => NameMatch::Exact,
        Some("iexact") => NameMatch::IgnoringCase,
        Some("partial") => NameMatch::Partial,
        Some("ipartial") => NameMatch::PartialIgnoringCase,
        Some(_) => return Err(bad("match", "match is exact, iexact, partial or ipartial")),
    };
    if let Some(name) = once(&mut take("name"), "name")? {
        if name.chars().count() > MAX_PIN_NAME {
            return Err(bad("name", format!("a name has at most {MAX_PIN_NAME} characters")));
        }
        filter.name = Some((name, how));
    }
    let mut moment = |field: &'static str| -> Result<Option<u64>, Problem> {
        let text = once(&mut take(field), field)?;
        text.map(|text| time::to_ms(&text).ok_or_else(|| bad(field, "not a time of RFC 3339"))).transpose()
    };
    (filter.before_ms, filter.after_ms) = (moment("before")?, moment("after")?);
    if let Some(limit) = once(&mut take("limit"), "limit")? {
        let limit = limit.parse().ok().filter(|limit| (1..=MAX_PINS_PAGE).contains(limit));
        filter.limit = limit.ok_or_else(|| bad("limit", format!("limit is 1 to {MAX_PINS_PAGE}")))?;
    }
    if let Some(meta) = once(&mut take("meta"), "meta")? {
        let read = serde_json::from_str(&meta);
        filter.meta = read.map_err(|_| bad("meta", "meta is a JSON object whose values are strings"))?;
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &str) -> Result<PinFilter, (String, &'static str)> {
        let uri: Uri = format!("/api/v1/pins?{query}").parse().unwrap();
        read(&uri).map_err(|problem| (problem.field().to_owned(), problem.code()))
    }

    #[test]
    fn filters() {
        assert_eq!(parse("").unwrap(), PinFilter::default());
        let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        let many = parse(&format!(
            "cid={cid},QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8&cid={cid}&status=queued,pinning&status=failed&\
             name=a%20b&match=ipartial&before=2020-07-27T17:32:28.276Z&after=1970-01-01T00:00:00%2B00:00&limit=1000&\
             meta=%7B%22app%22%3A%22x%22%7D&other=1"
        ))
        .unwrap();
        assert_eq!((many.cids.len(), many.statuses.len(), many.limit), (3, 3, 1000));
        assert_eq!(many.name, Some(("a b".into(), NameMatch::PartialIgnoringCase)));
        assert_eq!((many.before_ms, many.after_ms), (Some(1_595_871_148_276), Some(0)));
        assert_eq!(many.meta["app"], "x");
        let eleven = [cid; 11].join(",");
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=x", "limit"),
            ("limit=1&limit=2", "limit"),
            ("status=done", "status"),
            ("match=like&name=x", "match"),
            ("before=yesterday", "before"),
            ("after=2020", "after"),
            ("cid=x", "cid"),
            (&format!("cid={eleven}"), "cid"),
            ("meta=x", "meta"),
            ("meta=%7B%22a%22%3A1%7D", "meta"),
            ("name=%ff", "query"),
            (&format!("name={}", "x".repeat(256)), "name"),
        ] {
            assert_eq!(parse(query).unwrap_err(), (field.to_owned(), "malformed"), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_a_filter_or_refused(query in "[a-z=&%,0-9+]{0,60}") {
            let _ = parse(&query);
        }
    }
}
