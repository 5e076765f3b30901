//! Forms: blocks, archives, tars, values, names to save under; what can be verified without trust.

use super::*;

const DAG_JSON: u64 = 0x0129;
const DAG_CBOR: u64 = 0x71;
const NOSNIFF: (&str, &str) = ("x-content-type-options", "nosniff");

/// The CIDs of the blocks of an archive, and its roots' bytes.
fn blocks(car: &[u8]) -> Vec<Cid> {
    let mut rest = car;
    let mut section = || {
        let mut length = 0_usize;
        for shift in 0.. {
            let (&byte, tail) = rest.split_first()?;
            rest = tail;
            length |= usize::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                break;
            }
        }
        let (section, tail) = rest.split_at(length);
        rest = tail;
        Some(section)
    };
    section().unwrap();
    std::iter::from_fn(section).map(|section| Cid::read_bytes(section).unwrap()).collect()
}

#[tokio::test]
async fn blocks_as_they_are() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("dir/ascii.txt", "hello application/vnd.ipld.car\n")]).await;
    let (dir, file) = (app.at(&root, "dir").await, app.at(&root, "dir/ascii.txt").await);
    let block = app.store().block(&dir).await.unwrap().unwrap();
    for (path, headers) in [
        (format!("/ipfs/{root}/dir?format=raw"), &[][..]),
        (format!("/ipfs/{root}/dir"), &[("accept", "application/vnd.ipld.raw")]),
        (format!("/ipfs/{dir}?format=raw"), &[("accept", "application/vnd.ipld.car")]),
    ] {
        let answer = app.ask(Method::GET, HERE, &path, headers).await;
        assert_eq!((answer.status, &answer.body), (200, &block), "{path}");
        assert_eq!(answer.header(header::CONTENT_LENGTH), block.len().to_string());
    }
    let by_accept =
        app.ask(Method::GET, HERE, &format!("/ipfs/{root}/dir?x=1"), &[("accept", "application/vnd.ipld.raw")]).await;
    assert_eq!(by_accept.header(header::CONTENT_LOCATION), format!("/ipfs/{root}/dir?format=raw&x=1"));
    let path = format!("/ipfs/{file}?format=raw");
    app.check(&[
        Case {
            path: &path,
            expected: &[
                ("content-type", "application/vnd.ipld.raw"),
                ("content-disposition", &format!("attachment; filename=\"{file}.bin\"; filename*=UTF-8''{file}.bin")),
                ("etag", &format!("\"{file}.raw\"")),
                ("cache-control", "public, max-age=29030400, immutable"),
                ("x-ipfs-roots", &file.to_string()),
                ("content-location", ""),
                ("vary", ""),
                NOSNIFF,
            ],
            ..Case::default()
        },
        Case {
            path: &format!("{path}&filename=foobar.bin"),
            expected: &[("content-disposition", "~attachment; filename=\"foobar.bin\"")],
            ..Case::default()
        },
        Case {
            path: &path,
            headers: &[("range", "bytes=6-16")],
            status: 206,
            expected: &[("content-range", "bytes 6-16/31"), ("content-type", "application/vnd.ipld.raw")],
            body: Some("application"),
            ..Case::default()
        },
        Case { path: &path, headers: &[("if-none-match", &format!("\"{file}.raw\""))], status: 304, ..Case::default() },
        Case { path: &path, headers: &[("if-none-match", &format!("\"{file}\""))], ..Case::default() },
        // What probes ask for: the empty identity.
        Case {
            path: "/ipfs/bafkqaaa?format=raw",
            expected: &[("content-length", "0")],
            body: Some(""),
            ..Case::default()
        },
        Case { path: "/ipfs/bafkqaaa", body: Some(""), ..Case::default() },
        Case { path: "/ipfs/bafkqabtimvwgy3yk", body: Some("hello\n"), ..Case::default() },
    ])
    .await;
}

