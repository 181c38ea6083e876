//! What is wanted next, of whom, in which order.

use super::*;
use crate::{
    id::{BranchId, SpaceId},
    sync::message::HaveMode,
    time::Timestamp,
};

const SPACE: SpaceId = SpaceId([1; 16]);

fn log(n: u8) -> LogId {
    LogId {
        space: SPACE,
        device: DeviceId([n; 32]),
        inc: 1,
        branch: BranchId::ZERO,
    }
}

fn peer(n: u8) -> DeviceId {
    DeviceId([n; 32])
}

fn at(ms: u64) -> Hlc {
    Hlc::at(Timestamp(ms))
}

fn place(log_n: u8, ordinal: u32) -> BlobPlace {
    BlobPlace {
        log: log(log_n),
        ordinal,
    }
}

fn haves(rows: &[(u8, u8, std::ops::Range<u32>)]) -> PeerHaves {
    let mut haves = PeerHaves::default();
    for (who, log_n, range) in rows {
        let rows = vec![(log(*log_n), range.clone().collect())];
        haves.apply(peer(*who), SPACE, HaveMode::Added, rows);
    }
    haves
}

const PHOTO: [(Class, u64); 3] = [
    (Class::Original, 3_000_000),
    (Class::Preview, 300_000),
    (Class::Thumbnail, 16_384),
];

fn ordinals(wanted: &[Wanted]) -> Vec<(u8, u32)> {
    let pair = |blob: &Wanted| (blob.place.log.device.0[0], blob.place.ordinal);
    wanted.iter().map(pair).collect()
}

/// Two logs of four photos each, the second one's times between the first's.
fn library(policy: Policy) -> Want {
    let mut want = Want::new(policy);
    for n in 0..4_u32 {
        let none = RoaringBitmap::new();
        want.add(log(1), n * 3, at(u64::from(n) * 100), &PHOTO, &none);
        want.add(log(2), n * 3, at(u64::from(n) * 100 + 50), &PHOTO, &none);
    }
    want
}

#[test]
fn thumbnails_then_previews_then_originals_newest_first() {
    let mut want = library(Policy::Archive);
    let haves = haves(&[(9, 1, 0..12), (9, 2, 0..12)]);
    let thumbs = want.next(peer(9), &haves, Path::Free, 5);
    assert_eq!(
        ordinals(&thumbs),
        [(2, 11), (1, 11), (2, 8), (1, 8), (2, 5)]
    );
    assert!(
        thumbs
            .iter()
            .all(|blob| blob.class == Class::Thumbnail && blob.kib == 16)
    );
    let more = want.next(peer(9), &haves, Path::Free, 64);
    assert_eq!(ordinals(&more), [(1, 5), (2, 2), (1, 2)]);
    let previews = want.next(peer(9), &haves, Path::Free, 64);
    assert_eq!(previews.len(), 8);
    assert_eq!(ordinals(&previews)[..2], [(2, 10), (1, 10)]);
    let originals = want.next(peer(9), &haves, Path::Free, 64);
    assert_eq!((originals.len(), originals[0].class), (8, Class::Original));
    assert!(
        want.next(peer(9), &haves, Path::Free, 64).is_empty(),
        "all are asked for"
    );
}

#[test]
fn originals_that_one_device_alone_holds_come_first() {
    let mut want = library(Policy::Archive);
    let all: [&[u32]; 2] = [&[1, 4, 7, 10], &[2, 5, 8, 11]];
    for ordinal in all.concat() {
        want.done(&place(1, ordinal));
        want.done(&place(2, ordinal));
    }
    let haves = haves(&[(8, 1, 6..12), (8, 2, 0..12), (9, 1, 0..12)]);
    let rare = want.next(peer(9), &haves, Path::Free, 64);
    assert_eq!(ordinals(&rare), [(1, 3), (1, 0)]);
    let rest = want.next(peer(9), &haves, Path::Free, 64);
    assert_eq!(ordinals(&rest), [(1, 9), (1, 6)]);
}

