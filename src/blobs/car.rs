//! CAR archives (ipld.io/specs/transport/car): a header that names roots, then sections of a CID and its block.

mod export;
mod header;
mod import;
mod source;

pub(crate) use export::export;
pub(crate) use import::import;
