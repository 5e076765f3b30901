//! Subdomains, DNSLink domains, proxies: which host shows what.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;
use crate::serve;

const V0: &str = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V";
const V1: &str = "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf5acd2ky";

#[tokio::test]
async fn a_root_has_a_host_of_its_own() {
    let app = App::ipfs(&[]).await;
    let root = app
        .tree(&[
            ("hello", "hello\n"),
            ("ipfs/file.txt", "I am a txt file"),
            ("ipfs/ipns/bar", "text-file-content"),
            ("api/v1/status", "not the API"),
        ])
        .await;
    let file = app.at(&root, "hello").await;
    for gateway in ["example.com", "example.com:8080", "localhost:8480"] {
        let host = format!("{root}.ipfs.{gateway}");
        let on = |path, body| Case { host: &host, path, body: Some(body), ..Case::default() };
        app.check(&[
            on("/hello", "hello\n"),
            on("/ipfs/file.txt", "I am a txt file"),
            on("/ipfs/ipns/bar", "text-file-content"),
            on("/api/v1/status", "not the API"),
            on("/", "~<a href=\"/hello\">hello</a>"),
            on("/", "~<a href=\"/ipfs\">ipfs</a>"),
            on("/ipfs/ipns/", "~<a href=\"/ipfs/ipns/..\">..</a>"),
            on("/ipfs/ipns/", &format!("~/ipfs/<a href=\"//{gateway}/ipfs/{root}\">{root}</a>/<a href=\"//{gateway}/ipfs/{root}/ipfs\">ipfs</a>/<a href=\"//{gateway}/ipfs/{root}/ipfs/ipns\">ipns</a>")),
            on("/", &format!("~<a class=\"ipfs-hash\" translate=\"no\" href=\"//{gateway}/ipfs/{file}?filename=hello\">")),
            Case { host: &host, path: &format!("/ipfs/{file}/"), status: 404, ..Case::default() },
            Case { host: &host, path: "/ipfs/ipns", status: 301, expected: &[("location", "/ipfs/ipns/")], ..Case::default() },
            Case { host: &host, path: "//ipfs//ipns?x", status: 301, expected: &[("location", "/ipfs/ipns/?x")], ..Case::default() },
            // An origin of its own may run scripts; nothing there is the API's.
            Case { host: &host, path: "/hello", expected: &[("content-security-policy", ""), ("x-content-type-options", ""), ("x-ipfs-path", &format!("/ipfs/{root}/hello"))], ..Case::default() },
            Case { host: &host, path: "/openapi.json", status: 404, ..Case::default() },
        ])
        .await;
        let top = app.ask(Method::GET, &host, "/", &[]).await;
        assert!(!top.text().contains("href=\"/..\""), "{}", top.text());
    }
    let single = format!("{file}.ipfs.example.com");
    app.check(&[
        Case { host: &single, path: "/", body: Some("hello\n"), ..Case::default() },
        Case { host: &single, path: &format!("/ipfs/{file}/"), status: 404, ..Case::default() },
    ])
    .await;
}

