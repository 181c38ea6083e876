//! Answers a peer's requests, in their order.

use heirloom_protocol::{
    id::DeviceId,
    limits,
    sync::blob::{
        AnswerHead, AnswerKind, BlobFrameError, BlobPlace as Name, GetLeaves, GetMany, GetRange,
        Gone, ManyBounds, PREFIX_BYTES, Request, blob_bytes, is_small,
    },
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio_util::task::AbortOnDropHandle;

use super::{CHALLENGES, Ended, Network, lists::read_checked};
use crate::{
    net::Stream,
    runtime::{RuntimeError, Served},
    store::{Damage, Finding, StoreError},
};

const LEAF: u64 = 65_536;
/// Bytes written to the stream at once.
const WRITE_BYTES: usize = 256 * 1024;

/// Serves until the peer closes the stream; [`Ended::Misbehaved`] once it has sent what is no request.
pub(super) async fn serve(
    network: &Network,
    device: DeviceId,
    stream: Stream,
) -> Result<(), Ended> {
    let (mut read, write) = tokio::io::split(network.0.pace.keep(stream));
    let mut write = BufWriter::with_capacity(WRITE_BYTES, write);
    // Requests are read on while an answer is written, so the peer never waits to ask.
    let (asked, mut requests) = tokio::sync::mpsc::channel(16);
    let reader = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(request) = read_request(&mut read).await {
            let is_over = request.is_err();
            if asked.send(request).await.is_err() || is_over {
                return;
            }
        }
    }));
    loop {
        let request = match requests.try_recv() {
            Ok(request) => request,
            Err(_) => {
                write.flush().await?;
                match requests.recv().await {
                    Some(request) => request,
                    None => break,
                }
            }
        };
        let request = request.map_err(|_| Ended::Misbehaved)?;
        answer(network, device, request, &mut write).await?;
        network.state().served_at = Some(std::time::Instant::now());
    }
    drop(reader);
    write.shutdown().await?;
    Ok(())
}

/// The next request, or what came instead of one; nothing where the stream has ended, be it in the middle of one.
async fn read_request(
    read: &mut (impl AsyncRead + Unpin),
) -> Option<Result<Request, BlobFrameError>> {
    let mut prefix = [0; PREFIX_BYTES];
    read.read_exact(&mut prefix).await.ok()?;
    let length = match Request::frame_len(prefix) {
        Ok(length) => length,
        Err(error) => return Some(Err(error)),
    };
    let mut frame = vec![0; length];
    read.read_exact(&mut frame).await.ok()?;
    Some(Request::from_frame(&frame))
}

async fn answer(
    network: &Network,
    device: DeviceId,
    request: Request,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Ended> {
    #[cfg(test)]
    if let Some(gone) = network.withhold(&request) {
        return Ok(write.write_all(&gone).await?);
    }
    match request {
        Request::Many(many) => many_blobs(network, device, many, write).await,
        Request::Range(range) => leaves(network, device, range, write).await,
        Request::Leaves(list) => leaf_list(network, device, list, write).await,
        Request::Unknown { id } => {
            write
                .write_all(&AnswerHead::gone(id, None, Gone::Unknown))
                .await?;
            Ok(())
        }
    }
}

async fn find(
    network: &Network,
    device: DeviceId,
    name: Name,
) -> Result<Option<Served>, RuntimeError> {
    let found = network
        .node()
        .ask(move |runtime| runtime.served_to(&device, &name))
        .await?;
    #[cfg(test)]
    let found = found.map(|served| network.instead_of(served));
    found
}

async fn many_blobs(
    network: &Network,
    device: DeviceId,
    many: GetMany,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Ended> {
    let names: Vec<_> = many.places().collect();
    let found = network.node().ask(move |runtime| {
        names
            .iter()
            .map(|name| runtime.served_to(&device, name))
            .collect::<Result<Vec<_>, _>>()
    });
    let found = found.await??;
    #[cfg(test)]
    let found = found.into_iter().map(|served| network.instead_of(served));
    let mut bounds = ManyBounds::default();
    for (index, served) in (0_u32..).zip(found) {
        let small = served.filter(|served| is_small(&served.blob));
        let lacks = match &small {
            None => Some(Gone::Absent),
            // Who asks knows the sizes as well, so this is a peer that does not keep to the rules, or a log
            // that has forked.
            Some(served) => (!bounds.takes(&served.blob)).then_some(Gone::TooMuch),
        };
        if let Some(why) = lacks {
            write
                .write_all(&AnswerHead::gone(many.id, Some(index), why))
                .await?;
        }
        let (Some(served), None) = (small, lacks) else {
            continue;
        };
        let store = network.node().store().clone();
        let read = network
            .node()
            .blocking(move || store.blobs().read(&served.blob.id, &served.place))
            .await?;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                network.note_damage(served, &error);
                write
                    .write_all(&AnswerHead::gone(many.id, Some(index), Gone::Damaged))
                    .await?;
                continue;
            }
        };
        for piece in bytes.chunks(limits::DATA_BYTES) {
            let head = AnswerHead {
                kind: AnswerKind::Data,
                id: many.id,
                index,
                len: piece.len(),
            };
            write.write_all(&head.to_bytes()).await?;
            write.write_all(piece).await?;
        }
        network.count_sent(device, 1, bytes.len());
    }
    Ok(())
}

