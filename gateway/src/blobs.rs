//! Adding files, directories and archives.

mod digest;
mod private;
mod tree;

use std::sync::{Arc, OnceLock};

use axum::{
    Json,
    body::Body,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use futures::{StreamExt, stream::BoxStream};
use rustdht_core::ports::{AddHash, AddOptions, AddProfile, Added, BlobError, DagKind, Fetch};
use rustdht_node::{Principal, PrivateLink};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::Writer,
    body, limits, mime,
    multipart::{self, Content, Fault, Form, Head, Lender},
    pins::{self, Allowance},
    previews,
    problem::Problem,
    query,
    routes::measured,
    schema,
};

/// The media type of an archive (IANA).
const CAR: &str = "application/vnd.ipld.car";
/// What a directory is called where files have a media type (shared-mime-info).
const DIRECTORY: &str = "inode/directory";
const SYMLINK: &str = "inode/symlink";

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(post_blob))).routes(measured(routes!(digest::get_blob)))
}

/// How a file becomes a DAG.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub(crate) enum ProfileParam {
    /// 1 MiB chunks, 1,024 links per node, raw leaves, CIDv1; a directory is sharded when its block would be above 256 KiB.
    #[serde(rename = "unixfs-v1-2025")]
    UnixfsV1,
    /// 256 KiB chunks, 174 links per node, raw leaves, CIDv1; a directory is sharded when names and CIDs are above 256 KiB.
    #[serde(rename = "legacy")]
    Legacy,
}

/// What blocks are hashed with.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub(crate) enum HashParam {
    /// SHA-256.
    #[serde(rename = "sha2-256")]
    Sha2,
    /// BLAKE3 with 32 bytes.
    #[serde(rename = "blake3")]
    Blake3,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AddQuery {
    /// How a file becomes a DAG, and so its CID; absent `unixfs-v1-2025`.
    #[param(inline)]
    profile: Option<ProfileParam>,
    /// What blocks are hashed with; absent `sha2-256`.
    #[param(inline)]
    hash: Option<HashParam>,
    /// A form becomes a directory that holds all of its files by name.
    #[serde(default)]
    directory: bool,
    /// Encrypted before it is stored, under a key that is answered and not kept. One file, of whatever type.
    #[serde(default)]
    private: bool,
    /// `false`: it is not pinned, and kept for a day.
    pin: Option<bool>,
}

impl AddQuery {
    fn options(&self) -> AddOptions {
        options_of(self.profile, self.hash)
    }
}

/// How a file becomes a DAG, by what a query says of it.
pub(crate) const fn options_of(profile: Option<ProfileParam>, hash: Option<HashParam>) -> AddOptions {
    AddOptions {
        profile: match profile {
            None | Some(ProfileParam::UnixfsV1) => AddProfile::UnixfsV1,
            Some(ProfileParam::Legacy) => AddProfile::Legacy,
        },
        hash: match hash {
            None | Some(HashParam::Sha2) => AddHash::Sha2,
            Some(HashParam::Blake3) => AddHash::Blake3,
        },
    }
}

/// The answer: the root in its header, and what was added.
type Created = (StatusCode, [(HeaderName, HeaderValue); 1], Json<schema::Stored>);

