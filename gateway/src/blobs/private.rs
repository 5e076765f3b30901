//! Adding a file as ciphertext under a key of its own.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use futures::StreamExt;
use rustdht_core::ports::{AddOptions, BoxByteStream};
use rustdht_node::{FileKey, PrivateLink, encrypted};

use super::{Pieces, cut, fault, first_file, told};
use crate::{
    State, body, limits, mime,
    multipart::{self, Form},
    problem::Problem,
    schema,
};

/// What was made of a body.
pub(super) struct Sealed {
    pub(super) link: PrivateLink,
    /// Bytes of the plaintext.
    size: u64,
    /// Bytes of the ciphertext.
    stored: u64,
}

impl Sealed {
    /// As it is answered: with the key.
    pub(super) fn print(&self) -> schema::PrivateBlob {
        schema::PrivateBlob {
            cid: self.link.cid.to_string(),
            size: self.size,
            stored: self.stored,
            mime: self.link.media.clone().unwrap_or_else(|| mime::UNKNOWN.to_owned()),
            key: self.link.key.to_text(),
            link: self.link.to_text(),
        }
    }
}

/// The first bytes and the length of a stream that was read.
#[derive(Debug, Default)]
struct Seen {
    head: Vec<u8>,
    bytes: u64,
}

fn noting(pieces: BoxByteStream, seen: Arc<Mutex<Seen>>) -> BoxByteStream {
    let noted = pieces.inspect(move |piece| {
        if let Ok(piece) = piece {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let missing = limits::SNIFF_BYTES.saturating_sub(seen.head.len()).min(piece.len());
            seen.head.extend_from_slice(&piece[..missing]);
            seen.bytes += piece.len() as u64;
        }
    });
    noted.boxed()
}

/// Stores the ciphertext of a file: the body, or the first file of a form, whatever its type. Durable when it returns.
///
/// # Errors
/// As of any upload.
pub(super) async fn store(
    state: &State,
    options: AddOptions,
    headers: &HeaderMap,
    pieces: Pieces,
) -> Result<Sealed, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let (name, said, plaintext) = match body::media_type(headers).as_str() {
        "multipart/form-data" => {
            let boundary = multipart::boundary(content_type)
                .ok_or_else(|| Problem::malformed("a multipart form without a boundary in its Content-Type"))?;
            let (head, content, _) = first_file(Form::new(pieces, &boundary)).await?;
            let plaintext = content.into_stream().map(|piece| piece.map_err(fault)).boxed();
            let name = head.file_name.as_deref().and_then(|name| name.rsplit('/').next()).map(str::to_owned);
            (name, head.content_type, plaintext)
        }
        _ => (None, Some(content_type.to_owned()), pieces.map(|piece| piece.map_err(cut)).boxed()),
    };
    let key = FileKey::generate(state.entropy());
    let seen = Arc::<Mutex<Seen>>::default();
    let ciphertext = encrypted(noting(plaintext, Arc::clone(&seen)), &key, state.entropy()).boxed();
    let added = state.node().blobs().add(ciphertext, options).await?;
    let Seen { head, bytes } = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    let media = told(said).unwrap_or_else(|| mime::sniff(&head).to_owned());
    let link = PrivateLink::new(added.cid, key).described(Some(&media), name.as_deref());
    Ok(Sealed { link, size: bytes, stored: added.size })
}
