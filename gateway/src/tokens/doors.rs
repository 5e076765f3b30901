//! Making, listing and revoking tokens over HTTP.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State as Shared},
    http::{HeaderName, HeaderValue, StatusCode, Uri},
};
use rustdht_core::{Code, Refusal, Soul};
use rustdht_node::{AccountFault, Principal, TokenId, TokenRow};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Claims, Grant, Holder, Scope, Scopes};
use crate::{
    State,
    accounts::NO_STORE,
    auth::{Caller, Reader},
    body,
    codes::HttpCode,
    limits,
    problem::Problem,
    query::{self, PageQuery},
    rfc3339,
    routes::measured,
    schema,
};

type NoStore = [(HeaderName, HeaderValue); 1];

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(get_tokens, post_token))).routes(measured(routes!(delete_token)))
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenRequest)]
pub(crate) struct TokenBody {
    /// The account that it speaks for. Absent: for an account that asks, itself; else the owner.
    user: Option<String>,
    /// `read`, `write` (includes `read`), `admin` (includes all), `register` (one account: an invite code).
    #[schema(example = json!(["read", "write"]))]
    scopes: Vec<String>,
    /// Souls that it is for, each with what lies below it; none: every soul, and files.
    #[serde(default)]
    prefixes: Vec<String>,
    /// What it is for, up to 256 bytes.
    #[serde(default)]
    note: String,
    /// Seconds that it lives; absent 90 days, at most ten years.
    expires_in: Option<u64>,
}

fn bad(field: &str, detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Refusal::new(Code::BadValue, detail).within(field).into()
}

fn read_scopes(names: &[String]) -> Result<Scopes, Problem> {
    let scope = |(at, name): (usize, &String)| {
        name.parse::<Scope>().map_err(|()| bad(&format!("scopes.{at}"), "a scope is read, write, admin or register"))
    };
    let scopes: Scopes = names.iter().enumerate().map(scope).collect::<Result<_, _>>()?;
    if scopes.is_empty() { Err(bad("scopes", "a token has at least one scope")) } else { Ok(scopes) }
}

fn check_prefixes(prefixes: &[String]) -> Result<(), Problem> {
    if prefixes.len() > limits::MAX_TOKEN_PREFIXES {
        return Err(bad("prefixes", format!("a token has at most {} prefixes", limits::MAX_TOKEN_PREFIXES)));
    }
    for (at, prefix) in prefixes.iter().enumerate() {
        // `blog/` means what lies below `blog`, not `blog` itself.
        let soul: Result<Soul, Refusal> = prefix.strip_suffix('/').unwrap_or(prefix).parse();
        soul.map_err(|refusal| refusal.within(&format!("prefixes.{at}")))?;
    }
    Ok(())
}

/// Seconds as a time within the bounds.
pub(crate) fn lifetime(seconds: Option<u64>, default: Duration) -> Result<Duration, Problem> {
    match seconds.map(Duration::from_secs) {
        None => Ok(default),
        Some(time) if !time.is_zero() && time <= limits::MAX_LIFETIME => Ok(time),
        Some(_) => {
            let detail = format!("expires_in is 1 to {} seconds", limits::MAX_LIFETIME.as_secs());
            Err(Refusal::new(Code::OutOfRange, detail).within("expires_in").into())
        }
    }
}

