//! The key file: 32 bytes in hex, readable by their owner only. Whoever has it and the database has every key in there.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustdht_core::Entropy;

use crate::exit::{Exit, coded};

/// 64 hex digits and a line end, with room for blanks that an editor adds.
const MAX_FILE_BYTES: u64 = 256;

/// Group and others may do something.
const NOT_ONLY_OWNER: u32 = 0o077;

/// The key, and where it came from.
pub(crate) struct KeyFile {
    /// The key.
    pub bytes: [u8; 32],
    path: PathBuf,
    new: bool,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).field("new", &self.new).finish_non_exhaustive()
    }
}

impl KeyFile {
    /// Reads the key, or makes one where there is none.
    ///
    /// # Errors
    /// When it cannot be read or made, when others may read it, when it is none.
    pub(crate) fn open(path: PathBuf, entropy: &dyn Entropy) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let bytes = make(&path, entropy).with_context(|| format!("the key file {shown} cannot be made"))?;
                return Ok(Self { bytes, path, new: true });
            }
            Err(error) => return Err(error).with_context(|| format!("the key file {shown} cannot be read")),
        };
        let bytes = read(&file, &shown).map_err(|text| coded(Exit::BadConfig, text))?;
        Ok(Self { bytes, path, new: false })
    }

    /// Takes a key away that this start made and that opens nothing: it would hide that the right one is missing.
    pub(crate) fn forget_if_new(&self) {
        if self.new
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a key file that opens nothing cannot be removed");
        }
    }
}

fn read(file: &File, shown: &str) -> Result<[u8; 32], String> {
    let unreadable = |error: std::io::Error| format!("the key file {shown} cannot be read ({error})");
    let meta = file.metadata().map_err(unreadable)?;
    if meta.mode() & NOT_ONLY_OWNER != 0 {
        return Err(format!(
            "the key file {shown} is open to others than its owner; if nobody has copied it, close it with: chmod 600 {shown}"
        ));
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    decode(text.trim()).ok_or_else(|| {
        format!("the key file {shown} does not hold 64 hex digits; put the right one back from a backup")
    })
}

fn decode(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Whole or not at all: a half-written key would lock out everything that is sealed under it later.
fn make(path: &Path, entropy: &dyn Entropy) -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = path.with_extension("new");
    // Never into a file that is there already, of a start that was cut off or put there by somebody while the folder was
    // open to others: he would read the key, or a link would lead it elsewhere.
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    // Without this the name may be gone after a power cut, while the database that needs it is there.
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use super::*;

    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            (1..).zip(bytes).for_each(|(n, byte)| *byte = n);
        }
    }

    #[test]
    fn a_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = KeyFile::open(path.clone(), &Counting).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let read = KeyFile::open(path.clone(), &crate::serve::system::OsEntropy).unwrap();
        assert_eq!((read.bytes, read.new, made.new), (made.bytes, false, true));
        assert_eq!(made.bytes[..3], [1, 2, 3]);
        assert!(!format!("{made:?}").contains("[1, 2"), "{made:?}");
        read.forget_if_new();
        assert!(path.exists());
        made.forget_if_new();
        assert!(!path.exists());
    }

    #[test]
    fn a_key_is_not_written_into_a_file_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let (path, draft, elsewhere) = (dir.path().join("key"), dir.path().join("key.new"), dir.path().join("x"));
        std::fs::write(&draft, "of a start that was cut off").unwrap();
        std::fs::set_permissions(&draft, Permissions::from_mode(0o666)).unwrap();
        let mut reader = File::open(&draft).unwrap();
        KeyFile::open(path.clone(), &Counting).unwrap();
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "of a start that was cut off");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &draft).unwrap();
        KeyFile::open(path.clone(), &Counting).unwrap();
        assert!(!elsewhere.exists() && path.symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        KeyFile::open(path.clone(), &Counting).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o601] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = KeyFile::open(path.clone(), &Counting).unwrap_err();
            assert_eq!(crate::exit::of(&error), Exit::BadConfig);
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for text in ["", "01", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"+1".repeat(32)] {
            std::fs::write(&path, text).unwrap();
            let error = KeyFile::open(path.clone(), &Counting).unwrap_err();
            assert_eq!(crate::exit::of(&error), Exit::BadConfig, "{text}");
        }
        std::fs::write(&path, format!(" {}\n", "aB".repeat(32))).unwrap();
        assert_eq!(KeyFile::open(path, &Counting).unwrap().bytes, [0xab; 32]);
    }
}
