//! One file for each command: arguments in, a request to the node, its lines out.
//!
//! [`Talk`] is what they share. It prints the node's lines as they are with
//! `--json`; without it, each command says its own lines in sentences.

mod activity;
mod album;
mod bundle;
mod caption;
mod comment;
mod completions;
mod config;
mod demo;
mod depot;
mod device;
mod doctor;
mod export;
mod favorite;
mod find;
mod get;
mod import;
mod init;
mod invite;
mod join;
mod keep;
mod list;
mod log;
mod man;
mod offload;
mod open;
mod paper;
mod peer;
mod people;
mod purge;
mod recovery;
mod restore;
mod retake;
mod serve;
mod service;
mod sessions;
mod share;
mod show;
mod status;
mod sync;
mod tag;
mod trash;
mod undo;
mod unshare;
mod verify;
mod version;
mod watch;
mod words;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{
    args::Command,
    door::Door,
    error::{CliError, Told},
    ui::{Line, Ui, text},
};

/// Acts that change nothing: when nobody reads the answer, there is no need to finish it.
const LOOKING: &[&str] = &["list", "find", "show", "status", "activity"];

/// Runs one command to its end and gives the exit code.
///
/// Ctrl+C ends it early: the answer is dropped, and with it the act.
pub(crate) async fn run(command: Command, home: PathBuf, ui: &mut Ui) -> Result<u8, CliError> {
    if let Command::Serve(args) = command {
        return serve::run(args, home, ui).await;
    }
    if let Command::Open(args) = command {
        return open::run(args, home, ui).await;
    }
    let mut talk = Talk {
        home,
        ui,
        door: None,
    };
    let stopped = match command {
        // Its code dies with the command.
        Command::Invite(_) => CliError::TakenBack,
        _ => CliError::Interrupted,
    };
    tokio::select! {
        outcome = dispatch(command, &mut talk) => outcome,
        _ = tokio::signal::ctrl_c() => Err(stopped),
    }
}

async fn dispatch(command: Command, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    match command {
        Command::Init(args) => init::run(args, talk).await,
        Command::Join(args) => join::run(args, talk).await,
        Command::Invite(args) => invite::run(args, talk).await,
        Command::Import(args) => import::run(args, talk).await,
        Command::Watch(args) => watch::run(args, talk).await,
        Command::List(args) => list::run(args, talk).await,
        Command::Show(args) => show::run(args, talk).await,
        Command::Find(args) => find::run(args, talk).await,
        Command::Get(args) => get::run(args, talk).await,
        Command::Export(args) => export::run(args, talk).await,
        Command::Album(args) => album::run(args, talk).await,
        Command::Share(args) => share::run(args, talk).await,
        Command::Unshare(args) => unshare::run(args, talk).await,
        Command::Caption(args) => caption::run(args, talk).await,
        Command::Favorite(args) => favorite::run(args, talk).await,
        Command::Retake(args) => retake::run(args, talk).await,
        Command::Comment(args) => comment::run(args, talk).await,
        Command::Activity(args) => activity::run(args, talk).await,
        Command::Sessions(args) => sessions::run(args, talk).await,
        Command::Tag(args) => tag::run(args, talk).await,
        Command::Trash(args) => trash::run(args, talk).await,
        Command::Restore(args) => restore::run(args, talk).await,
        Command::Undo(args) => undo::run(args, talk).await,
        Command::Purge(args) => purge::run(args, talk).await,
        Command::People(args) => people::run(args, talk).await,
        Command::Device(args) => device::run(args, talk).await,
        Command::Peer(args) => peer::run(args, talk).await,
        Command::Words(_) => words::run(talk).await,
        Command::Recovery(args) => recovery::run(args, talk).await,
        Command::Status(args) => status::run(args, talk).await,
        Command::Sync(args) => sync::run(args, talk).await,
        Command::Keep(args) => keep::run(args, talk).await,
        Command::Offload(args) => offload::run(args, talk).await,
        Command::Depot(args) => depot::run(args, talk).await,
        Command::Bundle(args) => bundle::run(args, talk).await,
        Command::Verify(args) => verify::run(args, talk).await,
        Command::Doctor(_) => doctor::run(talk).await,
        Command::Config(args) => config::run(args, talk).await,
        Command::Startup(args) => service::run(args, talk).await,
        Command::Log(args) => log::run(args, talk).await,
        Command::Completions(args) => completions::run(args, talk),
        Command::Man(args) => man::run(args, talk),
        Command::Version(_) => version::run(talk),
        // `serve`, `open` and the worker were taken out before.
        Command::Demo(args) => demo::run(args, talk).await,
        Command::Serve(_) | Command::Open(_) | Command::WorkerDecode => {
            Err(CliError::NotYet("this command is not for this door"))
        }
    }
}

/// A command's conversation with the node of its home and with the person.
pub(crate) struct Talk<'a> {
    home: PathBuf,
    ui: &'a mut Ui,
    /// Opened by the first act.
    door: Option<Door>,
}

