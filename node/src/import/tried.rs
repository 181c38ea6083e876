//! Pictures that could not be made, by which version of the program: a later one tries again.
//!
//! ```text
//! kv: tried/ (album, item)     the version, and the run in which a worker was ended from outside
//! ```
//!
//! Everybody is told why there is no picture, and that stays said until there is one. Whether to try again is
//! each device's own matter: once for each version, so that a file on which workers die costs one worker, and
//! after a worker that the system ended once more, in another run.

use std::{ops::ControlFlow, sync::OnceLock};

use heirloom_protocol::wire;
use serde::{Deserialize, Serialize};

use crate::{
    runtime::AssetKey,
    store::{Batch, Store, StoreError, Table},
};

const PREFIX: &[u8] = b"tried/";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What came of the last attempt here.
#[derive(Serialize, Deserialize)]
struct Tried {
    version: String,
    /// The run that is not to try again; another one is.
    run: Option<u64>,
}

fn key(asset: &AssetKey) -> Vec<u8> {
    [PREFIX, &asset.to_bytes()[..]].concat()
}

/// A number of this run of the program; another run has another one.
fn this_run() -> u64 {
    static RUN: OnceLock<u64> = OnceLock::new();
    *RUN.get_or_init(|| {
        let mut number = [0; 8];
        // Without randomness a run takes itself for another one: then it tries once more than it should.
        let _ = getrandom::fill(&mut number);
        u64::from_le_bytes(number)
    })
}

fn of(store: &Store, asset: &AssetKey) -> Result<Option<Tried>, StoreError> {
    let row = match store.get(Table::Kv, &key(asset)) {
        // As if it had never been tried.
        Err(StoreError::Damaged(_)) => None,
        row => row?,
    };
    Ok(row.and_then(|row| wire::decode_row(&row).ok()))
}

/// Whether pictures of an asset are to be tried now that somebody has said that there are none.
pub(super) fn is_due_again(store: &Store, asset: &AssetKey) -> Result<bool, StoreError> {
    Ok(of(store, asset)?.is_none_or(|tried| match tried.run {
        Some(run) => run != this_run(),
        None => tried.version != VERSION,
    }))
}

/// Whether a worker was ended from outside over an asset of which nothing was said: in this run, which leaves
/// it alone, or in an earlier one.
pub(super) fn was_ended(store: &Store, asset: &AssetKey) -> Result<Option<Ended>, StoreError> {
    let run = of(store, asset)?.and_then(|tried| tried.run);
    Ok(run.map(|run| match run == this_run() {
        true => Ended::Now,
        false => Ended::Before,
    }))
}

/// When a worker was ended from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// In this run.
    Now,
    /// In an earlier one.
    Before,
}

/// Notes that this version has tried. Durable when it returns.
pub(super) fn note(store: &Store, assets: &[AssetKey]) -> Result<(), StoreError> {
    put(store, assets, None)
}

/// Notes that a worker was ended from outside. Durable when it returns.
pub(super) fn note_ended(store: &Store, asset: AssetKey) -> Result<(), StoreError> {
    put(store, &[asset], Some(this_run()))
}

fn put(store: &Store, assets: &[AssetKey], run: Option<u64>) -> Result<(), StoreError> {
    if assets.is_empty() {
        return Ok(());
    }
    let version = VERSION.to_owned();
    let tried = Tried { version, run };
    let Ok(row) = wire::encode_row(&tried) else {
        return Ok(());
    };
    let puts = assets.iter();
    let puts = puts.map(|asset| (Table::Kv, key(asset), row.clone()));
    store.commit(&Batch {
        puts: puts.collect(),
        ..Batch::default()
    })
}

/// Forgets what was tried: all of it is due again. Durable when it returns.
pub(super) fn forget(store: &Store) -> Result<(), StoreError> {
    let mut deletes = Vec::new();
    store.scan(Table::Kv, PREFIX, |key, _| {
        deletes.push((Table::Kv, key.to_vec()));
        ControlFlow::Continue(())
    })?;
    if deletes.is_empty() {
        return Ok(());
    }
    store.commit(&Batch {
        deletes,
        ..Batch::default()
    })
}

#[cfg(test)]
mod tests {
    use heirloom_protocol::id::{OpId, SpaceId};

    use super::*;

    #[test]
    fn what_one_version_could_not_show_is_due_for_the_next_and_once_after_a_worker_was_ended() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::create(&home.path().join("home")).unwrap();
        let asset = AssetKey {
            album: SpaceId([1; 16]),
            item: OpId([2; 32]),
        };
        assert!(is_due_again(&store, &asset).unwrap(), "never tried here");
        note(&store, &[asset]).unwrap();
        assert!(!is_due_again(&store, &asset).unwrap());
        let put = |tried: &Tried| {
            let row = wire::encode_row(tried).unwrap();
            let puts = vec![(Table::Kv, key(&asset), row)];
            let batch = Batch {
                puts,
                ..Batch::default()
            };
            store.commit(&batch).unwrap();
        };
        put(&Tried {
            version: "0.0.1".into(),
            run: None,
        });
        assert!(is_due_again(&store, &asset).unwrap(), "by another version");
        note_ended(&store, asset).unwrap();
        assert_eq!(was_ended(&store, &asset).unwrap(), Some(Ended::Now));
        assert!(!is_due_again(&store, &asset).unwrap());
        put(&Tried {
            version: VERSION.into(),
            run: Some(this_run() ^ 1),
        });
        assert_eq!(was_ended(&store, &asset).unwrap(), Some(Ended::Before));
        assert!(is_due_again(&store, &asset).unwrap());
        note(&store, &[asset]).unwrap();
        assert_eq!(was_ended(&store, &asset).unwrap(), None);
        forget(&store).unwrap();
        assert!(is_due_again(&store, &asset).unwrap());
    }
}
