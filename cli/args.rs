//! The whole surface of the command line: commands, flags, short and long help.
//!
//! Only this file and the ones below it know clap. What they give is parsed and
//! checked for form; whether an album or a photo exists is for the node to say.

mod family;
mod gallery;
mod photos;
mod runs;
mod upkeep;
mod values;

use std::{ffi::OsString, io, path::Path, path::PathBuf};

use clap::{
    ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;

pub(crate) use self::{family::*, gallery::*, photos::*, runs::*, upkeep::*};

/// Everything that can be asked for in one call of `heirloom`.
#[derive(Parser)]
#[command(
    name = "heirloom",
    version,
    about = "Share photos within a family, from device to device, with no server",
    propagate_version = false,
    max_term_width = 100,
    before_long_help = "Examples:
  heirloom init --family Berger --person Anna
  heirloom import ~/Pictures --album \"Summer 2023\"
  heirloom invite --device
  heirloom status"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes, before its name or after it.
#[derive(Args)]
pub(crate) struct Global {
    /// Use this home instead of the platform's data folder
    #[arg(long, global = true, value_name = "DIR", env = "HEIRLOOM_HOME", help_heading = GLOBAL, value_parser = values::home())]
    pub(crate) home: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Print results only: no progress, no hints
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// Say more on stderr; twice for still more
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub(crate) verbose: u8,
    /// Colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = GLOBAL)]
    pub(crate) color: Color,
    /// Answer yes to every question
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) yes: bool,
}

const GLOBAL: &str = "Global options";

/// When to colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Even into a file
    Always,
    /// Not at all
    Never,
}

/// The commands, in the order in which the help groups them.
#[derive(Subcommand)]
pub(crate) enum Command {
    Init(Init),
    Join(Join),
    Invite(Invite),
    Serve(Serve),
    Open(Open),
    Demo(Demo),

    Import(Import),
    Watch(Watch),
    List(List),
    Show(Show),
    Find(Find),
    Get(Get),
    Export(Export),

    Album(Album),
    Share(Share),
    Unshare(Unshare),
    Caption(Caption),
    #[command(visible_alias = "favourite")]
    Favorite(Favorite),
    Retake(Retake),
    Comment(Comment),
    Activity(Activity),
    Tag(Tag),
    Trash(Trash),
    Restore(Restore),
    Undo(Undo),
    Purge(Purge),

    People(People),
    Device(Device),
    Peer(Peer),
    Words(Words),
    Sessions(Sessions),
    Recovery(Recovery),

    Status(Status),
    Sync(Sync),
    Keep(Keep),
    Offload(Offload),
    Bundle(Bundle),
    Depot(Depot),
    Verify(Verify),
    Doctor(Doctor),
    Config(Config),
    #[command(name = "service")]
    Startup(Startup),
    Log(Log),

    Completions(Completions),
    Man(Man),
    Version(Version),
    /// Decode one picture after another, away from everything else
    #[command(hide = true)]
    WorkerDecode,
}

/// The overview's headings; a test holds that every command stands under one.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Begin",
        &["init", "join", "invite", "serve", "open", "demo"],
    ),
    (
        "Photos",
        &["import", "watch", "list", "show", "find", "get", "export"],
    ),
    (
        "Albums and edits",
        &[
            "album", "share", "unshare", "caption", "favorite", "retake", "comment", "activity",
            "tag", "trash", "restore", "undo", "purge",
        ],
    ),
    (
        "Family",
        &["people", "device", "peer", "words", "sessions", "recovery"],
    ),
    (
        "Care",
        &[
            "status", "sync", "keep", "offload", "bundle", "depot", "verify", "doctor", "config",
            "service", "log",
        ],
    ),
    ("This program", &["completions", "man", "version"]),
];