impl Talk<'_> {
    /// Asks for an act and prints its answer; `human` says a line for people. Gives the exit code.
    async fn act(
        &mut self,
        act: &str,
        body: Value,
        mut human: impl FnMut(&mut Ui, &Line),
    ) -> Result<u8, CliError> {
        let summary = self.answer(act, body, &mut human).await?;
        Ok(self.close(&summary, human))
    }

    /// Asks for an act, prints its answer up to the summary, and gives that.
    async fn answer(
        &mut self,
        act: &str,
        body: Value,
        human: &mut impl FnMut(&mut Ui, &Line),
    ) -> Result<Line, CliError> {
        let door = match self.door.take() {
            Some(door) => door,
            None => Door::open(&self.home).await?,
        };
        let door = self.door.insert(door);
        let mut lines = door.call(act, &body).await?;
        while let Some(line) = lines.next().await? {
            match line.kind() {
                "summary" => return Ok(line),
                "error" => return Err(CliError::Told(Told::from_line(&line))),
                "progress" => self.ui.progress(&line),
                "confirm" => confirm(act, &line, door, self.ui).await?,
                _ if self.ui.manner.json => self.ui.line(&line),
                "failed" => {
                    let (id, reason) = (line.text_or("id", "?"), line.text_or("reason", ""));
                    self.ui.warn(format!("failed: {id}: {reason}"));
                }
                "note" => self.ui.note(line.text_or("text", "")),
                "hint" => self.ui.hint(line.text_or("text", "")),
                _ => human(self.ui, &line),
            }
            if self.ui.is_closed() && LOOKING.contains(&act) {
                return Ok(Line::own("summary", json!({"act": act})));
            }
        }
        Err(CliError::NodeGone)
    }

    /// Asks whether an act may be done, before the person is asked whether they mean it.
    ///
    /// The question is an act of its own: a node of an earlier version refuses it and does nothing.
    async fn may(&mut self, act: &str, mut body: Value) -> Result<Line, CliError> {
        body["act"] = body["do"].take();
        body["do"] = json!("may");
        match self.answer(act, body, &mut unknown).await {
            Err(CliError::Told(mut told))
                if told.id == "E-USAGE" && told.message.ends_with("does not know \"may\"") =>
            {
                "the node that runs here is of an earlier version than this command"
                    .clone_into(&mut told.message);
                told.safe = Some("Nothing was changed.".to_owned());
                told.hint =
                    Some("stop the node and start it again, then run this again".to_owned());
                Err(CliError::Told(told))
            }
            told => told,
        }
    }

    /// Prints the summary and gives the exit code.
    fn close(&mut self, summary: &Line, mut human: impl FnMut(&mut Ui, &Line)) -> u8 {
        self.ui.clear_progress();
        if self.ui.manner.json {
            self.ui.line(summary);
        } else {
            human(self.ui, summary);
        }
        summary.exit().unwrap_or(0)
    }

    /// Goes on only with a yes, for what cannot be undone.
    async fn sure(&mut self, question: &str) -> Result<(), CliError> {
        let question = text::plain(question);
        if self.ui.confirm(&question).await? {
            Ok(())
        } else {
            Err(CliError::NotConfirmed)
        }
    }

    /// Takes words that never stand in arguments: from the person, or with `-` from stdin.
    ///
    /// Without a terminal the person is asked through stdin all the same, as by `ssh HOST heirloom join`.
    async fn secret(&mut self, from: &[String], prompt: &str) -> Result<String, CliError> {
        let read = match from {
            [] => {
                self.ui.listen();
                self.ui.ask(prompt).await
            }
            [dash] if dash == "-" => self.ui.read_line().await,
            _ => {
                return Err(CliError::usage(
                    "secret words do not go on the command line, where other programs can read them",
                    "leave them out and type them when asked, or give them on stdin with '-'",
                ));
            }
        };
        match read {
            Ok(Some(words)) => Ok(words),
            Ok(None) => Err(no_words("stdin has ended, and there was nothing on it")),
            Err(error @ CliError::NotText) => Err(no_words(&error.to_string())),
            Err(error) => Err(error),
        }
    }
}

/// Shows the words that both screens show and, where the node waits for it, passes on the person's yes or no.
async fn confirm(act: &str, line: &Line, door: &Door, ui: &mut Ui) -> Result<(), CliError> {
    if ui.manner.json {
        ui.line(line);
    } else {
        let intro = match act {
            "invite" => "A device wants to join. Both screens show:",
            _ => "Both screens show:",
        };
        ui.warn(format!("{intro}  {}", line.texts("words").join(" ")));
    }
    let Some(token) = line.exact("token") else {
        return Ok(());
    };
    let question = line.text_or("ask", "Do both screens show the same words?");
    let answer = ui.confirm(&question).await;
    let accept = matches!(answer, Ok(true));
    let mut told = door
        .call("confirm", &json!({"token": token, "accept": accept}))
        .await?;
    while let Some(line) = told.next().await? {
        if line.kind() == "error" {
            return Err(CliError::Told(Told::from_line(&line)));
        }
    }
    // A no is the person's answer, and the node says what follows from it; that nobody could be asked is an error.
    answer.map(|_| ())
}

/// What stands in the place of a code or of recovery words is none: the same class as a wrong one.
fn no_words(message: &str) -> CliError {
    CliError::Told(Told {
        id: "E-CODE".to_owned(),
        message: message.to_owned(),
        safe: Some("Nothing was changed.".to_owned()),
        hint: Some("give the words on one line: typed when asked, or on stdin".to_owned()),
        exit: 8,
    })
}

/// Gives how many things an edit changed: what the summary says, else how many were named.
fn changed(summary: &Line, named: usize) -> u64 {
    if summary.is("changed") {
        summary.count("changed")
    } else {
        u64::try_from(named).unwrap_or(u64::MAX)
    }
}

/// The summary's fields where help or the version was asked for.
pub(crate) fn asked(act: &str, text: &str) -> Value {
    match act {
        "version" => version::fields(),
        _ => json!({"act": act, "text": text}),
    }
}

/// Says a line that the command has no sentence for.
fn unknown(ui: &mut Ui, line: &Line) {
    if line.kind() != "summary" {
        ui.say(line.all_fields());
    }
}

#[cfg(test)]
mod tests;
