//! What the device of a removed person holds, tried on everything that came after the removal.

use super::*;
use crate::{
    album::epoch::Epochs,
    crypto::{EpochKey, EpochName, SealContext, body, seal},
    id::EpochId,
    log::standing::Standing,
    op::{Epoch, SealedTo},
    replica::keys::value_aad,
};

/// How much of a heap of entries a device opens by trying all that it has.
#[derive(PartialEq, Eq, Debug, Default)]
struct Opened {
    /// Entries of albums.
    bodies: usize,
    /// Names in control entries.
    values: usize,
    /// Keys sealed to somebody.
    boxes: usize,
    /// Older keys under newer ones.
    chains: usize,
}

/// Every key of an epoch that a replica ever opened.
fn keys(replica: &Replica) -> Vec<&EpochKey> {
    let albums = replica.albums.values().map(|album| &album.epochs);
    let spaces = albums.chain([&replica.control.epochs]);
    let of_space = |epochs: &Epochs| -> Vec<EpochId> {
        let kinds = [EpochKind::Album, EpochKind::Family, EpochKind::Net];
        let ids = kinds.into_iter().flat_map(|kind| epochs.of_kind(kind));
        ids.map(|(id, _)| id).collect()
    };
    let held = |epochs| {
        of_space(epochs)
            .into_iter()
            .filter_map(|id| Epochs::key(epochs, &id))
    };
    spaces.flat_map(held).collect()
}

/// The names of all epochs that these entries start.
fn epochs<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<EpochId, EpochName> {
    let mut names = BTreeMap::new();
    for entry in entries.filter(|entry| entry.header().is_control()) {
        for op in entry.open(None).unwrap().into_iter().flatten() {
            if let Op::Epoch(epoch) = op {
                let name = EpochName {
                    space: entry.header().space,
                    kind: epoch.kind,
                    generation: epoch.generation,
                    minter: entry.header().device,
                };
                names.insert(epoch.id, name);
            }
        }
    }
    names
}

impl Opened {
    fn by(device: &Device, entries: &[&Entry], names: &BTreeMap<EpochId, EpochName>) -> Self {
        let keys = keys(&device.replica);
        let mut opened = Self::default();
        for entry in entries {
            if !entry.header().is_control() {
                let opens = |key: &&EpochKey| entry.open(Some(*key)).is_ok();
                opened.bodies += usize::from(keys.iter().any(opens));
                continue;
            }
            for op in entry.open(None).unwrap().into_iter().flatten() {
                opened.try_control(device, &keys, entry, &op, names);
            }
        }
        opened
    }

    fn try_control(
        &mut self,
        device: &Device,
        keys: &[&EpochKey],
        entry: &Entry,
        op: &Op,
        names: &BTreeMap<EpochId, EpochName>,
    ) {
        let (space, author) = (entry.header().space, entry.header().device);
        let mut boxes = |epoch: &EpochId, seals: &[SealedTo]| {
            for to in seals {
                let opens = contexts(device, author, *epoch, &names[epoch], to)
                    .iter()
                    .any(|context| {
                        seal::open(context, &device.replica.keys.seal, &to.sealed).is_ok()
                    });
                self.boxes += usize::from(opens);
            }
        };
        match op {
            Op::SetProfile(set) => {
                let aad = value_aad(space, author, set.field, &set.subject);
                let (nonce, sealed) = (&set.value.nonce, &set.value.ciphertext);
                let opens = |key: &&EpochKey| body::open(&key.value_key(), nonce, &aad, sealed);
                self.values += usize::from(keys.iter().any(|key| opens(key).is_ok()));
            }
            Op::Seal(seal) => boxes(&seal.epoch, &seal.seals),
            Op::Epoch(Epoch {
                id, seals, prev, ..
            }) => {
                boxes(id, seals);
                let opens = |key: &&EpochKey| {
                    let chained = prev.as_ref()?;
                    let (nonce, sealed) = (&chained.nonce, &chained.ciphertext);
                    body::open(&key.chain_key(), nonce, &id.0, sealed).ok()
                };
                self.chains += usize::from(keys.iter().any(|key| opens(key).is_some()));
            }
            _ => {}
        }
    }
}

