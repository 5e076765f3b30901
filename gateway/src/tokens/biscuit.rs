//! The one place that knows `biscuit_auth`.

use std::time::Duration;

use biscuit_auth::{
    Algorithm, Authorizer, AuthorizerBuilder, AuthorizerLimits, Biscuit, KeyPair, PrivateKey, PublicKey as RootKey,
    builder::{self, Term},
    datalog::SymbolTable,
    format::schema::{self, check::Kind as CheckKind, op::Content, op_binary::Kind as BinaryKind},
};
use rustdht_core::PublicKey;
use rustdht_node::TokenId;

use super::grant::{Asked, Grant, Holder, Scope, Target, not_ours};
use crate::{codes::HttpCode, problem::Problem};

/// A token is some 400 bytes; each block that a holder adds some 200.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Blocks of one token: further ones only cost time.
const MAX_BLOCKS: usize = 16;
/// Facts that one alternative of a check may join: of the 40 or so facts at hand that is some thousand tries.
const MAX_JOINED: usize = 2;
/// Alternatives of all checks that holders added: a commit runs them for each of its nodes, up to 1,024.
const MAX_ALTERNATIVES: usize = 128;
/// Steps of one alternative's expressions, each of which may copy a soul.
const MAX_STEPS: usize = 32;
/// What the checks of a token may cost for one soul: facts held, rounds of rules, and time. A check such as those of
/// the module's head needs a dozen facts, one round and some 50 us; the time leaves room for a busy machine.
const LIMITS: AuthorizerLimits =
    AuthorizerLimits { max_facts: 256, max_iterations: 32, max_time: Duration::from_millis(50) };

/// What a new token says.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) id: TokenId,
    pub(crate) holder: Holder,
    pub(crate) scopes: super::Scopes,
    pub(crate) prefixes: Vec<String>,
    pub(crate) expires_ms: u64,
}

/// The key that signs this gateway's tokens.
pub(super) struct Root {
    key: KeyPair,
    public: RootKey,
}

fn string(text: &str) -> Term {
    Term::Str(text.to_owned())
}

/// A seed is any 32 bytes, so this fails only if the library changes its mind.
pub(super) fn key_pair(seed: &[u8; 32]) -> Option<KeyPair> {
    Some(KeyPair::from(&PrivateKey::from_bytes(seed, Algorithm::Ed25519).ok()?))
}

impl Root {
    pub(super) fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        let key = key_pair(seed)?;
        Some(Self { public: key.public(), key })
    }

    /// The text of a new token. `next` is fresh randomness: the key that signs a further block.
    ///
    /// # Errors
    /// When the library refuses.
    pub(super) fn mint(&self, claims: &Claims, next: &[u8; 32]) -> Result<String, Problem> {
        self.build(claims, next).ok_or_else(|| Problem::unavailable("a token could not be made"))
    }

    fn build(&self, claims: &Claims, next: &[u8; 32]) -> Option<String> {
        let mut facts = vec![("token_id", string(&claims.id.to_string()))];
        match &claims.holder {
            Holder::Owner => facts.push(("owner", Term::Bool(true))),
            Holder::Account { key, name } => {
                facts.push(("key", string(&key.to_string())));
                facts.push(("user", string(name)));
            }
        }
        facts.extend(claims.scopes.iter().map(|scope| ("scope", string(scope.as_str()))));
        facts.extend(claims.prefixes.iter().map(|prefix| ("prefix", string(prefix))));
        // Rounded down: a token never lives longer than was said.
        facts.push(("expires", Term::Date(claims.expires_ms / 1000)));
        let mut token = Biscuit::builder();
        for (name, term) in facts {
            token = token.fact(builder::fact(name, &[term])).ok()?;
        }
        token = token.check("check if time($now), expires($end), $now < $end").ok()?;
        let next = key_pair(next)?;
        token.build_with_key_pair(&self.key, SymbolTable::default(), &next).ok()?.to_base64().ok()
    }

    /// What a token grants.
    ///
    /// # Errors
    /// `unauthenticated` for anything but a token that this key signed.
    pub(super) fn read(&self, text: &str) -> Result<Grant, Problem> {
        let token = Biscuit::from_base64(text, self.public).map_err(|_| not_ours())?;
        if token.block_count() > MAX_BLOCKS {
            return Err(not_ours());
        }
        grant(token).ok_or_else(not_ours)
    }
}

