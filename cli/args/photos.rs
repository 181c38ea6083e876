//! Arguments of the commands about photos and albums.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::values;

/// Add photos and videos from files, folders and archives
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom import ~/Pictures --album \"Summer 2023\"
  heirloom import /media/card --album-per-folder
  heirloom import ~/Pictures --dry-run
  heirloom import ~/Downloads/takeout-*.zip

Files are copied, never moved or changed. It is safe to interrupt and to repeat: what is already
here is not added twice.

What lies beside a photo in the JSON of Google Takeout, in XMP or in an export of Heirloom comes
with it: words, times, places and albums.")]
pub(crate) struct Import {
    /// Files, folders or archives
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Put the photos into this album, made when missing
    #[arg(long, value_name = "ALBUM", conflicts_with = "album_per_folder")]
    pub(crate) album: Option<String>,
    /// Make an album of each folder
    #[arg(long)]
    pub(crate) album_per_folder: bool,
    /// Say what would happen and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Bring back photos that were deleted; without this they stay so
    #[arg(long)]
    pub(crate) restore: bool,
    /// Take only photos from this day on
    #[arg(long, value_name = "DATE", value_parser = values::date)]
    pub(crate) since: Option<String>,
}

/// List photos and videos
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom list
  heirloom list --album \"Summer 2023\" --taken 2023-07
  heirloom list --type video --taken 2023-05-01..2023-05-31
  heirloom list --only-here")]
pub(crate) struct List {
    /// List one album
    #[arg(long, value_name = "ALBUM")]
    pub(crate) album: Option<String>,
    /// List what was taken on a day, in a month, in a year or between two of these
    #[arg(long, value_name = "DATE", value_parser = values::dates)]
    pub(crate) taken: Option<String>,
    /// List one kind
    #[arg(long = "type", value_name = "KIND")]
    pub(crate) kind: Option<Kind>,
    /// List originals that no other device is known to hold
    #[arg(long)]
    pub(crate) only_here: bool,
    /// List what is in the trash
    #[arg(long)]
    pub(crate) trashed: bool,
}

/// What is on it.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// It stands still
    Photo,
    /// It moves
    Video,
}

impl Kind {
    /// The word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Video => "video",
        }
    }
}

/// Show all that is known of one photo
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom show 3f2a91c0")]
pub(crate) struct Show {
    /// The photo's id, or its first 4 characters or more
    pub(crate) id: String,
}

/// Find photos by name, caption, tag, album, place or camera
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom find beach
  heirloom find grandma birthday")]
pub(crate) struct Find {
    /// Words that must all occur
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
}

/// Copy originals out, byte for byte
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom get 3f2a91c0
  heirloom get 3f2a91c0 77e01b52 -o ~/Desktop

A file that is already there is never overwritten.")]
pub(crate) struct Get {
    /// Ids of photos
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Write into this folder
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

/// Write every original into a plain folder
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom export ~/Photos-out
  heirloom export ~/Photos-out --album \"Summer 2023\" --layout date

It is safe to interrupt and to repeat: what is there already is not written again.")]
pub(crate) struct Export {
    /// The folder, made when missing
    pub(crate) dir: PathBuf,
    /// Write this album only (repeat for more)
    #[arg(long, value_name = "ALBUM")]
    pub(crate) album: Vec<String>,
    /// Make folders by album or by date
    #[arg(long, default_value = "album")]
    pub(crate) layout: Layout,
    /// Write captions, tags and dates beside the files
    #[arg(long, value_name = "KIND", default_value = "json")]
    pub(crate) sidecars: Sidecars,
}

/// How an export is laid out.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Layout {
    /// A folder for each album
    Album,
    /// A folder for each year and month
    Date,
}

impl Layout {
    /// The word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Album => "album",
            Self::Date => "date",
        }
    }
}

/// What an export writes beside each file.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Sidecars {
    /// In the form of Google Takeout
    Json,
    /// XMP
    Xmp,
    /// JSON and XMP
    Both,
    /// Nothing
    None,
}

impl Sidecars {
    /// The word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xmp => "xmp",
            Self::Both => "both",
            Self::None => "none",
        }
    }
}

/// Make, list, show and change albums
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom album create \"Summer 2023\"
  heirloom album add \"Summer 2023\" 3f2a91c0 77e01b52
  heirloom album list")]
pub(crate) struct Album {
    #[command(subcommand)]
    pub(crate) act: AlbumAct,
}

