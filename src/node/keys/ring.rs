//! The keys in custody: of accounts, of this gateway as a recipient, and the root of tokens.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use moka::sync::Cache;
use rustdht_core::{
    Entropy, PublicKey,
    ports::{Applied, Batch, SideRow},
};
use rustdht_wire::SigningKey;
use zeroize::Zeroizing;

use super::{Seal, SealKey};
use crate::{
    Error, Ports, Principal,
    accounts::{AccountFault, AccountRow, TokenId, TokenRow},
    custody::Keys,
    private::RecipientSecret,
};

/// Rows of accounts, by K.
pub(crate) const ACCOUNT_NS: &str = "account";
/// K by name.
pub(crate) const NAME_NS: &str = "account-name";
/// Password hashes, by K.
pub(crate) const PASSWORD_NS: &str = "account-password";
/// Secrets of accounts, sealed, by K.
const SECRETS_NS: &str = "account-key";
/// Tokens given out, by id.
pub(crate) const TOKEN_NS: &str = "token";
/// Secrets of the gateway.
const IDENTITY_NS: &str = "identity";
const TOKEN_ROOT: &[u8] = b"token_root";
const RECIPIENT: &[u8] = b"recipient";

/// Signing keys kept opened. Opening one costs a scalar multiplication.
const OPENED_KEYS: u64 = 1024;
/// Keys that may ever have signed for one account.
pub(crate) const MAX_SIGNERS: usize = 64;

/// An account and its secrets.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) row: AccountRow,
    /// Sealed: the X25519 secret, then the seeds of `row.signers` in their order; 32 bytes each.
    sealed: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    accounts: HashMap<PublicKey, Held>,
    by_name: BTreeMap<String, PublicKey>,
    /// The account that a key signs or signed for.
    owners: HashMap<PublicKey, PublicKey>,
    tokens: BTreeMap<TokenId, TokenRow>,
}

impl State {
    fn put(&mut self, key: PublicKey, held: Held) {
        self.by_name.insert(held.row.name.clone(), key);
        self.owners.extend(held.row.signers.iter().map(|signer| (*signer, key)));
        self.accounts.insert(key, held);
    }
}

/// Rows of a change, to be applied in one transaction, and what [`Keyring::applied`] then takes.
#[derive(Debug)]
pub(crate) struct KeyringRows {
    pub(crate) side: Vec<SideRow>,
    pub(crate) key: PublicKey,
    held: Held,
}

/// What a new account is made of.
#[derive(Debug)]
pub(crate) struct Fresh<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) now_ms: u64,
}

/// Every secret of the database but those of `identity`. Nothing of it is printed.
pub(crate) struct Keyring {
    seal: Seal,
    token_root: Zeroizing<[u8; 32]>,
    recipient: RecipientSecret,
    gateway: PublicKey,
    entropy: Arc<dyn Entropy>,
    opened: Cache<PublicKey, Arc<SigningKey>>,
    state: RwLock<State>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

fn random(entropy: &dyn Entropy) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    bytes
}

/// A sealed secret of 32 bytes; made when it is not there.
async fn secret(ports: &Ports, seal: &Seal, name: &'static [u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let incomplete = || Error::SealKey(format!("row '{IDENTITY_NS}/{}'", String::from_utf8_lossy(name)));
    loop {
        if let Some(row) = ports.store.side_get(IDENTITY_NS, name).await? {
            let opened = seal.open(IDENTITY_NS, name, &row)?;
            return Ok(Zeroizing::new(opened.as_slice().try_into().map_err(|_| incomplete())?));
        }
        let made = random(&*ports.entropy);
        let value = seal.seal(IDENTITY_NS, name, &*made, &*ports.entropy);
        let row = SideRow { ns: IDENTITY_NS, key: name.to_vec(), value: Some(value), insert_only: true };
        let batch = Batch { side: vec![row], now_ms: ports.clock.now_ms(), ..Batch::default() };
        if matches!(ports.store.apply(batch).await?, Applied::Done { .. }) {
            return Ok(made);
        }
        // Another process made it first; its secret is read then.
    }
}