/// A box as it was addressed, and as if it had been meant for this device.
fn contexts(
    device: &Device,
    author: DeviceId,
    epoch_id: EpochId,
    epoch: &EpochName,
    to: &SealedTo,
) -> [SealContext; 2] {
    [to.to, device.replica.device()].map(|recipient| SealContext {
        family: device.replica.family(),
        epoch: *epoch,
        epoch_id,
        recipient_kind: to.kind,
        recipient,
        certificate: to.cert,
        author,
    })
}

#[test]
fn no_key_that_a_removed_person_ever_held_opens_anything_newer() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    anna.add_photo(space, "one.jpg");
    let mut pi = joins(&mut anna, 2, None);
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 3, Some((ben, Role::Admin)));
    let shared = anna
        .replica
        .record_access(space, ben, Level::Manager, anna.now, &mut anna.rng);
    anna.keep(shared.unwrap());
    pull(&mut bens, &anna);
    // Ben could do everything, and mint keys of his own.
    bens.add_photo(space, "two.jpg");
    let bens_album = album(&mut bens, "Ben's");
    bens.add_photo(bens_album, "three.jpg");
    pull(&mut anna, &bens);
    pull(&mut pi, &anna);
    let old: Vec<EntryId> = anna.entries.keys().copied().collect();

    let removal = Op::RemovePerson((ben,));
    let removed = anna
        .replica
        .record_removal(removal, anna.now, &mut anna.rng);
    anna.keep(removed.unwrap());
    pull(&mut pi, &anna);
    let photo = anna.add_photo(space, "four.jpg");
    pi.add_photo(space, "five.jpg");
    let secret = album(&mut anna, "Winter");
    anna.add_photo(secret, "six.jpg");
    let name = [(Subject::Family, "Huber")];
    let named = anna.replica.record_names(&name, anna.now, &mut anna.rng);
    anna.keep(named.unwrap());
    let tended = anna.replica.tend(anna.now, &mut anna.rng).unwrap();
    anna.keep(tended);
    pull(&mut anna, &pi);
    pull(&mut pi, &anna);

    // Whatever anybody has, by whatever way it came.
    let all: BTreeMap<EntryId, Entry> = [&anna, &bens, &pi]
        .iter()
        .flat_map(|device| device.entries.clone())
        .collect();
    for _ in 0..all.len() {
        for entry in all.values() {
            if bens.replica.accept(entry, bens.now).is_ok() {
                bens.entries.insert(entry.id(), entry.clone());
            }
        }
    }
    assert!(anna.entries.keys().all(|id| bens.entries.contains_key(id)));
    let names = epochs(all.values());
    let (before, after): (Vec<&Entry>, Vec<&Entry>) = anna
        .entries
        .values()
        .partition(|entry| old.contains(&entry.id()));
    let bodies = |entries: &[&Entry]| {
        let of_albums = entries.iter().filter(|entry| !entry.header().is_control());
        of_albums.count()
    };
    // The trial itself opens what a reader may open, old and new.
    let bens_old = Opened::by(&bens, &before, &names);
    assert_eq!(bens_old.bodies, bodies(&before));
    assert!(bens_old.values > 0 && bens_old.boxes > 0, "{bens_old:?}");
    let pis_new = Opened::by(&pi, &after, &names);
    assert_eq!(pis_new.bodies, bodies(&after));
    assert!(pis_new.bodies >= 3, "{pis_new:?}");
    assert!(pis_new.values > 0 && pis_new.boxes > 0 && pis_new.chains > 0);
    assert!(pi.assets(space)[&photo].added.is_some());

    assert_eq!(Opened::by(&bens, &after, &names), Opened::default());
    assert!(!bens.assets(space).contains_key(&photo));
    assert_eq!(bens.replica.family_name().as_deref(), Some("Berger"));
}

#[test]
fn a_removal_in_vain_cuts_nobodys_log() {
    let mut anna = founder();
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 2, Some((ben, Role::Member)));
    pull(&mut bens, &anna);
    let space = album(&mut bens, "Ben's");
    let annas = anna.replica.person().unwrap();
    let given =
        bens.replica
            .record_access(space, annas, Level::Contributor, bens.now, &mut bens.rng);
    bens.keep(given.unwrap());
    pull(&mut anna, &bens);
    anna.add_photo(space, "before.jpg");
    pull(&mut bens, &anna);
    // Only an admin removes the device of another person.
    let removal = Op::RemoveDevice((anna.replica.device(),));
    let recorded = bens
        .replica
        .record_removal(removal, bens.now, &mut bens.rng);
    bens.keep(recorded.unwrap());
    assert!(bens.replica.control().is_live(&anna.replica.device()));
    pull(&mut anna, &bens);
    let after = anna.add_photo(space, "after.jpg");
    pull(&mut bens, &anna);
    assert!(
        bens.assets(space)
            .get(&after)
            .is_some_and(|asset| asset.added.is_some())
    );
}

