//! Arguments of the commands that run, connect and look after a node.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::values;

/// Run this device's node until stopped
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom serve
  heirloom serve --lan-only
  heirloom serve --port 4001 --external /ip4/203.0.113.7/tcp/4001
  heirloom serve --gallery 0.0.0.0:8443 --lan-gallery")]
pub(crate) struct Serve {
    /// Listen on this port instead of a free one
    #[arg(long, value_name = "PORT", conflicts_with = "listen")]
    pub(crate) port: Option<u16>,
    /// Listen on this address only (repeat for more)
    #[arg(long, value_name = "MULTIADDR", value_parser = values::multiaddr)]
    pub(crate) listen: Vec<String>,
    /// Talk to nobody outside this network
    #[arg(long)]
    pub(crate) lan_only: bool,
    /// Neither announce this device nor look for others
    #[arg(long)]
    pub(crate) no_discovery: bool,
    /// Offer the gallery at this address instead of a free port of this computer
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "no_gallery")]
    pub(crate) gallery: Option<SocketAddr>,
    /// Let phones of this network into the gallery, each with a link of its own
    #[arg(long, requires = "gallery")]
    pub(crate) lan_gallery: bool,
    /// Offer no gallery
    #[arg(long)]
    pub(crate) no_gallery: bool,
    /// Say where others reach this node from outside (repeat for more)
    #[arg(long, value_name = "MULTIADDR", value_parser = values::multiaddr, conflicts_with = "lan_only")]
    pub(crate) external: Vec<String>,
    /// Relay for the family at this computer's own addresses of the internet
    #[arg(long, conflicts_with = "lan_only")]
    pub(crate) relay: bool,
}

/// Try two devices of an invented family in a folder of their own
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom demo
  heirloom demo ~/Pictures/2023

Everything happens in a temporary folder; the photos are only read.")]
pub(crate) struct Demo {
    /// A folder of photos to use; a few painted ones when left out
    pub(crate) dir: Option<PathBuf>,
}

/// Show what is safe, what is not, who is connected and what is moving
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom status
  heirloom status --watch
  heirloom status --check")]
pub(crate) struct Status {
    /// Look again every two seconds
    #[arg(long, conflicts_with = "check")]
    pub(crate) watch: bool,
    /// Exit with 9 when something is not safe
    #[arg(long)]
    pub(crate) check: bool,
}

/// Exchange everything with every device in reach, then stop
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom sync
  heirloom sync --timeout 10m")]
pub(crate) struct Sync {
    /// Give up after this time
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(crate) timeout: Option<String>,
}

/// Say how many copies there are to be, and show who holds them
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom keep show
  heirloom keep set --copies 3
  heirloom keep set --album \"Summer 2023\" --copies 3

A copy counts when the device that says it holds it has shown parts of what it holds within the last
two weeks.")]
pub(crate) struct Keep {
    #[command(subcommand)]
    pub(crate) act: KeepAct,
}

/// What to do about copies.
#[derive(Subcommand)]
pub(crate) enum KeepAct {
    /// Show how many copies are wanted, and which devices have proved theirs
    Show,
    /// Say how many devices that keep everything are to hold each photo
    Set {
        /// Of one album, for everybody who can see it; else for this device's own reckoning
        #[arg(long, value_name = "ALBUM")]
        album: Option<String>,
        /// How many: 1 to 9
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
        copies: u8,
    },
}

/// Drop originals from this device that enough others have proved to hold
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom offload --dry-run
  heirloom offload --older 2020
  heirloom offload --album \"Summer 2023\"

