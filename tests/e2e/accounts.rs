//! Accounts, tokens and delegation, as a user of the command line meets them.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::PathBuf, process::Output};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::gateway::{Gateway, run, until};

/// What the process exits with.
const FAILURE: Option<i32> = Some(1);

/// A gateway and a folder for the files of its users.
struct Scene {
    gateway: Gateway,
    files: tempfile::TempDir,
    _data: tempfile::TempDir,
}

impl Scene {
    fn start(more: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(&data.path().join("data"), more);
        Self { gateway, files: tempfile::tempdir().unwrap(), _data: data }
    }

    fn try_run(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--api", &self.gateway.api]].concat())
    }

    /// Runs a command that succeeds; what it prints.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs a command that fails; what it says.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), FAILURE, "{arguments:?}: {said}");
        said
    }

    /// Keeps a text as a file of a user.
    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.files.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Makes an account and a token of it; its key and the token's file.
    fn user(&self, name: &str, scope: &str) -> (String, String) {
        let account: Value = serde_json::from_str(&self.run(&["user", "create", name, "--json"])).unwrap();
        let token = self.run(&["token", "create", "--user", name, "--scope", scope]);
        (account["key"].as_str().unwrap().to_owned(), self.file(&format!("{name}.token"), &token))
    }
}

#[tokio::test]
async fn a_user_writes_with_a_token_that_can_be_narrowed_and_revoked() {
    let scene = Scene::start(&[]);
    let (key, token) = scene.user("ada", "write");
    scene.run(&["put", "people/ada", "name=Ada", "--token-file", &token]);
    let meta: Value = serde_json::from_str(&scene.run(&["get", "people/ada", "--meta", "--json"])).unwrap();
    assert_eq!(meta["meta"]["name"]["author"], key.as_str(), "the account signs");
    scene.run(&["put", &format!("~{key}/blog"), "title=Notes", "--token-file", &token]);
    assert!(scene.refused(&["put", &format!("~{key}/blog"), "title=Mine"]).contains("not_authorised"));

    let narrow = ["token", "narrow", &token, "--scope", "read", "--prefix", "people"];
    let narrowed = scene.file("narrowed", &scene.run(&narrow));
    assert_eq!(scene.run(&["get", "people/ada", "name", "--token-file", &narrowed]), "Ada");
    assert!(scene.refused(&["put", "people/ada", "x=1", "--token-file", &narrowed]).contains("insufficient_scope"));
    assert!(scene.refused(&["export", "--token-file", &narrowed]).contains("insufficient_scope"));
    let read = scene.file("read", &scene.run(&["token", "create", "--user", "ada", "--scope", "read"]));
    assert!(scene.refused(&["put", "people/ada", "x=1", "--token-file", &read]).contains("insufficient_scope"));
    assert!(scene.refused(&["user", "ls", "--token-file", &token]).contains("insufficient_scope"));

    let listed = scene.run(&["token", "ls", "--json"]);
    let rows: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let id = rows.iter().find(|row| row["scopes"][0] == "write").unwrap()["id"].as_str().unwrap().to_owned();
    assert!(!listed.contains(&std::fs::read_to_string(&token).unwrap()), "the text of a token is not kept");
    scene.run(&["token", "revoke", &id]);
    for dead in [&token, &narrowed] {
        assert!(scene.refused(&["put", "people/ada", "x=1", "--token-file", dead]).contains("unauthenticated"));
        assert!(scene.refused(&["get", "people/ada", "--token-file", dead]).contains("unauthenticated"));
    }
    let changed = std::fs::read_to_string(&read).unwrap().replacen('E', "F", 1);
    let changed = scene.file("changed", &changed);
    assert!(scene.refused(&["get", "people/ada", "--token-file", &changed]).contains("unauthenticated"));
    scene.run(&["user", "disable", "ada"]);
    assert!(scene.refused(&["get", "people/ada", "--token-file", &read]).contains("unauthenticated"));
}

