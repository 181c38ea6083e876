//! Fetches what this device lacks from one peer, beside the other peers that hold the same.
//!
//! Requests go out ahead of their answers, which come in order: small blobs two
//! helpings at a time, leaves of large ones 4 MiB at a time. A large blob that
//! several peers hold comes from all of them at once ([`Download`]). Between two
//! requests is where what is more wanted gets in.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use futures::{StreamExt as _, stream::FuturesUnordered};
use heirloom_protocol::{
    album::asset::BlobRef,
    id::DeviceId,
    limits,
    sync::{
        blob::{AnswerKind, Many, blob_bytes, is_small},
        fetch::{Input, Part},
        want::{Failure, Helping, Path, Scope},
    },
};
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    Ended, Network,
    download::{Download, WINDOW},
    downloads::Opened,
    line::{Asker, Frame, Line},
};
use crate::{
    runtime::name_of,
    store::{BlobPlace, Store, StoreError},
};

/// Requests for small blobs in flight.
const PIPELINE: usize = 2;
/// With fewer leaves in flight there is room for another large blob.
const ROOM: u32 = WINDOW / 2;
/// Large blobs of one peer that are put in their places at once.
const FINISHING: usize = 2;
/// Leaves in flight that nobody waits for, beyond which another stream is sooner: 1 MiB.
const STALE: u32 = 16;

/// What was asked, in order.
enum Pending {
    Small {
        id: u32,
        many: Many,
        came: Vec<(BlobRef, Vec<u8>)>,
    },
    Part {
        id: u32,
        token: u32,
        download: Arc<Download>,
        /// Leaves, or lines of the list, that have not come.
        left: u32,
        is_list: bool,
    },
}

impl Pending {
    const fn id(&self) -> u32 {
        match self {
            Self::Small { id, .. } | Self::Part { id, .. } => *id,
        }
    }
}

/// One peer as it is fetched from.
struct Fetching {
    network: Network,
    device: DeviceId,
    /// The session's number.
    number: u64,
    wake: Arc<Notify>,
    pending: VecDeque<Pending>,
    /// Large blobs of which the peer sends parts.
    downloads: Vec<Arc<Download>>,
    finishing: FuturesUnordered<JoinHandle<Result<(), Ended>>>,
    /// There may be something to ask for that was not looked for.
    is_hungry: bool,
}

/// What there is to do.
#[derive(Default)]
struct Found {
    blobs: Vec<BlobRef>,
    /// Of large blobs on their way, those to which the peer can add.
    joined: Vec<Arc<Download>>,
}

/// Fetches until nothing that the peer has is lacking.
pub(super) async fn fetch(
    network: &Network,
    (device, number): (DeviceId, u64),
    wake: Arc<Notify>,
) -> Result<(), Ended> {
    let mut fetching = Fetching {
        network: network.clone(),
        device,
        number,
        wake,
        pending: VecDeque::new(),
        downloads: Vec::new(),
        finishing: FuturesUnordered::new(),
        is_hungry: true,
    };
    let found = fetching.look().await?;
    if found.blobs.is_empty() && found.joined.is_empty() {
        return Ok(());
    }
    let ended = fetching.run(found).await;
    let left = fetching.leave().await;
    while let Some(finished) = fetching.finishing.next().await {
        finished.map_err(|_| Ended::Lost)??;
    }
    ended.and(left)
}

impl Fetching {
    async fn run(&mut self, found: Found) -> Result<(), Ended> {
        let mut line = Line::open(&self.network, self.device, 0).await?.read_on();
        self.take_up(&mut line, found).await?;
        loop {
            self.fill(&mut line).await?;
            if self.is_done() {
                return if self.pending.is_empty() {
                    line.end().await
                } else {
                    Ok(())
                };
            }
            let deadline = self.deadline(&line);
            tokio::select! {
                frame = line.frame() => self.take(frame?).await?,
                () = self.wake.notified() => {}
                Some(finished) = self.finishing.next() => {
                    finished.map_err(|_| Ended::Lost)??;
                    self.is_hungry = true;
                }
                () = tokio::time::sleep_until(deadline.into()) => self.tick(&line)?,
            }
        }
    }

