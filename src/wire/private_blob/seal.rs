//! Sealing a stream, and opening parts of one.

use std::fmt;

use chacha20poly1305::{AeadInPlace, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64URL_NOPAD;
use rustdht_core::Entropy;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{AUTHENTICATOR_BYTES, HEADER_BYTES, Plan, PrivateBlobError, ROOM_BYTES, SEGMENT_BYTES, plan};

/// How a header begins: five letters, a zero, and the version.
const MAGIC: [u8; 8] = *b"rdhtp\0\0\x01";
const ID_BYTES: usize = 24;
/// Labels of what is derived from a file's key and id.
const SEGMENT_CONTEXT: &str = "rustdht/private-blob/1 segments";
const COMMITMENT_CONTEXT: &str = "rustdht/private-blob/1 commitment";
/// What a nonce says of the last segment.
const LAST: u8 = 1;

/// The secret of one file, random and used for nothing else. Whoever has it reads the file. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct FileKey([u8; 32]);

impl FileKey {
    /// The key of these 32 secret random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new one.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// As links have it: 43 characters of base64url without padding.
    #[must_use]
    pub fn to_text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// Reads what [`FileKey::to_text`] wrote.
    ///
    /// # Errors
    /// [`PrivateBlobError::Link`].
    pub fn from_text(text: &str) -> Result<Self, PrivateBlobError> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| PrivateBlobError::Link)?;
        bytes.as_slice().try_into().map(Self).map_err(|_| PrivateBlobError::Link)
    }

    /// 32 bytes for one use: `BLAKE3-derive-key(context, key || id)`.
    fn derive(&self, context: &str, id: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.0).update(id);
        Zeroizing::new(*hasher.finalize().as_bytes())
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey")
    }
}

/// `magic || id || commitment`. The commitment binds the ciphertext to one key, which the cipher alone does not, and tells a
/// wrong key from damage.
fn header(key: &FileKey, id: &[u8; ID_BYTES]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..32].copy_from_slice(id);
    header[32..].copy_from_slice(&*key.derive(COMMITMENT_CONTEXT, id));
    header
}

/// `index (u64, big-endian) || 0^15 || last`. The key is of this file alone, so no nonce is used twice.
fn nonce(index: u64, last: bool) -> XNonce {
    let mut nonce = [0; 24];
    nonce[..8].copy_from_slice(&index.to_be_bytes());
    nonce[23] = if last { LAST } else { 0 };
    nonce.into()
}

fn cipher(key: &FileKey, header: &[u8; HEADER_BYTES]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&*key.derive(SEGMENT_CONTEXT, &header[8..32])).into())
}

/// Makes a private blob of a stream of plaintext; holds one segment.
pub struct Encryptor {
    cipher: XChaCha20Poly1305,
    header: [u8; HEADER_BYTES],
    index: u64,
    /// The segment that fills, plain but for the header in front of the first one.
    segment: Vec<u8>,
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryptor").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Encryptor {
    /// Under a key that no other file has; the file's id comes from `entropy`.
    #[must_use]
    pub fn new(key: &FileKey, entropy: &dyn Entropy) -> Self {
        let mut id = [0; ID_BYTES];
        entropy.fill(&mut id);
        let header = header(key, &id);
        let mut segment = Vec::with_capacity(SEGMENT_BYTES);
        segment.extend_from_slice(&header);
        Self { cipher: cipher(key, &header), header, index: 0, segment }
    }

    /// Takes from the front of `plaintext` what it has room for. A segment comes out when it is full and there is more, since
    /// the last one is sealed as such: call again while something is left.
    pub fn take(&mut self, plaintext: &mut &[u8]) -> Option<Vec<u8>> {
        let full = self.segment.len() == ROOM_BYTES && !plaintext.is_empty();
        let sealed = full.then(|| self.seal(false));
        let (taken, rest) = plaintext.split_at(plaintext.len().min(ROOM_BYTES - self.segment.len()));
        self.segment.extend_from_slice(taken);
        *plaintext = rest;
        sealed
    }

    /// The last segment.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.seal(true)
    }

    fn seal(&mut self, last: bool) -> Vec<u8> {
        let next = if last { Vec::new() } else { Vec::with_capacity(SEGMENT_BYTES) };
        let mut segment = std::mem::replace(&mut self.segment, next);
        let clear = if self.index == 0 { HEADER_BYTES } else { 0 };
        let nonce = nonce(self.index, last);
        match self.cipher.encrypt_in_place_detached(&nonce, &self.header, &mut segment[clear..]) {
            Ok(tag) => segment.extend_from_slice(&tag),
            // The cipher takes 2^38 bytes and a segment has 2^20; should it fail, nothing plain must be left.
            Err(_) => segment.zeroize(),
        }
        self.index += 1;
        segment
    }
}

