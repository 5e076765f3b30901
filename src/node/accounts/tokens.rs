//! What the gateway remembers of the tokens that it gave out. Making and checking them is the door's business.

use rustdht_core::ports::SideRow;

use super::{AccountFault, TokenId, TokenRow};
use crate::{Error, Node, keys::TOKEN_NS};

/// Tokens of one account that are good: far more than it has devices and programs, and few enough that one account leaves
/// room for others below `max_tokens`.
pub(super) const MAX_ACCOUNT_TOKENS: usize = 1_000;
/// Tokens of one account that are remembered: revoked ones are until they would have ended anyway. More than the twelve
/// hours of a session let anybody log in and out again.
const MAX_ACCOUNT_TOKEN_ROWS: usize = 10_000;

fn row(token: &TokenRow) -> SideRow {
    // A struct of strings and numbers always serialises.
    let value = serde_json::to_vec(token).unwrap_or_default();
    SideRow { ns: TOKEN_NS, key: token.id.0.to_vec(), value: Some(value), insert_only: false }
}

impl Node {
    /// The secret from which the root key of tokens is made.
    #[must_use]
    pub fn token_root(&self) -> [u8; 32] {
        self.inner.shared.keyring.token_root()
    }

    /// Remembers a token. Those whose time is over are forgotten on the way.
    ///
    /// # Errors
    /// [`AccountFault::TooManyTokens`], [`AccountFault::TooManyOwnTokens`]; when the store fails.
    pub async fn save_token(&self, token: TokenRow) -> Result<(), Error> {
        let _turn = self.inner.accounts.changes.lock().await;
        let keyring = &self.inner.shared.keyring;
        let now_ms = self.inner.shared.ports.clock.now_ms();
        let over = keyring.expired_tokens(now_ms);
        let is_new = keyring.token(&token.id).is_none();
        if is_new && keyring.token_count() - over.len() >= self.inner.accounts.max_tokens {
            return Err(AccountFault::TooManyTokens.into());
        }
        if is_new && let Some(account) = &token.account {
            let (good, remembered) = keyring.tokens_of(account, now_ms);
            if good >= MAX_ACCOUNT_TOKENS || remembered >= MAX_ACCOUNT_TOKEN_ROWS {
                return Err(AccountFault::TooManyOwnTokens.into());
            }
        }
        let gone = |id: &TokenId| SideRow { ns: TOKEN_NS, key: id.0.to_vec(), value: None, insert_only: false };
        let mut side: Vec<SideRow> = over.iter().filter(|id| **id != token.id).map(gone).collect();
        side.push(row(&token));
        self.put_rows(side).await?;
        keyring.tokens_gone(&over);
        keyring.token_applied(token);
        Ok(())
    }

    /// Tokens by id, those behind `after`, at most `limit`; the ones whose time is over are among them for a while.
    #[must_use]
    pub fn tokens(&self, after: Option<TokenId>, limit: usize) -> Vec<TokenRow> {
        self.inner.shared.keyring.tokens(after, limit)
    }

    /// Makes a token worthless from now on. `true` for one caller only: the one before whom it was good.
    ///
    /// # Errors
    /// When the store fails; then it is still good.
    pub async fn revoke_token(&self, id: &TokenId) -> Result<bool, Error> {
        let _turn = self.inner.accounts.changes.lock().await;
        let keyring = &self.inner.shared.keyring;
        let now_ms = self.inner.shared.ports.clock.now_ms();
        let live = |token: &TokenRow| token.revoked_ms.is_none() && token.expires_ms.is_none_or(|end| now_ms < end);
        let Some(mut token) = keyring.token(id).filter(live) else { return Ok(false) };
        token.revoked_ms = Some(now_ms);
        self.put_rows(vec![row(&token)]).await?;
        keyring.token_applied(token);
        Ok(true)
    }

    /// A token that was given out.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> Option<TokenRow> {
        self.inner.shared.keyring.token(id)
    }

    /// Whether a token was revoked; answered from memory.
    #[must_use]
    pub fn is_token_revoked(&self, id: &TokenId) -> bool {
        self.inner.shared.keyring.is_token_revoked(id)
    }
}
