//! Which album a file goes to: the one asked for, one for its folder, or one that a sidecar names.

use heirloom_protocol::{
    id::{AlbumId, PlainHash},
    op::{AlbumUse, Level},
};

use super::{Shared, Target, archive, scan::Found};
use crate::{
    export::safe_name,
    runtime::{RuntimeError, SeenAlbum, View, items_with},
};

/// What Google calls the folders of years, in the languages that it speaks; the year follows.
const YEARS: [&str; 16] = [
    "photos from",
    "photos de",
    "photos of",
    "fotos von",
    "fotos aus",
    "fotos de",
    "fotos del",
    "foto's uit",
    "foto del",
    "foto dal",
    "foto da",
    "bilder fr\u{e5}n",
    "bilder fra",
    "billeder fra",
    "zdj\u{119}cia z",
    "\u{444}\u{43e}\u{442}\u{43e} \u{437}\u{430}",
];

/// Where a file goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Aim {
    /// To this album.
    Album(AlbumId),
    /// Others see the album of the name that a sidecar gives: only what is there already counts as its photo,
    /// and nothing new is shown to anybody by a name alone.
    Seen {
        /// The album that others see.
        there: AlbumId,
        /// The album that was asked for.
        else_to: AlbumId,
        /// Its name.
        name: String,
    },
}

impl Aim {
    /// The album for this content, and why it is not the one that a sidecar names.
    pub(super) fn settle(
        self,
        shared: &Shared<'_>,
        hash: PlainHash,
    ) -> Result<(AlbumId, Option<String>), crate::store::StoreError> {
        match self {
            Self::Album(album) => Ok((album, None)),
            Self::Seen {
                there,
                else_to,
                name,
            } => {
                let keys = items_with(shared.node.store(), hash)?;
                if keys.iter().any(|key| key.album == there) {
                    return Ok((there, None));
                }
                let why = format!(
                    "others can see the album {name}; import it with --album to add it there"
                );
                Ok((else_to, Some(why)))
            }
        }
    }
}

/// The names of the albums that a file's sidecars put it into; none for the one that was asked for.
pub(super) fn named_for(
    folder: Option<&str>,
    title: Option<&str>,
    albums: &[String],
) -> Vec<Option<String>> {
    if let Some(title) = title.filter(|title| !is_of_a_year(title)) {
        return vec![Some(title.to_owned())];
    }
    // An export by album has a copy in the folder of each; one by date has one for all.
    let here = folder.and_then(|folder| {
        let mut fits = albums.iter();
        fits.find(|album| is_folder_of(folder, &safe_name(album)))
    });
    let names: Vec<_> = match here {
        Some(album) => vec![album],
        None => albums.iter().collect(),
    };
    if names.is_empty() {
        return vec![None];
    }
    names.into_iter().cloned().map(Some).collect()
}

/// `Summer`, or `Summer (2)` where two albums had the name.
fn is_folder_of(folder: &str, album: &str) -> bool {
    let rest = folder.strip_prefix(album);
    rest.is_some_and(|rest| {
        let number = rest
            .strip_prefix(" (")
            .and_then(|rest| rest.strip_suffix(')'));
        rest.is_empty() || number.is_some_and(|digits| digits.parse::<u32>().is_ok())
    })
}

/// Folders that Google makes for a year or a day are nobody's albums.
fn is_of_a_year(title: &str) -> bool {
    let title = title.to_lowercase();
    let is_year = |text: &str| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let of_year = YEARS.iter().any(|words| {
        let year = title.strip_prefix(words).map(str::trim);
        year.is_some_and(is_year)
    });
    let of_day = title.len() >= 10
        && title
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'#' | b' '))
        && title.split('-').next().is_some_and(is_year);
    of_year || of_day
}

/// Where a file that was found goes.
pub(super) fn aim(shared: &Shared<'_>, found: &Found) -> Result<Aim, RuntimeError> {
    let asked = match &shared.request.target {
        Target::Album(album) => *album,
        Target::PerFolder => {
            let folder = found.path.parent().and_then(std::path::Path::file_name);
            let folder = folder.map_or_else(
                || "Photos".into(),
                |name| name.to_string_lossy().into_owned(),
            );
            let is_packed = found.unpacked.is_some();
            let folder = if is_packed {
                archive::title(&folder).to_owned()
            } else {
                folder
            };
            let name = found.album.clone().unwrap_or(folder);
            return of_folder(shared, &name);
        }
    };
    match &found.album {
        Some(name) => of_title(shared, name, asked),
        None => Ok(Aim::Album(asked)),
    }
}

