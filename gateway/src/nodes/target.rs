//! Which node a URL names.

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use rustdht_core::{Code, Field, Refusal, Soul};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{limits, problem::Problem, query};

/// What the paths of nodes begin with.
pub(super) const PREFIX: &str = "/api/v1/nodes/";

/// The soul as a query parameter, for souls that proxies mangle in a path.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SoulQuery {
    /// The soul.
    #[serde(default)]
    #[param(required)]
    soul: String,
}

fn decoded(segment: &str, code: Code) -> Result<std::borrow::Cow<'_, str>, Problem> {
    percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Refusal::new(code, "the path is not UTF-8 once its percent signs are decoded").into())
}

fn soul(text: &str) -> Result<Soul, Problem> {
    text.parse().map_err(|refusal| Problem::from(refusal).at("soul"))
}

/// The soul of `/api/v1/nodes/{soul}`: one percent-encoded segment.
pub(super) fn from_path(uri: &Uri) -> Result<Soul, Problem> {
    let rest = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let segment = rest.split('/').next().unwrap_or_default();
    soul(&decoded(segment, Code::BadSoul)?)
}

/// The soul of `/api/v1/node?soul=`.
pub(super) fn from_query(uri: &Uri) -> Result<Soul, Problem> {
    soul(&query::parse::<SoulQuery>(uri)?.soul)
}

/// The fields of `/api/v1/nodes/{soul}/path/{a}/{b}...`.
pub(super) fn segments(uri: &Uri) -> Result<Vec<Field>, Problem> {
    let rest = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let path = rest.split_once("/path/").map_or("", |(_, path)| path);
    if path.split('/').nth(limits::MAX_PATH_SEGMENTS).is_some() {
        return Err(Refusal::new(
            Code::OutOfRange,
            format!("a path has at most {} segments", limits::MAX_PATH_SEGMENTS),
        )
        .into());
    }
    path.split('/')
        .enumerate()
        .map(|(at, segment)| {
            let field: Result<Field, Refusal> = decoded(segment, Code::BadField)?.parse();
            field.map_err(|refusal| Problem::from(refusal).at(format!("path.{at}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<String, &'static str> {
        from_path(&text.parse().unwrap()).map(|soul| soul.to_string()).map_err(|problem| problem.code())
    }

    #[test]
    fn souls_in_a_path() {
        assert_eq!(path("/api/v1/nodes/people%2Fada"), Ok("people/ada".into()));
        assert_eq!(path("/api/v1/nodes/a/path/b"), Ok("a".into()));
        assert_eq!(path("/api/v1/nodes/%5E"), Err("bad_soul"));
        assert_eq!(path("/api/v1/nodes/%FF"), Err("bad_soul"));
        assert_eq!(path("/api/v1/nodes/"), Err("bad_soul"));
        assert_eq!(path(&format!("/api/v1/nodes/{}", "x".repeat(513))), Err("bad_soul"));
        assert_eq!(path("/api/v1/nodes/%00"), Err("bad_soul"));
    }

    #[test]
    fn souls_in_a_query() {
        let query = |text: &str| from_query(&format!("/api/v1/node{text}").parse().unwrap());
        assert_eq!(query("?soul=people/ada&meta=true").unwrap().as_str(), "people/ada");
        assert_eq!(query("?soul=a%2Bb").unwrap().as_str(), "a+b");
        for bad in ["", "?", "?soul=", "?x=1"] {
            assert_eq!(query(bad).unwrap_err().code(), "bad_soul", "{bad}");
        }
        assert_eq!(query("?soul=a&soul=b").unwrap_err().code(), "malformed");
    }

    #[test]
    fn fields_in_a_path() {
        let fields = |text: &str| segments(&text.parse().unwrap());
        let read: Vec<String> =
            fields("/api/v1/nodes/a%2Fpath%2Fx/path/b%2Fc/d").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["b/c", "d"]);
        let problem = fields("/api/v1/nodes/a/path/b//c").unwrap_err();
        assert_eq!((problem.code(), problem.field()), ("bad_field", "path.1"));
        assert_eq!(fields(&format!("/api/v1/nodes/a/path{}", "/x".repeat(33))).unwrap_err().code(), "out_of_range");
        assert_eq!(fields(&format!("/api/v1/nodes/a/path{}", "/x".repeat(32))).unwrap().len(), 32);
    }
}
