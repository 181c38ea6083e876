//! Two devices and an album of 10,000 photos, back to back in memory: what a sync costs without disk and network.
#![expect(unreachable_pub, reason = "a benchmark is no library")]

mod clock;
mod world;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use clock::ThreadTime;
use world::{BATCH, Device, Shelf, announce, meet, talk};

const PHOTOS: usize = 10_000;

#[expect(clippy::print_stdout, reason = "bytes are what a session costs too")]
fn tell(what: &str, bytes: usize) {
    println!("session/{what}: {bytes} bytes of frames");
}

fn sessions(criterion: &mut Criterion<ThreadTime>) {
    let mut anna = Device::founder();
    let phone = anna.admits(2);
    let album = anna.album("Summer");
    for first in (0..PHOTOS).step_by(BATCH) {
        anna.add_photos(album, first, BATCH.min(PHOTOS - first));
    }
    // Written, and then not yet there: it is announced anew in each round.
    let before = anna.shelf.clone();
    let new = anna.add_photos(album, PHOTOS, 1);
    anna.shelf = before;
    let mut group = criterion.benchmark_group("session, album of 10,000 photos");
    group.sample_size(20);

    let agree = || meet(&anna, anna.shelf.clone(), None);
    let mut ends = agree();
    talk(&mut ends);
    let agreed = ends[0].sent + ends[1].sent;
    tell("both have the same", agreed);
    assert!(agreed < 1024, "two that agree say less than 1 KB");
    group.bench_function("both have the same", |bencher| {
        bencher.iter_batched_ref(agree, talk, BatchSize::LargeInput);
    });

    let settled = || {
        let mut ends = agree();
        talk(&mut ends);
        ends
    };
    let mut ends = settled();
    let quiet = ends[0].sent + ends[1].sent;
    announce(&mut ends[0], &new);
    talk(&mut ends);
    let told = ends[0].sent + ends[1].sent - quiet;
    tell("one new photo", told);
    assert!(told < 8 * 1024, "one new photo costs less than 8 KB");
    group.bench_function("one new photo", |bencher| {
        bencher.iter_batched_ref(
            settled,
            |ends| {
                announce(&mut ends[0], &new);
                talk(ends);
            },
            BatchSize::LargeInput,
        );
    });

    let entries = anna.shelf.len();
    let newcomer = || meet(&anna, Shelf::default(), Some(phone.replica()));
    let mut ends = newcomer();
    talk(&mut ends);
    assert_eq!(ends[1].shelf.len(), entries, "everything came");
    tell("a new device", ends[0].sent + ends[1].sent);
    group.throughput(Throughput::Elements(
        u64::try_from(PHOTOS).expect("a small number"),
    ));
    group.bench_function("a new device: all verified and accepted", |bencher| {
        bencher.iter_batched_ref(
            newcomer,
            |ends| {
                talk(ends);
                black_box(ends[1].shelf.len())
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = clock::criterion();
    targets = sessions
}
criterion_main!(benches);
