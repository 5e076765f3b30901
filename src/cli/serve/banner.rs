//! What a gateway says once it runs: a banner on a terminal, one structured line otherwise.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    client::DEFAULT_API,
    output::{Output, paint, stderr_has_colours},
};

/// The `ready` line passes every filter of log lines.
pub(super) const READY_TARGET: &str = "rustdht::ready";

/// What there is to say.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Name of the network.
    pub network: String,
    /// Its id, in hex.
    pub network_id: String,
    /// This replica.
    pub peer_id: String,
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Multiaddrs on which peers are heard.
    pub listen: Vec<String>,
    /// The data folder.
    pub data_dir: PathBuf,
    /// Whether this start made the data folder.
    pub created: bool,
    /// Whether an owner token is set.
    pub has_token: bool,
    /// Under which URL others reach the gateway.
    pub public_url: Option<String>,
    /// How long the start took.
    pub elapsed: Duration,
}

impl Facts {
    /// The URL for callers on this machine: a wildcard address is reached over loopback.
    pub(crate) fn api(&self) -> String {
        let mut address = self.http;
        if address.ip().is_unspecified() {
            let loopback = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
            address.set_ip(loopback.parse().unwrap_or_else(|_| address.ip()));
        }
        format!("http://{address}")
    }

    /// Tells that the gateway runs, in the form that fits stderr.
    pub(crate) fn announce(&self) {
        if std::io::stderr().is_terminal() {
            Output { json: false }.say(self.banner(stderr_has_colours()));
        } else {
            tracing::info!(
                target: READY_TARGET,
                version = env!("CARGO_PKG_VERSION"),
                network = self.network,
                network_id = self.network_id,
                peer_id = self.peer_id,
                api = self.api(),
                listen = self.listen.join(" "),
                data_dir = %self.data_dir.display(),
                elapsed_ms = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
                "ready"
            );
        }
    }

    fn banner(&self, colours: bool) -> String {
        let bold = |text: &str| paint(colours, "1", text);
        let dim = |text: &str| paint(colours, "2", text);
        let api = self.api();
        let created = if self.created { " (created)" } else { "" };
        let short = self.network_id.get(..12).unwrap_or(&self.network_id);
        let mut lines = vec![format!(
            "{}  network {} {}  data {}{created}",
            bold(concat!("RustDHT ", env!("CARGO_PKG_VERSION"))),
            bold(&self.network),
            dim(short),
            self.data_dir.display(),
        )];
        let mut row = |name: &str, text: String| {
            // A row without a name goes on with the one above it.
            lines.push(format!("{} {name:<8} {text}", if name.is_empty() { "│ " } else { "├─" }));
        };
        row("API", format!("{api}/api/v1   {}", dim(&format!("reference at {api}/docs"))));
        row("Blobs", format!("{api}/ipfs/<cid>"));
        for (at, address) in self.listen.iter().enumerate() {
            row(if at == 0 { "Peers" } else { "" }, address.clone());
        }
        let flag = if api == DEFAULT_API { String::new() } else { format!(" --api {api}") };
        row("Invite", format!("others join with the output of: rustdht invite{flag}"));
        row("Access", self.access());
        if let Some(last) = lines.last_mut() {
            *last = last.replacen('├', "└", 1);
        }
        lines.push(format!("ready in {:.1} s; ctrl-c stops", self.elapsed.as_secs_f64()));
        lines.join("\n")
    }

    fn access(&self) -> String {
        match (&self.public_url, self.has_token) {
            (Some(url), true) => format!("public at {url}: writing needs the owner's token, from this machine too"),
            (Some(url), false) => format!("public at {url}: nobody can write; set gateway.owner_token_file"),
            (None, true) => "callers on this machine act as the owner, others with the owner's token".to_owned(),
            (None, false) => "callers on this machine act as the owner: no token, and no public_url is set".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            network: "home".into(),
            network_id: "0123456789abcdef".repeat(4),
            peer_id: "12D3KooWExample".into(),
            http: "127.0.0.1:8480".parse().unwrap(),
            listen: vec![
                "/ip4/127.0.0.1/tcp/4480/p2p/12D3KooWExample".into(),
                "/ip4/127.0.0.1/udp/4480/quic-v1/p2p/12D3KooWExample".into(),
            ],
            data_dir: "rustdht-data".into(),
            created: true,
            has_token: false,
            public_url: None,
            elapsed: Duration::from_millis(320),
        }
    }

    #[test]
    fn banner() {
        let text = facts().banner(false);
        insta::assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "[version]"));
    }

    #[test]
    fn another_port_needs_the_flag_and_a_wildcard_is_reached_over_loopback() {
        let mut facts = facts();
        facts.http = "0.0.0.0:9000".parse().unwrap();
        assert_eq!(facts.api(), "http://127.0.0.1:9000");
        assert!(facts.banner(false).contains("rustdht invite --api http://127.0.0.1:9000"));
        facts.http = "[::]:9000".parse().unwrap();
        assert_eq!(facts.api(), "http://[::1]:9000");
    }

    #[test]
    fn a_public_gateway_without_a_token_says_that_nobody_can_write() {
        let mut facts = facts();
        facts.public_url = Some("https://node.example".into());
        assert!(facts.access().contains("owner_token_file"));
    }
}
