//! Query parameters and what they mean.

use std::time::Duration;

use axum::{extract::Query, http::Uri};
use percent_encoding::percent_decode_str;
use rustdht_core::{Code, Refusal, json::Ints};
use rustdht_node::{At, RenderOptions};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use crate::{limits, problem::Problem};

/// Parses the query of a request; unknown parameters are left alone.
///
/// # Errors
/// `malformed` for a repeated parameter or a value of another type.
pub(crate) fn parse<T: DeserializeOwned + Default>(uri: &Uri) -> Result<T, Problem> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(T::default());
    }
    Query::try_from_uri(uri)
        .map(|Query(query)| query)
        .map_err(|error| Problem::malformed(format!("the query is not understood: {}", error.body_text())).at("query"))
}

/// Where a read looks.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AtParam {
    /// Here only.
    Local,
    /// The members are asked, whatever is here.
    Network,
}

/// How integers beyond 2^53 are printed.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IntsParam {
    /// As JSON numbers.
    Number,
    /// As decimal strings.
    String,
}

/// How to print a node.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RenderQuery {
    /// Adds kind, stamp, author and commit of every field.
    #[serde(default)]
    meta: bool,
    /// How integers beyond 2^53 are printed.
    #[param(inline)]
    ints: Option<IntsParam>,
}

impl RenderQuery {
    pub(crate) fn options(&self) -> RenderOptions {
        let ints = match self.ints {
            Some(IntsParam::String) => Ints::Strings,
            Some(IntsParam::Number) | None => Ints::Numbers,
        };
        RenderOptions { ints, meta: self.meta, ..RenderOptions::default() }
    }
}

/// Where to look for a node.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AtQuery {
    /// Where to look; absent: here, and for a node unknown here the members.
    #[param(inline)]
    at: Option<AtParam>,
}

impl AtQuery {
    pub(crate) fn at(&self) -> At {
        match self.at {
            None => At::Auto,
            Some(AtParam::Local) => At::Local,
            Some(AtParam::Network) => At::Network,
        }
    }
}

/// A page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// At most so many; absent 100, at most 1,000.
    limit: Option<usize>,
}

impl PageQuery {
    /// # Errors
    /// `out_of_range` for none, or more than [`limits::MAX_PAGE`].
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(limits::DEFAULT_PAGE),
            Some(limit @ 1..=limits::MAX_PAGE) => Ok(limit),
            Some(_) => {
                let detail = format!("limit is 1 to {}", limits::MAX_PAGE);
                Err(Problem::from(Refusal::new(Code::OutOfRange, detail)).at("limit"))
            }
        }
    }
}

/// Segment number `at` of the path behind `prefix`, decoded; `field` is blamed.
///
/// # Errors
/// `malformed` when it is not UTF-8.
pub(crate) fn segment(uri: &Uri, prefix: &str, at: usize, field: &'static str) -> Result<String, Problem> {
    let rest = uri.path().strip_prefix(prefix).unwrap_or_default();
    let text = percent_decode_str(rest.split('/').nth(at).unwrap_or_default()).decode_utf8();
    text.map(Into::into)
        .map_err(|_| Problem::malformed("the path is not UTF-8 once its percent signs are decoded").at(field))
}

/// How long a write waits.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// How long to wait until enough replicas hold the write: milliseconds, or with a unit (`500ms`, `2s`); at most
    /// 30 s, absent 500 ms.
    #[param(example = "2s")]
    wait: Option<String>,
}

impl WaitQuery {
    /// # Errors
    /// `out_of_range` for anything but a time of at most [`limits::MAX_WAIT`].
    pub(crate) fn wait(&self) -> Result<Duration, Problem> {
        let Some(text) = self.wait.as_deref() else { return Ok(limits::DEFAULT_WAIT) };
        duration(text).filter(|wait| *wait <= limits::MAX_WAIT).ok_or_else(|| {
            Problem::from(Refusal::new(
                Code::OutOfRange,
                "wait is milliseconds, or a number with ms or s, of at most 30 s",
            ))
            .at("wait")
        })
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (digits, unit_ms) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => text.strip_suffix('s').map_or((text, 1), |digits| (digits, 1000)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit_ms).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        let wait = |text: &str| WaitQuery { wait: Some(text.to_owned()) }.wait().map_err(|problem| problem.code());
        assert_eq!(wait("250"), Ok(Duration::from_millis(250)));
        assert_eq!(wait("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(wait("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(wait("0"), Ok(Duration::ZERO));
        assert_eq!(wait("30s"), Ok(limits::MAX_WAIT));
        for bad in ["", "s", "-1", "1.5s", "+1", "30001", "31s", "1m", "99999999999999999999", "18446744073709551615s"]
        {
            assert_eq!(wait(bad), Err("out_of_range"), "{bad}");
        }
        assert_eq!(WaitQuery::default().wait().unwrap(), limits::DEFAULT_WAIT);
    }

    #[test]
    fn queries() {
        let uri = |text: &str| format!("/x?{text}").parse::<Uri>().unwrap();
        let query: RenderQuery = parse(&uri("meta=true&ints=string&other=1")).unwrap();
        assert_eq!(query.options(), RenderOptions { ints: Ints::Strings, meta: true, ..RenderOptions::default() });
        assert_eq!(parse::<AtQuery>(&uri("at=network")).unwrap().at(), At::Network);
        assert_eq!(parse::<AtQuery>(&uri("")).unwrap().at(), At::Auto);
        assert_eq!(parse::<AtQuery>(&uri("at=moon")).unwrap_err().code(), "malformed");
        assert_eq!(parse::<RenderQuery>(&uri("meta=1")).unwrap_err().code(), "malformed");
        assert_eq!(parse::<RenderQuery>(&uri("meta=true&meta=false")).unwrap_err().code(), "malformed");
    }
}
