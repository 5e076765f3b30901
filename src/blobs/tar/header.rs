//! Headers: ustar, 512 bytes, and before it a pax header for a name, target, size or time that does not fit.

/// Everything in a tar begins at a multiple of this.
pub(super) const BLOCK_BYTES: usize = 512;
/// Bytes of the name, and of the target of a link.
const NAME_BYTES: usize = 100;
/// Greatest number of eleven octal digits.
const MAX_OCTAL: u64 = (1 << 33) - 1;

/// An entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) path: &'a str,
    /// Bytes that follow.
    pub(super) size: u64,
    /// Permission bits.
    pub(super) mode: u32,
    /// Seconds since the epoch.
    pub(super) modified_s: i64,
    /// The target of a symbolic link.
    pub(super) link: Option<&'a str>,
}

impl Member<'_> {
    pub(super) fn file(&self) -> Vec<u8> {
        self.encode(self.path, b'0')
    }

    /// A directory's name ends with a slash.
    pub(super) fn directory(&self) -> Vec<u8> {
        self.encode(&format!("{}/", self.path), b'5')
    }

    pub(super) fn symlink(&self) -> Vec<u8> {
        self.encode(self.path, b'2')
    }

    fn encode(&self, path: &str, kind: u8) -> Vec<u8> {
        let link = self.link.unwrap_or("");
        let fits = |text: &str| text.len() <= NAME_BYTES && text.is_ascii();
        let mut records = Vec::new();
        if !fits(path) {
            record(&mut records, "path", path);
        }
        if !fits(link) {
            record(&mut records, "linkpath", link);
        }
        if self.size > MAX_OCTAL {
            record(&mut records, "size", &self.size.to_string());
        }
        let modified = u64::try_from(self.modified_s).ok().filter(|seconds| *seconds <= MAX_OCTAL);
        if modified.is_none() {
            record(&mut records, "mtime", &self.modified_s.to_string());
        }
        let mut out = Vec::with_capacity(BLOCK_BYTES);
        if !records.is_empty() {
            out.extend(block("pax", records.len() as u64, 0o644, 0, "", b'x'));
            out.extend(&records);
            out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
        }
        out.extend(block(path, self.size.min(MAX_OCTAL), self.mode, modified.unwrap_or(0), link, kind));
        out
    }
}

/// A pax record: its own length in decimal, a space, a keyword, `=`, the value, a newline.
fn record(out: &mut Vec<u8>, keyword: &str, value: &str) {
    let rest = keyword.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    out.extend(format!("{len} {keyword}={value}\n").into_bytes());
}

/// A ustar header; of a text that is too long, its begin, for readers that know no pax.
fn block(path: &str, size: u64, mode: u32, modified: u64, link: &str, kind: u8) -> [u8; BLOCK_BYTES] {
    let mut out = [0; BLOCK_BYTES];
    let mut put = |at: usize, width: usize, text: &[u8]| {
        let len = text.len().min(width);
        out[at..at + len].copy_from_slice(&text[..len]);
    };
    put(0, NAME_BYTES, path.as_bytes());
    put(100, 8, format!("{mode:07o}").as_bytes());
    put(108, 8, b"0000000");
    put(116, 8, b"0000000");
    put(124, 12, format!("{size:011o}").as_bytes());
    put(136, 12, format!("{modified:011o}").as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, NAME_BYTES, link.as_bytes());
    put(257, 8, b"ustar\x0000");
    let sum: u32 = out.iter().map(|byte| u32::from(*byte)).sum();
    out[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        for len in [0, 1, 84, 85, 86, 87, 88, 89, 90, 91, 980, 985, 990, 995] {
            let mut out = Vec::new();
            record(&mut out, "path", &"x".repeat(len));
            let (told, _) = std::str::from_utf8(&out).unwrap().split_once(' ').unwrap();
            assert_eq!(told.parse::<usize>().unwrap(), out.len());
        }
    }
}
