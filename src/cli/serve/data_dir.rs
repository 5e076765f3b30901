//! The data folder: private, writable, used by one process.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustdht_core::Entropy;

use super::key_file::KeyFile;

/// The lock lies in this file; the kernel frees it when the process ends, however it ends.
const LOCK_FILE: &str = "lock";

/// The key of everything that is sealed lies in this file.
const KEY_FILE: &str = "key";

/// The folder, held by this process as long as the value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    /// Where it is.
    pub path: PathBuf,
    /// Whether this start made it.
    pub created: bool,
    _lock: File,
}

impl DataDir {
    /// Makes the folder if it is absent, and takes its lock.
    ///
    /// # Errors
    /// When it cannot be made or written, or another process uses it; nothing was started then.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let created = match DirBuilder::new().mode(0o700).recursive(false).create(path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                anyhow::bail!(
                    "the folder above the data folder {shown} does not exist; make it, or name another with --data-dir"
                )
            }
            Err(error) => return Err(not_writable(path, &error)),
        };
        let meta = std::fs::metadata(path).with_context(|| format!("cannot look at the data folder {shown}"))?;
        anyhow::ensure!(meta.is_dir(), "the data folder {shown} is a file; name another with --data-dir");
        // A folder that was there before, such as a mounted volume, is often open to everybody; keys will lie in it.
        if meta.mode() & 0o077 != 0 {
            std::fs::set_permissions(path, Permissions::from_mode(0o700))
                .map_err(|error| not_writable(path, &error))?;
        }
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .map_err(|error| not_writable(path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.take(32).read_to_string(&mut holder);
                let who =
                    if holder.trim().is_empty() { String::new() } else { format!(" (process {})", holder.trim()) };
                anyhow::bail!(
                    "another gateway{who} uses the data folder {shown}; stop it, or name another with --data-dir"
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock the data folder {shown}"));
            }
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|error| not_writable(path, &error))?;
        Ok(Self { path: path.to_owned(), created, _lock: lock })
    }

    /// The key under which every secret in the database is sealed; made at the first start.
    ///
    /// # Errors
    /// When it cannot be read or made, when others may read it, when it is none.
    pub(crate) fn seal_key(&self, entropy: &dyn Entropy) -> anyhow::Result<KeyFile> {
        KeyFile::open(self.path.join(KEY_FILE), entropy)
    }

    /// A digest of machine and folder: another one than last time shows that the folder is a copy.
    pub(crate) fn host_tag(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        for file in ["/etc/machine-id", "/proc/sys/kernel/hostname"] {
            part(&std::fs::read(file).unwrap_or_default());
        }
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        part(path.as_os_str().as_encoded_bytes());
        // A copy that took the place of the original has the same path and another inode.
        part(&std::fs::metadata(&path).map(|meta| meta.ino()).unwrap_or_default().to_be_bytes());
        *hasher.finalize().as_bytes()
    }
}

fn not_writable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let shown = path.display();
    let fix = match error.kind() {
        ErrorKind::ReadOnlyFilesystem => {
            "it lies on a read-only mount; remount it with rw, or name another folder with --data-dir".to_owned()
        }
        ErrorKind::PermissionDenied => {
            format!("give it to this user with: chown -R \"$(id -u)\" {shown}; or name another with --data-dir")
        }
        ErrorKind::StorageFull => "the disk is full; make room, or name another folder with --data-dir".to_owned(),
        _ => "name another folder with --data-dir".to_owned(),
    };
    anyhow::anyhow!("the data folder {shown} cannot be written ({error}); {fix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_private_and_used_by_one() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataDir::open(&path).unwrap();
        assert!(first.created);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let text = DataDir::open(&path).unwrap_err().to_string();
        assert!(text.contains("another gateway") && text.contains(&std::process::id().to_string()), "{text}");
        drop(first);
        assert!(!DataDir::open(&path).unwrap().created);
    }

    #[test]
    fn a_folder_that_was_there_becomes_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(!DataDir::open(&path).unwrap().created);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn errors_name_the_folder_and_the_fix() {
        let parent = tempfile::tempdir().unwrap();
        let deep = parent.path().join("a/b");
        let text = DataDir::open(&deep).unwrap_err().to_string();
        assert!(text.contains("a/b") && text.contains("--data-dir"), "{text}");
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(DataDir::open(&file).unwrap_err().to_string().contains("is a file"));
        let error = not_writable(&file, &ErrorKind::ReadOnlyFilesystem.into()).to_string();
        assert!(error.contains("read-only mount"), "{error}");
        let error = not_writable(&file, &ErrorKind::PermissionDenied.into()).to_string();
        assert!(error.contains("chown"), "{error}");
    }

    #[test]
    fn a_copy_has_another_tag() {
        let parent = tempfile::tempdir().unwrap();
        let open = |name: &str| DataDir::open(&parent.path().join(name)).unwrap();
        let original = open("a").host_tag();
        assert_eq!(open("a").host_tag(), original);
        assert_ne!(open("b").host_tag(), original);
        std::fs::rename(parent.path().join("a"), parent.path().join("c")).unwrap();
        std::fs::create_dir(parent.path().join("a")).unwrap();
        assert_ne!(open("a").host_tag(), original);
    }
}
