//! Looking after the block store.

use super::*;

#[tokio::test]
async fn what_nothing_keeps_goes_when_the_owner_says_so() {
    let app = App::new().await;
    let add = async |path: &str, body: &str| {
        let answer = app.send(Method::POST, path, &[], body.to_owned()).await;
        answer.json()["cid"].as_str().unwrap().to_owned()
    };
    let kept = add("/api/v1/blobs", "pinned by its upload").await;
    let leased = add("/api/v1/blobs?pin=false", "for a day").await;
    let named = add("/api/v1/blobs", "named by a node").await;
    let gone = add("/api/v1/blobs", "let go of").await;
    app.patch("a", &format!(r#"{{"photo":{{"/":"{named}"}}}}"#)).await;
    let pins = app.send(Method::GET, "/api/v1/pins?limit=1000", &[], "").await.json();
    for pin in pins["results"].as_array().unwrap() {
        if pin["pin"]["cid"] == gone.as_str() || pin["pin"]["cid"] == named.as_str() {
            let path = format!("/api/v1/pins/{}", pin["requestid"].as_str().unwrap());
            assert_eq!(app.send(Method::DELETE, &path, &[], "").await.status, 202);
        }
    }
    let here = async |cid: &str| {
        let headers = [(header::CACHE_CONTROL, "only-if-cached")];
        app.send(Method::HEAD, &format!("/ipfs/{cid}?format=raw"), &headers, "").await.status == 200
    };
    let dry = app.send(Method::POST, "/api/v1/admin/blobs/gc?dry_run=true", &[], "").await.json();
    assert_eq!((dry["dry_run"].as_bool(), dry["removed_blocks"].as_u64()), (Some(true), Some(1)), "{dry}");
    assert!(here(&gone).await);
    let done = app.send(Method::POST, "/api/v1/admin/blobs/gc", &[], "").await.json();
    assert_eq!((done["removed_blocks"].as_u64(), done["removed_bytes"].as_u64()), (Some(1), Some(9)), "{done}");
    assert!(here(&kept).await && here(&leased).await && here(&named).await && !here(&gone).await);
    let store = app.send(Method::GET, "/api/v1/admin/blobs", &[], "").await.json();
    assert_eq!((store["last"].clone(), store["blocks"].as_u64()), (done, Some(3)), "{store}");
    for (method, path) in [(Method::POST, "/api/v1/admin/blobs/gc"), (Method::GET, "/api/v1/admin/blobs")] {
        assert_eq!(app.send_far(method, path, &[]).await.problem(), (401, "unauthenticated".into()));
    }
}
