//! Uploads that want more than their share: of places, of time, of room.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use data_encoding::BASE64;
use futures::{StreamExt, future, stream};
use tokio::sync::Notify;

use super::*;

const ALL: &str = "/api/v1/uploads";
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// A gateway with two accounts, each of which may keep so many bytes; their tokens.
async fn of_two(bytes_per_account: u64) -> (App, String, String) {
    let pins = PinsConfig { bytes_per_account, ..PinsConfig::default() };
    let config = Config { owner_token: Some(Secret::new(TOKEN)), ..Config::default() };
    let app = App::keeping(config, pins).await;
    for account in ["ann", "bob"] {
        app.account(account).await;
    }
    let (ann, bob) = (app.token("ann", &["write"], &[]).await, app.token("bob", &["write"], &[]).await);
    (app, ann, bob)
}

/// Asks as tus does, in the name of an account.
async fn ask(
    app: &App,
    token: &str,
    method: Method,
    path: &str,
    more: &[(HeaderName, &str)],
    body: impl Into<Body>,
) -> Answer {
    let bearer = format!("Bearer {token}");
    let head = [
        (header::HOST, "node.example"),
        (HeaderName::from_static("tus-resumable"), "1.0.0"),
        (header::CONTENT_TYPE, "application/offset+octet-stream"),
        (header::AUTHORIZATION, bearer.as_str()),
    ];
    app.send_from("203.0.113.9:5000", method, path, &[&head, more].concat(), body).await
}

/// Begins an upload; its path.
async fn begun(app: &App, token: &str, length: &str) -> String {
    let answer = ask(app, token, Method::POST, ALL, &[(LENGTH, length)], "").await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header(header::LOCATION).to_owned()
}

type Piece = Result<Bytes, std::io::Error>;

/// A body that nothing comes of; it is counted when it is waited for.
fn silent(waiting: &Arc<AtomicUsize>) -> Body {
    let waiting = Arc::clone(waiting);
    Body::from_stream(stream::once(async move {
        waiting.fetch_add(1, Ordering::Relaxed);
        future::pending::<Piece>().await
    }))
}

/// A body of one piece that does not end, and who hears when more is asked for.
fn one_piece(piece: &'static [u8]) -> (Body, Arc<Notify>) {
    let taken = Arc::new(Notify::new());
    let asked_for_more = Arc::clone(&taken);
    let rest = stream::once(async move {
        asked_for_more.notify_one();
        future::pending::<Piece>().await
    });
    (Body::from_stream(stream::iter([Piece::Ok(Bytes::from_static(piece))]).chain(rest)), taken)
}

#[tokio::test]
async fn one_account_does_not_take_all_places() {
    let (app, ann, bob) = of_two(1000).await;
    let mut paths = Vec::new();
    for _ in 0..crate::limits::MAX_UPLOADS_PER_ACCOUNT / 2 {
        paths.push(begun(&app, &ann, "5").await);
    }
    // In parts and at once: they share the places.
    let (waiting, start) = (Arc::default(), [(OFFSET, "0")]);
    let patches = paths.iter().map(|path| ask(&app, &ann, Method::PATCH, path, &start, silent(&waiting)));
    let adds = paths.iter().map(|_| ask(&app, &ann, Method::POST, "/api/v1/blobs", &[], silent(&waiting)));
    let slow = future::join(future::join_all(patches), future::join_all(adds));
    let checks = async {
        while waiting.load(Ordering::Relaxed) < crate::limits::MAX_UPLOADS_PER_ACCOUNT {
            tokio::task::yield_now().await;
        }
        let refused = ask(&app, &ann, Method::POST, "/api/v1/blobs", &[], "of ann").await;
        assert_eq!(refused.problem(), (503, "overloaded".into()));
        assert_eq!(refused.header(header::RETRY_AFTER), "1");
        let begins = ask(&app, &ann, Method::POST, ALL, &[(LENGTH, "5")], "hello").await;
        assert_eq!(begins.problem(), (503, "overloaded".into()));
        let of_bob = ask(&app, &bob, Method::POST, "/api/v1/blobs", &[], "of bob").await;
        assert_eq!(of_bob.status, 201, "{}", of_bob.text());
        let of_bob = begun(&app, &bob, "5").await;
        assert_eq!(ask(&app, &bob, Method::PATCH, &of_bob, &[(OFFSET, "0")], "hello").await.status, 204);
        // Where one of them is looked after, its request ends, and its place is free.
        assert_eq!(ask(&app, &ann, Method::HEAD, &paths[0], &[], "").await.status, 200);
        let answer = ask(&app, &ann, Method::PATCH, &paths[0], &[(OFFSET, "0")], "hello").await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    };
    tokio::select! {
        _ = slow => panic!("they do not end"),
        () = checks => {}
    }
}

