//! The client of the bucket that keeps the blocks, when one does.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, S3ConditionalPut},
    path::Path,
    prefix::PrefixStore,
};

use crate::config::{Blobs, read_access_key};

/// A connection to a service that is there is made long before this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One request: a pack of 16 MiB at half a mebibyte a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(32);
/// A request is tried again for so long; who uploads waits meanwhile, as long as clients of HTTP are wont to.
const RETRY_TIMEOUT: Duration = Duration::from_secs(45);
/// And so often.
const MAX_RETRIES: usize = 5;

/// The objects under the configured prefix of the configured bucket. Nothing is asked yet.
///
/// # Errors
/// When the configuration contradicts itself, or the key file cannot be read; the key is not named.
pub(super) fn objects(config: &Blobs) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let bucket = config.s3_bucket.as_deref().filter(|name| !name.is_empty()).context("blobs.s3_bucket is empty")?;
    let key = config.s3_access_key_file.as_deref().context("blobs.s3_bucket needs blobs.s3_access_key_file")?;
    let key = read_access_key(key)?;
    // Plain HTTP for a service on the same machine or behind a tunnel of the operator's.
    let plain = config.s3_endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
    let client =
        ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT).with_allow_http(plain);
    let retry =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&config.s3_region)
        .with_access_key_id(key.id)
        .with_secret_access_key(key.secret)
        .with_client_options(client)
        .with_retry(retry)
        // For the one object that says whose the prefix is; others are written once, under numbers of their own.
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(url) = &config.s3_endpoint {
        builder = builder.with_endpoint(url.trim_end_matches('/'));
    }
    let store = builder.build().context("blobs.s3_*")?;
    let prefix = Path::parse(config.s3_prefix.trim_matches('/')).context("blobs.s3_prefix")?;
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_missing_is_named_and_the_key_is_not() {
        // As the program does at its start.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "AKID\nhidden\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = Blobs { s3_bucket: Some("blobs".into()), ..Blobs::default() };
        let error = objects(&config).err().unwrap();
        assert!(format!("{error:#}").contains("s3_access_key_file"), "{error:#}");
        let whole = Blobs {
            s3_access_key_file: Some(path),
            s3_endpoint: Some("http://127.0.0.1:9000/".into()),
            s3_prefix: "/a/b/".into(),
            ..config
        };
        let shown = format!("{:?}", objects(&whole).unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
        let error = objects(&Blobs { s3_prefix: "a//b".into(), ..whole }).err().unwrap();
        assert!(format!("{error:#}").contains("blobs.s3_prefix"), "{error:#}");
    }
}
