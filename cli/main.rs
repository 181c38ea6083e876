//! The `heirloom` command line: parse, run, exit code.
#![forbid(unsafe_code)]

mod args;
mod command;
mod door;
mod error;
mod home;
mod journal;
mod notify;
mod ui;
mod unit;

use std::{ffi::OsString, process::ExitCode, time::Duration};

use crate::{
    args::{Cli, Color, Command, Misuse},
    error::CliError,
    ui::{Line, Manner, Terminal, Ui},
};

/// How long the last writes of a stopped command may take.
const LAST_WRITES: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let peek = args::peek(&arguments);
    let terminal = Terminal::here();
    let mut manner = Manner {
        json: peek.json,
        color: (
            is_colored(peek.color, terminal.out),
            is_colored(peek.color, terminal.err),
        ),
        ..Manner::default()
    };
    let parsed = args::parse(&arguments, manner.color.1);
    if let Ok(Cli {
        command: Command::WorkerDecode,
        ..
    }) = parsed
    {
        return ExitCode::from(door::decode_worker());
    }
    let cli = match parsed {
        Ok(cli) => cli,
        Err(misuse) => return ExitCode::from(tell_misuse(misuse, &mut Ui::new(manner, terminal))),
    };
    manner.quiet = cli.global.quiet;
    manner.verbose = cli.global.verbose > 0;
    manner.yes = cli.global.yes;
    let mut ui = Ui::new(manner, terminal);
    let outcome = run(cli, &mut ui).and_then(|exit| ui.finish().map(|()| exit));
    ExitCode::from(outcome.unwrap_or_else(|error| {
        ui.error(&error);
        error.exit()
    }))
}

fn run(cli: Cli, ui: &mut Ui) -> Result<u8, CliError> {
    let home = match (home::choose(cli.global.home), &cli.command) {
        // What is about the program alone needs none.
        (Err(_), Command::Version(_) | Command::Completions(_) | Command::Man(_)) => {
            std::path::PathBuf::new()
        }
        (home, _) => home?,
    };
    let is_node = matches!(cli.command, Command::Serve(_) | Command::Open(_));
    let color = ui.manner.color.1;
    journal::begin(cli.global.verbose, color, is_node.then_some(home.as_path()));
    let runtime = tokio::runtime::Runtime::new().map_err(|source| CliError::File {
        act: "start on",
        path: home.clone(),
        source,
    })?;
    let outcome = runtime.block_on(command::run(cli.command, home, ui));
    runtime.shutdown_timeout(LAST_WRITES);
    outcome
}

fn tell_misuse(misuse: Misuse, ui: &mut Ui) -> u8 {
    match misuse {
        Misuse::Asked { act, text } if ui.manner.json => {
            ui.line(&Line::own("summary", command::asked(act, &text)));
            0
        }
        Misuse::Asked { text, .. } => {
            ui.verbatim(&text);
            0
        }
        Misuse::Wrong { rendered, .. } if !ui.manner.json => {
            ui.verbatim_error(&rendered);
            2
        }
        Misuse::Wrong { message, hint, .. } => {
            let error = CliError::usage(message, hint);
            ui.error(&error);
            error.exit()
        }
    }
}

fn is_colored(wanted: Color, terminal: bool) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match wanted {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && !is_set("NO_COLOR") && !is_dumb,
    }
}