/// Why no command came out of the arguments.
#[derive(Debug)]
pub(crate) enum Misuse {
    /// Help or the version was asked for, and which: not an error.
    Asked { act: &'static str, text: String },
    /// The arguments make no sense.
    Wrong {
        message: String,
        hint: String,
        /// For people, with clap's suggestions.
        rendered: String,
    },
}

/// What must be known even when the arguments are wrong.
pub(crate) struct Peek {
    pub(crate) json: bool,
    pub(crate) color: Color,
}

/// Looks for `--json` and `--color` before the real parse, so that wrong usage is told in the asked form.
pub(crate) fn peek(args: &[OsString]) -> Peek {
    let before_dashes = || args.iter().take_while(|a| *a != "--");
    let after_color = before_dashes().skip_while(|a| *a != "--color").nth(1);
    let joined_color = before_dashes()
        .filter_map(|a| a.to_str())
        .find_map(|a| a.strip_prefix("--color="));
    let color = match joined_color.or(after_color.and_then(|a| a.to_str())) {
        Some("always") => Color::Always,
        Some("never") => Color::Never,
        _ => Color::Auto,
    };
    Peek {
        json: before_dashes().any(|a| a == "--json"),
        color,
    }
}

/// Parses a whole command line, the program's name first.
pub(crate) fn parse(args: &[OsString], color: bool) -> Result<Cli, Misuse> {
    let show = |rendered: clap::builder::StyledStr| {
        if color {
            rendered.ansi().to_string()
        } else {
            rendered.to_string()
        }
    };
    command()
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|mut error| {
            if error.kind() == ErrorKind::InvalidValue {
                // The values are listed; one that looks alike is seldom the one that is meant.
                error.remove(ContextKind::SuggestedValue);
            }
            error
        })
        .map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp => Misuse::Asked {
                act: "help",
                text: show(error.render()),
            },
            ErrorKind::DisplayVersion => Misuse::Asked {
                act: "version",
                text: show(error.render()),
            },
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                Misuse::Wrong {
                    message: "a command is missing".to_owned(),
                    hint: "heirloom --help lists the commands".to_owned(),
                    rendered: show(error.render()),
                }
            }
            _ => Misuse::Wrong {
                message: one_sentence(&error),
                hint: hint(&error),
                rendered: show(error.render()),
            },
        })
}

fn one_sentence(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let first: Vec<&str> = rendered
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .map(str::trim)
        .collect();
    first.join(" ").trim_start_matches("error: ").to_owned()
}

fn hint(error: &clap::Error) -> String {
    // All that there is to choose from says more than the one that looks alike.
    if let (ErrorKind::InvalidValue, Some(ContextValue::Strings(all))) =
        (error.kind(), error.get(ContextKind::ValidValue))
        && !all.is_empty()
    {
        return format!("it is one of {}", all.join(", "));
    }
    for kind in [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ] {
        match error.get(kind) {
            Some(ContextValue::String(one)) => return format!("did you mean '{one}'?"),
            Some(ContextValue::Strings(some)) if !some.is_empty() => {
                return format!("did you mean '{}'?", some.join("' or '"));
            }
            _ => {}
        }
    }
    if let Some(ContextValue::String(odd)) = error.get(ContextKind::InvalidArg)
        && error.kind() == ErrorKind::UnknownArgument
        && odd.starts_with('-')
    {
        return format!("a text that begins with a dash goes behind two of them: -- {odd}");
    }
    "heirloom --help lists the commands, heirloom COMMAND --help explains one".to_owned()
}

/// The parser with its grouped overview.
fn command() -> clap::Command {
    let bare = Cli::command();
    let overview = overview(&bare);
    let mut command = bare.help_template(format!(
        "{{about-with-newline}}\n{{before-help}}{{usage-heading}} heirloom [OPTIONS] COMMAND\n\n{overview}\
         Options, before the command or after it:\n{{options}}\n\n\
         heirloom COMMAND --help explains one command, examples first.\n"
    ));
    command.build();
    let names: Vec<String> = names(&command);
    names.iter().fold(command, |all, name| {
        all.mut_subcommand(name, examples_first)
    })
}

fn names(command: &clap::Command) -> Vec<String> {
    command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect()
}

fn examples_first(command: clap::Command) -> clap::Command {
    let command = command.help_template(
        "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}",
    );
    names(&command).iter().fold(command, |all, name| {
        all.mut_subcommand(name, examples_first)
    })
}

fn overview(command: &clap::Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text.push_str(heading);
        text.push_str(":\n");
        for name in *names {
            let about = command
                .find_subcommand(name)
                .and_then(clap::Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            text.push_str(&format!("  {name:<12} {about}\n"));
        }
        text.push('\n');
    }
    text
}

/// Gives the completion script for `shell`.
pub(crate) fn completion_script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "heirloom", &mut script);
    script
}

/// Writes one man page for each command into `dir`, which must exist.
pub(crate) fn write_man_pages(dir: &Path) -> io::Result<()> {
    clap_mangen::generate_to(examples_last(Cli::command()), dir)
}

// clap_mangen prints what follows the help, not what precedes it.
fn examples_last(command: clap::Command) -> clap::Command {
    let examples = command.get_before_long_help().cloned();
    let command = match examples {
        Some(examples) => command.after_long_help(examples),
        None => command,
    };
    names(&command)
        .iter()
        .fold(command, |all, name| all.mut_subcommand(name, examples_last))
}

#[cfg(test)]
mod tests;