    /// Asks for as much as there is room for.
    async fn fill(&mut self, line: &mut Asker) -> Result<(), Ended> {
        loop {
            let before = self.downloads.len();
            let device = self.device;
            self.downloads
                .retain(|download| download.has_source(&device));
            self.is_hungry |= self.downloads.len() < before;
            self.is_hungry |= self.network.takes_again(self.device, self.number);
            self.ask_parts(line).await?;
            if !self.is_hungry || self.small_in_flight() >= PIPELINE {
                return Ok(());
            }
            self.is_hungry = false;
            let found = self.look().await?;
            if found.blobs.is_empty() && found.joined.is_empty() {
                return Ok(());
            }
            self.take_up(line, found).await?;
        }
    }

    async fn take_up(&mut self, line: &mut Asker, found: Found) -> Result<(), Ended> {
        self.is_hungry = true;
        let (small, large): (Vec<_>, Vec<_>) = found.blobs.into_iter().partition(is_small);
        if !small.is_empty() {
            self.ask_small(line, small).await?;
        }
        for blob in large {
            self.begin(blob).await?;
        }
        for download in found.joined {
            self.join(&download);
        }
        Ok(())
    }

    /// Looks for what is wanted most of what the peer holds and there is room for.
    async fn look(&mut self) -> Result<Found, Ended> {
        let has_room = self.leaves_in_flight() < ROOM && self.finishing.len() < FINISHING;
        let is_idle = self.pending.is_empty() && self.downloads.is_empty();
        let open = self.network.0.downloads.open();
        let joinable: Vec<_> = open
            .iter()
            .filter(|download| has_room && download.is_open_to(&self.device))
            .filter(|download| download.is_shared() || is_idle)
            .cloned()
            .collect();
        let path = self.network.path_to(self.device);
        let (device, names) = (
            self.device,
            open.iter().map(|open| open.blob()).collect::<Vec<_>>(),
        );
        let ask = joinable.clone();
        let looked = self.network.node().ask(move |runtime| {
            let urgent: Vec<bool> = names
                .iter()
                .map(|blob| runtime.is_looked_at(blob))
                .collect();
            let may_join = |download: &Arc<Download>| {
                let blob = download.blob();
                let is_free = path == Path::Free || runtime.is_looked_at(&blob);
                is_free && runtime.claims(&device, &blob)
            };
            let joined: Vec<_> = ask.into_iter().filter(may_join).collect();
            let scope = match (has_room, joined.iter().any(|joined| joined.is_shared())) {
                (false, _) => Scope::Pictures,
                (true, true) => Scope::Lone,
                (true, false) => Scope::All,
            };
            let helping = Helping {
                scope,
                blobs: limits::GET_MANY_BLOBS,
                kib: limits::GET_MANY_BYTES / 1024,
            };
            let blobs = runtime.wanted_from(device, path, helping)?;
            Ok::<_, crate::runtime::RuntimeError>((urgent, joined, blobs))
        });
        let (urgent, joined, blobs) = looked.await??;
        for (download, urgent) in open.iter().zip(urgent) {
            download.set_urgent(urgent);
        }
        self.give_way(&open);
        // What is to be asked for comes first; there is another look after it.
        let joined = if blobs.is_empty() { joined } else { Vec::new() };
        Ok(Found { blobs, joined })
    }

    /// Has what nobody looks at leave most of the way to what somebody does.
    fn give_way(&self, open: &[Arc<Download>]) {
        let some_urgent = open.iter().any(|download| download.is_urgent());
        for download in open {
            download.give_way(some_urgent && !download.is_urgent());
        }
    }

    async fn ask_small(&mut self, line: &mut Asker, blobs: Vec<BlobRef>) -> Result<(), Ended> {
        let (many, rest) = Many::new(blobs);
        if !rest.is_empty() {
            self.failed(rest, Failure::Interrupted).await?;
        }
        self.patience(line);
        let id = line.ask(|id| many.request(id)).await?;
        let came = Vec::new();
        self.pending.push_back(Pending::Small { id, many, came });
        Ok(())
    }

