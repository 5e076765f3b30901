//! Accounts, their secrets at rest, passwords and tokens, over a store in memory.

use std::{sync::Arc, time::Duration};

use rustdht_core::{
    Code, PublicKey, Value,
    ports::{Batch, GraphStore, SideRow},
};
use rustdht_testkit::{ManualClock, MemoryStore, SeededEntropy, TempBlobs};

use super::{Account, AccountFault, NewAccount, TokenId, TokenRow, tokens::MAX_ACCOUNT_TOKENS};
use crate::{
    Config, Error, Node, Ports, Principal, WriteMode,
    custody::Keys,
    keys::Seal,
    tests::{Bench, NOW_MS, founding, request, text},
};

const PASSWORD: &str = "correct horse";

fn new(name: &str) -> NewAccount {
    NewAccount { name: name.into(), password: None }
}

async fn account(bench: &Bench, name: &str) -> Account {
    bench.node.create_account(new(name)).await.unwrap()
}

fn fault<T: std::fmt::Debug>(result: Result<T, Error>) -> AccountFault {
    match result {
        Err(Error::Account(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

async fn start(store: &Arc<MemoryStore>, config: Config) -> Result<Node, Error> {
    let ports = Ports {
        store: store.clone(),
        blobs: Arc::new(TempBlobs::default()),
        clock: Arc::new(ManualClock::new(NOW_MS)),
        entropy: Arc::new(SeededEntropy::new(77)),
    };
    Node::start(ports, config).await.map(|(node, _)| node)
}

async fn side_rows(store: &MemoryStore) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for ns in ["identity", "account", "account-name", "account-password", "account-key", "token", "session"] {
        let found = store.side_scan(ns, &[], u32::MAX).await.unwrap();
        rows.extend(found.into_iter().map(|(key, value)| (ns, key, value)));
    }
    rows
}

#[tokio::test]
async fn an_account_owns_a_node_with_its_name_and_recipient_key() {
    let bench = Bench::new(1).await;
    let ada = account(&bench, "ada").await;
    assert_eq!(ada.signer, ada.key);
    let home = format!("~{}", ada.key);
    let data: serde_json::Value = serde_json::from_str(&bench.data(&home).await).unwrap();
    assert_eq!(data["name"], "ada");
    let entries: Vec<_> = bench.store.entries().into_iter().filter(|entry| *entry.soul == *home).collect();
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|entry| entry.author == ada.key && entry.kind.is_register()));
    assert_eq!(entries[0].commit, entries[1].commit, "both come with the first commit");
    let published = entries.iter().find(|entry| &*entry.field == "x25519").unwrap();
    assert_eq!(published.body.value(), Some(&Value::Bytes(ada.recipient.to_vec().into())));
}

#[tokio::test]
async fn names_are_unique_and_well_formed() {
    let bench = Bench::new(1).await;
    account(&bench, "ada").await;
    assert_eq!(fault(bench.node.create_account(new("ada")).await), AccountFault::NameTaken);
    // Hashing the password gives both the time to find that the name is free.
    let slow = || NewAccount { name: "bob".into(), password: Some(PASSWORD.into()) };
    let (first, second) = tokio::join!(bench.node.create_account(slow()), bench.node.create_account(slow()));
    assert_ne!(first.is_ok(), second.is_ok(), "one of two that ask at once gets the name");
    let Err(Error::Refused(refusal)) = bench.node.create_account(new("Ada")).await else { panic!("taken") };
    assert_eq!((refusal.code, refusal.field.as_str()), (Code::BadField, "name"));
    let names: Vec<String> = bench.node.accounts(None, 10).into_iter().map(|account| account.name).collect();
    assert_eq!(names, ["ada", "bob"]);
    assert_eq!(bench.node.accounts(Some("ada"), 10).len(), 1);
    assert_eq!(bench.node.accounts(None, 1)[0].name, "ada");
}

#[tokio::test]
async fn accounts_are_bounded() {
    let store = Arc::new(MemoryStore::default());
    let mut config = Config::new(founding(), [0; 32], [9; 32].into());
    config.max_accounts = 0;
    let node = start(&store, config).await.unwrap();
    assert_eq!(fault(node.create_account(new("ada")).await), AccountFault::TooMany);
    assert!(side_rows(&store).await.iter().all(|(ns, ..)| *ns == "identity"));
}

#[tokio::test]
async fn accounts_outlive_a_restart_and_their_secrets_are_sealed() {
    let store = Arc::new(MemoryStore::default());
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let bench = Bench::on(store.clone(), clock.clone(), 1, founding()).await;
    let ada = account(&bench, "ada").await;
    let keyring = &bench.node.inner.shared.keyring;
    let seed = keyring.signing_key(&ada.key).unwrap().seed();
    let secrets = [seed, bench.node.peer_seed(), bench.node.network_key(), bench.node.token_root()];
    for (ns, key, value) in side_rows(&store).await {
        for secret in &secrets {
            assert!(
                !value.windows(32).any(|part| part == secret),
                "{ns}/{} is readable",
                String::from_utf8_lossy(&key)
            );
        }
    }
    assert!(!format!("{:?} {:?}", bench.node, keyring).contains(&hex::encode(seed)));
    drop(bench);

    let again = Bench::on(store.clone(), clock, 2, founding()).await;
    assert_eq!(again.node.account("ada"), Some(ada.clone()));
    assert_eq!(again.node.token_root(), secrets[3]);
    let mut write = request(&format!("~{}/blog", ada.key), WriteMode::Patch, &[("title", text("hello"))]);
    write.by = Principal::Account(ada.key);
    again.node.write(write).await.unwrap();
    assert!(store.entries().iter().any(|entry| &*entry.field == "title" && entry.author == ada.key));
}

#[tokio::test]
async fn a_wrong_key_file_is_named() {
    let store = Arc::new(MemoryStore::default());
    start(&store, Config::new(founding(), [0; 32], [9; 32].into())).await.unwrap();
    let before = side_rows(&store).await;
    let error = start(&store, Config::new(founding(), [0; 32], [8; 32].into())).await.unwrap_err();
    assert!(matches!(error, Error::SealKey(_)), "{error:?}");
    assert!(error.to_string().contains("key file") && error.to_string().contains("backup"), "{error}");
    assert_eq!(side_rows(&store).await, before, "nothing is sealed anew under the wrong key");
}

#[tokio::test]
async fn secrets_of_an_older_database_are_sealed_at_start() {
    let store = Arc::new(MemoryStore::default());
    let config = || Config::new(founding(), [0; 32], [9; 32].into());
    let node = start(&store, config()).await.unwrap();
    let seal = Seal::new(&[9; 32].into());
    let mut side = Vec::new();
    for name in ["peer", "gateway", "community", "network_key"] {
        let row = store.side_get("identity", name.as_bytes()).await.unwrap().unwrap();
        let raw = seal.open("identity", name.as_bytes(), &row).unwrap().to_vec();
        side.push(SideRow { ns: "identity", key: name.into(), value: Some(raw), insert_only: false });
    }
    store.apply(Batch { side, ..Batch::default() }).await.unwrap();
    let again = start(&store, config()).await.unwrap();
    assert_eq!(again.identity(), node.identity());
    assert_eq!((again.peer_seed(), again.network_key()), (node.peer_seed(), node.network_key()));
    for name in ["peer", "gateway", "community", "network_key"] {
        let row = store.side_get("identity", name.as_bytes()).await.unwrap().unwrap();
        assert_eq!(seal.open("identity", name.as_bytes(), &row).unwrap().len(), 32, "{name}");
    }
}

#[tokio::test]
async fn who_logs_in_and_who_does_not() {
    let bench = Bench::new(1).await;
    let made = NewAccount { name: "ada".into(), password: Some(PASSWORD.into()) };
    let ada = bench.node.create_account(made).await.unwrap();
    assert!(ada.has_password);
    assert_eq!(bench.node.login("ada", PASSWORD).await.unwrap(), ada);
    assert_eq!(fault(bench.node.login("ada", "correct horsf").await), AccountFault::WrongPassword);
    assert_eq!(fault(bench.node.login("eve", PASSWORD).await), AccountFault::WrongPassword);
    account(&bench, "bob").await;
    assert_eq!(fault(bench.node.login("bob", "").await), AccountFault::WrongPassword, "bob has no password");

    bench.node.set_password("ada", "battery staple").await.unwrap();
    assert_eq!(fault(bench.node.login("ada", PASSWORD).await), AccountFault::WrongPassword);
    assert_eq!(bench.node.login("ada", "battery staple").await.unwrap().key, ada.key);
    assert_eq!(fault(bench.node.set_password("eve", "battery staple").await), AccountFault::Unknown);

    let disabled = bench.node.disable_account("ada", true).await.unwrap();
    assert_eq!(disabled.disabled_ms, Some(NOW_MS));
    assert_eq!(fault(bench.node.login("ada", "battery staple").await), AccountFault::Disabled);
    assert_eq!(fault(bench.node.login("ada", "wrong").await), AccountFault::WrongPassword, "disabled is for who knows");
    assert!(!bench.node.is_account_active(&ada.key));
    bench.node.disable_account("ada", false).await.unwrap();
    assert!(bench.node.is_account_active(&ada.key));
    assert!(!bench.node.is_account_active(&PublicKey([1; 32])));
    bench.node.login("ada", "battery staple").await.unwrap();
}

#[tokio::test]
async fn a_disabled_account_writes_nothing() {
    let bench = Bench::new(1).await;
    let ada = account(&bench, "ada").await;
    let write = |soul: &str| {
        let mut write = request(soul, WriteMode::Patch, &[("title", text("hello"))]);
        write.by = Principal::Account(ada.key);
        write
    };
    bench.node.write(write(&format!("~{}/a", ada.key))).await.unwrap();
    bench.node.disable_account("ada", true).await.unwrap();
    for soul in [format!("~{}/a", ada.key), "public".into()] {
        let Err(Error::Refused(refusal)) = bench.node.write(write(&soul)).await else { panic!("{soul} was written") };
        assert_eq!(refusal.code, Code::NotAuthorised);
    }
}

#[tokio::test]
async fn a_rotated_account_signs_with_its_new_key_also_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let bench = Bench::on(store.clone(), clock.clone(), 1, founding()).await;
    let ada = account(&bench, "ada").await;
    let keyring = &bench.node.inner.shared.keyring;
    let side = keyring.rotate(&ada.key, &[5; 32]).unwrap();
    assert_eq!(keyring.signer(&ada.key), Some(ada.key), "not before the rows are durable");
    store.apply(Batch { side, ..Batch::default() }).await.unwrap();
    keyring.rotated(&ada.key, &[5; 32]);
    let successor = rustdht_wire::SigningKey::from_seed(&[5; 32]).public();
    assert_eq!(keyring.signer(&ada.key), Some(successor));
    assert_eq!(keyring.signing_key(&ada.key).unwrap().public(), ada.key, "the first key stays");
    drop(bench);
    let again = Bench::on(store, clock, 2, founding()).await;
    let keyring = &again.node.inner.shared.keyring;
    assert_eq!(again.node.account("ada").unwrap().signer, successor);
    assert_eq!(keyring.signing_key(&successor).unwrap().seed(), [5; 32]);
    assert_eq!(keyring.account_of(&successor), Some(ada.key));
    assert!(keyring.rotate(&PublicKey([3; 32]), &[6; 32]).is_err());
}

