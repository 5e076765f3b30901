//! Concatenation: a file that came in parts at the same time.

use axum::http::HeaderMap;
use futures::{StreamExt, TryStreamExt, stream};
use rustdht_core::ports::{AddOptions, NewUpload, UploadId, UploadState};
use rustdht_node::Principal;

use super::{
    expires_ms,
    headers::{CONCAT, text},
    known_by_id,
    note::Note,
    settle, store,
};
use crate::{State, codes::HttpCode, problem::Problem};

/// Most parts of a file; clients open a connection for each.
const MAX_PARTS: usize = 256;

/// What `Upload-Concat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Concat {
    /// Nothing: a file.
    Whole,
    /// A part of a file.
    Partial,
    /// The file that these parts make.
    Final(Vec<UploadId>),
}

impl Concat {
    /// # Errors
    /// `malformed`.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let bad = |detail: String| Problem::malformed(detail).at("upload-concat");
        let list = match text(headers, &CONCAT)? {
            None => return Ok(Self::Whole),
            Some("partial") => return Ok(Self::Partial),
            Some(text) => text.strip_prefix("final;"),
        };
        let list =
            list.ok_or_else(|| bad("Upload-Concat is 'partial', or 'final;' and the uploads of the parts".into()))?;
        let parts = list.split(' ').filter(|part| !part.is_empty()).map(|part| {
            // A URL, whole or from its path on; it ends in the upload's name.
            let name = part.rsplit('/').next().unwrap_or_default();
            name.parse().map_err(|_| bad(format!("'{part}' is no upload")))
        });
        let parts: Vec<UploadId> = parts.collect::<Result<_, _>>()?;
        if parts.is_empty() || parts.len() > MAX_PARTS {
            return Err(bad(format!("a file is made of 1 to {MAX_PARTS} parts")));
        }
        Ok(Self::Final(parts))
    }

    /// The header of a file that is made of these.
    pub(super) fn text(parts: &[UploadId]) -> String {
        let parts: Vec<String> = parts.iter().map(|id| format!("{}{id}", super::PATH)).collect();
        format!("final;{}", parts.join(" "))
    }
}

/// Makes a file of parts that are complete. Their bytes are read again, since chunks do not end where parts do.
pub(super) async fn join(
    state: &State,
    by: Principal,
    id: UploadId,
    parts: &[UploadId],
    note: &Note,
    options: AddOptions,
) -> Result<UploadState, Problem> {
    let _place = state.uploads().take(by)?;
    let mut files = Vec::with_capacity(parts.len());
    let mut length = 0_u64;
    for part in parts {
        let (_, upload, note) = known_by_id(state, *part, by).await?;
        let complete = upload.added.filter(|_| note.partial);
        let file = complete.ok_or_else(|| {
            Problem::new(HttpCode::Conflict, format!("{part} is no part that is complete")).at("upload-concat")
        })?;
        length = length.saturating_add(file.size);
        files.push((file.cid, file.size));
    }
    let uploads = store(state)?;
    let new = NewUpload {
        length: Some(length),
        options,
        expires_ms: expires_ms(state),
        holder: note.by.clone(),
        note: note.to_text()?,
    };
    state.upload_desk().reserve(state.node(), id, by, Some(length), 0).await?;
    let made = async {
        uploads.begin(id, new).await?;
        let blobs = state.node().blobs();
        let _hold = blobs.hold();
        let reader = std::sync::Arc::clone(blobs);
        let body = stream::iter(files).then(move |(cid, size)| {
            let reader = std::sync::Arc::clone(&reader);
            async move { reader.read(&cid, 0..size).await }
        });
        let added = blobs.add(body.try_flatten().boxed(), options).await?;
        settle::keep(state, id, by, note, &added).await?;
        Ok(uploads.state(id).await?)
    };
    match made.await {
        Ok(upload) => Ok(upload),
        Err(problem) => {
            state.upload_desk().forget(id);
            // Where it was not begun, there is none.
            let _ = uploads.end(id).await;
            Err(problem)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn parts_are_named_by_urls() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONCAT, HeaderValue::try_from(text).unwrap());
            Concat::read(&headers)
        };
        assert_eq!(Concat::read(&HeaderMap::new()).unwrap(), Concat::Whole);
        assert_eq!(read("partial").unwrap(), Concat::Partial);
        let (a, b) = (UploadId([0xaa; 16]), UploadId([0xbb; 16]));
        let text = format!("final;/api/v1/uploads/{a} https://node.example/api/v1/uploads/{b}");
        assert_eq!(read(&text).unwrap(), Concat::Final(vec![a, b]));
        assert_eq!(read(&Concat::text(&[a, b])).unwrap(), Concat::Final(vec![a, b]));
        for bad in [
            "",
            "final",
            "final;",
            "final; ",
            "final;/api/v1/uploads/x",
            &format!("final;{}", format!("/{a} ").repeat(257)),
        ] {
            assert_eq!(read(bad).unwrap_err().code(), "malformed", "{bad}");
        }
    }
}
