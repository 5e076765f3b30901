//! Accounts: people and programs whose keys this gateway keeps, and their logins.

use axum::{
    Json,
    extract::{Request, State as Shared},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
};
use rustdht_core::{Code, Refusal};
use rustdht_node::{Account, AccountFault, NewAccount};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    Registration, State,
    auth::{Admin, Anyone, Caller, Reader},
    body,
    codes::HttpCode,
    limits,
    problem::Problem,
    query::{self, PageQuery},
    rfc3339,
    routes::measured,
    schema,
    tokens::{Asked, Claims, Holder, Scope, Scopes, Target, issue},
};

/// Answers about accounts are nobody else's.
pub(crate) const NO_STORE: [(HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

type Answer<T> = Result<([(HeaderName, HeaderValue); 1], Json<T>), Problem>;
type Made<T> = Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<T>), Problem>;

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(get_accounts, post_account)))
        .routes(measured(routes!(get_account)))
        .routes(measured(routes!(post_disable)))
        .routes(measured(routes!(post_enable)))
        .routes(measured(routes!(post_rotate)))
        .routes(measured(routes!(put_password)))
        .routes(measured(routes!(post_session)))
}

/// An account to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAccount)]
pub(crate) struct NewAccountBody {
    /// 1 to 64 of `a-z 0-9 _ . -`.
    #[schema(example = "ada")]
    name: String,
    /// 10 to 1,024 bytes. Without one the account is used with tokens only; who registers himself needs one.
    password: Option<String>,
    /// The invite code, where registration asks for one.
    invite: Option<String>,
}

/// A login.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The account.
    name: String,
    /// Its password.
    password: String,
}

/// A new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// 10 to 1,024 bytes.
    password: String,
    /// The password until now; who runs the gateway leaves it out.
    current: Option<String>,
}

impl From<Account> for schema::Account {
    fn from(account: Account) -> Self {
        Self {
            name: account.name,
            key: account.key.to_string(),
            signer: account.signer.to_string(),
            recipient: data_encoding::HEXLOWER.encode(&account.recipient),
            created: rfc3339::from_ms(account.created_ms),
            disabled: account.disabled_ms.map(rfc3339::from_ms),
            has_password: account.has_password,
        }
    }
}

fn check_password(password: &str) -> Result<(), Problem> {
    if limits::PASSWORD_BYTES.contains(&password.len()) {
        return Ok(());
    }
    let (least, most) = (limits::PASSWORD_BYTES.start(), limits::PASSWORD_BYTES.end());
    Err(Refusal::new(Code::BadValue, format!("a password has {least} to {most} bytes")).within("password").into())
}

/// The name in `/api/v1/accounts/{name}/...`.
fn named(uri: &Uri) -> Result<String, Problem> {
    query::segment(uri, "/api/v1/accounts/", 0, "name")
}

fn find(state: &State, name: &str) -> Result<Account, Problem> {
    state.node().account(name).ok_or_else(|| AccountFault::Unknown.into())
}

