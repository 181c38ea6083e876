//! One node relays for two others, all on loopback, where nothing can be made direct.

use super::*;

/// A node that others reach from outside, as far as loopback is that.
async fn relay(seed: u8) -> Node {
    let free = TcpListener::bind((HOME, 0)).await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let here = Address::new(HOME, port);
    Node::with(NetConfig {
        listen: vec![here],
        remote: Some(Remote {
            external: vec![here],
            ..Remote::default()
        }),
        ..config(seed)
    })
    .await
}

/// A node behind a router.
async fn behind(seed: u8) -> Node {
    Node::with(NetConfig {
        remote: Some(Remote::default()),
        ..config(seed)
    })
    .await
}

/// Where a node is reached through a relay, once it has a place there.
async fn relayed(node: &mut Node) -> Address {
    loop {
        if let NetEvent::Listening { address } = node.next().await
            && address.via.is_some()
        {
            return address;
        }
    }
}

/// Three nodes of a family; the second has a place at the first.
async fn three() -> (Node, Node, Node, Address) {
    let (relay, mut anna, ben) = (relay(3).await, behind(1).await, behind(2).await);
    relay.allow(&[&anna, &ben]).await;
    anna.allow(&[&relay, &ben]).await;
    ben.allow(&[&relay, &anna]).await;
    anna.dial(&relay).await.unwrap();
    // What makes ways does not knock at this machine by itself.
    ben.dial(&relay).await.unwrap();
    let there = relayed(&mut anna).await;
    (relay, anna, ben, there)
}

async fn connected(node: &Node) -> Vec<(Peer, Path)> {
    let paths = node.net.connected().await.unwrap();
    paths.iter().map(|path| (path.peer, path.path)).collect()
}

#[tokio::test]
async fn devices_behind_routers_talk_through_one_that_is_reached() {
    let (relay, mut anna, ben, there) = three().await;
    assert!(relay.net.relays() && !anna.net.relays());
    assert_eq!((there.via, there.peer), (Some(relay.me()), Some(anna.me())));
    assert_eq!(there.port, relay.address().port);
    let dialled = ben.net.dial(Whom::Device(anna.me()), vec![there]).await;
    assert_eq!(dialled.unwrap(), anna.me());
    let mut stream = ben.net.open(anna.me(), Proto::Blob).await.unwrap();
    let (peer, _, here) = anna.stream().await;
    assert_eq!(peer, ben.me());
    tokio::spawn(echo(here));
    // More than a relay for the public would carry.
    for _ in 0..8 {
        assert_echo(&mut stream, &noise(64 * 1024)).await;
    }
    assert!(connected(&ben).await.contains(&(anna.me(), Path::Relay)));
    assert!(connected(&anna).await.contains(&(ben.me(), Path::Relay)));
    let seen = anna.net.connected().await.unwrap();
    let seen = seen.iter().find(|path| path.peer == ben.me()).unwrap();
    assert_eq!(seen.address.via, Some(relay.me()));
}

#[tokio::test]
async fn what_went_through_a_relay_goes_on_over_the_direct_way() {
    let (_relay, mut anna, mut ben, there) = three().await;
    let whom = Whom::Device(anna.me());
    ben.net.dial(whom, vec![there]).await.unwrap();
    let mut old = ben.net.open(anna.me(), Proto::Sync).await.unwrap();
    let (_, _, old_here) = anna.stream().await;
    while !matches!(
        ben.next().await,
        NetEvent::Connected {
            path: Path::Relay,
            ..
        }
    ) {}
    // They have come into one home.
    ben.dial(&anna).await.unwrap();
    loop {
        if let NetEvent::Connected { peer, path, .. } = ben.next().await {
            assert_eq!((peer, path), (anna.me(), Path::Lan));
            break;
        }
    }
    assert!(!matches!(patiently(old.read(&mut [0])).await, Ok(1)));
    let mut stream = ben.net.open(anna.me(), Proto::Sync).await.unwrap();
    let (_, _, here) = anna.stream().await;
    tokio::spawn(echo(here));
    assert_echo(&mut stream, b"closer").await;
    // Whoever still ends what ran over the relay does not end the better way.
    let wire = old_here.wire().unwrap();
    anna.net.hang_up(ben.me(), wire).await.unwrap();
    assert_echo(&mut stream, b"still here").await;
    assert!(connected(&ben).await.contains(&(anna.me(), Path::Lan)));
}

