//! `_redirects` of websites.

use super::*;

const RULES: &str = "/redirect-one /one.html\n/302-two /two.html?own=1&both=2 302\n/200-index /index.html 200\n\
                     /posts/:year/:title /articles/:year/:title 301\n/splat/* /redirected-splat/:splat 301\n\
                     /away/* https://example.net/t/:splat 301\n/gone/* /410.html 410\n/lost/* /404.html 404\n\
                     /nowhere /not-there.html 200\n/dir /articles 200\n/unavail/* /451.html 451\n";

#[tokio::test]
async fn rules_for_paths_that_do_not_exist() {
    let app = App::ipfs(&[]).await;
    let root = app
        .tree(&[
            ("_redirects", RULES),
            ("index.html", "my index"),
            ("one.html", "my one"),
            ("404.html", "my 404"),
            ("410.html", "my 410"),
            ("451.html", "my 451"),
            ("articles/x", "y"),
            ("redirect-two", "exists"),
        ])
        .await;
    let lost = app.at(&root, "404.html").await;
    let index = app.at(&root, "index.html").await;
    let host = format!("{root}.ipfs.example.com");
    let moved = |path, status, location| Case { host: &host, path, status, expected: location, ..Case::default() };
    app.check(&[
        moved("/redirect-one", 301, &[("location", "/one.html")]),
        moved("/302-two?both=3&mine=4", 302, &[("location", "/two.html?own=1&both=3&mine=4")]),
        moved("/posts/2022/hello-world/", 301, &[("location", "/articles/2022/hello-world")]),
        moved("/splat/one.html", 301, &[("location", "/redirected-splat/one.html")]),
        moved("/away/x?q=1", 301, &[("location", "https://example.net/t/x?q=1")]),
        Case {
            host: &host,
            path: "/200-index",
            body: Some("my index"),
            expected: &[("content-type", "text/html"), ("etag", &format!("\"{index}\""))],
            ..Case::default()
        },
        Case {
            host: &host,
            path: "/200-index",
            headers: &[("if-none-match", &format!("\"{index}\""))],
            status: 304,
            ..Case::default()
        },
        Case {
            host: &host,
            path: "/200-index",
            headers: &[("range", "bytes=3-7")],
            status: 206,
            body: Some("index"),
            ..Case::default()
        },
        Case {
            host: &host,
            path: "/lost/x/y",
            headers: &[("range", "bytes=0-1")],
            status: 404,
            expected: &[
                ("etag", &format!("\"{lost}\"")),
                ("cache-control", "public, max-age=29030400, immutable"),
                ("content-type", "text/html"),
            ],
            body: Some("my 404"),
        },
        Case { host: &host, path: "/gone/x", status: 410, body: Some("my 410"), ..Case::default() },
        Case { host: &host, path: "/unavail/x", status: 451, body: Some("my 451"), ..Case::default() },
        // What exists is shown as it is; what no rule is for, or leads to nothing, is not there.
        Case { host: &host, path: "/redirect-two", body: Some("exists"), ..Case::default() },
        Case { host: &host, path: "/other", status: 404, ..Case::default() },
        Case { host: &host, path: "/nowhere", status: 404, ..Case::default() },
        Case { host: &host, path: "/dir", status: 404, ..Case::default() },
        // A form that is asked for by name is not a page.
        Case { host: &host, path: "/redirect-one?format=raw", status: 404, ..Case::default() },
        // Others share this origin.
        Case { path: &format!("/ipfs/{root}/redirect-one"), status: 404, ..Case::default() },
    ])
    .await;
}

#[tokio::test]
async fn a_single_page_application() {
    let app = App::ipfs(&[]).await;
    let root = app.tree(&[("index.html", "app"), ("_redirects", "/* /index.html 200")]).await;
    let host = format!("{root}.ipfs.localhost:8480");
    let html = [("accept", "text/html")];
    let answer = app.ask(Method::GET, &host, "/missing/page", &html).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "app"));
    let tag = answer.header(header::ETAG).to_owned();
    let again = app.ask(Method::GET, &host, "/missing/page", &[html[0], ("if-none-match", &tag)]).await;
    assert_eq!(again.status, 304);
}

#[tokio::test]
async fn files_that_are_no_rules() {
    let app = App::ipfs(&[]).await;
    let large = "# x\n".repeat(20_000);
    for (rules, why) in [
        ("/a /b 301!", "could not parse _redirects: line 1"),
        (&large, "redirects file size cannot exceed 65536 bytes"),
    ] {
        let root = app.tree(&[("_redirects", rules), ("found.html", "my found")]).await;
        let host = format!("{root}.ipfs.example.com");
        let answer = app.ask(Method::GET, &host, "/not-found", &[]).await;
        assert_eq!(answer.problem(), (500, "bad_redirects".into()));
        assert!(
            answer.text().contains(why) && answer.text().contains("could not parse _redirects:"),
            "{}",
            answer.text()
        );
        assert_eq!(app.ask(Method::GET, &host, "/found.html", &[]).await.text(), "my found");
    }
}

#[tokio::test]
async fn a_site_that_its_name_finds_in_a_directory() {
    let app = App::ipfs(&[]).await;
    let root = app
        .tree(&[("_redirects", "/x /wrong"), ("site/_redirects", "/x /right\n/y /y.html 404"), ("site/y.html", "my y")])
        .await;
    let app = {
        let dnslink = [format!("site.example.org=/ipfs/{root}/site")];
        let named = App::ipfs(&dnslink).await;
        // The same tree in the store of the gateway that knows the name.
        named
            .tree(&[
                ("_redirects", "/x /wrong"),
                ("site/_redirects", "/x /right\n/y /y.html 404"),
                ("site/y.html", "my y"),
            ])
            .await;
        drop(app);
        named
    };
    app.check(&[
        Case {
            host: "site.example.org",
            path: "/x",
            status: 301,
            expected: &[("location", "/right")],
            ..Case::default()
        },
        // Mutable: nothing says how long this stays so.
        Case {
            host: "site.example.org",
            path: "/y",
            status: 404,
            expected: &[("cache-control", "")],
            body: Some("my y"),
            ..Case::default()
        },
    ])
    .await;
}
