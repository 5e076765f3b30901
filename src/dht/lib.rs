//! Replication engine, sans-I/O
