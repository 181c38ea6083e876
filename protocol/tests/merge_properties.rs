//! Edits settle alike whatever the order in which they arrive, and however often.
#![expect(
    clippy::unwrap_used,
    reason = "a case that cannot be made fails the test"
)]

#[path = "../../tests/numbers/mod.rs"]
mod numbers;
mod orders;

use heirloom_protocol::{
    album::{
        asset::{Asset, Author, Origin, Stamp},
        merge::{Context, apply, targets},
    },
    crypto::{BlobKey, body::BodyNonce},
    id::{BlobId, BranchId, DeviceId, EntryId, EpochId, LogId, OpId, PersonId, PlainHash, SpaceId},
    limits,
    log::entry::{BlobLine, Header},
    op::{
        AddBlob, AddItem, AddPart, Captured, Comment, ItemKind, Items, Level, Op, Part, PartRole,
        React, SetField, Tag, Uncomment, Untag,
    },
    time::Hlc,
};
use numbers::{asked, report};
use orders::permute;
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

const SPACE: SpaceId = SpaceId([1; 16]);
const ITEM: OpId = OpId([2; 32]);

/// An op with who said it, when, and where.
#[derive(Clone, Debug)]
struct Said {
    op: Op,
    origin: Origin,
}

fn line(part: u8, class: u8) -> BlobLine {
    BlobLine {
        part,
        class,
        id: BlobId([part; 32]),
        padded: 100,
    }
}

/// A header with an original, a preview and a thumbnail.
fn header() -> Header {
    Header {
        version: 1,
        suite: 1,
        flags: 0,
        space: SPACE,
        device: DeviceId([3; 32]),
        inc: 0,
        seq: 0,
        prev: EntryId([4; 32]),
        hlc: Hlc(0),
        control_seen: 0,
        control_digest: [0; 16],
        epoch: EpochId([5; 32]),
        nonce: BodyNonce([6; 24]),
        first_item: 0,
        first_blob: 0,
        blobs: vec![line(0, 0), line(0, 1), line(1, 2)],
        drops: Vec::new(),
        deps: Vec::new(),
        body_hash: [0; 32],
    }
}

fn part(blob: u32) -> Part {
    Part {
        role: PartRole::Still,
        name: "a.jpg".to_owned(),
        len: 90,
        pt_hash: PlainHash([7; 32]),
        key: BlobKey::from_bytes([8; 32]),
        blob,
    }
}

fn item() -> Op {
    Op::AddItem(AddItem {
        kind: ItemKind::Photo,
        media: 1,
        captured: Captured::default(),
        width: 0,
        height: 0,
        duration_ms: 0,
        place: None,
        camera: None,
        parts: vec![part(0)],
    })
}

/// Something said of the item; `n` and `text` vary what.
fn op(kind: u8, n: u8, text: String) -> Op {
    let item = ITEM;
    let other = OpId([n; 32]);
    let items = || Items {
        items: vec![item, other],
    };
    match kind {
        0 => Op::SetField(SetField {
            item,
            field: u16::from(n % 12),
            value: text.into_bytes(),
        }),
        1 => Op::Trash(items()),
        2 => Op::Restore(items()),
        3 => Op::Purge(items()),
        4 => Op::Comment(Comment { item, text }),
        5 => Op::Uncomment(Uncomment {
            item,
            comment: other,
        }),
        6 => Op::React(React {
            item,
            sign: text.chars().take(2).collect(),
            on: n.is_multiple_of(2),
        }),
        7 => Op::Tag(Tag { item, tag: text }),
        8 => Op::Untag(Untag {
            item,
            tag: text,
            added_by: vec![other, OpId([n / 2; 32])],
        }),
        9 => Op::AddPart(AddPart {
            item,
            part: part(u32::from(n % 4)),
        }),
        _ => Op::AddBlob(AddBlob {
            item,
            len: 90,
            width: u32::from(n),
            height: 1,
            pt_hash: PlainHash([n; 32]),
            key: BlobKey::from_bytes([9; 32]),
            thumbhash: vec![n; usize::from(n % 40)],
            blob: u32::from(n % 4),
        }),
    }
}

