//! Forms with files (RFC 7578, over RFC 2046 section 5.1) as a stream: of a form of any size about one piece of the body
//! is held, and only as fast as somebody reads.

mod head;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::BoxStream};
use memchr::memmem::Finder;
use tokio::sync::oneshot;

pub(crate) use self::head::{Head, boundary};

/// Longest head of a part in bytes: names of the longest paths, each byte of them escaped, fit in.
const MAX_HEAD_BYTES: usize = 256 << 10;

/// Why a form could not be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The body broke off, or paused for too long.
    #[error("{0}")]
    Body(#[from] std::io::Error),
    /// The body is whole and still no form.
    #[error("not a multipart form: {0}")]
    Form(String),
}

fn bad<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Form(why.into()))
}

/// A form that is being read.
pub(crate) struct Form {
    /// Fused: a body may not be asked again after its end.
    pieces: futures::stream::Fuse<BoxStream<'static, Result<Bytes, std::io::Error>>>,
    buffer: BytesMut,
    /// A line break, two dashes, and the boundary: what a part ends with.
    delimiter: Finder<'static>,
    ended: bool,
}

impl Form {
    pub(crate) fn new(pieces: BoxStream<'static, Result<Bytes, std::io::Error>>, boundary: &str) -> Self {
        let delimiter = Finder::new(&format!("\r\n--{boundary}")).into_owned();
        // So that the first boundary too stands behind a line break.
        Self { pieces: pieces.fuse(), buffer: BytesMut::from("\r\n"), delimiter, ended: false }
    }

    async fn more(&mut self) -> Result<(), Fault> {
        match self.pieces.next().await {
            Some(piece) => {
                self.buffer.extend_from_slice(&piece?);
                Ok(())
            }
            None => bad("it ends before its last boundary"),
        }
    }

    /// The next part, what is left of the one before skipped; `None` behind the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Head>, Fault> {
        if self.ended {
            return Ok(None);
        }
        while self.content().await?.is_some() {}
        let skipped = self.delimiter.needle().len();
        let _ = self.buffer.split_to(skipped);
        while self.buffer.len() < 2 {
            self.more().await?;
        }
        if self.buffer.starts_with(b"--") {
            self.ended = true;
            return Ok(None);
        }
        // The head with the line break behind the boundary, before which there may be white space.
        let head = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break self.buffer.split_to(end + 4);
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return bad(format!("the head of a part has more than {MAX_HEAD_BYTES} bytes"));
            }
            self.more().await?;
        };
        let head = Head::parse(&head).map_err(Fault::Form)?;
        Ok(Some(head))
    }

    /// The next bytes of the part; `None` at its end.
    async fn content(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let len = match self.delimiter.find(&self.buffer) {
                Some(0) => return Ok(None),
                Some(at) => at,
                // A boundary may have begun at the end.
                None => (self.buffer.len() + 1).saturating_sub(self.delimiter.needle().len()),
            };
            if len > 0 {
                return Ok(Some(self.buffer.split_to(len).freeze()));
            }
            self.more().await?;
        }
    }
}

/// A form whose parts are lent out, one after the other.
pub(crate) enum Lender {
    Here(Box<Form>),
    Lent(oneshot::Receiver<Box<Form>>),
}

impl Lender {
    /// The next part and its bytes. The bytes of the part before are dropped by then, or the form is at its end.
    pub(crate) async fn next(self) -> Result<Option<(Head, Content, Self)>, Fault> {
        let mut form = match self {
            Self::Here(form) => form,
            Self::Lent(back) => match back.await {
                Ok(form) => form,
                Err(_) => return Ok(None),
            },
        };
        let Some(head) = form.next().await? else { return Ok(None) };
        let (back, lent) = oneshot::channel();
        Ok(Some((head, Content { form: Some(form), back: Some(back) }, Self::Lent(lent))))
    }
}

/// The bytes of one part. Gives the form back when it is dropped, wherever in the part that is.
pub(crate) struct Content {
    form: Option<Box<Form>>,
    back: Option<oneshot::Sender<Box<Form>>>,
}

