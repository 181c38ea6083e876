//! Settling who belongs, from the whole control log of a family.
#![expect(unreachable_pub, reason = "a benchmark is no library")]

mod clock;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use heirloom_protocol::{
    family::resolver::{Act, Author, ControlOp, Founding, Resolver, Role, Subject},
    id::{DeviceId, OpId, PersonId},
};

use clock::ThreadTime;

fn op_id(number: usize) -> OpId {
    OpId(*blake3::hash(&number.to_be_bytes()).as_bytes())
}

fn person(number: usize) -> PersonId {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(&number.to_be_bytes()).as_bytes()[..16]);
    PersonId(id)
}

fn device(number: usize) -> DeviceId {
    DeviceId(*blake3::hash(&[&b"device"[..], &number.to_be_bytes()].concat()).as_bytes())
}

fn founding() -> Founding {
    Founding {
        id: op_id(0),
        person: person(0),
        device: device(0),
        kit: None,
    }
}

/// A family that grows, renames itself and loses devices, each op after the one before.
fn history(length: usize) -> Vec<ControlOp> {
    let act = |number: usize| match number % 10 {
        1 => Act::AddPerson {
            person: person(number),
            role: Role::Member,
            kit: None,
        },
        2..=4 => Act::AddDevice {
            person: Some(person(number - number % 10 + 1)),
            device: device(number),
        },
        5 if number > 10 => Act::RemoveDevice {
            device: device(number - 11),
        },
        _ => Act::Describe(Subject::Family),
    };
    let op = |number: usize| ControlOp {
        id: op_id(number),
        author: Author::Device(device(0)),
        parents: vec![op_id(number - 1)],
        act: act(number),
    };
    (1..=length).map(op).collect()
}

fn filled(ops: &[ControlOp]) -> Resolver {
    let mut resolver = Resolver::new(founding());
    for op in ops {
        resolver.insert(op.clone());
    }
    assert_eq!(resolver.waiting(), 0);
    resolver
}

fn settling(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("resolver");
    for length in [10, 100, 1000] {
        let ops = history(length);
        let settled = filled(&ops).resolve();
        assert_eq!(settled.accepted.len(), length + 1, "every op counts");
        group.throughput(Throughput::Elements(
            u64::try_from(length).expect("a small number"),
        ));
        group.bench_with_input(BenchmarkId::new("take in", length), &ops, |bencher, ops| {
            bencher.iter(|| black_box(filled(ops)));
        });
        let resolver = filled(&ops);
        group.bench_function(BenchmarkId::new("settle", length), |bencher| {
            bencher.iter(|| black_box(resolver.resolve()));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = clock::criterion();
    targets = settling
}
criterion_main!(benches);
