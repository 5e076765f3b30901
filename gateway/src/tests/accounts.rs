//! Accounts and logins.

use proptest::prelude::*;

use super::*;

const ACCOUNTS: &str = "/api/v1/accounts";

fn with(registration: Registration) -> Config {
    Config { registration, ..Config::default() }
}

impl App {
    /// Asks for an account as a stranger.
    async fn register(&self, body: &Value) -> Answer {
        self.with_token("", Method::POST, ACCOUNTS, &body.to_string()).await
    }

    async fn log_in(&self, name: &str, password: &str) -> Answer {
        let body = json!({ "name": name, "password": password }).to_string();
        self.with_token("", Method::POST, "/api/v1/sessions", &body).await
    }
}

#[tokio::test]
async fn accounts_are_made_listed_and_found() {
    let app = App::new().await;
    for name in ["charles", "ada", "mary"] {
        app.account(name).await;
    }
    let page = app.get("/api/v1/accounts?limit=2").await.json();
    let names = |page: &Value| -> Vec<String> {
        page["accounts"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&page), ["ada", "charles"]);
    let next = page["next"].as_str().unwrap();
    let rest = app.get(&format!("/api/v1/accounts?limit=2&cursor={next}")).await.json();
    assert_eq!((names(&rest), &rest["next"]), (vec!["mary".to_owned()], &Value::Null));
    let ada = app.get("/api/v1/accounts/ada").await.json();
    assert_eq!((&ada["name"], &ada["has_password"], &ada["disabled"]), (&json!("ada"), &json!(false), &Value::Null));
    assert_eq!(ada["recipient"].as_str().unwrap().len(), 64);
    let home = app.get(&format!("/api/v1/nodes/~{}", ada["key"].as_str().unwrap())).await.json();
    assert_eq!(home["data"]["name"], "ada");
    let again = app.send(Method::POST, ACCOUNTS, &JSON, "{\"name\":\"ada\"}").await;
    assert_eq!((again.problem(), &again.json()["field"]), ((409, "conflict".into()), &json!("name")));
    for bad in ["", "Ada", "a b", "ü", &"a".repeat(65)] {
        let body = json!({ "name": bad }).to_string();
        assert_eq!(app.send(Method::POST, ACCOUNTS, &JSON, body).await.status, 422, "{bad}");
    }
    assert_eq!(app.get("/api/v1/accounts/nobody").await.problem(), (404, "not_found".into()));
    for limit in ["0", "1001", "x"] {
        assert!(app.get(&format!("/api/v1/accounts?limit={limit}")).await.status >= 400, "{limit}");
    }
}

#[tokio::test]
async fn a_password_logs_in_and_a_wrong_one_says_no_more_than_a_wrong_name() {
    let app = App::new().await;
    let body = json!({ "name": "ada", "password": "a long password" });
    app.owner(Method::POST, ACCOUNTS, &body, 201).await;
    let session = app.log_in("ada", "a long password").await;
    assert_eq!((session.status, &session.json()["scopes"]), (201, &json!(["read", "write"])));
    let token = session.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(app.with_token(&token, Method::PATCH, "/api/v1/nodes/a", "{\"x\":1}").await.status, 200);
    let (wrong, nobody) = (app.log_in("ada", "another password").await, app.log_in("nobody", "a long password").await);
    assert_eq!(wrong.problem(), (401, "unauthenticated".into()));
    assert_eq!(wrong.body, nobody.body);
    let id = session.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(app.with_token(&token, Method::DELETE, &format!("/api/v1/tokens/{id}"), "").await.status, 204);
    assert_eq!(app.with_token(&token, Method::GET, "/api/v1/nodes/a", "").await.problem().0, 401);
    app.owner(Method::POST, "/api/v1/accounts/ada/disable", &json!({}), 200).await;
    assert_eq!(app.log_in("ada", "a long password").await.body, wrong.body);
}

#[tokio::test]
async fn guessing_is_slow() {
    let app = App::new().await;
    app.owner(Method::POST, ACCOUNTS, &json!({ "name": "ada", "password": "a long password" }), 201).await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(app.log_in("ada", "wrong password").await.status);
    }
    assert_eq!(statuses[..10], [401; 10]);
    let limited = app.log_in("ada", "a long password").await;
    assert_eq!(limited.problem(), (429, "rate_limited".into()));
    assert_eq!(limited.header(header::RETRY_AFTER), "5");
    app.clock.advance(5_000);
    assert_eq!(app.log_in("ada", "a long password").await.status, 201);
}

