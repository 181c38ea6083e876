//! Arguments of the commands that concern the gallery and what people say in it.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

/// Open the gallery in the browser
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom open
  heirloom open --print

Where no node runs, this one is run until it is stopped. The address lets one browser in, once,
within a minute.")]
pub(crate) struct Open {
    /// Print the one-time address and open nothing
    #[arg(long)]
    pub(crate) print: bool,
    /// Offer the gallery at this address, where no node runs yet
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) gallery: Option<SocketAddr>,
}

/// List the browsers that are let into the gallery, or shut them out
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom sessions list
  heirloom sessions revoke
  heirloom sessions revoke 5f0c1d2e")]
pub(crate) struct Sessions {
    #[command(subcommand)]
    pub(crate) act: SessionsAct,
}

/// What to do about sessions.
#[derive(Subcommand)]
pub(crate) enum SessionsAct {
    /// List the sessions
    List,
    /// End one session, or all of them
    Revoke {
        /// As it is listed; all when left out
        id: Option<String>,
    },
}

/// Say something about a photo
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom comment 3f2a91c0 \"Who is the man with the hat?\"
  heirloom comment 3f2a91c0 --remove 77e01b52...")]
pub(crate) struct Comment {
    /// The photo's id
    pub(crate) id: String,
    /// What to say
    #[arg(required_unless_present = "remove", conflicts_with = "remove")]
    pub(crate) text: Option<String>,
    /// Take back this comment of yours
    #[arg(long, value_name = "COMMENT")]
    pub(crate) remove: Option<String>,
}

/// Show who added, favoured and said what
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom activity
  heirloom activity --limit 20")]
pub(crate) struct Activity {
    /// At most this many lines
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u64,
}