#[tokio::test]
async fn a_password_logs_in_until_it_is_changed() {
    let scene = Scene::start(&[]);
    let (first, second) = (scene.file("first", "a first password\n"), scene.file("second", "a second password\n"));
    scene.run(&["user", "create", "ada", "--password-file", &first]);
    let session = scene.file("session", &scene.run(&["user", "login", "ada", "--password-file", &first]));
    scene.run(&["put", "people/ada", "name=Ada", "--token-file", &session]);
    assert!(scene.refused(&["user", "login", "ada", "--password-file", &second]).contains("unauthenticated"));
    let change = ["user", "password", "ada", "--password-file", &second];
    scene.run(&[&change[..], &["--current-file", &first, "--token-file", &session]].concat());
    scene.run(&["user", "login", "ada", "--password-file", &second]);
    assert!(scene.refused(&["user", "create", "eve", "--token-file", &session]).contains("registration_closed"));
}

#[tokio::test]
async fn what_one_account_delegates_another_writes_on_every_gateway_until_it_is_revoked() {
    let scene = Scene::start(&[]);
    let invite = scene.gateway.invite().await;
    let dir = tempfile::tempdir().unwrap();
    let other = Gateway::start(&dir.path().join("data"), &["--join", &invite]);
    let ((ada, ada_token), (_, charles_token)) = (scene.user("ada", "write"), scene.user("charles", "write"));
    let (blog, diary) = (format!("~{ada}/blog"), format!("~{ada}/diary"));
    let write =
        |soul: &str, field: &str| scene.try_run(&["put", soul, field, "--token-file", &charles_token]).status.code();
    assert_eq!(write(&blog, "title=Guest"), FAILURE);
    let issue = ["certificate", "issue", "--to", "charles", "--prefix", &blog, "--token-file", &ada_token];
    let id = scene.run(&issue);
    assert_eq!((write(&blog, "title=Guest"), write(&diary, "title=Guest")), (Some(0), FAILURE));
    scene.run(&["put", &blog, "motto=Own", "--token-file", &ada_token]);
    let path = format!("/api/v1/nodes/~{ada}%2Fblog?at=local");
    let there = async || {
        let answer = other.request(Method::GET, &path, None).await;
        if answer.status() == StatusCode::OK {
            answer.json::<Value>().await.unwrap()["data"].take()
        } else {
            Value::Null
        }
    };
    until("the other gateway to show both", async || {
        let data = there().await;
        data["title"] == "Guest" && data["motto"] == "Own"
    })
    .await;
    assert!(scene.run(&["certificate", "ls", "--token-file", &charles_token]).contains(&id));
    assert!(scene.refused(&["certificate", "revoke", &id, "--token-file", &charles_token]).contains("not_authorised"));
    scene.run(&["certificate", "revoke", &id, "--token-file", &ada_token]);
    assert_eq!(write(&blog, "title=Again"), FAILURE);
    assert!(scene.run(&["certificate", "show", &id]).contains("revoked   yes"));
    until("the other gateway to hide what stands under it", async || {
        let data = there().await;
        data["title"].is_null() && data["motto"] == "Own"
    })
    .await;
    assert_eq!(scene.gateway.export().await, other.export().await);
}

#[test]
fn a_key_file_that_is_lost_or_open_stops_the_start_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Gateway::start(&data, &[]).stop();
    let key = data.join("key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&key).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let said = Gateway::try_start(&data, &[]).map(drop).unwrap_err();
    assert!(said.contains("chmod 600"), "{said}");
    std::fs::remove_file(&key).unwrap();
    let said = Gateway::try_start(&data, &[]).map(drop).unwrap_err();
    assert!(said.contains("key"), "{said}");
    assert!(!key.exists(), "a new key would hide that the old one is missing");
    std::fs::write(&key, text).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    Gateway::start(&data, &[]).stop();
}
