//! Encryption and hashing of a blob of 4 MiB, each beside what else could do it.
#![expect(unreachable_pub, reason = "a benchmark is no library")]

mod clock;

use std::hint::black_box;

use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, aead::AeadInPlace as _};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use heirloom_protocol::{
    crypto::{BlobKey, Class, Decryptor, Encryptor, LeafHasher, SeededRng, Shape},
    limits::SEGMENT_PLAIN_BYTES,
};
use rand_core::Rng as _;

use clock::ThreadTime;

const LEN: u64 = 4 * 1024 * 1024;

fn shape() -> Shape {
    Shape::exact(Class::Original, 0, LEN).expect("a small blob")
}

fn plain() -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(LEN).expect("4 MiB")];
    SeededRng::from_seed([1; 32]).fill_bytes(&mut bytes);
    bytes
}

fn sealed(key: &BlobKey, plain: &[u8]) -> Vec<Vec<u8>> {
    let mut encryptor = Encryptor::new(key, shape());
    let segments = (0..).zip(plain.chunks(SEGMENT_PLAIN_BYTES));
    let seal = |(index, data): (u64, &[u8])| {
        let mut buffer = data.to_vec();
        encryptor
            .seal_segment(index, &mut buffer)
            .expect("segments go upwards");
        buffer
    };
    segments.map(seal).collect()
}

fn encryption(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("encryption, 4 MiB in segments");
    group.throughput(Throughput::Bytes(LEN));
    let key = BlobKey::from_bytes([7; 32]);
    let plain = plain();
    let mut buffer = Vec::with_capacity(SEGMENT_PLAIN_BYTES + 16);
    group.bench_function("seal (ring)", |bencher| {
        bencher.iter(|| {
            let mut encryptor = Encryptor::new(&key, shape());
            for (index, data) in (0..).zip(plain.chunks(SEGMENT_PLAIN_BYTES)) {
                buffer.clear();
                buffer.extend_from_slice(data);
                encryptor
                    .seal_segment(index, &mut buffer)
                    .expect("segments go upwards");
                black_box(&buffer);
            }
        });
    });
    let sealed = sealed(&key, &plain);
    group.bench_function("open (ring)", |bencher| {
        let decryptor = Decryptor::new(&key, shape());
        bencher.iter(|| {
            for (index, segment) in (0..).zip(&sealed) {
                buffer.clear();
                buffer.extend_from_slice(segment);
                let data = decryptor.open_segment(index, &mut buffer).expect("whole");
                black_box(data);
            }
        });
    });
    group.bench_function("the same cipher of RustCrypto", |bencher| {
        let cipher = ChaCha20Poly1305::new(&[7; 32].into());
        bencher.iter(|| {
            for (index, data) in (0_u64..).zip(plain.chunks(SEGMENT_PLAIN_BYTES)) {
                buffer.clear();
                buffer.extend_from_slice(data);
                let mut nonce = [0; 12];
                nonce[..8].copy_from_slice(&index.to_be_bytes());
                let tag = cipher.encrypt_in_place_detached(&nonce.into(), &[0; 19], &mut buffer);
                black_box((&buffer, tag.expect("short")));
            }
        });
    });
    group.bench_function("a plain copy", |bencher| {
        bencher.iter(|| {
            for data in plain.chunks(SEGMENT_PLAIN_BYTES) {
                buffer.clear();
                buffer.extend_from_slice(data);
                black_box(&buffer);
            }
        });
    });
    group.finish();
}

fn hashing(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("hashing, 4 MiB");
    group.throughput(Throughput::Bytes(LEN));
    let plain = plain();
    group.bench_function("name and list of leaves", |bencher| {
        bencher.iter(|| {
            let mut hasher = LeafHasher::new();
            hasher.update(&plain).expect("short");
            black_box(hasher.finish().expect("a list"));
        });
    });
    group.bench_function("BLAKE3 at once", |bencher| {
        bencher.iter(|| black_box(blake3::hash(&plain)));
    });
    group.bench_function("SHA-256 (ring)", |bencher| {
        bencher.iter(|| black_box(ring::digest::digest(&ring::digest::SHA256, &plain)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = clock::criterion();
    targets = encryption, hashing
}
criterion_main!(benches);
