//! Path gateway: files, directories, caching, ranges, and what must not be served so.

use super::*;

const IMMUTABLE: &str = "public, max-age=29030400, immutable";

#[tokio::test]
async fn files_and_directories() {
    let app = App::ipfs(&[]).await;
    let root = app
        .tree(&[
            ("ą/ę/file-źł.txt", "I am a txt file\n"),
            ("site/sub/index.html", "<p>hello"),
            ("empty/", ""),
            ("Portugal%2C+España=Peninsula Ibérica.txt", "hello"),
            ("link", "->site/sub/index.html"),
            ("data", "{\"a\":1}"),
        ])
        .await;
    let (file, site, sub) =
        (app.at(&root, "ą/ę/file-źł.txt").await, app.at(&root, "site").await, app.at(&root, "site/sub").await);
    let index = app.at(&root, "site/sub/index.html").await;
    app.check(&[
        Case {
            path: &format!("/ipfs/{root}/%C4%85/%c4%99/file-%C5%BA%C5%82.txt"),
            expected: &[
                ("etag", &format!("\"{file}\"")),
                ("cache-control", IMMUTABLE),
                ("accept-ranges", "bytes"),
                ("content-length", "16"),
                ("content-type", "text/plain; charset=utf-8"),
                ("x-ipfs-path", &format!("/ipfs/{root}/%C4%85/%C4%99/file-%C5%BA%C5%82.txt")),
                ("content-security-policy", "sandbox"),
                ("x-content-type-options", "nosniff"),
                ("content-disposition", ""),
                ("content-location", ""),
                ("last-modified", ""),
                ("vary", "Accept"),
            ],
            body: Some("I am a txt file\n"),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}/%C4%85/%C4%99?a=b%20c"),
            status: 301,
            expected: &[("location", &format!("/ipfs/{root}/%C4%85/%C4%99/?a=b%20c"))],
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}"),
            status: 301,
            expected: &[("location", &format!("/ipfs/{root}/"))],
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}/site/sub/"),
            expected: &[
                ("etag", &format!("\"{sub}\"")),
                ("cache-control", IMMUTABLE),
                ("content-type", "text/html"),
                ("x-ipfs-path", &format!("/ipfs/{root}/site/sub/")),
                ("x-ipfs-roots", &format!("{root},{site},{sub}")),
            ],
            body: Some("<p>hello"),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}/site/sub/index.html"),
            expected: &[("etag", &format!("\"{index}\"")), ("x-ipfs-roots", &format!("{root},{site},{sub},{index}"))],
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}/empty/"),
            expected: &[("etag", "~\"DirIndex-"), ("content-type", "text/html")],
            body: Some("~Index of"),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt"),
            body: Some("hello"),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}/link"),
            expected: &[("content-type", "inode/symlink")],
            body: Some("site/sub/index.html"),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}/data"),
            expected: &[("content-type", "application/json")],
            ..Case::default()
        },
        Case { path: &format!("/ipfs/{root}/i-do-not-exist"), status: 404, ..Case::default() },
        Case { path: &format!("/ipfs/{root}/data/below-a-file"), status: 404, ..Case::default() },
        Case {
            path: &format!("/ipfs/ipfs/{root}/data?x"),
            status: 301,
            expected: &[("location", &format!("/ipfs/{root}/data?x"))],
            ..Case::default()
        },
    ])
    .await;
}