#[tokio::test]
async fn an_upload_that_trickles_ends_and_keeps_what_came() {
    let (app, ann, _) = of_two(1000).await;
    let path = begun(&app, &ann, "100").await;
    let trickle = || {
        Body::from_stream(stream::iter(0..100).then(|_| async {
            pass(Duration::from_secs(50)).await;
            Piece::Ok(Bytes::from_static(b"x"))
        }))
    };
    tokio::time::pause();
    let answer = ask(&app, &ann, Method::PATCH, &path, &[(OFFSET, "0")], trickle()).await;
    // Clients of tus try again after 503, and not after 408.
    assert_eq!(answer.problem(), (503, "overloaded".into()));
    assert_eq!(answer.header(header::RETRY_AFTER), "1");
    assert!(answer.text().contains("HEAD tells the offset"), "{}", answer.text());
    // Nothing is kept of one with a checksum, nor of one whose name nobody was told.
    let with_sum = [(OFFSET, "2"), (CHECKSUM, "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=")];
    let answer = ask(&app, &ann, Method::PATCH, &path, &with_sum, trickle()).await;
    assert_eq!(answer.problem(), (408, "body_timeout".into()));
    let answer = ask(&app, &ann, Method::POST, ALL, &[(LENGTH, "100")], trickle()).await;
    assert_eq!(answer.problem(), (408, "body_timeout".into()));
    let add = ask(&app, &ann, Method::POST, "/api/v1/blobs", &[], trickle()).await;
    assert_eq!(add.problem(), (408, "body_timeout".into()));
    tokio::time::resume();
    let head = ask(&app, &ann, Method::HEAD, &path, &[], "").await;
    assert_eq!((head.status, head.header("upload-offset")), (200, "2"));
    assert_eq!(ask(&app, &ann, Method::PATCH, &path, &[(OFFSET, "2")], vec![b'x'; 98]).await.status, 204);
}

#[tokio::test]
async fn an_upload_that_the_stop_ends_keeps_what_came() {
    let (app, ann, _) = of_two(1000).await;
    let path = begun(&app, &ann, "100").await;
    let (body, is_running) = one_piece(b"first");
    let stop = async {
        is_running.notified().await;
        tokio::time::pause();
        app.stopping.cancel();
        // First the body hears of it.
        for time in [Duration::ZERO, crate::limits::DRAIN * 2 / 3] {
            pass(time).await;
        }
    };
    let start = [(OFFSET, "0")];
    let both = future::join(ask(&app, &ann, Method::PATCH, &path, &start, body), stop);
    let (answer, ()) = both.await;
    assert_eq!(answer.problem(), (503, "unavailable".into()));
    let head = ask(&app, &ann, Method::HEAD, &path, &[], "").await;
    assert_eq!((head.status, head.header("upload-offset")), (200, "5"));
}

#[tokio::test]
async fn a_body_without_room_is_told_so_though_its_rest_is_late() {
    let (app, ann, _) = of_two(1000).await;
    assert_eq!(ask(&app, &ann, Method::POST, "/api/v1/blobs", &[], vec![1; 600]).await.status, 201);
    // Waited for almost as long as may be, so that less is left than the rest is read for.
    let late = stream::once(async {
        pass(crate::limits::BODY_IDLE - Duration::from_secs(1)).await;
        Piece::Ok(Bytes::from_static(&[2; 500]))
    });
    let rest = stream::once(async {
        pass(Duration::from_secs(10)).await;
        future::pending::<Piece>().await
    });
    tokio::time::pause();
    let body = Body::from_stream(late.chain(rest));
    let answer = ask(&app, &ann, Method::POST, "/api/v1/blobs", &[], body).await;
    assert_eq!(answer.problem(), (507, "quota_exceeded".into()));
}