#[tokio::test]
async fn registration_is_closed_by_invite_or_open() {
    let body = json!({ "name": "ada", "password": "a long password" });
    let closed = App::new().await;
    assert_eq!(closed.register(&body).await.problem(), (403, "registration_closed".into()));
    let open = App::with(with(Registration::Open)).await;
    assert_eq!(open.register(&body).await.status, 201);
    assert_eq!(open.register(&json!({ "name": "b" })).await.json()["field"], "password");
    assert_eq!(open.register(&json!({ "name": "b", "password": "short" })).await.json()["field"], "password");
    let invite = App::with(with(Registration::Invite)).await;
    let code = invite.owner(Method::POST, "/api/v1/tokens", &json!({ "scopes": ["register"] }), 201).await;
    let admin = invite.owner(Method::POST, "/api/v1/tokens", &json!({ "scopes": ["admin"] }), 201).await;
    let with = |name: &str, code: &Value| json!({ "name": name, "password": "a long password", "invite": code });
    for wrong in [&Value::Null, &json!(""), &json!("x"), &admin["token"]] {
        let refused = invite.register(&with("ada", wrong)).await;
        assert_eq!(refused.problem(), (403, "registration_closed".into()), "{wrong}");
    }
    assert_eq!(invite.register(&with("ada", &code["token"])).await.status, 201);
    let again = invite.register(&with("charles", &code["token"])).await;
    assert_eq!(again.problem(), (403, "registration_closed".into()), "a code is good for one account");
    let listed = invite.get("/api/v1/tokens").await.json();
    let admin_row = listed["tokens"].as_array().unwrap().iter().find(|row| row["id"] == admin["id"]).unwrap().clone();
    assert_eq!(admin_row["revoked"], Value::Null, "what is no code is not used up");
}

#[tokio::test]
async fn a_code_is_not_used_up_by_a_name_that_is_taken() {
    let app = App::with(with(Registration::Invite)).await;
    app.account("ada").await;
    let code = app.owner(Method::POST, "/api/v1/tokens", &json!({ "scopes": ["register"] }), 201).await;
    let body = |name: &str| json!({ "name": name, "password": "a long password", "invite": code["token"] });
    assert_eq!(app.register(&body("ada")).await.problem(), (409, "conflict".into()));
    assert_eq!(app.register(&body("charles")).await.status, 201);
}

#[tokio::test]
async fn a_code_makes_no_second_account_wherever_the_request_for_the_first_ends() {
    let mut ended_early = 0;
    for polls in 1..64 {
        let app = App::with(with(Registration::Invite)).await;
        let code = app.owner(Method::POST, "/api/v1/tokens", &json!({ "scopes": ["register"] }), 201).await;
        let body = |name: &str| json!({ "name": name, "password": "a long password", "invite": code["token"] });
        let body = (body("ada"), body("charles"));
        let answer = {
            let mut request = std::pin::pin!(app.register(&body.0));
            let mut left = polls;
            std::future::poll_fn(|context| {
                left -= 1;
                match request.as_mut().poll(context) {
                    std::task::Poll::Pending if left > 0 => std::task::Poll::Pending,
                    ended => std::task::Poll::Ready(ended),
                }
            })
            .await
        };
        let second = app.register(&body.1).await.status;
        let first = app.get("/api/v1/accounts/ada").await.status;
        assert!(first != 200 || second != 201, "two accounts of one code when it ends at poll {polls}");
        if answer.is_ready() {
            assert_eq!((first, second), (200, 403));
            break;
        }
        ended_early += 1;
    }
    assert!(ended_early > 0, "it never waits");
}

