//! The join, CRDT kinds and views: pure, sync, total
