//! The HTTP client of the commands that talk to a running gateway.

mod problem;
mod sse;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response, Url, header};

pub(crate) use sse::Events;

use crate::{
    config::read_token,
    exit::{Exit, coded},
};

/// Where `rustdht serve` listens when nothing else is said.
pub(crate) const DEFAULT_API: &str = "http://127.0.0.1:8480";

/// A gateway on a reachable machine accepts a connection long before this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests with small answers. The gateway itself waits at most 30 s for the network.
const SMALL_TIMEOUT: Duration = Duration::from_secs(60);

/// RFC 3986 unreserved characters stay; everything else of a soul, field or prefix is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Escapes text for one path segment or query value.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// A gateway, and the token for it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<header::HeaderValue>,
}

impl Client {
    /// A client of the gateway at `api`, with the token of `token_file` if there is one.
    pub(crate) fn new(api: &str, token_file: Option<&PathBuf>) -> anyhow::Result<Self> {
        let url = Url::parse(api).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            return Err(coded(
                Exit::Usage,
                format!("--api {api:?} is no http or https URL; an example: {DEFAULT_API}"),
            ));
        };
        let token = match token_file {
            Some(path) => {
                let text = format!("Bearer {}", read_token(path)?);
                let mut value = header::HeaderValue::from_str(&text).context("the token does not fit in a header")?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self { http: http(&url)?, base: api.trim_end_matches('/').to_owned(), token })
    }

    /// The base URL.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// A request with a small answer.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.stream(method, path).timeout(SMALL_TIMEOUT)
    }

    /// A request whose body or answer may take any time.
    pub(crate) fn stream(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.clone());
        }
        request
    }

    /// Sends a request; an answer other than 2xx becomes an error with its exit code.
    pub(crate) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(problem::explain(answer).await) }
    }

    /// Sends a request and reads the answer as text.
    pub(crate) async fn text(&self, request: RequestBuilder) -> anyhow::Result<String> {
        let answer = self.send(request).await?;
        answer.text().await.map_err(|error| self.unreachable(&error))
    }

    /// Sends a GET and reads the answer as JSON.
    pub(crate) async fn get_json(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        let text = self.text(self.request(Method::GET, path)).await?;
        serde_json::from_str(&text).with_context(|| format!("{} does not answer as a RustDHT gateway does", self.base))
    }

    /// Sends a JSON body and reads the answer as JSON.
    pub(crate) async fn send_json(
        &self,
        method: Method,
        path: &str,
        body: &serde_json::Value,
    ) -> anyhow::Result<serde_json::Value> {
        let request =
            self.request(method, path).header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        let text = self.text(request).await?;
        serde_json::from_str(&text).with_context(|| format!("{} does not answer as a RustDHT gateway does", self.base))
    }

    /// The items of all pages of a list.
    pub(crate) async fn pages(&self, path: &str, items: &str) -> anyhow::Result<Vec<serde_json::Value>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self.get_json(&format!("{path}?limit=1000{cursor}")).await?;
            if let serde_json::Value::Array(page) = page[items].take() {
                all.extend(page);
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={}", escape(next)),
                None => return Ok(all),
            }
        }
    }

    /// The error of a gateway that does not answer, with what to do.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let base = &self.base;
        let what = if error.is_connect() {
            format!("no gateway answers at {base} ({cause}); start one with `rustdht serve`, or name it with --api")
        } else if error.is_timeout() {
            format!("the gateway at {base} did not answer in time")
        } else {
            format!("the connection to {base} was lost ({cause})")
        };
        coded(Exit::Unreachable, what)
    }
}

/// The one place where HTTP clients are made. They follow no redirects.
pub(crate) fn http(url: &Url) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("rustdht/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if url.scheme() == "http" {
        // Plain HTTP needs no certificates, and a slim container has none to load.
        builder = builder.tls_certs_only([]);
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        // What `http_proxy` names cannot reach this machine's loopback.
        builder = builder.no_proxy();
    }
    builder.build().context("cannot set up TLS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn souls_become_one_segment() {
        assert_eq!(escape("people/ada lövelace?#"), "people%2Fada%20l%C3%B6velace%3F%23");
        assert_eq!(escape("~zK_a.b-c"), "~zK_a.b-c");
    }

    #[test]
    fn an_api_that_is_no_url_is_a_usage_error() {
        crate::install_tls();
        for api in ["", "127.0.0.1:8480", "ftp://x", "http://"] {
            assert_eq!(crate::exit::of(&Client::new(api, None).unwrap_err()), Exit::Usage, "{api}");
        }
        assert_eq!(Client::new("http://127.0.0.1:8480/", None).unwrap().base(), "http://127.0.0.1:8480");
    }

    #[tokio::test]
    async fn nobody_listening_is_unreachable() {
        crate::install_tls();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", free.local_addr().unwrap());
        drop(free);
        let error = Client::new(&api, None).unwrap().get_json("/api/v1/status").await.unwrap_err();
        assert_eq!(crate::exit::of(&error), Exit::Unreachable);
        assert!(error.to_string().contains("rustdht serve"), "{error}");
    }
}