async fn leaves(
    network: &Network,
    device: DeviceId,
    range: GetRange,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Ended> {
    let served = find(network, device, range.blob).await?;
    let Some(served) = served.filter(|_| range.count > 0 && range.count <= limits::RANGE_LEAVES)
    else {
        write
            .write_all(&AnswerHead::gone(range.id, None, Gone::Absent))
            .await?;
        return Ok(());
    };
    if let Err(error) = send_leaves(network, (device, served), range, write).await? {
        network.note_damage(served, &error);
        write
            .write_all(&AnswerHead::gone(range.id, None, Gone::Damaged))
            .await?;
    }
    Ok(())
}

/// Sends leaves, each checked before it goes; the inner error says why the rest does not.
async fn send_leaves(
    network: &Network,
    (device, served): (DeviceId, Served),
    range: GetRange,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<Result<(), StoreError>, Ended> {
    let total = blob_bytes(&served.blob);
    let mut at = u64::from(range.first).saturating_mul(LEAF);
    let end = at
        .saturating_add(u64::from(range.count).saturating_mul(LEAF))
        .min(total);
    let asking = network.clone();
    let opened = network.node().blocking(move || {
        let store = asking.node().store();
        let list = asking.0.lists.of(store, &served)?;
        let reader = store.blobs().open_blob(&served.blob.id, &served.place)?;
        Ok((list, reader))
    });
    let (list, reader) = match opened.await? {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let mut index = range.first;
    while at < end {
        let most = u64::try_from(limits::DATA_BYTES).unwrap_or(u64::MAX);
        let len = usize::try_from((end - at).min(most)).expect("at most 256 KiB");
        let (list, reader) = (list.clone(), reader.clone());
        let read = network
            .node()
            .blocking(move || read_checked(&reader, &list, index, len));
        #[cfg_attr(not(test), expect(unused_mut, reason = "only a test lies"))]
        let mut bytes = match read.await? {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error)),
        };
        #[cfg(test)]
        network.lie(range.id, index, &mut bytes);
        let head = AnswerHead {
            kind: AnswerKind::Data,
            id: range.id,
            index,
            len: bytes.len(),
        };
        write.write_all(&head.to_bytes()).await?;
        write.write_all(&bytes).await?;
        at += u64::try_from(len).expect("at most 256 KiB");
        // A blob counts with its end, whichever way the rest of it came.
        if range.id < CHALLENGES {
            network.count_sent(device, u64::from(at == total), len);
        }
        index =
            index.saturating_add(u32::try_from(len.div_ceil(limits::LEAF_BYTES)).expect("four"));
    }
    Ok(Ok(()))
}

async fn leaf_list(
    network: &Network,
    device: DeviceId,
    list: GetLeaves,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Ended> {
    let served = find(network, device, list.blob).await?;
    let Some(served) = served.filter(|_| list.count > 0 && list.count <= limits::LEAF_PAGE) else {
        write
            .write_all(&AnswerHead::gone(list.id, None, Gone::Absent))
            .await?;
        return Ok(());
    };
    let asking = network.clone();
    let whole = network
        .node()
        .blocking(move || asking.0.lists.of(asking.node().store(), &served));
    let whole = whole.await?;
    if let Err(error) = &whole {
        network.note_damage(served, error);
    }
    let from = usize::try_from(list.first)
        .unwrap_or(usize::MAX)
        .saturating_mul(32);
    let count = usize::try_from(list.count).unwrap_or(0).saturating_mul(32);
    let asked = whole.ok().and_then(|whole| {
        let all = whole.as_bytes();
        let end = from.saturating_add(count).min(all.len());
        all.get(from..end).map(<[u8]>::to_vec)
    });
    let Some(bytes) = asked.filter(|bytes| !bytes.is_empty()) else {
        write
            .write_all(&AnswerHead::gone(list.id, None, Gone::Damaged))
            .await?;
        return Ok(());
    };
    for (index, piece) in (0_u32..).zip(bytes.chunks(limits::DATA_BYTES)) {
        let lines_before = index * u32::try_from(limits::DATA_BYTES / 32).expect("8,192");
        let index = list.first.saturating_add(lines_before);
        let head = AnswerHead {
            kind: AnswerKind::Leaves,
            id: list.id,
            index,
            len: piece.len(),
        };
        write.write_all(&head.to_bytes()).await?;
        write.write_all(piece).await?;
    }
    Ok(())
}

impl Network {
    /// Has damage that was found while serving dealt with: the blob is put aside and got again.
    fn note_damage(&self, served: Served, error: &StoreError) {
        tracing::warn!(blob = %served.blob.id, %error, "a blob cannot be served");
        if !matches!(error, StoreError::Damaged(Damage::Blob { .. })) {
            return;
        }
        self.0.lists.forget(&served);
        let network = self.clone();
        tokio::spawn(async move {
            let healed = network.node().ask(move |runtime| {
                let kept = runtime.kept_name(&served.blob);
                let damage = Damage::Blob {
                    cid: served.blob.id,
                };
                let blob = Some((kept, served.blob.ordinal));
                runtime.heal(&[Finding { damage, blob }])
            });
            if let Ok(Err(error)) = healed.await {
                tracing::warn!(%error, "a damaged blob could not be put aside");
            }
        });
    }

    fn count_sent(&self, device: DeviceId, blobs: u64, bytes: usize) {
        let mut state = self.state();
        state.sent_at.insert(device, std::time::Instant::now());
        state.moved.blobs_sent += blobs;
        state.moved.bytes_sent += u64::try_from(bytes).unwrap_or(0);
    }
}
