//! Lines that are bad all the time: one that drops again and again, one that is very long, and one that loses and
//! reorders what it carries.

use std::time::{Duration, Instant};

use crate::devices::{Device, apart::Apart, proxy::Proxy, report, wait_until};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn originals(device: &Device) -> usize {
    let assets = device.assets();
    let here = assets
        .iter()
        .filter(|asset| asset["here"]["original"] == true);
    here.count()
}

#[test]
fn over_a_line_half_around_the_world_every_byte_comes() {
    const WAY: Duration = Duration::from_millis(150);
    let mut apart = Apart::alone();
    let (a, b) = (apart.a.clone(), apart.b.clone());
    let imported = apart.import(&a, 30);
    let proxy = Proxy::new();
    proxy.delay(WAY);
    let there = a.serve();
    proxy.lead_to(there.port());
    let peer = there.ready["peer"].as_str().expect("a peer");
    b.know_only(&format!("{}/p2p/{peer}", proxy.multiaddr()));
    let since = Instant::now();
    let here = b.serve();
    wait_until("all photos", PATIENCE, || originals(&b) == 30);
    report(&format!(
        "30 photos at 300 ms there and back: {:?}",
        since.elapsed()
    ));
    wait_until("the line was measured", PATIENCE, || {
        let lines = b.ok(&["peer", "list"]);
        let line = lines.iter().find(|line| line["type"] == "peer");
        line.and_then(|line| line["rtt_ms"].as_u64()) >= Some(300)
    });
    drop((here, there));
    assert_eq!(apart.originals(&b), imported);
    // Nothing came by another way.
    assert!(proxy.back() > 30 * 50 * 50 * 3, "{}", proxy.back());
    for device in [&a, &b] {
        device.is_whole();
        device.never_panicked();
    }
}

#[cfg(target_os = "linux")]
mod wires {
    use std::{collections::BTreeSet, fs};

    use super::{super::between_homes::PORT, *};
    use crate::devices::{
        Dice, Homes, link, pair, pictures, skipped, sums,
        wire::{Wire, lacking_wire},
    };

    const PHOTOS: u32 = 30;

    #[test]
    fn over_a_line_that_delays_reorders_and_loses_packets_every_byte_comes() {
        if let Some(why) = lacking_wire() {
            skipped(why);
            return;
        }
        let (homes, mut dice) = (Homes::new(), Dice::new());
        let mut wire = Wire::new('w', dice.next());
        let [a, mut b] = ["a", "b"].map(|name| {
            let mut device = homes.device(name);
            fs::remove_file(device.home.join("config.toml")).expect("it was there");
            device.ok(&["config", "set", "port_mapping", "false"]);
            device.ok(&["config", "set", "discovery", "false"]);
            device.prefix = wire.ends[0].prefix();
            device
        });
        a.init("Berger", "Anna", "laptop");
        let here = a.serve_with(&["--port", PORT]);
        pair(&a, &["--device"], &b, "desk", link);
        let peer = here.ready["peer"].as_str().expect("a peer");
        b.know_only(&format!("/ip4/{}/tcp/{PORT}/p2p/{peer}", wire.ends[0].ip));
        b.prefix = wire.ends[1].prefix();
        let folder = homes.path().join("photos");
        fs::create_dir(&folder).expect("a folder");
        for nth in 0..PHOTOS {
            let photo = pictures::bmp(50 + nth, &mut dice);
            fs::write(folder.join(format!("{nth}.bmp")), photo).expect("a photo");
        }
        a.ok(&["import", folder.to_str().expect("UTF-8")]);
        let since = Instant::now();
        let there = b.serve_with(&[]);
        wait_until("all photos", PATIENCE, || originals(&b) == 30);
        let took = since.elapsed();
        drop((here, there));
        let frames = wire.cut();
        report(&format!("30 photos in {took:?} over a bad wire: {frames}"));
        for what in ["passed", "lost", "overtaken"] {
            assert!(frames[what].as_u64() > Some(10), "{frames}");
        }
        let out = homes.path().join("out");
        b.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
        let keys = |sums: std::collections::BTreeMap<String, _>| -> BTreeSet<String> {
            sums.into_keys().collect()
        };
        assert_eq!(keys(sums(&out)), keys(sums(&folder)));
        for device in [&a, &b] {
            device.is_whole();
            device.never_panicked();
        }
    }
}

