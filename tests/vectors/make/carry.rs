//! Folders that are carried: what stands in them.

use heirloom_protocol::{
    carry::{LogRow, Manifest, Part, SpaceRow},
    crypto::SignKind,
    id::{BranchId, DeviceId, PersonId, SpaceId},
    limits,
    sync::have,
    time::{Hlc, Timestamp},
    wire,
};

use super::{
    cut,
    family::{NOW, keys},
    identity::statement,
    longer,
    meeting::{FAMILY, statements},
    stretched,
};
use crate::case::{Case, Class};

pub(super) fn all() -> Vec<Case> {
    [manifests(), lists()].concat()
}

fn manifests() -> Vec<Case> {
    let secret = keys(85).sign;
    let manifest = Manifest {
        device: secret.id(),
        hlc: Hlc::at(Timestamp(NOW)),
        to: Some(DeviceId([5; 32])),
        since: None,
        whole: true,
        entries: vec![Part::of(7, b"entries"), Part::of(300, b"more entries")],
        lists: vec![Part::of(301, b"list")],
    };
    let value = wire::encode(&manifest);
    let right = Case::right(
        "carry/manifest",
        "manifest",
        "what a device has put into a folder",
        &statement(&secret, SignKind::Manifest, &FAMILY, value.clone()),
    )
    .hex("family", &FAMILY.0)
    .hex("signer", &secret.id().0)
    .text("numbers", "7 300 301");
    let long = stretched(&value, |bytes| {
        wire::decode::<Manifest>(bytes, 4096) == Err(wire::WireError::NotCanonical)
    });
    let mut huge = manifest;
    huge.entries[0].bytes = u32::try_from(limits::CARRY_FILE_BYTES).unwrap() + 1;
    let huge = statement(&secret, SignKind::Manifest, &FAMILY, wire::encode(&huge));
    let wrong = right
        .wrong("huge", Class::TooLarge, "a file longer than one can be")
        .with(huge);
    [
        vec![wrong],
        statements(right, &secret, SignKind::Manifest, &value, long.unwrap()),
    ]
    .concat()
}

fn lists() -> Vec<Case> {
    let row = |first, end| SpaceRow {
        space: SpaceId([1; 16]),
        persons: vec![PersonId([0x21; 16]), PersonId([0x22; 16])],
        keepers: vec![DeviceId([6; 32])],
        logs: vec![LogRow {
            device: DeviceId([5; 32]),
            inc: 0x0102_0304_0506_0708,
            branch: BranchId::ZERO,
            first,
            end,
            blobs: have::encode(&(3..903).collect()),
        }],
    };
    let bytes = wire::encode(&vec![row(2, 300)]);
    let right = Case::right(
        "carry/list",
        "list",
        "what of a space lies in a folder",
        &bytes,
    )
    .text("ranges", "2-300 3-902");
    vec![
        right
            .wrong("backwards", Class::TooLarge, "it ends before it begins")
            .with(wire::encode(&vec![row(300, 2)])),
        right
            .wrong("cut", Class::Truncated, "it ends early")
            .with(cut(&bytes)),
        right
            .wrong("trailing", Class::NotCanonical, "a byte follows")
            .with(longer(&bytes)),
        right,
    ]
}