#[tokio::test]
async fn archives() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("sub/one.txt", "one"), ("sub/copy.txt", "one"), ("sub/two.txt", "two")]).await;
    let (sub, one, two) =
        (app.at(&root, "sub").await, app.at(&root, "sub/one.txt").await, app.at(&root, "sub/two.txt").await);
    let car = "application/vnd.ipld.car";
    for (path, accept, expected) in [
        (format!("/ipfs/{root}/sub/one.txt?format=car"), "", vec![root, sub, one]),
        (format!("/ipfs/{root}/sub/one.txt"), car, vec![root, sub, one]),
        (format!("/ipfs/{root}/sub?format=car&dag-scope=block"), "", vec![root, sub]),
        (format!("/ipfs/{root}/sub?format=car&dag-scope=entity"), "", vec![root, sub]),
        (format!("/ipfs/{root}/sub?format=car&dag-scope=all"), "", vec![root, sub, one, two]),
        (format!("/ipfs/{root}/sub?format=car&car-dups=y"), "", vec![root, sub, one, one, two]),
        (
            format!("/ipfs/{root}/sub"),
            "application/vnd.ipld.car; version=1; order=dfs; dups=y",
            vec![root, sub, one, one, two],
        ),
        ("/ipfs/bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa?format=car&car-dups=y".into(), "", vec![]),
        // What shows that there is nothing.
        (format!("/ipfs/{root}/sub/none?format=car"), "", vec![root, sub]),
        (format!("/ipfs/{root}/none/at/all?format=car&car-dups=y"), "", vec![root]),
        (format!("/ipfs/{root}/sub/one.txt/none"), car, vec![root, sub, one]),
    ] {
        let headers = if accept.is_empty() { vec![] } else { vec![("accept", accept)] };
        let answer = app.ask(Method::GET, HERE, &path, &headers).await;
        assert_eq!((answer.status, blocks(&answer.body)), (200, expected), "{path} {accept}");
        let dups = if path.contains("dups=y") || accept.contains("dups=y") { "y" } else { "n" };
        assert_eq!(answer.header(header::CONTENT_TYPE), format!("{car}; version=1; order=dfs; dups={dups}"));
        assert_eq!(answer.header(header::ACCEPT_RANGES), "none");
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        let disposition = answer.header(header::CONTENT_DISPOSITION);
        assert!(disposition.starts_with("attachment; filename=\"") && disposition.contains(".car\""), "{disposition}");
        assert!(answer.header(header::ETAG).starts_with("W/\""));
        let again = app
            .ask(Method::GET, HERE, &path, &[&headers[..], &[("if-none-match", answer.header(header::ETAG))]].concat())
            .await;
        assert_eq!(again.status, 304);
    }
    let accept = [("accept", "application/vnd.ipld.car; order=dfs; dups=y")];
    let located = app.ask(Method::GET, HERE, &format!("/ipfs/{root}?dag-scope=block"), &accept).await;
    assert_eq!(
        located.header(header::CONTENT_LOCATION),
        format!("/ipfs/{root}?car-dups=y&car-order=dfs&dag-scope=block&format=car")
    );
    for (path, status) in [
        (format!("/ipfs/{root}?format=car&car-version=2"), 400),
        (format!("/ipfs/{root}?format=car&dag-scope=some"), 400),
        (format!("/ipfs/{one}?format=car&entity-bytes=3:*"), 400),
        (format!("/ipfs/{one}?format=car&entity-bytes=2:*"), 200),
        ("/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN?format=car".into(), 404),
    ] {
        assert_eq!(app.get(&path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn archives_of_the_bytes_that_are_asked_for() {
    let app = App::ipfs(&[]).await;
    let bytes: Vec<u8> = (0..5_u8).flat_map(|chunk| vec![chunk; 1 << 20]).chain([9, 9]).collect();
    let size = bytes.len() as i64;
    let root = app.store().add(stream::iter([Ok(Bytes::from(bytes))]).boxed(), Default::default()).await.unwrap().cid;
    let chunks: Vec<Cid> = {
        let mut chunks = Vec::new();
        for chunk in 0..5_u8 {
            chunks.push(app.block(0x55, &vec![chunk; 1 << 20]).await);
        }
        chunks.push(app.block(0x55, &[9, 9]).await);
        chunks
    };
    let mib = 1 << 20;
    for (range, expected) in [
        ("0:*".to_owned(), 0..6),
        ("0:0".into(), 0..1),
        (format!("{mib}:{}", 2 * mib - 1), 1..2),
        (format!("{}:*", 2 * mib), 2..6),
        (format!("{}:-{mib}", 2 * mib), 2..5),
        ("-1:*".into(), 5..6),
        (format!("-{}:*", 2 * size), 0..6),
        (format!("-{}:-3", 2 * size), 0..5),
    ] {
        let answer = app.get(&format!("/ipfs/{root}?format=car&dag-scope=entity&entity-bytes={range}")).await;
        let expected = [&[root][..], &chunks[expected]].concat();
        assert_eq!((answer.status, blocks(&answer.body)), (200, expected), "{range}");
    }
}

#[tokio::test]
async fn tars() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("ą/ę/file-źł.txt", "I am a txt file on path with utf8\n")]).await;
    let file = app.at(&root, "ą/ę/file-źł.txt").await;
    app.check(&[
        Case {
            path: &format!("/ipfs/{file}?format=tar"),
            expected: &[
                ("content-type", "application/x-tar"),
                ("content-disposition", &format!("~attachment; filename=\"{file}.tar\"")),
                ("etag", &format!("W/\"{file}.x-tar\"")),
                NOSNIFF,
            ],
            body: Some("~I am a txt file on path with utf8\n"),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}"),
            headers: &[("accept", "application/x-tar")],
            body: Some(&format!("~{root}/ą/ę/file-źł.txt")),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{root}?format=tar&filename=test%D1%82%D0%B5%D1%81%D1%82.tar"),
            expected: &[(
                "content-disposition",
                "attachment; filename=\"test____.tar\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.tar",
            )],
            ..Case::default()
        },
    ])
    .await;
    let value = app.block(DAG_CBOR, b"\xa0").await;
    assert_eq!(app.get(&format!("/ipfs/{value}?format=tar")).await.problem(), (406, "not_acceptable".into()));
}