/// The level of a person: one each, as a replica gives them.
fn level(person: u8) -> Level {
    [Level::Viewer, Level::Contributor, Level::Manager][usize::from(person % 3)]
}

prop_compose! {
    fn said(ids: u8)(
        kind in 0..11_u8,
        n in any::<u8>(),
        text in "[a-c]{0,3}",
        id in 0..ids,
        person in 0..5_u8,
        ms in 0..4_u64,
        current in any::<bool>(),
    ) -> Said {
        Said {
            op: op(kind, n, text),
            origin: origin(id.into(), person, ms, current),
        }
    }
}

/// Where an op stands; the id makes the place unique.
fn origin(id: u16, person: u8, ms: u64, current: bool) -> Origin {
    let mut op = [0; 32];
    op[..2].copy_from_slice(&id.to_be_bytes());
    Origin {
        op: OpId(op),
        author: Author {
            person: PersonId([person; 16]),
            level: level(person),
        },
        stamp: Stamp {
            current,
            hlc: Hlc(ms),
            log: LogId {
                space: SPACE,
                device: DeviceId([person; 32]),
                inc: 0,
                branch: BranchId::ZERO,
            },
            seq: u32::from(id),
            index: 0,
        },
    }
}

/// One op for each id, as in a log.
fn distinct(mut said: Vec<Said>) -> Vec<Said> {
    said.sort_by_key(|said| said.origin.op);
    said.dedup_by_key(|said| said.origin.op);
    said
}

fn settled<'a>(said: impl IntoIterator<Item = &'a Said>) -> Asset {
    let header = header();
    let mut asset = Asset::default();
    for Said { op, origin } in said {
        assert!(targets(op, origin.op).len() <= limits::ENTRY_OPS);
        let context = Context {
            log: origin.stamp.log,
            header: &header,
            origin: *origin,
        };
        apply(&mut asset, op, context);
    }
    asset
}

/// A shuffle that follows from a seed.
fn shuffled(said: &[Said], seed: u64) -> Vec<Said> {
    let mut keyed: Vec<(u64, Said)> = (1..)
        .zip(said)
        .map(|(at, said): (u64, _)| {
            let mixed = (seed ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ mixed >> 29, said.clone())
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, said)| said).collect()
}

fn with_item(mut said: Vec<Said>) -> Vec<Said> {
    let mut added = origin(0, 1, 1, true);
    added.op = ITEM;
    said.push(Said {
        op: item(),
        origin: added,
    });
    said
}

