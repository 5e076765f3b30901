//! IPNS and DNSLink under `/ipns`, and the records themselves.

use super::*;

#[tokio::test]
async fn names_lead_to_content() {
    let app = App::ipfs(&["private.example.org=/ipns/site.example.org/sub".into()]).await;
    let root = app.tree(&[("sub/index.html", "hello"), ("sub/a.txt", "a")]).await;
    let file = app.at(&root, "sub/a.txt").await;
    let sub = app.at(&root, "sub").await;
    let (one, two) = (Told::name(1), Told::name(2));
    Told::default()
        .record(1, &format!("/ipfs/{root}/sub"), 60)
        .record(2, &format!("/ipns/{one}"), 30)
        .record(3, "/ipfs/bafkqabtimvwgy3yk", 1_000_000)
        .link("site.example.org", &format!("/ipfs/{root}"), Some(120))
        .link("over.example.org", &format!("/ipns/{two}"), None)
        .bind(&app);
    app.check(&[
        Case {
            path: &format!("/ipns/{one}/a.txt"),
            expected: &[
                ("cache-control", "public, max-age=60"),
                ("etag", &format!("\"{file}\"")),
                ("x-ipfs-path", &format!("/ipns/{one}/a.txt")),
                ("x-ipfs-roots", &format!("{root},{sub},{file}")),
            ],
            body: Some("a"),
            ..Case::default()
        },
        Case {
            path: &format!("/ipns/{one}/a.txt"),
            headers: &[("if-none-match", &format!("\"{file}\""))],
            status: 304,
            expected: &[("cache-control", "public, max-age=60")],
            ..Case::default()
        },
        Case {
            path: &format!("/ipns/{two}/"),
            expected: &[("cache-control", "public, max-age=30")],
            body: Some("hello"),
            ..Case::default()
        },
        Case {
            path: "/ipns/site.example.org/",
            expected: &[
                ("cache-control", "public, max-age=120, stale-while-revalidate=2678400"),
                ("etag", "~DirIndex-"),
            ],
            ..Case::default()
        },
        Case {
            path: "/ipns/Site.Example.org/sub/",
            expected: &[("cache-control", "public, max-age=120")],
            body: Some("hello"),
            ..Case::default()
        },
        Case {
            path: "/ipns/private.example.org/a.txt",
            expected: &[("cache-control", "")],
            body: Some("a"),
            ..Case::default()
        },
        Case {
            path: "/ipns/over.example.org/a.txt",
            expected: &[("cache-control", "")],
            body: Some("a"),
            ..Case::default()
        },
        // No longer than the record is valid: an hour.
        Case {
            path: &format!("/ipns/{}", Told::name(3)),
            expected: &[("cache-control", "public, max-age=3600")],
            body: Some("hello\n"),
            ..Case::default()
        },
        Case { path: &format!("/ipns/{}", Told::name(9)), status: 500, ..Case::default() },
        Case { path: "/ipns/unknown.example.org", status: 500, ..Case::default() },
        Case {
            path: &format!("/ipns/{}", Told::name(9)),
            headers: &[("cache-control", "only-if-cached")],
            status: 412,
            ..Case::default()
        },
    ])
    .await;
    let unknown = app.get(&format!("/ipns/{}", Told::name(9))).await;
    assert_eq!(unknown.problem(), (500, "name_unresolved".into()));
}

#[tokio::test]
async fn names_have_one_text() {
    let app = App::ipfs(&[]).await;
    for (path, location) in [
        (
            "/ipns/12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK/root2/?a=1",
            "/ipns/k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8/root2/?a=1",
        ),
        (
            "/ipns/QmcJM7PRfkSbcM5cf1QugM5R37TLRKyJGgBEhXjLTB8uA2/root2/",
            "/ipns/k2k4r8ol4m8kkcqz509c1rcjwunebj02gcnm5excpx842u736nja8ger/root2/",
        ),
    ] {
        app.check(&[Case { path, status: 302, expected: &[("location", location)], ..Case::default() }]).await;
    }
}