#[test]
fn a_cache_and_a_costly_way_leave_originals_alone_unless_looked_at() {
    for (policy, path) in [
        (Policy::Cache(0), Path::Free),
        (Policy::Archive, Path::Costly),
    ] {
        let mut want = library(policy);
        let haves = haves(&[(9, 1, 0..12)]);
        assert_eq!(want.next(peer(9), &haves, path, 64).len(), 4);
        assert_eq!(want.next(peer(9), &haves, path, 64).len(), 4);
        assert!(want.next(peer(9), &haves, path, 64).is_empty());
        want.look_at(place(1, 3));
        want.look_at(place(1, 0));
        want.look_at(place(2, 0));
        let looked = want.next(peer(9), &haves, path, 64);
        assert_eq!(ordinals(&looked), [(1, 0), (1, 3)]);
    }
    let mut want = library(Policy::Cache(0));
    for n in 0..12 {
        if n % 3 != 0 {
            want.done(&place(1, n));
            want.done(&place(2, n));
        }
    }
    assert!(want.is_empty(), "originals do not count for a cache");
    want.set_policy(Policy::Archive);
    assert!(!want.is_empty());
    assert_eq!(
        want.lacking(Class::Original),
        Lacking {
            blobs: 8,
            kib: 8 * 2930
        }
    );
}

#[test]
fn a_peer_is_asked_only_for_what_it_holds_and_has_not_failed_at() {
    let mut want = library(Policy::Archive);
    let haves = haves(&[(8, 1, 0..6), (9, 1, 3..12)]);
    let first = want.next(peer(8), &haves, Path::Free, 64);
    assert_eq!(ordinals(&first), [(1, 5), (1, 2)]);
    want.failed(&place(1, 5), peer(8), Failure::Lacking);
    want.failed(&place(1, 2), peer(8), Failure::Interrupted);
    assert_eq!(
        ordinals(&want.next(peer(8), &haves, Path::Free, 64)),
        [(1, 2)]
    );
    assert_eq!(
        ordinals(&want.next(peer(9), &haves, Path::Free, 64)),
        [(1, 11), (1, 8), (1, 5)]
    );
    // Gone and back again, with a clean slate.
    want.lost(&peer(8));
    want.lost(&peer(9));
    assert_eq!(
        ordinals(&want.next(peer(8), &haves, Path::Free, 64)),
        [(1, 5), (1, 2)]
    );
}

#[test]
fn a_peer_that_says_anew_what_it_holds_is_asked_for_it_again() {
    let mut want = library(Policy::Archive);
    let haves = haves(&[(8, 1, 4..6)]);
    assert_eq!(
        ordinals(&want.next(peer(8), &haves, Path::Free, 1)),
        [(1, 5)]
    );
    want.failed(&place(1, 5), peer(8), Failure::Lacking);
    want.told(peer(9), &log(1), &RoaringBitmap::from_iter([5]));
    want.told(peer(8), &log(2), &RoaringBitmap::from_iter([5]));
    want.told(peer(8), &log(1), &RoaringBitmap::from_iter([4]));
    let next = want.next(peer(8), &haves, Path::Free, 1);
    assert!(!ordinals(&next).contains(&(1, 5)));
    want.told(peer(8), &log(1), &RoaringBitmap::from_iter([5]));
    assert_eq!(
        ordinals(&want.next(peer(8), &haves, Path::Free, 1)),
        [(1, 5)]
    );
}

#[test]
fn what_a_peer_offers_is_what_is_wanted_and_it_has_not_failed_at() {
    let mut want = library(Policy::Archive);
    let haves = haves(&[(8, 1, 0..6), (9, 1, 3..12)]);
    assert_eq!(want.offered(peer(8), &haves, Path::Free), 6);
    assert_eq!(want.offered(peer(7), &haves, Path::Free), 0);
    assert_eq!(want.next(peer(8), &haves, Path::Free, 64).len(), 2);
    assert_eq!(
        want.offered(peer(8), &haves, Path::Free),
        6,
        "asked for is not got"
    );
    want.failed(&place(1, 5), peer(8), Failure::Lacking);
    want.done(&place(1, 2));
    assert_eq!(want.offered(peer(8), &haves, Path::Free), 4);
    assert_eq!(want.offered(peer(9), &haves, Path::Free), 9);
    want.set_policy(Policy::Cache(0));
    assert_eq!(
        want.offered(peer(8), &haves, Path::Free),
        2,
        "originals are not wanted"
    );
}

