//! A device of the family that has gone bad, calls a node several times at once and fills streams that the node does
//! not read: what waits in them takes no more of its memory than any other flood.
#![cfg(target_os = "linux")]

use std::{fs, time::Duration};

use heirloom_node::net::{Proto, Stream};
use heirloom_protocol::id::LogId;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::gone_bad::{Bad, GROWTH, many, raw, resident};
use crate::devices::{Device, Dice, Homes, Running, link, pair, pictures, proxy::Proxy, report};

/// How long a stream takes nothing before it is full.
const SILENCE: Duration = Duration::from_secs(1);
/// Connections that are tried, beyond what a node lets in.
const CONNECTIONS: usize = 7;
/// Streams of one of them, beyond what it may hold.
const STREAMS: usize = 18;
/// What is asked on a stream before it is left unread: a node takes more at once of who sends more.
const READ: usize = 40 << 20;

/// Bytes of each piece that a stream is filled with.
#[derive(Clone, Copy, Debug)]
enum Pieces {
    /// As large as they come.
    Large,
    /// One byte each.
    Tiny,
}

/// A question that is answered with a few bytes, and as long as a question may be.
fn question(id: u32) -> Vec<u8> {
    let mut body = vec![7; 16_000];
    body[..5].copy_from_slice(&[0; 5]);
    body[0] = u8::try_from(id % 200).expect("small");
    raw(body.len() + 2, 99, &body)
}

/// Asks as fast as is answered; nothing where the stream ended or is not read.
async fn widen(stream: Stream) -> Option<Stream> {
    let (mut read, mut write) = tokio::io::split(stream);
    let count = READ / question(0).len();
    let asking = tokio::spawn(async move {
        for nth in 0..count {
            let nth = u32::try_from(nth).expect("few");
            write.write_all(&question(nth)).await.ok()?;
        }
        write.flush().await.ok()?;
        Some(write)
    });
    let mut bytes = vec![0; 65_536];
    let mut asking = std::pin::pin!(asking);
    let write = loop {
        tokio::select! {
            asked = &mut asking => break asked.ok()??,
            read = timeout(SILENCE, read.read(&mut bytes)) => match read {
                Ok(Ok(1..)) => {}
                _ => return None,
            },
        }
    };
    Some(read.unsplit(write))
}

/// Writes until nothing more is taken; the bytes.
async fn fill(mut stream: Stream, log: LogId, pieces: Pieces) -> (usize, Stream) {
    let mut taken = 0;
    // Until the answers, which are not read, stop the node from reading.
    let mut piece: Vec<u8> = (0..40).flat_map(|id| many(id, log)).collect();
    let most = match pieces {
        Pieces::Large => usize::MAX,
        Pieces::Tiny => 400_000,
    };
    loop {
        let wrote = async {
            match pieces {
                Pieces::Large => stream.write_all(&piece).await,
                Pieces::Tiny if taken == 0 => stream.write_all(&piece).await,
                Pieces::Tiny => {
                    for byte in piece.iter().take(100) {
                        stream.write_all(&[*byte]).await?;
                    }
                    Ok(())
                }
            }
        };
        match timeout(SILENCE, wrote).await {
            Ok(Ok(())) if taken < most => taken += piece.len(),
            _ => return (taken, stream),
        }
        piece = vec![
            7;
            match pieces {
                Pieces::Large => 65_536,
                Pieces::Tiny => 100,
            }
        ];
    }
}

/// One connection more, and as many streams of it as can be had, all of them full.
async fn pour(bad: &Bad, log: LogId, pieces: Pieces, held: &mut Vec<Stream>) -> usize {
    let mut filling = Vec::new();
    if let Pieces::Large = pieces
        && let Some(stream) = bad.open(Proto::Blob).await
        && let Some(stream) = widen(stream).await
    {
        filling.push(tokio::spawn(fill(stream, log, pieces)));
    }
    for _ in 0..STREAMS {
        if let Ok(Some(stream)) = timeout(SILENCE, bad.open(Proto::Blob)).await {
            filling.push(tokio::spawn(fill(stream, log, pieces)));
        }
    }
    let mut all = 0;
    for filled in filling {
        let (taken, stream) = filled.await.expect("it ends");
        all += taken;
        held.push(stream);
    }
    all
}

/// The family, one device of which is to go bad.
fn family() -> (Homes, Device, Running, Device) {
    let homes = Homes::new();
    let [a, phone] = ["a", "phone"].map(|name| homes.device(name));
    a.init("Berger", "Anna", "laptop");
    let node = a.serve();
    pair(&a, &["--device"], &phone, "phone", link);
    let photo = homes.path().join("photo.bmp");
    fs::write(&photo, pictures::bmp(500, &mut Dice::new())).expect("a photo");
    a.ok(&["import", photo.to_str().expect("UTF-8")]);
    (homes, a, node, phone)
}

fn unread(pieces: Pieces) {
    let (_homes, a, node, phone) = family();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    // A node believes that much is on its way to it over a long line.
    let proxy = Proxy::new();
    if let Pieces::Large = pieces {
        proxy.delay(Duration::from_millis(150));
    }
    proxy.lead_to(node.port());
    let honest = runtime.block_on(Bad::of(&phone, &node));
    let log = runtime.block_on(honest.lore()).log();
    drop(honest);
    let before = resident(&node);
    let (mut held, mut bads, mut most) = (Vec::new(), Vec::new(), 0);
    for nth in 0..CONNECTIONS {
        let mut bad = runtime.block_on(Bad::of(&phone, &node));
        let near = format!(
            "{}/p2p/{}",
            proxy.multiaddr(),
            bad.address.peer.expect("whose")
        );
        bad.address = near.parse().expect("an address");
        let taken = runtime.block_on(pour(&bad, log, pieces, &mut held));
        bads.push(bad);
        most = resident(&node).saturating_sub(before).max(most);
        report(&format!(
            "{pieces:?}: {taken} bytes over connection {nth}; {most} KiB more by now"
        ));
    }
    assert!(most <= GROWTH, "{pieces:?}: {most} KiB");
    drop((held, bads));
    // Who fills no streams is let in.
    let honest = runtime.block_on(Bad::of(&phone, &node));
    runtime.block_on(honest.lore());
    node.stop();
    a.never_panicked();
}

#[test]
fn what_waits_in_streams_that_nobody_reads_stays_small() {
    unread(Pieces::Large);
}

#[test]
fn what_comes_in_single_bytes_takes_no_more_than_the_rest() {
    unread(Pieces::Tiny);
}