/// Make an account.
///
/// A key that signs and one that opens private nodes are made for it and kept sealed; `~KEY` and what lies below it are
/// its own. With scope `admin` always; for others as the configuration key `gateway.registration` says: not at all, with
/// an invite code (a token of scope `register`, good for one account), or freely.
#[utoipa::path(
    post, path = "/api/v1/accounts", tag = "accounts",
    request_body = NewAccountBody,
    responses(
        (status = 201, description = "The account", body = schema::Account),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_account(
    Shared(state): Shared<State>,
    Anyone(caller, address): Anyone,
    request: Request,
) -> Made<schema::Account> {
    let (parts, body) = request.into_parts();
    let NewAccountBody { name, password, invite } = body::json(&parts.headers, body).await?;
    if let Some(password) = &password {
        check_password(password)?;
    }
    let account = if caller.may_administer().is_ok() {
        state.node().create_account(NewAccount { name, password }).await?
    } else {
        if state.registration() != Registration::Closed {
            state.logins().take(address, &name, state.now_ms())?;
            if password.is_none() {
                let missing = Refusal::new(Code::BadValue, "an account needs a password to log in with");
                return Err(missing.within("password").into());
            }
        }
        register(&state, NewAccount { name, password }, invite.as_deref()).await?
    };
    Ok((StatusCode::CREATED, NO_STORE, Json(account.into())))
}

async fn register(state: &State, account: NewAccount, invite: Option<&str>) -> Result<Account, Problem> {
    let closed = |detail: &'static str| Problem::new(HttpCode::RegistrationClosed, detail);
    match state.registration() {
        Registration::Open => Ok(state.node().create_account(account).await?),
        Registration::Closed => Err(closed("accounts of this gateway are made by who runs it")),
        Registration::Invite => {
            let code = invite.ok_or_else(|| closed("an account needs an invite code of who runs this gateway"))?;
            let _one_at_a_time = state.registering().lock().await;
            let grant = state
                .standing(code, state.now_ms())
                .map_err(|_| closed("the invite code is none of this gateway, used, or too old"))?;
            // Any other token would be used up by it.
            if grant.scopes != Scopes::from_iter([Scope::Register]) {
                return Err(closed("that is no invite code"));
            }
            let (scope, target) = (Scope::Register, Target::Gateway);
            grant.allows(Asked { scope, target, method: "POST", now_ms: state.now_ms() })?;
            let name = account.name.clone();
            if state.node().account(&name).is_some() {
                return Err(AccountFault::NameTaken.into());
            }
            // Used up first: whatever ends this request in between, no code makes two accounts.
            let code = state.node().token(&grant.id);
            let (Some(code), true) = (code, state.node().revoke_token(&grant.id).await?) else {
                return Err(closed("the invite code is none of this gateway, used, or too old"));
            };
            let made = state.node().create_account(account).await;
            if made.as_ref().is_err_and(is_refusal) && state.node().account(&name).is_none() {
                state.node().save_token(code).await?;
            }
            Ok(made?)
        }
    }
}

/// Whether nothing was made; after a failure of the store nobody knows.
fn is_refusal(error: &rustdht_node::Error) -> bool {
    use rustdht_node::Error;
    matches!(error, Error::Refused(_) | Error::Account(_) | Error::Overloaded)
}

/// List the accounts.
///
/// By name. Needs scope `admin`.
#[utoipa::path(
    get, path = "/api/v1/accounts", tag = "accounts",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of accounts", body = schema::Accounts),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_accounts(Shared(state): Shared<State>, _: Admin, uri: Uri) -> Answer<schema::Accounts> {
    let page: PageQuery = query::parse(&uri)?;
    let limit = page.limit()?;
    let accounts = state.node().accounts(page.cursor.as_deref(), limit);
    let next = (accounts.len() == limit).then(|| accounts.last().map(|account| account.name.clone())).flatten();
    let accounts = accounts.into_iter().map(Into::into).collect();
    Ok((NO_STORE, Json(schema::Accounts { accounts, next })))
}

