//! JSON Schemas, one for each value of a node's field `type`: what this gateway takes at its own doors. They are its
//! configuration, not part of the graph: members merge whatever they are sent.

mod bounds;
mod preview;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use jsonschema::{PatternOptions, Validator};
use moka::sync::Cache;
use rustdht_core::{
    CertificateId, Code, PublicKey, Refusal, Soul, Value,
    json::Ints,
    ports::{Batch, GraphStore, SideRow},
};
use rustdht_graph::{Draft, NodeState, Shown, render};

pub use bounds::MAX_SCHEMA_BYTES;

use crate::{Error, Node};

/// Namespace of the rows: the type, then milliseconds since the epoch (eight bytes, big-endian) and the schema.
const NS: &str = "schema";
/// Schemas of one gateway.
pub const MAX_SCHEMAS: usize = 1024;
/// Longest type, in bytes.
const MAX_TYPE_BYTES: usize = 256;
/// Schemas kept compiled; others are compiled again when they are needed.
const COMPILED: u64 = 128;
/// Greatest size of a compiled pattern in bytes.
const PATTERN_BYTES: usize = 1 << 20;
/// The field whose value chooses the schema.
const TYPE_FIELD: &str = "type";

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaInfo {
    /// The value of field `type` of the nodes that it is for.
    pub kind: String,
    /// The JSON Schema.
    pub json: Arc<str>,
    /// When it was put here, in milliseconds since the epoch.
    pub updated_ms: u64,
}

/// A write that would leave a node which its schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{soul}' would not be a valid '{kind}': {detail}")]
pub struct SchemaViolation {
    /// The node's type.
    pub kind: String,
    /// The node.
    pub soul: Soul,
    /// What is wrong, as a JSON pointer into the node's `data`.
    pub field: String,
    /// Why; values are left out.
    pub detail: String,
}

/// The schemas of this gateway.
pub(crate) struct Schemas {
    rows: RwLock<BTreeMap<String, SchemaInfo>>,
    count: AtomicUsize,
    /// By text, so that a schema which was replaced meanwhile is never taken for the new one.
    compiled: Cache<Arc<str>, Arc<Validator>>,
    /// Held while a row is changed.
    changes: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schemas({})", self.count.load(Ordering::Relaxed))
    }
}

fn compile(json: &str) -> Result<Validator, Refusal> {
    let schema = bounds::read(json)?;
    // An engine without backtracking, so that no pattern takes longer than its text.
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
    jsonschema::options().with_pattern_options(patterns).build(&schema).map_err(|error| {
        let detail = format!("not a JSON Schema that can be used here: {}", error.masked());
        Refusal::new(Code::BadValue, detail).within("schema")
    })
}

impl Schemas {
    pub(crate) async fn load(store: &dyn GraphStore) -> Result<Self, Error> {
        let damaged = || rustdht_core::ports::StoreError::Failed("the row of a schema is damaged".into());
        let mut rows = BTreeMap::new();
        for (key, row) in store.side_scan(NS, &[], u32::MAX).await? {
            let kind = String::from_utf8(key).map_err(|_| damaged())?;
            let (ms, json) = row.split_at_checked(8).ok_or_else(damaged)?;
            let json = std::str::from_utf8(json).map_err(|_| damaged())?.into();
            let updated_ms = ms.iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte));
            rows.insert(kind.clone(), SchemaInfo { kind, json, updated_ms });
        }
        let (count, compiled) = (rows.len().into(), Cache::new(COMPILED));
        Ok(Self { rows: RwLock::new(rows), count, compiled, changes: tokio::sync::Mutex::default() })
    }

    fn get(&self, kind: &str) -> Option<SchemaInfo> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, SchemaInfo>)) {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut rows);
        self.count.store(rows.len(), Ordering::Release);
    }

    fn validator(&self, schema: &SchemaInfo) -> Result<Arc<Validator>, Refusal> {
        if let Some(compiled) = self.compiled.get(&schema.json) {
            return Ok(compiled);
        }
        let compiled = Arc::new(compile(&schema.json)?);
        self.compiled.insert(Arc::clone(&schema.json), Arc::clone(&compiled));
        Ok(compiled)
    }

    /// Judges what a write would make of a node: `node` with `drafts` (those of other nodes are passed over) on top, as
    /// GET prints it. A node without schema is fine, one that shows nothing as well.
    ///
    /// # Errors
    /// [`Error::Schema`].
    pub(crate) fn check(
        &self,
        node: &NodeState,
        drafts: &[Draft],
        author: &PublicKey,
        leaf: Option<&CertificateId>,
    ) -> Result<(), Error> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let after = preview::after(node, drafts, author, leaf);
        let Some(Shown::Value(Value::Text(kind))) = after.view(TYPE_FIELD).map(|view| view.shown) else {
            return Ok(());
        };
        let Some(schema) = self.get(&kind) else { return Ok(()) };
        let mut json = String::with_capacity(256);
        if !render::write_data(&mut json, &after, Ints::Numbers) {
            return Ok(());
        }
        let violation = |field: String, detail: String| {
            Error::Schema(Box::new(SchemaViolation {
                kind: schema.kind.clone(),
                soul: node.soul().clone(),
                field,
                detail,
            }))
        };
        let data = serde_json::from_str(&json).map_err(|error| violation(String::new(), error.to_string()))?;
        match self.validator(&schema)?.validate(&data) {
            Ok(()) => Ok(()),
            Err(error) => Err(violation(error.instance_path().to_string(), error.masked().to_string())),
        }
    }
}