#[tokio::test]
async fn values() {
    let app = App::ipfs(&[]).await;
    let inner = app.block(DAG_JSON, b"{\"hello\":\"this is not a link\"}").await;
    let text = format!("{{\"foo\":{{\"link\":{{\"/\":\"{inner}\"}}}}}}");
    let value = app.block(DAG_JSON, text.as_bytes()).await;
    let plain = app.block(0x0200, b"{\"a\": 1, \"b\": 2}").await;
    let cbor = app.block(DAG_CBOR, b"\xa1\x65hello\x65world").await;
    let json = "application/json";
    let dag_json = "application/vnd.ipld.dag-json";
    let dag_cbor = "application/vnd.ipld.dag-cbor";
    app.check(&[
        Case {
            path: &format!("/ipfs/{value}"),
            expected: &[
                ("content-type", dag_json),
                ("etag", &format!("\"{value}.dag-json\"")),
                ("content-disposition", &format!("~inline; filename=\"{value}.json\"")),
                ("content-length", &text.len().to_string()),
                ("cache-control", "public, max-age=29030400, immutable"),
                NOSNIFF,
            ],
            body: Some(&text),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{value}/?format=dag-json"),
            expected: &[("content-type", dag_json)],
            body: Some(&text),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{value}?format=json"),
            expected: &[("content-type", json), ("etag", &format!("\"{value}.json\""))],
            body: Some(&text),
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{value}"),
            headers: &[("accept", json)],
            expected: &[("content-type", json), ("content-location", &format!("/ipfs/{value}?format=json"))],
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{value}"),
            headers: &[("accept", dag_json), ("range", "bytes=0-3")],
            status: 206,
            expected: &[("content-type", dag_json)],
            body: Some("{\"fo"),
            ..Case::default()
        },
        Case { path: &format!("/ipfs/{value}/foo/link/hello"), status: 501, ..Case::default() },
        Case {
            path: &format!("/ipfs/{value}/foo/link"),
            body: Some("{\"hello\":\"this is not a link\"}"),
            expected: &[("x-ipfs-roots", &format!("{value},{value},{inner}"))],
            ..Case::default()
        },
        Case { path: &format!("/ipfs/{value}/foo"), status: 501, ..Case::default() },
        Case { path: &format!("/ipfs/{value}/foo/none"), status: 404, ..Case::default() },
        Case { path: &format!("/ipfs/{value}?format=dag-cbor"), status: 406, ..Case::default() },
        Case { path: &format!("/ipfs/{value}?format=cbor"), status: 406, ..Case::default() },
        Case { path: &format!("/ipfs/{value}"), headers: &[("accept", dag_cbor)], status: 406, ..Case::default() },
        Case {
            path: &format!("/ipfs/{value}"),
            headers: &[("accept", "application/vnd.ipld.dag-cbor, */*;q=0.1")],
            expected: &[("content-type", dag_json), ("content-location", "")],
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{value}?filename=foobar.json&download=true&format=dag-json"),
            expected: &[("content-disposition", "~attachment; filename=\"foobar.json\"")],
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{plain}"),
            expected: &[
                ("content-type", json),
                ("content-disposition", &format!("~inline; filename=\"{plain}.json\"")),
            ],
            body: Some("{\"a\": 1, \"b\": 2}"),
            ..Case::default()
        },
        Case { path: &format!("/ipfs/{plain}?format=dag-json"), status: 406, ..Case::default() },
        Case {
            path: &format!("/ipfs/{cbor}"),
            expected: &[
                ("content-type", dag_cbor),
                ("content-disposition", &format!("~attachment; filename=\"{cbor}.cbor\"")),
            ],
            ..Case::default()
        },
        Case {
            path: &format!("/ipfs/{cbor}?format=cbor"),
            expected: &[("content-type", "application/cbor")],
            ..Case::default()
        },
        Case { path: &format!("/ipfs/{cbor}?format=json"), status: 406, ..Case::default() },
        Case {
            path: &format!("/ipfs/{cbor}?format=raw"),
            expected: &[("content-type", "application/vnd.ipld.raw")],
            ..Case::default()
        },
    ])
    .await;
    let html = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    for cid in [value, cbor] {
        app.check(&[
            Case {
                path: &format!("/ipfs/{cid}"),
                headers: &html,
                status: 301,
                expected: &[("location", &format!("/ipfs/{cid}/"))],
                ..Case::default()
            },
            Case {
                path: &format!("/ipfs/{cid}/"),
                headers: &html,
                expected: &[
                    ("etag", "~\"DagIndex-"),
                    ("content-type", "~text/html"),
                    ("content-disposition", ""),
                    ("cache-control", "public, max-age=604800, stale-while-revalidate=2678400"),
                ],
                body: Some("~</html>"),
                ..Case::default()
            },
            Case {
                path: &format!("/ipfs/{cid}/?download=true"),
                headers: &html,
                expected: &[("content-disposition", "~attachment")],
                ..Case::default()
            },
        ])
        .await;
    }
}

