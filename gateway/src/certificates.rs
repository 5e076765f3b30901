//! Delegation: certificates with which somebody else writes below `~KEY`.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rustdht_core::{CertificateId, Code, PublicKey, Refusal, Soul, Stamp, cbor};
use rustdht_node::{CertificateFilter, Issue, Principal, Rights, SignedCertificate};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    accounts::NO_STORE,
    auth::{Caller, Reader, Writer},
    body,
    codes::HttpCode,
    commits::answer,
    limits,
    problem::Problem,
    query::{self, WaitQuery},
    rfc3339,
    routes::measured,
    schema,
    tokens::{Grant, lifetime},
};

/// The media type of a signed certificate and those above it: DAG-CBOR `[[bytes, signature], ...]`.
const SIGNED: &str = "application/vnd.rustdht.certificate+cbor";
/// Certificates of one chain (the commit format's bound).
const MAX_CHAIN: usize = 8;

type NoStore = [(HeaderName, HeaderValue); 1];

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(get_certificates, post_certificate)))
        .routes(measured(routes!(get_certificate)))
        .routes(measured(routes!(post_revoke)))
}

/// A certificate to issue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CertificateRequest)]
pub(crate) struct CertificateBody {
    /// Who may: a key, or the name of an account of this gateway.
    #[schema(example = "charles")]
    audience: String,
    /// `~KEY` whose nodes it is about; absent: the caller's own.
    space: Option<String>,
    /// Souls in the space, each with what lies below it; none: the whole space.
    #[serde(default)]
    prefixes: Vec<String>,
    /// Fields; none: all.
    #[serde(default)]
    fields: Vec<String>,
    /// `write`, `delegate` (pass it on), `endorse` (be a member gateway, in the community's space); absent `write`.
    #[serde(default)]
    rights: Vec<String>,
    /// Seconds that it lasts; absent a year, at most ten years.
    expires_in: Option<u64>,
    /// The caller's own certificate that allows this; absent: one is looked for.
    parent: Option<String>,
}

/// How to revoke.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeepQuery {
    /// Writes again, as the caller, what is shown from under the certificate; absent: it is hidden.
    #[serde(default)]
    keep: bool,
}

/// Which certificates to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FilterQuery {
    /// Those that this key, or this account, issued.
    issuer: Option<String>,
    /// Those that were issued to this key, or this account.
    audience: Option<String>,
}

/// A key, or the key that signs for an account of that name.
pub(crate) fn key_of(state: &State, text: &str, field: &str) -> Result<PublicKey, Problem> {
    if let Ok(key) = PublicKey::from_multibase(text) {
        return Ok(key);
    }
    let account = state.node().account(text).map(|account| account.signer);
    account.ok_or_else(|| {
        Refusal::new(Code::BadKey, "neither a key (z6Mk...) nor the name of an account of this gateway")
            .within(field)
            .into()
    })
}

fn read_id(text: &str, field: &'static str) -> Result<CertificateId, Problem> {
    let id = text.parse::<cid::Cid>().ok().and_then(|cid| CertificateId::from_cid(&cid));
    id.ok_or_else(|| Problem::malformed("a certificate's id is a CID (dag-cbor, blake3)").at(field))
}

/// A certificate, and behind it those above it.
fn read_chain(bytes: &[u8]) -> Result<Vec<SignedCertificate>, Problem> {
    let item = cbor::decode(bytes)?;
    let pairs = item.elements()?;
    if pairs.is_empty() || pairs.len() > MAX_CHAIN {
        return Err(Problem::malformed(format!("a chain is 1 to {MAX_CHAIN} certificates")));
    }
    let read = |pair: &cbor::Item<'_>| match pair.elements()? {
        [bytes, signature] => SignedCertificate::decode(bytes.bytes()?, signature.bytes()?),
        _ => Err(Refusal::new(Code::Malformed, "a signed certificate is [bytes, signature]")),
    };
    pairs.iter().map(read).collect::<Result<_, _>>().map_err(Problem::from)
}

/// The chain from a certificate up, as far as it is here.
async fn chain_of(state: &State, leaf: Arc<SignedCertificate>) -> Result<Vec<u8>, Problem> {
    let mut chain = vec![leaf];
    while let Some(parent) = chain.last().and_then(|last| last.certificate().parent)
        && chain.len() < MAX_CHAIN
        && let Some(above) = state.node().certificate(&parent).await?
    {
        chain.push(above);
    }
    let mut out = Vec::new();
    cbor::array(&mut out, chain.len());
    for certificate in &chain {
        out.extend(certificate.encode_pair());
    }
    Ok(out)
}

fn read_rights(names: &[String]) -> Result<Rights, Problem> {
    if names.is_empty() {
        return Ok(Rights { write: true, ..Rights::default() });
    }
    let mut rights = Rights::default();
    for (at, name) in names.iter().enumerate() {
        match name.as_str() {
            "write" => rights.write = true,
            "delegate" => rights.delegate = true,
            "endorse" => rights.endorse = true,
            _ => {
                let refusal = Refusal::new(Code::BadValue, "a right is write, delegate or endorse");
                return Err(refusal.within(&format!("rights.{at}")).into());
            }
        }
    }
    Ok(rights)
}

