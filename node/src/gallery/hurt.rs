//! Damage that is met while somebody looks at a photo: it is dealt with at once.

use std::io::{Error, ErrorKind};

use heirloom_protocol::album::asset::BlobRef;

use crate::{node::Node, runtime::damaged, store::StoreError};

/// Has a blob that could not be read put aside, if it is damaged, so that it counts no more and comes again
/// from another device. Blocks.
pub(super) fn note_damage(node: &Node, blob: &BlobRef, error: &StoreError) {
    let is_damage = match error {
        StoreError::Damaged(_) => true,
        StoreError::Io(error) => is_damage(error),
        _ => false,
    };
    if !is_damage {
        return;
    }
    // Who sealed it may have given the wrong key: then it is what it was.
    let healed = match damaged(node.store(), &[*blob]) {
        Ok(damaged) if damaged.is_empty() => return,
        Ok(damaged) => node.ask_blocking(move |runtime| runtime.heal_read(&damaged)),
        Err(error) => Ok(Err(error.into())),
    };
    if let Ok(Err(error)) | Err(error) = healed {
        tracing::warn!(%error, "a damaged blob could not be put aside");
    }
}

/// Whether what was read is not what was stored.
pub(super) fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidData
}
