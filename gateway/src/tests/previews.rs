//! What is known of images.

use super::*;

/// A PNG of one colour, as the format's specification has it.
fn png(width: u32, height: u32, claimed: (u32, u32)) -> Vec<u8> {
    let row = [&[0_u8][..], &[200, 30, 30].repeat(width as usize)].concat();
    png_of(&row.repeat(height as usize), claimed, [8, 2])
}

/// A PNG with these rows, stored (not compressed). `depth`: bits of a sample, and the type of its colours.
fn png_of(rows: &[u8], claimed: (u32, u32), depth: [u8; 2]) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [kind.as_slice(), data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
    };
    let mut zlib = vec![0x78, 0x01];
    let mut blocks = rows.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        zlib.push(u8::from(blocks.peek().is_none()));
        zlib.extend_from_slice(&len.to_le_bytes());
        zlib.extend_from_slice(&(!len).to_le_bytes());
        zlib.extend_from_slice(block);
    }
    zlib.extend_from_slice(&adler32(rows).to_be_bytes());
    let head = [&claimed.0.to_be_bytes()[..], &claimed.1.to_be_bytes(), &depth, &[0, 0, 0]].concat();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &head), &chunk(b"IDAT", &zlib), &chunk(b"IEND", b"")].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    b << 16 | a
}

/// What is known of a file, once its preview is there; decoding takes its time without optimisation.
async fn known(app: &App, cid: &str) -> Value {
    for _ in 0..300 {
        let known = app.get(&format!("/api/v1/blobs/{cid}")).await.json();
        if known.get("blurhash").is_some() || known.get("previewRefused").is_some() {
            return known;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no preview");
}

#[tokio::test]
async fn an_image_has_a_thumbnail_that_is_kept() {
    let app = App::new().await;
    let added = app.send(Method::POST, "/api/v1/blobs", &[], png(400, 200, (400, 200))).await.json();
    assert_eq!(added["mime"], "image/png");
    let cid = added["cid"].as_str().unwrap();
    let known = known(&app, cid).await;
    assert_eq!((&known["width"], &known["height"], &known["size"]), (&json!(400), &json!(200), &added["size"]));
    assert_eq!(known["blurhash"].as_str().unwrap().len(), 28);
    assert_eq!(known["sha256"].as_str().unwrap().len(), 64);
    let small = &known["thumbnail"];
    assert_eq!((&small["width"], &small["height"], &small["mime"]), (&json!(320), &json!(160), &json!("image/jpeg")));
    let bytes = app.get(&format!("/ipfs/{}", small["cid"].as_str().unwrap())).await;
    assert_eq!((bytes.status, bytes.header(header::CONTENT_TYPE)), (200, "image/jpeg"));
    let roots: Vec<rustdht_core::ports::Root> =
        futures::TryStreamExt::try_collect(app.node.roots().roots()).await.unwrap();
    assert!(roots.iter().any(|root| root.cid.to_string() == small["cid"].as_str().unwrap()));
    // The same again, by its digest, and added once more: at once, since it is known.
    let again = app.get(&format!("/api/v1/blobs/{}", added["digestMultibase"].as_str().unwrap())).await.json();
    assert_eq!(again, known);
    let again = app.send(Method::POST, "/api/v1/blobs", &[], png(400, 200, (400, 200))).await.json();
    assert_eq!(again["thumbnail"], known["thumbnail"]);
}

#[tokio::test]
async fn a_thumbnail_that_is_larger_than_the_image_is_not_kept() {
    let app = App::new().await;
    // Black and white dots take a bit each, the grey that they become some more.
    let mut rows = vec![0; 400 * 51];
    blake3::Hasher::new().finalize_xof().fill(&mut rows);
    rows.iter_mut().step_by(51).for_each(|filter| *filter = 0);
    let added = app.send(Method::POST, "/api/v1/blobs", &[], png_of(&rows, (400, 400), [1, 0])).await.json();
    let known = known(&app, added["cid"].as_str().unwrap()).await;
    assert_eq!((&known["width"], &known["height"], known["blurhash"].is_string()), (&json!(400), &json!(400), true));
    assert!(known.get("thumbnail").is_none(), "{known}");
    let roots: Vec<rustdht_core::ports::Root> =
        futures::TryStreamExt::try_collect(app.node.roots().roots()).await.unwrap();
    assert!(roots.iter().all(|root| root.cid.to_string() == added["cid"].as_str().unwrap()), "{roots:?}");
}

#[tokio::test]
async fn a_bomb_is_stored_and_has_no_preview() {
    let app = App::new().await;
    let bomb = png(10, 10, (60_000, 60_000));
    let answer = app.send(Method::POST, "/api/v1/blobs", &[], bomb.clone()).await;
    assert_eq!(answer.status, 201);
    let cid = answer.json()["cid"].as_str().unwrap().to_owned();
    let known = known(&app, &cid).await;
    assert_eq!(known["previewRefused"]["reason"], "too_many_pixels");
    assert!(known["previewRefused"]["detail"].as_str().unwrap().contains("60000 x 60000"), "{known}");
    assert!(known.get("thumbnail").is_none() && known.get("width").is_none());
    assert!(app.get(&format!("/ipfs/{cid}")).await.body == bomb);
    let cut = png(400, 400, (400, 400));
    let cid = app.send(Method::POST, "/api/v1/blobs", &[], cut[..cut.len() / 2].to_vec()).await.json();
    let known = self::known(&app, cid["cid"].as_str().unwrap()).await;
    assert_eq!(known["previewRefused"]["reason"], "broken");
}

#[tokio::test]
async fn other_files_are_described_too() {
    let app = App::new().await;
    let added = app.send(Method::POST, "/api/v1/blobs", &[], "<html>hello").await.json();
    let known = app.get(&format!("/api/v1/blobs/{}", added["cid"].as_str().unwrap())).await;
    assert_eq!((known.status, &known.json()), (200, &added));
    assert_eq!(added["mime"], "text/html");
    // The type that was said is remembered, as is the hash of a file of several blocks.
    let long = vec![b'x'; 2_000_000];
    let said = [(header::CONTENT_TYPE, "text/x-long")];
    let added = app.send(Method::POST, "/api/v1/blobs", &said, long).await.json();
    let known = app.get(&format!("/api/v1/blobs/{}", added["cid"].as_str().unwrap())).await.json();
    assert_eq!(known, added);
    assert_eq!((&known["mime"], known["sha256"].is_string()), (&json!("text/x-long"), true));
    for (bad, status) in [("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", 404), ("nonsense", 422)] {
        assert_eq!(app.get(&format!("/api/v1/blobs/{bad}")).await.problem().0, status);
    }
}
