//! `rustdht cat`

use reqwest::{Method, StatusCode, header};

use crate::{args::Global, client::escape};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rustdht cat bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku > file
  rustdht cat CID/folder/file.txt
  rustdht cat CID --offset 1000000 --length 100 | xxd")]
pub(crate) struct Arguments {
    /// The file: its CID, or the CID of a folder and the path in it
    #[arg(value_name = "CID[/PATH]")]
    cid: String,
    /// Skip so many bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: u64,
    /// Print at most so many bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    length: Option<u64>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
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
    fn ranges_are_inclusive() {
        assert_eq!(range(0, None), None);
        assert_eq!(range(5, None).unwrap(), "bytes=5-");
        assert_eq!(range(5, Some(10)).unwrap(), "bytes=5-14");
        assert_eq!(range(0, Some(1)).unwrap(), "bytes=0-0");
    }
}
