//! A gateway as a process, and what a newcomer sees of it first.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Once,
    thread,
    time::Duration,
};

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

/// The built binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_rustdht");

/// How long a test waits for what must happen; far above what it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway; it is killed when dropped.
pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) api: String,
    pub(crate) dir: PathBuf,
    pub(crate) client: Client,
}

pub(crate) fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    // Plain HTTP on loopback: no proxy can reach it, and no certificates are needed.
    Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

impl Gateway {
    /// Starts a gateway on free ports.
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        Self::try_start(dir, more).unwrap_or_else(|log| panic!("the gateway did not start:\n{log}"))
    }

    /// Starts a gateway; the error is what it printed before it ended.
    pub(crate) fn try_start(dir: &Path, more: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(BINARY);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--port", "0", "--ws-port", "0", "--data-dir"])
            .arg(dir)
            .args(more)
            .env("RUSTDHT__NET__MDNS", "false")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        for line in &mut lines {
            let line = line.unwrap();
            log.push_str(&line);
            log.push('\n');
            if line.contains("\"ready\"")
                && let Some((_, rest)) = line.split_once("\"api\":\"")
            {
                let api = rest.split('"').next().unwrap().to_owned();
                // The log has to be read on, or the gateway would block on a full pipe.
                thread::spawn(move || lines.for_each(drop));
                return Ok(Self { child, api, dir: dir.to_owned(), client: client() });
            }
        }
        let _ = child.wait();
        Err(log)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self.client.request(method, self.url(path));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send().await.unwrap()
    }

    /// PATCHes a node and expects it to be acknowledged.
    pub(crate) async fn patch(&self, soul: &str, body: Value) -> Value {
        let response = self.request(Method::PATCH, &format!("/api/v1/nodes/{soul}"), Some(body)).await;
        let status = response.status();
        let answer = response.json().await.unwrap();
        assert!(status == StatusCode::OK || status == StatusCode::ACCEPTED, "{status}: {answer}");
        answer
    }

    /// The data of a node here, or null.
    pub(crate) async fn data(&self, soul: &str) -> Value {
        let response = self.request(Method::GET, &format!("/api/v1/nodes/{soul}?at=local"), None).await;
        if response.status() == StatusCode::NOT_FOUND {
            return Value::Null;
        }
        response.json::<Value>().await.unwrap()["data"].take()
    }

    pub(crate) async fn export(&self) -> String {
        self.request(Method::GET, "/api/v1/export", None).await.text().await.unwrap()
    }

    pub(crate) async fn invite(&self) -> String {
        let answer = run(&["invite", "--api", &self.api]);
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        signal("TERM", self.child.id());
        self.child.wait().unwrap()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal. The shell's own `kill`: not every system has one in its path.
pub(crate) fn signal(name: &str, pid: u32) {
    assert!(Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().unwrap().success());
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).env_remove("RUSTDHT_API").stdin(Stdio::null()).output().unwrap()
}

/// Waits until `holds`.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not happen in {PATIENCE:?}");
}

#[tokio::test]
async fn a_newcomer_writes_and_reads() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&folder.path().join("data"), &[]);
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/api/v1/peers"] {
        assert_eq!(gateway.request(Method::GET, path, None).await.status(), StatusCode::OK, "{path}");
    }
    let status: Value = gateway.request(Method::GET, "/api/v1/status", None).await.json().await.unwrap();
    assert_eq!(status["network"]["mode"], "members");
    assert_eq!(status["network"]["id"].as_str().unwrap().len(), 64);

    let ada = json!({"name": "Ada", "age": 36, "height": 1.5, "knows": {"@set": [{"#": "bob"}]}});
    let written = gateway.patch("ada", ada.clone()).await;
    assert_eq!(written["data"], ada);
    assert_eq!(written["commit"].as_str().unwrap().len(), 64);
    gateway.patch("bob", json!({"name": "Bob", "knows": {"#": "eve"}})).await;
    gateway.patch("eve", json!({"name": "Eve"})).await;
    assert_eq!(gateway.data("ada").await, ada);
    let path: Value =
        gateway.request(Method::GET, "/api/v1/nodes/ada/path/knows/knows/name", None).await.json().await.unwrap();
    assert!(path.to_string().contains("Eve"), "{path}");
    let meta: Value = gateway.request(Method::GET, "/api/v1/nodes/ada?meta=true", None).await.json().await.unwrap();
    assert_eq!(meta["meta"]["name"]["kind"], "register");

    let shown = run(&["get", "ada", "--json", "--api", &gateway.api]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["data"], ada);
    assert_eq!(run(&["get", "nobody", "--api", &gateway.api]).status.code(), Some(3));
    assert_eq!(run(&["get", "ada", "--api", "http://127.0.0.1:1"]).status.code(), Some(5));
    assert_eq!(run(&["frobnicate"]).status.code(), Some(2));
    assert!(gateway.stop().success());
}

#[tokio::test]
async fn watchers_hear_and_resume() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    let mut watch = gateway.client.get(gateway.url("/api/v1/watch?prefix=a")).send().await.unwrap();
    assert_eq!(watch.headers()["content-type"], "text/event-stream");
    gateway.patch("b", json!({"x": 1})).await;
    gateway.patch("a", json!({"x": 1})).await;
    let mut heard = String::new();
    while !heard.contains("\"soul\"") || !heard.ends_with("\n\n") {
        heard.push_str(std::str::from_utf8(&watch.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(heard.contains("\"soul\":\"a\"") && !heard.contains("\"soul\":\"b\""), "{heard}");
    let id = heard.lines().rev().find_map(|line| line.strip_prefix("id:")).unwrap().trim().to_owned();
    gateway.patch("a", json!({"x": 2})).await;
    let mut resumed =
        gateway.client.get(gateway.url("/api/v1/watch?prefix=a")).header("last-event-id", id).send().await.unwrap();
    let mut heard = String::new();
    while !heard.contains("\"x\":2") {
        heard.push_str(std::str::from_utf8(&resumed.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(!heard.contains("\"x\":1}"), "nothing twice: {heard}");
}

#[test]
fn the_demo_runs_to_its_end() {
    let output = run(&["demo"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("merged") || said.contains("equal"), "{said}");
}

#[test]
fn a_process_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let running = Gateway::start(&folder.path().join("a"), &[]);
    let second = Gateway::try_start(&folder.path().join("a"), &[]).err().unwrap();
    assert!(second.contains("in use") || second.contains("another"), "{second}");
    let port = running.api.rsplit(':').next().unwrap().to_owned();
    let mut command = Command::new(BINARY);
    let taken = command
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--port", "0", "--ws-port", "0", "--data-dir"])
        .arg(folder.path().join("b"))
        .output()
        .unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&taken.stderr).contains(&port), "{taken:?}");
    let unknown = folder.path().join("bad.toml");
    std::fs::write(&unknown, "[gateway]\nlisten_adress = \"127.0.0.1:0\"\n").unwrap();
    let mut command = Command::new(BINARY);
    let output = command
        .arg("serve")
        .arg("--config")
        .arg(&unknown)
        .arg("--data-dir")
        .arg(folder.path().join("c"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("listen_adress") && said.contains("listen"), "{said}");
}