#[tokio::test]
async fn the_node_knows_names_where_nobody_else_is_bound() {
    let app = App::ipfs(&[]).await;
    let unknown = app.get(&format!("/ipns/{}", Told::name(1))).await;
    assert_eq!(unknown.problem(), (503, "unavailable".into()), "it looks up nothing yet");
}

#[tokio::test]
async fn names_that_stand_for_each_other_or_for_nothing() {
    let app =
        App::ipfs(&["a.example.org=/ipns/b.example.org".into(), "b.example.org=/ipns/a.example.org".into()]).await;
    assert_eq!(app.get("/ipns/a.example.org").await.status, 400, "a hard limit, as the specification asks");
    assert_eq!(app.get("/ipns/other.example.org").await.problem(), (501, "not_implemented".into()), "nobody is bound");
    let (one, two) = (Told::name(1), Told::name(2));
    Told::default().record(1, "/http/evil.example", 60).record(2, "/ipfs/nocid", 60).bind(&app);
    for name in [one, two] {
        assert_eq!(app.get(&format!("/ipns/{name}")).await.problem(), (500, "name_unresolved".into()));
    }
}

#[tokio::test]
async fn records_as_they_are() {
    let app = App::ipfs(&[]).await;
    let name = Told::name(1);
    Told::default().record(1, "/ipfs/bafkqaaa", 1800).record(2, "/ipfs/bafkqaaa", 7200).bind(&app);
    let path = format!("/ipns/{name}?format=ipns-record");
    let media = "application/vnd.ipfs.ipns-record";
    app.check(&[
        Case {
            path: &path,
            expected: &[
                ("content-type", media),
                ("content-disposition", &format!("~attachment; filename=\"{name}.ipns-record\"")),
                ("cache-control", "public, max-age=1800"),
                ("x-content-type-options", "nosniff"),
            ],
            body: Some("record 1 of /ipfs/bafkqaaa"),
            ..Case::default()
        },
        Case {
            path: &format!("/ipns/{name}"),
            headers: &[("accept", media)],
            expected: &[("content-type", media), ("content-location", &path)],
            ..Case::default()
        },
        Case {
            path: &format!("/ipns/{}?format=ipns-record", Told::name(2)),
            expected: &[("cache-control", "public, max-age=3600")],
            ..Case::default()
        },
        Case {
            path: &format!("{path}&filename=test%D1%82.ipns-record"),
            expected: &[(
                "content-disposition",
                "attachment; filename=\"test_.ipns-record\"; filename*=UTF-8''test%D1%82.ipns-record",
            )],
            ..Case::default()
        },
        Case { path: &format!("/ipns/{name}/below?format=ipns-record"), status: 400, ..Case::default() },
        Case { path: "/ipfs/bafkqaaa?format=ipns-record", status: 400, ..Case::default() },
        Case { path: "/ipns/site.example.org?format=ipns-record", status: 400, ..Case::default() },
        Case { path: &format!("/ipns/{}?format=ipns-record", Told::name(9)), status: 500, ..Case::default() },
    ])
    .await;
    let tag = app.get(&path).await.header(header::ETAG).to_owned();
    assert_eq!(app.ask(Method::GET, HERE, &path, &[("if-none-match", &tag)]).await.status, 304);
}

#[tokio::test]
async fn a_name_that_nobody_tells_in_time_is_a_timeout() {
    struct Never;
    #[async_trait]
    impl Names for Never {
        async fn resolve(&self, _name: &IpnsName, _fetch: Fetch) -> Result<NameRecord, NameError> {
            std::future::pending().await
        }

        async fn put(&self, _name: &IpnsName, _record: Bytes) -> Result<NameRecord, NameError> {
            std::future::pending().await
        }
    }
    let ipfs = Ipfs { fetch_timeout: std::time::Duration::from_secs(1), ..Ipfs::default() };
    let app = App::with(Config { ipfs, ..Config::default() }).await;
    app.state.bind_names(Arc::new(Never));
    for form in ["", "?format=ipns-record"] {
        let answer = app.get(&format!("/ipns/{}{form}", Told::name(1))).await;
        assert_eq!(answer.problem(), (504, "timed_out".into()));
        assert_eq!(answer.header(header::RETRY_AFTER), "10");
    }
}
