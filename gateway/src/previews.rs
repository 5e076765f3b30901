//! What is known of a file beside its bytes: media type, SHA-256, and of an image its size, blurhash and thumbnail.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use cid::Cid;
use rustdht_core::ports::{Added, Preview, PreviewError, Previews};
use rustdht_node::BlobNote;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{State, mime, schema};

/// How long an answer waits for a preview; most take some 10 to 100 ms. What comes later is shown by the next question.
const WAIT: Duration = Duration::from_millis(800);
/// Images that wait to be decoded. Those beyond are looked at when somebody asks for them.
const MAX_WAITING: usize = 64;
/// What has previews.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
/// Multicodec `sha2-256`.
const SHA2_256: u64 = 0x12;
/// Multicodec `raw`.
const RAW: u64 = 0x55;

/// The previews of one gateway.
#[derive(Default)]
pub(crate) struct Desk {
    previews: OnceLock<Arc<dyn Previews>>,
    tasks: TaskTracker,
    /// Images that are being decoded; who waits for one hears when it is done.
    under_way: Mutex<HashMap<Cid, watch::Receiver<()>>>,
}

impl Desk {
    pub(crate) fn bind(&self, previews: Arc<dyn Previews>) {
        let _ = self.previews.set(previews);
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Cid, watch::Receiver<()>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a file.
pub(crate) struct Known(pub(crate) BlobNote);

impl Known {
    /// Puts what an image looks like, or why that is not known, into an answer.
    pub(crate) fn show(self, blob: &mut schema::Blob) {
        match self.0.preview {
            None => {}
            Some(Ok(preview)) => {
                let thumbnail = preview.thumbnail.map(|small| schema::Thumbnail {
                    cid: small.cid.to_string(),
                    size: small.size,
                    mime: small.mime,
                    width: small.width,
                    height: small.height,
                });
                let Preview { width, height, blurhash, .. } = preview;
                blob.image = Some(schema::Image { width, height, blurhash, thumbnail });
            }
            Some(Err(error)) => {
                let reason = error.name().to_owned();
                blob.preview_refused = Some(schema::PreviewRefused { reason, detail: error.to_string() });
            }
        }
    }
}

/// Notes what an upload told, and looks at it where it is an image; what is known then. Nothing here fails an upload.
pub(crate) async fn uploaded(state: &State, added: &Added, said: Option<&str>) -> Known {
    let sniffed = mime::sniff(&added.head);
    let told = said.filter(|said| *said != sniffed && mime::tells(said));
    // The CID of a file of one block says its SHA-256.
    let is_plain = added.cid.codec() == RAW && added.cid.hash().code() == SHA2_256;
    let sha256 = added.sha256.filter(|_| !is_plain);
    if told.is_some() || sha256.is_some() {
        let note = BlobNote { mime: told.map(str::to_owned), sha256, preview: None };
        if let Err(error) = state.node().note_blob(&added.cid, note).await {
            tracing::warn!(cid = %added.cid, %error, "what was said of a file was not kept");
        }
    }
    if IMAGES.contains(&sniffed) { known(state, &added.cid, &added.head).await } else { Known(BlobNote::default()) }
}

/// What is known of a file that is here; of an image it is looked at, if that was not done.
pub(crate) async fn known(state: &State, cid: &Cid, head: &[u8]) -> Known {
    let note = note(state, cid).await;
    if note.preview.is_some() || !IMAGES.contains(&mime::sniff(head)) {
        return Known(note);
    }
    look(state, cid).await;
    Known(self::note(state, cid).await)
}

async fn note(state: &State, cid: &Cid) -> BlobNote {
    match state.node().blob_note(cid).await {
        Ok(note) => note.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%cid, %error, "what is known of a file cannot be read");
            BlobNote::default()
        }
    }
}

/// Looks at an image, and waits for that for a while.
async fn look(state: &State, cid: &Cid) {
    let desk = state.preview_desk();
    let Some(previews) = desk.previews.get().map(Arc::clone) else { return };
    let mut done = {
        let mut under_way = desk.under_way();
        match under_way.get(cid) {
            Some(done) => done.clone(),
            None if under_way.len() >= MAX_WAITING => return,
            None => {
                let (sender, done) = watch::channel(());
                under_way.insert(*cid, done.clone());
                let (state, cid) = (state.clone(), *cid);
                // It ends when it is done, whether or not its client waits.
                desk.tasks.spawn(async move {
                    tokio::select! {
                        () = make(&state, &*previews, &cid) => {}
                        () = state.stopping().cancelled() => {}
                    }
                    state.preview_desk().under_way().remove(&cid);
                    drop(sender);
                });
                done
            }
        }
    };
    // An error means that the sender went: it is done.
    let _ = tokio::time::timeout(WAIT, async { while done.changed().await.is_ok() {} }).await;
}

async fn make(state: &State, previews: &dyn Previews, cid: &Cid) {
    if note(state, cid).await.preview.is_some() {
        return;
    }
    // The thumbnail, until the note keeps it.
    let _hold = state.node().blobs().hold();
    let preview = match previews.preview(cid).await {
        Ok(preview) => smaller_than(state, cid, preview).await,
        refused => refused,
    };
    match &preview {
        Err(error @ PreviewError::Unavailable(_)) => {
            tracing::warn!(%cid, %error, "no preview was made");
            return;
        }
        Err(error) => tracing::info!(%cid, reason = error.name(), %error, "an image has no preview"),
        Ok(_) => {}
    }
    let note = BlobNote { preview: Some(preview), ..BlobNote::default() };
    if let Err(error) = state.node().note_blob(cid, note).await {
        tracing::warn!(%cid, %error, "a preview was not kept");
    }
}

/// The preview without a thumbnail that is no smaller than the image. Thumbnails count for no account: so they take as much as
/// the images at most, which do count, and one that is not noted goes with the next collection.
async fn smaller_than(state: &State, cid: &Cid, mut preview: Preview) -> Result<Preview, PreviewError> {
    let stat = state.node().blobs().stat(cid).await;
    let bytes = stat.map_err(|error| PreviewError::Unavailable(error.to_string()))?.size;
    preview.thumbnail = preview.thumbnail.filter(|thumbnail| thumbnail.size < bytes);
    Ok(preview)
}
