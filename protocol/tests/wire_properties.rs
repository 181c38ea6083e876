//! One encoding for each value: what decodes is encoded to the same bytes, and nothing else decodes.
#![expect(
    clippy::unwrap_used,
    reason = "a vector that does not parse fails the test"
)]

use std::{fs, path::Path};

use heirloom_protocol::{
    crypto::SignedBytes,
    discovery::gossip::{Beacon, Head},
    family::{
        consent::KitProof,
        pairing::{Newcomer, Offer},
    },
    id::{DeviceId, EntryId, EpochId, OpId},
    limits,
    log::entry::{BlobLine, Drop, EntryBytes, Header},
    op::{Op, RawOp, decode_ops, encode_ops},
    time::Hlc,
    wire,
};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

/// Every vector of an area that is right: its check, its tag and its bytes.
fn vectors(area: &str) -> Vec<(String, Option<u16>, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let mut found = Vec::new();
    for file in fs::read_dir(folder.join(area)).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|line| line.trim().to_owned())
        };
        if field("expect:").unwrap() == "ok" {
            let hex = field("bytes:").unwrap();
            let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
            let tag = field("tag:").map(|tag| u16::from_str_radix(&tag, 16).unwrap());
            found.push((field("check:").unwrap(), tag, bytes));
        }
    }
    found
}

/// A value decodes from its bytes alone, and to its bytes again.
fn is_itself<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> bool {
    wire::decode::<T>(bytes, limit).is_ok_and(|value| wire::encode(&value) == bytes)
}

/// Whatever decodes is the one encoding of what it decodes to.
fn is_canonical_or_nothing<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    match wire::decode::<T>(bytes, wire::MAX_BYTES) {
        Ok(value) => wire::encode(&value) == bytes,
        Err(_) => true,
    }
}

#[test]
fn every_op_of_the_vectors_is_itself() {
    let ops = vectors("ops");
    let mut tags: Vec<u16> = ops.iter().filter_map(|(_, tag, _)| *tag).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 36, "an op lacks a vector");
    for (_, tag, bytes) in ops {
        let raw = RawOp {
            tag: tag.unwrap(),
            bytes,
        };
        let op = Op::from_raw(raw.clone()).unwrap();
        assert!(!matches!(op, Op::Unknown(_)));
        assert_eq!(op.to_raw(), raw);
    }
}

#[test]
fn every_entry_of_the_vectors_is_itself() {
    let entries = vectors("log");
    let entries = entries.iter().filter(|(check, _, _)| check == "entry");
    let mut count = 0;
    for (_, _, bytes) in entries {
        assert!(is_itself::<EntryBytes>(bytes, limits::ENTRY_BYTES));
        let entry: EntryBytes = wire::decode(bytes, limits::ENTRY_BYTES).unwrap();
        assert!(is_itself::<Header>(&entry.header, limits::ENTRY_BYTES));
        count += 1;
    }
    assert!(count >= 9);
}

fn header(numbers: &[u64; 5], blobs: u8, drops: u8, deps: u8) -> Header {
    let [inc, hlc, small, padded, flags] = *numbers;
    let number = |n: u64| u32::try_from(n % (1 << 32)).unwrap();
    Header {
        version: 1,
        suite: 1,
        flags: u8::try_from(flags % 2).unwrap(),
        space: heirloom_protocol::id::SpaceId([1; 16]),
        device: DeviceId([2; 32]),
        inc,
        seq: number(small),
        prev: EntryId([3; 32]),
        hlc: Hlc(hlc),
        control_seen: number(hlc),
        control_digest: [4; 16],
        epoch: EpochId([5; 32]),
        nonce: heirloom_protocol::crypto::body::BodyNonce([6; 24]),
        first_item: number(inc),
        first_blob: number(padded),
        blobs: (0..blobs)
            .map(|part| BlobLine {
                part,
                class: part % 3,
                id: heirloom_protocol::id::BlobId([part; 32]),
                padded,
            })
            .collect(),
        drops: (0..drops)
            .map(|n| Drop {
                device: DeviceId([n; 32]),
                inc,
                branch: heirloom_protocol::id::BranchId([n; 8]),
                from: number(small),
                to: number(hlc),
            })
            .collect(),
        deps: (0..deps).map(|n| EntryId([n; 32])).collect(),
        body_hash: [7; 32],
    }
}

