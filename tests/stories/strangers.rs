//! Callers from outside the family, a thousand at once and of every bad kind, and one who never stops: they take
//! little memory, and the family gets in meanwhile.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use crate::devices::{Dice, Homes, Running, link, pair, pictures, report, wait_until};

/// Connections at once.
const CALLERS: usize = 1000;
/// What all of them together may take at any moment, in KiB.
const MEMORY: u64 = 5 * 1024;
/// Within what time their places are free again.
const FREED: Duration = Duration::from_secs(30);

/// What a process has in memory of its own, in KiB: not the pages of its program, which come as it is read.
fn resident(node: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let line = line.expect("a kernel tells it");
    line.split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("a number")
}

/// One caller of the given kind; the connection stays open as long as the stream lives.
fn call(port: u16, kind: usize, dice: &mut Dice) -> Option<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    let said = match kind % 5 {
        // Says nothing, for ever.
        0 => Vec::new(),
        // The first byte of a greeting.
        1 => vec![0x13],
        // A greeting, then a length without an end.
        2 => [b"\x13/multistream/1.0.0\n".as_slice(), &[0xff; 9]].concat(),
        // A greeting and noise for a handshake.
        3 => [
            b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff".as_slice(),
            &dice.bytes(60_000),
        ]
        .concat(),
        _ => dice.bytes(10_000),
    };
    // A node that has hung up is what is hoped for.
    let _ = stream.write_all(&said);
    Some(stream)
}

/// A caller that says a greeting as it should be, one byte every few seconds.
struct Slow {
    stream: TcpStream,
    since: Instant,
    said: usize,
}

impl Slow {
    /// Between two bytes.
    const PAUSE: Duration = Duration::from_secs(2);

    fn call(port: u16) -> Option<Self> {
        Some(Self {
            stream: TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?,
            since: Instant::now(),
            said: 0,
        })
    }

    /// Says the next byte if it is time; false once the node has hung up.
    fn goes_on(&mut self) -> bool {
        let text = b"\x13/multistream/1.0.0\n\x07/noise\n";
        let due = Self::PAUSE * u32::try_from(self.said).expect("few");
        if self.since.elapsed() < due {
            return true;
        }
        let byte = text[self.said % text.len()];
        self.said += 1;
        self.stream.write_all(&[byte]).is_ok()
    }
}

/// What a crowd of callers came to.
#[derive(Default)]
struct Crowd {
    /// Callers who say nothing more.
    silent: Vec<TcpStream>,
    /// Those who go on, byte by byte.
    slow: Vec<Slow>,
    /// Who called in all.
    called: usize,
    /// The longest that one who went on had his line.
    longest: Duration,
}

impl Crowd {
    /// One more of each kind in turn.
    fn call(&mut self, port: u16, dice: &mut Dice) {
        match self.called % 4 {
            3 => self.slow.extend(Slow::call(port)),
            kind => self.silent.extend(call(port, kind, dice)),
        }
        self.called += 1;
        let mut longest = self.longest;
        self.slow.retain_mut(|slow| {
            let goes_on = slow.goes_on();
            longest = longest.max(slow.since.elapsed());
            goes_on
        });
        self.longest = longest;
    }
}

/// The one in the middle.
fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Waits until the node has hung up on a caller.
fn hung_up(mut caller: TcpStream) {
    caller.set_read_timeout(Some(FREED)).expect("a timeout");
    let ended = caller.read_to_end(&mut Vec::new());
    let ended = ended.map_err(|error| error.kind());
    assert!(
        matches!(ended, Ok(_) | Err(ErrorKind::ConnectionReset)),
        "{ended:?}"
    );
}

#[test]
fn a_thousand_callers_take_little_memory_and_their_places_are_soon_free() {
    let homes = Homes::new();
    let [a, b] = ["a", "b"].map(|name| homes.device(name));
    a.init("Berger", "Anna", "laptop");
    let node = a.serve();
    pair(&a, &["--device"], &b, "pi", link);
    let mut dice = Dice::new();
    let photo = homes.path().join("photo.bmp");
    let mut add = |name: &str| {
        fs::write(&photo, pictures::bmp(64, &mut dice)).expect("written");
        a.ok(&["import", photo.to_str().expect("UTF-8")]);
        let began = Instant::now();
        wait_until("the other device gets in", FREED, || {
            b.run(&["sync"], "").1 == 0
        });
        let took = began.elapsed();
        report(&format!("{name}: a photo came in {} ms", took.as_millis()));
        took
    };
    add("warm");
    let alone = middle(["nobody else"; 3].map(&mut add).to_vec());
    let before = resident(&node);
    let mut noise = Dice::new();
    let (mut callers, mut most) = (Vec::new(), before);
    for kind in 0..CALLERS {
        callers.extend(call(node.port(), kind, &mut noise));
        most = most.max(resident(&node));
    }
    assert!(callers.len() > CALLERS / 2, "{} got through", callers.len());
    // The last one says what is hung up on at once: all before it were heard.
    hung_up(callers.pop().expect("more than half got through"));
    // A photo takes memory too, so that what the callers take is told before one comes.
    let grown = most.max(resident(&node)) - before;
    report(&format!("{} callers took {grown} KiB", callers.len()));
    assert!(grown <= MEMORY, "{grown} KiB for {CALLERS} callers");
    let among = add("a thousand callers");
    let most = alone * 3 / 2 + Duration::from_secs(1);
    assert!(among <= most, "{among:?} among callers, {alone:?} alone");
    // Nobody who says nothing is waited for.
    callers.into_iter().for_each(hung_up);
}

#[test]
fn a_caller_who_never_stops_calling_keeps_nobody_out() {
    let homes = Homes::new();
    let [a, b] = ["a", "b"].map(|name| homes.device(name));
    a.init("Berger", "Anna", "laptop");
    let node = a.serve();
    pair(&a, &["--device"], &b, "pi", link);
    let photo = homes.path().join("photo.bmp");
    let mut pictures = Dice::new();
    let mut add = || {
        fs::write(&photo, pictures::bmp(64, &mut pictures)).expect("written");
        a.ok(&["import", photo.to_str().expect("UTF-8")]);
        let began = Instant::now();
        wait_until("the other device gets in", FREED, || {
            b.run(&["sync"], "").1 == 0
        });
        began.elapsed()
    };
    add();
    let alone = middle((0..5).map(|_| add()).collect());
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (port, mut dice) = (node.port(), Dice::new());
    // Ten lines a second, each held for as long as the node likes.
    let caller = std::thread::spawn(move || {
        let mut crowd = Crowd::default();
        let pause = Duration::from_millis(100);
        while stopped.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            crowd.call(port, &mut dice);
        }
        crowd
    });
    let began = Instant::now();
    let mut times = Vec::new();
    // Longer than a handshake may take, so that all places would be held by now.
    while times.len() < 5 || began.elapsed() < Duration::from_secs(14) {
        times.push(add());
    }
    drop(stop);
    let crowd = caller.join().expect("it went on calling");
    let (synced, among) = (times.len(), middle(times));
    report(&format!(
        "{} callers, {synced} syncs of {among:?} each, alone {alone:?}; a slow caller had {:?} at most",
        crowd.called, crowd.longest
    ));
    assert!(crowd.called > 64, "{}", crowd.called);
    // Half as long again, and what a process takes to start on a busy machine.
    let most = alone * 3 / 2 + Duration::from_millis(500);
    assert!(among <= most, "{among:?} among callers, {alone:?} alone");
    assert!(
        crowd.longest > Slow::PAUSE && crowd.longest <= FREED,
        "{:?}",
        crowd.longest
    );
}
