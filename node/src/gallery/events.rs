//! What happens, told to an open page as Server-Sent Events.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::{Gallery, guard, refusal::Refusal};

/// How long between two signs of life.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Events that wait for a slow page.
const QUEUE: usize = 64;
/// Least time between two lists of who is connected.
const PEERS_EVERY: Duration = Duration::from_secs(1);

type Events = mpsc::Sender<Result<Bytes, Infallible>>;

fn event(name: &str, told: &Value) -> Bytes {
    // JSON has no line breaks, so that one event is one line of data.
    format!("event: {name}\ndata: {told}\n\n").into()
}

async fn tell(events: &Events, name: &str, told: &Value) -> bool {
    events.send(Ok(event(name, told))).await.is_ok()
}

/// `GET /api/v1/events`; ends with the session, the page or the node.
pub(super) async fn events(
    State(gallery): State<Gallery>,
    axum::Extension(door): axum::Extension<guard::Door>,
    headers: axum::http::HeaderMap,
) -> Result<Response, Refusal> {
    let name = gallery.cookie_name(&door);
    let secret = guard::cookie(&headers, &name)
        .ok_or_else(Refusal::no_session)?
        .to_owned();
    let (tell, mut told) = mpsc::channel(QUEUE);
    tokio::spawn(follow(gallery, secret, tell));
    let stream = futures::stream::poll_fn(move |cx| told.poll_recv(cx));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((kind, Body::from_stream(stream)).into_response())
}

async fn follow(gallery: Gallery, secret: String, events: Events) {
    let stop = gallery.0.stop.clone();
    let mut ping = interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut door = gallery.0.doorway.stirs();
    // A home that is not set up has nothing else to tell.
    let shelf = loop {
        if let Ok(shelf) = gallery.shelf().await {
            break shelf;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = events.closed() => return,
            settled = door.changed() => if settled.is_err() { return },
            _ = ping.tick() => if !tell(&events, "ping", &json!({})).await { return },
        }
    };
    let mut changes = shelf.changes();
    let mut progress = gallery.0.uploads.told();
    let first = json!({"version": shelf.version(), "months": [], "assets": [], "blobs": false, "roster": true});
    if !tell(&events, "changed", &first).await {
        return;
    }
    let mut peers = Peers::of(&gallery).await;
    loop {
        let going_on = tokio::select! {
            () = stop.cancelled() => return,
            () = events.closed() => return,
            changed = changes.recv() => match changed {
                Ok(changed) => tell(&events, "changed", &json!(changed)).await,
                Err(RecvError::Lagged(_)) => tell(&events, "changed", &first).await,
                Err(RecvError::Closed) => return,
            },
            told = progress.recv() => match told {
                Ok(told) => tell(&events, "progress", &told).await,
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            },
            told = peers.next(&gallery) => tell(&events, "peers", &told).await,
            _ = ping.tick() => {
                // Whoever was shown the door hears nothing more.
                gallery.sessions().reach(&secret).is_some() && tell(&events, "ping", &json!({})).await
            }
        };
        if !going_on {
            return;
        }
    }
}

/// Who is connected, whenever that changes.
struct Peers {
    stirs: Option<watch::Receiver<u64>>,
    /// Wakes when the network comes or goes.
    door: watch::Receiver<u64>,
    told: Value,
}

impl Peers {
    async fn of(gallery: &Gallery) -> Self {
        let door = gallery.0.doorway.stirs();
        let network = gallery.0.doorway.network().await;
        let stirs = network.map(|network| {
            let mut stirs = network.stirs();
            // Who is connected already is told first.
            stirs.mark_changed();
            stirs
        });
        Self {
            stirs,
            door,
            told: Value::Null,
        }
    }

    async fn next(&mut self, gallery: &Gallery) -> Value {
        loop {
            let stirred = match &mut self.stirs {
                Some(stirs) => stirs.changed().await.is_ok(),
                None => false,
            };
            if !stirred {
                // The network is not there yet, or no longer.
                if self.door.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                *self = Self::of(gallery).await;
                continue;
            }
            tokio::time::sleep(PEERS_EVERY / 4).await;
            let Some(network) = gallery.0.doorway.network().await else {
                continue;
            };
            let connected = network.connected().await;
            let members = connected
                .iter()
                .filter(|peer| peer.standing == crate::net::Standing::Member);
            let mut devices: Vec<String> = members
                .map(|peer| crate::network::device_of(peer.peer).to_string())
                .collect();
            devices.sort_unstable();
            devices.dedup();
            let away = network.turned_away();
            let away: Vec<_> = away.iter().map(ToString::to_string).collect();
            let told = json!({
                "connected": devices, "receiving": network.fetching(), "turned_away": away,
            });
            if told != self.told {
                self.told = told.clone();
                return told;
            }
        }
    }
}