/// Whether the blocks that holders added are checks alone, each over few facts at a time. The library looks at its limits
/// between rounds and alternatives only, and one that joins many facts, or that loops, may take for ever.
///
/// `reject if` is none of them: where a request has no soul, as an export has, a soul that it names would be let through.
fn is_cheap(world: &Authorizer) -> bool {
    // As the token encodes them: what it prints as text need not read back as the same.
    let Ok(snapshot) = world.snapshot() else { return false };
    let added = || snapshot.world.blocks.iter().skip(1);
    let checks = || added().flat_map(|block| &block.checks);
    let few = |query: &schema::Rule| {
        let steps: Option<usize> = query.expressions.iter().map(|expression| steps(&expression.ops)).sum();
        query.body.len() <= MAX_JOINED && steps.is_some_and(|steps| steps <= MAX_STEPS)
    };
    added().all(|block| block.facts.is_empty() && block.rules.is_empty())
        && checks().all(|check| check.kind != Some(CheckKind::Reject as i32) && check.queries.iter().all(few))
        && checks().map(|check| check.queries.len()).sum::<usize>() <= MAX_ALTERNATIVES
}

/// How many steps an expression has; `None` for one with a closure that runs for each element of a set (nested ones
/// multiply) or a regular expression (which alone may take a second to compile).
fn steps(ops: &[schema::Op]) -> Option<usize> {
    let step = |op: &schema::Op| match &op.content {
        // The right side of `&&` and `||`, which runs once.
        Some(Content::Closure(closure)) if closure.params.is_empty() => steps(&closure.ops),
        Some(Content::Closure(_)) => None,
        Some(Content::Binary(binary)) if binary.kind == BinaryKind::Regex as i32 => None,
        _ => Some(1),
    };
    ops.iter().map(step).sum()
}

/// Reads the authority block alone: a query sees neither facts nor rules of the blocks that holders added.
fn grant(token: Biscuit) -> Option<Grant> {
    let mut world = AuthorizerBuilder::new().set_limits(LIMITS).build(&token).ok()?;
    if !is_cheap(&world) {
        return None;
    }
    let mut all = |name: &str| -> Option<Vec<String>> {
        let rows: Vec<(String,)> = world.query(format!("data($x) <- {name}($x)").as_str()).ok()?;
        Some(rows.into_iter().map(|(text,)| text).collect())
    };
    let [id] = <[String; 1]>::try_from(all("token_id")?).ok()?;
    let (mut keys, mut names) = (all("key")?, all("user")?);
    let scopes = all("scope")?.iter().map(|name| name.parse::<Scope>().ok()).collect::<Option<_>>()?;
    let prefixes = all("prefix")?;
    let owners: Vec<(bool,)> = world.query("data($x) <- owner($x)").ok()?;
    let expiries: Vec<(std::time::SystemTime,)> = world.query("data($x) <- expires($x)").ok()?;
    let [(expires,)] = <[_; 1]>::try_from(expiries).ok()?;
    let expires_ms = expires.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis().try_into().ok()?;
    let holder = match (keys.pop(), names.pop(), owners.as_slice()) {
        (None, None, [(true,)]) => Holder::Owner,
        (Some(key), Some(name), []) if keys.is_empty() && names.is_empty() => {
            Holder::Account { key: PublicKey::from_multibase(&key).ok()?, name }
        }
        _ => return None,
    };
    let id = id.parse().ok()?;
    let attenuated = (token.block_count() > 1).then_some(token);
    Some(Grant { id, holder, scopes, prefixes, expires_ms, attenuated })
}

/// Runs the checks of every block of `token` against what is asked for.
///
/// # Errors
/// `insufficient_scope` when one does not hold, or they cost more than the limits above.
pub(super) fn authorise(token: &Biscuit, asked: Asked<'_>) -> Result<(), Problem> {
    if checks_hold(token, asked).is_some() {
        return Ok(());
    }
    let detail = format!("a check of the token does not hold for operation '{}' here", asked.scope.as_str());
    Err(Problem::new(HttpCode::InsufficientScope, detail))
}

fn checks_hold(token: &Biscuit, asked: Asked<'_>) -> Option<()> {
    let mut facts = vec![
        ("operation", string(asked.scope.as_str())),
        ("method", string(asked.method)),
        ("time", Term::Date(asked.now_ms / 1000)),
    ];
    match asked.target {
        Target::Soul(soul) => facts.push(("soul", string(soul))),
        Target::Under(prefix) => facts.push(("under", string(prefix))),
        Target::Gateway => {}
    }
    let mut world = AuthorizerBuilder::new().set_limits(LIMITS);
    for (name, term) in facts {
        world = world.fact(builder::fact(name, &[term])).ok()?;
    }
    let mut world = world.policy("allow if true").ok()?.build(token).ok()?;
    world.authorize_with_limits(LIMITS).ok().map(drop)
}

#[cfg(test)]
#[path = "biscuit_tests.rs"]
mod tests;
