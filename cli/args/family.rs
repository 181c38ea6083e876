//! Arguments of the commands about people and their devices.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::values;

/// Make a family with its first person on this device
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom init --family Berger --person Anna
  heirloom init --family Berger --person Anna --recovery-out /media/usb/words.txt

The 24 recovery words are shown once and stored nowhere. Write them on paper.")]
pub(crate) struct Init {
    /// Name the family
    #[arg(long, value_name = "NAME")]
    pub(crate) family: String,
    /// Name the person whose device this is
    #[arg(long, value_name = "NAME")]
    pub(crate) person: String,
    /// Name this device; its host name when left out
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Option<String>,
    #[command(flatten)]
    pub(crate) recovery: RecoveryWords,
}

/// What becomes of new recovery words.
#[derive(Args, Clone, Default)]
pub(crate) struct RecoveryWords {
    /// Write the 24 recovery words into a new file instead of showing them
    #[arg(long, value_name = "FILE", conflicts_with = "no_recovery")]
    pub(crate) recovery_out: Option<PathBuf>,
    /// Make no recovery words now
    #[arg(long)]
    pub(crate) no_recovery: bool,
}

/// Let this device join a family, with the code of an invite
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom join
  heirloom join --device hallway-pi
  heirloom join - < code.txt

The code is asked for, or read from stdin with '-'. It never goes on the command line, where
other programs could read it. It works through ssh as well: ssh pi heirloom join")]
pub(crate) struct Join {
    /// Say who you are, where the invite leaves it open
    #[arg(long, value_name = "NAME")]
    pub(crate) person: Option<String>,
    /// Name this device; its host name when left out
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Option<String>,
    #[command(flatten)]
    pub(crate) recovery: RecoveryWords,
    /// Read the code from stdin
    #[arg(value_name = "-")]
    pub(crate) from: Vec<String>,
}

/// Invite a device, a person or a keeper
#[derive(Args)]
#[command(
    group = ArgGroup::new("whom").required(true).args(["device", "person", "keeper"]),
    before_long_help = "Examples:
  heirloom invite --device
  heirloom invite --person Ben --album \"Summer 2023\"
  heirloom invite --person Grandma --role viewer --valid 7d
  heirloom invite --keeper basement-nas
  heirloom invite --keeper grandmas-nas --album Family

The code works once. Both screens then show the same 4 words: say yes only when they match."
)]
pub(crate) struct Invite {
    /// Invite another device of yours
    #[arg(long)]
    pub(crate) device: bool,
    /// Invite a person to the family
    #[arg(long, value_name = "NAME")]
    pub(crate) person: Option<String>,
    /// Invite a device that stores ciphertext and cannot look inside
    #[arg(long, value_name = "NAME")]
    pub(crate) keeper: Option<String>,
    /// Say what the person may do in the family
    #[arg(
        long,
        value_name = "ROLE",
        default_value = "member",
        conflicts_with_all = ["device", "keeper"]
    )]
    pub(crate) role: FamilyRole,
    /// Share this album with the person, or have the keeper hold no others (repeat for more)
    #[arg(long, value_name = "ALBUM")]
    pub(crate) album: Vec<String>,
    /// Let the code expire after this time
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = values::duration)]
    pub(crate) valid: String,
}

/// What a person may do in the family.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum FamilyRole {
    /// Invites and removes people
    Admin,
    /// Adds photos and makes albums
    Member,
    /// Looks at what is shared
    Viewer,
}

impl FamilyRole {
    /// The word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }
}

/// Share an album with a person
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom share \"Summer 2023\" Ben
  heirloom share \"Summer 2023\" Grandma --role viewer")]
pub(crate) struct Share {
    /// The album, by name or id
    pub(crate) album: String,
    /// The person, by name or id
    pub(crate) person: String,
    /// Say what the person may do in the album
    #[arg(long, value_name = "ROLE", default_value = "contributor")]
    pub(crate) role: AlbumRole,
}

/// What a person may do in an album.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum AlbumRole {
    /// Looks
    Viewer,
    /// Adds photos and captions
    Contributor,
    /// Shares it with others too
    Manager,
}

impl AlbumRole {
    /// The word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Contributor => "contributor",
            Self::Manager => "manager",
        }
    }
}

/// Stop sharing an album with a person
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom unshare \"Summer 2023\" Ben