fn list<T: std::str::FromStr<Err = Refusal>>(texts: &[String], name: &str) -> Result<Vec<T>, Problem> {
    let read = |(at, text): (usize, &String)| {
        text.parse::<T>().map_err(|refusal| refusal.within(&format!("{name}.{at}")).into())
    };
    texts.iter().enumerate().map(read).collect()
}

fn print(certificate: &SignedCertificate, revoked: bool) -> schema::Certificate {
    let body = certificate.certificate();
    let rights = [(body.rights.write, "write"), (body.rights.delegate, "delegate"), (body.rights.endorse, "endorse")];
    schema::Certificate {
        id: certificate.id().to_cid().to_string(),
        issuer: body.issuer.to_string(),
        audience: body.audience.to_string(),
        space: body.space.to_string(),
        prefixes: body.prefixes.iter().map(ToString::to_string).collect(),
        fields: body.fields.iter().map(ToString::to_string).collect(),
        rights: rights.iter().filter(|(held, _)| *held).map(|(_, name)| (*name).to_owned()).collect(),
        not_before: rfc3339::from_ms(body.not_before.ms()),
        not_after: rfc3339::from_ms(body.not_after.ms()),
        parent: body.parent.map(|parent| parent.to_cid().to_string()),
        revoked,
    }
}

/// Whoever delegates or revokes does so for his whole account: a certificate would outlive a narrowed token.
fn delegator(caller: &Caller) -> Result<Principal, Problem> {
    if caller.grant().is_none_or(Grant::is_whole) {
        return caller.may_add();
    }
    Err(Problem::new(HttpCode::InsufficientScope, "a token that was narrowed delegates and revokes nothing"))
}