#[tokio::test]
async fn lists_of_directories() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("ą/ę/file-źł.txt", "x"), ("<b>&\"'", "y")]).await;
    let inner = app.at(&root, "ą/ę").await;
    let file = app.at(&root, "ą/ę/file-źł.txt").await;
    let page = app.get(&format!("/ipfs/{root}/%C4%85/%C4%99/")).await;
    for part in [
        "Index of".to_owned(),
        format!(
            "/ipfs/<a href=\"/ipfs/{root}\">{root}</a>/<a href=\"/ipfs/{root}/%C4%85\">ą</a>/<a href=\"/ipfs/{root}/%C4%85/%C4%99\">ę</a>"
        ),
        format!("<a href=\"/ipfs/{root}/%C4%85/%C4%99/..\">..</a>"),
        format!("<a href=\"/ipfs/{root}/%C4%85/%C4%99/file-%C5%BA%C5%82.txt\">file-źł.txt</a>"),
        format!(
            "<a class=\"ipfs-hash\" translate=\"no\" href=\"/ipfs/{file}?filename=file-%25C5%25BA%25C5%2582.txt\">"
        ),
    ] {
        assert!(page.text().contains(&part), "{part}\n{}", page.text());
    }
    assert!(page.header(header::ETAG).ends_with(&format!("_CID-{inner}\"")));
    assert_eq!(page.header(header::CACHE_CONTROL), "public, max-age=604800, stale-while-revalidate=2678400");
    assert!(page.header(header::CONTENT_SECURITY_POLICY).contains("sandbox"));
    let top = app.get(&format!("/ipfs/{root}/")).await;
    assert!(!top.text().contains(">..</a>"), "the root has nothing above it");
    assert!(top.text().contains("&lt;b&gt;&amp;&#34;&#39;</a>") && !top.text().contains("<b>"), "{}", top.text());
    for tag in [page.header(header::ETAG).to_owned(), format!("W/{}", page.header(header::ETAG))] {
        let again =
            app.ask(Method::GET, HERE, &format!("/ipfs/{root}/%C4%85/%C4%99/"), &[("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
}

#[tokio::test]
async fn a_sharded_directory_is_one() {
    let app = App::ipfs(&[]).await;
    let names: Vec<String> = (0..6000).map(|at| format!("a-name-that-is-long-enough-for-a-shard-{at}.txt")).collect();
    let items: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let root = app.tree(&items).await;
    let page = app.get(&format!("/ipfs/{root}/")).await.text();
    assert!(names.iter().all(|name| page.contains(&format!("\">{name}</a>"))), "all of them");
    assert!(page.ends_with("</html>\n"));
    let file = app.get(&format!("/ipfs/{root}/{}", names[4711])).await;
    assert_eq!((file.status, file.text()), (200, names[4711].clone()));
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("a/index.html", "x")]).await;
    let (directory, file) = (app.at(&root, "a").await, app.at(&root, "a/index.html").await);
    let path = format!("/ipfs/{root}/a/index.html");
    for tag in [format!("\"{file}\""), format!("W/\"{file}\""), format!("\"one\", \"two\", \"{file}\""), "*".into()] {
        let answer = app.ask(Method::GET, HERE, &path, &[("if-none-match", &tag)]).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{tag}");
        // What a 200 would say about keeping it (RFC 9110 section 15.4.5).
        assert_eq!(answer.header(header::CACHE_CONTROL), IMMUTABLE);
        assert_eq!(answer.header(header::ETAG), format!("\"{file}\""));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    let tag = format!("\"{directory}\"");
    let by_directory = app.ask(Method::GET, HERE, &format!("/ipfs/{root}/a/"), &[("if-none-match", &tag)]).await;
    assert_eq!(by_directory.status, 304);
    assert_eq!(app.ask(Method::GET, HERE, &path, &[("if-none-match", "\"other\"")]).await.status, 200);
    let not_it = app.ask(Method::GET, HERE, &path, &[("if-match", "\"other\"")]).await;
    assert_eq!(not_it.problem(), (412, "precondition_failed".into()));
}

#[tokio::test]
async fn content_that_knows_when_it_was_changed() {
    let app = App::ipfs(&[]).await;
    // UnixFS 1.5: a file of `x`, changed at 2021-03-04 05:06:07.
    let unixfs = b"\x08\x02\x12\x01x\x18\x01\x42\x06\x08\xbf\xd5\x81\x82\x06";
    let file = app.block(0x70, &[&[0x0a, unixfs.len() as u8], &unixfs[..]].concat()).await;
    let (exact, before) = ("Thu, 04 Mar 2021 05:06:07 GMT", "Thu, 04 Mar 2021 05:06:06 GMT");
    let path = format!("/ipfs/{file}");
    app.check(&[
        Case { path: &path, expected: &[("last-modified", exact)], body: Some("x"), ..Case::default() },
        Case { path: &path, headers: &[("if-modified-since", exact)], status: 304, ..Case::default() },
        Case { path: &path, headers: &[("if-modified-since", before)], ..Case::default() },
        Case { path: &path, headers: &[("if-none-match", "\"x\""), ("if-modified-since", exact)], ..Case::default() },
        Case { path: &path, headers: &[("range", "bytes=0-0"), ("if-range", exact)], status: 206, ..Case::default() },
        Case { path: &path, headers: &[("range", "bytes=0-0"), ("if-range", before)], ..Case::default() },
    ])
    .await;
}

#[tokio::test]
async fn ranges() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("ascii.txt", "hello application/vnd.ipld.car\n")]).await;
    let path = format!("/ipfs/{root}/ascii.txt");
    app.check(&[
        Case {
            path: &path,
            headers: &[("range", "bytes=6-16")],
            status: 206,
            expected: &[("content-range", "bytes 6-16/31"), ("content-length", "11")],
            body: Some("application"),
            ..Case::default()
        },
        Case {
            path: &path,
            headers: &[("range", "bytes=-3")],
            status: 206,
            expected: &[("content-range", "bytes 28-30/31")],
            body: Some("ar\n"),
            ..Case::default()
        },
        Case {
            path: &path,
            headers: &[("range", "bytes=31-")],
            status: 416,
            expected: &[("content-range", "bytes */31")],
            ..Case::default()
        },
        Case {
            path: &path,
            headers: &[("range", "bytes=1-2"), ("if-range", "\"other\"")],
            body: Some("hello application/vnd.ipld.car\n"),
            ..Case::default()
        },
    ])
    .await;
    let several = app.ask(Method::GET, HERE, &path, &[("range", "bytes=6-16,0-4")]).await;
    assert_eq!(several.status, 206);
    let boundary =
        several.header(header::CONTENT_TYPE).strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
    assert_eq!(several.header(header::CONTENT_LENGTH), several.body.len().to_string());
    assert_eq!(
        several.text(),
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 6-16/31\r\n\r\napplication\
             \r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-4/31\r\n\r\nhello\
             \r\n--{boundary}--\r\n"
        )
    );
    let head = app.ask(Method::HEAD, HERE, &path, &[("range", "bytes=0-1")]).await;
    assert_eq!((head.status, head.header(header::CONTENT_LENGTH)), (200, "31"), "ranges are for GET");
}