/// `HEIRLOOM_MERGES` says how many sets of ops are tried, on three to seven devices each.
#[test]
fn the_order_of_arrival_does_not_matter() {
    let sets = asked("HEIRLOOM_MERGES", 1_000);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: sets,
        ..ProptestConfig::default()
    });
    let cases = (prop::collection::vec(said(200), 0..60), any::<u64>());
    let tried = runner.run(&cases, |(said, seed)| {
        let said = with_item(distinct(said));
        let expected = settled(&said);
        prop_assert_eq!(&settled(said.iter().rev()), &expected);
        for device in 0..1 + seed % 5 {
            let seed = seed.wrapping_add(device);
            prop_assert_eq!(&settled(&shuffled(&said, seed)), &expected);
        }
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    report(&format!(
        "{sets} sets of ops settle alike on three to seven devices that see them in other orders"
    ));
}

#[test]
fn up_to_seven_ops_settle_alike_in_every_order() {
    let (mut sets, mut orders) = (0, 0_u64);
    let mut runner = TestRunner::deterministic();
    for count in 1..=7 {
        // What meets on one item in one moment, of few people.
        let few = prop::collection::vec(said(200), count - 1);
        for _ in 0..20 {
            let tree = few.new_tree(&mut runner).unwrap();
            let mut said = with_item(distinct(tree.current()));
            let expected = settled(&said);
            permute(&mut said, &mut |said| {
                orders += 1;
                assert_eq!(settled(said), expected, "{said:?}");
            });
            sets += 1;
        }
    }
    assert!(orders > 50_000, "{orders}");
    report(&format!(
        "{sets} sets of at most seven ops settle alike in every order, {orders} orders in all"
    ));
}

proptest! {
    #[test]
    fn what_arrives_twice_counts_once(
        said in prop::collection::vec(said(200), 0..40),
        seed in any::<u64>(),
    ) {
        let said = with_item(distinct(said));
        let twice = [said.clone(), shuffled(&said, seed)].concat();
        prop_assert_eq!(settled(&twice), settled(&said));
    }

    #[test]
    fn what_is_read_does_not_depend_on_the_order(
        said in prop::collection::vec(said(200), 0..40),
        seed in any::<u64>(),
    ) {
        let said = with_item(distinct(said));
        let (one, two) = (settled(&said), settled(&shuffled(&said, seed)));
        prop_assert_eq!(one.tag_names(), two.tag_names());
        prop_assert_eq!(one.shown_comments(), two.shown_comments());
        prop_assert_eq!(one.shown_reactions(), two.shown_reactions());
        prop_assert_eq!(one.trashed(), two.trashed());
        prop_assert_eq!(one.is_purged(), two.is_purged());
        prop_assert_eq!(one.shown_blob(0, 1), two.shown_blob(0, 1));
        prop_assert!(one.all_parts().eq(two.all_parts()));
    }

    #[test]
    fn fates_are_read_in_the_order_of_their_stamps_whenever_they_arrive(
        fates in prop::collection::vec((1..4_u8, 0..5_u8, 0..6_u64, any::<bool>()), 0..14),
        seed in any::<u64>(),
    ) {
        let said: Vec<Said> = (100..).zip(fates).map(|(id, (kind, person, ms, current))| Said {
            op: op(kind, 0, String::new()),
            origin: origin(id, person, ms, current),
        }).collect();
        let said = with_item(few_trashings(said));
        let asset = settled(&shuffled(&said, seed));
        let fate = Fate::read(&said);
        prop_assert_eq!(asset.is_purged(), fate == Fate::Purged, "{:?}", asset.fates);
        if fate != Fate::Purged {
            prop_assert_eq!(asset.trashed().is_some(), fate == Fate::Trashed);
        }
    }
}

/// What becomes of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Shown,
    Trashed,
    Purged,
}

impl Fate {
    /// The rule in its plainest form: one op after the other, by stamp.
    fn read(said: &[Said]) -> Self {
        let mut said: Vec<&Said> = said.iter().collect();
        said.sort_by_key(|said| said.origin.stamp);
        // Person 1 added the item.
        said.retain(|said| {
            let author = said.origin.author;
            author.level == Level::Manager || author.person == PersonId([1; 16])
        });
        said.into_iter()
            .fold(Self::Shown, |fate, said| match (&said.op, fate) {
                (Op::Trash(_), Self::Shown) => Self::Trashed,
                (Op::Restore(_), _) => Self::Shown,
                (Op::Purge(_), Self::Trashed) => Self::Purged,
                _ => fate,
            })
    }
}

/// A part that a person adds, under an id of their choice.
fn part_by(person: u8, id: u16) -> Said {
    Said {
        op: op(9, 0, String::new()),
        origin: origin(id, person, 1, true),
    }
}

