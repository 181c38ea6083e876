//! That the database of this home was made again from the logs, while that is still felt.
//!
//! ```text
//! kv: anew     when, Unix milliseconds
//! ```
//!
//! What other devices have shown of their copies stood in the lost database alone: until they have shown it again,
//! none of their copies counts.

use std::collections::BTreeSet;

use heirloom_protocol::{id::DeviceId, wire};

use super::{Runtime, RuntimeError};
use crate::store::{Batch, StoreError, Table, Unusable};

const ANEW: &[u8] = b"anew";
/// For how long it is told: who has shown nothing by then is hardly in reach at all.
const TOLD_MS: u64 = 30 * 24 * 3600 * 1000;

impl Runtime {
    /// Notes that opening made the database again. Durable when it returns.
    pub(super) fn note_made_anew(&mut self) -> Result<(), RuntimeError> {
        match self.store.opened().rebuilt {
            None | Some(Unusable::Asked) => return Ok(()),
            Some(_) => {}
        }
        self.store.commit(&Batch {
            puts: vec![(Table::Kv, ANEW.to_vec(), wire::encode(&self.now().0))],
            ..Batch::default()
        })?;
        Ok(())
    }

    /// When the database was made again, and the devices that keep everything and have shown nothing since; none
    /// once all have.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub(crate) fn to_show_again(&self) -> Result<Option<(u64, BTreeSet<DeviceId>)>, StoreError> {
        let row = self.store.get(Table::Kv, ANEW)?;
        let row = row.and_then(|row| wire::decode_row::<u64>(&row).ok());
        let Some(at) = row.filter(|at| self.now().0.saturating_sub(*at) < TOLD_MS) else {
            return Ok(None);
        };
        let witnesses = self.witnesses().into_iter();
        let silent =
            witnesses.filter(|(_, witness)| witness.is_archive && witness.proved.is_none());
        let silent: BTreeSet<_> = silent.map(|(device, _)| device).collect();
        Ok((!silent.is_empty()).then_some((at, silent)))
    }
}
