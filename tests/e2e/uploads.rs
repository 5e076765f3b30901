//! Uploads in parts survive the end of the process, whichever way it ends.

use std::{fs, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::gateway::{Gateway, run, signal, until};

const MIB: usize = 1 << 20;

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

async fn tus(gateway: &Gateway, method: Method, path: &str, headers: &[(&str, String)], body: Body) -> Response {
    let request = gateway.client.request(method, gateway.url(path)).header("tus-resumable", "1.0.0");
    let request = request.header("content-type", "application/offset+octet-stream");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    request.body(body).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn head(gateway: &Gateway, path: &str) -> Response {
    let response = tus(gateway, Method::HEAD, path, &[], Body::default()).await;
    assert_eq!(response.status(), StatusCode::OK);
    response
}

async fn offset(gateway: &Gateway, path: &str) -> usize {
    header(&head(gateway, path).await, "upload-offset").parse().unwrap()
}

/// Begins an upload of these bytes; its path.
async fn begin(gateway: &Gateway, bytes: &[u8]) -> String {
    let length = [("upload-length", bytes.len().to_string())];
    let response = tus(gateway, Method::POST, "/api/v1/uploads", &length, Body::default()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    header(&response, "location").to_owned()
}

async fn patch(gateway: &Gateway, path: &str, at: usize, bytes: &[u8]) -> Response {
    tus(gateway, Method::PATCH, path, &[("upload-offset", at.to_string())], bytes.to_vec().into()).await
}

/// A request that sends these bytes and does not end.
fn endless(gateway: &Gateway, path: &str, at: usize, bytes: &[u8]) -> RequestBuilder {
    let pieces: Vec<_> = bytes.chunks(MIB / 2).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>).collect();
    let body = stream::iter(pieces).chain(stream::pending());
    let request = gateway.client.patch(gateway.url(path)).header("tus-resumable", "1.0.0");
    let request = request.header("content-type", "application/offset+octet-stream").header("upload-offset", at);
    request.body(Body::wrap_stream(body))
}

#[tokio::test]
async fn an_upload_goes_on_after_kill_9_and_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let gateway = Gateway::start(&dir, &[]);
    let bytes = noise(7 * MIB + 4321);
    let path = begin(&gateway, &bytes).await;
    let first = MIB + 100_000;
    assert_eq!(header(&patch(&gateway, &path, 0, &bytes[..first]).await, "upload-offset"), first.to_string());
    gateway.kill();

    // What was answered is there to the byte; of a request under way, what fills no chunk is after seconds.
    let gateway = Gateway::start(&dir, &[]);
    assert_eq!(offset(&gateway, &path).await, first);
    let wrong = patch(&gateway, &path, 0, &bytes[..first]).await;
    assert_eq!(wrong.status(), StatusCode::CONFLICT);
    let tail = 300_000;
    // HEAD would end the request; the upload's file grows when something is durable.
    let file = dir.join("blobs/uploads").join(format!("{}.upload", path.rsplit('/').next().unwrap()));
    let durable = (first % MIB + tail) as u64;
    tokio::select! {
        ended = endless(&gateway, &path, first, &bytes[first..3 * MIB + tail]).send() => panic!("{ended:?}"),
        () = until("the bytes are durable", || async { fs::metadata(&file).is_ok_and(|file| file.len() >= durable) }) => {}
    }
    gateway.kill();

    // A stop keeps what came of a request that it ends.
    let mut gateway = Gateway::start(&dir, &[]);
    let second = offset(&gateway, &path).await;
    assert_eq!(second, 3 * MIB + tail);
    let third = 5 * MIB + 77;
    let sending = endless(&gateway, &path, second, &bytes[second..third]).send();
    let pid = gateway.child.id();
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        signal("TERM", pid);
    };
    // How the request ends does not matter.
    drop(tokio::join!(sending, stopping));
    assert!(gateway.child.wait().unwrap().success());

    let gateway = Gateway::start(&dir, &[]);
    assert_eq!(offset(&gateway, &path).await, third);
    let end = patch(&gateway, &path, third, &bytes[third..]).await;
    let cid = header(&end, "upload-cid").to_owned();
    assert_eq!((end.status(), header(&end, "location")), (StatusCode::NO_CONTENT, format!("/ipfs/{cid}").as_str()));
    gateway.kill();

    // The end is as durable as the rest, and so is the pin.
    let gateway = Gateway::start(&dir, &[]);
    assert_eq!(header(&head(&gateway, &path).await, "upload-cid"), cid);
    let file = folder.path().join("file");
    fs::write(&file, &bytes).unwrap();
    let other = Gateway::start(&folder.path().join("other"), &[]);
    let added = run(&["add", file.to_str().unwrap(), "--api", &other.api]);
    assert_eq!(String::from_utf8(added.stdout).unwrap().lines().last().unwrap(), cid);
    assert!(run(&["cat", &cid, "--api", &gateway.api]).stdout == bytes);
    let pins: Value =
        gateway.request(Method::GET, &format!("/api/v1/pins?cid={cid}"), None).await.json().await.unwrap();
    assert_eq!(pins["count"], 1);
}
