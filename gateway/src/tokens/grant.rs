//! What a token lets its holder do.

use std::{fmt, str::FromStr};

use biscuit_auth::Biscuit;
use rustdht_core::PublicKey;
use rustdht_node::{Principal, TokenId};

use super::biscuit;
use crate::{codes::HttpCode, problem::Problem};

/// One thing that a token may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Reading nodes, watching, exporting.
    Read = 1,
    /// Writing nodes, adding files; an answer to a write shows the node, so it includes reading.
    Write = 2,
    /// Accounts, tokens, peers, schemas, checks, metrics; includes the others.
    Admin = 4,
    /// Making one account: an invite code.
    Register = 8,
}

impl Scope {
    /// Every scope.
    const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Admin, Self::Register];

    /// Its name in tokens and in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Register => "register",
        }
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes(u8);

impl Scopes {
    /// Whether `scope` is in it, or in one that includes it.
    pub(crate) const fn include(self, scope: Scope) -> bool {
        let by = match scope {
            Scope::Read => Scope::Read as u8 | Scope::Write as u8 | Scope::Admin as u8,
            Scope::Write => Scope::Write as u8 | Scope::Admin as u8,
            Scope::Admin => Scope::Admin as u8,
            Scope::Register => Scope::Register as u8 | Scope::Admin as u8,
        };
        self.0 & by != 0
    }

    /// Whether everything that `other` is for is in this one too.
    pub(crate) fn cover(self, other: Self) -> bool {
        other.iter().all(|scope| self.include(scope))
    }

    /// Whether it is empty.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes that were named.
    pub(crate) fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & *scope as u8 != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope as u8))
    }
}

/// For whom a token speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The owner of this gateway.
    Owner,
    /// An account of this gateway.
    Account {
        /// Its key.
        key: PublicKey,
        /// Its name when the token was made.
        name: String,
    },
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// One node.
    Soul(&'a str),
    /// Every node whose soul begins so.
    Under(&'a str),
    /// Something that is no node: files, accounts, this gateway.
    Gateway,
}

/// What is asked for, for the checks of attenuated tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) scope: Scope,
    pub(crate) target: Target<'a>,
    /// The HTTP method.
    pub(crate) method: &'a str,
    /// Milliseconds since the epoch.
    pub(crate) now_ms: u64,
}

/// A verified token.
pub(crate) struct Grant {
    /// By which it is revoked.
    pub(crate) id: TokenId,
    pub(crate) holder: Holder,
    pub(crate) scopes: Scopes,
    /// Souls; each covers itself and what lies below it. None: every soul.
    pub(crate) prefixes: Vec<String>,
    /// Milliseconds since the epoch.
    pub(crate) expires_ms: u64,
    /// The token itself when holders added blocks to it, whose checks are run for every soul.
    pub(super) attenuated: Option<Biscuit>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("id", &self.id)
            .field("holder", &self.holder)
            .field("scopes", &self.scopes)
            .field("attenuated", &self.attenuated.is_some())
            .finish_non_exhaustive()
    }
}

/// The one answer to every token that does not stand: which part of it is wrong helps a forger only.
pub(crate) fn not_ours() -> Problem {
    Problem::new(HttpCode::Unauthenticated, "the token is neither the owner's nor one that this gateway made")
}

/// Whether `prefix` covers `soul`: itself, or what lies below it after a slash (as in certificates).
fn covers(prefix: &str, soul: &str) -> bool {
    soul.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

impl Grant {
    /// Who its holder is to the node.
    pub(crate) const fn principal(&self) -> Principal {
        match self.holder {
            Holder::Owner => Principal::Owner,
            Holder::Account { key, .. } => Principal::Account(key),
        }
    }

    /// Whether it stands for its holder without any restriction to souls.
    pub(crate) fn is_whole(&self) -> bool {
        self.prefixes.is_empty() && self.attenuated.is_none()
    }

    /// # Errors
    /// `insufficient_scope` when `scope` is not in it.
    pub(crate) fn has(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.include(scope) {
            return Ok(());
        }
        Err(Problem::new(HttpCode::InsufficientScope, format!("the token has no scope '{}'", scope.as_str())))
    }

    /// # Errors
    /// `insufficient_scope` that says what is missing.
    pub(crate) fn allows(&self, asked: Asked<'_>) -> Result<(), Problem> {
        self.has(asked.scope)?;
        if !self.prefixes.is_empty() && !self.reaches(asked.target) {
            let detail = "the token is for other nodes: its prefixes do not cover this";
            return Err(Problem::new(HttpCode::InsufficientScope, detail));
        }
        match &self.attenuated {
            None => Ok(()),
            Some(token) => biscuit::authorise(token, asked),
        }
    }

    fn reaches(&self, target: Target<'_>) -> bool {
        match target {
            Target::Soul(soul) => self.prefixes.iter().any(|prefix| covers(prefix, soul)),
            // Every soul that begins with `under` has to be covered: `people` would let `peoples` in.
            Target::Under(under) => self.prefixes.iter().any(|prefix| {
                under.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/') || prefix.ends_with('/'))
            }),
            Target::Gateway => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(scopes: &[Scope], prefixes: &[&str]) -> Grant {
        Grant {
            id: TokenId([0; 16]),
            holder: Holder::Owner,
            scopes: scopes.iter().copied().collect(),
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            expires_ms: 0,
            attenuated: None,
        }
    }

    fn allows(grant: &Grant, scope: Scope, target: Target<'_>) -> bool {
        grant.allows(Asked { scope, target, method: "GET", now_ms: 0 }).is_ok()
    }

    #[test]
    fn a_scope_includes_what_it_cannot_do_without() {
        use Scope::{Admin, Read, Register, Write};
        for (held, includes) in [
            (Read, &[Read][..]),
            (Write, &[Read, Write]),
            (Admin, &[Read, Write, Admin, Register]),
            (Register, &[Register]),
        ] {
            for scope in Scope::ALL {
                let held = grant(&[held], &[]);
                assert_eq!(allows(&held, scope, Target::Gateway), includes.contains(&scope), "{held:?} {scope:?}");
            }
        }
        let (write, both): (Scopes, Scopes) = ([Write].into_iter().collect(), [Read, Admin].into_iter().collect());
        assert!(both.cover(write) && !write.cover(both) && write.cover(Scopes::default()));
        assert!(Scopes::default().is_empty() && "write".parse() == Ok(Write) && "Write".parse::<Scope>().is_err());
    }

    #[test]
    fn prefixes_are_whole_souls() {
        let held = grant(&[Scope::Write], &["people/ada", "blog/"]);
        for (soul, is) in [
            ("people/ada", true),
            ("people/ada/x", true),
            ("people/adam", false),
            ("people", false),
            ("blog/", true),
            ("blog/x", true),
            ("blog", false),
            ("", false),
        ] {
            assert_eq!(allows(&held, Scope::Read, Target::Soul(soul)), is, "{soul}");
        }
        for (under, is) in [
            ("people/ada", false),
            ("people/ada/", true),
            ("people/ada/x", true),
            ("people/", false),
            ("blog/", true),
            ("blog", false),
            ("", false),
        ] {
            assert_eq!(allows(&held, Scope::Read, Target::Under(under)), is, "{under}");
        }
        assert!(!allows(&held, Scope::Write, Target::Gateway), "a file is below no prefix");
    }
}
