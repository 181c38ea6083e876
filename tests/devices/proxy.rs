//! A TCP proxy between two nodes that counts, records, slows down, delays, and holds the line at a given byte.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    time::{Duration, Instant},
};

/// Bytes passed on at once.
const CHUNK: usize = 16 * 1024;
/// Chunks on their way at once, in one direction of one connection.
const UNDERWAY: usize = 256;

/// Listens on a port, of loopback unless told otherwise, and passes every connection on to a node.
///
/// What the node sends back to who dialled is counted and can be held at a byte.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    target: Option<u16>,
    /// Bytes that the node behind the proxy sent.
    back: u64,
    /// Bytes that were sent to it.
    forth: u64,
    /// The count of bytes sent back after which nothing more passes.
    gate: Option<u64>,
    is_held: bool,
    /// Bytes a second that pass back over all connections, and when the next may.
    rate: Option<(u64, Instant)>,
    /// How long the way takes, in each direction.
    delay: Duration,
    /// Connections that were passed on.
    connections: u64,
    streams: Vec<TcpStream>,
    /// Both directions, as they passed.
    tape: Option<[Vec<u8>; 2]>,
    is_over: bool,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        Self::at(Ipv4Addr::LOCALHOST)
    }

    /// Listens on another address. It belongs to the network namespace of the thread that calls, and is to
    /// be dropped there too.
    pub(crate) fn at(ip: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.state().is_over {
                    return;
                }
                if let Ok(stream) = stream {
                    accepting.pass_on(&stream);
                }
            }
        });
        Self { address, shared }
    }

    /// Keeps all that passes.
    pub(crate) fn record(&self) {
        self.shared.state().tape = Some([Vec::new(), Vec::new()]);
    }

    /// What passed since [`Self::record`], one direction after the other.
    pub(crate) fn tape(&self) -> Vec<u8> {
        let state = self.shared.state();
        state.tape.as_ref().expect("recorded").concat()
    }

    /// Where the proxy listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a multiaddr.
    pub(crate) fn multiaddr(&self) -> String {
        format!("/ip4/{}/tcp/{}", self.address.ip(), self.address.port())
    }

    /// Passes on to this port of loopback from now on.
    pub(crate) fn lead_to(&self, port: u16) {
        self.shared.state().target = Some(port);
    }

    /// Bytes that the node behind sent, since the beginning.
    pub(crate) fn back(&self) -> u64 {
        self.shared.state().back
    }

    /// Bytes that were sent to the node behind.
    pub(crate) fn forth(&self) -> u64 {
        self.shared.state().forth
    }

    /// Connections that were passed on since the beginning.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.state().connections
    }

    /// Makes the way so long, in each direction, for connections from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// Lets no more than so many bytes a second pass back from now on.
    pub(crate) fn slow_to(&self, rate: u64) {
        self.shared.state().rate = Some((rate, Instant::now()));
    }

    /// Lets `bytes` more pass back, then nothing.
    pub(crate) fn hold_after(&self, bytes: u64) {
        let mut state = self.shared.state();
        state.gate = Some(state.back + bytes);
        state.is_held = false;
    }

    /// Whether the line is held; waits for it no longer than this.
    pub(crate) fn is_held_within(&self, longest: Duration) -> bool {
        let state = self.shared.state();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, longest, |state| !state.is_held);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_held
    }

    /// Ends every connection, and lets everything pass from then on.
    pub(crate) fn sever(&self) {
        let mut state = self.shared.state();
        state.gate = None;
        state.is_held = false;
        for stream in state.streams.drain(..) {
            // An error says that it has ended.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.sever();
        // Wakes the listener, which then sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_on(self: &Arc<Self>, caller: &TcpStream) {
        let Some(port) = self.state().target else {
            return;
        };
        let Ok(node) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
            return;
        };
        let copy = |stream: &TcpStream| stream.try_clone().expect("a second handle");
        {
            let mut state = self.state();
            state.streams.extend([copy(caller), copy(&node)]);
            state.connections += 1;
        }
        for (from, to, is_back) in [
            (copy(caller), copy(&node), false),
            (node, copy(caller), true),
        ] {
            let shared = Arc::clone(self);
            std::thread::spawn(move || {
                shared.pump(&from, &to, is_back);
                // An error says that it has ended.
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }

    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream, is_back: bool) {
        let delay = self.state().delay;
        let (send, underway) = sync_channel(UNDERWAY);
        let mut chunk = [0; CHUNK];
        std::thread::scope(|scope| {
            // Moved, so that it is gone, and the deliverer ends, when nothing comes any more.
            let send = send;
            if !delay.is_zero() {
                scope.spawn(move || deliver(&underway, to));
            }
            loop {
                let Ok(count @ 1..) = from.read(&mut chunk) else {
                    return;
                };
                let Some(passes) = self.admit(&chunk[..count], is_back) else {
                    return;
                };
                if is_back {
                    self.wait_for_turn(passes);
                }
                let passed = &chunk[..passes];
                let is_gone = match delay.is_zero() {
                    true => to.write_all(passed).is_err(),
                    false => send
                        .send((Instant::now() + delay, passed.to_vec()))
                        .is_err(),
                };
                if is_gone || passes < count && !self.wait_for_release() {
                    return;
                }
            }
        });
    }

    /// Waits until so many bytes may pass.
    fn wait_for_turn(&self, bytes: usize) {
        let turn = {
            let mut state = self.state();
            let Some((rate, next)) = &mut state.rate else {
                return;
            };
            let bytes = u64::try_from(bytes).expect("a chunk");
            let turn = (*next).max(Instant::now());
            *next = turn + Duration::from_micros(bytes * 1_000_000 / *rate);
            turn
        };
        std::thread::sleep(turn.saturating_duration_since(Instant::now()));
    }

    /// Counts what may pass; what is beyond the gate is dropped with its connection.
    fn admit(&self, bytes: &[u8], is_back: bool) -> Option<usize> {
        let mut state = self.state();
        let count = u64::try_from(bytes.len()).expect("a chunk");
        let mut passes = count;
        if is_back {
            let room = state.gate.map(|gate| gate.saturating_sub(state.back));
            passes = room.map_or(count, |room| room.min(count));
            state.back += passes;
        } else {
            state.forth += count;
        }
        let passes = usize::try_from(passes).ok()?;
        if let Some(tape) = &mut state.tape {
            tape[usize::from(is_back)].extend_from_slice(&bytes[..passes]);
        }
        if passes < bytes.len() {
            state.is_held = true;
            drop(state);
            self.changed.notify_all();
        }
        Some(passes)
    }

    /// Waits until the line was severed; false, as nothing may follow the bytes that were dropped.
    fn wait_for_release(&self) -> bool {
        let until = Instant::now() + Duration::from_secs(60);
        let mut state = self.state();
        while state.is_held && Instant::now() < until {
            let waited = self.changed.wait_timeout(state, Duration::from_secs(1));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

/// Writes what is underway when its time has come.
fn deliver(underway: &Receiver<(Instant, Vec<u8>)>, mut to: &TcpStream) {
    for (due, bytes) in underway {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            // Who still reads is to hear of it.
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}
