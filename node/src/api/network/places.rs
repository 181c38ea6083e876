//! Where a connected device can be called. Of one that called itself, the port that it called from is gone with
//! the call, and nobody answers there.

use heirloom_protocol::id::DeviceId;

use crate::{
    api::ApiError,
    net::{Address, Path, PeerPath},
    network::device_of,
    node::Node,
};

/// The address that a device called from; none where this one called it, or another one relays.
pub(super) fn called_from(path: &PeerPath) -> Option<Address> {
    (!path.outbound && path.path != Path::Relay).then_some(path.address)
}

/// Where a connected device can be called, if that is known: where it was reached, or at the host that it called
/// from where it says that it listens.
pub(super) async fn reached(
    node: &Node,
    path: &PeerPath,
    known: &[(DeviceId, Vec<Address>)],
) -> Result<Option<Address>, ApiError> {
    let Some(from) = called_from(path) else {
        return Ok(Some(path.address));
    };
    let device = device_of(path.peer);
    let told = node.ask(move |runtime| runtime.told_addresses(&device));
    let told: Vec<_> = told.await??;
    let told = told.iter().filter_map(|told| told.as_str().parse().ok());
    let known = known.iter().filter(|(of, _)| *of == device);
    let known: Vec<Address> = known.flat_map(|(_, all)| all.iter().copied()).collect();
    let at = pick(&from, &known, &told.collect::<Vec<_>>());
    Ok(at.map(|at| Address {
        peer: Some(path.peer),
        ..at
    }))
}

fn pick(from: &Address, known: &[Address], told: &[Address]) -> Option<Address> {
    let is_there = |at: &&Address| at.via.is_none() && at.ip == from.ip && at.can_be_dialled();
    let mut there = known.iter().chain(told).filter(is_there);
    there.next().or_else(|| known.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        text.parse().expect("an address")
    }

    #[test]
    fn the_port_that_a_device_called_from_is_no_place_to_call_it() {
        let from = at("/ip4/192.168.1.5/tcp/51234");
        let (home, outside) = (at("/ip4/192.168.1.5/tcp/4242"), at("/ip4/9.9.9.9/tcp/4242"));
        assert_eq!(pick(&from, &[], &[]), None);
        assert_eq!(pick(&from, &[], &[outside, home]), Some(home));
        assert_eq!(pick(&from, &[outside], &[home]), Some(home));
        // It was reached there, or a person says so.
        assert_eq!(pick(&from, &[outside], &[]), Some(outside));
        // What it says of another host may be of another home.
        assert_eq!(pick(&from, &[], &[outside]), None);
    }
}
