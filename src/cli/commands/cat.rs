//! `rustdht cat`

mod private;

use anyhow::Context as _;
use reqwest::{Method, StatusCode, header};
use rustdht_wire::private_blob::{FileKey, PrivateLink};

use crate::{
    args::Global,
    client::escape,
    exit::{Exit, coded},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rustdht cat bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku > file
  rustdht cat CID/folder/file.txt
  rustdht cat CID --offset 1000000 --length 100 | xxd
  rustdht cat 'ipfs://CID#key=KEY' > file
  rustdht cat CID --key - > file < key-file")]
pub(crate) struct Arguments {
    /// The file: its CID, or the CID of a folder and the path in it; or the link of a private file
    #[arg(value_name = "CID[/PATH]")]
    cid: String,
    /// The key of a private file, or `-` to read it from stdin; it is opened here, and the gateway does not get to
    /// see the key. Other users of this machine see what is written on a command line
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Skip so many bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: u64,
    /// Print at most so many bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    length: Option<u64>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    if let Some((target, key)) = private_file(&arguments)? {
        let end = arguments.length.map_or(u64::MAX, |length| arguments.offset.saturating_add(length));
        return private::print(&client, global.output(), &target, &key, arguments.offset..end).await;
    }
    let mut request = client.stream(Method::GET, &target(&arguments.cid));
    let range = range(arguments.offset, arguments.length);
    if let Some(range) = &range {
        request = request.header(header::RANGE, range);
    }
    let mut answer = client.send(request).await?;
    anyhow::ensure!(
        range.is_none() || answer.status() == StatusCode::PARTIAL_CONTENT,
        "the gateway ignored the range; a proxy in between may not pass it on"
    );
    let output = global.output();
    while let Some(bytes) = answer.chunk().await.map_err(|error| client.unreachable(&error))? {
        output.raw(&bytes)?;
    }
    output.flush()
}

/// Path and key, when a key is given, in the link or beside it.
fn private_file(arguments: &Arguments) -> anyhow::Result<Option<(String, FileKey)>> {
    let usage = |error: rustdht_wire::private_blob::PrivateBlobError| coded(Exit::Usage, error.to_string());
    match &arguments.key {
        Some(key) => {
            let read = || std::io::read_to_string(std::io::stdin()).context("cannot read the key from stdin");
            let key = if key == "-" { read()? } else { key.clone() };
            let address = arguments.cid.split('#').next().unwrap_or_default();
            Ok(Some((target(address), FileKey::from_text(key.trim()).map_err(usage)?)))
        }
        None if has_key(&arguments.cid) => {
            let link: PrivateLink = arguments.cid.parse().map_err(usage)?;
            Ok(Some((target(&link.cid.to_string()), link.key.clone())))
        }
        None => Ok(None),
    }
}

/// Whether it is a link with a key, in whatever order its parts stand: a key does not go to the gateway.
fn has_key(link: &str) -> bool {
    let parts = link.split_once('#').map_or("", |(_, parts)| parts);
    parts.split('&').any(|part| part.starts_with("key="))
}

/// The path of the request. What is copied out of a browser or another tool is taken too.
fn target(file: &str) -> String {
    let file = ["ipfs://", "/ipfs/"].iter().find_map(|start| file.strip_prefix(start)).unwrap_or(file);
    let segments: Vec<_> = file.split('/').filter(|segment| !segment.is_empty()).map(escape).collect();
    format!("/ipfs/{}", segments.join("/"))
}

/// The `Range` header (RFC 9110, 14.1.2); none for the whole.
fn range(offset: u64, length: Option<u64>) -> Option<String> {
    match length {
        Some(length) => Some(format!("bytes={offset}-{}", offset.saturating_add(length) - 1)),
        None if offset > 0 => Some(format!("bytes={offset}-")),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_by_segment() {
        for (file, path) in [
            ("bafy", "/ipfs/bafy"),
            ("bafy/a b/c#?", "/ipfs/bafy/a%20b/c%23%3F"),
            ("/ipfs/bafy/x", "/ipfs/bafy/x"),
            ("ipfs://bafy//x/", "/ipfs/bafy/x"),
        ] {
            assert_eq!(target(file), path);
        }
    }

    #[test]
    fn a_key_is_in_the_link_or_beside_it() {
        const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        let key = FileKey::new([1; 32]);
        let of = |cid: String, key: Option<&str>| {
            private_file(&Arguments { cid, key: key.map(str::to_owned), offset: 0, length: None })
        };
        let target = format!("/ipfs/{CID}");
        let given = Some((target.clone(), key.clone()));
        assert_eq!(of(format!("ipfs://{CID}#key={}&type=a/b", key.to_text()), None).unwrap(), given);
        assert_eq!(of(format!("http://127.0.0.1:8480/ipfs/{CID}#key={}", key.to_text()), None).unwrap(), given);
        assert_eq!(of(CID.into(), Some(&key.to_text())).unwrap(), given);
        let below = Some((format!("{target}/a%20b"), key.clone()));
        assert_eq!(of(format!("{CID}/a b"), Some(&format!("{}\n", key.to_text()))).unwrap(), below);
        assert_eq!(of(format!("{CID}/a#b"), None).unwrap(), None);
        for (cid, key) in [(format!("{CID}#key=short"), None), (CID.into(), Some("short"))] {
            assert_eq!(crate::exit::of(&of(cid, key).unwrap_err()), Exit::Usage);
        }
    }

    #[test]
    fn ranges_are_inclusive() {
        assert_eq!(range(0, None), None);
        assert_eq!(range(5, None).unwrap(), "bytes=5-");
        assert_eq!(range(5, Some(10)).unwrap(), "bytes=5-14");
        assert_eq!(range(0, Some(1)).unwrap(), "bytes=0-0");
    }
}