#[test]
fn a_removal_in_vain_keeps_no_key_from_anybody() {
    let mut anna = founder();
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 2, Some((ben, Role::Member)));
    pull(&mut bens, &anna);
    let keys = |device: &Device| {
        [EpochKind::Family, EpochKind::Net].map(|kind| device.replica.control_epoch(kind))
    };
    let before = keys(&bens);
    let removal = Op::RemoveDevice((anna.replica.device(),));
    let recorded = bens
        .replica
        .record_removal(removal, bens.now, &mut bens.rng);
    bens.keep(recorded.unwrap());
    assert_eq!(keys(&bens), before);
    let name = [(Subject::Person(ben), "Benjamin")];
    let named = bens.replica.record_names(&name, bens.now, &mut bens.rng);
    bens.keep(named.unwrap());
    pull(&mut anna, &bens);
    let persons = anna.replica.persons();
    let shown = persons.iter().find(|person| person.id == ben);
    assert_eq!(shown.unwrap().name.as_deref(), Some("Benjamin"));
}

#[test]
fn what_a_removed_device_wrote_is_confirmed_by_an_anchor_that_came_first() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 2, Some((ben, Role::Member)));
    let level = Level::Contributor;
    let given = anna
        .replica
        .record_access(space, ben, level, anna.now, &mut anna.rng);
    anna.keep(given.unwrap());
    pull(&mut bens, &anna);
    let mut pi = joins(&mut anna, 3, None);
    let mut tom = joins(&mut anna, 4, None);
    pull(&mut bens, &anna);
    bens.add_photo(space, "one.jpg");
    pull(&mut pi, &anna);
    pull(&mut pi, &bens);
    let anchor = pi.replica.record_anchor(space, pi.now).unwrap();
    pi.keep(anchor.expect("something is new"));
    let gone = Op::RemoveDevice((bens.replica.device(),));
    let removal = anna.replica.record_control(vec![gone], anna.now);
    anna.keep(removal.unwrap());
    pull(&mut pi, &anna);
    let is_photo = |entry: &&Entry| entry.header().device == bens.replica.device();
    let photo = pi.entries.values().find(is_photo).cloned().unwrap();
    pi.entries.remove(&photo.id());
    pull(&mut tom, &pi);
    pi.entries.insert(photo.id(), photo.clone());
    pull(&mut tom, &pi);
    assert_eq!(pi.replica.level_of(&photo), level);
    assert_eq!(tom.replica.level_of(&photo), level);
}

#[test]
fn who_was_let_in_by_a_device_that_is_removed_hears_of_it_and_can_be_let_in_again() {
    let mut laptop = founder();
    let space = album(&mut laptop, "Summer");
    let mut phone = joins(&mut laptop, 2, None);
    let mut desk = joins(&mut laptop, 4, None);
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut laptop, 3, Some((ben, Role::Member)));
    let let_in = |device: &mut Device| {
        device.now.0 += 1;
        let (replica, now) = (&mut device.replica, device.now);
        let given = replica.record_access(space, ben, Level::Contributor, now, &mut device.rng);
        device.keep(given.unwrap());
    };
    pull(&mut phone, &laptop);
    let_in(&mut phone);
    pull(&mut bens, &phone);
    bens.add_photo(space, "his.jpg");
    pull(&mut desk, &phone);
    pull(&mut desk, &bens);
    desk.anchor(space);
    let level = |device: &Device| device.replica.album(&space).unwrap().level(&ben);
    assert_eq!(level(&desk), Level::Contributor);

    // The laptop has heard of none of it.
    let gone = Op::RemoveDevice((phone.replica.device(),));
    let removed = laptop
        .replica
        .record_removal(gone, laptop.now, &mut laptop.rng);
    laptop.keep(removed.unwrap());
    pull(&mut desk, &laptop);
    assert_eq!(level(&desk), Level::None);
    let his = bens.replica.device();
    let told = desk.replica.ending(&his, &space);
    assert!(!told.is_empty());
    pull(&mut bens, &desk);
    for entry in desk.entries.values() {
        let header = entry.header();
        let is_told = |(log, seq): &(LogId, u32)| {
            (log.device, log.inc) == (header.device, header.inc) && header.seq <= *seq
        };
        let is_new = !bens.entries.contains_key(&entry.id());
        if is_new && header.space == space && told.iter().any(is_told) {
            bens.replica.accept(entry, bens.now).unwrap();
            bens.entries.insert(entry.id(), entry.clone());
        }
    }
    assert_eq!(level(&bens), Level::None);
    let album = bens.replica.album(&space).unwrap();
    assert_eq!(album.ended_by(bens.replica.control(), &ben, &his).len(), 1);

    pull(&mut laptop, &desk);
    let_in(&mut laptop);
    for device in [&mut desk, &mut bens] {
        pull(device, &laptop);
        assert_eq!(level(device), Level::Contributor);
    }
    pull(&mut laptop, &desk);
    for device in [&laptop, &desk, &bens] {
        assert_eq!(device.assets(space).len(), 1);
    }
}