/// The album for a folder's name: the one there is, or a new one.
fn of_folder(shared: &Shared<'_>, name: &str) -> Result<Aim, RuntimeError> {
    let fits = |view: &View| {
        let albums = view.albums.values();
        let mut named = albums.filter(|album| is_album(album, name));
        named.next().map(|album| Aim::Album(album.id))
    };
    known_or_made(shared, name, fits)
}

/// The album that a sidecar names: this person's own that nobody else sees, or a new one.
fn of_title(shared: &Shared<'_>, name: &str, asked: AlbumId) -> Result<Aim, RuntimeError> {
    let fits = |view: &View| {
        let named: Vec<&SeenAlbum> = view
            .albums
            .values()
            .filter(|album| album.name(view) == name)
            .filter(|album| album.level >= Level::Contributor)
            .collect();
        let me = view.person;
        let is_mine = |album: &&&SeenAlbum| {
            album.row.purpose() == AlbumUse::Album
                && album.people.iter().all(|(person, _)| Some(*person) == me)
        };
        if let Some(album) = named.iter().find(is_mine) {
            return Some(Aim::Album(album.id));
        }
        let there = named.first()?.id;
        if there == asked {
            return Some(Aim::Album(asked));
        }
        Some(Aim::Seen {
            there,
            else_to: asked,
            name: name.to_owned(),
        })
    };
    known_or_made(shared, name, fits)
}

fn is_album(album: &SeenAlbum, name: &str) -> bool {
    album.row.name() == Some(name)
        && album.row.purpose() == AlbumUse::Album
        && album.level >= Level::Contributor
}

fn known_or_made(
    shared: &Shared<'_>,
    name: &str,
    fits: impl FnOnce(&View) -> Option<Aim>,
) -> Result<Aim, RuntimeError> {
    let mut albums = shared
        .albums
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(aim) = albums.get(name) {
        return Ok(aim.clone());
    }
    let view = shared.node.ask_blocking(|runtime| runtime.view())?;
    let aim = match fits(&view) {
        Some(aim) => aim,
        None if shared.request.dry_run => Aim::Album(unmade(name)),
        None => {
            let wanted = name.to_owned();
            let made = shared
                .node
                .ask_blocking(move |runtime| runtime.make_album(&wanted, AlbumUse::Album))??;
            Aim::Album(made)
        }
    };
    albums.insert(name.to_owned(), aim.clone());
    Ok(aim)
}

/// The name of an album that would be made.
pub(super) fn name_of_unmade(shared: &Shared<'_>, album: AlbumId) -> Option<String> {
    let albums = shared
        .albums
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut names = albums.keys();
    names.find(|name| unmade(name) == album).cloned()
}

/// What stands for an album that would be made, where nothing is to be made: nothing is in it yet.
pub(crate) fn unmade(name: &str) -> AlbumId {
    let (mut id, hash) = (AlbumId::ZERO, blake3::hash(name.as_bytes()));
    for (byte, hashed) in id.0.iter_mut().zip(hash.as_bytes()) {
        *byte = *hashed;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_years_and_days_are_no_albums() {
        for title in [
            "Photos from 2019",
            "Fotos von 2022",
            "Photos de 2004",
            "2014-05-03",
            "2014-05-03 #2",
            "\u{424}\u{43e}\u{442}\u{43e} \u{437}\u{430} 2021",
        ] {
            assert!(is_of_a_year(title), "{title}");
        }
        for title in ["Garda 2019", "2019", "Photos from Rome", "2014-05-03 Zoo"] {
            assert!(!is_of_a_year(title), "{title}");
        }
    }

    #[test]
    fn a_copy_in_an_albums_folder_is_of_that_album_alone() {
        let albums = ["Library".to_owned(), "A/B".to_owned()];
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(named_for(Some("A_B"), None, &albums), [some("A/B")]);
        assert_eq!(named_for(Some("A_B (2)"), None, &albums), [some("A/B")]);
        assert_eq!(
            named_for(Some("2019-05"), None, &albums),
            [some("Library"), some("A/B")]
        );
        assert_eq!(named_for(Some("x"), Some("Garda"), &[]), [some("Garda")]);
        assert_eq!(named_for(Some("x"), Some("Photos from 2019"), &[]), [None]);
        assert_eq!(named_for(None, None, &[]), [None]);
    }
}
