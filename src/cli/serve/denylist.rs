//! Reading the denylists, at start and whenever a file changes.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use rustdht_node::{DenyRules, Denylist};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, coded};

/// How often the files are looked at. An operator who denies something does not wait long, and a look costs nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What tells that a file changed.
type Mark = Option<(u64, Option<SystemTime>)>;

/// The files, in the order in which later ones win, and what they held when they were read last.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    marks: Vec<Mark>,
}

fn mark(path: &Path) -> Mark {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()))
}

fn read(path: &Path) -> anyhow::Result<DenyRules> {
    let name = path.file_stem().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let file = File::open(path).with_context(|| format!("the denylist {} cannot be opened", path.display()))?;
    let rules = DenyRules::read(BufReader::new(file), &name)
        .with_context(|| format!("the denylist {} cannot be used", path.display()))?;
    let (told, more) = rules.unreadable();
    for (line, why) in told {
        tracing::warn!(file = %path.display(), line, why, "a line of a denylist is no rule");
    }
    if more > 0 {
        tracing::warn!(file = %path.display(), more, "more lines of a denylist are no rules");
    }
    tracing::info!(file = %path.display(), rules = rules.len(), "denylist read");
    Ok(rules)
}

async fn marks(paths: Vec<PathBuf>) -> anyhow::Result<Vec<Mark>> {
    Ok(tokio::task::spawn_blocking(move || paths.iter().map(|path| mark(path)).collect()).await?)
}

async fn read_all(paths: Vec<PathBuf>) -> anyhow::Result<Vec<DenyRules>> {
    tokio::task::spawn_blocking(move || paths.iter().map(|path| read(path)).collect()).await?
}

impl Files {
    /// Reads all files; one that cannot be used stops the start: what should be denied would be served.
    pub(super) async fn open(paths: Vec<PathBuf>) -> anyhow::Result<(Self, Vec<DenyRules>)> {
        let marks = marks(paths.clone()).await?;
        let rules = read_all(paths.clone())
            .await
            .map_err(|error| coded(Exit::BadConfig, format!("bad configuration: {error:#}")))?;
        Ok((Self { paths, marks }, rules))
    }

    /// Reads them if one changed since they were read last.
    async fn changed(&mut self) -> anyhow::Result<Option<Vec<DenyRules>>> {
        let marks = marks(self.paths.clone()).await?;
        if marks == self.marks {
            return Ok(None);
        }
        // Remembered first: a file that cannot be used is told of once, until it changes again.
        self.marks = marks;
        read_all(self.paths.clone()).await.map(Some)
    }

    /// Looks at the files now and then. An error leaves the rules as they were.
    pub(super) async fn watch(mut self, denylist: Arc<Denylist>, cancel: CancellationToken) -> anyhow::Result<()> {
        while cancel.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            match self.changed().await {
                Ok(Some(rules)) => denylist.replace(rules),
                Ok(None) => {}
                Err(error) => tracing::error!("{error:#}; the denylists stay as they were"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a.deny"), dir.path().join("b.deny"));
        std::fs::write(&first, "").unwrap();
        std::fs::write(&second, "").unwrap();
        let denylist = Denylist::default();
        let cid = CID.parse().unwrap();
        let (mut files, rules) = Files::open(vec![first.clone(), second.clone()]).await.unwrap();
        assert!(rules.iter().all(DenyRules::is_empty) && files.changed().await.unwrap().is_none());
        std::fs::write(&first, format!("/ipfs/{CID}\n")).unwrap();
        denylist.replace(files.changed().await.unwrap().unwrap());
        assert_eq!(&*denylist.denied_cid(&cid).unwrap().list, "a");
        std::fs::write(&second, "version: 7\n---\n").unwrap();
        assert!(files.changed().await.is_err());
        assert!(files.changed().await.unwrap().is_none(), "told once");
        std::fs::write(&second, format!("!/ipfs/{CID}\n")).unwrap();
        denylist.replace(files.changed().await.unwrap().unwrap());
        assert!(denylist.denied_cid(&cid).is_none());
        let missing = Files::open(vec![dir.path().join("none.deny")]).await.unwrap_err();
        assert_eq!(crate::exit::of(&missing), Exit::BadConfig);
        assert!(missing.to_string().contains("none.deny"), "{missing}");
    }
}
