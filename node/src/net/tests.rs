//! Real swarms on loopback, in one process.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use zeroize::Zeroizing;

use super::*;

mod relay;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Far more than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    net: Net,
    events: mpsc::Receiver<NetEvent>,
}

impl Node {
    async fn start(seed: u8) -> Self {
        Self::with(config(seed)).await
    }

    async fn with(config: NetConfig) -> Self {
        let (net, events) = Net::start(config).await.unwrap();
        Self { net, events }
    }

    fn me(&self) -> Peer {
        self.net.me()
    }

    /// Where it listens itself; a place at a relay may come before that in the list.
    fn address(&self) -> Address {
        let own = |address: &Address| address.via.is_none();
        let addresses = self.net.addresses();
        addresses.into_iter().find(own).unwrap()
    }

    async fn allow(&self, peers: &[&Self]) {
        let peers = peers.iter().map(|node| node.me()).collect();
        self.net.set_allowed(peers).await.unwrap();
    }

    async fn dial(&self, other: &Self) -> Result<Peer, NetError> {
        let whom = Whom::Device(other.me());
        self.net.dial(whom, vec![other.address()]).await
    }

    async fn next(&mut self) -> NetEvent {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event should have come").unwrap()
    }

    async fn stream(&mut self) -> (Peer, Proto, Stream) {
        loop {
            if let NetEvent::Stream {
                peer,
                proto,
                stream,
            } = self.next().await
            {
                return (peer, proto, stream);
            }
        }
    }

    async fn gone(&mut self) -> Peer {
        loop {
            if let NetEvent::Disconnected { peer } = self.next().await {
                return peer;
            }
        }
    }
}

fn config(seed: u8) -> NetConfig {
    NetConfig {
        listen: vec![Address::new(HOME, 0)],
        discovery: false,
        ..NetConfig::new(Zeroizing::new([seed; 32]))
    }
}

/// Two nodes that know each other, connected by the first.
async fn pair() -> (Node, Node) {
    let (anna, ben) = (Node::start(1).await, Node::start(2).await);
    anna.allow(&[&ben]).await;
    ben.allow(&[&anna]).await;
    assert_eq!(anna.dial(&ben).await.unwrap(), ben.me());
    let mut ben = ben;
    while !matches!(ben.next().await, NetEvent::Connected { .. }) {}
    (anna, ben)
}

async fn patiently<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it should be done")
}

/// Bytes that are the same in every run and nowhere repeat soon.
fn noise(bytes: usize) -> Vec<u8> {
    let mut output = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut output);
    output
}

async fn echo(mut stream: Stream) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut bytes).await.unwrap();
        if read == 0 {
            return stream.shutdown().await.unwrap();
        }
        stream.write_all(&bytes[..read]).await.unwrap();
    }
}

async fn assert_echo(stream: &mut Stream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    let mut back = vec![0; bytes.len()];
    patiently(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, bytes);
}

#[tokio::test]
async fn devices_of_a_roster_talk_over_every_protocol() {
    let (anna, mut ben) = pair().await;
    for proto in Proto::ALL {
        let mut there = anna.net.open(ben.me(), *proto).await.unwrap();
        let (peer, opened, here) = ben.stream().await;
        assert_eq!((peer, opened), (anna.me(), *proto));
        let echo = tokio::spawn(echo(here));
        assert_echo(&mut there, b"a photo").await;
        there.shutdown().await.unwrap();
        assert_eq!(patiently(there.read(&mut [0])).await.unwrap(), 0);
        patiently(echo).await.unwrap();
    }
    let paths = anna.net.connected().await.unwrap();
    assert_eq!(paths.len(), 1);
    assert_eq!(paths[0].path, Path::Lan);
    assert_eq!((paths[0].sent, paths[0].received), (21, 21));
    assert!(paths[0].outbound);
}