/// Issue a certificate.
///
/// Signed with the caller's key and kept here; it reaches other gateways with the first write under it. Or, as
/// `application/vnd.rustdht.certificate+cbor`, keeps one that somebody issued to the caller elsewhere: DAG-CBOR
/// `[[certificate, signature], ...]`, those above it behind it. Needs scope `write` for all nodes.
#[utoipa::path(
    post, path = "/api/v1/certificates", tag = "authority",
    request_body(content(
        (CertificateBody = "application/json"),
        (Vec<u8> = "application/vnd.rustdht.certificate+cbor"),
    ), description = "What it allows"),
    responses(
        (status = 201, description = "The certificate", body = schema::Certificate),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_certificate(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<(StatusCode, NoStore, Json<schema::Certificate>), Problem> {
    let by = delegator(&caller)?;
    let (parts, body) = request.into_parts();
    let certificate = if body::media_type(&parts.headers) == SIGNED {
        let mut chain = read_chain(&body::whole(body, limits::MAX_SMALL_BODY_BYTES).await?)?;
        let leaf = chain.remove(0);
        state.node().add_certificate(by, leaf.clone(), chain).await?;
        leaf
    } else {
        let wanted = wanted(&state, &parts.headers, body).await?;
        state.node().issue(by, wanted).await?
    };
    Ok((StatusCode::CREATED, NO_STORE, Json(print(&certificate, false))))
}

async fn wanted(state: &State, headers: &HeaderMap, body: Body) -> Result<Issue, Problem> {
    let body: CertificateBody = body::json(headers, body).await?;
    let time = lifetime(body.expires_in, limits::DEFAULT_CERTIFICATE)?;
    let space = body.space.as_deref().map(str::parse::<Soul>).transpose();
    Ok(Issue {
        audience: key_of(state, &body.audience, "audience")?,
        space: space.map_err(|refusal| refusal.within("space"))?,
        prefixes: list(&body.prefixes, "prefixes")?,
        fields: list(&body.fields, "fields")?,
        rights: read_rights(&body.rights)?,
        not_before: None,
        not_after: Stamp::from_ms(limits::after(state.now_ms(), time)),
        parent: body.parent.as_deref().map(|text| read_id(text, "parent")).transpose()?,
    })
}

/// List certificates.
///
/// Those that are here and that the caller issued or that were issued to him; or those of any `issuer` and `audience`.
/// Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/certificates", tag = "authority",
    params(FilterQuery),
    responses(
        (status = 200, description = "The certificates, at most 1,024 of each side", body = schema::Certificates),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_certificates(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    uri: Uri,
) -> Result<(NoStore, Json<schema::Certificates>), Problem> {
    caller.may_see()?;
    let query: FilterQuery = query::parse(&uri)?;
    let none = CertificateFilter { issuer: None, audience: None, space: None };
    let mut filters = Vec::new();
    if query.issuer.is_some() || query.audience.is_some() {
        let key = |text: &Option<String>, field| text.as_deref().map(|text| key_of(&state, text, field)).transpose();
        let (issuer, audience) = (key(&query.issuer, "issuer")?, key(&query.audience, "audience")?);
        filters.push(CertificateFilter { issuer, audience, ..none });
    } else {
        for key in own_keys(&state, &caller) {
            filters.push(CertificateFilter { issuer: Some(key), ..none });
            filters.push(CertificateFilter { audience: Some(key), ..none });
        }
    }
    let mut found = Vec::new();
    for filter in filters {
        found.extend(state.node().certificates(filter).await?);
    }
    found.sort_unstable_by_key(|certificate| certificate.id());
    found.dedup_by_key(|certificate| certificate.id());
    let mut certificates = Vec::with_capacity(found.len());
    for certificate in found {
        let revoked = state.node().is_revoked(&certificate.id()).await?;
        certificates.push(print(&certificate, revoked));
    }
    Ok((NO_STORE, Json(schema::Certificates { certificates })))
}

/// The keys that sign for the caller here.
fn own_keys(state: &State, caller: &Caller) -> Vec<PublicKey> {
    let mut keys = match caller.principal() {
        Principal::Owner | Principal::Internal => {
            let identity = state.node().identity();
            vec![identity.gateway, identity.community]
        }
        Principal::Account(key) => {
            let signer = state.node().account_by_key(&key).map(|account| account.signer);
            [Some(key), signer].into_iter().flatten().collect()
        }
        Principal::Anonymous => Vec::new(),
    };
    keys.dedup();
    keys
}

/// Read a certificate.
///
/// With `Accept: application/vnd.rustdht.certificate+cbor` as signed, with those above it, for its holder to bring to
/// another gateway. Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/certificates/{id}", tag = "authority",
    params(("id" = String, Path, description = "Its CID")),
    responses(
        (status = 200, description = "The certificate", content(
            (schema::Certificate = "application/json"),
            (Vec<u8> = "application/vnd.rustdht.certificate+cbor"),
        )),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_certificate(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    request: Request,
) -> Result<Response, Problem> {
    caller.may_see()?;
    let id = id_of(request.uri())?;
    let certificate = state
        .node()
        .certificate(&id)
        .await?
        .ok_or_else(|| Problem::not_found("no certificate of that id is here").at("id"))?;
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.split(',').any(|one| one.split(';').next().unwrap_or_default().trim() == SIGNED) {
        let chain = chain_of(&state, certificate).await?;
        return Ok((NO_STORE, [(header::CONTENT_TYPE, HeaderValue::from_static(SIGNED))], chain).into_response());
    }
    let revoked = state.node().is_revoked(&id).await?;
    Ok((NO_STORE, Json(print(&certificate, revoked))).into_response())
}

fn id_of(uri: &Uri) -> Result<CertificateId, Problem> {
    read_id(&query::segment(uri, "/api/v1/certificates/", 0, "id")?, "id")
}

/// Revoke a certificate.
///
/// What was written under it, or under one that descends from it, is hidden everywhere once a gateway learns of it,
/// whatever its stamp. The owner of the space may, and whoever issued a certificate of its chain. Needs scope `write`
/// for all nodes.
#[utoipa::path(
    post, path = "/api/v1/certificates/{id}/revoke", tag = "authority",
    params(("id" = String, Path, description = "Its CID"), KeepQuery, WaitQuery),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Committed),
        (status = 202, description = "Durable here", body = schema::Committed),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_revoke(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    uri: Uri,
) -> Result<(StatusCode, Json<schema::Committed>), Problem> {
    let by = delegator(&caller)?;
    let id = id_of(&uri)?;
    let KeepQuery { keep } = query::parse(&uri)?;
    let wait = query::parse::<WaitQuery>(&uri)?.wait()?;
    Ok(answer(state.node().revoke(by, &id, keep, wait).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights() {
        let read = |names: &[&str]| read_rights(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let all = read(&["write", "delegate", "endorse"]).unwrap();
        assert!(all.write && all.delegate && all.endorse);
        let default = read(&[]).unwrap();
        assert!(default.write && !default.delegate && !default.endorse);
        let delegate = read(&["delegate"]).unwrap();
        assert!(delegate.delegate && !delegate.write);
        assert_eq!(read(&["write", "own"]).unwrap_err().field(), "rights.1");
    }

    #[test]
    fn a_chain_that_is_none_is_malformed() {
        for bytes in [&b""[..], b"x", &[0x80], &[0x81, 0x80], &[0x81, 0x82, 0x40, 0x40], &[0x89; 10], &[0xa0]] {
            assert!(matches!(read_chain(bytes).unwrap_err().code(), "malformed" | "bad_signature"), "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_chain_or_a_problem(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            proptest::prop_assert!(read_chain(&bytes).is_err());
        }
    }

    #[test]
    fn ids_are_cids() {
        let id = CertificateId([7; 32]);
        assert_eq!(read_id(&id.to_cid().to_string(), "id").unwrap(), id);
        for bad in ["", "x", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"] {
            assert_eq!(read_id(bad, "id").unwrap_err().code(), "malformed", "{bad}");
        }
    }
}