#[tokio::test]
async fn a_range_needs_only_its_own_blocks_and_a_gap_breaks_the_answer_off() {
    let app = App::ipfs(&[]).await;
    // Three chunks, of which the middle one goes missing.
    let bytes: Vec<u8> = (0..3 << 20).map(|at: u32| b'a' + u8::try_from((at >> 20) % 26).unwrap()).collect();
    let other = App::ipfs(&[]).await;
    let root = other.store().add(stream::iter([Ok(Bytes::from(bytes))]).boxed(), Default::default()).await.unwrap().cid;
    let copy = |cid: Cid| {
        let (from, to) = (other.store().clone(), app.store().clone());
        async move { to.put_block(&cid, from.block(&cid).await.unwrap().unwrap()).await.unwrap() }
    };
    copy(root).await;
    for byte in *b"ac" {
        copy(other.block(0x55, &vec![byte; 1 << 20]).await).await;
    }
    let path = format!("/ipfs/{root}");
    for (range, body) in [("bytes=10-12", "aaa"), ("bytes=2097152-2097154", "ccc")] {
        let answer = app.ask(Method::GET, HERE, &path, &[("range", range)]).await;
        assert_eq!((answer.status, answer.text().as_str()), (206, body), "{range}");
    }
    let gap = app.ask(Method::GET, HERE, &path, &[("range", "bytes=1048576-1048580")]).await;
    assert_eq!(gap.problem(), (404, "not_found".into()));
    let headers = [(header::HOST, HERE)];
    let whole = app.open("127.0.0.1:5000", Method::GET, &path, &headers, Body::empty()).await;
    assert_eq!(whole.status(), 200);
    assert!(whole.into_body().collect().await.is_err(), "no clean end of what is not whole");
    let car = app.open("127.0.0.1:5000", Method::GET, &format!("{path}?format=car"), &headers, Body::empty()).await;
    assert_eq!(car.status(), 200);
    assert!(car.into_body().collect().await.is_err());
}

#[tokio::test]
async fn only_what_is_here() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("a/b", "x")]).await;
    let cached = [("cache-control", "max-age=0, only-if-cached")];
    let absent = "QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN";
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(app.ask(method.clone(), HERE, &format!("/ipfs/{root}/a/b"), &cached).await.status, 200);
        assert_eq!(app.ask(method.clone(), HERE, &format!("/ipfs/{root}/a?format=raw"), &cached).await.status, 200);
        assert_eq!(app.ask(method.clone(), HERE, &format!("/ipfs/{absent}"), &cached).await.status, 412);
        assert_eq!(app.ask(method, HERE, &format!("/ipfs/{absent}"), &[]).await.status, 404);
    }
}

