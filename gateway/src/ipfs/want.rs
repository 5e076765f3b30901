//! In which form a request wants its content (path gateway specification, `format` and `Accept`; IPIP-523: `?format=`
//! wins).

use axum::http::HeaderMap;
use rustdht_core::ports::{CarOptions, DagScope, EntityBytes};

use super::{
    accept::{self, MediaRange},
    query::Query,
};
use crate::{codes::HttpCode, problem::Problem};

/// Multicodecs of values.
pub(super) const CBOR: u64 = 0x51;
pub(super) const DAG_CBOR: u64 = 0x71;
pub(super) const DAG_JSON: u64 = 0x0129;
pub(super) const JSON: u64 = 0x0200;

/// A form that is asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Raw,
    Car,
    Tar,
    IpnsRecord,
    DagJson,
    DagCbor,
    Json,
    Cbor,
}

const FORMATS: [(Format, &str, &str); 8] = [
    (Format::Raw, "raw", "application/vnd.ipld.raw"),
    (Format::Car, "car", "application/vnd.ipld.car"),
    (Format::Tar, "tar", "application/x-tar"),
    (Format::IpnsRecord, "ipns-record", "application/vnd.ipfs.ipns-record"),
    (Format::DagJson, "dag-json", "application/vnd.ipld.dag-json"),
    (Format::DagCbor, "dag-cbor", "application/vnd.ipld.dag-cbor"),
    (Format::Json, "json", "application/json"),
    (Format::Cbor, "cbor", "application/cbor"),
];

impl Format {
    /// As `?format=` has it.
    pub(super) fn as_str(self) -> &'static str {
        FORMATS.iter().find(|(format, ..)| *format == self).map_or("", |(_, name, _)| name)
    }

    /// Its media type, without parameters.
    pub(super) fn media(self) -> &'static str {
        FORMATS.iter().find(|(format, ..)| *format == self).map_or("", |(.., media)| media)
    }

    /// The form of a value without any being asked for.
    pub(super) const fn of_codec(codec: u64) -> Option<Self> {
        match codec {
            JSON => Some(Self::Json),
            CBOR => Some(Self::Cbor),
            DAG_JSON => Some(Self::DagJson),
            DAG_CBOR => Some(Self::DagCbor),
            _ => None,
        }
    }

    /// Whether a value of this codec has this form as it is. Values are not translated (IPIP-524).
    pub(super) const fn fits(self, codec: u64) -> bool {
        matches!(
            (self, codec),
            (Self::DagJson, DAG_JSON)
                | (Self::DagCbor, DAG_CBOR)
                | (Self::Json, JSON | DAG_JSON)
                | (Self::Cbor, CBOR | DAG_CBOR)
        )
    }
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// The form; `None`: whatever the content is.
    pub(super) format: Option<Format>,
    /// `Accept` takes others than this form too.
    pub(super) lenient: bool,
    /// `Accept`, not the URL, chose the form.
    pub(super) negotiated: bool,
    /// `Accept` names HTML.
    pub(super) html: bool,
    /// For [`Format::Car`].
    pub(super) car: CarOptions,
    /// Parameters of the archive that came from `Accept`.
    pub(super) car_params: Vec<(&'static str, String)>,
    /// The name to save under.
    pub(super) filename: Option<String>,
    /// Saved rather than shown.
    pub(super) download: bool,
}

impl Want {
    /// # Errors
    /// `malformed` for parameters of an archive that make no sense or are not known here, `not_acceptable` for a form that
    /// is not.
    pub(super) fn of(query: &Query, headers: &HeaderMap) -> Result<Self, Problem> {
        let ranges = accept::ranges(headers);
        let known =
            |range: &MediaRange| FORMATS.iter().find(|(.., media)| *media == range.media).map(|(format, ..)| *format);
        // Websites have a parameter of that name too: one that is none of these is theirs.
        let asked = query.get("format").and_then(|text| FORMATS.iter().find(|(_, name, _)| *name == text));
        let format = match asked {
            Some((format, ..)) => Some(*format),
            None => ranges.iter().find_map(known),
        };
        if format.is_none() {
            refuse_unknown(&ranges)?;
        }
        let mut want = Self {
            format,
            lenient: asked.is_none() && ranges.iter().any(|range| known(range).is_none()),
            negotiated: asked.is_none() && format.is_some(),
            html: ranges.iter().any(|range| range.media == "text/html"),
            car: CarOptions::default(),
            car_params: Vec::new(),
            filename: query.get("filename").filter(|name| !name.is_empty()).map(str::to_owned),
            download: query.get("download") == Some("true"),
        };
        if format == Some(Format::Car) {
            let variants = ranges.iter().filter(|range| known(range) == Some(Format::Car));
            want.archive(query, variants)?;
        }
        Ok(want)
    }