/// Add a file, a directory or an archive.
///
/// Of any size, durable once answered; a body that breaks off, comes slower than 1 KiB per second or takes an account
/// longer than 24 hours leaves nothing that anything refers to (uploads in parts keep what came; a folder or an archive is to
/// be split). What was added is pinned for the caller, unless `?pin=false`. Needs scope `write`.
///
/// - A raw body is a file. So is the first file of a multipart form whose name holds no path.
/// - A form whose first file is named by a path, or with `?directory=true`, is a directory. Names are percent-encoded
///   paths; `application/x-directory` is a directory, perhaps empty, `application/symlink` a symbolic link whose target
///   is the content, as Kubo's clients send them. What all names begin with is the root; with `?directory=true`,
///   a directory around it.
/// - `application/vnd.ipld.car` is a CAR, version 1 or 2. Each block is checked against its CID.
/// - With `?private=true` the file is encrypted here under a new key (docs/spec/private-blobs.md); the CID is that of the
///   ciphertext, and the answer holds key and link, which nobody can have again. A client that trusts no gateway encrypts by
///   itself, as `rustdht add --private` does.
#[utoipa::path(
    post, path = "/api/v1/blobs", tag = "blobs",
    params(AddQuery),
    request_body(content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "multipart/form-data"), (Vec<u8> = "application/vnd.ipld.car")), description = "The bytes"),
    responses(
        (status = 201, description = "The root of what was added, or the roots of an archive", body = schema::Stored, headers(("Location" = String, description = "`/ipfs/{cid}`"))),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_blob(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Created, Problem> {
    let by = caller.may_add()?;
    let query: AddQuery = query::parse(request.uri())?;
    let stored = take(&state, by, &query, query.private, request).await?.print();
    let root = match &stored {
        schema::Stored::Blob(blob) => Some(&blob.cid),
        schema::Stored::Archive(archive) => archive.roots.first(),
        schema::Stored::Private(blob) => Some(&blob.cid),
    };
    let location = root.map_or_else(|| "/ipfs/".to_owned(), |root| format!("/ipfs/{root}"));
    let location = HeaderValue::try_from(location).map_err(|_| Problem::unavailable("the CID fits no header"))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(stored)))
}

/// Adds a file as ciphertext, whatever the query says of that; its link, with the key.
///
/// # Errors
/// As of any upload.
pub(crate) async fn add_private(state: &State, by: Principal, request: Request) -> Result<PrivateLink, Problem> {
    let query: AddQuery = query::parse(request.uri())?;
    match take(state, by, &query, true, request).await? {
        Made::Sealed(sealed) => Ok(sealed.link),
        Made::Open(..) => Err(Problem::unavailable("the file was not encrypted")),
    }
}

/// What was made of a body.
enum Made {
    Open(Box<(schema::Stored, Option<File>)>),
    Sealed(private::Sealed),
}

impl Made {
    fn print(self) -> schema::Stored {
        match self {
            Self::Open(open) => open.0,
            Self::Sealed(sealed) => schema::Stored::Private(sealed.print()),
        }
    }
}

/// Stores a body and keeps what came of it, as far as there is room.
async fn take(
    state: &State,
    by: Principal,
    query: &AddQuery,
    private: bool,
    request: Request,
) -> Result<Made, Problem> {
    let (parts, body) = request.into_parts();
    let _place = match state.uploads().take(by) {
        Ok(place) => place,
        Err(problem) => {
            pins::discard_body(&parts.headers, body).await;
            return Err(problem);
        }
    };
    let (allowance, body) = Allowance::new(state, by, &parts.headers, body).await?;
    let (pieces, late) = noting_a_late_one(body, by);
    // From the first block on, which is written while the body comes, until a root is known that leads to it. Collections wait
    // for that, so the body has to come to its end (`limits::MAX_ADD_TIME`).
    let _hold = state.node().blobs().hold();
    let pieces = allowance.count(pieces).boxed();
    let made = if private {
        private::store(state, query.options(), &parts.headers, pieces).await.map(Made::Sealed)
    } else {
        store(state, query, &parts.headers, pieces).await.map(|open| Made::Open(Box::new(open)))
    };
    let mut made = made.map_err(|problem| allowance.over().or_else(|| late.get().cloned()).unwrap_or(problem))?;
    let pin = query.pin.unwrap_or(true);
    match &mut made {
        Made::Open(open) => {
            let (stored, file) = &mut **open;
            allowance.keep(state, stored, pin).await?;
            if let (schema::Stored::Blob(blob), Some(File { added, said })) = (stored, file) {
                previews::uploaded(state, added, said.as_deref()).await.show(blob);
            }
        }
        Made::Sealed(sealed) => allowance.keep(state, &schema::Stored::Private(sealed.print()), pin).await?,
    }
    Ok(made)
}

