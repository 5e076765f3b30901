//! What is known of a file, by its CID or by the SHA-256 of its bytes, as other protocols name it (`digestMultibase` of
//! ActivityPub attachments).

use axum::{Json, extract::State as Shared, http::Uri};
use cid::{
    Cid,
    multibase::{self, Base},
    multihash::Multihash,
};
use futures::StreamExt;
use rustdht_core::{Code, Refusal};
use rustdht_node::PinFault;

use crate::{State, auth::Reader, limits, mime, previews, problem::Problem, query, schema};

/// Multicodec `sha2-256`.
const SHA2_256: u64 = 0x12;
/// Multicodec `raw`.
const RAW: u64 = 0x55;

/// Find out about a file.
///
/// By its CID, or by the SHA-256 of its bytes among those that were added here, whatever their blocks are hashed with. Of
/// an image (JPEG, PNG, GIF, WebP) that is here also its size in pixels, a blurhash and a thumbnail, or why it has none.
#[utoipa::path(
    get, path = "/api/v1/blobs/{digest}", tag = "blobs",
    params(("digest" = String, Path, description = "A CID, a SHA-256 as a multihash in any multibase (`digestMultibase`), or as 64 hex digits")),
    responses(
        (status = 200, description = "The file", body = schema::Blob),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_blob(Shared(state): Shared<State>, _: Reader, uri: Uri) -> Result<Json<schema::Blob>, Problem> {
    let text = query::segment(&uri, "/api/v1/blobs/", 0, "digest")?;
    let blobs = state.node().blobs();
    let (cid, mut sha256) = match parse(&text) {
        Some(sha256) => {
            let cid = blobs.by_digest(&sha256).await?;
            let cid = cid.ok_or_else(|| Problem::not_found("no file with this SHA-256 was added here"))?;
            (cid, Some(sha256))
        }
        None => {
            let cid = Some(&text)
                .filter(|text| text.len() <= MAX_TEXT_BYTES)
                .and_then(|text| Cid::try_from(text.as_str()).ok());
            let bad = || Refusal::new(Code::BadValue, "neither a CID nor a SHA-256 as multibase or hex");
            (cid.ok_or_else(|| Problem::from(bad()).at("digest"))?, None)
        }
    };
    if let Some(denied) = state.node().denylist().denied_cid(&cid) {
        return Err(PinFault::Denied { list: denied.list }.into());
    }
    if !blobs.has(&cid).await? {
        return Err(Problem::not_found(format!("{cid} is not here; /ipfs/{cid} looks elsewhere too")));
    }
    let size = blobs.stat(&cid).await?.size;
    let head = async {
        let mut bytes = blobs.read(&cid, 0..size.min(limits::SNIFF_BYTES as u64)).await?;
        bytes.next().await.transpose()
    };
    // Of a file whose first block is missing the type is not worth a long wait.
    let head = tokio::time::timeout(limits::SNIFF_WAIT, head).await.unwrap_or(Ok(None))?.unwrap_or_default();
    let known = previews::known(&state, &cid, &head).await;
    if cid.codec() == RAW && cid.hash().code() == SHA2_256 {
        sha256 = sha256.or_else(|| cid.hash().digest().try_into().ok());
    }
    sha256 = sha256.or(known.0.sha256);
    let mut blob = schema::Blob {
        cid: cid.to_string(),
        size,
        mime: known.0.mime.clone().unwrap_or_else(|| mime::sniff(&head).to_owned()),
        digest_multibase: sha256.as_ref().and_then(multibase_of),
        sha256: sha256.as_ref().map(hex_of),
        image: None,
        preview_refused: None,
    };
    known.show(&mut blob);
    Ok(Json(blob))
}

/// A SHA-256 in hex.
pub(super) fn hex_of(sha256: &[u8; 32]) -> String {
    Base::Base16Lower.encode(sha256)
}

/// A SHA-256 as a multihash in base58btc.
pub(super) fn multibase_of(sha256: &[u8; 32]) -> Option<String> {
    let hash = Multihash::<64>::wrap(SHA2_256, sha256).ok()?;
    Some(multibase::encode(multibase::Base::Base58Btc, hash.to_bytes()))
}

/// A letter of a base and 34 bytes are at most 36 x 8 digits; base58 is decoded in the square of its length.
const MAX_TEXT_BYTES: usize = 300;

fn parse(text: &str) -> Option<[u8; 32]> {
    if text.len() > MAX_TEXT_BYTES {
        return None;
    }
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let mut out = [0; 32];
        for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        return Some(out);
    }
    let (_, bytes) = multibase::decode(text).ok()?;
    let hash = Multihash::<64>::from_bytes(&bytes).ok()?;
    (hash.code() == SHA2_256).then(|| hash.digest().try_into().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_in_every_base() {
        // SHA-256 of "hello world", as FIPS 180-4 tools print it.
        let hex = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        let sha256 = parse(hex).unwrap();
        let text = multibase_of(&sha256).unwrap();
        assert_eq!(text, "zQmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L4");
        assert_eq!(parse(&text), Some(sha256));
        assert_eq!(parse(&hex.to_uppercase()), Some(sha256));
        assert_eq!(parse(&format!("f1220{hex}")), Some(sha256));
        for bad in
            ["", "z", &hex[..62], &format!("f1114{}", &hex[..40]), &format!("f1220{}", &hex[..60]), &"z".repeat(400)]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
