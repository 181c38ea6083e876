//! Finding who made an invite: at the link's addresses, or by the words on the local network.

use std::time::Duration;

use heirloom_protocol::{
    discovery::Announcement,
    family::invite::{InviteCode, InviteSecret, InviteText},
};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    api::ApiError,
    net::{Address, Net, NetError, NetEvent, Peer, Sighting, Whom},
    network::peer_of,
};

/// How long words are looked for.
const LOOK: Duration = Duration::from_secs(20);

/// Connects to the inviter.
pub(super) async fn host(
    net: &Net,
    events: &mut mpsc::Receiver<NetEvent>,
    code: &InviteText,
) -> Result<Peer, ApiError> {
    match code {
        InviteText::Link(code) => linked(net, code).await,
        InviteText::Words(secret) => {
            let seen = timeout(LOOK, sighted(net, events, secret)).await;
            seen.ok()
                .flatten()
                .ok_or_else(|| {
                    ApiError::no_peer("nobody on this network answers to these words")
                        .hint("words work in one network alone: is the device that made them on, in this network, and its invite still open? From another home use the link (heirloom join takes it too); that device must be reached from outside, and heirloom doctor there says whether it is")
                        .why("words", 0)
                })
        }
    }
}

async fn linked(net: &Net, code: &InviteCode) -> Result<Peer, ApiError> {
    let inviter = peer_of(code.inviter);
    let addresses: Vec<Address> = code
        .addrs
        .iter()
        .filter_map(|text| text.to_string().parse().ok())
        .collect();
    match net.dial(Whom::Host(Some(inviter)), addresses).await {
        Ok(peer) => Ok(peer),
        Err(NetError::Unreachable | NetError::WrongPeer) => Err(ApiError::no_peer(
            "the device that made this code does not answer",
        )
        .hint("is that device on, and its invite still open? From another home it must be reached from outside: heirloom doctor there says whether it is, and what would help")
        .why("link", 0)),
        Err(error) => Err(ApiError::network(&error)),
    }
}

/// Calls everybody whose tag is that of the invite, until one answers.
async fn sighted(
    net: &Net,
    events: &mut mpsc::Receiver<NetEvent>,
    secret: &InviteSecret,
) -> Option<Peer> {
    let tag = secret.tag_key();
    loop {
        let NetEvent::Discovered(Sighting {
            advert,
            port,
            addresses,
        }) = events.recv().await?
        else {
            continue;
        };
        let heard = Announcement {
            nonce: advert.nonce,
            port,
            tag: advert.tag,
        };
        if !tag.recognises(&heard) {
            continue;
        }
        match net.dial(Whom::Host(None), addresses).await {
            Ok(peer) => return Some(peer),
            Err(error) => tracing::debug!(%error, "a tag was seen but nobody answers"),
        }
    }
}
