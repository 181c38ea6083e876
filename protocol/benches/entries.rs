//! One entry of an import, 64 photos: signed, verified, opened, accepted.
#![expect(
    unreachable_pub,
    dead_code,
    reason = "two benchmarks share the family, and sessions are the other's"
)]

mod clock;
mod world;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ed25519_dalek::Signer as _;
use heirloom_protocol::log::entry::Entry;

use clock::ThreadTime;
use world::{BATCH, Device};

fn verification(criterion: &mut Criterion<ThreadTime>) {
    let mut anna = Device::founder();
    let album = anna.album("Summer");
    let one = anna.add_photos(album, 0, 1);
    let many = anna.add_photos(album, 1, BATCH);
    let family = anna.replica.family();
    let mut group = criterion.benchmark_group("entry");
    group.throughput(Throughput::Elements(1));
    for (name, entry) in [("1 photo", &one), ("64 photos", &many)] {
        group.bench_function(format!("verify, {name}"), |bencher| {
            bencher.iter_batched(
                || entry.bytes().clone(),
                |bytes| black_box(Entry::verify(family, bytes).expect("signed")),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(format!("read what was verified, {name}"), |bencher| {
            bencher.iter_batched(
                || entry.bytes().clone(),
                |bytes| black_box(Entry::trust(bytes).expect("signed")),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("Ed25519 verification alone", |bencher| {
        let secret = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
        let header = &many.bytes().header;
        let signature = secret.sign(header);
        let public = secret.verifying_key();
        bencher.iter(|| {
            public
                .verify_strict(header, &signature)
                .expect("signed above");
        });
    });
    group.bench_function("write, 64 photos", |bencher| {
        let mut next = BATCH + 1;
        bencher.iter(|| {
            next += BATCH;
            black_box(anna.add_photos(album, next, BATCH))
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = clock::criterion();
    targets = verification
}
criterion_main!(benches);