#[tokio::test]
async fn a_relay_is_asked_where_nothing_else_answers() {
    let (_relay, anna, ben, there) = three().await;
    let closed = TcpListener::bind((HOME, 0)).await.unwrap();
    let nobody = Address::new(HOME, closed.local_addr().unwrap().port());
    drop(closed);
    let whom = Whom::Device(anna.me());
    let dialled = ben.net.dial(whom, vec![nobody, there]).await;
    assert_eq!(dialled.unwrap(), anna.me());
    assert!(connected(&ben).await.contains(&(anna.me(), Path::Relay)));
}

#[tokio::test]
async fn lan_only_has_no_way_through_a_relay() {
    let (relay, mut anna, _ben, there) = three().await;
    let near = Node::with(NetConfig {
        reach: Reach::LanOnly(Vec::new()),
        remote: Some(Remote {
            relaying: Relaying::Always,
            port_mapping: true,
            ..Remote::default()
        }),
        ..config(4)
    })
    .await;
    relay.allow(&[&anna, &near]).await;
    anna.allow(&[&relay, &near]).await;
    near.allow(&[&anna, &relay]).await;
    near.dial(&relay).await.unwrap();
    let dialled = near.net.dial(Whom::Device(anna.me()), vec![there]).await;
    assert!(matches!(dialled, Err(NetError::Unreachable)));
    // It says nothing of itself either, so a relay does not hear whether it would relay.
    assert!(!near.net.relays());
    assert!(
        near.net
            .addresses()
            .iter()
            .all(|address| address.via.is_none())
    );
    // And who has a place at the relay does not reach it that way.
    let through = Address {
        peer: Some(near.me()),
        ..there
    };
    let dialled = anna.net.dial(Whom::Device(near.me()), vec![through]).await;
    assert!(matches!(dialled, Err(NetError::Unreachable)));
    let _ = &mut anna;
}

#[tokio::test]
async fn a_relay_serves_no_guest_and_no_stranger() {
    let (relay, mut anna, _ben, there) = three().await;
    let guest = behind(9).await;
    let valid = Duration::from_secs(3600);
    relay.net.allow_guest(guest.me(), valid).await.unwrap();
    // By its own rules everybody is family.
    guest.allow(&[&relay, &anna]).await;
    guest.dial(&relay).await.unwrap();
    let _pairing = guest.net.open(relay.me(), Proto::Pair).await.unwrap();
    let dialled = guest.net.dial(Whom::Device(anna.me()), vec![there]).await;
    assert!(matches!(dialled, Err(NetError::Unreachable)));
    assert!(
        guest
            .net
            .addresses()
            .iter()
            .all(|address| address.via.is_none())
    );
    let stranger = behind(8).await;
    stranger.allow(&[&relay, &anna]).await;
    let dialled = stranger
        .net
        .dial(Whom::Device(anna.me()), vec![there])
        .await;
    assert!(matches!(dialled, Err(NetError::Unreachable)));
    assert_eq!(connected(&anna).await, [(relay.me(), Path::Lan)]);
    // Who is family for the relay alone is a stranger at the other end.
    relay.allow(&[&anna, &stranger]).await;
    let dialled = stranger
        .net
        .dial(Whom::Device(anna.me()), vec![there])
        .await;
    if dialled.is_ok() {
        assert!(stranger.net.open(anna.me(), Proto::Pair).await.is_err());
    }
    assert_eq!(connected(&anna).await, [(relay.me(), Path::Lan)]);
    anna.events.close();
}