/// Make a token.
///
/// Its text is shown this once. With scope `admin` for anybody; an account makes tokens for itself, of scopes that the
/// token it asks with has, unless that one is narrowed to some nodes: then it adds a check to it instead, which needs no
/// gateway.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "accounts",
    request_body = TokenBody,
    responses(
        (status = 201, description = "The token", body = schema::NewToken),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_token(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    request: Request,
) -> Result<(StatusCode, NoStore, Json<schema::NewToken>), Problem> {
    let (parts, body) = request.into_parts();
    let wanted: TokenBody = body::json(&parts.headers, body).await?;
    let scopes = read_scopes(&wanted.scopes)?;
    check_prefixes(&wanted.prefixes)?;
    if wanted.note.len() > limits::MAX_NOTE_BYTES {
        return Err(bad("note", format!("a note has at most {} bytes", limits::MAX_NOTE_BYTES)));
    }
    let time = lifetime(wanted.expires_in, limits::DEFAULT_TOKEN)?;
    let now_ms = state.now_ms();
    let mut expires_ms = limits::after(now_ms, time);
    let holder = match runs_gateway(&caller) {
        Ok(()) => holder(&state, &caller, wanted.user.as_deref())?,
        Err(problem) => {
            let Some(grant) = own(&caller) else { return Err(problem) };
            let own = match &grant.holder {
                Holder::Account { name, .. } => wanted.user.as_ref().is_none_or(|user| user == name),
                Holder::Owner => wanted.user.is_none(),
            };
            if !own || !grant.scopes.cover(scopes) {
                let detail = "a token for somebody else, or for more than this one is for, needs scope 'admin'";
                return Err(Problem::new(HttpCode::InsufficientScope, detail));
            }
            // Or a token could be made to outlive itself.
            expires_ms = expires_ms.min(grant.expires_ms);
            grant.holder.clone()
        }
    };
    let claims = Claims { id: state.token_id(), holder, scopes, prefixes: wanted.prefixes, expires_ms };
    let token = issue(&state, claims, wanted.note, now_ms).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(token)))
}

/// For whom somebody who runs the gateway makes a token.
fn holder(state: &State, caller: &Caller, user: Option<&str>) -> Result<Holder, Problem> {
    let account = match (user, caller.principal()) {
        (None, Principal::Account(key)) => state.node().account_by_key(&key),
        (None, _) => return Ok(Holder::Owner),
        (Some(name), _) => state.node().account(name),
    };
    let account = account.ok_or_else(|| Problem::from(AccountFault::Unknown).at("user"))?;
    Ok(Holder::Account { key: account.key, name: account.name })
}

/// Makes a token and keeps its row.
///
/// # Errors
/// When the row cannot be kept; then there is no token either.
pub(crate) async fn issue(
    state: &State,
    claims: Claims,
    note: String,
    now_ms: u64,
) -> Result<schema::NewToken, Problem> {
    let token = state.tokens().mint(&claims, &state.random())?;
    let (account, user) = match &claims.holder {
        Holder::Owner => (None, None),
        Holder::Account { key, name } => (Some(*key), Some(name.clone())),
    };
    let row = TokenRow {
        id: claims.id,
        account,
        scopes: claims.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        prefixes: claims.prefixes,
        note,
        created_ms: now_ms,
        expires_ms: Some(claims.expires_ms),
        revoked_ms: None,
    };
    state.node().save_token(row.clone()).await?;
    Ok(schema::NewToken { token, about: about(row, user) })
}

fn about(row: TokenRow, user: Option<String>) -> schema::Token {
    schema::Token {
        id: row.id.to_string(),
        user,
        key: row.account.map(|key| key.to_string()),
        scopes: row.scopes,
        prefixes: row.prefixes,
        note: row.note,
        created: rfc3339::from_ms(row.created_ms),
        expires: row.expires_ms.map(rfc3339::from_ms),
        revoked: row.revoked_ms.map(rfc3339::from_ms),
    }
}

/// Who runs the gateway, with a token that nobody narrowed: what it makes would not be.
fn runs_gateway(caller: &Caller) -> Result<(), Problem> {
    caller.may_administer()?;
    if caller.grant().is_none_or(Grant::is_whole) {
        return Ok(());
    }
    Err(Problem::new(HttpCode::InsufficientScope, "a token that was narrowed makes and revokes no others"))
}

/// A token that speaks for its holder. An invite code does not: it is the owner's, in the hand of a stranger.
fn own(caller: &Caller) -> Option<&Grant> {
    caller.grant().filter(|grant| grant.is_whole() && grant.has(Scope::Read).is_ok())
}

/// Whose tokens a caller may look at: all (`None`), or those of one account.
///
/// # Errors
/// `unauthenticated` or `insufficient_scope`.
fn whose(caller: &Caller) -> Result<Option<Principal>, Problem> {
    match runs_gateway(caller) {
        Ok(()) => Ok(None),
        Err(problem) => own(caller).map(|grant| Some(grant.principal())).ok_or(problem),
    }
}