fn damaged(what: &str) -> Error {
    Error::Store(rustdht_core::ports::StoreError::Failed(format!("the row of {what} is damaged")))
}

fn key_of(row: &[u8]) -> Result<PublicKey, Error> {
    Ok(PublicKey(row.try_into().map_err(|_| damaged("an account"))?))
}

impl Keyring {
    pub(crate) async fn load(ports: &Ports, seal_key: &SealKey, gateway: PublicKey) -> Result<Self, Error> {
        let seal = Seal::new(seal_key);
        let token_root = secret(ports, &seal, TOKEN_ROOT).await?;
        let recipient = RecipientSecret::new(*secret(ports, &seal, RECIPIENT).await?);
        let mut state = State::default();
        let mut secrets: HashMap<Vec<u8>, Vec<u8>> =
            ports.store.side_scan(SECRETS_NS, &[], u32::MAX).await?.into_iter().collect();
        for (key, row) in ports.store.side_scan(ACCOUNT_NS, &[], u32::MAX).await? {
            let row: AccountRow = serde_json::from_slice(&row).map_err(|_| damaged("an account"))?;
            let sealed = secrets.remove(&key).ok_or_else(|| damaged("an account's keys"))?;
            state.put(key_of(&key)?, Held { row, sealed });
        }
        for (_, row) in ports.store.side_scan(TOKEN_NS, &[], u32::MAX).await? {
            let token: TokenRow = serde_json::from_slice(&row).map_err(|_| damaged("a token"))?;
            state.tokens.insert(token.id, token);
        }
        let opened = Cache::new(OPENED_KEYS);
        let entropy = Arc::clone(&ports.entropy);
        Ok(Self { seal, token_root, recipient, gateway, entropy, opened, state: RwLock::new(state) })
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// `secret` as it stands in the row `key` of namespace `ns`.
    pub(crate) fn seal_row(&self, ns: &str, key: &[u8], secret: &[u8]) -> Vec<u8> {
        self.seal.seal(ns, key, secret, &*self.entropy)
    }

    /// What such a row holds.
    ///
    /// # Errors
    /// [`Error::SealKey`].
    pub(crate) fn open_row(&self, ns: &str, key: &[u8], row: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.seal.open(ns, key, row)
    }

    pub(crate) fn token_root(&self) -> [u8; 32] {
        *self.token_root
    }

    /// The gateway's own recipient key.
    pub(crate) fn gateway_recipient(&self) -> [u8; 32] {
        self.recipient.public()
    }

    /// An account by its first key.
    pub(crate) fn held(&self, key: &PublicKey) -> Option<Held> {
        self.state().accounts.get(key).cloned()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<(PublicKey, Held)> {
        let state = self.state();
        let key = *state.by_name.get(name)?;
        Some((key, state.accounts.get(&key)?.clone()))
    }

    /// Accounts by name, behind `after`.
    pub(crate) fn page(&self, after: Option<&str>, limit: usize) -> Vec<(PublicKey, AccountRow)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let state = self.state();
        let names = state.by_name.range::<str, _>((after.map_or(Unbounded, Excluded), Unbounded));
        names.filter_map(|(_, key)| Some((*key, state.accounts.get(key)?.row.clone()))).take(limit).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.state().accounts.len()
    }

    /// The account that `key` signs or signed for.
    pub(crate) fn account_of(&self, key: &PublicKey) -> Option<PublicKey> {
        self.state().owners.get(key).copied()
    }

    fn secret(&self, account: &PublicKey, at: usize) -> Option<Zeroizing<[u8; 32]>> {
        let sealed = self.state().accounts.get(account)?.sealed.clone();
        match self.seal.open(SECRETS_NS, &account.0, &sealed) {
            Ok(secrets) => Some(Zeroizing::new(secrets.chunks_exact(32).nth(at)?.try_into().ok()?)),
            Err(error) => {
                tracing::error!(%account, %error, "the keys of an account cannot be opened");
                None
            }
        }
    }

    /// What opens private nodes for a reader: the account's recipient key, for the owner the gateway's. A disabled account
    /// has no reader.
    pub(crate) fn recipient_secret(&self, reader: &Principal) -> Option<RecipientSecret> {
        match reader {
            Principal::Owner => Some(self.recipient.clone()),
            Principal::Account(account) => {
                Keys::signer(self, account)?;
                self.secret(account, 0).map(|secret| RecipientSecret::new(*secret))
            }
            Principal::Anonymous | Principal::Internal => None,
        }
    }

    /// The recipient key of an account that is kept here, or of this gateway.
    pub(crate) fn recipient_of(&self, key: &PublicKey) -> Option<[u8; 32]> {
        if *key == self.gateway {
            return Some(self.gateway_recipient());
        }
        Some(self.state().accounts.get(key)?.row.recipient)
    }

    /// Rows of an account with fresh keys.
    pub(crate) fn rows_of_new(&self, new: Fresh<'_>) -> KeyringRows {
        let (seed, recipient) = (self.random(), self.random());
        let key = SigningKey::from_seed(&seed).public();
        let row = AccountRow {
            name: new.name.to_owned(),
            signers: vec![key],
            recipient: RecipientSecret::new(*recipient).public(),
            created_ms: new.now_ms,
            disabled_ms: None,
            published: false,
            has_password: new.password.is_some(),
        };
        let secrets = Zeroizing::new([*recipient, *seed].concat());
        let mut rows = self.rows(key, row, &secrets);
        rows.side.extend(new.password.map(|hash| password_row(&key, hash)));
        // Two requests for one name: the second is a duplicate.
        let name = new.name.as_bytes().to_vec();
        rows.side.push(SideRow { ns: NAME_NS, key: name, value: Some(key.0.to_vec()), insert_only: true });
        rows
    }

    fn random(&self) -> Zeroizing<[u8; 32]> {
        random(&*self.entropy)
    }

    /// Rows that make `seed` the account's signing key; earlier ones are kept.
    fn rows_of_rotation(&self, account: &PublicKey, seed: &[u8; 32]) -> Result<KeyringRows, Error> {
        let Held { mut row, sealed } = self.held(account).ok_or(AccountFault::Unknown)?;
        if row.signers.len() >= MAX_SIGNERS {
            return Err(AccountFault::TooManyKeys.into());
        }
        row.signers.push(SigningKey::from_seed(seed).public());
        let mut secrets = self.seal.open(SECRETS_NS, &account.0, &sealed)?;
        secrets.extend_from_slice(seed);
        Ok(self.rows(*account, row, &secrets))
    }

    fn rows(&self, key: PublicKey, row: AccountRow, secrets: &[u8]) -> KeyringRows {
        let sealed = self.seal.seal(SECRETS_NS, &key.0, secrets, &*self.entropy);
        let side = vec![
            account_row(&key, &row),
            SideRow { ns: SECRETS_NS, key: key.0.to_vec(), value: Some(sealed.clone()), insert_only: false },
        ];
        KeyringRows { side, key, held: Held { row, sealed } }
    }

    /// The rows are durable.
    pub(crate) fn applied(&self, rows: KeyringRows) {
        self.change().put(rows.key, rows.held);
    }

    /// The account's row is durable in this form.
    pub(crate) fn row_applied(&self, key: &PublicKey, row: AccountRow) {
        if let Some(held) = self.change().accounts.get_mut(key) {
            held.row = row;
        }
    }

    pub(crate) fn token(&self, id: &TokenId) -> Option<TokenRow> {
        self.state().tokens.get(id).cloned()
    }

    /// Tokens by id, behind `after`.
    pub(crate) fn tokens(&self, after: Option<TokenId>, limit: usize) -> Vec<TokenRow> {
        use std::ops::Bound::{Excluded, Unbounded};
        let state = self.state();
        let rows = state.tokens.range((after.map_or(Unbounded, Excluded), Unbounded));
        rows.take(limit).map(|(_, row)| row.clone()).collect()
    }

    /// Whether a token was revoked. One that is not known here was not: its signature says that this gateway made it.
    pub(crate) fn is_token_revoked(&self, id: &TokenId) -> bool {
        self.state().tokens.get(id).is_some_and(|row| row.revoked_ms.is_some())
    }

    pub(crate) fn token_count(&self) -> usize {
        self.state().tokens.len()
    }

    /// The tokens of an account whose time is not over: how many are good, and how many there are with the revoked ones.
    pub(crate) fn tokens_of(&self, account: &PublicKey, now_ms: u64) -> (usize, usize) {
        let state = self.state();
        let lasts = |row: &&TokenRow| row.expires_ms.is_none_or(|expires| now_ms < expires);
        let own = state.tokens.values().filter(|row| row.account.as_ref() == Some(account)).filter(lasts);
        own.fold((0, 0), |(good, all), row| (good + usize::from(row.revoked_ms.is_none()), all + 1))
    }

    /// Tokens whose time is over at `now_ms`: nobody has to remember them.
    pub(crate) fn expired_tokens(&self, now_ms: u64) -> Vec<TokenId> {
        let state = self.state();
        let over = state.tokens.values().filter(|row| row.expires_ms.is_some_and(|expires| expires <= now_ms));
        over.map(|row| row.id).collect()
    }

    pub(crate) fn token_applied(&self, row: TokenRow) {
        self.change().tokens.insert(row.id, row);
    }

    pub(crate) fn tokens_gone(&self, ids: &[TokenId]) {
        let mut state = self.change();
        for id in ids {
            state.tokens.remove(id);
        }
    }
}

impl Keys for Keyring {
    fn signing_key(&self, key: &PublicKey) -> Option<Arc<SigningKey>> {
        let (account, at) = {
            let state = self.state();
            let account = *state.owners.get(key)?;
            let row = &state.accounts.get(&account)?.row;
            if row.disabled_ms.is_some() {
                return None;
            }
            (account, row.signers.iter().position(|signer| signer == key)?)
        };
        if let Some(opened) = self.opened.get(key) {
            return Some(opened);
        }
        // The recipient key comes before the seeds.
        let opened = Arc::new(SigningKey::from_seed(&*self.secret(&account, at + 1)?));
        self.opened.insert(*key, Arc::clone(&opened));
        Some(opened)
    }

