//! Taking the ports before anything is started, so that a taken one stops a start that has changed nothing.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
};

use anyhow::Context as _;

use crate::config::Config;

/// Binds the HTTP listener.
pub(super) async fn http(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    // tokio's bind sets SO_REUSEADDR, so that a restart does not wait for old connections.
    tokio::net::TcpListener::bind(address).await.map_err(|error| taken(&error, "HTTP", address, "--listen"))
}

/// Finds out whether the peers' ports are free. They are let go again: the swarm binds them itself.
pub(super) fn probe_peers(config: &Config) -> anyhow::Result<()> {
    let net = &config.net;
    tcp(net.host, net.port, "--port")?;
    if net.port != 0 {
        let address = SocketAddr::new(net.host, net.port);
        UdpSocket::bind(address).map_err(|error| taken(&error, "peers (QUIC)", address, "--port"))?;
    }
    tcp(net.host, net.ws_port, "--ws-port")
}

fn tcp(host: IpAddr, port: u16, flag: &str) -> anyhow::Result<()> {
    let address = SocketAddr::new(host, port);
    TcpListener::bind(address).map(drop).map_err(|error| taken(&error, "peers", address, flag))
}

fn taken(error: &std::io::Error, what: &str, address: SocketAddr, flag: &str) -> anyhow::Error {
    let port = address.port();
    match error.kind() {
        ErrorKind::AddrInUse => {
            let other = if flag == "--listen" { format!("{}:0", address.ip()) } else { "0".to_owned() };
            anyhow::anyhow!(
                "port {port} for {what} is taken on {}; stop what uses it, or choose another with {flag} ({flag} {other} takes a free one)",
                address.ip()
            )
        }
        ErrorKind::PermissionDenied => {
            anyhow::anyhow!(
                "port {port} for {what} needs rights that this user lacks; choose one above 1023 with {flag}"
            )
        }
        ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!(
                "this machine has no address {} to listen on for {what}; choose another with {flag} or net.host",
                address.ip()
            )
        }
        _ => anyhow::anyhow!("cannot listen on {address} for {what}: {error}"),
    }
}

/// The address a listener got.
pub(super) fn bound(listener: &tokio::net::TcpListener) -> anyhow::Result<SocketAddr> {
    listener.local_addr().context("the HTTP listener has no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(port: u16, ws_port: u16) -> Config {
        let mut config = Config::default();
        config.net.host = "127.0.0.1".parse().unwrap();
        (config.net.port, config.net.ws_port) = (port, ws_port);
        config
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_flag() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        for (error, flag) in [
            (http(holder.local_addr().unwrap()).await.unwrap_err(), "--listen"),
            (probe_peers(&config(port, 0)).unwrap_err(), "--port"),
            (probe_peers(&config(0, port)).unwrap_err(), "--ws-port"),
        ] {
            let text = error.to_string();
            assert!(text.contains(&port.to_string()) && text.contains(flag), "{text}");
        }
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let text = probe_peers(&config(udp.local_addr().unwrap().port(), 0)).unwrap_err().to_string();
        assert!(text.contains("QUIC"), "{text}");
    }

    #[tokio::test]
    async fn port_zero_works() {
        probe_peers(&config(0, 0)).unwrap();
        let listener = http("127.0.0.1:0".parse().unwrap()).await.unwrap();
        assert_ne!(bound(&listener).unwrap().port(), 0);
    }
}
