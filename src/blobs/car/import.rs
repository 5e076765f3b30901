//! Reading an archive from a stranger into the store.

use bytes::{Buf, Bytes};
use cid::Cid;
use rustdht_core::ports::{BlobError, BoxByteStream, CarImported, MAX_BLOCK_BYTES};

use super::{
    header::{self, MAX_HEADER_BYTES, PRAGMA},
    source::Source,
};
use crate::{
    blocks::Blocks,
    digest::{Place, hashes_to},
    hashing::{self, Hashing},
    writer::Ticket,
};

/// Longest CID in bytes: version, codec and hash function of ten bytes each, a length, 64 bytes of digest.
const MAX_CID_BYTES: u64 = 10 + 10 + 10 + 10 + 64;
/// Bytes of blocks that are checked at once, on another thread, while the next ones arrive.
const BATCH_BYTES: usize = 2 << 20;
/// Blocks that are checked at once: small ones must not pile up.
const BATCH_BLOCKS: usize = 1024;
/// Length of the header of a CAR v2, behind its pragma.
const V2_HEADER_BYTES: usize = 40;

type Block = (Cid, Bytes);

/// Reads an archive; durable when it returns.
pub(crate) async fn import(blocks: &Blocks, body: BoxByteStream) -> Result<CarImported, BlobError> {
    let mut source = Source::new(body);
    let mut import = Import { blocks, ticket: Ticket::default(), batch: Vec::new(), bytes: 0, checking: None };
    let (roots, end) = begin(&mut source).await?;
    let mut done = CarImported { roots, blocks: 0, bytes: 0 };
    while !is_behind(&mut source, end).await? {
        let (cid, block) = section(&mut source, end).await?;
        done.blocks += 1;
        done.bytes += block.len() as u64;
        import.take(cid, block).await?;
    }
    // Behind the data of a CAR v2 there is its index, which is not needed.
    source.drain().await?;
    import.finish().await?;
    Ok(done)
}

async fn is_behind(source: &mut Source, end: Option<u64>) -> Result<bool, BlobError> {
    match end {
        Some(end) => Ok(source.position() >= end),
        None => source.is_at_end().await,
    }
}

/// Reads what stands before the sections: the roots, and where the sections end when it is not the end of the body.
async fn begin(source: &mut Source) -> Result<(Vec<Cid>, Option<u64>), BlobError> {
    let first = header_bytes(source).await?;
    if first[..] != PRAGMA {
        return Ok((header::roots(&first).map_err(BlobError::BadCar)?, None));
    }
    // Characteristics 16 bytes, then data offset, data size and index offset as little-endian numbers of 8.
    let mut fields = source.take(V2_HEADER_BYTES).await?;
    fields.advance(16);
    let (offset, size) = (fields.get_u64_le(), fields.get_u64_le());
    let (here, end) = (source.position(), offset.checked_add(size));
    let end = end.filter(|_| offset >= here).ok_or_else(|| {
        BlobError::BadCar(format!(
            "a CAR v2 whose data, {size} bytes at {offset}, is where its header is or beyond 2^64"
        ))
    })?;
    source.skip(offset - here).await?;
    let roots = header::roots(&header_bytes(source).await?).map_err(BlobError::BadCar)?;
    if source.position() > end {
        return Err(BlobError::BadCar("a CAR v2 whose data ends inside of its header".into()));
    }
    Ok((roots, Some(end)))
}

async fn header_bytes(source: &mut Source) -> Result<Bytes, BlobError> {
    match source.varint().await? {
        0 => Err(BlobError::BadCar("a header of no bytes".into())),
        len @ 1..=MAX_HEADER_BYTES => source.take(len as usize).await,
        len => Err(BlobError::BadCar(format!("a header of {len} bytes, more than {MAX_HEADER_BYTES}"))),
    }
}

/// One section.
async fn section(source: &mut Source, end: Option<u64>) -> Result<Block, BlobError> {
    let at = source.position();
    let len = source.varint().await?;
    let bad = |why: String| BlobError::BadCar(format!("the section at byte {at} {why}"));
    if len > MAX_BLOCK_BYTES as u64 + MAX_CID_BYTES {
        return Err(bad(format!("has {len} bytes: a block has at most {MAX_BLOCK_BYTES}")));
    }
    if end.is_some_and(|end| source.position() + len > end) {
        return Err(bad("goes beyond the data that the header tells of".into()));
    }
    let section = source.take(len as usize).await?;
    let mut rest = &section[..];
    let cid = Cid::read_bytes(&mut rest).map_err(|error| bad(format!("begins with no CID ({error})")))?;
    let block = section.slice(section.len() - rest.len()..);
    if block.len() > MAX_BLOCK_BYTES {
        return Err(bad(format!("holds a block of {} bytes: at most {MAX_BLOCK_BYTES} are taken", block.len())));
    }
    match Place::of(&cid) {
        Place::Unknown => Err(BlobError::UnknownHash(cid)),
        Place::Inline(_) | Place::Stored(_) => Ok((cid, block)),
    }
}

/// Blocks on their way: one batch arrives while the one before is checked.
struct Import<'a> {
    blocks: &'a Blocks,
    ticket: Ticket,
    batch: Vec<Block>,
    bytes: usize,
    checking: Option<Hashing<Result<Vec<Block>, Cid>>>,
}

impl Import<'_> {
    async fn take(&mut self, cid: Cid, block: Bytes) -> Result<(), BlobError> {
        self.bytes += block.len();
        self.batch.push((cid, block));
        if self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_BLOCKS {
            self.check().await?;
        }
        Ok(())
    }

    /// Starts to check what has arrived, after what was being checked is written.
    async fn check(&mut self) -> Result<(), BlobError> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let next = hashing::begin(move || match batch.iter().find(|(cid, block)| !hashes_to(cid, block)) {
            Some((bad, _)) => Err(*bad),
            None => Ok(batch),
        });
        let before = self.checking.replace(next);
        self.write(before).await
    }

    async fn write(&mut self, checked: Option<Hashing<Result<Vec<Block>, Cid>>>) -> Result<(), BlobError> {
        let Some(checked) = checked else { return Ok(()) };
        let checked = checked.await.map_err(std::io::Error::other)?.map_err(BlobError::BadBlock)?;
        self.ticket.check()?;
        for (cid, block) in checked {
            self.blocks.append(&cid, block, &self.ticket).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), BlobError> {
        self.check().await?;
        let last = self.checking.take();
        self.write(last).await?;
        Ok(self.blocks.writer.flush(&self.ticket).await?)
    }
}
