//! HTTP: REST, live queries, IPFS gateway, OpenAPI, health