/// Whether a caller who does not run the gateway may revoke a token of his: one that is for no more than his own.
fn may_revoke(caller: &Caller, row: &TokenRow) -> bool {
    let Some(grant) = caller.grant() else { return true };
    let scopes: Option<Scopes> = row.scopes.iter().map(|name| name.parse::<Scope>().ok()).collect();
    row.id == grant.id || scopes.is_some_and(|scopes| grant.scopes.cover(scopes))
}

fn is_of(row: &TokenRow, whose: Option<Principal>) -> bool {
    whose.is_none_or(|whose| row.account.map_or(Principal::Owner, Principal::Account) == whose)
}

/// List the tokens.
///
/// With scope `admin` all of them, else those of the account that asks. Their texts are not kept.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "accounts",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of tokens", body = schema::Tokens),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_tokens(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    uri: Uri,
) -> Result<(NoStore, Json<schema::Tokens>), Problem> {
    let whose = whose(&caller)?;
    let page: PageQuery = query::parse(&uri)?;
    let limit = page.limit()?;
    let cursor =
        page.cursor.map(|text| text.parse::<TokenId>().map_err(|_| Problem::malformed("no cursor").at("cursor")));
    let mut after = cursor.transpose()?;
    let mut tokens = Vec::new();
    let mut more = true;
    while more && tokens.len() < limit {
        let rows = state.node().tokens(after, limits::MAX_PAGE);
        more = rows.len() == limits::MAX_PAGE;
        for row in rows {
            if tokens.len() == limit {
                more = true;
                break;
            }
            after = Some(row.id);
            if is_of(&row, whose) {
                let user = row.account.and_then(|key| state.node().account_by_key(&key)).map(|account| account.name);
                tokens.push(about(row, user));
            }
        }
    }
    let next = after.filter(|_| more).map(|id| id.to_string());
    Ok((NO_STORE, Json(schema::Tokens { tokens, next })))
}

/// Revoke a token.
///
/// At once, with every token that was made from it by adding checks. With scope `admin` any, else those of the account
/// that asks which are for no more than the token it asks with.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The token, 32 hex digits")),
    responses(
        (status = 204, description = "It is revoked, or was already"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn delete_token(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let whose = whose(&caller)?;
    let unknown = || Problem::not_found("no token of that id is of this gateway").at("id");
    let text = query::segment(&uri, "/api/v1/tokens/", 0, "id")?;
    let id: TokenId = text.parse().map_err(|_| Problem::malformed("a token's id is 32 hex digits").at("id"))?;
    let row = state.node().token(&id).filter(|row| is_of(row, whose)).ok_or_else(unknown)?;
    if whose.is_some() && !may_revoke(&caller, &row) {
        let detail = "a token that is for more than this one is revoked with scope 'admin'";
        return Err(Problem::new(HttpCode::InsufficientScope, detail));
    }
    // An invite code that is being used may be given back; it must not be after this.
    let _no_registration = state.registering().lock().await;
    state.node().revoke_token(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_prefixes_of_a_request() {
        let scopes = |names: &[&str]| read_scopes(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert!(scopes(&["read", "write"]).unwrap().include(Scope::Write));
        assert_eq!(scopes(&["read", "all"]).unwrap_err().field(), "scopes.1");
        assert_eq!(scopes(&[]).unwrap_err().field(), "scopes");
        let prefixes = |list: &[&str]| check_prefixes(&list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert!(prefixes(&["people", "blog/"]).is_ok());
        assert_eq!(prefixes(&["people", ""]).unwrap_err().field(), "prefixes.1");
        assert_eq!(prefixes(&["~x"]).unwrap_err().code(), "bad_soul");
        assert!(prefixes(&["a"; limits::MAX_TOKEN_PREFIXES + 1]).is_err());
    }

    #[test]
    fn times_to_live() {
        assert_eq!(lifetime(None, limits::SESSION).unwrap(), limits::SESSION);
        assert_eq!(lifetime(Some(60), limits::SESSION).unwrap(), Duration::from_secs(60));
        for bad in [0, limits::MAX_LIFETIME.as_secs() + 1, u64::MAX] {
            assert_eq!(lifetime(Some(bad), limits::SESSION).unwrap_err().code(), "out_of_range");
        }
    }
}
