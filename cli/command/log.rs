//! `heirloom log`: what the node has logged, from the journal or from its home.

use std::{
    collections::VecDeque,
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::Talk;
use crate::{
    args::Log,
    door,
    error::CliError,
    journal::{FILE, OLDER, Unit},
    ui::{Line, Ui, text},
};

/// How often a file is looked at that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(args: Log, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let path = talk.home.join(FILE);
    let text = fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    if let Some(unit) = Unit::pointed_to(&text) {
        return of_journal(&unit, &args, talk).await;
    }
    let older = fs::read(talk.home.join(OLDER)).unwrap_or_default();
    let older = String::from_utf8_lossy(&older);
    if text.is_empty() && older.is_empty() {
        // A node that offers to set up the home may have logged already.
        door::check_set_up(&talk.home)?;
    }
    let mut last = VecDeque::new();
    for line in older.lines().chain(text.lines()) {
        if last.len() == args.lines {
            last.pop_front();
        }
        if args.lines > 0 {
            last.push_back(line);
        }
    }
    for line in &last {
        say(talk.ui, line);
    }
    if args.follow {
        return follow(&path, text.len(), talk).await;
    }
    let exit = if older.is_empty() && text.is_empty() {
        4
    } else {
        0
    };
    let summary = Line::own(
        "summary",
        json!({"act": "log", "lines": last.len(), "exit": exit}),
    );
    Ok(talk.close(&summary, |ui, _| {
        if exit == 4 {
            ui.say("Nothing was logged yet: a node logs while heirloom serve runs.");
        }
    }))
}

/// Shows what is added to the file, until it is stopped.
async fn follow(path: &Path, seen: usize, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let mut seen = u64::try_from(seen).unwrap_or(u64::MAX);
    let mut begun = Vec::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(mut file) = fs::File::open(path) else {
            continue;
        };
        let bytes = file.metadata().map_or(0, |found| found.len());
        if bytes < seen {
            // A new file was begun.
            seen = 0;
        }
        let mut added = Vec::new();
        let read = file
            .seek(SeekFrom::Start(seen))
            .and_then(|_| file.read_to_end(&mut added));
        let Ok(count) = read else {
            continue;
        };
        seen = seen.saturating_add(u64::try_from(count).unwrap_or(0));
        begun.extend(added);
        while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = begun.drain(..=end).collect();
            say(talk.ui, String::from_utf8_lossy(&line).trim_end());
        }
        if talk.ui.is_closed() {
            return Ok(0);
        }
    }
}

async fn of_journal(unit: &Unit, args: &Log, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let scope = if unit.is_user {
        "--user-unit"
    } else {
        "--unit"
    };
    let mut command = tokio::process::Command::new("journalctl");
    command
        .args(["--no-pager", "--quiet", "--output", "short-iso", "--lines"])
        .arg(args.lines.to_string())
        .args([scope, &unit.name])
        .env("SYSTEMD_COLORS", "0")
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if args.follow {
        command.arg("--follow");
    }
    let failed = |told: String| CliError::Unit {
        act: "show the journal",
        told,
    };
    let child = command.spawn();
    let mut child = child.map_err(|error| failed(format!("journalctl: {error}")))?;
    let mut lines = match child.stdout.take() {
        Some(out) => BufReader::new(out).lines(),
        None => return Err(failed("journalctl says nothing".into())),
    };
    let mut count = 0_usize;
    while let Ok(Some(line)) = lines.next_line().await {
        say(talk.ui, &line);
        count += 1;
    }
    let ended = child.wait().await;
    if !ended.is_ok_and(|status| status.success()) {
        return Err(failed(
            "journalctl failed; sudo lets you read the system's journal".into(),
        ));
    }
    let summary = Line::own("summary", json!({"act": "log", "lines": count}));
    Ok(talk.close(&summary, |_, _| {}))
}

fn say(ui: &mut Ui, line: &str) {
    if ui.manner.json {
        ui.line(&Line::own("log", json!({"line": line})));
    } else {
        ui.say(text::plain(line));
    }
}
