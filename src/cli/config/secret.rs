//! Secrets come from files, never from arguments or variables.

use std::{fs::File, io::Read as _, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::Context as _;

use crate::exit::{Exit, coded};

/// Shorter tokens can be guessed.
const MIN_TOKEN_CHARS: usize = 16;

/// A token file holds one line; more than this is some other file. A narrowed token has up to 8 KiB.
const MAX_TOKEN_FILE_BYTES: u64 = 16 * 1024;

/// More than any password, with its line end.
const MAX_PASSWORD_FILE_BYTES: u64 = 4096;

/// Others may read the file.
const OTHERS_MAY_READ: u32 = 0o004;

/// Reads the owner's token: trimmed, at least 16 printable characters, from a file that others cannot read. Files
/// under `/run/secrets` are mounted by the container runtime and readable by all inside it.
pub(crate) fn read_owner_token(path: &Path) -> anyhow::Result<String> {
    read(path, path.starts_with("/run/secrets")).map_err(|error| coded(Exit::BadConfig, format!("{error:#}")))
}

/// Reads a token for a client, as [`read_owner_token`]; a narrowed one may be meant for others, so who may read the file
/// is not looked at.
pub(crate) fn read_token(path: &Path) -> anyhow::Result<String> {
    read(path, true).map_err(|error| coded(Exit::BadConfig, format!("{error:#}")))
}

/// Reads a password from a file, or from stdin for `-`, without the line end.
pub(crate) fn read_password(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let shown = path.display();
    let count = if path.as_os_str() == "-" {
        std::io::stdin().take(MAX_PASSWORD_FILE_BYTES + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MAX_PASSWORD_FILE_BYTES + 1).read_to_string(&mut text))
    };
    let count = count.with_context(|| format!("the password in {shown} cannot be read"))?;
    anyhow::ensure!(count as u64 <= MAX_PASSWORD_FILE_BYTES, "{shown} is too large for a password");
    let password = text.strip_suffix('\n').unwrap_or(&text);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}

/// The key for a bucket: its id and its secret.
pub(crate) struct AccessKey {
    /// Who asks.
    pub id: String,
    /// Proves it.
    pub secret: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Reads the key for a bucket: two lines in a file that others cannot read, or one under `/run/secrets`.
pub(crate) fn read_access_key(path: &Path) -> anyhow::Result<AccessKey> {
    access_key(path, path.starts_with("/run/secrets")).map_err(|error| coded(Exit::BadConfig, format!("{error:#}")))
}

fn access_key(path: &Path, mounted: bool) -> anyhow::Result<AccessKey> {
    let shown = path.display();
    let meta = std::fs::metadata(path).with_context(|| format!("the access key file {shown} cannot be read"))?;
    if !mounted && meta.mode() & OTHERS_MAY_READ != 0 {
        anyhow::bail!("the access key file {shown} is readable by everyone; close it with: chmod 600 {shown}");
    }
    anyhow::ensure!(meta.len() <= MAX_TOKEN_FILE_BYTES, "the access key file {shown} is too large for a key");
    let text = std::fs::read_to_string(path).with_context(|| format!("the access key file {shown} cannot be read"))?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (Some(id), Some(secret), None) = (lines.next(), lines.next(), lines.next()) else {
        anyhow::bail!("the access key file {shown} has to hold two lines: the key's id and its secret");
    };
    Ok(AccessKey { id: id.to_owned(), secret: secret.to_owned() })
}

fn read(path: &Path, mounted: bool) -> anyhow::Result<String> {
    let shown = path.display();
    let meta = std::fs::metadata(path).with_context(|| {
        format!(
            "the owner token file {shown} cannot be read; make one with: (umask 077; openssl rand -hex 32 > {shown})"
        )
    })?;
    if !mounted && meta.mode() & OTHERS_MAY_READ != 0 {
        anyhow::bail!("the owner token file {shown} is readable by everyone; close it with: chmod 600 {shown}");
    }
    if meta.len() > MAX_TOKEN_FILE_BYTES {
        anyhow::bail!("the owner token file {shown} is larger than {MAX_TOKEN_FILE_BYTES} bytes; it holds one token");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("the owner token file {shown} cannot be read"))?;
    let token = text.trim();
    if token.len() < MIN_TOKEN_CHARS {
        anyhow::bail!(
            "the token in {shown} is shorter than {MIN_TOKEN_CHARS} characters; make one with: openssl rand -hex 32"
        );
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        anyhow::bail!("the token in {shown} holds blanks or characters beyond ASCII, which a header cannot carry");
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_private_file_is_trimmed() {
        let (_dir, path) = file("  0123456789abcdef\n", 0o600);
        assert_eq!(read(&path, false).unwrap(), "0123456789abcdef");
    }

    #[test]
    fn a_file_open_to_all_is_refused_unless_mounted() {
        let (_dir, path) = file("0123456789abcdef", 0o644);
        assert!(read(&path, false).unwrap_err().to_string().contains("chmod 600"));
        assert_eq!(read(&path, true).unwrap(), "0123456789abcdef");
    }

    #[test]
    fn a_password_keeps_all_but_its_line_end() {
        for (text, wanted) in [(" a b \n", " a b "), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")] {
            let (_dir, path) = file(text, 0o600);
            assert_eq!(read_password(&path).unwrap(), wanted);
        }
        let (_dir, path) = file(&"x".repeat(5000), 0o600);
        assert!(read_password(&path).is_err() && read_password(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn an_access_key_is_two_lines_that_only_the_owner_reads() {
        let (_dir, path) = file("AKID\r\n  secret/+=\n\n", 0o600);
        let key = access_key(&path, false).unwrap();
        assert_eq!((key.id.as_str(), key.secret.as_str()), ("AKID", "secret/+="));
        assert!(!format!("{key:?}").contains("secret/"));
        for (text, mode) in [("AKID\n", 0o600), ("a\nb\nc\n", 0o600), ("AKID\nsecret\n", 0o644)] {
            let (_dir, path) = file(text, mode);
            let error = access_key(&path, false).unwrap_err();
            assert!(!format!("{error:#}").contains("AKID"), "{error:#}");
        }
    }

    #[test]
    fn short_blank_and_missing_tokens_are_bad_config() {
        for text in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdéf"] {
            let (_dir, path) = file(text, 0o600);
            assert!(read(&path, false).is_err(), "{text:?}");
        }
        let missing = read_owner_token(Path::new("/nonexistent/token")).unwrap_err();
        assert_eq!(crate::exit::of(&missing), Exit::BadConfig);
    }
}