#[tokio::test]
async fn files_that_are_json_and_those_that_are_not() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("t.json", "{\"a\": 1}"), ("untold", "[1]"), ("text", "hello"), ("dir/x", "y")]).await;
    let json = "application/json";
    app.check(&[
        Case { path: &format!("/ipfs/{root}/t.json"), expected: &[("content-type", json)], ..Case::default() },
        Case { path: &format!("/ipfs/{root}/untold"), expected: &[("content-type", json)], ..Case::default() },
        Case {
            path: &format!("/ipfs/{root}/untold?format=json"),
            headers: &[("accept", "application/vnd.ipld.raw")],
            expected: &[("content-type", json)],
            body: Some("[1]"),
            ..Case::default()
        },
        Case { path: &format!("/ipfs/{root}/text"), headers: &[("accept", json)], status: 406, ..Case::default() },
        // What scripts send by default takes anything.
        Case {
            path: &format!("/ipfs/{root}/text"),
            headers: &[("accept", "application/json, text/plain, */*")],
            body: Some("hello"),
            ..Case::default()
        },
        Case { path: &format!("/ipfs/{root}/dir/?format=json"), status: 406, ..Case::default() },
        Case { path: &format!("/ipfs/{root}/text?format=dag-json"), status: 406, ..Case::default() },
        Case { path: &format!("/ipfs/{root}/text?format=cbor"), status: 406, ..Case::default() },
        // A parameter of the website's own.
        Case { path: &format!("/ipfs/{root}/text?format=large"), body: Some("hello"), ..Case::default() },
        Case {
            path: &format!("/ipfs/{root}/text"),
            headers: &[("accept", "application/vnd.ipld.unheard")],
            status: 406,
            ..Case::default()
        },
    ])
    .await;
}