#[tokio::test]
async fn paths_of_a_gateway_lead_to_its_subdomains() {
    let app = App::ipfs(&[]).await;
    let long = Cid::new_v1(0x55, Multihash::wrap(0x13, &[7; 64]).unwrap());
    let at = |label: &str, rest: &str| format!("http://{label}.example.com{rest}");
    let https = format!("https://{V1}.ipfs.example.com/");
    let forwarded = [("x-forwarded-host", "example.com")];
    app.check(&[
        Case {
            host: "example.com",
            path: &format!("/ipfs/{V0}/a%20b/?x=1"),
            status: 301,
            expected: &[("location", &at(&format!("{V1}.ipfs"), "/a%20b/?x=1")), ("access-control-allow-origin", "*")],
            ..Case::default()
        },
        Case {
            host: "example.com:80",
            path: &format!("/ipfs/{V1}"),
            status: 301,
            expected: &[("location", &format!("http://{V1}.ipfs.example.com:80/"))],
            ..Case::default()
        },
        Case {
            host: "example.com",
            path: &format!("/ipfs/{V1}"),
            headers: &[("x-forwarded-proto", "https")],
            status: 301,
            expected: &[("location", &https)],
            ..Case::default()
        },
        Case {
            host: "fake.domain.com",
            path: &format!("/ipfs/{V1}"),
            headers: &forwarded,
            status: 301,
            expected: &[("location", &at(&format!("{V1}.ipfs"), "/"))],
            ..Case::default()
        },
        Case {
            host: "example.com",
            path: "/ipns/en.wikipedia-on-ipfs.org/wiki/",
            status: 301,
            expected: &[("location", &at("en-wikipedia--on--ipfs-org.ipns", "/wiki/"))],
            ..Case::default()
        },
        Case {
            host: "example.com",
            path: "/ipfs/?uri=ipfs%3A%2F%2FQmXoypizjW3WknFiJnKLwHCnL72vedxjQkDDP1mXWo6uco%2Fwiki%2FDiego_Maradona.html",
            status: 301,
            expected: &[("location", "/ipfs/QmXoypizjW3WknFiJnKLwHCnL72vedxjQkDDP1mXWo6uco/wiki/Diego_Maradona.html")],
            ..Case::default()
        },
        Case {
            host: "example.com",
            path: "/ipns/?uri=ipns%3A%2F%2Fen.wiki.example",
            status: 301,
            expected: &[("location", "/ipns/en.wiki.example")],
            ..Case::default()
        },
        Case {
            host: HERE,
            path: "/ipfs/?uri=ipfs://QmA",
            status: 301,
            expected: &[("location", "/ipfs/QmA")],
            ..Case::default()
        },
        Case {
            host: "example.com",
            path: "/ipfs/QmInvalidCID",
            status: 400,
            body: Some("~invalid path \"/ipfs/QmInvalidCID\""),
            ..Case::default()
        },
        Case {
            host: "example.com",
            path: &format!("/ipfs/{long}"),
            status: 400,
            body: Some("~CID incompatible with DNS label length limit of 63"),
            ..Case::default()
        },
        Case {
            host: &format!("{long}.ipfs.example.com"),
            path: "/",
            status: 400,
            body: Some("~CID incompatible with DNS label length limit of 63"),
            ..Case::default()
        },
        Case {
            host: &format!("{V0}.ipfs.example.com"),
            path: "/a?b",
            status: 301,
            expected: &[("location", &at(&format!("{V1}.ipfs"), "/a?b"))],
            ..Case::default()
        },
        Case { host: "nocid.ipfs.example.com", path: "/", status: 400, ..Case::default() },
        Case { host: "example.com", path: "/docs", ..Case::default() },
        // A host that is none of ours shows content by path.
        Case { host: "fake.domain.com", path: "/ipfs/bafkqabtimvwgy3yk", body: Some("hello\n"), ..Case::default() },
    ])
    .await;
}

#[tokio::test]
async fn a_preflight_is_answered_where_the_path_is_redirected() {
    let app = App::ipfs(&[]).await;
    let path = format!("/ipfs/{V1}");
    let preflight = app.ask(Method::OPTIONS, "example.com", &path, &[("origin", "https://elsewhere.example")]).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (200, "*"));
    assert_eq!(app.ask(Method::POST, "example.com", &path, &[]).await.problem(), (405, "method_not_allowed".into()));
}