proptest! {
    #[test]
    fn a_header_is_itself(numbers in any::<[u64; 5]>(), blobs in 0..20_u8, drops in 0..5_u8, deps in 0..64_u8) {
        let header = header(&numbers, blobs, drops, deps);
        prop_assert_eq!(wire::decode(&wire::encode(&header), limits::ENTRY_BYTES), Ok(header));
    }

    #[test]
    fn numbers_and_texts_are_themselves(
        a in any::<u64>(), b in any::<i64>(), c in any::<u16>(), d in any::<i16>(),
        text in ".{0,40}", list in prop::collection::vec(any::<u32>(), 0..20), option in any::<Option<i32>>(),
    ) {
        let value = (a, b, c, d, text, list, option);
        prop_assert_eq!(wire::decode(&wire::encode(&value), 4096), Ok(value));
    }

    #[test]
    fn any_bytes_are_an_encoding_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(is_canonical_or_nothing::<u64>(&bytes));
        prop_assert!(is_canonical_or_nothing::<Vec<i16>>(&bytes));
        prop_assert!(is_canonical_or_nothing::<(String, Option<u8>, bool)>(&bytes));
        prop_assert!(is_canonical_or_nothing::<Header>(&bytes));
        prop_assert!(is_canonical_or_nothing::<EntryBytes>(&bytes));
        prop_assert!(is_canonical_or_nothing::<SignedBytes>(&bytes));
        prop_assert!(is_canonical_or_nothing::<Beacon>(&bytes));
        prop_assert!(is_canonical_or_nothing::<Head>(&bytes));
        prop_assert!(is_canonical_or_nothing::<KitProof>(&bytes));
        prop_assert!(is_canonical_or_nothing::<(Offer, [u8; 32])>(&bytes));
        prop_assert!(is_canonical_or_nothing::<(Newcomer, [u8; 32])>(&bytes));
    }

    #[test]
    fn any_bytes_behind_any_tag_are_an_op_or_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        low in 0..0x30_u16,
        high in 0..3_u16,
    ) {
        let raw = RawOp { tag: high << 8 | low, bytes };
        if let Ok(op) = Op::from_raw(raw.clone()) {
            prop_assert_eq!(op.to_raw(), raw);
        }
    }

    #[test]
    fn a_changed_op_is_another_op_or_nothing(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let ops = vectors("ops");
        let (_, tag, mut bytes) = ops[which.index(ops.len())].clone();
        if !bytes.is_empty() {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let raw = RawOp { tag: tag.unwrap(), bytes };
        if let Ok(op) = Op::from_raw(raw.clone()) {
            prop_assert_eq!(op.to_raw(), raw);
        }
    }

    #[test]
    fn a_list_of_ops_is_itself(picks in prop::collection::vec((any::<prop::sample::Index>(), any::<u16>()), 0..20)) {
        let vectors = vectors("ops");
        let ops: Vec<Op> = picks
            .iter()
            .map(|(which, unknown)| {
                let (_, tag, bytes) = vectors[which.index(vectors.len())].clone();
                let tag = if unknown % 4 == 0 { unknown | 0x4000 } else { tag.unwrap() };
                Op::from_raw(RawOp { tag, bytes }).unwrap()
            })
            .collect();
        let read: Option<Vec<Op>> = decode_ops(&encode_ops(&ops)).unwrap().into_iter().collect();
        prop_assert_eq!(read, Some(ops));
    }
}

#[test]
fn an_op_id_is_of_its_place() {
    let entry = EntryId([1; 32]);
    let mut ids: Vec<OpId> = (0..512).map(|index| OpId::of(entry, index)).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 512);
}
