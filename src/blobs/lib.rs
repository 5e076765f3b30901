//! Content-addressed block store and UnixFS