#[test]
fn originals_that_the_fewest_hold_come_first() {
    let mut want = Want::new(Policy::Archive);
    let none = RoaringBitmap::new();
    for n in 0..4 {
        want.add(log(1), n, at(u64::from(n)), &[(Class::Original, 9)], &none);
    }
    // 0 is on one device, 1 on two, 2 on three, 3 on four.
    let haves = haves(&[(6, 1, 3..4), (7, 1, 2..4), (8, 1, 1..4), (9, 1, 0..4)]);
    let mut order = Vec::new();
    loop {
        let wanted = want.next(peer(9), &haves, Path::Free, 64);
        if wanted.is_empty() {
            break;
        }
        assert_eq!(wanted.len(), 1);
        order.extend(wanted.iter().map(|blob| blob.place.ordinal));
    }
    assert_eq!(order, [0, 1, 2, 3]);
}

#[test]
fn a_helping_is_bounded_in_kind_and_size() {
    let mut want = library(Policy::Archive);
    let haves = haves(&[(8, 1, 0..6), (9, 1, 0..12)]);
    let helping = |scope, kib| Helping {
        scope,
        blobs: 64,
        kib,
    };
    let thumbs = want.next_helping(peer(9), &haves, Path::Free, helping(Scope::All, 40));
    assert_eq!(ordinals(&thumbs), [(1, 11), (1, 8)], "16 KiB each");
    for _ in 0..6 {
        want.next_helping(peer(9), &haves, Path::Free, helping(Scope::Pictures, 1));
    }
    let pictures = helping(Scope::Pictures, u64::MAX);
    let next = want.next_helping(peer(9), &haves, Path::Free, pictures);
    assert!(next.is_empty(), "{next:?}");
    let lone = helping(Scope::Lone, 1);
    for ordinal in [9, 6] {
        let next = want.next_helping(peer(9), &haves, Path::Free, lone);
        assert_eq!(ordinals(&next), [(1, ordinal)], "one, whatever its size");
    }
    assert!(
        want.next_helping(peer(9), &haves, Path::Free, lone)
            .is_empty()
    );
    want.look_at(place(1, 0));
    assert!(want.is_looked_at(&place(1, 0)));
    let looked_at = want.next_helping(peer(9), &haves, Path::Free, pictures);
    assert_eq!(ordinals(&looked_at), [(1, 0)]);
}

#[test]
fn what_is_here_takes_no_room() {
    let mut want = Want::new(Policy::Archive);
    want.add(log(1), 0, at(1), &PHOTO, &(0..3).collect());
    assert!(want.logs.is_empty() && want.is_empty());
    want.add(log(1), 3, at(1), &PHOTO, &RoaringBitmap::from_iter([3]));
    want.add(log(1), 3, at(1), &PHOTO, &RoaringBitmap::new());
    assert!(!want.is_wanted(&place(1, 3)) && want.is_wanted(&place(1, 4)));
    want.done(&place(1, 4));
    want.done(&place(1, 4));
    want.done(&place(1, 5));
    want.done(&place(7, 5));
    assert!(want.logs.is_empty());
    for class in ORDER {
        assert_eq!(want.lacking(class), Lacking::default());
    }
}

