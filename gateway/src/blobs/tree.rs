//! A directory out of a form, as Kubo's clients send one.

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use percent_encoding::percent_decode_str;
use rustdht_core::ports::{BlobError, TreeContent, TreeItem};

use super::fault;
use crate::multipart::{Content, Head, Lender};

/// The type of a part that is a directory.
const DIRECTORY: &str = "application/x-directory";
/// The type of a part whose content is the target of a symbolic link.
const SYMLINK: &str = "application/symlink";
/// Longest target in bytes, as file systems bound it.
const MAX_TARGET_BYTES: usize = 4096;

/// Whether a form that begins like this is a directory.
pub(super) fn is_one(head: &Head) -> bool {
    let path = head.file_name.as_deref().map(decoded).unwrap_or_default();
    path.contains('/') || [DIRECTORY, SYMLINK].contains(&kind(head))
}

fn kind(head: &Head) -> &str {
    head.content_type.as_deref().unwrap_or("").split(';').next().unwrap_or("").trim()
}

fn decoded(name: &str) -> String {
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

struct Parts {
    /// The part that is due, and the form behind it.
    next: Option<(Head, Content)>,
    rest: Option<Lender>,
    /// The root holds the names; else they all begin with the name that the root had.
    around: bool,
    root: Option<String>,
}

/// The items of a form whose first part was read already.
pub(super) fn items(
    head: Head,
    content: Content,
    rest: Lender,
    around: bool,
) -> BoxStream<'static, Result<TreeItem, BlobError>> {
    let parts = Parts { next: Some((head, content)), rest: Some(rest), around, root: None };
    stream::unfold(Some(parts), |parts| async {
        let mut parts = parts?;
        match parts.item().await {
            Ok(Some(item)) => Some((Ok(item), Some(parts))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

impl Parts {
    async fn item(&mut self) -> Result<Option<TreeItem>, BlobError> {
        loop {
            let (head, content) = match self.next.take() {
                Some(next) => next,
                None => {
                    let Some(rest) = self.rest.take() else { return Ok(None) };
                    let Some((head, content, rest)) = rest.next().await.map_err(fault)? else { return Ok(None) };
                    self.rest = Some(rest);
                    (head, content)
                }
            };
            // A field that is no file, or an input of a page in which none was chosen.
            let Some(name) = head.file_name.as_deref().filter(|name| !name.is_empty()) else { continue };
            let path = self.path(&decoded(name))?;
            let content = match kind(&head) {
                DIRECTORY => TreeContent::Directory,
                SYMLINK => {
                    let target = content.whole(MAX_TARGET_BYTES).await.map_err(fault)?.ok_or_else(|| {
                        BlobError::Bounded(format!("a symbolic link of more than {MAX_TARGET_BYTES} bytes"))
                    })?;
                    let target = String::from_utf8(target.into());
                    TreeContent::Symlink(
                        target.map_err(|_| BlobError::BadName(format!("the target of {name:?} is not UTF-8")))?,
                    )
                }
                _ => TreeContent::File(content.into_stream().map(|piece| piece.map_err(fault)).boxed()),
            };
            return Ok(Some(TreeItem { path, content }));
        }
    }

    /// The segments of a path below the root. Segments that are no names are refused by whoever adds them.
    fn path(&mut self, name: &str) -> Result<Vec<String>, BlobError> {
        let mut path: Vec<String> = name.split('/').map(str::to_owned).collect();
        if self.around {
            return Ok(path);
        }
        let top = path.remove(0);
        if matches!(top.as_str(), "" | "." | "..") {
            return Err(BlobError::BadName(format!("{name:?} does not begin with the name of an entry")));
        }
        match &self.root {
            Some(root) if *root != top => Err(BlobError::BadName(format!(
                "{name:?} is not below \"{root}\" as the first one is: ask with ?directory=true for a directory around them"
            ))),
            _ => {
                self.root = Some(top);
                Ok(path)
            }
        }
    }
}