#[cfg(target_os = "linux")]
mod flapping {
    use std::{
        fs,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::{
        super::between_homes::{Family, PORT, photos, wait_for_path},
        *,
    };
    use crate::devices::{
        Dice, Running,
        internet::{Internet, Router, lacking_internet},
        pictures, skipped,
    };

    /// How often the line drops.
    const EVERY: Duration = Duration::from_millis(500);
    /// Photos in each of the two times that are compared.
    const PHOTOS: usize = 9;

    /// Resident bytes and processor time of a node.
    fn used(node: &Running) -> (u64, Duration) {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", node.id());
            fs::read_to_string(path).expect("it runs")
        };
        let status = read("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("a size");
        let stat = read("stat");
        let (_, fields) = stat.rsplit_once(") ").expect("the name of the program");
        let fields: Vec<_> = fields.split(' ').collect();
        // User and system time are the 14th and 15th field of the whole line.
        let ticks = fields[11..13]
            .iter()
            .filter_map(|ticks| ticks.parse::<u64>().ok());
        (kib * 1024, Duration::from_millis(ticks.sum::<u64>() * 10))
    }

    /// How long a photo takes from one home to the other, each from its import on; the middle one.
    fn typical(family: &Family, photo: &mut usize, dice: &mut Dice) -> Duration {
        let mut took: Vec<_> = (0..PHOTOS)
            .map(|_| {
                *photo += 1;
                let since = Instant::now();
                family.import_as(&format!("{photo}.bmp"), &pictures::bmp(200, dice), "Summer");
                wait_until("the photo", PATIENCE, || {
                    photos(&family.far, "original") == *photo
                });
                since.elapsed()
            })
            .collect();
        took.sort();
        took[PHOTOS / 2]
    }

    /// Has a device call an address again and again, and its line drop just before while `is_bad`.
    fn call(
        device: &Device,
        address: &str,
        proxy: &Proxy,
        is_bad: &AtomicBool,
        is_over: &AtomicBool,
    ) {
        while !is_over.load(Ordering::Relaxed) {
            let next = Instant::now() + EVERY;
            if is_bad.load(Ordering::Relaxed) {
                proxy.sever();
            }
            device.ok(&["peer", "add", address]);
            // It is the rate that is the trouble.
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    #[test]
    fn a_device_that_comes_back_a_hundred_times_a_minute_holds_up_nobody() {
        if let Some(why) = lacking_internet() {
            skipped(why);
            return;
        }
        let internet = Internet::new('f', Router::DrawsPorts);
        let mut dice = Dice::new();
        let mut family = Family::new(&internet);
        family.far.prefix = internet.homes[0].prefix();
        family.ben.prefix = internet.homes[1].prefix();
        let node = family.laptop.serve_with(&["--port", PORT]);
        let peer = node.ready["peer"].as_str().expect("a peer").to_owned();
        let direct = format!("/ip4/{}/tcp/{PORT}/p2p/{peer}", internet.place.ip);
        let place = &internet.place;
        let proxy = place.within(|| Proxy::at(place.ip));
        proxy.lead_to(PORT.parse().expect("a port"));
        let bad = format!("{}/p2p/{peer}", proxy.multiaddr());
        // From Ben's home the laptop is reached over the bad line alone.
        place.rules(&format!(
            "table ip shut {{
                 chain coming {{
                     type filter hook input priority 0;
                     ip saddr {} tcp dport {PORT} reject with tcp reset
                 }}
             }}",
            internet.routers[1].ip
        ));
        family.far.know_only(&direct);
        family.ben.know_only(&bad);
        let mut photo = 1;
        family.import_as("first.bmp", &pictures::bmp(200, &mut dice), "Summer");
        family.laptop.ok(&["share", "Summer", "Ben"]);
        let far = family.far.serve_with(&[]);
        let ben = family.ben.serve_with(&[]);
        wait_for_path(&family.far, "laptop", "direct");
        wait_until("Ben's first photo", PATIENCE, || {
            photos(&family.ben, "original") == 1
        });
        let (is_bad, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| call(&family.ben, &bad, &proxy, &is_bad, &is_over));
            // Ends the calls whatever comes of this.
            let over = OnDrop(&is_over);
            let calm = typical(&family, &mut photo, &mut dice);
            let (memory, work) = used(&node);
            let (since, calls, bytes) = (Instant::now(), proxy.connections(), proxy.back());
            is_bad.store(true, Ordering::Relaxed);
            let flapping = typical(&family, &mut photo, &mut dice);
            wait_until("ten seconds", PATIENCE, || {
                since.elapsed() > Duration::from_secs(10)
            });
            let (took, calls) = (since.elapsed(), proxy.connections() - calls);
            let (memory_after, work_after) = used(&node);
            let (each, grown) = (
                (proxy.back() - bytes) / calls.max(1),
                memory_after.saturating_sub(memory),
            );
            report(&format!(
                "{calls} connections in {took:?}, {each} bytes each; a photo between the others took {calm:?} before \
                 and {flapping:?} meanwhile; the node grew by {grown} bytes and worked for {:?}",
                work_after.saturating_sub(work)
            ));
            let a_minute = calls * 60_000 / u64::try_from(took.as_millis()).expect("seconds");
            assert!(a_minute >= 100, "{a_minute} a minute");
            assert!(each > 1_000, "they were no sessions");
            assert!(flapping <= calm * 3 / 2 + Duration::from_millis(300));
            assert!(grown < 32 * 1024 * 1024, "{grown}");
            drop(over);
        });
        // It was let in each time, and has all.
        family.ben.ok(&["peer", "add", &bad]);
        wait_until("Ben has all", PATIENCE, || {
            photos(&family.ben, "original") == photo
        });
        drop((node, far, ben));
        place.within(|| drop(proxy));
        family.never_panicked();
    }

    struct OnDrop<'a>(&'a AtomicBool);

    impl Drop for OnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
