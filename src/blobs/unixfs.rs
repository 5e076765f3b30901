//! UnixFS (specs.ipfs.tech/unixfs): what the data of a dag-pb block says that it is.

use bytes::Bytes;

use crate::protobuf::{Fields, Value, put_bytes, put_number};

/// Most sizes of parts: as many as a file block may have links.
const MAX_SPANS: usize = crate::node::MAX_LINKS;

/// The type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Raw,
    Directory,
    File,
    Metadata,
    Symlink,
    Shard,
}

/// A node's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnixFs {
    pub(crate) kind: Kind,
    /// Bytes of a file, target of a symbolic link, or bit field of a shard.
    pub(crate) data: Bytes,
    pub(crate) size_bytes: Option<u64>,
    /// Bytes that each link of a file stands for.
    pub(crate) spans: Vec<u64>,
    /// Multicodec of the hash of a shard.
    pub(crate) hash: Option<u64>,
    pub(crate) fanout: Option<u64>,
    /// Permission bits (UnixFS 1.5).
    pub(crate) mode: Option<u32>,
    /// Modification time in seconds since the epoch (UnixFS 1.5).
    pub(crate) modified_s: Option<i64>,
}

impl UnixFs {
    pub(crate) fn parse(message: &Bytes) -> Result<Self, &'static str> {
        let mut kind = None;
        let mut read = Self::new(Kind::Raw, Bytes::new());
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Varint(number)) => kind = Some(number),
                (2, Value::Bytes(data)) => read.data = message.slice_ref(data),
                (3, Value::Varint(size)) => read.size_bytes = Some(size),
                (4, _) if read.spans.len() > MAX_SPANS => return Err("a file block with too many sizes"),
                (4, Value::Varint(span)) => read.spans.push(span),
                (4, Value::Bytes(packed)) => {
                    let mut packed = Fields::new(packed);
                    while !packed.is_empty() && read.spans.len() <= MAX_SPANS {
                        read.spans.push(packed.varint()?);
                    }
                }
                (5, Value::Varint(hash)) => read.hash = Some(hash),
                (6, Value::Varint(fanout)) => read.fanout = Some(fanout),
                // Twelve bits are permissions; the upper ones are reserved.
                (7, Value::Varint(mode)) => read.mode = Some(mode as u32 & 0o7777),
                (8, Value::Bytes(time)) => read.modified_s = seconds(time)?,
                // What later versions may add.
                _ => {}
            }
        }
        read.kind = match kind {
            Some(0) => Kind::Raw,
            Some(1) => Kind::Directory,
            Some(2) => Kind::File,
            Some(3) => Kind::Metadata,
            Some(4) => Kind::Symlink,
            Some(5) => Kind::Shard,
            _ => return Err("a UnixFS node of an unknown type"),
        };
        Ok(read)
    }

    pub(crate) const fn new(kind: Kind, data: Bytes) -> Self {
        Self { kind, data, size_bytes: None, spans: Vec::new(), hash: None, fanout: None, mode: None, modified_s: None }
    }

    /// The message of a directory, shard or symbolic link as Kubo writes it: fields by number, what is empty left out.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.len() + 16);
        put_number(&mut out, 1, self.kind as u64);
        if !self.data.is_empty() || self.kind == Kind::Symlink {
            put_bytes(&mut out, 2, &self.data);
        }
        for (field, number) in [(5, self.hash), (6, self.fanout)] {
            if let Some(number) = number {
                put_number(&mut out, field, number);
            }
        }
        out
    }
}

/// A `UnixTime`; its second field, nanoseconds, is left aside.
fn seconds(time: &[u8]) -> Result<Option<i64>, &'static str> {
    let mut seconds = None;
    let mut fields = Fields::new(time);
    while let Some(field) = fields.next()? {
        if let (1, Value::Varint(number)) = field {
            seconds = Some(number.cast_signed());
        }
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_and_time_of_unixfs_1_5_are_read() {
        let message = [
            &[8, 1, 0x38][..],
            &[0xed, 0x83, 2],                         // 0o100755: the file type bits are not permissions
            &[0x42, 7, 8, 0xb9, 0x60, 0x15, 1, 0, 0], // cut below
        ]
        .concat();
        assert_eq!(UnixFs::parse(&message.into()), Err("a protobuf message that ends inside a field"));
        let message = [&[8, 1, 0x38, 0xed, 0x83, 2, 0x42, 8, 8, 0xb9, 0x60, 0x15, 1, 0, 0, 0][..]].concat();
        let read = UnixFs::parse(&message.into()).unwrap();
        assert_eq!((read.kind, read.mode, read.modified_s), (Kind::Directory, Some(0o755), Some(12345)));
        // Before 1970: a negative number as ten bytes.
        let mut message = vec![8, 2, 0x42, 11, 8];
        crate::protobuf::put_varint(&mut message, (-5_i64).cast_unsigned());
        assert_eq!(UnixFs::parse(&message.into()).unwrap().modified_s, Some(-5));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut shard = UnixFs::new(Kind::Shard, Bytes::from_static(&[1, 0]));
        (shard.hash, shard.fanout) = (Some(0x22), Some(256));
        for node in [UnixFs::new(Kind::Directory, Bytes::new()), UnixFs::new(Kind::Symlink, "../a".into()), shard] {
            assert_eq!(UnixFs::parse(&node.encode().into()).unwrap(), node);
        }
    }
}
