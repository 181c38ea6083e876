//! What a traced world that failed looks like in the end, for whoever looks why.

use std::collections::BTreeSet;

use heirloom_protocol::{
    id::SpaceId,
    sync::{have, message::Message},
};

use crate::{device::Device, world::World};

/// Says of each album what each device holds of it, where they differ, and whom each is connected to.
pub(crate) fn heads(world: &World) {
    for (at, seat) in world.seats.iter().enumerate() {
        let lines: Vec<String> = seat.lines.keys().map(|id| id.short()).collect();
        let (label, on) = (&seat.device.label, seat.device.is_on());
        eprintln!(
            "{at} {label} {} on {on}, connected {lines:?}",
            seat.device.id.short()
        );
    }
    let on = || world.seats.iter().filter(|seat| seat.device.is_on());
    let mut spaces = BTreeSet::new();
    for seat in on() {
        spaces.insert(seat.device.control_space());
        spaces.extend(seat.device.albums());
    }
    for space in spaces {
        let digests: BTreeSet<_> = on().map(|seat| seat.device.digest(space)).collect();
        if digests.len() > 1 {
            eprintln!("space {space}");
            on().for_each(|seat| heads_of(world, &seat.device, space));
        }
    }
}

fn heads_of(world: &World, device: &Device, space: SpaceId) {
    let all = world.seats.iter().filter(|seat| seat.device.is_on());
    let may: Vec<&str> = all
        .filter(|seat| device.replica().may_replicate(&seat.device.id, &space))
        .map(|seat| seat.device.label.as_str())
        .collect();
    eprintln!(
        "  {} tells {may:?}, level {:?}, digest {:02x?}",
        device.label,
        device.level(&space),
        &device.digest(space)[..4]
    );
    for (log, state) in device.replica().logs_of(space) {
        let Some((seq, id)) = state.head() else {
            continue;
        };
        let (name, inc) = (log.device.short(), log.inc % 10_000);
        eprintln!(
            "      {name} {inc:04} {:02x?} {}..={seq} {}",
            &log.branch.0[..3],
            state.first,
            id.short()
        );
    }
}

/// Whether frames are to be told of too.
pub(crate) fn frames() -> bool {
    std::env::var_os("SIM_FRAMES").is_some()
}

/// A frame about entries in a line; `None` for others, and unless `SIM_FRAMES` is set.
pub(crate) fn frame(message: &Message) -> Option<String> {
    frames().then_some(())?;
    match message {
        Message::Spaces(spaces) => {
            let rows = spaces.rows.iter();
            let rows: Vec<_> = rows
                .map(|(id, d)| format!("{} {}", hex(&id.0), hex(d)))
                .collect();
            Some(format!("Spaces {rows:?}"))
        }
        Message::Heads(heads) => {
            let rows = heads.rows.iter();
            let rows: Vec<_> = rows
                .map(|row| {
                    let (device, inc) = (row.log.device, row.log.inc % 10_000);
                    format!(
                        "{device} {inc} {} {} {}",
                        hex(&row.log.branch.0),
                        row.seq,
                        hex(&row.hash)
                    )
                })
                .collect();
            Some(format!(
                "Heads {} {} {rows:?}",
                heads.ask,
                hex(&heads.space.0)
            ))
        }
        Message::Entries(entries) => {
            let ids = entries.entries.iter();
            let ids: Vec<_> = ids
                .map(|entry| hex(blake3::hash(&entry.header).as_bytes()))
                .collect();
            Some(format!("Entries {} {ids:?}", entries.ask))
        }
        Message::Announce(announce) => {
            let id = hex(blake3::hash(&announce.entry.header).as_bytes());
            Some(format!(
                "Announce {id} of {}",
                hex(&announce.entry.header[3..])
            ))
        }
        Message::Sent(sent) => {
            let forks = sent
                .forks
                .iter()
                .map(|log| (log.device, log.inc % 10_000, hex(&log.branch.0)));
            let forks: Vec<_> = forks.collect();
            Some(format!("Sent {} {} {forks:?}", sent.ask, hex(&sent.digest)))
        }
        Message::Refused(refused) => Some(format!("Refused {}", refused.ask)),
        other => about_blobs(other),
    }
}

/// A frame about which blobs are held, in a line.
fn about_blobs(message: &Message) -> Option<String> {
    match message {
        Message::Have(have) => {
            let rows = have.rows.iter();
            let rows: Vec<_> = rows
                .map(|row| {
                    format!(
                        "{} {} {} {:?}",
                        row.log.device,
                        row.log.inc % 10_000,
                        hex(&row.log.branch.0),
                        have::decode(&row.bits)
                    )
                })
                .collect();
            Some(format!(
                "Have {} {:?} {rows:?}",
                hex(&have.space.0),
                have.mode
            ))
        }
        Message::HaveDigests(digests) => {
            let rows = digests.rows.iter();
            let rows: Vec<_> = rows
                .map(|(id, d)| format!("{} {}", hex(&id.0), hex(d)))
                .collect();
            Some(format!("HaveDigests {rows:?}"))
        }
        Message::HavePull(pull) => {
            let rows = pull.spaces.iter();
            let rows: Vec<_> = rows.map(|id| hex(&id.0)).collect();
            Some(format!("HavePull {rows:?}"))
        }
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&bytes[..2])
}