fn token(id: u8, expires_ms: Option<u64>) -> TokenRow {
    TokenRow {
        id: TokenId([id; 16]),
        account: None,
        scopes: vec!["read".into()],
        prefixes: Vec::new(),
        note: String::new(),
        created_ms: NOW_MS,
        expires_ms,
        revoked_ms: None,
    }
}

#[tokio::test]
async fn tokens_are_revoked_once_and_for_good() {
    let store = Arc::new(MemoryStore::default());
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let bench = Bench::on(store.clone(), clock.clone(), 1, founding()).await;
    bench.node.save_token(token(1, None)).await.unwrap();
    bench.node.save_token(token(2, Some(NOW_MS + 10))).await.unwrap();
    let (one, two) = (TokenId([1; 16]), TokenId([2; 16]));
    let (first, second) = tokio::join!(bench.node.revoke_token(&one), bench.node.revoke_token(&one));
    assert_ne!(first.unwrap(), second.unwrap(), "one of two callers revokes it");
    assert!(bench.node.is_token_revoked(&one) && !bench.node.is_token_revoked(&two));
    assert!(!bench.node.revoke_token(&TokenId([3; 16])).await.unwrap());
    drop(bench);
    let again = Bench::on(store, clock.clone(), 2, founding()).await;
    assert!(again.node.is_token_revoked(&one), "also after a restart");
    clock.advance(10);
    assert!(!again.node.revoke_token(&two).await.unwrap(), "it was over before");
    again.node.save_token(token(4, None)).await.unwrap();
    assert_eq!(again.node.token(&two), None, "what is over is forgotten");
    assert_eq!(again.node.tokens(None, 10).len(), 2);
    assert_eq!(again.node.tokens(Some(one), 10).len(), 1);
    assert_eq!(again.store.side_scan("token", &[], 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn tokens_are_bounded() {
    let store = Arc::new(MemoryStore::default());
    let mut config = Config::new(founding(), [0; 32], [9; 32].into());
    config.max_tokens = 1;
    let node = start(&store, config).await.unwrap();
    node.save_token(token(1, Some(NOW_MS))).await.unwrap();
    node.save_token(token(2, None)).await.unwrap();
    assert_eq!(fault(node.save_token(token(3, None)).await), AccountFault::TooManyTokens);
    node.save_token(TokenRow { note: "changed".into(), ..token(2, None) }).await.unwrap();
    assert_eq!(node.token(&TokenId([2; 16])).unwrap().note, "changed");
}

#[tokio::test]
async fn one_account_does_not_take_the_tokens_of_all() {
    let store = Arc::new(MemoryStore::default());
    let node = start(&store, Config::new(founding(), [0; 32], [9; 32].into())).await.unwrap();
    let (ada, ben) = (Some(PublicKey([3; 32])), Some(PublicKey([4; 32])));
    let of = |account, at: usize, expires_ms| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&at.to_be_bytes());
        TokenRow { id: TokenId(id), account, ..token(0, expires_ms) }
    };
    node.save_token(of(ada, 0, Some(NOW_MS))).await.unwrap();
    for at in 1..=MAX_ACCOUNT_TOKENS {
        node.save_token(of(ada, at, None)).await.unwrap();
    }
    let next = MAX_ACCOUNT_TOKENS + 1;
    assert_eq!(fault(node.save_token(of(ada, next, None)).await), AccountFault::TooManyOwnTokens);
    node.save_token(of(ben, next, None)).await.unwrap();
    node.save_token(of(None, next + 1, None)).await.unwrap();
    // Revoking one makes room.
    assert!(node.revoke_token(&of(ada, 1, None).id).await.unwrap());
    node.save_token(of(ada, next + 2, None)).await.unwrap();
    assert_eq!(fault(node.save_token(of(ada, next + 3, None)).await), AccountFault::TooManyOwnTokens);
}

#[tokio::test]
async fn the_owner_publishes_his_recipient_key_once() {
    let bench = Bench::new(1).await;
    bench.node.publish_recipient().await.unwrap();
    bench.node.publish_recipient().await.unwrap();
    let home = format!("~{}", bench.node.identity().gateway);
    let entries: Vec<_> = bench.store.entries().into_iter().filter(|entry| *entry.soul == *home).collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(bench.node.last_feed(), 1, "the second call writes nothing");
    tokio::time::timeout(Duration::from_secs(10), bench.node.ready()).await.unwrap().unwrap();
}
