//! Arguments of the commands that have a node run by itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Have systemd run the node at start-up
#[derive(Args)]
#[command(
    name = "service",
    before_long_help = "Examples:
  heirloom service install
  sudo heirloom service install
  sudo heirloom service install --keeper
  heirloom service status
  heirloom service remove

As yourself, it becomes a service of your account, which starts with the computer too if the
system allows it. With sudo, it becomes one of the system that runs as you. A keeper has an account
of its own and its home in /var/lib/heirloom: sudo heirloom --home /var/lib/heirloom join"
)]
pub(crate) struct Startup {
    #[command(subcommand)]
    pub(crate) act: StartupAct,
}

/// What to do about the service.
#[derive(Subcommand)]
pub(crate) enum StartupAct {
    /// Write the unit, enable it and start it
    Install {
        /// Run a keeper: its own account, its own folder, no access to anything else
        #[arg(long)]
        keeper: bool,
    },
    /// Stop the service and take its unit away; the photos stay
    Remove,
    /// Show whether the service is there and runs
    Status,
}

/// Show what the node has logged
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom log
  heirloom log -f
  heirloom log --lines 1000

From systemd's journal where systemd runs the node, else from the files node.log of its home, which
keep the last half megabyte or more. There are no names in it.")]
pub(crate) struct Log {
    /// Go on as the node does, until stopped
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin with this many of the last lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
    pub(crate) lines: usize,
}

/// Follow folders: what comes into them is imported while the node runs
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom watch add ~/Pictures
  heirloom watch add /srv/camera --album \"Summer 2023\"
  heirloom watch list
  heirloom watch remove /srv/camera

What is there already is imported too, and what comes while the node does not run is found when it
starts. Deleting or changing a file there never deletes anything here.")]
pub(crate) struct Watch {
    #[command(subcommand)]
    pub(crate) act: WatchAct,
}

/// What to do about followed folders.
#[derive(Subcommand)]
pub(crate) enum WatchAct {
    /// Follow a folder, with everything below it
    Add {
        /// The folder
        dir: PathBuf,
        /// Put the photos into this album, made when missing; else into your library
        #[arg(long, value_name = "ALBUM")]
        album: Option<String>,
    },
    /// List the folders that are followed
    List,
    /// Follow a folder no more; what was imported stays
    Remove {
        /// The folder
        dir: PathBuf,
    },
}
