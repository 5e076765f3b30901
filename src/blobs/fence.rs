//! Whose a prefix of a bucket is. Two gateways that write to the same one overwrite each other's packs, and remove what
//! the other keeps.
//!
//! ```text
//!   bucket-id   in the folder       16 random bytes in hex: this gateway, as long as it has its folder
//!   owner       under the prefix    the same of the gateway that it belongs to, written once
//! ```
//! A gateway that comes back with its folder finds its own id. Nobody takes a prefix over by himself: the operator who knows
//! that the other gateway is gone removes the object `owner`. Of two copies of one folder nothing is known here.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path as Name};
use tokio::task::spawn_blocking;

use crate::{Error, bucket::failed, pack::sync_dir};

/// The object that says it.
const OWNER: &str = "owner";
/// The file that says who this is.
const ID: &str = "bucket-id";
/// Length of an id in hex.
const ID_CHARS: usize = 32;

/// Takes the prefix for the gateway of this folder, which has it from then on. `fresh` are random bytes, for a folder
/// that has no id yet.
pub(crate) async fn take(objects: &dyn ObjectStore, dir: &Path, fresh: [u8; 16]) -> Result<(), Error> {
    let folder = dir.to_owned();
    let id = spawn_blocking(move || id(&folder, fresh)).await.map_err(io::Error::other).and_then(|id| id);
    let id = id.map_err(|source| Error::NotWritable { dir: dir.join(ID), source })?;
    if let Some(owner) = owner(objects).await? {
        return is_own(owner, &id);
    }
    let name = Name::from(OWNER);
    match objects.put_opts(&name, id.clone().into(), PutMode::Create.into()).await {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
        // Some say that they know no conditions, some that they do not know what is meant.
        Err(error @ (object_store::Error::NotImplemented { .. } | object_store::Error::Generic { .. })) => {
            if let Some(owner) = owner(objects).await? {
                return is_own(owner, &id);
            }
            tracing::warn!(
                %error,
                "the bucket takes no conditional PUT: of two gateways that use this prefix for the first time at the same moment \
                 both might go on"
            );
            objects.put(&name, id.clone().into()).await.map_err(|error| Error::Bucket(failed(error)))?;
        }
        Err(error) => return Err(Error::Bucket(failed(error))),
    }
    // Whoever came first.
    let gone = || io::Error::new(io::ErrorKind::NotFound, "its object `owner` was removed at this moment: try again");
    is_own(owner(objects).await?.ok_or_else(|| Error::Bucket(gone()))?, &id)
}

fn is_own(owner: String, id: &str) -> Result<(), Error> {
    if owner == id { Ok(()) } else { Err(Error::Taken { owner, id: id.to_owned() }) }
}

/// Who is named under the prefix.
async fn owner(objects: &dyn ObjectStore) -> Result<Option<String>, Error> {
    let found = match objects.get(&Name::from(OWNER)).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(Error::Bucket(failed(error))),
    };
    if found.meta.size != ID_CHARS as u64 {
        return Ok(Some("with another kind of id".to_owned()));
    }
    let text = found.bytes().await.map_err(|error| Error::Bucket(failed(error)))?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// The id of a folder; durable before anybody hears of it.
fn id(dir: &Path, fresh: [u8; 16]) -> io::Result<String> {
    let path = dir.join(ID);
    match fs::read_to_string(&path) {
        Ok(text) if text.len() == ID_CHARS && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => return Ok(text),
        Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no id of a gateway")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (id, unfinished) = (hex::encode(fresh), path.with_extension("tmp"));
    let mut file = File::create(&unfinished)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    sync_dir(dir)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_prefix_belongs_to_the_folder_that_took_it_first() {
        let objects = InMemory::new();
        let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        take(&objects, one.path(), [1; 16]).await.unwrap();
        // The id that it has counts, not the bytes that are there for one that has none.
        take(&objects, one.path(), [9; 16]).await.unwrap();
        let refused = take(&objects, two.path(), [2; 16]).await.unwrap_err();
        assert!(matches!(&refused, Error::Taken { owner, .. } if *owner == "01".repeat(16)), "{refused}");
        assert!(refused.to_string().contains("`owner`"), "it says what to do: {refused}");
        // By hand.
        objects.delete(&Name::from(OWNER)).await.unwrap();
        take(&objects, two.path(), [2; 16]).await.unwrap();
        assert!(matches!(take(&objects, one.path(), [1; 16]).await, Err(Error::Taken { .. })));
        objects.put(&Name::from(OWNER), "a text of somebody else".into()).await.unwrap();
        assert!(matches!(take(&objects, two.path(), [2; 16]).await, Err(Error::Taken { .. })));
        fs::write(two.path().join(ID), "short").unwrap();
        assert!(matches!(take(&objects, two.path(), [2; 16]).await, Err(Error::NotWritable { .. })));
    }

    #[tokio::test]
    async fn of_two_at_once_one_goes_on() {
        let objects = InMemory::new();
        let dirs: Vec<_> = (0..8).map(|_| tempfile::tempdir().unwrap()).collect();
        let all = dirs.iter().zip(0..).map(|(dir, number)| take(&objects, dir.path(), [number; 16]));
        let ended = futures::future::join_all(all).await;
        assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 1);
    }
}
