//! Ops for several albums, in entries that are as full as they may be.

use std::collections::BTreeMap;

use heirloom_protocol::{
    id::{AlbumId, OpId},
    limits,
    op::{Items, Op},
    wire,
};
use serde_json::json;

use super::{Answer, ApiError, Done};
use crate::node::Node;

/// Bytes of ops in one entry: half of what it may have, so that nothing else in it makes it too large.
const OPS_BYTES: usize = limits::ENTRY_BYTES / 2;

/// What is to be said in which album.
#[derive(Default)]
pub(super) struct Edits(BTreeMap<AlbumId, Vec<Op>>);

impl Edits {
    /// Says something about an item, or about the album.
    pub(super) fn say(&mut self, album: AlbumId, op: Op) {
        self.0.entry(album).or_default().push(op);
    }

    /// Says one thing of many items.
    pub(super) fn say_of_all(
        &mut self,
        items: BTreeMap<AlbumId, Vec<OpId>>,
        op: impl Fn(Items) -> Op,
    ) {
        for (album, items) in items {
            for some in items.chunks(limits::ENTRY_OPS) {
                let items = some.to_vec();
                self.say(album, op(Items { items }));
            }
        }
    }

    /// Records everything. Durable when it returns; what was recorded before an error stays.
    pub(super) async fn record(self, node: &Node) -> Result<(), ApiError> {
        for (album, ops) in self.0 {
            for ops in entries(ops) {
                node.ask(move |runtime| runtime.record(album, ops, Vec::new(), &[]))
                    .await??;
            }
        }
        Ok(())
    }
}

/// Parts ops so that each part fits into an entry.
pub(crate) fn entries(ops: Vec<Op>) -> Vec<Vec<Op>> {
    let mut parts: Vec<Vec<Op>> = Vec::new();
    let mut bytes = 0;
    for op in ops {
        let size = wire::encode(&op.to_raw()).len();
        match parts.last_mut() {
            Some(part) if part.len() < limits::ENTRY_OPS && bytes + size <= OPS_BYTES => {
                part.push(op);
                bytes += size;
            }
            _ => {
                parts.push(vec![op]);
                bytes = size;
            }
        }
    }
    parts
}

/// What became of the things that an act named.
#[derive(Default)]
pub(super) struct Outcome {
    /// How many changed.
    pub(super) changed: u64,
    /// How many were allowed, changed or not.
    pub(super) allowed: u64,
    /// Names of those that were not.
    pub(super) refused: Vec<String>,
    /// Ids that fit none or several, and why.
    pub(super) missing: Vec<(String, ApiError)>,
}

impl Outcome {
    /// Ends an act: refused as a whole, partly, or done.
    pub(super) async fn finish(self, answer: &Answer, why: &str) -> Done {
        tell_missing(&self.missing, answer).await;
        if self.refused.is_empty() && self.missing.is_empty() {
            return Ok(json!({"changed": self.changed}));
        }
        if self.allowed == 0 {
            return Err(ApiError::not_allowed(why)
                .safe("Nothing was changed.")
                .hint("ask somebody who manages the album"));
        }
        for name in &self.refused {
            answer.note(&format!("{name}: {why}")).await;
        }
        let failed = self.refused.len() + self.missing.len();
        Ok(json!({"changed": self.changed, "failed": failed, "exit": 3}))
    }
}

/// Writes a line for each id that no asset has.
pub(super) async fn tell_missing(missing: &[(String, ApiError)], answer: &Answer) {
    for (id, why) in missing {
        let line = json!({"type": "failed", "v": 1, "id": id, "reason": why.message});
        answer.line(&line).await;
    }
}

#[cfg(test)]
mod tests {
    use heirloom_protocol::op::{Field, SetField};

    use super::*;

    fn set(bytes: usize) -> Op {
        Op::SetField(SetField {
            item: OpId::ZERO,
            field: Field::Caption.code(),
            value: vec![b'a'; bytes],
        })
    }

    #[test]
    fn an_entry_is_never_too_full() {
        let counts = |ops: Vec<Op>| -> Vec<usize> { entries(ops).iter().map(Vec::len).collect() };
        assert_eq!(counts(Vec::new()), [0; 0]);
        assert_eq!(counts(vec![set(1); 1025]), [512, 512, 1]);
        assert_eq!(counts(vec![set(limits::TEXT_BYTES); 10]), [7, 3]);
    }
}