#[test]
fn nobody_drives_out_the_parts_of_another_by_small_ids() {
    // Person 1 added the item, person 2 manages the album, 4, 7 and 10 may add.
    let crowd = [4, 7, 10].into_iter().flat_map(|person| {
        let ids = u16::from(person) * 30..;
        ids.take(30).map(move |id| part_by(person, id))
    });
    let mut said: Vec<_> = crowd.collect();
    said.extend([part_by(1, 9_001), part_by(1, 9_000), part_by(2, 8_000)]);
    let said = with_item(said);
    let asset = settled(&said);
    for seed in 0..50 {
        assert_eq!(settled(&shuffled(&said, seed)), asset);
    }
    let said_by: Vec<_> = asset.said_parts().map(|(person, ..)| person.0[0]).collect();
    assert_eq!(
        said_by[..4],
        [1, 1, 1, 2],
        "the author's own, then a manager's"
    );
    for person in [4, 7, 10] {
        let theirs = said_by.iter().filter(|by| **by == person);
        assert_eq!(theirs.count(), limits::ITEM_PARTS);
    }
    assert_eq!(asset.parts[0].origin.op, origin(120, 4, 1, true).op);
    let own: Vec<_> = asset.needed_parts(None).collect();
    assert_eq!(own.len(), 3);
}

proptest! {
    #[test]
    fn of_very_many_parts_the_same_stay_whatever_order_they_come_in(
        parts in prop::collection::vec((0..30_u8, 0..2_000_u16), 200..600),
        seed in any::<u64>(),
    ) {
        let parts = parts.into_iter().map(|(person, id)| part_by(person, id));
        let said = with_item(distinct(parts.collect()));
        let one = settled(&said);
        prop_assert_eq!(&settled(&shuffled(&said, seed)), &one);
        // What two devices know of is the same as what one knows that heard all.
        let (here, there) = said.split_at(said.len() / 2);
        prop_assert_eq!(&settled(there.iter().chain(here)), &one);
        prop_assert!(one.parts.len() <= 256);
    }
}

/// No more trashings by one person than are kept.
fn few_trashings(mut said: Vec<Said>) -> Vec<Said> {
    let mut counts = [0; 5];
    said.retain(|said| {
        let count = &mut counts[usize::from(said.origin.author.person.0[0])];
        *count += usize::from(matches!(said.op, Op::Trash(_)));
        *count <= 4 || !matches!(said.op, Op::Trash(_))
    });
    said
}

/// What the item comes to, whatever the order in which these arrive: kind, person, day.
fn comes_to(fates: &[(u8, u8, u64)]) -> Fate {
    let said = (100..).zip(fates).map(|(id, (kind, person, day))| Said {
        op: op(*kind, 0, String::new()),
        origin: origin(id, *person, *day, true),
    });
    let mut said = with_item(said.collect());
    let mut found: Option<Fate> = None;
    permute(&mut said, &mut |said| {
        let asset = settled(said);
        let fate = match (asset.is_purged(), asset.trashed()) {
            (true, _) => Fate::Purged,
            (false, Some(_)) => Fate::Trashed,
            (false, None) => Fate::Shown,
        };
        assert_eq!(*found.get_or_insert(fate), fate, "{said:?}");
    });
    found.unwrap()
}

#[test]
fn a_purge_by_who_had_not_heard_of_a_restore_destroys_nothing() {
    const TRASH: u8 = 1;
    const RESTORE: u8 = 2;
    const PURGE: u8 = 3;
    // Of persons, 1 added the item, 2 and 5 manage the album, 4 may only add.
    for (fates, fate) in [
        (&[(TRASH, 1, 0), (PURGE, 1, 30)][..], Fate::Purged),
        // Restored on another device the day before the first empties its trash, or the day after.
        (
            &[(TRASH, 1, 0), (RESTORE, 1, 29), (PURGE, 1, 30)],
            Fate::Shown,
        ),
        (
            &[(TRASH, 1, 0), (PURGE, 1, 30), (RESTORE, 1, 31)],
            Fate::Shown,
        ),
        (
            &[(TRASH, 1, 0), (RESTORE, 2, 29), (PURGE, 5, 30)],
            Fate::Shown,
        ),
        // What was in vain stays so; another purge counts.
        (
            &[
                (TRASH, 1, 0),
                (RESTORE, 1, 29),
                (PURGE, 1, 30),
                (TRASH, 1, 40),
            ],
            Fate::Trashed,
        ),
        (
            &[
                (TRASH, 1, 0),
                (RESTORE, 1, 29),
                (PURGE, 1, 30),
                (TRASH, 1, 40),
                (PURGE, 1, 70),
            ],
            Fate::Purged,
        ),
        // A purge that was stamped in the future by a clock gone wrong.
        (
            &[(TRASH, 1, 0), (PURGE, 1, 40), (RESTORE, 1, 1)],
            Fate::Shown,
        ),
        // Deleted stays deleted: trashed once more by who had not heard, and restored by who may not.
        (
            &[(TRASH, 1, 0), (PURGE, 1, 30), (TRASH, 1, 31)],
            Fate::Purged,
        ),
        (
            &[(TRASH, 1, 0), (PURGE, 1, 30), (RESTORE, 4, 31)],
            Fate::Purged,
        ),
        // What nobody who may put into the trash is not purged.
        (&[(PURGE, 1, 30)], Fate::Shown),
        (&[(TRASH, 4, 0), (PURGE, 1, 30)], Fate::Shown),
    ] {
        assert_eq!(comes_to(fates), fate, "{fates:?}");
    }
}

