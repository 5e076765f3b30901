//! Links that wait to be followed: a stack that goes on in a file.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
};

use crate::{
    digest::{Digest, KEY_BYTES},
    index::Walk,
};

/// Links that go to the file at once; twice as many are held in memory, about 36 bytes each.
const CHUNK: usize = 1 << 16;
/// Bytes of a link in the file: a key and how it is followed.
const ITEM_BYTES: usize = KEY_BYTES + 1;

pub(super) type Item = (Digest, Walk);

/// The stack.
pub(super) struct Stack {
    top: Vec<Item>,
    chunk: usize,
    path: PathBuf,
    file: Option<File>,
    /// Chunks in the file.
    chunks: u64,
}

impl Stack {
    /// An empty one; `path` is where its file may be made. The file has no name once it is there, and goes with the process.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { top: Vec::new(), chunk: CHUNK, path, file: None, chunks: 0 }
    }

    pub(super) fn push(&mut self, item: Item) -> io::Result<()> {
        if self.top.len() >= 2 * self.chunk {
            self.spill()?;
        }
        self.top.push(item);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> io::Result<Option<Item>> {
        if self.top.is_empty() && self.chunks > 0 {
            self.fill()?;
        }
        Ok(self.top.pop())
    }

    fn len(&self) -> usize {
        self.chunk * ITEM_BYTES
    }

    /// The lower half of what is in memory goes to the file.
    fn spill(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&self.path)?;
                fs::remove_file(&self.path)?;
                file
            }
        };
        let mut bytes = Vec::with_capacity(self.len());
        for (digest, walk) in self.top.drain(..self.chunk) {
            bytes.extend(digest.to_key());
            bytes.push(walk as u8);
        }
        let written = file.write_all_at(&bytes, self.chunks * self.len() as u64);
        self.file = Some(file);
        self.chunks += 1;
        written
    }

    fn fill(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        self.chunks -= 1;
        let mut bytes = vec![0; self.len()];
        file.read_exact_at(&mut bytes, self.chunks * self.len() as u64)?;
        for item in bytes.chunks_exact(ITEM_BYTES) {
            let (key, walk) = item.split_at(KEY_BYTES);
            let walk = [Walk::DagPb, Walk::DagCbor, Walk::DagJson].into_iter().find(|known| *known as u8 == walk[0]);
            let item = Digest::from_key(key).zip(walk).ok_or(io::ErrorKind::InvalidData)?;
            self.top.push(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_last_comes_first_through_the_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut stack = Stack { chunk: 4, ..Stack::new(dir.path().join("x")) };
        let digest = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            Digest::sha2(bytes)
        };
        let walks = [Walk::DagPb, Walk::DagCbor, Walk::DagJson];
        let mut model = Vec::new();
        for number in 0..1000 {
            // More in than out, then only out.
            for at in 0..3 {
                let item = (digest(number * 3 + at), walks[at as usize]);
                stack.push(item).unwrap();
                model.push(item);
                assert!(stack.top.len() <= 8);
            }
            for _ in 0..number % 5 {
                assert!(stack.pop().unwrap() == model.pop());
            }
        }
        assert!(stack.chunks > 10 && std::fs::read_dir(dir.path()).unwrap().next().is_none());
        while let Some(item) = model.pop() {
            assert!(stack.pop().unwrap() == Some(item));
        }
        assert!(stack.pop().unwrap().is_none());
    }
}