Each of those devices shows that it holds the photo and promises to keep it for 90 days before it leaves
this one; where one is missing, the photo stays and the reason is told. The photo is still listed, with its
preview, and 'heirloom get' brings it back. This device counts as one that may drop originals from then on
(heirloom device policy). Your recovery words have to be checked first (heirloom recovery check).")]
pub(crate) struct Offload {
    /// Only photos of this album
    #[arg(long, value_name = "ALBUM")]
    pub(crate) album: Option<String>,
    /// Only photos taken before this date
    #[arg(long, value_name = "DATE")]
    pub(crate) older: Option<String>,
    /// Say what would leave, by what is known here, and ask nobody
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Carry photos between devices that never meet, on a disk
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom bundle write /media/usb/heirloom
  heirloom bundle write /media/usb/heirloom --to grandmas-laptop
  heirloom bundle read /media/usb/heirloom

What is written is encrypted as it is on this device: a lost disk shows no photo and no name. Only devices
of the family can read it, and each takes what it may have.")]
pub(crate) struct Bundle {
    #[command(subcommand)]
    pub(crate) act: BundleAct,
}

/// What to do with a bundle.
#[derive(Subcommand)]
pub(crate) enum BundleAct {
    /// Write what this device holds into a folder
    Write {
        /// The folder, made when missing
        dir: PathBuf,
        /// For one device: only what it may have, without what it is known to hold
        #[arg(long, value_name = "DEVICE")]
        to: Option<String>,
        /// Only what was added or changed since then
        #[arg(long, value_name = "TIME", value_parser = values::instant)]
        since: Option<String>,
    },
    /// Take what a folder holds for this device
    Read {
        /// The folder
        dir: PathBuf,
    },
}

/// Keep a folder up to date as a keeper without a program
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom depot add /media/usb/heirloom
  heirloom depot add s3://photos/berger --endpoint https://s3.example.org
  heirloom depot list
  heirloom depot remove /media/usb/heirloom

A running node puts what is new there, and takes from there what it lacks, at news and each
hour. Several devices may have the same folder as a depot. What lies there is encrypted; no
copy there counts as one. The keys of an S3-compatible store are AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY in the environment of the node, or access_key_id and secret_access_key
in s3.toml in its home, which nobody else may read.")]
pub(crate) struct Depot {
    #[command(subcommand)]
    pub(crate) act: DepotAct,
}

/// What to do about depots.
#[derive(Subcommand)]
pub(crate) enum DepotAct {
    /// Make a folder or a bucket a depot, and bring both up to date
    Add {
        /// The folder, made when missing; or s3://bucket/prefix
        #[arg(value_name = "DIR")]
        place: PathBuf,
        /// Where the S3-compatible store is
        #[arg(long, value_name = "URL", value_parser = values::endpoint)]
        endpoint: Option<String>,
        /// The region of the store, us-east-1 when left out
        #[arg(long, value_name = "NAME", requires = "endpoint")]
        region: Option<String>,
    },
    /// List the depots of this device, and how they were when last seen
    List,
    /// Keep a depot up to date no longer; what lies there stays
    Remove {
        /// The folder, or s3://bucket/prefix
        #[arg(value_name = "DIR")]
        place: PathBuf,
    },
}

/// List, add and remove addresses of other devices
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom peer list
  heirloom peer add /ip4/192.168.1.20/tcp/4001

Addresses are needed only on networks where devices do not find each other by themselves.")]
pub(crate) struct Peer {
    #[command(subcommand)]
    pub(crate) act: PeerAct,
}

/// What to do about peers.
#[derive(Subcommand)]
pub(crate) enum PeerAct {
    /// List the devices as the network sees them
    List,
    /// Remember an address of another device
    Add {
        /// With or without /p2p/PeerId
        #[arg(value_name = "MULTIADDR", value_parser = values::multiaddr)]
        addr: String,
    },
    /// Forget an address
    Remove {
        /// As it was added
        #[arg(value_name = "MULTIADDR", value_parser = values::multiaddr)]
        addr: String,
    },
}

/// Check everything that is stored on this device
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom verify
  heirloom verify --read-data
  heirloom verify --read-data --repair

Exits with 0 when all is well and with 9 when something is damaged or missing.")]
pub(crate) struct Verify {
    /// Read every byte of every photo too
    #[arg(long)]
    pub(crate) read_data: bool,
    /// Put right what is damaged, with the help of devices that hold a good copy
    #[arg(long)]
    pub(crate) repair: bool,
}

/// Name problems of this device, each with its remedy
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom doctor")]
pub(crate) struct Doctor {}

/// Read and change settings
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom config list
  heirloom config get lan_only
  heirloom config set lan_only true
  heirloom config set bandwidth.up \"08:00-23:00 1MB/s, 5MB/s\"")]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) act: ConfigAct,
}

/// What to do about settings.
#[derive(Subcommand)]
pub(crate) enum ConfigAct {
    /// Print one setting
    Get {
        /// Its name
        key: String,
    },
    /// Change one setting
    Set {
        /// Its name
        key: String,
        /// Its new value
        value: String,
    },
    /// Print all settings
    List,
}

/// Print the completion script for a shell
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom completions bash > ~/.local/share/bash-completion/completions/heirloom
  heirloom completions fish > ~/.config/fish/completions/heirloom.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Write the man pages into a folder
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The folder, made when missing
    pub(crate) dir: PathBuf,
}

/// Print the version
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom version")]
pub(crate) struct Version {}