    /// Parameters of an archive: those of the URL win over those of `Accept`, of which the first variant that is known
    /// here counts (IPIP-412, IPIP-523).
    fn archive<'r>(&mut self, query: &Query, variants: impl Iterator<Item = &'r MediaRange>) -> Result<(), Problem> {
        let mut refused = None;
        let mut chosen = None;
        for variant in variants {
            match Archive::of(query, Some(variant)) {
                Ok(archive) => {
                    chosen = Some(archive);
                    break;
                }
                Err(problem) => refused = refused.or(Some(problem)),
            }
        }
        let archive = match (chosen, refused) {
            (Some(archive), _) => archive,
            (None, Some(problem)) => return Err(problem),
            (None, None) => Archive::of(query, None)?,
        };
        self.car.duplicates = archive.duplicates;
        self.car_params = archive.from_accept;
        self.car.bytes = query.get("entity-bytes").map(entity_bytes).transpose()?;
        self.car.scope = match query.get("dag-scope") {
            Some("block") => DagScope::Block,
            Some("entity") => DagScope::Entity,
            // `entity-bytes` implies it.
            None | Some("all") if self.car.bytes.is_some() => DagScope::Entity,
            None | Some("all") => DagScope::All,
            Some(_) => return Err(bad("dag-scope", "dag-scope is block, entity or all")),
        };
        Ok(())
    }
}

/// A vendor's type of IPFS that is not known here, when nothing else is taken.
fn refuse_unknown(ranges: &[MediaRange]) -> Result<(), Problem> {
    let vendors = |range: &MediaRange| {
        range.media.starts_with("application/vnd.ipld.") || range.media.starts_with("application/vnd.ipfs.")
    };
    match ranges.first() {
        Some(first) if ranges.iter().all(vendors) => Err(Problem::new(
            HttpCode::NotAcceptable,
            format!(
                "{} is not known here; raw, car, tar, dag-json, dag-cbor, json, cbor and ipns-record are",
                first.media
            ),
        )),
        _ => Ok(()),
    }
}

struct Archive {
    duplicates: bool,
    from_accept: Vec<(&'static str, String)>,
}

impl Archive {
    fn of(query: &Query, variant: Option<&MediaRange>) -> Result<Self, Problem> {
        let mut from_accept = Vec::new();
        let mut param = |name: &'static str, of_url: &'static str, known: &[&str]| {
            let value = match query.get(of_url).filter(|value| !value.is_empty()) {
                Some(value) => value,
                None => {
                    let value = variant.and_then(|variant| variant.param(name)).unwrap_or("");
                    if !value.is_empty() {
                        from_accept.push((of_url, value.to_owned()));
                    }
                    value
                }
            };
            if value.is_empty() || known.contains(&value) {
                return Ok(value.to_owned());
            }
            let detail = format!("{name} of an archive is {}, not '{value}'", known.join(" or "));
            Err(Problem::malformed(detail).at(of_url))
        };
        param("version", "car-version", &["1"])?;
        // Whoever takes any order takes ours.
        param("order", "car-order", &["dfs", "unk"])?;
        let duplicates = param("dups", "car-dups", &["y", "n"])? == "y";
        Ok(Self { duplicates, from_accept })
    }
}

/// `from:to`, `from:*`.
fn entity_bytes(text: &str) -> Result<EntityBytes, Problem> {
    let read = || {
        let (from, to) = text.split_once(':')?;
        let from = integer(from)?;
        let to = if to == "*" { None } else { Some(integer(to)?) };
        // Ends that count from the same side can be compared without the size.
        let backwards = to.is_some_and(|to| (from < 0) == (to < 0) && to < from);
        (!backwards).then_some(EntityBytes { from, to })
    };
    read().ok_or_else(|| {
        bad("entity-bytes", "entity-bytes is from:to or from:*, in bytes; negative ones count from the end")
    })
}

fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn bad(field: &'static str, detail: &'static str) -> Problem {
    Problem::malformed(detail).at(field)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};
    use proptest::prelude::*;

    use super::*;

    fn want(query: &str, accept: &str) -> Result<Want, Problem> {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        Want::of(&Query::parse(Some(query)), &headers)
    }

