//! A person's words on a bare device: what they bring back, and what they are not good for.

use super::*;
use crate::{
    crypto::{EpochKind, RecoveryKit, body::BodyNonce},
    replica::{KitAct, KitUse},
};

/// A laptop with a kit, an album and a photo in it; everything that happens is in its entries.
fn family_with_kit() -> (Device, RecoveryKit, SpaceId, OpId) {
    let mut laptop = founder();
    let kit = RecoveryKit::generate(&mut laptop.rng);
    let recorded = laptop
        .replica
        .record_recovery(None, &kit, 1, laptop.now, &mut laptop.rng)
        .unwrap();
    laptop.keep(recorded);
    let space = album(&mut laptop, "Summer");
    let photo = laptop.add_photo(space, "one.jpg");
    (laptop, kit, space, photo)
}

/// A device that knows nothing but the family's first op and what the holder of a kit may pull.
fn bare(from: &Device, kit: &RecoveryKit, seed: u8) -> Device {
    let mut rng = SeededRng::from_seed([seed; 32]);
    let keys = Arc::new(DeviceKeys::generate(&mut rng));
    let genesis = from.replica.control().genesis().clone();
    let replica = Replica::new(keys, u64::from(seed), from.replica.family(), genesis);
    let mut bare = Device {
        replica,
        entries: BTreeMap::new(),
        rng,
        now: from.now,
    };
    pull_as(&mut bare, from, kit.sign().id());
    bare
}

fn pull_as(to: &mut Device, from: &Device, peer: DeviceId) {
    loop {
        let mut taken = 0;
        for entry in from.entries.values() {
            let space = entry.header().space;
            if to.entries.contains_key(&entry.id()) || !from.replica.may_replicate(&peer, &space) {
                continue;
            }
            let entry = Entry::verify(to.replica.family(), entry.bytes().clone()).unwrap();
            if to.replica.accept(&entry, to.now).is_ok() {
                to.entries.insert(entry.id(), entry);
                taken += 1;
            }
        }
        if taken == 0 {
            return;
        }
    }
}

fn restore(bare: &mut Device, kit: &RecoveryKit) -> Result<(), WriteError> {
    let recorded = bare.replica.record_restored(kit, 77, bare.now)?;
    bare.keep(recorded);
    let recorded = bare.replica.record_opened(kit, bare.now, &mut bare.rng)?;
    bare.keep(recorded);
    Ok(())
}

#[test]
fn the_words_bring_back_names_albums_and_photos_from_what_a_keeper_has() {
    let (laptop, kit, space, photo) = family_with_kit();
    let mut tablet = bare(&laptop, &kit, 9);
    assert_eq!(tablet.replica.person(), None);
    assert!(!tablet.replica.can_read(&space));
    restore(&mut tablet, &kit).unwrap();
    assert_eq!(tablet.replica.person(), laptop.replica.person());
    assert_eq!(tablet.replica.family_name().as_deref(), Some("Berger"));
    assert_eq!(tablet.assets(space), laptop.assets(space));
    assert!(tablet.assets(space)[&photo].added.is_some());

    // Opened again without the words, from its own entries alone, it reads as much.
    let mut again = Device {
        replica: Replica::new(
            tablet.replica.keys.clone(),
            9,
            tablet.replica.family(),
            tablet.replica.control().genesis().clone(),
        ),
        entries: BTreeMap::new(),
        rng: SeededRng::from_seed([8; 32]),
        now: tablet.now,
    };
    let me = tablet.replica.device();
    pull_as(&mut again, &tablet, me);
    assert_eq!(again.assets(space), laptop.assets(space));
    assert_eq!(again.replica.family_name().as_deref(), Some("Berger"));
}

#[test]
fn a_restored_device_writes_what_all_others_read_and_all_hear_of_the_words() {
    let (mut laptop, kit, space, _) = family_with_kit();
    let mut tablet = bare(&laptop, &kit, 9);
    restore(&mut tablet, &kit).unwrap();
    let photo = tablet.add_photo(space, "two.jpg");
    let before = laptop.replica.kit_uses().count();
    pull(&mut laptop, &tablet);
    assert!(laptop.assets(space)[&photo].added.is_some());
    let person = laptop.replica.person().unwrap();
    let uses: Vec<KitUse> = laptop.replica.kit_uses().copied().collect();
    assert_eq!((before, uses.len()), (0, 1));
    assert_eq!(uses[0].person, person);
    assert_eq!(uses[0].act, KitAct::Added(tablet.replica.device()));
}

#[test]
fn words_that_were_replaced_bring_nothing_back() {
    let (mut laptop, old, space, _) = family_with_kit();
    let mut tablet = bare(&laptop, &old, 9);
    let new = RecoveryKit::generate(&mut laptop.rng);
    let recorded = laptop
        .replica
        .record_recovery(Some(&old), &new, 2, laptop.now, &mut laptop.rng)
        .unwrap();
    laptop.keep(recorded);
    laptop.add_photo(space, "later.jpg");
    assert!(!laptop.replica.may_replicate(&old.sign().id(), &space));
    let mut late = bare(&laptop, &new, 10);
    let refused = late.replica.record_restored(&old, 5, late.now);
    assert_eq!(refused, Err(WriteError::NotAllowed));
    restore(&mut late, &new).unwrap();
    assert_eq!(late.assets(space), laptop.assets(space));

    // Who used the old words beside it, knowing nothing of the new ones, is out once it is known.
    restore(&mut tablet, &old).unwrap();
    let me = laptop.replica.device();
    pull_as(&mut laptop, &tablet, me);
    assert!(!laptop.replica.control().is_live(&old.sign().id()));
}

#[test]
fn a_kit_says_nothing_in_an_album() {
    let (mut laptop, kit, space, photo) = family_with_kit();
    let known = &laptop.replica.albums[&space];
    let (epoch, _) = known.epochs.of_kind(EpochKind::Album).next().unwrap();
    let person = laptop.replica.person().unwrap();
    let cert = laptop.replica.control().resolution().kits[&person].cert;
    let log = LogId {
        space,
        device: kit.sign().id(),
        inc: 3,
        branch: BranchId::ZERO,
    };
    let mut header = laptop
        .replica
        .header_in(log, Some(cert), laptop.now)
        .unwrap();
    header.epoch = epoch;
    header.nonce = BodyNonce::generate(&mut laptop.rng);
    let mut secret = [0; DeviceKeys::SECRET_BYTES];
    secret[..32].copy_from_slice(&kit.sign().to_bytes()[..]);
    secret[32..].copy_from_slice(&kit.seal().to_bytes()[..]);
    let keys = DeviceKeys::from_secret_bytes(&secret);
    let ops = [Op::SetField(SetField {
        item: photo,
        field: Field::Caption.code(),
        value: b"not by a device".to_vec(),
    })];
    let key = laptop.replica.albums[&space].epochs.key(&epoch).unwrap();
    let entry = Entry::seal(laptop.replica.family(), &keys, header, key, &ops);
    // It may be kept like all that is signed, and says nothing.
    let _ = laptop.replica.accept(&entry, laptop.now);
    laptop.entries.insert(entry.id(), entry.clone());
    assert!(laptop.replica.project(&entry, laptop.now).ops.is_empty());
}
