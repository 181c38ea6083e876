//! The large blobs that are coming in, by what they are, so that no two are fetched twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{BlobId, DeviceId},
    sync::want::Failure,
};

use super::{Ended, Network, download::Download};
use crate::store::StoreError;

/// One blob's place among them; opening and closing it take turns.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Download>>>>;

/// The large blobs that are coming in.
#[derive(Default)]
pub(in crate::network) struct Downloads(Mutex<BTreeMap<BlobId, Slot>>);

/// What became of the wish for a blob.
pub(super) enum Opened {
    /// It is on its way now, or was already under the same name.
    Open(Arc<Download>),
    /// It is on its way under another name, and comes with it.
    Named,
    /// It is none that comes in parts.
    Refused,
}

impl Downloads {
    fn slots(&self) -> MutexGuard<'_, BTreeMap<BlobId, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are open now.
    pub(super) fn open(&self) -> Vec<Arc<Download>> {
        let slots = self.slots();
        let open = |slot: &Slot| slot.try_lock().ok()?.clone();
        slots.values().filter_map(open).collect()
    }

    fn slot(&self, id: &BlobId) -> Slot {
        self.slots().entry(*id).or_default().clone()
    }

    /// Forgets an empty place that nobody is about to use.
    fn tidy(&self, id: &BlobId) {
        let mut slots = self.slots();
        let is_unused = slots.get(id).is_some_and(|slot| {
            Arc::strong_count(slot) == 1 && slot.try_lock().is_ok_and(|slot| slot.is_none())
        });
        if is_unused {
            slots.remove(id);
        }
    }
}

impl Network {
    /// Begins a large blob, or goes on with one.
    pub(super) async fn open_download(&self, blob: BlobRef) -> Result<Opened, Ended> {
        let slot = self.0.downloads.slot(&blob.id);
        let opened = self.open_in(&slot, blob).await;
        drop(slot);
        self.0.downloads.tidy(&blob.id);
        opened
    }

    async fn open_in(&self, slot: &Slot, blob: BlobRef) -> Result<Opened, Ended> {
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_ref() {
            let name = open.blob();
            if (name.log, name.ordinal) == (blob.log, blob.ordinal) {
                return Ok(Opened::Open(open.clone()));
            }
            open.also_for(blob);
            return Ok(Opened::Named);
        }
        let store = self.node().store().clone();
        let opening = self
            .node()
            .blocking(move || Download::open(&store, blob))
            .await?;
        Ok(match opening? {
            Some(download) => {
                let download = Arc::new(download);
                *slot = Some(download.clone());
                Opened::Open(download)
            }
            None => Opened::Refused,
        })
    }

    /// Puts a blob whose leaves are all here in its place, and says that it is here.
    pub(super) async fn finish_download(&self, download: Arc<Download>) -> Result<(), Ended> {
        let (store, whole) = (self.node().store().clone(), download.clone());
        let finished = self.node().blocking(move || whole.finish(&store)).await;
        let slot = self.0.downloads.slot(&download.id());
        let ended = {
            let mut slot = slot.lock().await;
            let names = download.names();
            *slot = None;
            match finished {
                Ok(Ok(Some(place))) => {
                    let came = names.iter().map(|name| (*name, place)).collect();
                    self.note(came, 0).await
                }
                Ok(Ok(None)) => Ok(()),
                Ok(Err(error)) => self.let_go(names).await.and(Err(error.into())),
                Err(error) => self.let_go(names).await.and(Err(error.into())),
            }
        };
        drop(slot);
        self.0.downloads.tidy(&download.id());
        ended
    }

    /// Gives a blob up that nobody sends any more; what came of it stays, and any peer may be asked for it again.
    pub(super) async fn close_download(&self, download: &Arc<Download>) -> Result<(), Ended> {
        let slot = self.0.downloads.slot(&download.id());
        let closed = {
            let mut slot = slot.lock().await;
            let is_it = slot
                .as_ref()
                .is_some_and(|open| Arc::ptr_eq(open, download));
            let (closing, names) = (download.clone(), download.names());
            let closed = self.node().blocking(move || closing.close()).await;
            if is_it {
                *slot = None;
            }
            self.let_go(names).await?;
            closed
        };
        drop(slot);
        self.0.downloads.tidy(&download.id());
        closed?.map_err(StoreError::into)
    }

    async fn let_go(&self, blobs: Vec<BlobRef>) -> Result<(), Ended> {
        // Whom it was asked of does not matter: no peer is passed over for it.
        let nobody = DeviceId([0; 32]);
        let told = self.node().ask(move |runtime| {
            for blob in &blobs {
                runtime.blob_failed(blob, nobody, Failure::Interrupted);
            }
        });
        Ok(told.await?)
    }
}