    #[test]
    fn the_url_wins() {
        for (query, accept, format, negotiated, lenient) in [
            ("", "", None, false, false),
            ("", "text/html,application/xhtml+xml,*/*;q=0.8", None, false, true),
            ("format=raw", "application/vnd.ipld.car", Some(Format::Raw), false, false),
            ("format=json", "application/vnd.ipld.raw", Some(Format::Json), false, false),
            ("format=mine", "application/vnd.ipld.raw", Some(Format::Raw), true, false),
            ("format=mine", "", None, false, false),
            ("", "application/json, text/plain, */*", Some(Format::Json), true, true),
            ("", "application/cbor;q=0.1, application/x-tar;q=0.2", Some(Format::Tar), true, false),
            ("", "application/vnd.ipld.foo, */*", None, false, true),
        ] {
            let want = want(query, accept).unwrap();
            assert_eq!((want.format, want.negotiated, want.lenient), (format, negotiated, lenient), "{query} {accept}");
        }
        let problem = want("", "application/vnd.ipld.foo").unwrap_err();
        assert_eq!(problem.code(), "not_acceptable");
        for (format, name, media) in FORMATS {
            assert_eq!((format.as_str(), format.media()), (name, media));
        }
    }

    #[test]
    fn archives() {
        let car = "application/vnd.ipld.car";
        for (query, accept, duplicates) in [
            ("format=car", "", false),
            ("format=car", "application/vnd.ipld.car; version=1; order=dfs; dups=y", true),
            ("", "application/vnd.ipld.car; order=unk", false),
            ("format=car&car-order=dfs&car-dups=y", "application/vnd.ipld.car; order=foo; dups=n", true),
            ("", "application/vnd.ipld.car;order=foo, application/vnd.ipld.car;order=dfs;dups=y;q=0.5", true),
            ("format=car&car-dups=", "application/vnd.ipld.raw", false),
        ] {
            let want = want(query, accept).unwrap();
            assert_eq!((want.format, want.car.duplicates), (Some(Format::Car), duplicates), "{query} {accept}");
        }
        for (query, accept) in [
            ("format=car&car-version=2", ""),
            ("format=car&car-order=foo", car),
            ("", "application/vnd.ipld.car; dups=maybe"),
        ] {
            assert_eq!(want(query, accept).unwrap_err().code(), "malformed", "{query} {accept}");
        }
        let params = want("car-dups=n", "application/vnd.ipld.car; order=dfs; dups=y").unwrap().car_params;
        assert_eq!(params, [("car-order", "dfs".to_owned())]);
    }

    #[test]
    fn scopes_and_bytes() {
        let bytes = |from, to| Some(EntityBytes { from, to });
        for (query, scope, expected) in [
            ("", DagScope::All, None),
            ("dag-scope=all", DagScope::All, None),
            ("dag-scope=block", DagScope::Block, None),
            ("dag-scope=entity", DagScope::Entity, None),
            ("entity-bytes=0:*", DagScope::Entity, bytes(0, None)),
            ("dag-scope=all&entity-bytes=-5:*", DagScope::Entity, bytes(-5, None)),
            ("dag-scope=entity&entity-bytes=512:-256", DagScope::Entity, bytes(512, Some(-256))),
            ("entity-bytes=-9999:-3", DagScope::Entity, bytes(-9999, Some(-3))),
        ] {
            let car = want(&format!("format=car&{query}"), "").unwrap().car;
            assert_eq!((car.scope, car.bytes), (scope, expected), "{query}");
        }
        for bad in [
            "dag-scope=full",
            "entity-bytes=",
            "entity-bytes=1",
            "entity-bytes=*:1",
            "entity-bytes=3:1",
            "entity-bytes=-1:-3",
            "entity-bytes=+1:2",
            "entity-bytes=1:99999999999999999999",
        ] {
            assert_eq!(want(&format!("format=car&{bad}"), "").unwrap_err().code(), "malformed", "{bad}");
        }
        assert!(want("entity-bytes=x", "").is_ok(), "only archives have it");
    }

    #[test]
    fn values_are_not_translated() {
        for (format, codecs) in [
            (Format::Json, &[JSON, DAG_JSON][..]),
            (Format::Cbor, &[CBOR, DAG_CBOR]),
            (Format::DagJson, &[DAG_JSON]),
            (Format::DagCbor, &[DAG_CBOR]),
            (Format::Raw, &[]),
        ] {
            for codec in [JSON, DAG_JSON, CBOR, DAG_CBOR, 0x55, 0x70] {
                assert_eq!(format.fits(codec), codecs.contains(&codec), "{format:?} {codec:#x}");
            }
        }
    }

    #[test]
    fn names() {
        let want = want("filename=a%20b&download=true", "").unwrap();
        assert_eq!((want.filename.as_deref(), want.download), (Some("a b"), true));
        let want = self::want("filename=&download=1", "").unwrap();
        assert_eq!((want.filename, want.download), (None, false));
    }

    proptest! {
        #[test]
        fn any_request_is_understood_or_refused(query in "[ -~]{0,40}", accept in "[ -~]{0,40}") {
            let _ = want(&query, &accept);
            let _ = want(&format!("format=car&entity-bytes={query}"), &accept);
        }
    }
}
