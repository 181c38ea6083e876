//! `heirloom serve`: runs the node until it is told to stop.

use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::open;
use crate::{
    args::Serve,
    door::{self, Door, LineStream, ServeOptions},
    error::{CliError, Told},
    notify,
    ui::{Line, Ui},
};

/// Runs the node; SIGTERM and SIGHUP end it with 0, Ctrl+C with 130, a second Ctrl+C at once.
pub(super) async fn run(args: Serve, home: PathBuf, ui: &mut Ui) -> Result<u8, CliError> {
    let options = ServeOptions {
        home,
        port: args.port,
        listen: args.listen,
        lan_only: args.lan_only,
        discovery: !args.no_discovery,
        gallery: (!args.no_gallery).then_some((args.gallery, args.lan_gallery)),
        external: args.external,
        relay: args.relay,
    };
    run_node(options, ui, None).await
}

/// Runs a node; with `link`, leads a browser to its gallery, or prints the address where that is asked for.
pub(super) async fn run_node(
    options: ServeOptions,
    ui: &mut Ui,
    link: Option<bool>,
) -> Result<u8, CliError> {
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move {
        // A dropped sender means the same.
        let _ = stopped.await;
    };
    let home = options.home.clone();
    let mut lines = door::serve(options, stopped).await?;
    let living = tokio::spawn(notify::while_it_lives(home.clone()));
    let ended_by_person = tokio::select! {
        // Signals are heard before anybody is told that the node is ready, and may send one.
        biased;
        by_person = told_to_stop() => by_person,
        ended = print(&mut lines, &home, ui, link, link.is_some()) => return ended,
    };
    living.abort();
    notify::stopping();
    drop(stop);
    tokio::select! {
        ended = print(&mut lines, &home, ui, None, link.is_some()) => ended?,
        _ = told_to_stop() => return Err(CliError::Interrupted),
    };
    Ok(if ended_by_person {
        CliError::Interrupted.exit()
    } else {
        0
    })
}

async fn print(
    lines: &mut LineStream,
    home: &Path,
    ui: &mut Ui,
    link: Option<bool>,
    is_open: bool,
) -> Result<u8, CliError> {
    while let Some(line) = lines.next().await? {
        if line.kind() == "error" {
            return Err(CliError::Told(Told::from_line(&line)));
        }
        if line.kind() == "ready" {
            notify::ready();
        }
        if ui.manner.json && is_open && line.is_last() {
            // The act is the command's, not the one that it began.
            ui.line(&line.with("act", "open".into()));
        } else if ui.manner.json {
            ui.line(&line);
        } else {
            say(ui, &line);
        }
        if let ("ready", Some(print), Some(door)) =
            (line.kind(), link, Door::of_running(home).await)
        {
            let link = open::ask(&door).await?;
            if ui.manner.json {
                // The summary comes at the end.
                ui.line(&link.with("type", "open".into()));
            } else {
                open::lead(&link, home, print, ui);
            }
        }
        if line.is_last() {
            return Ok(line.exit().unwrap_or(0));
        }
    }
    Err(CliError::NodeGone)
}

fn say(ui: &mut Ui, line: &Line) {
    match line.kind() {
        "ready" if !line.is("peer") => {
            ui.say("Heirloom is not set up on this device yet; the gallery leads through it.");
            ui.say(format!("Gallery:    {}", line.text_or("gallery", "")));
            ui.note("heirloom open gives the address that lets your browser in. Stop with Ctrl+C.");
        }
        "ready" | "set_up" => {
            ui.say("The node is running.");
            if let Some(gallery) = line.text("gallery") {
                ui.say(format!("Gallery:    {gallery}"));
            }
            for phones in line.inner("phones") {
                ui.say(format!("Phones:     {}", phones.text_or("url", "")));
                ui.say(format!(
                    "Its certificate has the fingerprint {}",
                    phones.text_or("fingerprint", "")
                ));
            }
            let named = line.texts("named");
            for addr in line.texts("listen") {
                if !named.contains(&addr) {
                    ui.say(format!("Listening:  {addr}"));
                }
            }
            for addr in &named {
                let place = addr.split("/p2p/").next().unwrap_or(addr);
                ui.say(format!("Named:      {place} (as reached from outside)"));
            }
            if line.is("lan_only") {
                ui.say("It talks to this network only.");
            }
            ui.note("Stop it with Ctrl+C.");
        }
        "note" => ui.note(line.text_or("text", "")),
        "hint" => ui.hint(line.text_or("text", "")),
        "summary" => ui.note("The node has stopped."),
        _ => ui.note(line.all_fields()),
    }
}

/// Waits for a signal to stop; true when it came from a person at the keyboard.
#[cfg(unix)]
async fn told_to_stop() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return tokio::signal::ctrl_c().await.is_ok();
    };
    // A terminal that is closed ends the node as a service manager does; nohup keeps it from that.
    let mut closed = match door::is_hangup_ignored() {
        false => signal(SignalKind::hangup()).ok(),
        true => None,
    };
    let closed = async {
        match &mut closed {
            Some(closed) => closed.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => false,
        _ = closed => false,
        _ = tokio::signal::ctrl_c() => true,
    }
}

#[cfg(not(unix))]
async fn told_to_stop() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::{Manner, Terminal, recorded};

    #[test]
    fn an_address_that_a_person_named_is_not_one_that_is_listened_at() {
        let (mut ui, out, _) = recorded::ui(Manner::default(), Terminal::default(), "");
        let [near, named] = ["/ip4/192.168.1.2/tcp/44161", "/ip4/203.0.113.7/tcp/4001"];
        let ready = serde_json::json!({
            "type": "ready", "v": 1, "peer": "P",
            "listen": [format!("{near}/p2p/P"), format!("{named}/p2p/P")],
            "named": [format!("{named}/p2p/P")],
        });
        let line = Line::parse(ready.to_string().as_bytes()).expect("a line");
        say(&mut ui, &line);
        let told =
            format!("Listening:  {near}/p2p/P\nNamed:      {named} (as reached from outside)\n");
        assert!(out.text().ends_with(&told), "{}", out.text());
    }
}
