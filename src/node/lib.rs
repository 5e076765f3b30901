//! Use cases over ports: put, get, watch, import, blobs, health