#[tokio::test]
async fn a_removed_device_loses_what_is_relayed_to_it() {
    let (relay, mut anna, mut ben, there) = three().await;
    let whom = Whom::Device(anna.me());
    ben.net.dial(whom, vec![there]).await.unwrap();
    let mut stream = ben.net.open(anna.me(), Proto::Sync).await.unwrap();
    let (_, _, _here) = anna.stream().await;
    relay.allow(&[&anna]).await;
    assert!(!matches!(patiently(stream.read(&mut [0])).await, Ok(1)));
    let gone = [ben.gone().await, ben.gone().await];
    assert!(gone.contains(&anna.me()) && gone.contains(&relay.me()));
    assert_eq!(anna.gone().await, ben.me());
}

#[tokio::test]
async fn nothing_is_relayed_for_who_is_kept_away() {
    const LONG: Duration = Duration::from_secs(3600);
    let (relay, mut anna, mut ben, there) = three().await;
    let whom = |node: &Node| Whom::Device(node.me());
    relay.net.keep_away(ben.me(), LONG).await.unwrap();
    ben.dial(&relay).await.unwrap();
    let asked = ben.net.dial(whom(&anna), vec![there]).await;
    assert!(asked.is_err(), "{asked:?}");
    // Until its time is over.
    relay.net.keep_away(ben.me(), Duration::ZERO).await.unwrap();
    ben.dial(&relay).await.unwrap();
    ben.net.dial(whom(&anna), vec![there]).await.unwrap();

    relay.net.keep_away(anna.me(), LONG).await.unwrap();
    assert!([relay.me(), ben.me()].contains(&anna.gone().await));
    while ben.gone().await != anna.me() {}
    anna.dial(&relay).await.unwrap();
    // Another that comes after it has a place by now.
    let mut carl = behind(8).await;
    relay.allow(&[&anna, &ben, &carl]).await;
    carl.allow(&[&relay, &ben]).await;
    ben.allow(&[&relay, &anna, &carl]).await;
    carl.dial(&relay).await.unwrap();
    let at_carl = relayed(&mut carl).await;
    ben.net.dial(whom(&carl), vec![at_carl]).await.unwrap();
    let asked = ben.net.dial(whom(&anna), vec![there]).await;
    assert!(asked.is_err(), "{asked:?}");
}

/// A member that asks for circuits without end, beside two others of the family.
#[tokio::test]
async fn a_member_that_floods_a_relay_leaves_room_for_the_others() {
    let (relay, mut anna, ben, there) = three().await;
    let flooder = behind(7).await;
    relay.allow(&[&anna, &ben, &flooder]).await;
    anna.allow(&[&relay, &ben]).await;
    flooder.allow(&[&relay, &anna]).await;
    flooder.dial(&relay).await.unwrap();
    // The end it asks for knows it not, so each circuit comes to nothing after a handshake.
    let mut circuits = 0;
    while let Ok(peer) = flooder.net.dial(Whom::Device(anna.me()), vec![there]).await {
        flooder.net.disconnect(peer).await.unwrap();
        circuits += 1;
        assert!(
            circuits < 10_000,
            "a relay does what one member asks without end"
        );
    }
    let dialled = ben.net.dial(Whom::Device(anna.me()), vec![there]).await;
    assert_eq!(dialled.unwrap(), anna.me());
    let mut stream = ben.net.open(anna.me(), Proto::Sync).await.unwrap();
    loop {
        let (peer, _, here) = anna.stream().await;
        if peer == ben.me() {
            tokio::spawn(echo(here));
            break;
        }
    }
    assert_echo(&mut stream, b"still served").await;
}

/// Writes into a stream as fast as it is taken.
async fn pour(mut stream: Stream) {
    let bytes = noise(64 * 1024);
    while stream.write_all(&bytes).await.is_ok() {}
}

/// Reads a stream to its end.
async fn drain(mut stream: Stream) {
    let mut bytes = vec![0; 64 * 1024];
    while !matches!(stream.read(&mut bytes).await, Ok(0) | Err(_)) {}
}