/// The pieces of a body.
type Pieces = BoxStream<'static, body::Piece>;

/// The pieces of a body, and why they ended early, where they came too slowly: neither the form's reader nor the block
/// store hands that on.
fn noting_a_late_one(body: Body, by: Principal) -> (Pieces, Arc<OnceLock<Problem>>) {
    let late = Arc::new(OnceLock::new());
    let seen = Arc::clone(&late);
    // Whoever runs the gateway may make its collections wait.
    let longest = (by != Principal::Owner).then_some(limits::MAX_ADD_TIME);
    let pieces = body::pieces_within(body, longest).inspect(move |piece| {
        if let Err(error) = piece
            && body::is_late(error)
        {
            // The first one is the last.
            let _ = seen.set(body::broken(error));
        }
    });
    (pieces.boxed(), late)
}

/// Stores what the pieces hold.
async fn store(
    state: &State,
    query: &AddQuery,
    headers: &HeaderMap,
    pieces: Pieces,
) -> Result<(schema::Stored, Option<File>), Problem> {
    let blobs = state.node().blobs();
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let file = |bytes: Pieces| bytes.map(|piece| piece.map_err(cut)).boxed();
    match body::media_type(headers).as_str() {
        CAR => {
            let imported = blobs.import_car(file(pieces)).await.map_err(refused)?;
            let archive = schema::Archive {
                roots: imported.roots.iter().map(ToString::to_string).collect(),
                blocks: imported.blocks,
                bytes: imported.bytes,
            };
            Ok((schema::Stored::Archive(archive), None))
        }
        "multipart/form-data" => {
            let boundary = multipart::boundary(content_type)
                .ok_or_else(|| Problem::malformed("a multipart form without a boundary in its Content-Type"))?;
            let (head, content, rest) = first_file(Form::new(pieces, &boundary)).await?;
            if query.directory || tree::is_one(&head) {
                let items = tree::items(head, content, rest, query.directory);
                let added = blobs.add_tree(items, query.options()).await?;
                let kind = blobs.resolve(&added.cid, &[], Fetch::LocalOnly).await.map(|root| root.kind);
                let said = match kind {
                    Ok(DagKind::Directory { .. }) => Some(DIRECTORY.to_owned()),
                    Ok(DagKind::Symlink) => Some(SYMLINK.to_owned()),
                    _ => None,
                };
                return Ok((schema::Stored::Blob(describe(&added, said)), None));
            }
            let bytes = content.into_stream().map(|piece| piece.map_err(fault)).boxed();
            Ok(file_of(blobs.add(bytes, query.options()).await?, head.content_type))
        }
        _ => {
            let added = blobs.add(file(pieces), query.options()).await?;
            Ok(file_of(added, Some(content_type.to_owned())))
        }
    }
}

fn cut(error: impl std::fmt::Display) -> BlobError {
    BlobError::Body(error.to_string())
}

fn fault(fault: Fault) -> BlobError {
    cut(fault)
}

/// What an archive holds is the client's: a block that is not what its CID says is no damage here.
fn refused(error: BlobError) -> Problem {
    match error {
        BlobError::BadBlock(_) => Problem::malformed(error.to_string()),
        other => other.into(),
    }
}

/// The media type that a client said. What curl and forms say when nobody said anything tells nothing about the bytes.
fn told(said: Option<String>) -> Option<String> {
    said.filter(|said| mime::tells(said))
}

/// A file that was added, and what its client said of its type.
struct File {
    added: Added,
    said: Option<String>,
}

fn file_of(added: Added, said: Option<String>) -> (schema::Stored, Option<File>) {
    (schema::Stored::Blob(describe(&added, said.clone())), Some(File { added, said }))
}

