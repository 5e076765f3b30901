//! Accounts in custody: names, passwords, keys, tokens.

mod password;
mod rows;
#[cfg(test)]
mod tests;
mod tokens;

use rustdht_core::{
    Code, Field, PublicKey, Refusal, Soul, Value,
    ports::{Applied, Batch, SideRow},
};

pub(crate) use rows::AccountRow;
pub use rows::{Account, AccountFault, MAX_NAME_BYTES, NewAccount, TokenId, TokenRow};

use password::Hasher;

use crate::{
    Config, Error, Node, NodeWrite, Principal, RenderOptions, Wanted, WriteMode,
    keys::{self, Fresh, PASSWORD_NS},
};

/// The field of `~K` with the X25519 key under which private nodes are shared with K.
pub(crate) const RECIPIENT_FIELD: &str = "x25519";
/// The field of `~K` with a name for people.
const NAME_FIELD: &str = "name";

fn field(name: &'static str) -> Result<Field, Refusal> {
    name.parse()
}

/// What the use cases of accounts share.
#[derive(Debug)]
pub(crate) struct Desk {
    hasher: Hasher,
    max_accounts: usize,
    max_tokens: usize,
    /// Held while a row is read, changed and written.
    pub(crate) changes: tokio::sync::Mutex<()>,
    /// Held while the recipients of a node are changed.
    pub(crate) sharing: tokio::sync::Mutex<()>,
}

impl Desk {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            hasher: Hasher::default(),
            max_accounts: config.max_accounts,
            max_tokens: config.max_tokens,
            changes: tokio::sync::Mutex::default(),
            sharing: tokio::sync::Mutex::default(),
        }
    }
}

/// The soul that a key owns.
pub(crate) fn home(key: &PublicKey) -> Result<Soul, Refusal> {
    format!("~{key}").parse()
}

impl Node {
    async fn put_rows(&self, side: Vec<SideRow>) -> Result<Applied, Error> {
        let ports = &self.inner.shared.ports;
        let batch = Batch { side, now_ms: ports.clock.now_ms(), ..Batch::default() };
        Ok(ports.store.apply(batch).await?)
    }

    /// Makes an account: a key pair, a recipient key, and its node `~K` with fields `name` and `x25519`, signed by K.
    ///
    /// # Errors
    /// `bad_field` for a name that is none, `out_of_range` for a password of the wrong length,
    /// [`AccountFault::NameTaken`], [`AccountFault::TooMany`]; when the store fails.
    pub async fn create_account(&self, new: NewAccount) -> Result<Account, Error> {
        let (shared, keyring) = (&self.inner.shared, &self.inner.shared.keyring);
        if !rows::is_name(&new.name) {
            let detail = format!("a name is 1 to {MAX_NAME_BYTES} of a-z, 0-9, '_', '.' and '-'");
            return Err(Refusal::new(Code::BadField, detail).within("name").into());
        }
        if keyring.by_name(&new.name).is_some() {
            return Err(AccountFault::NameTaken.into());
        }
        let password = match &new.password {
            Some(password) => Some(self.inner.accounts.hasher.hash(password, &*shared.ports.entropy).await?),
            None => None,
        };
        let turn = self.inner.accounts.changes.lock().await;
        if keyring.len() >= self.inner.accounts.max_accounts {
            return Err(AccountFault::TooMany.into());
        }
        let now_ms = shared.ports.clock.now_ms();
        let mut rows = keyring.rows_of_new(Fresh { name: &new.name, password, now_ms });
        let (key, side) = (rows.key, std::mem::take(&mut rows.side));
        // A second one of that name is a duplicate.
        if let Applied::Duplicate { .. } = self.put_rows(side).await? {
            return Err(AccountFault::NameTaken.into());
        }
        keyring.applied(rows);
        drop(turn);
        self.publish_account(&key).await?;
        self.account_by_key(&key).ok_or_else(|| AccountFault::Unknown.into())
    }

    /// Writes `~K` of an account, if that did not happen yet: the account's row comes before its node, so a node that
    /// stopped in between has to make up for it.
    async fn publish_account(&self, key: &PublicKey) -> Result<(), Error> {
        let keyring = &self.inner.shared.keyring;
        let Some(held) = keyring.held(key).filter(|held| !held.row.published) else { return Ok(()) };
        let fields = vec![
            (field(NAME_FIELD)?, Wanted::Value(Value::from(held.row.name.as_str()))),
            (field(RECIPIENT_FIELD)?, Wanted::Value(Value::Bytes(held.row.recipient.to_vec().into()))),
        ];
        self.write_home(Principal::Account(*key), key, fields).await?;
        self.change_account(key, |row| row.published = true).await.map(|_| ())
    }