    fn signer(&self, account: &PublicKey) -> Option<PublicKey> {
        let state = self.state();
        let row = &state.accounts.get(account)?.row;
        row.signers.last().copied().filter(|_| row.disabled_ms.is_none())
    }

    fn rotate(&self, account: &PublicKey, seed: &[u8; 32]) -> Result<Vec<SideRow>, Error> {
        self.rows_of_rotation(account, seed).map(|rows| rows.side)
    }

    fn rotated(&self, account: &PublicKey, seed: &[u8; 32]) {
        match self.rows_of_rotation(account, seed) {
            // Sealed anew, so not byte for byte what is on disk; it opens to the same.
            Ok(rows) => self.applied(rows),
            Err(error) => tracing::error!(%account, %error, "the successor's key is used after a restart only"),
        }
    }
}

/// The row of an account as it is stored.
pub(crate) fn account_row(key: &PublicKey, row: &AccountRow) -> SideRow {
    // A struct of strings and numbers always serialises.
    let value = serde_json::to_vec(row).unwrap_or_default();
    SideRow { ns: ACCOUNT_NS, key: key.0.to_vec(), value: Some(value), insert_only: false }
}

/// The row of a password's hash.
pub(crate) fn password_row(key: &PublicKey, hash: Vec<u8>) -> SideRow {
    SideRow { ns: PASSWORD_NS, key: key.0.to_vec(), value: Some(hash), insert_only: false }
}