#[tokio::test]
async fn a_code_is_given_back_when_nothing_is_made_and_not_once_it_is_revoked() {
    let app = App::with(with(Registration::Invite)).await;
    let code = app.owner(Method::POST, "/api/v1/tokens", &json!({ "scopes": ["register"] }), 201).await;
    let body = |name: &str| json!({ "name": name, "password": "a long password", "invite": code["token"] });
    assert_eq!(app.register(&body("A name that is none")).await.status, 422);
    assert_eq!(app.register(&body("eve")).await.status, 201, "it is given back");
    let code = app.owner(Method::POST, "/api/v1/tokens", &json!({ "scopes": ["register"] }), 201).await;
    let body = |name: &str| json!({ "name": name, "password": "a long password", "invite": code["token"] });
    app.owner(Method::DELETE, &format!("/api/v1/tokens/{}", code["id"].as_str().unwrap()), &json!({}), 204).await;
    assert_eq!(app.register(&body("ada")).await.problem(), (403, "registration_closed".into()));
}

#[tokio::test]
async fn passwords_are_changed_by_who_knows_the_old_one_or_runs_the_gateway() {
    let app = App::new().await;
    for name in ["ada", "charles"] {
        app.owner(Method::POST, ACCOUNTS, &json!({ "name": name, "password": "the first password" }), 201).await;
    }
    let ada = app.token("ada", &["write"], &[]).await;
    let put = async |token: &str, name: &str, body: Value| {
        app.with_token(token, Method::PUT, &format!("/api/v1/accounts/{name}/password"), &body.to_string()).await
    };
    let second = json!({ "password": "the second password", "current": "the first password" });
    assert_eq!(put(&ada, "ada", json!({ "password": "the second password" })).await.problem().0, 401);
    assert_eq!(put(&ada, "charles", second.clone()).await.problem(), (403, "insufficient_scope".into()));
    assert_eq!(put("", "ada", second.clone()).await.problem().0, 401);
    assert_eq!(put(&ada, "ada", json!({ "password": "short" })).await.json()["field"], "password");
    assert_eq!(put(&ada, "ada", second).await.status, 200);
    assert_eq!(app.log_in("ada", "the second password").await.status, 201);
    assert_eq!(app.log_in("ada", "the first password").await.status, 401);
    app.owner(Method::PUT, "/api/v1/accounts/ada/password", &json!({ "password": "the third password" }), 200).await;
    assert_eq!(app.log_in("ada", "the third password").await.status, 201);
}

#[tokio::test]
async fn a_rotated_key_goes_on_writing_the_old_space() {
    let app = App::new().await;
    let key = app.account("ada").await;
    let token = app.token("ada", &["write"], &[]).await;
    let path = format!("/api/v1/nodes/~{key}%2Fblog");
    assert_eq!(app.with_token(&token, Method::PATCH, &path, "{\"x\":1}").await.status, 200);
    let rotated = app.with_token(&token, Method::POST, "/api/v1/accounts/ada/rotate", "").await;
    let account = rotated.json();
    assert_eq!((rotated.status, &account["key"]), (200, &json!(key)), "{account}");
    assert_ne!(account["signer"], json!(key));
    assert_eq!(app.with_token(&token, Method::PATCH, &path, "{\"x\":2}").await.status, 200);
    let meta = app.get(&format!("{path}?meta=true")).await.json();
    assert_eq!((&meta["data"]["x"], &meta["meta"]["x"]["author"]), (&json!(2), &account["signer"]));
    let other = app.token("ada", &["read"], &[]).await;
    let refused = app.with_token(&other, Method::POST, "/api/v1/accounts/ada/rotate", "").await;
    assert_eq!(refused.problem(), (403, "insufficient_scope".into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn mutated_bodies_are_answered(which in 0..5_usize, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let bodies = [
            (ACCOUNTS, r#"{"name":"ada","password":"a long password","invite":null}"#),
            ("/api/v1/tokens", r#"{"user":null,"scopes":["read"],"prefixes":["people"],"note":"n","expires_in":60}"#),
            ("/api/v1/certificates", r#"{"audience":"ada","prefixes":[],"fields":["x"],"rights":["write"],"expires_in":60}"#),
            ("/api/v1/content", r##"{"name":"Ada","knows":{"#":"people/b"}}"##),
            ("/api/v1/commits", r#"{"ops":[{"op":"insert","soul":"a","field":"t","kind":"text","index":0,"value":"x"}]}"#),
        ];
        let (path, body) = bodies[which];
        let mut body = body.as_bytes().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(async {
            let app = App::new().await;
            app.send(Method::POST, path, &JSON, body).await.status
        });
        prop_assert!(status < 500, "{status}");
    }
}
