//! Reading a body by exact lengths.

use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use rustdht_core::ports::{BlobError, BoxByteStream};

/// A body that is read from its begin to its end.
pub(super) struct Source {
    /// Fused: a body may not be asked again after its end.
    stream: futures::stream::Fuse<BoxByteStream>,
    buffer: BytesMut,
    /// Bytes taken so far.
    position: u64,
}

impl Source {
    pub(super) fn new(body: BoxByteStream) -> Self {
        Self { stream: body.fuse(), buffer: BytesMut::new(), position: 0 }
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Gathers at least `len` bytes; `false` when the body ends before.
    async fn gather(&mut self, len: usize) -> Result<bool, BlobError> {
        while self.buffer.len() < len {
            match self.stream.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece?),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether there is nothing left.
    pub(super) async fn is_at_end(&mut self) -> Result<bool, BlobError> {
        Ok(!self.gather(1).await?)
    }

    /// The next `len` bytes.
    pub(super) async fn take(&mut self, len: usize) -> Result<Bytes, BlobError> {
        if !self.gather(len).await? {
            let (at, there) = (self.position, self.buffer.len());
            return Err(BlobError::BadCar(format!(
                "it ends early: at byte {at} {len} bytes are due, and {there} are there"
            )));
        }
        self.position += len as u64;
        Ok(self.buffer.split_to(len).freeze())
    }

    /// Goes over `len` bytes.
    pub(super) async fn skip(&mut self, mut len: u64) -> Result<(), BlobError> {
        while len > 0 {
            if self.is_at_end().await? {
                let at = self.position;
                return Err(BlobError::BadCar(format!("it ends early: at byte {at} {len} bytes are due")));
            }
            let step = self.buffer.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            self.buffer.advance(step);
            self.position += step as u64;
            len -= step as u64;
        }
        Ok(())
    }

    /// Reads the body to its end, whatever it is, so that the sender gets to see the answer.
    pub(super) async fn drain(&mut self) -> Result<(), BlobError> {
        self.buffer.clear();
        while let Some(piece) = self.stream.next().await {
            self.position += piece?.len() as u64;
        }
        Ok(())
    }

    /// A varint of at most 63 bits (multiformats unsigned-varint), minimal.
    pub(super) async fn varint(&mut self) -> Result<u64, BlobError> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.take(1).await?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte == 0 && shift > 0 {
                break;
            }
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BlobError::BadCar(format!("a length before byte {} that is no varint", self.position)))
    }
}
