//! A tree as a multipart form, in the way of Kubo's clients: the name of a part is its path, percent-encoded; folders and
//! symbolic links are parts of types of their own.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{Stream, stream};
use tokio::{fs::File, io::AsyncReadExt as _};

use super::{
    PIECE_BYTES,
    walk::{Item, Kind, Tree},
};
use crate::{client::escape, output::Progress, serve::random};

/// A form under way.
pub(super) struct Form {
    tree: Option<Tree>,
    boundary: String,
    /// The file that is being read.
    file: Option<(File, PathBuf)>,
    progress: Progress,
    failure: Arc<OnceLock<String>>,
}

impl Form {
    /// `failure` gets the error of the file system that ends the form early.
    pub(super) fn new(tree: Tree, progress: Progress, failure: Arc<OnceLock<String>>) -> Self {
        // Nobody who writes a file into the tree can know it beforehand.
        let boundary = random().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { tree: Some(tree), boundary, file: None, progress, failure }
    }

    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// The body.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::unfold(Some(self), |form| async {
            let mut form = form?;
            match form.piece().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(form))),
                Ok(None) => None,
                Err(error) => {
                    let text = format!("{error:#}");
                    // There is one error: the form ends with it.
                    let _ = form.failure.set(text.clone());
                    Some((Err(io::Error::other(text)), None))
                }
            }
        })
    }

    async fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        if let Some((file, at)) = &mut self.file {
            let mut bytes = Vec::with_capacity(PIECE_BYTES);
            let read = file.take(PIECE_BYTES as u64).read_to_end(&mut bytes).await;
            let read = read.with_context(|| format!("cannot read {}", at.display()))?;
            if read > 0 {
                self.progress.advance(read as u64);
                return Ok(Some(bytes.into()));
            }
            self.file = None;
            return Ok(Some(Bytes::from_static(b"\r\n")));
        }
        let Some(mut tree) = self.tree.take() else { return Ok(None) };
        let walking = tokio::task::spawn_blocking(move || {
            let item = tree.next();
            (tree, item)
        });
        let (tree, item) = walking.await?;
        let Some(item) = item? else { return Ok(Some(format!("--{}--\r\n", self.boundary).into())) };
        self.tree = Some(tree);
        let part = self.part(&item);
        if item.kind == Kind::File {
            let file = File::open(&item.at).await.with_context(|| format!("cannot open {}", item.at.display()))?;
            self.file = Some((file, item.at));
        }
        Ok(Some(part.into()))
    }

    /// What stands before the content of a part, and the content where it is short.
    fn part(&self, item: &Item) -> String {
        let (kind, content) = match &item.kind {
            Kind::Folder => ("application/x-directory", Some("")),
            Kind::Symlink(target) => ("application/symlink", Some(target.as_str())),
            Kind::File => ("application/octet-stream", None),
        };
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\nContent-Type: {kind}\r\n\r\n",
            self.boundary,
            escape(&item.name),
        );
        match content {
            Some(content) => format!("{head}{content}\r\n"),
            None => head,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_tree_is_one_form() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("r \u{fc}");
        std::fs::create_dir_all(root.join("empty")).unwrap();
        std::fs::write(root.join("a"), "content").unwrap();
        std::os::unix::fs::symlink("a", root.join("l")).unwrap();
        let form = Form::new(Tree::of(&root, false).await.unwrap(), Progress::bytes(None), Arc::default());
        let boundary = form.boundary.clone();
        assert_eq!((boundary.len(), form.content_type()), (32, format!("multipart/form-data; boundary={boundary}")));
        let body: Vec<Bytes> = form.into_stream().try_collect().await.unwrap();
        let body = String::from_utf8(body.concat())
            .unwrap()
            .replace(&boundary, "b")
            .replace("Content-Disposition: form-data; name=\"file\"; ", "");
        let expected = "--b\r\nfilename=\"r%20%C3%BC\"\r\nContent-Type: application/x-directory\r\n\r\n\r\n\
            --b\r\nfilename=\"r%20%C3%BC%2Fa\"\r\nContent-Type: application/octet-stream\r\n\r\ncontent\r\n\
            --b\r\nfilename=\"r%20%C3%BC%2Fempty\"\r\nContent-Type: application/x-directory\r\n\r\n\r\n\
            --b\r\nfilename=\"r%20%C3%BC%2Fl\"\r\nContent-Type: application/symlink\r\n\r\na\r\n--b--\r\n";
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn a_file_that_goes_away_ends_the_form_in_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "content").unwrap();
        let failure = Arc::default();
        let form = Form::new(Tree::of(dir.path(), false).await.unwrap(), Progress::bytes(None), Arc::clone(&failure));
        let mut body = Box::pin(form.into_stream());
        body.try_next().await.unwrap().unwrap();
        std::fs::remove_file(dir.path().join("a")).unwrap();
        let error = body.try_next().await.unwrap_err();
        assert!(error.to_string().contains("cannot read "), "{error}");
        assert_eq!(failure.get(), Some(&error.to_string()));
    }
}