New photos get a fresh key. The album goes out of the person's lists and gallery;
what they added stays in their library, and copies they made stay with them.")]
pub(crate) struct Unshare {
    /// The album, by name or id
    pub(crate) album: String,
    /// The person, by name or id
    pub(crate) person: String,
    /// End it even where nobody else is known to have an original
    #[arg(long)]
    pub(crate) with_last_copies: bool,
}

/// List, rename or remove people
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom people list
  heirloom people rename Ben Benjamin")]
pub(crate) struct People {
    #[command(subcommand)]
    pub(crate) act: PeopleAct,
}

/// What to do about people.
#[derive(Subcommand)]
pub(crate) enum PeopleAct {
    /// List the people of the family
    List,
    /// Give a person another name
    Rename {
        /// The person, by name or id
        person: String,
        /// The new name
        name: String,
    },
    /// Remove a person and all their devices from the family
    Remove {
        /// The person, by name or id
        person: String,
        /// Remove them even where nobody else is known to have an original
        #[arg(long)]
        with_last_copies: bool,
    },
}

/// List, rename or remove devices, and say what they store
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom device list
  heirloom device remove phone-anna --lost
  heirloom device policy laptop cache --limit 50G")]
pub(crate) struct Device {
    #[command(subcommand)]
    pub(crate) act: DeviceAct,
}

/// What to do about devices.
#[derive(Subcommand)]
pub(crate) enum DeviceAct {
    /// List the devices of the family
    List,
    /// Give a device another name
    Rename {
        /// The device, by name or id
        device: String,
        /// The new name
        name: String,
    },
    /// Remove a device from the family
    Remove {
        /// The device, by name or id
        device: String,
        /// Treat it as in a stranger's hands: honour nothing it may still write
        #[arg(long)]
        lost: bool,
        /// Remove it even where no other device is known to have an original
        #[arg(long)]
        with_last_copies: bool,
    },
    /// Let a device keep everything it may see, or only what it has room for
    Policy {
        /// The device, by name or id
        device: String,
        /// What it keeps
        policy: Policy,
        /// Let the least used originals go beyond this much, if others keep them
        #[arg(long, value_name = "SIZE", value_parser = values::size)]
        limit: Option<u64>,
    },
}

/// Whether a device may drop what others keep.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Policy {
    /// Everything it is entitled to
    Archive,
    /// What it has room for; others keep the rest
    Cache,
}

impl Policy {
    /// The word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Cache => "cache",
        }
    }
}

/// Show the family's 8 check words
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom words

Two devices that show the same 8 words agree on every person and device of the family.")]
pub(crate) struct Words {}

/// Check the 24 recovery words, replace them, or bring a lost device back
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom recovery check
  heirloom recovery check - < words.txt
  heirloom recovery replace --recovery-out /media/usb/words.txt
  heirloom recovery restore --device \"new laptop\"")]
pub(crate) struct Recovery {
    #[command(subcommand)]
    pub(crate) act: RecoveryAct,
}

/// What to do about the recovery words.
#[derive(Subcommand)]
pub(crate) enum RecoveryAct {
    /// Prove that the words on your paper are the right ones
    Check {
        /// Read the words from stdin
        #[arg(value_name = "-")]
        from: Vec<String>,
    },
    /// Make this new device yours with your 24 words, and fetch everything
    #[command(before_long_help = "Examples:
  heirloom recovery restore
  heirloom recovery restore --device \"new laptop\" --remove-lost \"old laptop\"
  heirloom recovery restore - < words-and-addresses.txt

Any device of the family or a keeper has to be on and in reach: one on this network is found by
itself, for any other give its address (heirloom serve prints it) when asked, or on stdin, one a
line after the words. It can be interrupted and given again. Everybody in the family is told that
the words were used.")]
    Restore {
        /// Name this device; its host name when left out
        #[arg(long, value_name = "NAME")]
        device: Option<String>,
        /// Remove this device, which is gone, once all is here (repeat for more)
        #[arg(long, value_name = "DEVICE")]
        remove_lost: Vec<String>,
        /// Read the words from stdin, then addresses of devices, one a line
        #[arg(value_name = "-")]
        from: Vec<String>,
    },
    /// Make new words; the old ones stop working
    Replace {
        /// Write the 24 new words into a new file instead of showing them
        #[arg(long, value_name = "FILE")]
        recovery_out: Option<PathBuf>,
        /// Read the old words from stdin; an empty line if there never were any
        #[arg(value_name = "-")]
        from: Vec<String>,
    },
}