#[test]
fn what_a_device_took_from_others_stays_taken_when_it_is_removed() {
    let mut laptop = founder();
    let space = album(&mut laptop, "Summer");
    let mut phone = joins(&mut laptop, 2, None);
    let mut desk = joins(&mut laptop, 4, None);
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut laptop, 3, Some((ben, Role::Member)));
    let set = |device: &mut Device, level| {
        device.now.0 += 1;
        let (replica, now) = (&mut device.replica, device.now);
        let set = replica.record_access(space, ben, level, now, &mut device.rng);
        device.keep(set.unwrap());
    };
    set(&mut laptop, Level::Contributor);
    for device in [&mut phone, &mut bens] {
        pull(device, &laptop);
    }
    let item = bens.add_photo(space, "his.jpg");
    pull(&mut phone, &bens);
    pull(&mut laptop, &bens);
    laptop.record(space, vec![Op::Trash(Items { items: vec![item] })], vec![]);
    pull(&mut phone, &laptop);
    phone.record(
        space,
        vec![Op::Restore(Items { items: vec![item] })],
        vec![],
    );
    set(&mut phone, Level::None);
    pull(&mut desk, &phone);
    desk.anchor(space);

    // The laptop has heard of neither.
    let gone = Op::RemoveDevice((phone.replica.device(),));
    let removed = laptop
        .replica
        .record_removal(gone, laptop.now, &mut laptop.rng);
    laptop.keep(removed.unwrap());
    pull(&mut desk, &laptop);
    pull(&mut laptop, &desk);
    for device in [&desk, &laptop] {
        let album = device.replica.album(&space).unwrap();
        assert_eq!(album.level(&ben), Level::None);
        assert!(device.assets(space)[&item].trashed().is_none());
    }
}

#[test]
fn an_anchor_names_the_last_loss_of_access_however_many_there_were() {
    let mut laptop = founder();
    let space = album(&mut laptop, "Summer");
    let mut desk = joins(&mut laptop, 4, None);
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut laptop, 3, Some((ben, Role::Member)));
    for round in 0..80 {
        for level in [Level::Contributor, Level::None] {
            if (round, level) == (79, Level::None) {
                pull(&mut bens, &laptop);
            }
            laptop.now.0 += 1;
            let (replica, now) = (&mut laptop.replica, laptop.now);
            let set = replica.record_access(space, ben, level, now, &mut laptop.rng);
            laptop.keep(set.unwrap());
        }
    }
    // He has not heard of the last one.
    bens.now = laptop.now;
    bens.add_photo(space, "late.jpg");
    pull(&mut desk, &laptop);
    pull(&mut desk, &bens);
    desk.anchor(space);
    bens.add_photo(space, "later.jpg");
    pull(&mut desk, &bens);
    desk.anchor(space);
    let album = desk.replica.album(&space).unwrap();
    let his = bens.entries.values();
    let his = his.filter(|entry| entry.header().device == bens.replica.device());
    for entry in his.filter(|entry| entry.header().space == space) {
        let standing = album.standing(desk.replica.control(), &entry.id(), Level::Contributor);
        assert_ne!(standing, Standing::Stands);
    }
}
