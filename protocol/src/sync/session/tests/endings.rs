//! What a device is still told of a space that it lost.

use super::*;

/// A device that takes another out of an album, after it wrote what that one has not got, and that
/// writes on: the store, the entries that the other is to get, and those that it is not.
fn taken_out(store: &mut Memory) -> (Vec<EntryId>, Vec<EntryId>) {
    let space = album(0);
    let mut write = |by, control| id(&store.write(space, device(by), vec![], control, 90));
    let (before, removal) = (write(1, false), write(1, true));
    let (others, after) = (write(3, false), write(1, false));
    store.denied.insert((device(2), space));
    let end = store.locate(removal).unwrap();
    store.ends.insert(device(2), vec![end]);
    (vec![before, removal], vec![others, after])
}

fn assert_told(pair: &Pair, told: &[EntryId], untold: &[EntryId]) {
    assert_eq!(pair.ends[A].closed, None);
    assert_eq!(pair.ends[B].closed, None);
    assert!(pair.ends[A].session.is_settled());
    let held = |id: &EntryId| pair.ends[B].store.holds(*id);
    assert!(told.iter().all(held), "what led to the loss comes");
    assert!(!untold.iter().any(held), "what came after it does not");
}

#[test]
fn who_was_taken_out_of_an_album_is_told_of_that_and_of_nothing_after_it() {
    let mut store = library(1, 2);
    let (told, untold) = taken_out(&mut store);
    let mut pair = Pair::new(store, library(1, 2));
    pair.run(400);
    assert_told(&pair, &told, &untold);
}

#[test]
fn who_is_taken_out_during_a_session_is_told_at_once() {
    let mut pair = Pair::new(library(1, 2), library(1, 2));
    pair.run(400);
    let (told, untold) = taken_out(&mut pair.ends[A].store);
    let all: Vec<_> = told.iter().chain(&untold).copied().collect();
    pair.news(A, &all);
    pair.run(800);
    assert_told(&pair, &told, &untold);
}

#[test]
fn an_ask_for_more_than_the_end_brings_no_more() {
    let mut store = library(1, 2);
    let (told, untold) = taken_out(&mut store);
    let mut pair = Pair::new(store, Memory::default());
    pair.run(400);
    // Nothing of it was here: it is named, asked for from the start, and given up to its end.
    assert_told(&pair, &told, &untold);
    let places = [(0, 0), (0, 7)];
    for (ask, (device, seq)) in (pair.ends[B].session.next_ask..).zip(places) {
        let log = LogRef {
            device,
            inc: 1,
            branch: BranchId::ZERO,
        };
        let hash = [7; 8];
        let rows = vec![crate::sync::message::HeadRow { log, seq, hash }];
        let devices = Devices {
            first: 0,
            devices: vec![device_one()],
        };
        pair.input(A, Input::Message(Message::Devices(devices)));
        let heads = Heads {
            ask,
            space: album(0),
            rows,
            more: false,
        };
        pair.input(A, Input::Message(Message::Heads(heads)));
    }
    let given = pair.ends[A]
        .sent
        .iter()
        .filter_map(|message| match message {
            Message::Entries(entries) => Some(&entries.entries),
            _ => None,
        });
    let given: Vec<EntryId> = given.flatten().map(id).collect();
    assert!(!untold.iter().any(|id| given.contains(id)));
}

fn device_one() -> DeviceId {
    device(1)
}
