//! Accepting connections, and stopping.

mod places;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Method,
    body::Incoming,
    rt::{Read, Write},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

pub(crate) use self::places::network;
use self::places::{Place, Places};
use crate::{ipfs::Tunnelled, limits};

/// The pause after a failed accept: out of descriptors, most likely, which others must free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How connections learn of the stop.
#[derive(Default)]
struct Stop {
    asked: AtomicBool,
    woken: Notify,
}

/// Serves `router` on `listener` until `cancel`. Requests under way then get [`limits::DRAIN`]; what is left is dropped.
///
/// Each request carries its peer address as `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) {
    let stop = Arc::new(Stop::default());
    let permits = Arc::new(Semaphore::new(limits::MAX_CONNECTIONS));
    let places = Places::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = accept(&listener, &permits, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, held)) => {
                let connection = connection(stream, peer, router.clone(), Arc::clone(&stop));
                connections.spawn(async move {
                    connection.await;
                    drop(held);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while let Some(ended) = connections.try_join_next() {
            report(ended);
        }
    }
    drop(listener);
    stop.asked.store(true, Ordering::Release);
    stop.woken.notify_waiters();
    let drained = tokio::time::timeout(limits::DRAIN, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(open = connections.len(), "requests were cut off after the grace period");
        connections.shutdown().await;
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request panicked");
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    places: &Places,
) -> io::Result<(TcpStream, SocketAddr, (OwnedSemaphorePermit, Option<Place>))> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let place = if peer.ip().to_canonical().is_loopback() {
                    None
                } else if let Some(place) = places.take(peer.ip()) {
                    Some(place)
                } else {
                    tracing::debug!(%peer, "too many connections from one address");
                    continue;
                };
                prepare(&stream);
                return Ok((stream, peer, (permit, place)));
            }
            // The peer gave up while it waited in the queue.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionRefused
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What cannot be set is left: the connection works without.
fn prepare(stream: &TcpStream) {
    // Answers are small and whole: waiting for more to send only adds 40 ms.
    stream.set_nodelay(true).ok();
    // Ends a peer that vanished, and one that keeps its window shut to hold a connection and what is sent on it.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limits::WRITE_STALL)).ok();
}

/// Serves one connection, and the tunnel through it if it becomes one: a client that is set up for a proxy asks for one
/// with `CONNECT`, and the router says whether it may. It leads nowhere but to the same router.
async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stop: Arc<Stop>) {
    let Some(upgrade) = exchange(TokioIo::new(stream), peer, &router, &stop, false).await else { return };
    match tokio::time::timeout(limits::IDLE, upgrade).await {
        Ok(Ok(tunnel)) => drop(exchange(tunnel, peer, &router, &stop, true).await),
        Ok(Err(error)) => tracing::debug!(%error, %peer, "a tunnel did not come about"),
        Err(_) => tracing::debug!(%peer, "a tunnel did not come about in time"),
    }
}

/// Answers the requests of a connection until it ends, the server stops, or nothing is asked for too long. What is left
/// of it when a `CONNECT` was granted.
///
/// The stop is looked at whenever the connection wakes anyway, and idleness once a minute: waiting on a shared
/// cancellation or setting a timer for each request takes locks that all connections share.
async fn exchange<I>(io: I, peer: SocketAddr, router: &Router, stop: &Stop, tunnelled: bool) -> Option<OnUpgrade>
where
    I: Read + Write + Unpin + Send + 'static,
{
    let begun = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&begun);
    let granted = Arc::new(Mutex::new(None));
    let tunnel = Arc::clone(&granted);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        counter.fetch_add(1, Ordering::Relaxed);
        request.extensions_mut().insert(ConnectInfo(peer));
        if tunnelled {
            request.extensions_mut().insert(Tunnelled);
        }
        let upgrade = (request.method() == Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
        let mut router = router.clone();
        let tunnel = Arc::clone(&tunnel);
        async move {
            let answer = router.call(request).await?;
            if answer.status().is_success() && upgrade.is_some() {
                *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = upgrade;
            }
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let mut connection =
        pin!(http1::Builder::new().max_buf_size(limits::MAX_HEAD_BYTES).serve_connection(io, service).with_upgrades());
    let mut stopped = pin!(stop.woken.notified());
    stopped.as_mut().enable();
    let mut registered = false;
    let mut idle = pin!(tokio::time::sleep(limits::IDLE));
    let mut seen = 0;
    let mut closing = false;
    let ended = poll_fn(|context| {
        if !closing && stop.asked.load(Ordering::Acquire) {
            closing = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(ended);
        }
        if !registered {
            registered = true;
            if stopped.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        while !closing && idle.as_mut().poll(context).is_ready() {
            let now = begun.load(Ordering::Relaxed);
            if now == 0 {
                // Not one whole head in all that time.
                return Poll::Ready(Ok(()));
            }
            if now == seen {
                // Ends an idle connection; one that is still being answered ends after the answer.
                closing = true;
                connection.as_mut().graceful_shutdown();
                context.waker().wake_by_ref();
            }
            seen = now;
            idle.as_mut().reset(tokio::time::Instant::now() + limits::IDLE);
        }
        Poll::Pending
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection ended early");
        return None;
    }
    granted.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start(router: Router) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let mut set = JoinSet::new();
        set.spawn(serve(listener, router, cancel.clone()));
        #[expect(clippy::disallowed_methods, reason = "a test waits for the handle")]
        let handle = tokio::spawn(async move {
            set.join_next().await;
        });
        (address, cancel, handle)
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_after_the_stop_and_new_ones_are_not() {
        let gate = Arc::new(tokio::sync::Notify::new());
        let entered = Arc::new(tokio::sync::Notify::new());
        let (inner, seen) = (gate.clone(), entered.clone());
        let router = Router::new().route(
            "/",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
                seen.notify_one();
                inner.notified().await;
                peer.ip().to_string()
            }),
        );
        let (address, cancel, handle) = start(router).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        entered.notified().await;
        cancel.cancel();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.notify_one();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
        handle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_ends_is_cut_off() {
        let router = Router::new().route("/", get(std::future::pending::<()>));
        let (address, cancel, handle) = start(router).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        cancel.cancel();
        handle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_closed() {
        let (address, ..) = start(Router::new().route("/", get(async || "answer"))).await;
        for (sent, answered) in [("", false), ("GET / HT", false), ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true)] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer.ends_with("answer"), answered, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_head_beyond_its_bound_is_refused() {
        let (address, ..) = start(Router::new().route("/", get(async || "answer"))).await;
        for (length, status) in [(limits::MAX_HEAD_BYTES / 2, "200"), (2 * limits::MAX_HEAD_BYTES, "431")] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(length));
            stream.write_all(head.as_bytes()).await.ok();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&stream);
        let timeout = socket2::SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(limits::WRITE_STALL));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_answer_is_not_cut_off_as_idle() {
        let slow = || async {
            let pieces = futures::stream::unfold(0, |n| async move {
                tokio::time::sleep(limits::IDLE).await;
                (n < 5).then(|| (Ok::<_, std::io::Error>(n.to_string()), n + 1))
            });
            axum::body::Body::from_stream(pieces)
        };
        let (address, ..) = start(Router::new().route("/", get(slow))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("1\r\n4\r\n0\r\n\r\n"), "{answer}");
    }
}