    /// Begins a large blob, or adds to one that others send.
    async fn begin(&mut self, blob: BlobRef) -> Result<(), Ended> {
        let opened = match self.network.open_download(blob).await {
            // Others fit.
            Err(Ended::Store(StoreError::DiskFull)) => {
                return self.network.no_room(vec![blob]).await;
            }
            // It counts as asked for, and so is not looked for again, until this stream has ended: what
            // is the matter with one file is to hold up no other blob.
            Err(Ended::Store(error)) if !matches!(error, StoreError::ReadOnly) => {
                tracing::warn!(blob = %blob.id, %error, "a blob cannot be begun");
                return Ok(());
            }
            opened => opened?,
        };
        match opened {
            Opened::Refused => self.failed(vec![blob], Failure::Lacking).await,
            Opened::Named => Ok(()),
            Opened::Open(download) if download.is_whole() => {
                self.finish(download);
                Ok(())
            }
            Opened::Open(download) => {
                if self.join(&download) {
                    if download.is_shared() {
                        self.network.fetch_all();
                    }
                    Ok(())
                } else if download.was_refused_by(&self.device) {
                    self.failed(vec![blob], Failure::Lacking).await
                } else if download.is_over() {
                    // It is just being given up, and may be begun again then.
                    self.failed(vec![blob], Failure::Interrupted).await
                } else {
                    // Others send it, or this one does already.
                    Ok(())
                }
            }
        }
    }

    fn join(&mut self, download: &Arc<Download>) -> bool {
        let cost = match self.network.path_to(self.device) {
            Path::Free => 0,
            Path::Costly => 10,
        };
        let joins = download.join(self.device, cost, &self.wake);
        if joins {
            self.downloads.push(download.clone());
        }
        joins
    }

    /// Sends the requests that were dealt out to this peer, those first for what somebody looks at.
    async fn ask_parts(&mut self, line: &mut Asker) -> Result<(), Ended> {
        self.downloads.sort_by_key(|download| !download.is_urgent());
        for download in self.downloads.clone() {
            for (token, part) in download.asks(&self.device) {
                self.patience(line);
                let name = name_of(&download.blob());
                let id = line.ask(|id| part.request(id, name)).await?;
                let (Part::List { count, .. } | Part::Leaves { count, .. }) = part;
                self.pending.push_back(Pending::Part {
                    id,
                    token,
                    download: download.clone(),
                    left: count,
                    is_list: matches!(part, Part::List { .. }),
                });
            }
        }
        Ok(())
    }

