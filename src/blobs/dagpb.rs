//! DAG-PB (the specification of that name on ipld.io): a block of named links and bytes.

use bytes::Bytes;
use cid::Cid;

use crate::protobuf::{Fields, Value, put_bytes, put_number, varint_len};

/// Multicodec `dag-pb`.
pub(crate) const DAG_PB: u64 = 0x70;

/// Most links of a block. A directory that fills a block of 2 MiB has about 42,000.
pub(crate) const MAX_LINKS: usize = 1 << 16;

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PbLink {
    pub(crate) cid: Cid,
    pub(crate) name: Bytes,
    /// Bytes of all blocks from the linked one on down, each as often as it is linked.
    pub(crate) tsize: u64,
}

/// A block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PbNode {
    pub(crate) links: Vec<PbLink>,
    pub(crate) data: Option<Bytes>,
}

impl PbNode {
    /// Reads a block with at most `max_links` links.
    pub(crate) fn parse(block: &Bytes, max_links: usize) -> Result<Self, &'static str> {
        let mut node = Self::default();
        let mut fields = Fields::new(block);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(data)) if node.data.is_none() => node.data = Some(block.slice_ref(data)),
                (2, Value::Bytes(_)) if node.links.len() == max_links => return Err("a block with too many links"),
                (2, Value::Bytes(link)) => node.links.push(parse_link(block, link)?),
                _ => return Err("a dag-pb node with a field that there is not, or twice"),
            }
        }
        Ok(node)
    }

    /// The block: links first, then data, as the specification wants. Links are in the order that they shall have.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let data = self.data.as_ref().map_or(0, |data| data_len(data.len()));
        let links: usize = self.links.iter().map(|link| link_len(&link.cid, link.name.len(), link.tsize)).sum();
        let mut out = Vec::with_capacity(links + data);
        for link in &self.links {
            let mut message = Vec::with_capacity(128);
            put_bytes(&mut message, 1, &link.cid.to_bytes());
            put_bytes(&mut message, 2, &link.name);
            put_number(&mut message, 3, link.tsize);
            put_bytes(&mut out, 2, &message);
        }
        if let Some(data) = &self.data {
            put_bytes(&mut out, 1, data);
        }
        out
    }
}

/// Bytes that a link takes in its block.
pub(crate) fn link_len(cid: &Cid, name_len: usize, tsize: u64) -> usize {
    let field = |len: usize| 1 + varint_len(len as u64) + len;
    field(field(cid.encoded_len()) + field(name_len) + 1 + varint_len(tsize))
}

/// Bytes that so much data takes in its block.
pub(crate) const fn data_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn parse_link(block: &Bytes, message: &[u8]) -> Result<PbLink, &'static str> {
    let (mut cid, mut name, mut tsize) = (None, None, None);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) if cid.is_none() => {
                let read = Cid::try_from(bytes).map_err(|_| "a link that holds no CID")?;
                if read.to_bytes() != bytes {
                    return Err("a link that holds more than a CID");
                }
                cid = Some(read);
            }
            (2, Value::Bytes(bytes)) if name.is_none() => name = Some(block.slice_ref(bytes)),
            (3, Value::Varint(number)) if tsize.is_none() => tsize = Some(number),
            _ => return Err("a dag-pb link with a field that there is not, or twice"),
        }
    }
    let cid = cid.ok_or("a link without a CID")?;
    Ok(PbLink { cid, name: name.unwrap_or_default(), tsize: tsize.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::cid_of;

    proptest! {
        #[test]
        fn a_block_is_read_as_it_was_written(
            links in proptest::collection::vec((any::<u8>(), "\\PC{0,40}", any::<u64>()), 0..8),
            data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        ) {
            let links: Vec<_> = links
                .into_iter()
                .map(|(of, name, tsize)| PbLink { cid: cid_of(0x55, &[of]), name: name.into(), tsize })
                .collect();
            let node = PbNode { links, data: data.map(Bytes::from) };
            let block = Bytes::from(node.encode());
            let links: usize = node.links.iter().map(|link| link_len(&link.cid, link.name.len(), link.tsize)).sum();
            prop_assert_eq!(block.len(), links + node.data.as_ref().map_or(0, |data| data_len(data.len())));
            prop_assert_eq!(PbNode::parse(&block, 8).unwrap(), node.clone());
            if !node.links.is_empty() {
                prop_assert_eq!(PbNode::parse(&block, node.links.len() - 1).unwrap_err(), "a block with too many links");
            }
        }
    }
}