impl Drop for Encryptor {
    fn drop(&mut self) {
        self.segment.zeroize();
    }
}

/// Opens a private blob, or a part of it.
#[derive(Clone)]
pub struct Opener {
    cipher: XChaCha20Poly1305,
    header: [u8; HEADER_BYTES],
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl Opener {
    /// For the blob that begins so.
    ///
    /// # Errors
    /// [`PrivateBlobError::Header`] when no private blob does, [`PrivateBlobError::Key`] when it is of another key.
    pub fn new(key: &FileKey, begins: &[u8]) -> Result<Self, PrivateBlobError> {
        let begins: [u8; HEADER_BYTES] =
            begins.get(..HEADER_BYTES).and_then(|begins| begins.try_into().ok()).ok_or(PrivateBlobError::Header)?;
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&begins[8..32]);
        if begins[..8] != MAGIC {
            return Err(PrivateBlobError::Header);
        }
        // The commitment is public: comparing it tells nobody anything by the time that it takes.
        if begins != header(key, &id) {
            return Err(PrivateBlobError::Key);
        }
        Ok(Self { cipher: cipher(key, &begins), header: begins })
    }

    /// Opens what a plan asked for.
    #[must_use]
    pub fn open(&self, plan: &Plan) -> Opening {
        let Plan { segments, skip, length, size, ciphertext } = plan.clone();
        let left = ciphertext.end - ciphertext.start;
        Opening {
            opener: self.clone(),
            index: segments.start,
            behind: segments.end,
            skip,
            length,
            size,
            left,
            segment: Vec::new(),
        }
    }
}

/// A plan that is carried out: ciphertext goes in, in pieces of any size, plaintext comes out. Holds one segment.
pub struct Opening {
    opener: Opener,
    index: u64,
    behind: u64,
    skip: usize,
    length: u64,
    size: u64,
    /// Bytes of ciphertext that are to come.
    left: u64,
    segment: Vec<u8>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("index", &self.index).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Opening {
    /// Takes from the front of the plan's ciphertext up to the end of a segment, and gives its part of the range: what
    /// comes out was authenticated. Call again while something is left.
    ///
    /// # Errors
    /// [`PrivateBlobError::Segment`]; [`PrivateBlobError::Length`] for more than the plan asked for.
    pub fn take(&mut self, ciphertext: &mut &[u8]) -> Result<Option<Vec<u8>>, PrivateBlobError> {
        if ciphertext.is_empty() {
            return Ok(None);
        }
        if self.left < ciphertext.len() as u64 {
            return Err(PrivateBlobError::Length(self.size.saturating_add(ciphertext.len() as u64 - self.left)));
        }
        let whole = SEGMENT_BYTES - if self.index == 0 { HEADER_BYTES } else { 0 };
        if self.segment.is_empty() {
            self.segment.reserve_exact(whole.min(usize::try_from(self.left).unwrap_or(usize::MAX)));
        }
        let (taken, rest) = ciphertext.split_at(ciphertext.len().min(whole - self.segment.len()));
        self.segment.extend_from_slice(taken);
        self.left -= taken.len() as u64;
        *ciphertext = rest;
        if self.segment.len() < whole && self.left > 0 {
            return Ok(None);
        }
        let mut segment = std::mem::take(&mut self.segment);
        let last = self.index + 1 == plan::segments(self.size);
        let fault = PrivateBlobError::Segment(self.index);
        let content = segment.len().checked_sub(AUTHENTICATOR_BYTES).ok_or(fault)?;
        let tag = *Tag::from_slice(&segment[content..]);
        segment.truncate(content);
        let nonce = nonce(self.index, last);
        let opened = self.opener.cipher.decrypt_in_place_detached(&nonce, &self.opener.header, &mut segment, &tag);
        opened.map_err(|_| fault)?;
        segment.drain(..self.skip.min(segment.len()));
        self.skip = 0;
        segment.truncate(usize::try_from(self.length).unwrap_or(usize::MAX));
        self.length -= segment.len() as u64;
        self.index += 1;
        Ok(Some(segment))
    }

    /// Whether everything came.
    ///
    /// # Errors
    /// [`PrivateBlobError::Cut`].
    pub const fn end(&self) -> Result<(), PrivateBlobError> {
        if self.index < self.behind { Err(PrivateBlobError::Cut(self.index)) } else { Ok(()) }
    }
}