/// Read an account.
///
/// Its keys, so that a node can be shared with it. Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/accounts/{name}", tag = "accounts",
    params(("name" = String, Path, description = "The account")),
    responses(
        (status = 200, description = "The account", body = schema::Account),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_account(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    uri: Uri,
) -> Answer<schema::Account> {
    caller.may_see()?;
    Ok((NO_STORE, Json(find(&state, &named(&uri)?)?.into())))
}

/// Disable an account.
///
/// It writes nothing and its tokens and logins no longer stand; what it wrote stays. Needs scope `admin`.
#[utoipa::path(
    post, path = "/api/v1/accounts/{name}/disable", tag = "accounts",
    params(("name" = String, Path, description = "The account")),
    responses(
        (status = 200, description = "The account", body = schema::Account),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_disable(Shared(state): Shared<State>, _: Admin, uri: Uri) -> Answer<schema::Account> {
    Ok((NO_STORE, Json(state.node().disable_account(&named(&uri)?, true).await?.into())))
}

/// Enable an account again.
///
/// Needs scope `admin`.
#[utoipa::path(
    post, path = "/api/v1/accounts/{name}/enable", tag = "accounts",
    params(("name" = String, Path, description = "The account")),
    responses(
        (status = 200, description = "The account", body = schema::Account),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_enable(Shared(state): Shared<State>, _: Admin, uri: Uri) -> Answer<schema::Account> {
    Ok((NO_STORE, Json(state.node().disable_account(&named(&uri)?, false).await?.into())))
}

/// Who runs the gateway, or the account itself.
fn himself(caller: &Caller, account: &Account) -> Result<(), Problem> {
    if caller.is_account(&account.key) { caller.may_add().map(drop) } else { caller.may_administer().map(drop) }
}

/// Give an account a new signing key.
///
/// The first key certifies the new one for everything below `~KEY` and names it in `successor`; what an earlier successor
/// signs from then on does not count. The account keeps its name and its nodes. Needs scope `admin`, or `write` of the
/// account itself.
#[utoipa::path(
    post, path = "/api/v1/accounts/{name}/rotate", tag = "accounts",
    params(("name" = String, Path, description = "The account")),
    responses(
        (status = 200, description = "The account", body = schema::Account),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_rotate(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    uri: Uri,
) -> Answer<schema::Account> {
    let account = known_to(&state, &caller, &uri)?;
    state.node().rotate(account.key).await?;
    Ok((NO_STORE, Json(find(&state, &account.name)?.into())))
}

/// The account of the path, if the caller may act for it; who may not does not learn whether it exists.
fn known_to(state: &State, caller: &Caller, uri: &Uri) -> Result<Account, Problem> {
    match find(state, &named(uri)?) {
        Ok(account) => himself(caller, &account).map(|()| account),
        Err(problem) => Err(caller.may_administer().err().unwrap_or(problem)),
    }
}

/// Set a password.
///
/// Needs scope `admin`, or a token of the account itself and its password until now.
#[utoipa::path(
    put, path = "/api/v1/accounts/{name}/password", tag = "accounts",
    params(("name" = String, Path, description = "The account")),
    request_body = NewPassword,
    responses(
        (status = 200, description = "The account", body = schema::Account),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn put_password(
    Shared(state): Shared<State>,
    Anyone(caller, address): Anyone,
    request: Request,
) -> Answer<schema::Account> {
    let account = known_to(&state, &caller, request.uri())?;
    let (parts, body) = request.into_parts();
    let NewPassword { password, current } = body::json(&parts.headers, body).await?;
    check_password(&password)?;
    if caller.may_administer().is_err() {
        state.logins().take(address, &account.name, state.now_ms())?;
        state.node().login(&account.name, &current.unwrap_or_default()).await.map_err(wrong_login)?;
    }
    state.node().set_password(&account.name, &password).await?;
    Ok((NO_STORE, Json(find(&state, &account.name)?.into())))
}

/// One answer for a wrong name and a wrong password.
fn wrong_login(error: rustdht_node::Error) -> Problem {
    match error {
        rustdht_node::Error::Account(AccountFault::Unknown | AccountFault::WrongPassword | AccountFault::Disabled) => {
            Problem::new(HttpCode::Unauthenticated, "the name or the password is wrong")
        }
        error => error.into(),
    }
}

/// Log in.
///
/// Gives a token of scopes `read` and `write` for twelve hours; `DELETE /api/v1/tokens/{id}` logs out. Ten attempts at
/// once, then one in five seconds, from one address and on one name.
#[utoipa::path(
    post, path = "/api/v1/sessions", tag = "accounts",
    request_body = Login,
    responses(
        (status = 201, description = "The token", body = schema::NewToken),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_session(
    Shared(state): Shared<State>,
    Anyone(_caller, address): Anyone,
    request: Request,
) -> Made<schema::NewToken> {
    let (parts, body) = request.into_parts();
    let Login { name, password } = body::json(&parts.headers, body).await?;
    let now_ms = state.now_ms();
    state.logins().take(address, &name, now_ms)?;
    let account = state.node().login(&name, &password).await.map_err(wrong_login)?;
    let claims = Claims {
        id: state.token_id(),
        holder: Holder::Account { key: account.key, name: account.name },
        scopes: [Scope::Read, Scope::Write].into_iter().collect(),
        prefixes: Vec::new(),
        expires_ms: limits::after(now_ms, limits::SESSION),
    };
    let token = issue(&state, claims, "login".to_owned(), now_ms).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(token)))
}