fn describe(added: &Added, said: Option<String>) -> schema::Blob {
    let mime = told(said).unwrap_or_else(|| mime::sniff(&added.head).to_owned());
    schema::Blob {
        cid: added.cid.to_string(),
        size: added.size,
        mime,
        digest_multibase: added.sha256.as_ref().and_then(digest::multibase_of),
        sha256: added.sha256.as_ref().map(digest::hex_of),
        image: None,
        preview_refused: None,
    }
}

/// The first part of a form that is a file, and what comes behind it.
async fn first_file(form: Form) -> Result<(Head, Content, Lender), Problem> {
    let mut lender = Lender::Here(Box::new(form));
    while let Some((head, content, next)) = lender.next().await.map_err(|fault| match fault {
        Fault::Body(error) => body::broken(&error),
        Fault::Form(_) => Problem::malformed(fault.to_string()),
    })? {
        if head.file_name.is_some() {
            return Ok((head, content, next));
        }
        drop(content);
        lender = next;
    }
    Err(Problem::malformed("the form holds no file"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cid::Cid;
    use futures::stream;
    use rustdht_core::PublicKey;

    use super::*;

    const BY: Principal = Principal::Account(PublicKey([1; 32]));

    fn form(text: &'static str) -> Form {
        Form::new(body::pieces(Body::from(text)).boxed(), "b")
    }

    #[tokio::test]
    async fn the_first_file_of_a_form() {
        let text = "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/x-a\r\n\r\nbytes\r\n--b--\r\n";
        let (head, content, _) = first_file(form(text)).await.unwrap();
        assert_eq!(head.content_type.unwrap(), "text/x-a");
        assert_eq!(content.whole(100).await.unwrap().unwrap(), "bytes");
        assert_eq!(first_file(form("--b--\r\n")).await.err().unwrap().code(), "malformed");
        assert_eq!(first_file(form("no form")).await.err().unwrap().code(), "malformed");
    }

    #[tokio::test]
    async fn a_form_that_breaks_off_is_an_error() {
        let text = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nbyt";
        let (_, content, _) = first_file(form(text)).await.unwrap();
        assert!(content.whole(100).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_told_from_a_cut() {
        let begun = || stream::iter([Ok::<_, std::io::Error>("--b\r\nContent-")]);
        let (pieces, late) = noting_a_late_one(Body::from_stream(begun().chain(stream::pending())), BY);
        assert_eq!(first_file(Form::new(pieces, "b")).await.err().unwrap().code(), "body_timeout");
        assert_eq!(late.get().unwrap().code(), "body_timeout");
        let cut = stream::iter([Err(std::io::ErrorKind::ConnectionReset.into())]);
        let (pieces, late) = noting_a_late_one(Body::from_stream(begun().chain(cut)), BY);
        assert_eq!(first_file(Form::new(pieces, "b")).await.err().unwrap().code(), "body_incomplete");
        assert!(late.get().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_add_of_an_account_has_an_end_and_the_owners_has_none() {
        for (by, ends) in [(BY, true), (Principal::Owner, false)] {
            let body = Body::from_stream(stream::repeat(Bytes::from_static(b"x")).take(100).map(std::io::Result::Ok));
            let (pieces, late) = noting_a_late_one(body, by);
            pieces.for_each(|_| tokio::time::sleep(limits::MAX_ADD_TIME / 24)).await;
            assert_eq!(late.get().is_some(), ends, "{by:?}");
        }
    }

    #[test]
    fn the_type_is_what_was_said_or_what_the_bytes_tell() {
        let cid: Cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
        let added = Added { cid, size: 3, head: Bytes::from_static(b"abc"), sha256: Some([7; 32]) };
        assert_eq!(describe(&added, Some("image/x-odd".into())).mime, "image/x-odd");
        for nothing in [None, Some(""), Some("application/octet-stream"), Some("application/x-www-form-urlencoded")] {
            assert_eq!(describe(&added, nothing.map(str::to_owned)).mime, "text/plain; charset=utf-8");
        }
        // SHA-256 in base58btc begins like a CID of version 0, behind the letter of its base.
        assert!(describe(&added, None).digest_multibase.unwrap().starts_with("zQm"));
    }
}