/// The middle one of the times that echoes take, and the longest.
async fn echoes(stream: &mut Stream, count: usize) -> (Duration, Duration) {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = std::time::Instant::now();
        assert_echo(stream, b"a word").await;
        times.push(begun.elapsed());
    }
    times.sort();
    (times[count / 2], times[count - 1])
}

/// Bytes of memory of its own that this process has, all nodes of the test and their streams.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() * 1024
}

/// A member that holds as many circuits as it gets, and writes into one of them as fast as that takes it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_fills_its_circuits_keeps_nobody_else_waiting_for_long() {
    const TIMES: usize = 40;
    let (relay, mut anna, ben, there) = three().await;
    let flooder = behind(7).await;
    let mut ends = Vec::new();
    for seed in 20..20 + u8::try_from(limits::CIRCUITS_PER_PEER).unwrap() + 2 {
        ends.push(behind(seed).await);
    }
    let all: Vec<_> = [&anna, &ben, &flooder].into_iter().chain(&ends).collect();
    relay.allow(&all).await;
    anna.allow(&[&relay, &ben]).await;
    flooder
        .allow(&[&relay].into_iter().chain(&ends).collect::<Vec<_>>())
        .await;
    flooder.dial(&relay).await.unwrap();
    let mut places = Vec::new();
    for end in &mut ends {
        end.allow(&[&relay, &flooder]).await;
        end.dial(&relay).await.unwrap();
        places.push(relayed(end).await);
    }
    ben.net
        .dial(Whom::Device(anna.me()), vec![there])
        .await
        .unwrap();
    let mut stream = ben.net.open(anna.me(), Proto::Sync).await.unwrap();
    let (_, _, here) = anna.stream().await;
    tokio::spawn(echo(here));
    echoes(&mut stream, TIMES).await;
    let (quiet, quiet_worst) = echoes(&mut stream, TIMES).await;

    let mut held = Vec::new();
    for (end, place) in ends.iter_mut().zip(&places) {
        let whom = Whom::Device(end.me());
        if flooder.net.dial(whom, vec![*place]).await.is_err() {
            break;
        }
        held.push(flooder.net.open(end.me(), Proto::Blob).await.unwrap());
        let (_, _, here) = end.stream().await;
        held.push(here);
    }
    // The relay lets one more be than it is told.
    let circuits = held.len() / 2;
    let allowed = limits::CIRCUITS_PER_PEER..=limits::CIRCUITS_PER_PEER + 1;
    assert!(allowed.contains(&circuits), "{circuits} circuits");
    let (into, out) = (held.remove(0), held.remove(0));
    let before = resident();
    let pouring = [tokio::spawn(pour(into)), tokio::spawn(drain(out))];
    let began = std::time::Instant::now();
    let (mut busy, mut worst, mut most) = (Vec::new(), Duration::ZERO, before);
    while began.elapsed() < Duration::from_secs(3) {
        let (middle, longest) = echoes(&mut stream, 5).await;
        busy.push(middle);
        worst = worst.max(longest);
        most = most.max(resident());
    }
    pouring.iter().for_each(tokio::task::JoinHandle::abort);
    busy.sort();
    let busy = busy[busy.len() / 2];
    let grown = (most - before) >> 20;
    let sent = flooder.net.connected().await.unwrap();
    let sent: u64 = sent.iter().map(|path| path.sent).sum();
    let said = format!(
        "{} MB flooded: an echo takes {busy:?} (worst {worst:?}), before {quiet:?} (worst {quiet_worst:?}); {grown} MiB",
        sent / 1_000_000
    );
    eprintln!("{said}");
    assert!(sent > 10_000_000, "it was a flood: {said}");
    // What computes for the flood and for all nodes of this test is one processor or two.
    assert!(busy < quiet + Duration::from_millis(250), "{said}");
    assert!(worst < Duration::from_secs(3), "{said}");
}
