//! Schema migrations
