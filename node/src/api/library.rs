//! The library of this device's person: brought here where the device has only just joined, begun anew where no
//! device is left that could bring it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use heirloom_protocol::{id::AlbumId, op::AlbumUse};

use super::{Answer, ApiError, Doorway, albums::no_person, pair::Lent};
use crate::{network::Network, node::Node, runtime::View};

/// How long nobody may answer.
const LOOK: Duration = Duration::from_secs(5);
/// How long those who answer may have nothing to say of it.
const LISTEN: Duration = Duration::from_secs(30);
/// Between two looks, and between two rounds of calls.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const CALL_AGAIN: Duration = Duration::from_secs(2);

/// The family as it is now, with the library if it can be had: a device that has just joined knows
/// who belongs, and not yet what they wrote. It is waited for, and no photo of it.
///
/// # Errors
///
/// `E-NO-PEER` where nobody answers who could tell of it; [`missing`] where nobody does.
pub(super) async fn bring(
    doorway: &Arc<Doorway>,
    node: &Node,
    view: View,
    answer: &Answer,
) -> Result<View, ApiError> {
    if view.library().is_some() || view.person.is_none() {
        return Ok(view);
    }
    let lent = Lent::of(doorway, node).await?;
    let brought = wait(&lent.network, answer).await;
    lent.give_back().await;
    brought
}

async fn wait(network: &Network, answer: &Answer) -> Result<View, ApiError> {
    let mut stirs = network.stirs();
    let (began, mut called_at) = (Instant::now(), None::<Instant>);
    loop {
        let view = network.node().view().await?;
        if view.library().is_some() {
            return Ok(view);
        }
        let sessions = network.sessions();
        let patience = if sessions.is_empty() { LOOK } else { LISTEN };
        if answer.dropped().is_cancelled() || began.elapsed() >= patience {
            return Err(match sessions.is_empty() {
                true => ApiError::no_peer(
                    "your library has not come to this device yet, and no device that has it answers",
                )
                .hint("run heirloom serve on the device that let this one in, then import again; or name an album: --album NAME"),
                false => match begun(network.node(), &view).await? {
                    Some(_) => return Ok(network.node().view().await?),
                    None => missing(&view),
                },
            });
        }
        if called_at.is_none_or(|at| at.elapsed() >= CALL_AGAIN) {
            called_at = Some(Instant::now());
            if let Err(error) = network.call_round().await {
                tracing::debug!(%error, "a round of calls");
            }
        }
        // Nothing may stir while time alone decides.
        let _ = tokio::time::timeout(LOOK_AGAIN, stirs.changed()).await;
    }
}

/// The library of this person. Where there is none, and no other device of theirs is left that could bring it, a new
/// one is begun: a person who was brought back by their words would have none for ever. Durable when it returns.
///
/// The old one may still come from a keeper: a person may have two, and each of their devices adds to the same one.
pub(super) async fn begun(node: &Node, view: &View) -> Result<Option<AlbumId>, ApiError> {
    match view.library() {
        Some(library) => Ok(Some(library.id)),
        None if view.person.is_none() || siblings(view).next().is_some() => Ok(None),
        None => begin(node).await.map(Some),
    }
}

/// Begins a library, whoever may have one. Durable when it returns.
pub(super) async fn begin(node: &Node) -> Result<AlbumId, ApiError> {
    let made = node.ask(|runtime| runtime.make_album("Library", AlbumUse::Library));
    Ok(made.await??)
}

/// The names of this person's other devices.
fn siblings(view: &View) -> impl Iterator<Item = String> {
    let own = view.others().filter(|row| row.person == view.person);
    own.map(|row| view.device_name(&row.id))
}

/// Why there is no library of this person.
pub(super) fn missing(view: &View) -> ApiError {
    if view.person.is_none() {
        return no_person()
            .hint("import on a device of a person: a keeper only holds what others add");
    }
    let gone = siblings(view).next().map_or_else(String::new, |name| {
        format!("; if {name} is gone for good: heirloom device remove {name:?} --lost")
    });
    ApiError::not_found("library of yours here yet").hint(format!(
        "run heirloom sync while another of your devices runs heirloom serve; or name an album: --album NAME{gone}"
    ))
}
