//! Archives (trustless gateway specification, "CAR Responses").

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rustdht_core::ports::{CarOptions, DagKind, DagScope, DagStore, Resolved};

use super::{
    conditional::Version,
    fault, flow, headers,
    names::Target,
    path,
    serve::{Ask, Found},
    want::Format,
};
use crate::{State, problem::Problem};

/// # Errors
/// `malformed` for bytes that the file does not have, `not_found`, `timed_out`.
pub(super) async fn answer(
    state: &State,
    ask: &Ask,
    store: &dyn DagStore,
    target: &Target,
    found: &Found,
) -> Result<Response, Problem> {
    let options = ask.want.car;
    within_the_file(options, found)?;
    let version = Version::new(tag(target, options), None);
    let headers = found.headers(ask, &version);
    if let Some(response) = found.unchanged(ask, &version, &headers)? {
        return Ok(response);
    }
    respond(state, ask, store, target, headers).await
}

/// The blocks that show that a path leads nowhere, so that a client need not believe a 404 (trustless gateway
/// specification, `entity-bytes`: "SHOULD respond with HTTP 200").
///
/// # Errors
/// `not_found`, `timed_out`.
pub(super) async fn of_nothing(
    state: &State,
    ask: &Ask,
    store: &dyn DagStore,
    target: &Target,
    way: &Resolved,
) -> Result<Response, Problem> {
    let mut headers = HeaderMap::with_capacity(8);
    headers::put(&mut headers, headers::X_IPFS_PATH, &ask.path.url());
    headers::put_roots(&mut headers, way);
    let version = Version::new(tag(target, ask.want.car), None);
    headers::put(&mut headers, header::ETAG, &version.tag);
    if let Some(value) = headers::cache_control(target.freshness) {
        headers.insert(header::CACHE_CONTROL, value);
    }
    if version.check(&ask.headers) == Some(StatusCode::NOT_MODIFIED) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    respond(state, ask, store, target, headers).await
}

async fn respond(
    state: &State,
    ask: &Ask,
    store: &dyn DagStore,
    target: &Target,
    mut headers: HeaderMap,
) -> Result<Response, Problem> {
    let options = ask.want.car;
    let name = ask.want.filename.clone().unwrap_or_else(|| match ask.path.name() {
        Some(name) => format!("{}_{name}.car", target.root),
        None => format!("{}.car", target.root),
    });
    headers.insert(header::CONTENT_DISPOSITION, headers::disposition("attachment", &name));
    let dups = if options.duplicates { "y" } else { "n" };
    headers::put(
        &mut headers,
        header::CONTENT_TYPE,
        &format!("{}; version=1; order=dfs; dups={dups}", Format::Car.media()),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What follows a byte of an archive is asked for by path and scope.
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    let body = if ask.head {
        Body::empty()
    } else {
        let pieces = fault::within(state, store.car(&target.root, &target.segments, options)).await?;
        let pieces = pieces.map_err(|error| fault::of_path(error, ask.fetch))?;
        flow::body(state, ask, flow::begun(state, pieces).await?.1)
    };
    Ok((StatusCode::OK, headers, body).into_response())
}

/// "SHOULD return an HTTP 400 when the requested range is entirely outside of the entity's byte range and the Gateway is
/// able to determine this upfront".
fn within_the_file(options: CarOptions, found: &Found) -> Result<(), Problem> {
    let (Some(bytes), DagKind::File, Some(size)) = (options.bytes, found.resolved.kind, found.resolved.size) else {
        return Ok(());
    };
    let begins_behind = u64::try_from(bytes.from).is_ok_and(|from| from >= size && size > 0);
    let ends_before = bytes.to.is_some_and(|to| to < 0 && to.unsigned_abs() > size);
    if begins_behind || ends_before {
        return Err(Problem::malformed(format!("the file has only {size} bytes")).at("entity-bytes"));
    }
    Ok(())
}

/// Weak, since the bytes of an archive are not promised to be the same in the next version; another one for each path,
/// scope and range.
fn tag(target: &Target, options: CarOptions) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(path::url_of(&target.segments, false).as_bytes());
    hasher.update(match options.scope {
        DagScope::Block => b"\0block",
        DagScope::Entity => b"\0entity",
        DagScope::All => b"\0all",
    });
    if let Some(bytes) = options.bytes {
        hasher.update(b"\0bytes");
        hasher.update(&bytes.from.to_le_bytes());
        hasher.update(&bytes.to.map_or([0xff; 9], |to| {
            let mut end = [0; 9];
            end[..8].copy_from_slice(&to.to_le_bytes());
            end
        }));
    }
    if options.duplicates {
        hasher.update(b"\0dups");
    }
    format!("W/\"{}.car.{}\"", target.root, &hasher.finalize().to_hex()[..16])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rustdht_core::ports::EntityBytes;

    use super::*;
    use crate::ipfs::names::Freshness;

    #[test]
    fn every_variant_has_a_tag_of_its_own() {
        let bytes = |from, to| Some(EntityBytes { from, to });
        let options = |scope, bytes, duplicates| CarOptions { scope, bytes, duplicates };
        let mut tags = HashSet::new();
        let mut count = 0;
        for segments in [&[][..], &["a"], &["a", "b"], &["a/b"]] {
            for options in [
                options(DagScope::All, None, false),
                options(DagScope::All, None, true),
                options(DagScope::Block, None, false),
                options(DagScope::Entity, None, false),
                options(DagScope::Entity, bytes(0, None), false),
                options(DagScope::Entity, bytes(0, Some(-1)), false),
                options(DagScope::Entity, bytes(0, Some(5)), false),
                options(DagScope::Entity, bytes(1, Some(5)), false),
            ] {
                let segments = segments.iter().map(|text| (*text).to_owned()).collect();
                let root = "bafkqaaa".parse().unwrap();
                let target = Target { root, segments, prefix: 0, freshness: Freshness::Immutable };
                tags.insert(tag(&target, options));
                count += 1;
            }
        }
        assert_eq!(tags.len(), count);
        assert!(tags.iter().all(|tag| tag.starts_with("W/\"bafkqaaa.car.")));
    }
}