#[tokio::test]
async fn names_to_save_under() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("a.txt", "x")]).await;
    let path = format!("/ipfs/{root}/a.txt");
    app.check(&[
        Case { path: &path, expected: &[("content-disposition", "")], ..Case::default() },
        Case {
            path: &format!("{path}?filename=b.css"),
            expected: &[
                ("content-disposition", "inline; filename=\"b.css\"; filename*=UTF-8''b.css"),
                ("content-type", "text/css; charset=utf-8"),
            ],
            ..Case::default()
        },
        Case {
            path: &format!("{path}?filename=test%D1%82.jpg&download=true"),
            expected: &[("content-disposition", "attachment; filename=\"test_.jpg\"; filename*=UTF-8''test%D1%82.jpg")],
            ..Case::default()
        },
        Case {
            path: &format!("{path}?download=true"),
            expected: &[("content-disposition", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt")],
            ..Case::default()
        },
        Case {
            path: &format!("{path}?filename=a%22%0D%0Ab"),
            expected: &[("content-disposition", "inline; filename=\"a___b\"; filename*=UTF-8''a%22%0D%0Ab")],
            ..Case::default()
        },
    ])
    .await;
}

#[tokio::test]
async fn a_gateway_that_shows_nothing() {
    let ipfs = Ipfs { deserialized: false, ..Ipfs::default() };
    let app = App::with(Config { ipfs, ..Config::default() }).await;
    Told::default().record(1, "/ipfs/bafkqaaa", 60).bind(&app);
    let root = app.tree(&[("a", "x")]).await;
    let name = Told::name(1);
    for (path, accept, status) in [
        (format!("/ipfs/{root}"), "", 400),
        (format!("/ipfs/{root}/a"), "text/html", 400),
        (format!("/ipfs/{root}?format=raw"), "", 200),
        (format!("/ipfs/{root}"), "application/vnd.ipld.raw", 200),
        (format!("/ipfs/{root}/a?format=raw"), "", 406),
        (format!("/ipfs/{root}/a?format=car"), "", 200),
        (format!("/ipfs/{root}?format=tar"), "", 406),
        (format!("/ipfs/{root}?format=json"), "", 406),
        (format!("/ipns/{name}?format=ipns-record"), "", 200),
        (format!("/ipns/{name}?format=raw"), "", 406),
        ("/ipfs/bafkqaaa?format=raw".into(), "", 200),
    ] {
        let headers = if accept.is_empty() { vec![] } else { vec![("accept", accept)] };
        assert_eq!(app.ask(Method::GET, HERE, &path, &headers).await.status, status, "{path} {accept}");
    }
}
