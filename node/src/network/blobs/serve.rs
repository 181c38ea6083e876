//! Answers a peer's requests, in their order.

use heirloom_protocol::{
    crypto::LeafHasher,
    id::DeviceId,
    limits,
    sync::blob::{
        AnswerHead, AnswerKind, BlobPlace as Name, GetLeaves, GetMany, GetRange, Gone,
        PREFIX_BYTES, Request, blob_bytes,
    },
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};

use super::{CHALLENGES, Ended, Network};
use crate::{
    net::Stream,
    runtime::{RuntimeError, Served},
    store::{BlobReader, Store, StoreError},
};

const LEAF: u64 = 65_536;
/// Bytes written to the stream at once.
const WRITE_BYTES: usize = 256 * 1024;

/// Serves until the peer closes the stream.
pub(super) async fn serve(
    network: &Network,
    device: DeviceId,
    stream: Stream,
) -> Result<(), Ended> {
    let (mut read, write) = tokio::io::split(network.0.pace.keep(stream));
    let mut write = BufWriter::with_capacity(WRITE_BYTES, write);
    // Requests are read on while an answer is written, so the peer never waits to ask.
    let (asked, mut requests) = tokio::sync::mpsc::channel(16);
    let reader = tokio::spawn(async move {
        while let Some(request) = read_request(&mut read).await {
            if asked.send(request).await.is_err() {
                return;
            }
        }
    });
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
        answer(network, device, request, &mut write).await?;
        network.state().served_at = Some(std::time::Instant::now());
    }
    reader.abort();
    write.shutdown().await?;
    Ok(())
}

async fn read_request(read: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut prefix = [0; PREFIX_BYTES];
    read.read_exact(&mut prefix).await.ok()?;
    let mut frame = vec![0; Request::frame_len(prefix).ok()?];
    read.read_exact(&mut frame).await.ok()?;
    Request::from_frame(&frame).ok()
}

async fn answer(
    network: &Network,
    device: DeviceId,
    request: Request,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Ended> {
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
    network
        .node()
        .ask(move |runtime| runtime.served_to(&device, &name))
        .await?
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
    for (index, served) in (0_u32..).zip(found) {
        let small = served.filter(|served| blob_bytes(&served.blob) <= limits::SMALL_BLOB_BYTES);
        let Some(served) = small else {
            write
                .write_all(&AnswerHead::gone(many.id, Some(index), Gone::Absent))
                .await?;
            continue;
        };
        let store = network.node().store().clone();
        let read = network
            .node()
            .blocking(move || store.blobs().read(&served.blob.id, &served.place))
            .await?;
        let Ok(bytes) = read else {
            write
                .write_all(&AnswerHead::gone(many.id, Some(index), Gone::Damaged))
                .await?;
            continue;
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
        network.count_sent(1, bytes.len());
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
    let total = blob_bytes(&served.blob);
    let mut at = u64::from(range.first).saturating_mul(LEAF);
    let end = at
        .saturating_add(u64::from(range.count).saturating_mul(LEAF))
        .min(total);
    let store = network.node().store().clone();
    let opened = network
        .node()
        .blocking(move || store.blobs().open_blob(&served.blob.id, &served.place))
        .await?;
    let Ok(reader) = opened else {
        write
            .write_all(&AnswerHead::gone(range.id, None, Gone::Damaged))
            .await?;
        return Ok(());
    };
    let mut index = range.first;
    while at < end {
        let len =
            usize::try_from((end - at).min(u64::try_from(limits::DATA_BYTES).unwrap_or(u64::MAX)))
                .expect("at most 256 KiB");
        let Ok(bytes) = network
            .node()
            .blocking({
                let reader = reader.clone();
                move || read_at(&reader, at, len)
            })
            .await?
        else {
            write
                .write_all(&AnswerHead::gone(range.id, None, Gone::Damaged))
                .await?;
            return Ok(());
        };
        let head = AnswerHead {
            kind: AnswerKind::Data,
            id: range.id,
            index,
            len,
        };
        write.write_all(&head.to_bytes()).await?;
        write.write_all(&bytes).await?;
        at += u64::try_from(len).expect("at most 256 KiB");
        // A blob counts with its end, whichever way the rest of it came.
        if range.id < CHALLENGES {
            network.count_sent(u64::from(at == total), len);
        }
        index =
            index.saturating_add(u32::try_from(len.div_ceil(limits::LEAF_BYTES)).expect("four"));
    }
    Ok(())
}

fn read_at(reader: &BlobReader, at: u64, len: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; len];
    reader.read_at(at, &mut bytes)?;
    Ok(bytes)
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
    let store = network.node().store().clone();
    let lines = network
        .node()
        .blocking(move || lines_of(&store, &served))
        .await?;
    let from = usize::try_from(list.first)
        .unwrap_or(usize::MAX)
        .saturating_mul(32);
    let count = usize::try_from(list.count).unwrap_or(0).saturating_mul(32);
    let asked = lines.ok().and_then(|all| {
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

/// The list of leaves of a blob: kept beside it, or made again.
fn lines_of(store: &Store, served: &Served) -> Result<Vec<u8>, StoreError> {
    let total = blob_bytes(&served.blob);
    let limit = total.div_ceil(LEAF).saturating_mul(32);
    if let Some(kept) = store.blobs().leaves(&served.blob.id, limit)? {
        return Ok(kept);
    }
    let reader = store.blobs().open_blob(&served.blob.id, &served.place)?;
    let mut hasher = LeafHasher::new();
    let mut at = 0;
    while at < total {
        let len = usize::try_from((total - at).min(1024 * 1024)).expect("at most 1 MiB");
        let bytes = read_at(&reader, at, len)?;
        // Fails only for a blob beyond the limit of the protocol, which is never stored.
        if hasher.update(&bytes).is_err() {
            break;
        }
        at += u64::try_from(len).expect("at most 1 MiB");
    }
    let list = hasher
        .finish()
        .map(|list| list.as_bytes().to_vec())
        .unwrap_or_default();
    if total > limits::LEAF_LIST_STORED_ABOVE_BYTES {
        store.blobs().put_leaves(&served.blob.id, &list)?;
    }
    Ok(list)
}

impl Network {
    fn count_sent(&self, blobs: u64, bytes: usize) {
        let mut state = self.state();
        state.moved.blobs_sent += blobs;
        state.moved.bytes_sent += u64::try_from(bytes).unwrap_or(0);
    }
}