#[test]
fn what_there_is_no_room_for_is_left_aside_and_the_rest_comes() {
    let mut want = library(Policy::Archive);
    let haves = haves(&[(9, 1, 0..12), (9, 2, 0..12)]);
    let originals = want.lacking(Class::Original);
    let of_originals = |want: &mut Want| loop {
        let next = want.next(peer(9), &haves, Path::Free, 1);
        match next.first() {
            Some(next) if next.class == Class::Original => return Some(next.place),
            Some(next) => want.done(&next.place),
            None => return None,
        }
    };
    let large = of_originals(&mut want).unwrap();
    want.look_at(large);
    want.set_aside(&large);
    want.set_aside(&large);
    assert_eq!(
        want.aside(),
        Lacking {
            blobs: 1,
            kib: 2930
        }
    );
    assert_eq!(want.lacking(Class::Original).blobs, originals.blobs - 1);
    assert!(!want.is_wanted(&large));
    let mut others = 0;
    while let Some(place) = of_originals(&mut want) {
        assert_ne!(place, large);
        want.done(&place);
        others += 1;
    }
    assert_eq!((others, want.is_empty()), (7, true));
    assert_eq!(want.offered(peer(9), &haves, Path::Free), 0);
    want.take_up();
    assert_eq!(want.aside(), Lacking::default());
    assert_eq!(of_originals(&mut want), Some(large));
    // What came by another way meanwhile is lacking no more.
    want.set_aside(&large);
    want.done(&large);
    want.take_up();
    assert!(want.logs.is_empty() && want.aside() == Lacking::default());
    for class in ORDER {
        assert_eq!(want.lacking(class), Lacking::default());
    }
}

#[test]
fn three_hundred_thousand_blobs_are_quickly_chosen_from() {
    let mut want = Want::new(Policy::Archive);
    let none = RoaringBitmap::new();
    let lines: Vec<(Class, u64)> = (0..64).flat_map(|_| PHOTO).collect();
    for n in 0..1563_u32 {
        want.add(log(1), n * 192, at(u64::from(n)), &lines, &none);
    }
    let haves = haves(&[(9, 1, 0..300_096)]);
    let mut count = 0;
    loop {
        let wanted = want.next(peer(9), &haves, Path::Free, 64);
        if wanted.is_empty() {
            break;
        }
        count += wanted.len();
        for blob in wanted {
            want.done(&blob.place);
        }
    }
    assert_eq!(count, 300_096);
    assert!(want.logs.is_empty());
}

#[test]
fn nothing_of_a_space_is_wanted_that_nobody_gives() {
    let mut want = library(Policy::Archive);
    want.set_aside(&place(1, 0));
    want.let_go(&SpaceId([9; 16]));
    assert!(!want.is_empty());
    want.let_go(&SPACE);
    assert!(want.is_empty());
    assert_eq!(want.aside(), Lacking::default());
    for class in ORDER {
        assert_eq!(want.lacking(class), Lacking::default());
    }
}

#[test]
fn what_a_peer_owes_is_asked_of_it_by_a_cache_too_and_until_it_fails_to_give_it() {
    let mut want = library(Policy::Cache(0));
    let owed = haves(&[(9, 1, 0..4)]);
    let pictures = Helping {
        scope: Scope::Pictures,
        ..Helping::of(64)
    };
    assert!(want.next_owed(peer(9), &owed, pictures).is_empty());
    let originals = want.next_owed(peer(9), &owed, Helping::of(64));
    assert_eq!(ordinals(&originals), [(1, 3), (1, 0)]);
    assert!(
        want.next_owed(peer(9), &owed, Helping::of(64)).is_empty(),
        "they are asked for"
    );
    want.failed(&place(1, 0), peer(9), Failure::Lacking);
    want.failed(&place(1, 3), peer(9), Failure::Interrupted);
    let is_open = |want: &Want, ordinal| want.is_open_to(peer(9), &place(1, ordinal));
    assert_eq!((is_open(&want, 0), is_open(&want, 3)), (false, true));
    let again = want.next_owed(peer(9), &owed, Helping::of(64));
    assert_eq!(ordinals(&again), [(1, 3)]);
    want.done(&place(1, 3));
    assert!(!is_open(&want, 3), "it is here");
}
