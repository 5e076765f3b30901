//! The proofs that are stored for a commit of which only some operations arrived.

use std::collections::BTreeMap;

use bytes::Bytes;
use rustdht_core::{
    Refusal,
    cbor::{self, Reader},
    ports::StoredCommit,
};

use crate::{
    limits::{MAX_OPERATIONS, MAX_PROOF_LEN},
    merkle::Hash,
    refuse::malformed,
};

/// Operation index to the siblings from its leaf up.
pub(crate) type Rows = BTreeMap<u16, Vec<Hash>>;

/// DAG-CBOR `[[index, [b32]]]`, ascending; nothing at all for no rows.
pub(crate) fn encode(rows: &Rows) -> Bytes {
    if rows.is_empty() {
        return Bytes::new();
    }
    let mut out = Vec::with_capacity(rows.len() * 128);
    cbor::array(&mut out, rows.len());
    for (index, row) in rows {
        cbor::array(&mut out, 2);
        cbor::uint(&mut out, (*index).into());
        write_row(&mut out, row);
    }
    out.into()
}

pub(crate) fn write_row(out: &mut Vec<u8>, row: &[Hash]) {
    cbor::array(out, row.len());
    for hash in row {
        cbor::bytes(out, hash);
    }
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// `malformed` for anything else.
pub(crate) fn decode(bytes: &[u8]) -> Result<Rows, Refusal> {
    let mut rows = Rows::new();
    if bytes.is_empty() {
        return Ok(rows);
    }
    let bad = || malformed("not stored proofs");
    let mut reader = Reader::new(bytes);
    let len = reader.array_len(0)?;
    if len > MAX_OPERATIONS {
        return Err(bad());
    }
    for _ in 0..len {
        if reader.array_len(1)? != 2 {
            return Err(bad());
        }
        let index = u16::try_from(reader.item(2)?.uint()?).map_err(|_| bad())?;
        let depth = reader.array_len(2)?;
        if depth > MAX_PROOF_LEN {
            return Err(bad());
        }
        rows.insert(index, (0..depth).map(|_| reader.item(3)?.array()).collect::<Result<_, _>>()?);
    }
    reader.finish()?;
    Ok(rows)
}

/// One record of what two records of the same commit prove. All leaves, where either has them, need no proofs beside
/// them. Rows that do not decode are dropped: they prove nothing.
#[must_use]
pub fn merge_proofs(a: &StoredCommit, b: &StoredCommit) -> StoredCommit {
    debug_assert_eq!(a.id, b.id, "two commits");
    let mut merged = a.clone();
    if !a.leaves.is_empty() || !b.leaves.is_empty() {
        merged.proofs = Bytes::new();
        if merged.leaves.is_empty() {
            merged.leaves = b.leaves.clone();
        }
    } else if b.proofs != a.proofs {
        let mut rows = decode(&a.proofs).unwrap_or_default();
        rows.extend(decode(&b.proofs).unwrap_or_default());
        merged.proofs = encode(&rows);
    }
    merged
}

#[cfg(test)]
mod tests {
    use rustdht_core::CommitId;

    use super::*;

    fn stored(leaves: &[u8], rows: &[(u16, usize)]) -> StoredCommit {
        let rows = rows.iter().map(|(index, len)| (*index, vec![[*len as u8; 32]; *len])).collect();
        StoredCommit {
            id: CommitId([1; 32]),
            header: Bytes::new(),
            signature: Bytes::new(),
            leaves: Bytes::copy_from_slice(leaves),
            proofs: encode(&rows),
        }
    }

    #[test]
    fn rows_survive_storage() {
        let rows: Rows = [(0, vec![]), (7, vec![[1; 32]; 10]), (1023, vec![[2; 32]])].into();
        assert_eq!(decode(&encode(&rows)), Ok(rows));
        assert_eq!(decode(&[]), Ok(Rows::new()));
        assert!(encode(&Rows::new()).is_empty());
        for bad in [&[0x80, 0x00][..], &[0x81, 0x81, 0x00], &[0x81, 0x82, 0x00, 0x81, 0x00], &[0xa0]] {
            assert!(decode(bad).is_err(), "{bad:02x?}");
        }
        let deep: Rows = [(0, vec![[1; 32]; 11])].into();
        assert!(decode(&encode(&deep)).is_err());
    }

    #[test]
    fn leaves_are_preferred_and_rows_unite() {
        let part = stored(&[], &[(0, 2), (3, 1)]);
        let more = stored(&[], &[(1, 2), (3, 1)]);
        let merged = merge_proofs(&part, &more);
        assert_eq!(merged, stored(&[], &[(0, 2), (1, 2), (3, 1)]));
        assert_eq!(merge_proofs(&more, &part), merged);
        assert_eq!(merge_proofs(&merged, &merged), merged);
        let whole = stored(&[5; 64], &[]);
        assert_eq!(merge_proofs(&part, &whole), whole);
        assert_eq!(merge_proofs(&whole, &part), whole);
    }
}