#[tokio::test]
async fn paths_that_are_none() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("a", "x")]).await;
    for (path, status) in [
        ("/ipfs/QmInvalidCID".to_owned(), 400),
        ("/ipfs/nonsense/a".into(), 400),
        ("/ipfs/".into(), 400),
        (format!("/ipfs/{root}/a/%2e%2e/b"), 400),
        (format!("/ipfs/{root}/%FF"), 400),
        ("/ipns/".into(), 400),
        ("/ipns/word".into(), 400),
    ] {
        let answer = app.ask(Method::GET, HERE, &path, &[]).await;
        assert_eq!(
            (answer.status, answer.header(header::CONTENT_TYPE)),
            (status, "text/plain; charset=utf-8"),
            "{path}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
    let text = app.get("/ipfs/QmInvalidCID").await.text();
    assert!(text.starts_with("invalid path \"/ipfs/QmInvalidCID\""), "{text}");
    // People get a page, programs a problem; neither can be made to show markup.
    let page =
        app.ask(Method::GET, HERE, &format!("/ipfs/{root}/%3Cb%3E"), &[("accept", "text/html, */*;q=0.1")]).await;
    assert!(page.text().contains("&lt;b&gt;") && !page.text().contains("<b>"), "{}", page.text());
    assert_eq!((page.status, page.header(header::CONTENT_TYPE)), (404, "text/html; charset=utf-8"));
    assert!(page.header(header::CONTENT_SECURITY_POLICY).contains("default-src 'none'"));
    assert_eq!(app.get(&format!("/ipfs/{root}/b")).await.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn pages_of_any_origin_may_read_and_none_may_write() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("a", "x")]).await;
    for (host, path) in [(HERE, format!("/ipfs/{root}/a")), (&format!("{root}.ipfs.example.com"), "/a".to_owned())] {
        for method in [Method::GET, Method::OPTIONS] {
            let answer = app.ask(method, host, &path, &[("origin", "https://elsewhere.example")]).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, OPTIONS");
            assert!(answer.header("access-control-allow-headers").contains("Range"));
            assert!(answer.header("access-control-expose-headers").contains("X-Ipfs-Roots"));
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(app.ask(method, host, &path, &[]).await.problem(), (405, "method_not_allowed".into()), "{host}");
        }
    }
    // The API is not for other origins.
    assert!(app.get("/api/v1/status").await.headers.get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn service_workers_stay_below_a_root() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("sw.js", "x")]).await;
    let script = [("service-worker", "script")];
    assert_eq!(app.ask(Method::GET, HERE, &format!("/ipfs/{root}"), &script).await.status, 400);
    assert_eq!(app.ask(Method::GET, HERE, &format!("/ipns/{root}"), &script).await.status, 400);
    let below = app.ask(Method::GET, HERE, &format!("/ipfs/{root}/sw.js"), &script).await;
    assert_eq!((below.status, below.header(header::CONTENT_TYPE)), (200, "text/javascript; charset=utf-8"));
}

#[tokio::test]
async fn who_may_not_read_gets_nothing() {
    let app = App::with(Config { anonymous: Anonymous::None, ..Config::default() }).await;
    let root = app.tree(&[("a", "x")]).await;
    let subdomain = format!("{root}.ipfs.localhost:8480");
    for (host, path) in [(HERE, format!("/ipfs/{root}/a")), (&subdomain, "/a".to_owned())] {
        assert_eq!(app.ask(Method::GET, host, &path, &[]).await.status, 200, "the owner, on loopback");
        let far = [(header::HOST, host)];
        let answer = app.send_from("203.0.113.9:5000", Method::GET, &path, &far, Body::empty()).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()));
        let proxied = app.ask(Method::GET, host, &path, &[("x-forwarded-for", "203.0.113.9")]).await;
        assert_eq!(proxied.problem(), (401, "unauthenticated".into()));
    }
}

#[tokio::test]
async fn what_the_operator_denies() {
    struct List(Cid);
    impl crate::Denied for List {
        fn denied(&self, root: crate::Root<'_>, path: &[String]) -> Option<crate::Denial> {
            let by_law = match root {
                crate::Root::Cid(cid) if *cid == self.0 => false,
                crate::Root::Cid(_) if path == ["secret"] => true,
                crate::Root::Name("bad.example.org") => false,
                _ => return None,
            };
            Some(crate::Denial { by_law, reason: "it is on the list".into() })
        }
    }
    let app = App::ipfs(&["bad.example.org=/ipfs/bafkqaaa".into()]).await;
    let root = app.tree(&[("a/b", "x"), ("secret", "y"), ("c", "z")]).await;
    app.state.bind_denied(Arc::new(List(app.at(&root, "a").await)));
    let path = |below: &str| format!("/ipfs/{root}/{below}");
    for (host, path, status) in [
        (HERE, path("a/b"), 410),
        (HERE, path("a?format=raw"), 410),
        (HERE, path("a?format=car"), 410),
        (HERE, path("a/none/at/all?format=car"), 410),
        (HERE, path("none?format=car"), 200),
        (HERE, path("secret"), 451),
        (HERE, path("c"), 200),
        (HERE, "/ipns/bad.example.org".into(), 410),
        ("bad.example.org", "/".into(), 410),
        (&format!("{root}.ipfs.example.com"), "/secret".into(), 451),
    ] {
        let answer = app.ask(Method::GET, host, &path, &[]).await;
        assert_eq!(answer.status, status, "{host} {path}");
        assert!(status == 200 || answer.text().contains("it is on the list"));
    }
}
