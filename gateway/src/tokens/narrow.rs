//! Narrowing a token: its holder adds a block of checks, without asking anybody.

use biscuit_auth::{BlockBuilder, UnverifiedBiscuit};
use rustdht_core::{Code, Refusal};

use super::biscuit::key_pair;

/// What a narrowed token is still for. What is not named stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Of `read`, `write`, `admin`, `register`; none: all that it was for.
    pub scopes: Vec<String>,
    /// Souls, each with what lies below it; none: all that it was for.
    pub prefixes: Vec<String>,
    /// The first second since the epoch that is too late.
    pub expires_s: Option<u64>,
}

/// Text as a Datalog literal; the grammar knows no escapes beyond these, so other control characters are refused.
fn literal(text: &str) -> Result<String, Refusal> {
    if text.chars().any(char::is_control) {
        return Err(Refusal::new(Code::BadValue, "control characters cannot stand in a check"));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

impl Narrowing {
    /// The checks, in Datalog.
    fn checks(&self) -> Result<Vec<String>, Refusal> {
        let mut checks = Vec::new();
        if !self.scopes.is_empty() {
            let any: Result<Vec<String>, Refusal> =
                self.scopes.iter().map(|scope| Ok(format!("operation({})", literal(scope)?))).collect();
            checks.push(format!("check if {}", any?.join(" or ")));
        }
        if !self.prefixes.is_empty() {
            let mut any = Vec::new();
            for prefix in &self.prefixes {
                let (bare, below) = match prefix.strip_suffix('/') {
                    Some(_) => (literal(prefix)?, literal(prefix)?),
                    None => (literal(prefix)?, literal(&format!("{prefix}/"))?),
                };
                any.push(format!("soul({bare})"));
                any.push(format!("soul($soul), $soul.starts_with({below})"));
                any.push(format!("under($prefix), $prefix.starts_with({below})"));
            }
            checks.push(format!("check if {}", any.join(" or ")));
        }
        if let Some(end) = self.expires_s {
            // Seconds, so that no calendar is needed here.
            checks.push(format!("check if time($now), $now < {}", crate::rfc3339::from_ms(end.saturating_mul(1000))));
        }
        Ok(checks)
    }
}

/// A token that is good for less. `seed` is fresh randomness. Neither signature nor revocation of `token` is looked at:
/// the gateway does that.
///
/// # Errors
/// `malformed` when it is no token, `bad_value` for text that cannot stand in a check.
pub fn narrow(token: &str, narrowing: &Narrowing, seed: &[u8; 32]) -> Result<String, Refusal> {
    let bad = |_| Refusal::new(Code::Malformed, "no token that could be narrowed");
    let narrowed = UnverifiedBiscuit::from_base64(token).map_err(bad)?;
    let mut block = BlockBuilder::new();
    for check in narrowing.checks()? {
        block = block.check(check.as_str()).map_err(bad)?;
    }
    let key = key_pair(seed).ok_or_else(|| Refusal::new(Code::BadKey, "the seed makes no key"))?;
    narrowed.append_with_keypair(&key, block).and_then(|token| token.to_base64()).map_err(bad)
}