impl Node {
    fn schemas_held(&self) -> &Schemas {
        &self.inner.shared.schemas
    }

    /// The schemas of this gateway, by type.
    #[must_use]
    pub fn schemas(&self) -> Vec<SchemaInfo> {
        self.schemas_held().rows.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The schema of a type.
    #[must_use]
    pub fn schema(&self, kind: &str) -> Option<SchemaInfo> {
        self.schemas_held().get(kind)
    }

    /// Has nodes of a type judged by a JSON Schema (draft 2020-12, or what `$schema` says) from now on. Nodes that are
    /// here already stay as they are until they are written.
    ///
    /// # Errors
    /// `bad_value`, `too_large`, `malformed` for what is no schema or may not be one here; `out_of_range` for a type that is
    /// none, or when there are 1,024 schemas already; when the store fails.
    pub async fn put_schema(&self, kind: &str, json: &str) -> Result<SchemaInfo, Error> {
        let out_of_range = |detail: &'static str| Refusal::new(Code::OutOfRange, detail).within("type");
        if !(1..=MAX_TYPE_BYTES).contains(&kind.len()) {
            return Err(out_of_range("a type has 1 to 256 bytes").into());
        }
        compile(json)?;
        let schemas = self.schemas_held();
        let _turn = schemas.changes.lock().await;
        if schemas.get(kind).is_none() && schemas.count.load(Ordering::Acquire) >= MAX_SCHEMAS {
            return Err(out_of_range("a gateway has at most 1,024 schemas").into());
        }
        let updated_ms = self.inner.shared.ports.clock.now_ms();
        let row = [&updated_ms.to_be_bytes(), json.as_bytes()].concat();
        self.put_schema_row(kind, Some(row)).await?;
        let info = SchemaInfo { kind: kind.to_owned(), json: json.into(), updated_ms };
        schemas.change(|rows| {
            rows.insert(info.kind.clone(), info.clone());
        });
        Ok(info)
    }

    /// Takes a schema away. `false`: there was none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_schema(&self, kind: &str) -> Result<bool, Error> {
        let schemas = self.schemas_held();
        let _turn = schemas.changes.lock().await;
        if schemas.get(kind).is_none() {
            return Ok(false);
        }
        self.put_schema_row(kind, None).await?;
        schemas.change(|rows| {
            rows.remove(kind);
        });
        Ok(true)
    }

    async fn put_schema_row(&self, kind: &str, value: Option<Vec<u8>>) -> Result<(), Error> {
        let ports = &self.inner.shared.ports;
        let row = SideRow { ns: NS, key: kind.as_bytes().to_vec(), value, insert_only: false };
        let batch = Batch { side: vec![row], now_ms: ports.clock.now_ms(), ..Batch::default() };
        ports.store.apply(batch).await?;
        Ok(())
    }
}