    /// Writes the gateway's recipient key into `~G`, if it is not there, so that private nodes can be shared with the owner of
    /// this gateway.
    ///
    /// # Errors
    /// As [`Node::write`].
    pub async fn publish_recipient(&self) -> Result<(), Error> {
        let gateway = self.identity().gateway;
        let wanted = Value::Bytes(self.inner.shared.keyring.gateway_recipient().to_vec().into());
        let shown = self.state(&home(&gateway)?).await?.view(RECIPIENT_FIELD).map(|view| view.shown);
        if shown == Some(rustdht_graph::Shown::Value(wanted.clone())) {
            return Ok(());
        }
        let fields = vec![(field(RECIPIENT_FIELD)?, Wanted::Value(wanted))];
        self.write_home(Principal::Owner, &gateway, fields).await
    }

    async fn write_home(&self, by: Principal, key: &PublicKey, fields: Vec<(Field, Wanted)>) -> Result<(), Error> {
        let write = NodeWrite {
            soul: home(key)?,
            by,
            mode: WriteMode::Patch,
            fields,
            if_match: None,
            if_none_match: None,
            wait: std::time::Duration::ZERO,
            render: RenderOptions::default(),
        };
        self.write(write).await.map(|_| ())
    }

    async fn change_account(
        &self,
        key: &PublicKey,
        change: impl FnOnce(&mut AccountRow) + Send,
    ) -> Result<Account, Error> {
        let _turn = self.inner.accounts.changes.lock().await;
        let keyring = &self.inner.shared.keyring;
        let mut row = keyring.held(key).ok_or(AccountFault::Unknown)?.row;
        change(&mut row);
        self.put_rows(vec![keys::account_row(key, &row)]).await?;
        let account = row.account(*key);
        keyring.row_applied(key, row);
        Ok(account)
    }

    /// Whether `key` is, or was, the key of an account that is here and not disabled.
    #[must_use]
    pub fn is_account_active(&self, key: &PublicKey) -> bool {
        let keyring = &self.inner.shared.keyring;
        let held = keyring.account_of(key).and_then(|account| keyring.held(&account));
        held.is_some_and(|held| held.row.disabled_ms.is_none())
    }

    /// Accounts by name, those behind `after`, at most `limit`.
    #[must_use]
    pub fn accounts(&self, after: Option<&str>, limit: usize) -> Vec<Account> {
        let page = self.inner.shared.keyring.page(after, limit);
        page.into_iter().map(|(key, row)| row.account(key)).collect()
    }

    /// An account by its name.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<Account> {
        self.inner.shared.keyring.by_name(name).map(|(key, held)| held.row.account(key))
    }

    /// An account by its first key.
    #[must_use]
    pub fn account_by_key(&self, key: &PublicKey) -> Option<Account> {
        self.inner.shared.keyring.held(key).map(|held| held.row.account(*key))
    }

    /// Who has this name and this password.
    ///
    /// # Errors
    /// [`AccountFault::WrongPassword`] also for a name that no account has; [`AccountFault::Disabled`];
    /// [`Error::Overloaded`] when too many passwords are being checked.
    pub async fn login(&self, name: &str, password: &str) -> Result<Account, Error> {
        let found = self.inner.shared.keyring.by_name(name);
        let row = match &found {
            Some((key, _)) => self.store().side_get(PASSWORD_NS, &key.0).await?,
            None => None,
        };
        let right = self.inner.accounts.hasher.verify(password, row).await?;
        let Some((key, held)) = found.filter(|_| right) else { return Err(AccountFault::WrongPassword.into()) };
        if held.row.disabled_ms.is_some() {
            return Err(AccountFault::Disabled.into());
        }
        self.publish_account(&key).await?;
        Ok(held.row.account(key))
    }

    /// Gives an account another password.
    ///
    /// # Errors
    /// `out_of_range` for one of the wrong length; [`AccountFault::Unknown`].
    pub async fn set_password(&self, name: &str, password: &str) -> Result<Account, Error> {
        let key = self.account(name).ok_or(AccountFault::Unknown)?.key;
        let hash = self.inner.accounts.hasher.hash(password, &*self.inner.shared.ports.entropy).await?;
        self.put_rows(vec![keys::password_row(&key, hash)]).await?;
        self.change_account(&key, |row| row.has_password = true).await
    }

    /// Disables an account, or enables it again. While it is disabled it neither logs in nor writes nor reads as itself,
    /// and its tokens are worth nothing.
    ///
    /// # Errors
    /// [`AccountFault::Unknown`].
    pub async fn disable_account(&self, name: &str, disabled: bool) -> Result<Account, Error> {
        let key = self.account(name).ok_or(AccountFault::Unknown)?.key;
        let now_ms = self.inner.shared.ports.clock.now_ms();
        self.change_account(&key, |row| {
            row.disabled_ms = if disabled { row.disabled_ms.or(Some(now_ms)) } else { None };
        })
        .await
    }
}