#[tokio::test]
async fn room_for_an_upload_that_was_ended_meanwhile_is_given_back() {
    let (app, ann, _) = of_two(200).await;
    let path = begun(&app, &ann, "80").await;
    // Another gateway sets room aside for it while this one ends it: as after a restart, or a request that was slow.
    let (other, start) = (app.beside(), [(OFFSET, "0")]);
    let (running, is_running) = one_piece(b"first");
    let running = ask(&app, &ann, Method::PATCH, &path, &start, running);
    let rest = async {
        is_running.notified().await;
        let ended = ask(&app, &ann, Method::DELETE, &path, &[], "");
        tokio::join!(biased; ended, ask(&other, &ann, Method::PATCH, &path, &start, vec![7; 80]))
    };
    let (_, (ended, appended)) = tokio::join!(biased; running, rest);
    assert_eq!((ended.status, appended.status), (204, 404), "{}", appended.text());
    let path = begun(&app, &ann, "200").await;
    assert_eq!(ask(&app, &ann, Method::DELETE, &path, &[], "").await.status, 204);
}

#[tokio::test]
async fn of_two_that_append_to_one_upload_the_first_is_ended() {
    let (app, ann, _) = of_two(200).await;
    let path = begun(&app, &ann, "80").await;
    // Each has a room of its own, as when one was forgotten.
    let (other, start) = (app.beside(), [(OFFSET, "0")]);
    let (body, is_running) = one_piece(b"first");
    let first = ask(&app, &ann, Method::PATCH, &path, &start, body);
    let second = async {
        is_running.notified().await;
        ask(&other, &ann, Method::PATCH, &path, &[(OFFSET, "5")], "second").await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((second.status, second.header("upload-offset")), (204, "11"), "{}", second.text());
    assert_eq!(first.problem(), (400, "body_incomplete".into()));
}

#[tokio::test]
async fn a_body_with_a_checksum_is_small_and_counts_as_it_comes() {
    let (app, ann, _) = of_two(1000).await;
    let sum = format!("sha1 {}", BASE64.encode(&[0; 20]));
    let path = begun(&app, &ann, "900").await;
    let too_long = (crate::limits::MAX_CHECKED_BYTES + 1).to_string();
    let more = begun(&app, TOKEN, &too_long).await;
    let with_sum = [OFFSET, CHECKSUM].into_iter().zip(["0", &sum]).collect::<Vec<_>>();
    // Told before, or not.
    let told = [&with_sum[..], &[(header::CONTENT_LENGTH, too_long.as_str())]].concat();
    let whole = Bytes::from(vec![0; usize::try_from(crate::limits::MAX_CHECKED_BYTES).unwrap() + 1]);
    for (headers, body) in [(&told, Body::from("x")), (&with_sum, Body::from_stream(stream::iter([Piece::Ok(whole)])))]
    {
        let answer = ask(&app, TOKEN, Method::PATCH, &more, headers, body).await;
        assert_eq!(answer.problem(), (413, "too_large".into()));
        assert!(answer.text().contains("64 MiB"), "{}", answer.text());
    }
    // What has not come to its end has its room.
    let (body, is_running) = one_piece(&[0; 60]);
    let deferred = HeaderName::from_static("upload-defer-length");
    let second = ask(&app, &ann, Method::POST, ALL, &[(deferred, "1")], "").await.header(header::LOCATION).to_owned();
    let coming = ask(&app, &ann, Method::PATCH, &second, &with_sum, body);
    let check = async {
        is_running.notified().await;
        ask(&app, &ann, Method::POST, ALL, &[(LENGTH, "50")], "").await
    };
    tokio::select! {
        _ = coming => panic!("it does not end"),
        answer = check => assert_eq!(answer.problem(), (507, "quota_exceeded".into()), "60 bytes came, 900 are announced"),
    }
    let over = Body::from_stream(stream::iter([Piece::Ok(Bytes::from(vec![0; 200]))]));
    let answer = ask(&app, &ann, Method::PATCH, &second, &with_sum, over).await;
    assert_eq!(answer.problem(), (507, "quota_exceeded".into()));
    assert_eq!(ask(&app, &ann, Method::DELETE, &path, &[], "").await.status, 204);
}