#[tokio::test]
async fn only_a_proxy_nearby_says_for_whom_it_asks() {
    let app = App::ipfs(&[]).await;
    let path = "/ipfs/bafkqabtimvwgy3yk";
    let headers =
        [(header::HOST, "node.example"), (HeaderName::from_static("x-forwarded-host"), "example.com, inner.example")];
    for (peer, status) in [
        ("127.0.0.1:1", 301),
        ("10.1.2.3:1", 301),
        ("[fd00::1]:1", 301),
        ("203.0.113.9:1", 200),
        ("[2001:db8::1]:1", 200),
    ] {
        assert_eq!(app.send_from(peer, Method::GET, path, &headers, Body::empty()).await.status, status, "{peer}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_one_leads_nowhere_else() {
    let app = App::ipfs(&[]).await;
    for host in ["example.com:80@evil.example", "example.com:80/evil", "evil.example\\.example.com"] {
        let answer = app.ask(Method::GET, host, &format!("/ipfs/{V1}"), &[]).await;
        assert_ne!(answer.status, 301, "{host}: {}", answer.header(header::LOCATION));
    }
    // Decoding base58 takes the square of its length.
    let long = "2".repeat(60_000);
    for (host, path) in [
        (HERE, format!("/ipfs/z{long}")),
        (HERE, format!("/ipns/1{long}")),
        (&format!("z{long}.ipfs.example.com"), "/".into()),
    ] {
        let begun = tokio::time::Instant::now();
        assert_eq!(app.ask(Method::GET, host, &path, &[]).await.status, 400);
        assert!(begun.elapsed() < std::time::Duration::from_secs(1));
    }
}

#[tokio::test]
async fn names_have_hosts_too() {
    let app = App::ipfs(&["dnslink-test.example.org=/ipfs/bafkqabtimvwgy3yk".into()]).await;
    let name = Told::name(1);
    Told::default().record(1, "/ipfs/bafkqabtimvwgy3yk", 60).bind(&app);
    let peer_id = {
        let bytes = name.multihash().to_bytes();
        bs58::encode(bytes).into_string()
    };
    let as_file = Cid::new_v1(0x70, *name.multihash()).to_string_of_base(cid::multibase::Base::Base36Lower).unwrap();
    let own = format!("http://{name}.ipns.example.com/");
    app.check(&[
        Case {
            host: "example.com",
            path: &format!("/ipns/{peer_id}"),
            status: 301,
            expected: &[("location", &own)],
            ..Case::default()
        },
        Case {
            host: "example.com",
            path: &format!("/ipns/{name}"),
            status: 301,
            expected: &[("location", &own)],
            ..Case::default()
        },
        Case {
            host: &format!("{as_file}.ipns.example.com"),
            path: "/",
            status: 301,
            expected: &[("location", &own)],
            ..Case::default()
        },
        Case {
            host: &format!("{name}.ipns.example.com"),
            path: "/",
            expected: &[("cache-control", "public, max-age=60")],
            body: Some("hello\n"),
            ..Case::default()
        },
        Case {
            host: &format!("{name}.ipns.example.com"),
            path: "/?format=ipns-record",
            body: Some("~record 1"),
            ..Case::default()
        },
        Case { host: "dnslink-test.example.org.ipns.example.com", path: "/", body: Some("hello\n"), ..Case::default() },
        Case {
            host: "dnslink--test-example-org.ipns.example.com",
            path: "/",
            body: Some("hello\n"),
            ..Case::default()
        },
        Case { host: "dnslink--none-example-org.ipns.example.com", path: "/", status: 500, ..Case::default() },
    ])
    .await;
}

#[tokio::test]
async fn domains_show_their_website() {
    let other = App::ipfs(&[]).await;
    let items = [("ą/ę/file-źł.txt", "x"), ("api/v1/status", "not the API")];
    let root = other.tree(&items).await;
    let app = App::ipfs(&[format!("site.example.org=/ipfs/{root}")]).await;
    assert_eq!(app.tree(&items).await, root);
    let file = app.at(&root, "ą/ę/file-źł.txt").await;
    let host = "site.example.org";
    let on = |path, body| Case { host, path, body: Some(body), ..Case::default() };
    app.check(&[
        on("/", "~Index of"),
        on("/api/v1/status", "not the API"),
        on("/%C4%85/%C4%99/", "~<a href=\"/%C4%85/%C4%99/..\">..</a>"),
        on("/%C4%85/%C4%99/", "~/ipns/<a href=\"//site.example.org/\">site.example.org</a>/<a href=\"//site.example.org/%C4%85\">ą</a>/<a href=\"//site.example.org/%C4%85/%C4%99\">ę</a>"),
        on("/%C4%85/%C4%99/", "~<a href=\"/%C4%85/%C4%99/file-%C5%BA%C5%82.txt\">file-źł.txt</a>"),
        on("/%C4%85/%C4%99/", &format!("~<a class=\"ipfs-hash\" translate=\"no\" href=\"https://cid.ipfs.tech/#{file}\" target=\"_blank\" rel=\"noreferrer noopener\">")),
        Case { host, path: "/%C4%85/%C4%99", status: 301, expected: &[("location", "/%C4%85/%C4%99/")], ..Case::default() },
        Case { host, path: &format!("/ipfs/{root}/"), status: 404, ..Case::default() },
        Case { host, path: "/", expected: &[("x-ipfs-path", "/ipns/site.example.org/"), ("cache-control", "")], ..Case::default() },
    ])
    .await;
}

#[tokio::test]
async fn the_api_is_on_no_host_that_shows_content() {
    let app = App::ipfs(&["site.example.org=/ipfs/bafkqaaa".into()]).await;
    app.patch("a", r#"{"x":1}"#).await;
    let paths = ["/api/v1/nodes/a", "/openapi.json", "/docs", "/healthz", "/errors/malformed", "/metrics"];
    for host in [&format!("{V1}.ipfs.localhost:8480"), "site.example.org", "k51.ipns.example.com"] {
        for path in paths {
            for headers in [&[][..], &[("x-forwarded-host", HERE)], &[("x-forwarded-host", "localhost:8480")]] {
                let answer = app.ask(Method::GET, host, path, headers).await;
                assert!(answer.status >= 400 && !answer.text().contains("\"x\""), "{host} {path}: {}", answer.text());
            }
            let write = app.ask(Method::PATCH, host, path, &[("content-type", "application/json")]).await;
            assert!(matches!(write.status, 405 | 421), "{host} {path} {}", write.status);
        }
    }
    // The gateway's own name and its address are the API's.
    for host in ["localhost:8480", HERE, "[::1]:8480", "node.example"] {
        assert_eq!(app.ask(Method::GET, host, "/api/v1/nodes/a", &[]).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_request_that_names_another_authority_is_not_carried_there() {
    let app = App::ipfs(&[]).await;
    let file = app.tree(&[("a", "x")]).await;
    for (target, status) in [
        (format!("http://{file}.ipfs.example.com/a"), 200),
        (format!("http://example.com/ipfs/{V0}/"), 301),
        (format!("http://127.0.0.1:8480/ipfs/{file}/a"), 200),
        (format!("http://bank.example/ipfs/{file}/a"), 421),
        ("http://bank.example/".into(), 421),
        ("http://bank.example/api/v1/status".into(), 421),
        ("https://bank.example:443/".into(), 421),
    ] {
        assert_eq!(app.ask(Method::GET, HERE, &target, &[]).await.status, status, "{target}");
    }
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused() {
    let app = App::ipfs(&[]).await;
    let bytes = Bytes::from(vec![7; 3 << 20]);
    let root = app.store().add(stream::iter([Ok(bytes)]).boxed(), Default::default()).await.unwrap().cid;
    let headers = [(header::HOST, HERE)];
    let path = format!("/ipfs/{root}");
    let mut open = Vec::new();
    for _ in 0..crate::limits::MAX_CONTENT_REQUESTS {
        open.push(app.open("127.0.0.1:5000", Method::GET, &path, &headers, Body::empty()).await);
    }
    let refused = app.get(&path).await;
    assert_eq!(refused.problem(), (429, "rate_limited".into()));
    assert_eq!(refused.header(header::RETRY_AFTER), "1");
    drop(open.pop());
    assert_eq!(app.get(&path).await.status, 200);
}

struct Served {
    _app: App,
    address: SocketAddr,
    _server: JoinSet<()>,
}

async fn start() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ipfs = Ipfs { gateway_hosts: vec!["example.com".into()], ..Ipfs::default() };
    let app = App::with(Config { listen: address, ipfs, ..Config::default() }).await;
    let mut server = JoinSet::new();
    server.spawn(serve(listener, app.router.clone(), app.stopping.clone()));
    Served { _app: app, address, _server: server }
}

/// Sends one head; the answer's head, and its body as far as its length says.
async fn exchange(stream: &mut TcpStream, head: &str) -> (String, String) {
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    let length =
        answer.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    (answer, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn a_tunnel_leads_to_content_only() {
    let served = start().await;
    let here = served.address;
    for target in [here.to_string(), "bafkqabtimvwgy3yk.ipfs.example.com:80".into(), "example.com:80".into()] {
        let mut stream = TcpStream::connect(here).await.unwrap();
        let (granted, _) = exchange(&mut stream, &format!("CONNECT {target} HTTP/1.1\r\nHost: {target}")).await;
        assert!(granted.starts_with("HTTP/1.1 200"), "{granted}");
        for (head, status, body) in [
            (
                "GET http://bafkqabtimvwgy3yk.ipfs.example.com/ HTTP/1.1\r\nHost: bafkqabtimvwgy3yk.ipfs.example.com"
                    .to_owned(),
                "200",
                "hello\n",
            ),
            ("GET / HTTP/1.1\r\nHost: bafkqabtimvwgy3yk.ipfs.example.com".into(), "200", "hello\n"),
            ("GET /ipfs/bafkqabtimvwgy3yk/ HTTP/1.1\r\nHost: example.com".into(), "301", ""),
            (format!("GET /api/v1/status HTTP/1.1\r\nHost: {here}"), "421", "misdirected"),
            ("GET /api/v1/status HTTP/1.1\r\nHost: localhost".into(), "421", "misdirected"),
            (format!("CONNECT {here} HTTP/1.1\r\nHost: {here}"), "421", "misdirected"),
        ] {
            let (answer, text) = exchange(&mut stream, &head).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && text.contains(body), "{head}: {answer}{text}");
        }
    }
    for target in ["bank.example:443", "127.0.0.1:1", "10.0.0.1:80"] {
        let mut stream = TcpStream::connect(here).await.unwrap();
        let (refused, _) = exchange(&mut stream, &format!("CONNECT {target} HTTP/1.1\r\nHost: {target}")).await;
        assert!(refused.starts_with("HTTP/1.1 421"), "{refused}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_has_no_end() {
    let served = start().await;
    let other = App::ipfs(&[]).await;
    let bytes = Bytes::from(vec![7; (1 << 20) + 1]);
    let root = other.store().add(stream::iter([Ok(bytes)]).boxed(), Default::default()).await.unwrap().cid;
    for block in [root, other.block(0x55, &[7; 1 << 20]).await] {
        let bytes = other.store().block(&block).await.unwrap().unwrap();
        served._app.store().put_block(&block, bytes).await.unwrap();
    }
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!("GET /ipfs/{root}?format=car HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The connection ends, by a reset or without the last chunk.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200") && !answer.ends_with(b"0\r\n\r\n"));
}
