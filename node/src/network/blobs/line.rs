//! One stream of requests to a peer, and the frames that come back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use heirloom_protocol::{
    id::DeviceId,
    sync::blob::{AnswerHead, HEAD_BYTES, Request},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::mpsc,
};
use tokio_util::task::AbortOnDropHandle;

use super::{Ended, Network};
use crate::{
    net::{Proto, Stream},
    network::{pace::Paced, peer_of},
};

/// How long a peer may say nothing while something was asked of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Frames read ahead of whoever takes them: at most 1 MiB.
const READ_AHEAD: usize = 4;

/// One stream of requests to a peer.
pub(super) struct Line {
    read: ReadHalf<Paced<Stream>>,
    pub(super) write: WriteHalf<Paced<Stream>>,
    next_id: u32,
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
            read,
            write,
            next_id: first_id,
        })
    }

    pub(super) fn id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
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

    /// Has a task of its own read on, so that whoever takes frames can wait for other things too.
    pub(super) fn read_on(self) -> Asker {
        let (tell, frames) = mpsc::channel(READ_AHEAD);
        let heard = Arc::new(Mutex::new(Instant::now()));
        let reading = tokio::spawn(read_frames(self.read, tell, heard.clone()));
        Asker {
            write: self.write,
            next_id: self.next_id,
            frames,
            heard,
            _reading: AbortOnDropHandle::new(reading),
        }
    }
}

/// One answer's piece.
pub(super) struct Frame {
    pub(super) head: AnswerHead,
    pub(super) payload: Vec<u8>,
}

/// A stream of requests of which a task reads the answers. Dropped, it is reset.
pub(super) struct Asker {
    write: WriteHalf<Paced<Stream>>,
    next_id: u32,
    frames: mpsc::Receiver<Result<Frame, Ended>>,
    heard: Arc<Mutex<Instant>>,
    _reading: AbortOnDropHandle<()>,
}

impl Asker {
    /// Sends a request, made for its number.
    pub(super) async fn ask(&mut self, request: impl FnOnce(u32) -> Request) -> Result<u32, Ended> {
        self.next_id = self.next_id.wrapping_add(1);
        let frame = request(self.next_id).to_frame();
        let sent = async {
            self.write.write_all(&frame).await?;
            self.write.flush().await
        };
        // A peer that takes no requests is as good as gone.
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        sent.map_err(|_| Ended::Lost)??;
        Ok(self.next_id)
    }

    /// The next frame. Nothing is lost where this is given up.
    pub(super) async fn frame(&mut self) -> Result<Frame, Ended> {
        self.frames.recv().await.unwrap_or(Err(Ended::Lost))
    }

    /// When the peer is given up, if something was asked of it.
    pub(super) fn patience(&self) -> Instant {
        *lock(&self.heard) + PATIENCE
    }

    /// Patience begins anew, as nothing was asked before.
    pub(super) fn be_patient(&self) {
        *lock(&self.heard) = Instant::now();
    }

    /// Ends it well.
    pub(super) async fn end(mut self) -> Result<(), Ended> {
        Ok(self.write.shutdown().await?)
    }
}

fn lock(heard: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read_frames(
    mut read: ReadHalf<Paced<Stream>>,
    tell: mpsc::Sender<Result<Frame, Ended>>,
    heard: Arc<Mutex<Instant>>,
) {
    loop {
        let frame = read_frame(&mut read, &heard).await;
        let is_over = frame.is_err();
        if tell.send(frame).await.is_err() || is_over {
            return;
        }
    }
}

async fn read_frame(
    read: &mut ReadHalf<Paced<Stream>>,
    heard: &Mutex<Instant>,
) -> Result<Frame, Ended> {
    let mut bytes = [0; HEAD_BYTES];
    read.read_exact(&mut bytes).await?;
    let head = AnswerHead::parse(bytes).map_err(|_| Ended::Misbehaved)?;
    let mut payload = Vec::with_capacity(head.len);
    while payload.len() < head.len {
        // Over a slow line one frame alone can take longer than patience lasts.
        *lock(heard) = Instant::now();
        let left = head.len - payload.len();
        let left = u64::try_from(left).map_err(|_| Ended::Misbehaved)?;
        if (&mut *read).take(left).read_buf(&mut payload).await? == 0 {
            return Err(Ended::Lost);
        }
    }
    *lock(heard) = Instant::now();
    Ok(Frame { head, payload })
}