#[test]
fn a_purge_in_a_log_that_was_left_behind_counts_for_nothing_against_what_was_said_since() {
    let said = |kind, id, day, current| Said {
        op: op(kind, 0, String::new()),
        origin: origin(id, 1, day, current),
    };
    let (trash, purge) = (said(1, 100, 0, true), said(3, 101, 40, false));
    let again = said(1, 102, 20, true);
    let asset = settled(&with_item(vec![trash, purge, again]));
    assert!(!asset.is_purged() && asset.trashed().is_some());
}

/// Many ops of one kind, each with an id of its own.
fn crowd(kind: u8, count: u16) -> Vec<Said> {
    let crowd = (0..count).map(|id| {
        let person = u8::try_from(id % 250).unwrap();
        let text = format!("{id}");
        let mut said = Said {
            op: op(kind, u8::try_from(id % 256).unwrap(), text),
            origin: origin(id.wrapping_mul(977), person, 1, true),
        };
        said.origin.author.level = Level::Manager;
        match &mut said.op {
            Op::Uncomment(op) => op.comment = said.origin.op,
            Op::Untag(op) => op.added_by = vec![said.origin.op],
            Op::React(op) => op.sign = format!("{}", id % 300),
            Op::SetField(op) => op.field = id % 300,
            _ => {}
        }
        said
    });
    crowd.collect()
}

#[test]
fn what_is_kept_is_bounded_and_the_same_in_every_order() {
    for kind in [0, 1, 2, 3, 4, 5, 6, 7, 8, 10] {
        let said = crowd(kind, 700);
        let expected = settled(&said);
        let sizes = [
            expected.blobs.len(),
            expected.edits.len(),
            expected.fates.len(),
            expected.tags.len(),
            expected.untagged.len(),
            expected.reactions.len(),
            expected.comments.len(),
            expected.unsaid.len(),
        ];
        assert!(sizes.iter().all(|size| *size <= 256), "{kind}: {sizes:?}");
        assert!(sizes.iter().any(|size| *size >= 200), "{kind}: {sizes:?}");
        for seed in 0..20 {
            assert_eq!(settled(&shuffled(&said, seed)), expected, "{kind}");
        }
    }
}

#[test]
fn no_crowd_of_other_fates_drives_out_a_restore() {
    let mut said: Vec<Said> = [1, 3, 2]
        .into_iter()
        .flat_map(|kind| crowd(kind, 240))
        .collect();
    for (id, said) in (0..).zip(&mut said) {
        said.origin = Origin {
            author: said.origin.author,
            ..origin(id, said.origin.author.person.0[0], id.into(), true)
        };
    }
    let expected = settled(&with_item(said.clone()));
    assert!(!expected.is_purged() && expected.trashed().is_none());
    for seed in 0..20 {
        assert_eq!(settled(&shuffled(&with_item(said.clone()), seed)), expected);
    }
}