impl Content {
    /// The next bytes.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        match &mut self.form {
            Some(form) => form.content().await,
            None => Ok(None),
        }
    }

    /// All of them, as long as they are not more than `limit`.
    pub(crate) async fn whole(mut self, limit: usize) -> Result<Option<Bytes>, Fault> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if whole.len() + piece.len() > limit {
                return Ok(None);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Some(whole.freeze()))
    }

    /// As a stream that ends after the first error.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes, Fault>> {
        futures::stream::unfold(Some(self), |content| async {
            let mut content = content?;
            match content.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(content))),
                Ok(None) => None,
                Err(fault) => Some((Err(fault), None)),
            }
        })
        .boxed()
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if let (Some(form), Some(back)) = (self.form.take(), self.back.take()) {
            // Nobody waits for it when the request has ended.
            let _ = back.send(form);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn form(text: &[u8], piece: usize, boundary: &str) -> Form {
        let pieces: Vec<_> = text.chunks(piece).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        Form::new(stream::iter(pieces).boxed(), boundary)
    }

    async fn read(mut form: Form) -> Result<Vec<(Option<String>, Bytes)>, Fault> {
        let mut parts = Vec::new();
        while let Some(head) = form.next().await? {
            let mut whole = BytesMut::new();
            while let Some(piece) = form.content().await? {
                whole.extend_from_slice(&piece);
            }
            parts.push((head.file_name, whole.freeze()));
        }
        Ok(parts)
    }

    const FORM: &[u8] = b"preamble\r\n--b\r\nContent-Disposition: form-data; name=a; filename=\"x\"\r\n\r\n\r\n--not it\r\n--\r\n--b \r\n\
        content-disposition: form-data; name=\"c\"\r\n\r\n\r\n--b\r\nContent-Disposition: form-data; filename=\"z\"\r\nX: y\r\n\r\nlast\r\n--b--\r\nepilogue";

    #[tokio::test]
    async fn a_form_is_the_same_in_pieces_of_any_size() {
        for piece in 1..FORM.len() {
            let parts = read(form(FORM, piece, "b")).await.unwrap();
            let named = |name: &str| Some(name.to_owned());
            let expected =
                [(named("x"), "\r\n--not it\r\n--".into()), (None, Bytes::new()), (named("z"), "last".into())];
            assert_eq!(parts, expected, "{piece}");
        }
    }

    #[tokio::test]
    async fn a_form_cut_anywhere_is_an_error() {
        let end = FORM.len() - "\r\nepilogue".len();
        for len in 0..end {
            assert!(read(form(&FORM[..len], 7, "b")).await.is_err(), "{len}");
        }
        assert!(read(form(&FORM[..end], 7, "b")).await.is_ok());
    }

    #[tokio::test]
    async fn a_head_is_bounded() {
        let text = format!("--b\r\nX: {}", "x".repeat(MAX_HEAD_BYTES + 100));
        let fault = read(form(text.as_bytes(), 1000, "b")).await.unwrap_err().to_string();
        assert!(fault.contains("the head of a part has more than 262144 bytes"), "{fault}");
    }

    #[tokio::test]
    async fn parts_are_lent_and_come_back_unread() {
        let mut lender = Lender::Here(Box::new(form(FORM, 5, "b")));
        let mut names = Vec::new();
        while let Some((head, mut content, next)) = lender.next().await.unwrap() {
            content.next().await.unwrap();
            names.push(head.file_name);
            drop(content);
            lender = next;
        }
        assert_eq!(names, [Some("x".into()), None, Some("z".into())]);
        let (_, content, _) = Lender::Here(Box::new(form(FORM, 5, "b"))).next().await.unwrap().unwrap();
        assert_eq!(content.whole(5).await.unwrap(), None);
    }

    #[tokio::test]
    async fn only_as_much_is_read_as_is_asked_for() {
        let pieces = stream::iter((0..100).map(|_| Ok(Bytes::from_static(&[b'x'; 1000]))));
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let seen = std::sync::Arc::clone(&taken);
        let pieces = pieces.inspect(move |_| {
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        let head = Bytes::from_static(b"--b\r\nContent-Disposition: form-data; filename=x\r\n\r\n");
        let mut form = Form::new(stream::iter([Ok(head)]).chain(pieces).boxed(), "b");
        form.next().await.unwrap();
        for _ in 0..10 {
            form.content().await.unwrap();
        }
        assert!(taken.load(std::sync::atomic::Ordering::Relaxed) <= 11);
    }
}