/// What to do about albums.
#[derive(Subcommand)]
pub(crate) enum AlbumAct {
    /// Make an album
    Create {
        /// Its name
        name: String,
    },
    /// List the albums
    List,
    /// Show an album and who is in it
    Show {
        /// The album, by name or id
        album: String,
    },
    /// Give an album another name
    Rename {
        /// The album, by name or id
        album: String,
        /// The new name
        name: String,
    },
    /// Put photos into an album
    Add {
        /// The album, by name or id
        album: String,
        /// Ids of photos
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Take photos out of an album
    Remove {
        /// The album, by name or id
        album: String,
        /// Ids of photos
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Leave an album that somebody shares with you
    ///
    /// Of one that is no longer shared with you this ends the notice in `status` and `album list`.
    Leave {
        /// The album, by name or id
        album: String,
        /// Leave it without originals of yours that are not here
        #[arg(long)]
        with_last_copies: bool,
    },
    /// Delete an album for everybody it is shared with
    Delete {
        /// The album, by name or id
        album: String,
        /// Delete it even where nobody is known to have an original
        #[arg(long)]
        with_last_copies: bool,
    },
}

/// Write a caption
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom caption 3f2a91c0 \"Grandma's 80th birthday\"
  heirloom caption 3f2a91c0 \"\"")]
pub(crate) struct Caption {
    /// The photo's id
    pub(crate) id: String,
    /// The caption; an empty one takes it away
    pub(crate) text: String,
}

/// Mark photos as favourites
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom favorite 3f2a91c0 77e01b52
  heirloom favorite 3f2a91c0 --remove")]
pub(crate) struct Favorite {
    /// Ids of photos
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Take the mark away
    #[arg(long)]
    pub(crate) remove: bool,
}

/// Add and remove tags
#[derive(Args)]
#[command(
    group = ArgGroup::new("change").required(true).multiple(true).args(["add", "remove"]),
    before_long_help = "Examples:
  heirloom tag 3f2a91c0 --add beach --add family
  heirloom tag 3f2a91c0 77e01b52 --remove beach"
)]
pub(crate) struct Tag {
    /// Ids of photos
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Add this tag (repeat for more)
    #[arg(long, value_name = "TAG")]
    pub(crate) add: Vec<String>,
    /// Remove this tag (repeat for more)
    #[arg(long, value_name = "TAG")]
    pub(crate) remove: Vec<String>,
}

/// Move photos to the trash, where they stay for 30 days
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom trash 3f2a91c0
  heirloom restore 3f2a91c0")]
pub(crate) struct Trash {
    /// Ids of photos
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Trash them in this album only
    #[arg(long, value_name = "ALBUM")]
    pub(crate) album: Option<String>,
}

/// Take photos back out of the trash
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom list --trashed
  heirloom restore 3f2a91c0")]
pub(crate) struct Restore {
    /// Ids of photos
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

/// Take back what a device deleted
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom undo bens-phone --since 2026-11-25T14:00
  heirloom undo bens-phone --since 2026-11-25 --album \"Summer 2023\" --dry-run

Photos in the trash come back as they were. Photos that were deleted for good are added
again where this device still has their bytes, as every device that keeps everything
has for 30 days.")]
pub(crate) struct Undo {
    /// The device that deleted, by name or id
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// Take back what it deleted from this time on (UTC)
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    pub(crate) since: String,
    /// Only in this album
    #[arg(long, value_name = "ALBUM")]
    pub(crate) album: Option<String>,
    /// Say what would happen and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Delete trashed photos for good, on every device
#[derive(Args)]
#[command(before_long_help = "Examples:
  heirloom purge 3f2a91c0

Only what is in the trash: nobody sees it any more from now on. Each device frees the room
30 days after it has heard of this, and until then heirloom undo brings it back. The trash
empties itself after 30 days.")]
pub(crate) struct Purge {
    /// Ids of photos in the trash
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

/// Correct when photos were taken
#[derive(Args)]
#[command(
    group = ArgGroup::new("when").required(true).args(["at", "shift"]),
    before_long_help = "Examples:
  heirloom retake 3f2a91c0 --at 1974-08-12T15:00
  heirloom retake 3f2a91c0 77e01b52 --shift -1h
  heirloom retake 3f2a91c0 --shift 12d4h

The time is what a clock on the wall showed there. Originals are never touched."
)]
pub(crate) struct Retake {
    /// Their ids
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// The time at which all of them were taken
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    pub(crate) at: Option<String>,
    /// How much later each was taken than it says, or with a minus how much earlier
    #[arg(long, value_name = "DURATION", value_parser = values::shift, allow_hyphen_values = true)]
    pub(crate) shift: Option<String>,
}
