//! `heirloom peer`: other devices as the network sees them.

use serde_json::{Value, json};

use super::Talk;
use crate::{
    args::{Peer, PeerAct},
    error::CliError,
    ui::{Line, text},
};

pub(super) async fn run(args: Peer, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let mut table = text::Table::default();
    talk.act("peer", body(&args.act), |ui, line| match line.kind() {
        "peer" => table.row(row(line)),
        "summary" => {
            for line in table.lines() {
                ui.say(line);
            }
            match &args.act {
                PeerAct::List if line.count("others") == 0 => {
                    ui.say("There are no other devices yet.");
                    ui.hint("heirloom invite --device brings in a second one");
                }
                PeerAct::List if line.count("peers") == 0 => {
                    ui.say("No other device is connected, and no address of one is known.");
                    ui.hint("run heirloom serve on both: on one network they find each other; elsewhere give the address that serve shows there: heirloom peer add MULTIADDR");
                }
                PeerAct::List => {}
                PeerAct::Add { .. } if line.is("answered") => ui.say(format!(
                    "{} answers there; this address is kept.",
                    line.text("name").unwrap_or_else(|| line.id("device"))
                )),
                PeerAct::Add { addr } => {
                    ui.say(text::plain(&format!("Will look for a device at {addr}.")))
                }
                PeerAct::Remove { addr } => ui.say(text::plain(&format!("Forgot {addr}."))),
            }
        }
        _ => super::unknown(ui, line),
    })
    .await
}

fn body(act: &PeerAct) -> Value {
    match act {
        PeerAct::List => json!({"do": "list"}),
        PeerAct::Add { addr } => json!({"do": "add", "addr": addr}),
        PeerAct::Remove { addr } => json!({"do": "remove", "addr": addr}),
    }
}

fn row(peer: &Line) -> [String; 5] {
    let rate = peer.count("rate");
    [
        peer.text("name").unwrap_or_else(|| peer.id("device")),
        peer.text_or("path", "not connected"),
        if peer.is("rtt_ms") {
            format!("{} ms", peer.count("rtt_ms"))
        } else {
            String::new()
        },
        if rate > 0 {
            format!("{}/s", text::size(rate))
        } else {
            String::new()
        },
        place(peer),
    ]
}

/// Where it can be called; of one that called, and of which that is not known, from where.
fn place(peer: &Line) -> String {
    match peer.text("called_from") {
        Some(from) if !peer.is("reachable") => format!("(it called from {from})"),
        _ => peer.text_or("addr", ""),
    }
}
