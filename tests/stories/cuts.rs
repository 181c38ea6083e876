//! A large photo that comes over a line which is cut again and again.
//!
//! What has come is never sent again but for the frame of leaves that was cut through. `HEIRLOOM_CUTS` says how
//! often (10), `HEIRLOOM_CUT_MIB` how large the file is (24); a night has 200 and 200.
#![cfg(unix)]

use std::{fs, time::Duration};

use crate::devices::{
    Device, Dice, Homes, asked, link, pair, pictures, proxy::Proxy, report, sha256, sums,
    wait_until,
};

const MIB: u64 = 1024 * 1024;
/// A cut may cost the frame of four leaves that it cuts through, and what two devices say first.
const CUT: u64 = (256 + 64) * 1024;
/// How long the network may need for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until what came before a cut is on the disk: nothing changes there any more.
fn written(device: &Device) {
    let partial = device.home.join("blobs/partial");
    let now = || sums(&partial).into_keys().collect::<Vec<_>>();
    let (mut before, mut alike) = (now(), 0);
    // So often alike, and so far apart, that whoever still writes is seen on a busy machine as well.
    wait_until("it is written", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(100));
        let after = now();
        let is_alike = std::mem::replace(&mut before, after.clone()) == after;
        alike = if is_alike { alike + 1 } else { 0 };
        alike == 5
    });
}

#[test]
fn a_line_that_is_cut_costs_a_frame_and_not_what_had_come() {
    let (cuts, mib) = (asked("HEIRLOOM_CUTS", 10), asked("HEIRLOOM_CUT_MIB", 24));
    let homes = Homes::new();
    let [a, b] = ["a", "b"].map(|name| homes.device(name));
    a.init("Berger", "Anna", "laptop");
    let node = a.serve();
    pair(&a, &["--device"], &b, "pi", link);
    let peer = node.ready["peer"].as_str().expect("a peer").to_owned();
    node.stop();
    let proxy = Proxy::new();
    let mut dice = Dice::new();
    let movie = homes.path().join("movie.mp4");
    let bytes = usize::try_from(mib * MIB).expect("it fits");
    fs::write(&movie, pictures::movie(bytes, &mut dice)).expect("written");
    a.ok(&["import", movie.to_str().expect("UTF-8")]);
    b.know_only(&format!("{}/p2p/{peer}", proxy.multiaddr()));

    let apart = mib * MIB / (cuts + 1);
    let before = proxy.back();
    for _ in 0..cuts {
        // Both at other ports each time, so that the way around the proxy that they tell leads
        // nowhere.
        let node = a.serve();
        proxy.hold_after(dice.within(apart / 2, apart));
        proxy.lead_to(node.port());
        let sync = b.start(&["sync"]);
        assert!(proxy.is_held_within(PATIENCE), "nothing comes");
        drop(node.kill());
        proxy.sever();
        written(&b);
        sync.interrupt();
    }
    let node = a.serve();
    proxy.lead_to(node.port());
    b.ok(&["sync"]);
    let came = proxy.back() - before;
    let most = mib * MIB + cuts * CUT + mib * MIB / 50;
    report(&format!(
        "{cuts} cuts of a file of {mib} MiB: {came} bytes came, {:+} KiB a cut",
        (came.cast_signed() - (mib * MIB).cast_signed()) / 1024 / cuts.cast_signed()
    ));
    assert!(came <= most, "{came} bytes came, at most {most} were to");
    node.stop();
    let out = homes.path().join("out");
    b.ok(&["export", out.to_str().expect("UTF-8")]);
    let sum = sha256(&fs::read(&movie).expect("readable"));
    assert!(sums(&out).contains_key(&sum), "the movie came whole");
}
