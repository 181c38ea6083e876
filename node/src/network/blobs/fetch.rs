//! Fetches what this device lacks from one peer.

use std::{collections::VecDeque, time::Instant};

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::LeafList,
    id::DeviceId,
    limits,
    sync::{
        blob::{AnswerHead, AnswerKind, HEAD_BYTES, Many, blob_bytes, is_small},
        fetch::{Fetch, Input, Output},
        want::Failure,
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{Ended, Network};
use crate::{
    net::{Proto, Stream},
    network::{pace::Paced, peer_of},
    runtime::name_of,
    store::{BlobPlace, PartialBlob, Store, StoreError},
};

/// Requests for small blobs in flight.
const PIPELINE: usize = 2;
/// Leaves of a large blob in flight: 4 MiB.
const WINDOW: u32 = 64;
/// Leaves written between two notes of what is durable: 8 MiB.
const NOTE_LEAVES: usize = 128;
/// How long a peer may say nothing while something was asked of it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// One stream of requests to a peer.
pub(super) struct Line {
    network: Network,
    device: DeviceId,
    read: ReadHalf<Paced<Stream>>,
    pub(super) write: WriteHalf<Paced<Stream>>,
    next_id: u32,
}

/// Fetches until nothing that the peer has is lacking.
pub(super) async fn fetch(network: &Network, device: DeviceId) -> Result<(), Ended> {
    let mut first = wanted(network, device).await?;
    if first.is_empty() {
        return Ok(());
    }
    let mut line = Line::open(network, device, 0).await?;
    let mut in_flight: VecDeque<(u32, Many)> = VecDeque::new();
    let mut large: VecDeque<BlobRef> = VecDeque::new();
    let mut small: VecDeque<BlobRef> = VecDeque::new();
    loop {
        for blob in std::mem::take(&mut first) {
            if is_small(&blob) {
                small.push_back(blob)
            } else {
                large.push_back(blob)
            }
        }
        while in_flight.len() < PIPELINE && !small.is_empty() {
            let (many, rest) = Many::new(small.drain(..).collect());
            small = rest.into();
            let id = line.ask_many(&many).await?;
            in_flight.push_back((id, many));
        }
        if let Some((id, many)) = in_flight.pop_front() {
            if in_flight.len() + 1 < PIPELINE && small.is_empty() && large.is_empty() {
                first = wanted(network, device).await?;
                let fits = first.iter().all(is_small);
                if fits && !first.is_empty() {
                    let (next, rest) = Many::new(std::mem::take(&mut first));
                    small = rest.into();
                    let next_id = line.ask_many(&next).await?;
                    in_flight.push_back((next_id, next));
                }
            }
            line.take_many(id, many).await?;
        } else if let Some(blob) = large.pop_front() {
            line.take_large(blob).await?;
        }
        if in_flight.is_empty() && small.is_empty() && large.is_empty() && first.is_empty() {
            first = wanted(network, device).await?;
            if first.is_empty() {
                break;
            }
        }
    }
    line.write.shutdown().await?;
    Ok(())
}

async fn wanted(network: &Network, device: DeviceId) -> Result<Vec<BlobRef>, Ended> {
    Ok(network
        .node()
        .ask(move |runtime| runtime.wanted_from(device, limits::GET_MANY_BLOBS))
        .await??)
}

impl Line {
    /// Opens a stream; requests are numbered from `first_id` on.
    pub(super) async fn open(
        network: &Network,
        device: DeviceId,
        first_id: u32,
    ) -> Result<Self, Ended> {
        let opened = network.net().open(peer_of(device), Proto::Blob).await;
        let stream = network.0.pace.keep(opened.map_err(|_| Ended::Lost)?);
        let (read, write) = tokio::io::split(stream);
        Ok(Self {
            network: network.clone(),
            device,
            read,
            write,
            next_id: first_id,
        })
    }

    pub(super) fn id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    async fn ask_many(&mut self, many: &Many) -> Result<u32, Ended> {
        let id = self.id();
        self.write.write_all(&many.request(id).to_frame()).await?;
        self.write.flush().await?;
        Ok(id)
    }

    pub(super) async fn head(&mut self) -> Result<AnswerHead, Ended> {
        let mut bytes = [0; HEAD_BYTES];
        let read = tokio::time::timeout(PATIENCE, self.read.read_exact(&mut bytes)).await;
        read.map_err(|_| Ended::Lost)??;
        AnswerHead::parse(bytes).map_err(|_| Ended::Misbehaved)
    }

    pub(super) async fn payload(&mut self, head: &AnswerHead) -> Result<Vec<u8>, Ended> {
        let mut bytes = vec![0; head.len];
        let read = tokio::time::timeout(PATIENCE, self.read.read_exact(&mut bytes)).await;
        read.map_err(|_| Ended::Lost)??;
        Ok(bytes)
    }

    /// Takes the answer to one request for small blobs and makes them durable together.
    async fn take_many(&mut self, id: u32, mut many: Many) -> Result<(), Ended> {
        let mut came: Vec<(BlobRef, Vec<u8>)> = Vec::new();
        while !many.is_done() {
            let head = self.head().await?;
            let payload = self.payload(&head).await?;
            if head.kind == AnswerKind::Unknown {
                continue;
            }
            if head.id != id {
                return Err(Ended::Misbehaved);
            }
            match head.kind {
                AnswerKind::Data => {
                    let whole = many
                        .data(head.index, &payload)
                        .map_err(|_| Ended::Misbehaved)?;
                    came.extend(whole);
                }
                AnswerKind::Gone => {
                    let (index, _) = head.read_gone(&payload);
                    let gone = many.gone(index).map_err(|_| Ended::Misbehaved)?;
                    self.failed(gone, Failure::Lacking).await?;
                }
                AnswerKind::Leaves | AnswerKind::Unknown => return Err(Ended::Misbehaved),
            }
        }
        let store = self.network.node().store().clone();
        let kept = self
            .network
            .node()
            .blocking(move || keep(&store, came))
            .await??;
        self.note(kept).await
    }

    async fn note(&mut self, kept: Vec<(BlobRef, BlobPlace)>) -> Result<(), Ended> {
        if kept.is_empty() {
            return Ok(());
        }
        let blobs = u64::try_from(kept.len()).unwrap_or(0);
        let bytes: u64 = kept.iter().map(|(blob, _)| blob_bytes(blob)).sum();
        self.network
            .node()
            .ask(move |runtime| runtime.blobs_came(&kept))
            .await??;
        {
            let mut state = self.network.state();
            state.moved.blobs_received += blobs;
            state.moved.bytes_received += bytes;
        }
        self.network.stir();
        Ok(())
    }

    async fn failed(&mut self, blobs: Vec<BlobRef>, failure: Failure) -> Result<(), Ended> {
        let device = self.device;
        let told = self.network.node().ask(move |runtime| {
            for blob in &blobs {
                runtime.blob_failed(blob, device, failure);
            }
        });
        Ok(told.await?)
    }

    /// Fetches one large blob, going on with what an earlier attempt left.
    async fn take_large(&mut self, blob: BlobRef) -> Result<(), Ended> {
        let store = self.network.node().store().clone();
        let opened = self
            .network
            .node()
            .blocking(move || open_partial(&store, &blob))
            .await??;
        let Some((mut fetch, partial)) = opened else {
            return self.failed(vec![blob], Failure::Lacking).await;
        };
        let partial = std::sync::Arc::new(partial);
        fetch.handle(
            Input::PeerUp {
                peer: self.device,
                cost: 0,
            },
            Instant::now(),
        );
        let mut ids: VecDeque<(u32, u32)> = VecDeque::new();
        let mut unnoted = 0;
        loop {
            while let Some(output) = fetch.poll() {
                match output {
                    Output::Ask { token, part, .. } => {
                        let id = self.id();
                        let request = part.request(id, name_of(&blob));
                        self.write.write_all(&request.to_frame()).await?;
                        self.write.flush().await?;
                        ids.push_back((id, token));
                    }
                    Output::Listed(list) => self.keep_list(&blob, list).await?,
                    Output::Leaves { first, bytes } => {
                        unnoted += bytes.len().div_ceil(limits::LEAF_BYTES);
                        let is_due = unnoted >= NOTE_LEAVES;
                        if is_due {
                            unnoted = 0;
                        }
                        let partial = partial.clone();
                        let write = move || write_leaves(&partial, first, &bytes, is_due);
                        self.network.node().blocking(write).await??;
                    }
                    Output::Blame(_) => return Err(Ended::Misbehaved),
                    Output::Lacks(_) | Output::Stuck => {
                        return self.failed(vec![blob], Failure::Lacking).await;
                    }
                    Output::Done => return self.finish(blob, partial).await,
                }
            }
            let head = self.head().await?;
            let payload = self.payload(&head).await?;
            let Some((_, token)) = ids.iter().find(|(id, _)| *id == head.id).copied() else {
                return Err(Ended::Misbehaved);
            };
            ids.retain(|(id, _)| *id >= head.id);
            let index = head.index;
            let input = match head.kind {
                AnswerKind::Data => Input::Data {
                    token,
                    index,
                    bytes: payload,
                },
                AnswerKind::Leaves => Input::List {
                    token,
                    index,
                    bytes: payload,
                },
                AnswerKind::Gone => Input::Gone { token },
                AnswerKind::Unknown => continue,
            };
            fetch.handle(input, Instant::now());
        }
    }

    async fn keep_list(&mut self, blob: &BlobRef, list: LeafList) -> Result<(), Ended> {
        if blob_bytes(blob) <= limits::LEAF_LIST_STORED_ABOVE_BYTES {
            return Ok(());
        }
        let (store, id) = (self.network.node().store().clone(), blob.id);
        let keep = move || store.blobs().put_leaves(&id, list.as_bytes());
        Ok(self.network.node().blocking(keep).await??)
    }

    async fn finish(
        &mut self,
        blob: BlobRef,
        partial: std::sync::Arc<PartialBlob>,
    ) -> Result<(), Ended> {
        let store = self.network.node().store().clone();
        let finished = self.network.node().blocking(move || {
            let partial = std::sync::Arc::into_inner(partial).ok_or_else(|| {
                StoreError::Io(std::io::Error::other("a blob is still being written"))
            })?;
            let stored = partial.finish()?;
            store.blobs().sync()?;
            Ok::<_, StoreError>(stored.place)
        });
        let place = finished.await??;
        self.note(vec![(blob, place)]).await
    }
}

/// Puts small blobs and makes them durable.
fn keep(
    store: &Store,
    came: Vec<(BlobRef, Vec<u8>)>,
) -> Result<Vec<(BlobRef, BlobPlace)>, StoreError> {
    let mut kept = Vec::with_capacity(came.len());
    for (blob, bytes) in came {
        let stored = store.blobs().put_as(&blob.id, &bytes)?;
        kept.push((blob, stored.place));
    }
    store.blobs().sync()?;
    Ok(kept)
}

/// The state of a large blob's fetch and its file; `None` for one that is not fetched.
fn open_partial(store: &Store, blob: &BlobRef) -> Result<Option<(Fetch, PartialBlob)>, StoreError> {
    let total = blob_bytes(blob);
    let limit = total.div_ceil(65_536).saturating_mul(32);
    let list = store.blobs().leaves(&blob.id, limit)?;
    let list = list.and_then(|bytes| LeafList::from_bytes(blob.id, total, &bytes).ok());
    let verify = |index: u64, bytes: &[u8]| {
        list.as_ref()
            .is_some_and(|list| list.verify_leaf(index, bytes).is_ok())
    };
    let partial = store.blobs().partial(&blob.id, total, verify)?;
    let fetch = match list {
        Some(list) => {
            let mut have = roaring::RoaringBitmap::new();
            have.insert_range(0..partial.leaves());
            have -= partial.missing();
            Fetch::resume(*blob, WINDOW, list, &have)
        }
        None => Fetch::new(*blob, WINDOW),
    };
    Ok(fetch.ok().map(|fetch| (fetch, partial)))
}

fn write_leaves(
    partial: &PartialBlob,
    first: u32,
    bytes: &[u8],
    note: bool,
) -> Result<(), StoreError> {
    for (index, leaf) in (first..).zip(bytes.chunks(limits::LEAF_BYTES)) {
        partial.write_leaf(index, leaf)?;
    }
    if note { partial.note() } else { Ok(()) }
}