#[tokio::test]
async fn streams_go_both_ways_over_the_one_connection() {
    let (mut anna, ben) = pair().await;
    let mut there = ben.net.open(anna.me(), Proto::Sync).await.unwrap();
    let (peer, _, here) = anna.stream().await;
    assert_eq!(peer, ben.me());
    tokio::spawn(echo(here));
    assert_echo(&mut there, b"hello").await;
    assert_eq!(ben.dial(&anna).await.unwrap(), anna.me());
    assert_eq!(ben.net.connected().await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_many_streams_opened_at_once_none_is_lost() {
    let (anna, mut ben) = pair().await;
    for _ in 0..4 {
        let opening = (0..limits::STREAMS).map(|_| anna.net.open(ben.me(), Proto::Blob));
        let mut opened = patiently(futures::future::try_join_all(opening))
            .await
            .unwrap();
        let busy = anna.net.open(ben.me(), Proto::Blob).await;
        assert!(matches!(busy, Err(NetError::Busy)));
        for (number, stream) in (0u8..).zip(&mut opened) {
            stream.write_all(&[number]).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        let mut numbers = BTreeSet::new();
        for _ in 0..limits::STREAMS {
            let (_, _, mut stream) = ben.stream().await;
            numbers.insert(patiently(stream.read_u8()).await.unwrap());
        }
        assert_eq!(numbers.len(), limits::STREAMS);
    }
    assert_eq!(ben.net.refusals(), Refusals::default());
}

#[tokio::test]
async fn a_stream_beyond_the_limit_is_reset_and_counted() {
    let (anna, mut ben) = pair().await;
    let mut held = Vec::new();
    for _ in 0..limits::STREAMS {
        drop(anna.net.open(ben.me(), Proto::Blob).await.unwrap());
        held.push(ben.stream().await);
    }
    let mut refused = anna.net.open(ben.me(), Proto::Blob).await.unwrap();
    assert_eq!(patiently(refused.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(ben.net.refusals().streams, 1);
    held.clear();
    let mut welcome = anna.net.open(ben.me(), Proto::Blob).await.unwrap();
    let (_, _, here) = ben.stream().await;
    tokio::spawn(echo(here));
    assert_echo(&mut welcome, b"room again").await;
}

#[tokio::test]
async fn a_stranger_gets_no_stream_and_leaves_no_trace() {
    let (stranger, mut ben, anna) = (
        Node::start(3).await,
        Node::start(2).await,
        Node::start(1).await,
    );
    stranger.allow(&[&ben]).await;
    ben.allow(&[&anna]).await;
    anna.allow(&[&ben]).await;
    let mut stranger = stranger;
    for turn in 1..=40 {
        if stranger.dial(&ben).await.is_ok() {
            let opened = stranger.net.open(ben.me(), Proto::Pair).await;
            assert!(opened.is_err());
            assert_eq!(stranger.gone().await, ben.me());
        }
        assert_eq!(ben.net.refusals().strangers, turn);
    }
    assert!(ben.net.connected().await.unwrap().is_empty());
    // Forty handshakes later there is still a place for a device of the family.
    anna.dial(&ben).await.unwrap();
    let seen = loop {
        match ben.next().await {
            NetEvent::Listening { .. } => {}
            event => break event,
        }
    };
    assert!(matches!(seen, NetEvent::Connected { peer, .. } if peer == anna.me()));
}

#[tokio::test]
async fn a_guest_can_pair_and_nothing_else() {
    let mut host = Node::start(1).await;
    let guest = Node::with(NetConfig {
        listen: Vec::new(),
        ..config(9)
    })
    .await;
    assert_eq!(guest.net.port(), None);
    let valid = Duration::from_secs(3600);
    host.net.allow_guest(guest.me(), valid).await.unwrap();
    // Words alone do not say who made the invite.
    let found = guest.net.dial(
        Whom::Host(None),
        vec![Address::new(HOME, host.address().port)],
    );
    assert_eq!(found.await.unwrap(), host.me());
    for proto in [Proto::Sync, Proto::Blob] {
        let opened = guest.net.open(host.me(), proto).await;
        assert!(matches!(opened, Err(NetError::NotAllowed)));
    }
    let mut there = guest.net.open(host.me(), Proto::Pair).await.unwrap();
    let (peer, proto, here) = host.stream().await;
    assert_eq!((peer, proto), (guest.me(), Proto::Pair));
    tokio::spawn(echo(here));
    assert_echo(&mut there, b"orbit walnut velvet").await;
    for proto in Proto::ALL {
        let opened = host.net.open(guest.me(), *proto).await;
        assert!(matches!(opened, Err(NetError::NotAllowed)));
    }
    assert_eq!(
        host.net.connected().await.unwrap()[0].standing,
        Standing::Guest
    );
    assert_eq!(
        guest.net.connected().await.unwrap()[0].standing,
        Standing::Host
    );

    host.net.forget_guest(guest.me()).await.unwrap();
    assert_eq!(host.gone().await, guest.me());
    let end = patiently(there.read(&mut [0])).await;
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_guest_that_breaks_its_own_rules_is_still_kept_to_pairing() {
    let mut host = Node::start(1).await;
    let guest = Node::start(9).await;
    let valid = Duration::from_secs(3600);
    host.net.allow_guest(guest.me(), valid).await.unwrap();
    // The guest's own gate believes that the host is a member.
    guest.allow(&[&host]).await;
    guest.dial(&host).await.unwrap();
    for proto in [Proto::Sync, Proto::Blob] {
        let opened = guest.net.open(host.me(), proto).await;
        assert!(matches!(opened, Err(NetError::Refused)));
    }
    let _pairing = guest.net.open(host.me(), Proto::Pair).await.unwrap();
    assert_eq!(host.stream().await.1, Proto::Pair);
}

#[tokio::test]
async fn an_invite_that_has_run_out_lets_nobody_in() {
    let host = Node::start(1).await;
    let guest = Node::start(9).await;
    host.net
        .allow_guest(guest.me(), Duration::ZERO)
        .await
        .unwrap();
    let whom = Whom::Host(Some(host.me()));
    if guest.net.dial(whom, vec![host.address()]).await.is_ok() {
        assert!(guest.net.open(host.me(), Proto::Pair).await.is_err());
    }
    assert_eq!(host.net.refusals().strangers, 1);
}

#[tokio::test]
async fn removing_a_device_ends_its_connection_at_once() {
    let (mut anna, mut ben) = pair().await;
    let mut there = anna.net.open(ben.me(), Proto::Sync).await.unwrap();
    let (_, _, mut here) = ben.stream().await;
    let reading = tokio::spawn(async move { (here.read(&mut [0]).await, here) });
    ben.allow(&[]).await;
    let (read, mut here) = patiently(reading).await.unwrap();
    assert!(read.is_err());
    assert!(here.write_all(b"too late").await.is_err());
    assert_eq!(ben.gone().await, anna.me());
    assert_eq!(anna.gone().await, ben.me());
    assert!(matches!(
        patiently(there.read(&mut [0])).await,
        Ok(0) | Err(_)
    ));
    assert!(matches!(
        ben.net.open(anna.me(), Proto::Sync).await,
        Err(NetError::NotConnected)
    ));
    assert!(matches!(ben.dial(&anna).await, Err(NetError::NotAllowed)));
}

#[tokio::test]
async fn hanging_up_wakes_who_waits_to_read_or_write() {
    let (anna, mut ben) = pair().await;
    let there = anna.net.open(ben.me(), Proto::Blob).await.unwrap();
    let (_, _, _unread) = ben.stream().await;
    let (mut read, mut write) = tokio::io::split(there);
    let reading = tokio::spawn(async move { read.read(&mut [0]).await.is_err() });
    let (stuck, mut is_stuck) = watch::channel(0);
    let writing = tokio::spawn(async move {
        let bytes = noise(64 * 1024);
        while write.write_all(&bytes).await.is_ok() {
            stuck.send_modify(|blocks| *blocks += 1);
        }
    });
    // The other side does not read, so the window of 256 KiB fills up.
    is_stuck.wait_for(|blocks| *blocks >= 3).await.unwrap();
    anna.net.disconnect(ben.me()).await.unwrap();
    assert!(patiently(reading).await.unwrap());
    patiently(writing).await.unwrap();
}

async fn send_all(mut to: impl AsyncWrite + Unpin, bytes: Vec<u8>) {
    to.write_all(&bytes).await.unwrap();
    to.shutdown().await.unwrap();
}

async fn receive_all(mut from: impl AsyncRead + Unpin) -> blake3::Hash {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.unwrap();
    blake3::hash(&bytes)
}

/// rust-libp2p #5410: both sides write more than any buffer holds first.
#[tokio::test]
async fn both_sides_may_write_before_they_read() {
    let (anna, mut ben) = pair().await;
    let there = anna.net.open(ben.me(), Proto::Sync).await.unwrap();
    let (_, _, here) = ben.stream().await;
    let bytes = noise(16 * 1024 * 1024);
    let hash = blake3::hash(&bytes);
    let (read_there, write_there) = tokio::io::split(there);
    let (read_here, write_here) = tokio::io::split(here);
    let all = async {
        tokio::join!(
            send_all(write_there, bytes.clone()),
            send_all(write_here, bytes.clone()),
            receive_all(read_there),
            receive_all(read_here),
        )
    };
    let (_, _, at_anna, at_ben) = patiently(all).await;
    assert_eq!((at_anna, at_ben), (hash, hash));
}

#[tokio::test]
async fn sixty_four_mebibytes_arrive_as_they_were_sent() {
    let (anna, mut ben) = pair().await;
    let there = anna.net.open(ben.me(), Proto::Blob).await.unwrap();
    let (_, _, here) = ben.stream().await;
    let bytes = noise(64 * 1024 * 1024);
    let hash = blake3::hash(&bytes);
    let (_, received) =
        patiently(async { tokio::join!(send_all(there, bytes), receive_all(here)) }).await;
    assert_eq!(received, hash);
}

#[tokio::test]
async fn what_was_written_before_the_goodbye_arrives() {
    let (anna, mut ben) = pair().await;
    let mut there = anna.net.open(ben.me(), Proto::Sync).await.unwrap();
    let (_, _, here) = ben.stream().await;
    let bytes = noise(200 * 1024);
    let hash = blake3::hash(&bytes);
    there.write_all(&bytes).await.unwrap();
    there.shutdown().await.unwrap();
    patiently(anna.net.clone().shutdown()).await;
    assert_eq!(patiently(receive_all(here)).await, hash);
    assert_eq!(ben.gone().await, anna.me());
    assert!(matches!(anna.net.connected().await, Err(NetError::Stopped)));
}

#[tokio::test]
async fn one_peer_holds_no_more_than_three_connections() {
    let ben = Node::start(2).await;
    let mut copies = Vec::new();
    for _ in 0..3 {
        let anna = Node::start(1).await;
        anna.allow(&[&ben]).await;
        ben.allow(&[&anna]).await;
        anna.dial(&ben).await.unwrap();
        let mut there = anna.net.open(ben.me(), Proto::Sync).await.unwrap();
        there.write_all(b"x").await.unwrap();
        copies.push((anna, there));
    }
    let fourth = Node::start(1).await;
    fourth.allow(&[&ben]).await;
    if fourth.dial(&ben).await.is_ok() {
        assert!(fourth.net.open(ben.me(), Proto::Sync).await.is_err());
    }
    assert_eq!(ben.net.refusals().connections, 1);
    assert_eq!(ben.net.connected().await.unwrap().len(), 1);
}

#[tokio::test]
async fn devices_that_call_each_other_at_once_end_up_connected() {
    let (mut anna, ben) = (Node::start(1).await, Node::start(2).await);
    anna.allow(&[&ben]).await;
    ben.allow(&[&anna]).await;
    let (there, back) = tokio::join!(anna.dial(&ben), ben.dial(&anna));
    assert_eq!((there.unwrap(), back.unwrap()), (ben.me(), anna.me()));
    let mut stream = ben.net.open(anna.me(), Proto::Sync).await.unwrap();
    let (_, _, here) = anna.stream().await;
    tokio::spawn(echo(here));
    assert_echo(&mut stream, b"both").await;
}

#[tokio::test]
async fn a_device_is_not_mistaken_for_another() {
    let (anna, ben, carl) = (
        Node::start(1).await,
        Node::start(2).await,
        Node::start(3).await,
    );
    anna.allow(&[&ben, &carl]).await;
    let at_carl = Address {
        peer: None,
        ..carl.address()
    };
    let dialled = anna.net.dial(Whom::Device(ben.me()), vec![at_carl]).await;
    assert!(matches!(dialled, Err(NetError::WrongPeer)));
    assert!(anna.net.connected().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_good_address_among_many_bad_ones_is_enough() {
    let (anna, ben, carl) = (
        Node::start(1).await,
        Node::start(2).await,
        Node::start(3).await,
    );
    anna.allow(&[&ben]).await;
    ben.allow(&[&anna]).await;
    let closed = TcpListener::bind((HOME, 0)).await.unwrap();
    let nobody = Address::new(HOME, closed.local_addr().unwrap().port());
    drop(closed);
    let somebody_else = Address {
        peer: None,
        ..carl.address()
    };
    let twice = Address::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)), ben.address().port);
    let addresses = vec![
        Address::new(HOME, 0),
        anna.address(),
        nobody,
        somebody_else,
        ben.address(),
        twice,
    ];
    let dialled = anna.net.dial(Whom::Device(ben.me()), addresses).await;
    assert_eq!(dialled.unwrap(), ben.me());
    let dialled = anna.net.dial(Whom::Member, vec![nobody]).await;
    assert!(matches!(dialled, Err(NetError::Unreachable)));
}

#[tokio::test]
async fn a_device_does_not_dial_itself() {
    let anna = Node::start(1).await;
    anna.allow(&[&anna]).await;
    let whom = Whom::Device(anna.me());
    let dialled = anna.net.dial(whom, vec![anna.address()]).await;
    assert!(matches!(dialled, Err(NetError::NotAllowed)));
    let dialled = anna.net.dial(Whom::Host(None), vec![anna.address()]).await;
    assert!(matches!(dialled, Err(NetError::Unreachable)));
}

#[tokio::test]
async fn lan_only_sends_nothing_outside() {
    let anna = Node::with(NetConfig {
        reach: Reach::LanOnly(Vec::new()),
        ..config(1)
    })
    .await;
    let ben = Node::start(2).await;
    anna.allow(&[&ben]).await;
    ben.allow(&[&anna]).await;
    let outside = Address::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 4001);
    // Without the gate this would wait for the handshake to time out.
    let dialled = anna.net.dial(Whom::Device(ben.me()), vec![outside]);
    let dialled = timeout(Duration::from_secs(5), dialled).await.unwrap();
    assert!(matches!(dialled, Err(NetError::Unreachable)));
    anna.dial(&ben).await.unwrap();
}

/// Carries bytes between a client and `to` until `halted`, then holds the
/// line open and carries nothing more.
async fn halting_proxy(to: Address) -> (Address, oneshot::Sender<()>) {
    let listener = TcpListener::bind((HOME, 0)).await.unwrap();
    let address = Address::new(HOME, listener.local_addr().unwrap().port());
    let (halt, halted) = oneshot::channel();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect((to.ip, to.port)).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
            _ = halted => {}
        }
        std::future::pending::<()>().await;
    });
    (address, halt)
}

#[tokio::test]
async fn a_line_that_goes_dead_is_noticed_on_both_sides() {
    let impatient = |seed| {
        let mut config = config(seed);
        config.limits.silence = Duration::from_secs(1);
        config
    };
    let mut anna = Node::with(impatient(1)).await;
    let mut ben = Node::with(impatient(2)).await;
    anna.allow(&[&ben]).await;
    ben.allow(&[&anna]).await;
    let (through, halt) = halting_proxy(ben.address()).await;
    let dialled = anna.net.dial(Whom::Device(ben.me()), vec![through]).await;
    assert_eq!(dialled.unwrap(), ben.me());
    let mut there = anna.net.open(ben.me(), Proto::Sync).await.unwrap();
    let (_, _, mut here) = ben.stream().await;
    halt.send(()).unwrap();
    assert_eq!(anna.gone().await, ben.me());
    assert_eq!(ben.gone().await, anna.me());
    assert!(!matches!(patiently(there.read(&mut [0])).await, Ok(1)));
    assert!(!matches!(patiently(here.read(&mut [0])).await, Ok(1)));
}

#[tokio::test]
async fn callers_that_say_nothing_lose_their_places() {
    let mut config = config(2);
    config.limits.handshake = Duration::from_secs(1);
    let ben = Node::with(config).await;
    let anna = Node::start(1).await;
    anna.allow(&[&ben]).await;
    ben.allow(&[&anna]).await;
    let target = (HOME, ben.address().port);
    let mut idle = Vec::new();
    for _ in 0..limits::HANDSHAKES {
        idle.push(TcpStream::connect(target).await.unwrap());
    }
    for mut line in idle {
        let mut said = Vec::new();
        // Closed by the other side, with or without a reset.
        let _ = patiently(line.read_to_end(&mut said)).await;
    }
    patiently(async {
        while anna.dial(&ben).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refused = u64::try_from(limits::HANDSHAKES).unwrap();
    assert!(ben.net.refusals().handshakes >= refused);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stranger_that_holds_connections_all_the_time_keeps_no_member_out() {
    let ben = Node::start(2).await;
    let target = (HOME, ben.address().port).into();
    // From another address of this computer, a new one as soon as the last one is there.
    let held = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&held);
    let stranger = tokio::spawn(async move {
        let mut lines = std::collections::VecDeque::new();
        loop {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
            lines.push_back(socket.connect(target).await.unwrap());
            if lines.len() > limits::HANDSHAKES * 2 {
                lines.pop_front();
            }
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    patiently(async {
        while held.load(Ordering::Relaxed) < limits::HANDSHAKES * 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for seed in 10..20 {
        let member = Node::start(seed).await;
        member.allow(&[&ben]).await;
        ben.allow(&[&member]).await;
        // The first try, whatever the stranger does.
        let dialled = patiently(member.dial(&ben)).await;
        assert_eq!(dialled.unwrap(), ben.me());
    }
    assert!(!stranger.is_finished());
    stranger.abort();
}

#[tokio::test]
async fn adverts_are_found_by_others_and_not_by_oneself() {
    let browsing = |seed| NetConfig {
        discovery: true,
        ..config(seed)
    };
    let mut anna = Node::with(browsing(1)).await;
    let mut ben = Node::with(browsing(2)).await;
    let advert = |byte| Advert {
        nonce: [byte; 8],
        tag: [byte; 16],
    };
    anna.net.set_adverts(vec![advert(1)]).await.unwrap();
    ben.net.set_adverts(vec![advert(2)]).await.unwrap();
    async fn found(node: &mut Node, by: u8, port: u16) -> bool {
        loop {
            if let NetEvent::Discovered(sighting) = node.events.recv().await.unwrap() {
                // Other tests and other nodes of this machine may be about.
                assert_ne!(Some(sighting.port), node.net.port(), "found itself");
                if sighting.port == port {
                    assert_eq!(sighting.advert.nonce, [by; 8]);
                    assert_eq!(sighting.advert.tag, [by; 16]);
                    return sighting.addresses.contains(&Address::new(HOME, port));
                }
            }
        }
    }
    let (at_anna, at_ben) = (anna.net.port().unwrap(), ben.net.port().unwrap());
    let both = async { tokio::join!(found(&mut anna, 2, at_ben), found(&mut ben, 1, at_anna)) };
    match timeout(Duration::from_secs(20), both).await {
        Ok(found) => assert_eq!(found, (true, true)),
        Err(_) => {
            #[expect(clippy::print_stdout, reason = "a test that could not run says so")]
            {
                println!("skipped: no multicast on the loopback interface here");
            }
        }
    }
}
