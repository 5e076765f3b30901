//! IPNS names: the keys of this gateway, publishing, and what names stand for.

use axum::{
    Json,
    extract::{Request, State as Shared},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
};
use data_encoding::BASE64;
use rustdht_core::{Code, Refusal, ports::Fetch};
use rustdht_node::{NameKey, NewName, PublishedName, SELF_KEY};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::{Admin, Reader},
    body,
    problem::Problem,
    query, rfc3339,
    routes::measured,
    schema,
};

const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

type Answer<T> = Result<([(HeaderName, HeaderValue); 1], Json<T>), Problem>;
type Made<T> = Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<T>), Problem>;

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(get_keys, post_key)))
        .routes(measured(routes!(delete_key)))
        .routes(measured(routes!(post_name)))
        .routes(measured(routes!(get_resolved)))
}

/// A key to make or to take.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewNameKey)]
pub(crate) struct NewKeyBody {
    /// What it is to be called: 1 to 64 of `a-z A-Z 0-9 _ . -`.
    #[schema(example = "site")]
    key: String,
    /// A private key from elsewhere, in base64: what `ipfs key export` writes (Ed25519), or 32 bytes. Without one a key
    /// is made.
    private: Option<String>,
}

impl std::fmt::Debug for NewKeyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKeyBody").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A name to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPublished)]
pub(crate) struct NewNameBody {
    /// The key whose name it is; absent: `self`.
    key: Option<String>,
    /// `/ipfs/{cid}...`, `/ipns/{name}...` or a CID.
    #[schema(example = "/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")]
    value: String,
    /// For how many seconds the record is valid; absent: 48 hours. A minute at least, ten years at most.
    lifetime_s: Option<u64>,
    /// For how many seconds others may keep it before they ask again; absent: 300.
    ttl_s: Option<u64>,
}

impl From<NameKey> for schema::NameKey {
    fn from(key: NameKey) -> Self {
        Self { key: key.key, name: key.name.to_string() }
    }
}

impl From<PublishedName> for schema::Published {
    fn from(published: PublishedName) -> Self {
        Self {
            name: published.name.to_string(),
            value: published.record.value,
            sequence: published.record.sequence,
            valid_until: rfc3339::from_ms(published.record.until_ms),
            ttl_s: published.record.ttl_s,
        }
    }
}

/// List the keys that publish names.
///
/// Needs scope `admin`.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "names",
    responses(
        (status = 200, description = "The keys", body = schema::NameKeys),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_keys(Shared(state): Shared<State>, _: Admin) -> Answer<schema::NameKeys> {
    let keys = state.node().name_keys().await?.into_iter().map(Into::into).collect();
    Ok((NO_STORE, Json(schema::NameKeys { keys })))
}

/// Make a key, or take one from elsewhere.
///
/// Ed25519. It is kept sealed and never given out. Needs scope `admin`.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "names",
    request_body = NewKeyBody,
    responses(
        (status = 201, description = "The key", body = schema::NameKey),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_key(Shared(state): Shared<State>, _: Admin, request: Request) -> Made<schema::NameKey> {
    let (parts, body) = request.into_parts();
    let NewKeyBody { key, private } = body::json(&parts.headers, body).await?;
    let made = match private {
        None => state.node().create_name_key(&key).await?,
        Some(private) => {
            let bytes = BASE64
                .decode(private.as_bytes())
                .map_err(|_| Problem::from(Refusal::new(Code::BadValue, "not base64").within("private")))?;
            state.node().import_name_key(&key, &bytes).await?
        }
    };
    Ok((StatusCode::CREATED, NO_STORE, Json(made.into())))
}

/// Remove a key for good.
///
/// Nobody can publish its name any more; what it published stays with others until its time is over. Needs scope `admin`.
#[utoipa::path(
    delete, path = "/api/v1/keys/{key}", tag = "names",
    params(("key" = String, Path, description = "What it is called")),
    responses(
        (status = 200, description = "The key that was", body = schema::NameKey),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn delete_key(Shared(state): Shared<State>, _: Admin, uri: Uri) -> Answer<schema::NameKey> {
    let key = query::segment(&uri, "/api/v1/keys/", 0, "key")?;
    Ok((NO_STORE, Json(state.node().remove_name_key(&key).await?.into())))
}

/// Publish what a name stands for.
///
/// Durable here when it is answered; given to the routers that this gateway asks, and again every four hours. Needs scope
/// `admin`.
#[utoipa::path(
    post, path = "/api/v1/names", tag = "names",
    request_body = NewNameBody,
    responses(
        (status = 200, description = "The name", body = schema::Published),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_name(Shared(state): Shared<State>, _: Admin, request: Request) -> Answer<schema::Published> {
    let (parts, body) = request.into_parts();
    let NewNameBody { key, value, lifetime_s, ttl_s } = body::json(&parts.headers, body).await?;
    let key = key.unwrap_or_else(|| SELF_KEY.to_owned());
    let lifetime_ms = lifetime_s.map(|lifetime_s| lifetime_s.saturating_mul(1000));
    let published = state.node().publish_name(NewName { key, value, lifetime_ms, ttl_s }).await?;
    Ok((NO_STORE, Json(published.into())))
}

/// How to look a name up.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ResolveQuery {
    /// `false`: only this name is followed, not those that it stands for.
    recursive: Option<bool>,
    /// Only what is known here.
    #[serde(default)]
    local: bool,
}

/// Look up what a name stands for.
///
/// An IPNS name, or a domain with a DNSLink; names that stand for names are followed, 32 at most.
#[utoipa::path(
    get, path = "/api/v1/names/{name}", tag = "names",
    params(("name" = String, Path, description = "An IPNS name or a domain"), ResolveQuery),
    responses(
        (status = 200, description = "What it stands for", body = schema::Resolved),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_resolved(Shared(state): Shared<State>, _: Reader, uri: Uri) -> Answer<schema::Resolved> {
    let name = query::segment(&uri, "/api/v1/names/", 0, "name")?;
    let query: ResolveQuery = query::parse(&uri)?;
    let fetch = if query.local { Fetch::LocalOnly } else { Fetch::Allowed };
    let found = state.node().resolve_name(&name, query.recursive.unwrap_or(true), fetch).await?;
    Ok((NO_STORE, Json(schema::Resolved { name, value: found.value, ttl_s: found.ttl_s })))
}