    fn patience(&self, line: &Asker) {
        if self.pending.is_empty() {
            line.be_patient();
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Ended> {
        if frame.head.kind == AnswerKind::Unknown {
            return Ok(());
        }
        // Answers come in the order of their requests.
        let is_next = self.pending.front().map(Pending::id) == Some(frame.head.id);
        let pending = self.pending.pop_front().filter(|_| is_next);
        match pending.ok_or(Ended::Misbehaved)? {
            Pending::Small { id, many, came } => self.take_small(id, many, came, frame).await,
            Pending::Part {
                id,
                token,
                download,
                left,
                is_list,
            } => {
                let unit = if is_list { 32 } else { limits::LEAF_BYTES };
                let came = u32::try_from(frame.payload.len().div_ceil(unit)).unwrap_or(u32::MAX);
                let is_gone = frame.head.kind == AnswerKind::Gone;
                let left = match is_gone {
                    true => 0,
                    false => left.checked_sub(came).ok_or(Ended::Misbehaved)?,
                };
                self.is_hungry |= left == 0 && self.leaves_in_flight() < ROOM;
                self.take_part(token, &download, frame).await?;
                if left > 0 {
                    self.pending.push_front(Pending::Part {
                        id,
                        token,
                        download,
                        left,
                        is_list,
                    });
                }
                Ok(())
            }
        }
    }

    async fn take_small(
        &mut self,
        id: u32,
        mut many: Many,
        mut came: Vec<(BlobRef, Vec<u8>)>,
        Frame { head, payload }: Frame,
    ) -> Result<(), Ended> {
        match head.kind {
            AnswerKind::Data => {
                let at = many.left().first().copied();
                let Ok(whole) = many.data(head.index, &payload) else {
                    let blob = at.ok_or(Ended::Misbehaved)?;
                    return Err(self.wrong(blob, 0).await?);
                };
                came.extend(whole);
            }
            AnswerKind::Gone => {
                let (index, _) = head.read_gone(&payload);
                let gone = many.gone(index).map_err(|_| Ended::Misbehaved)?;
                self.failed(gone, Failure::Lacking).await?;
            }
            AnswerKind::Leaves | AnswerKind::Unknown => return Err(Ended::Misbehaved),
        }
        if !many.is_done() {
            self.pending.push_front(Pending::Small { id, many, came });
            return Ok(());
        }
        self.is_hungry = true;
        let store = self.network.node().store().clone();
        let kept = self.network.node().blocking(move || keep(&store, came));
        let Kept { here, no_room } = kept.await??;
        let bytes = here.iter().map(|(blob, _)| blob_bytes(blob)).sum();
        self.network.note(here, bytes).await?;
        self.network.no_room(no_room).await
    }

    /// Why the stream ends with other bytes than a blob's name says.
    async fn wrong(&self, blob: BlobRef, leaf: u32) -> Result<Ended, Ended> {
        let device = self.device;
        let judged = self
            .network
            .node()
            .ask(move |runtime| runtime.is_to_blame(&device, &blob));
        if judged.await?? {
            self.network.note_lie(device, blob, leaf).await;
            return Ok(Ended::Misbehaved);
        }
        self.failed(vec![blob], Failure::Lacking).await?;
        Ok(Ended::Mistaken)
    }

    async fn take_part(
        &mut self,
        token: u32,
        download: &Arc<Download>,
        Frame { head, payload }: Frame,
    ) -> Result<(), Ended> {
        let index = head.index;
        let bytes = payload;
        let effects = download.handle(match head.kind {
            AnswerKind::Data => Input::Data {
                token,
                index,
                bytes,
            },
            AnswerKind::Leaves => Input::List {
                token,
                index,
                bytes,
            },
            AnswerKind::Gone | AnswerKind::Unknown => Input::Gone { token },
        });
        if effects.is_blamed {
            return Err(self.wrong(download.blob(), index).await?);
        }
        if !effects.lacking.is_empty() {
            self.failed(vec![download.blob()], Failure::Lacking).await?;
        }
        if effects.list.is_none() && effects.leaves.is_empty() {
            return Ok(());
        }
        let bytes: usize = effects.leaves.iter().map(|(_, bytes)| bytes.len()).sum();
        let (store, writing) = (self.network.node().store().clone(), download.clone());
        let written = self.network.node().blocking(move || {
            let large = blob_bytes(&writing.blob()) > limits::LEAF_LIST_STORED_ABOVE_BYTES;
            if let Some(list) = effects.list.filter(|_| large) {
                store.blobs().put_leaves(&writing.id(), list.as_bytes())?;
            }
            writing.write(&effects.leaves)
        });
        match written.await? {
            Ok(is_whole) => {
                self.network
                    .count_received(0, u64::try_from(bytes).unwrap_or(0));
                if is_whole {
                    self.finish(download.clone());
                }
                Ok(())
            }
            Err(error) => {
                // Its leaves count as handed out and are not here: it begins anew from the file.
                self.network.close_download(download).await?;
                if matches!(error, StoreError::DiskFull) {
                    self.network.no_room(download.names()).await?;
                }
                Err(error.into())
            }
        }
    }

    fn finish(&mut self, download: Arc<Download>) {
        let network = self.network.clone();
        let finishing = tokio::spawn(async move {
            let names = download.names();
            let finished = network.finish_download(download).await;
            if matches!(finished, Err(Ended::Store(StoreError::DiskFull))) {
                network.no_room(names).await?;
            }
            finished
        });
        self.finishing.push(finishing);
    }

    fn tick(&self, line: &Asker) -> Result<(), Ended> {
        if !self.pending.is_empty() && line.patience() <= Instant::now() {
            return Err(Ended::Lost);
        }
        for download in &self.downloads {
            for device in download.handle(Input::Tick).lacking {
                tracing::info!(device = %device.short(), "a device went silent in the middle of a blob");
            }
        }
        Ok(())
    }

    fn deadline(&self, line: &Asker) -> Instant {
        let far = Instant::now() + super::line::PATIENCE;
        let patience = (!self.pending.is_empty()).then(|| line.patience());
        let theirs = self
            .downloads
            .iter()
            .filter_map(|download| download.deadline());
        theirs.chain(patience).min().unwrap_or(far)
    }

    /// Whether there is nothing to wait for, or so much that nobody waits for that another stream is sooner.
    fn is_done(&self) -> bool {
        let stale = |pending: &Pending| match pending {
            Pending::Part { download, left, .. } if !download.has_source(&self.device) => *left,
            _ => 0,
        };
        let stale_leaves: u32 = self.pending.iter().map(stale).sum();
        let all_stale = self.pending.iter().all(|pending| stale(pending) > 0);
        let rests = all_stale && self.downloads.is_empty() && self.finishing.is_empty();
        rests || stale_leaves > STALE
    }

    fn small_in_flight(&self) -> usize {
        let is_small = |pending: &&Pending| matches!(pending, Pending::Small { .. });
        self.pending.iter().filter(is_small).count()
    }

    fn leaves_in_flight(&self) -> u32 {
        let leaves = self.pending.iter().map(|pending| match pending {
            Pending::Part {
                left,
                is_list: false,
                ..
            } => *left,
            _ => 0,
        });
        leaves.sum()
    }

    /// Gives back what was asked for and has not come.
    async fn leave(&mut self) -> Result<(), Ended> {
        let mut left = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Small { many, came, .. } => {
                    left.extend(came.into_iter().map(|(blob, _)| blob));
                    left.extend(many.left());
                }
                Pending::Part { download, .. } => self.downloads.push(download),
            }
        }
        if !left.is_empty() {
            self.failed(left, Failure::Interrupted).await?;
            // Another stream asks for it.
            self.network.hunger(self.device, self.number);
        }
        for download in std::mem::take(&mut self.downloads) {
            if download.leave(self.device) {
                self.network.close_download(&download).await?;
                self.network.hunger(self.device, self.number);
            }
        }
        Ok(())
    }

    async fn failed(&self, blobs: Vec<BlobRef>, failure: Failure) -> Result<(), Ended> {
        let device = self.device;
        let told = self.network.node().ask(move |runtime| {
            for blob in &blobs {
                runtime.blob_failed(blob, device, failure);
            }
        });
        Ok(told.await?)
    }
}

/// Small blobs that came.
struct Kept {
    /// What is durable now, and where it lies.
    here: Vec<(BlobRef, BlobPlace)>,
    /// What the disk has no room for.
    no_room: Vec<BlobRef>,
}

/// Puts small blobs and makes them durable, as far as the disk has room.
fn keep(store: &Store, came: Vec<(BlobRef, Vec<u8>)>) -> Result<Kept, StoreError> {
    let mut kept = Vec::with_capacity(came.len());
    let mut no_room = Vec::new();
    for (blob, bytes) in came {
        match store.blobs().put_as(&blob.id, &bytes) {
            Ok(stored) => kept.push((blob, stored.place)),
            Err(StoreError::DiskFull) => no_room.push(blob),
            Err(error) => return Err(error),
        }
    }
    match store.blobs().sync() {
        Err(StoreError::DiskFull) => {
            no_room.extend(kept.drain(..).map(|(blob, _)| blob));
        }
        synced => synced?,
    }
    Ok(Kept {
        here: kept,
        no_room,
    })
}
