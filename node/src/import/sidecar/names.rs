//! Which sidecar belongs to which file of a folder, by their names alone.
//!
//! Google Takeout calls the sidecar of `TITLE` by `TITLE` and `.supplemental-metadata` (older ones by `TITLE`
//! alone), cut to 46 units of UTF-16, then the number of a second file of that title, then `.json`.
//! Where the cut falls nobody can know from the name of the photo, which was cut by another rule.

use std::collections::{HashMap, HashSet};

use unicode_normalization::UnicodeNormalization as _;

use crate::media::sniff::{MediaKind, MediaType};

/// Units of UTF-16 in the name of a sidecar, without number and `.json`.
const SIDECAR_UNITS: usize = 46;
/// Units of UTF-16 in the name of a photo, without its number.
const PHOTO_UNITS: usize = 51;
/// What stands between a title and `.json` since 2024, whole or cut.
const MIDDLE: &str = ".supplemental-metadata";
/// What Google puts behind the name of an edited copy, in the languages that it speaks.
const EDITED: [&str; 20] = [
    "edited",
    "effects",
    "smile",
    "mix",
    "bearbeitet",
    "bewerkt",
    "modifi\u{e9}",
    "modificato",
    "editado",
    "ha editado",
    "editat",
    "edytowane",
    "\u{7de8}\u{96c6}\u{6e08}\u{307f}",
    "\u{43e}\u{442}\u{440}\u{435}\u{434}\u{430}\u{43a}\u{442}\u{438}\u{440}\u{43e}\u{432}\u{430}\u{43d}\u{43e}",
    "\u{7f16}\u{8f91}",
    "\u{d3b8}\u{c9d1}\u{b428}",
    "muokattu",
    "\u{432}\u{456}\u{434}\u{440}\u{435}\u{434}\u{430}\u{433}\u{43e}\u{432}\u{430}\u{43d}\u{43e}",
    "redigeret",
    "upraven\u{e9}",
];

/// What belongs to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beside {
    /// Index of the sidecar.
    pub(super) sidecar: usize,
    /// The sidecar is that of another file, of which this is an edited copy or the movie.
    pub(super) companion: bool,
}

/// The sidecar in JSON of each file; `titles` are what the sidecars say that their files were called.
pub(super) fn json(
    media: &[String],
    sidecars: &[String],
    titles: &[Option<String>],
) -> HashMap<usize, Beside> {
    let known = Known::of(sidecars);
    let mut found: HashMap<usize, Beside> = HashMap::new();
    let mut taken: HashSet<usize> = HashSet::new();
    let forms: Vec<Forms> = media.iter().map(|name| Forms::of(name)).collect();
    let rounds = forms.iter().map(|forms| forms.own.len()).max().unwrap_or(0);
    for round in 0..rounds {
        for (index, forms) in forms.iter().enumerate() {
            let Some(form) = forms.own.get(round).filter(|_| !found.contains_key(&index)) else {
                continue;
            };
            if let Some(sidecar) = known.named(form)
                && taken.insert(sidecar)
            {
                let companion = false;
                found.insert(index, Beside { sidecar, companion });
            }
        }
    }
    // What is left over, by what it says itself; two of one title cannot be told apart.
    let mut by_title: HashMap<String, Vec<usize>> = HashMap::new();
    for (sidecar, title) in titles.iter().enumerate() {
        if let Some(title) = title.as_deref().filter(|_| !taken.contains(&sidecar)) {
            by_title.entry(photo_name(title)).or_default().push(sidecar);
        }
    }
    for (index, name) in media.iter().enumerate() {
        if found.contains_key(&index) {
            continue;
        }
        if let Some([sidecar]) = by_title.get(&key(name)).map(Vec::as_slice)
            && taken.insert(*sidecar)
        {
            let (sidecar, companion) = (*sidecar, false);
            found.insert(index, Beside { sidecar, companion });
        }
    }
    let companions = companions(media, &forms, &known, &found);
    found.extend(companions);
    found
}

/// Edited copies, and movies of live photos: they have the sidecar of their photo.
fn companions(
    media: &[String],
    forms: &[Forms],
    known: &Known,
    found: &HashMap<usize, Beside>,
) -> Vec<(usize, Beside)> {
    let mut stills: HashMap<String, usize> = HashMap::new();
    for (index, beside) in found {
        let name = key(&media[*index]);
        if MediaType::of_extension(&name).is_some_and(|media| media.kind() == MediaKind::Photo) {
            stills.insert(split(&name).0.to_owned(), beside.sidecar);
        }
    }
    let mut more = Vec::new();
    for (index, forms) in forms.iter().enumerate() {
        if found.contains_key(&index) {
            continue;
        }
        let name = key(&media[index]);
        let still = MediaType::of_extension(&name)
            .filter(|media| media.kind() == MediaKind::Video)
            .and_then(|_| stills.get(split(&name).0).or_else(|| stills.get(&name)));
        let edited = forms.edited.iter().find_map(|form| known.named(form));
        if let Some(sidecar) = still.copied().or(edited) {
            let companion = true;
            more.push((index, Beside { sidecar, companion }));
        }
    }
    more
}

/// The sidecar in XMP of each file: `a.jpg.xmp` before `a.xmp`, which is that of the raw file where there is one.
pub(super) fn xmp(media: &[String], sidecars: &[String]) -> HashMap<usize, usize> {
    let sidecars: HashMap<String, usize> = sidecars
        .iter()
        .enumerate()
        .map(|(index, name)| (split(&key(name)).0.to_owned(), index))
        .collect();
    let rank = |name: &str| match MediaType::of_extension(name) {
        Some(media) if media.is_raw() => 0,
        Some(media) if media.kind() == MediaKind::Photo => 1,
        _ => 2,
    };
    let names: Vec<String> = media.iter().map(|name| key(name)).collect();
    let mut best: HashMap<&str, u8> = HashMap::new();
    for name in &names {
        let best = best.entry(split(name).0).or_insert(u8::MAX);
        *best = rank(name).min(*best);
    }
    let mut found = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        let stem = split(name).0;
        let own = sidecars
            .get(&format!("{name}.heirloom"))
            .or_else(|| sidecars.get(name));
        let of_stem = sidecars
            .get(stem)
            .filter(|_| best.get(stem) == Some(&rank(name)));
        if let Some(sidecar) = own.or(of_stem) {
            found.insert(index, *sidecar);
        }
    }
    found
}

/// Sidecars by what stands before `.json`.
struct Known {
    exact: HashMap<String, usize>,
    /// Without what is left of [`MIDDLE`], wherever it was cut.
    bare: HashMap<String, usize>,
}

impl Known {
    fn of(sidecars: &[String]) -> Self {
        let (mut exact, mut bare) = (HashMap::new(), HashMap::new());
        for (index, name) in sidecars.iter().enumerate() {
            let name = key(name);
            let stem = split(&name).0;
            let (title, number) = numbered(stem);
            if let Some((title, middle)) = title.rsplit_once('.')
                && MIDDLE[1..].starts_with(middle)
            {
                bare.entry(format!("{title}{number}")).or_insert(index);
            }
            exact.entry(stem.to_owned()).or_insert(index);
        }
        Self { exact, bare }
    }

    fn named(&self, form: &str) -> Option<usize> {
        let found = self.exact.get(form).or_else(|| self.bare.get(form));
        found.copied()
    }
}

/// What the sidecar of a file may be called, without `.json`, likeliest first.
struct Forms {
    own: Vec<String>,
    /// Where the file is an edited copy: the sidecar of what it was made from.
    edited: Vec<String>,
}

impl Forms {
    fn of(name: &str) -> Self {
        let name = key(name);
        let (stem, ending) = split(&name);
        let (title, number) = numbered(stem);
        let mut own = vec![format!("{name}.heirloom")];
        own.extend(forms(title, ending, number));
        if !number.is_empty() {
            own.extend(forms(stem, ending, "").take(3));
        }
        let mut edited = Vec::new();
        let is_cut = units(title) + units(ending) >= PHOTO_UNITS;
        if let Some(title) = unedited(title, is_cut) {
            // The number stands behind the mark, or before it.
            let (bare, before) = numbered(title);
            edited.extend(forms(title, ending, number));
            edited.extend(forms(bare, ending, before));
        }
        Self { own, edited }
    }
}

/// With the ending, whole and cut; then for a title that was given without one.
fn forms<'a>(title: &'a str, ending: &'a str, number: &'a str) -> impl Iterator<Item = String> {
    let whole = format!("{title}{ending}");
    let cut = |name: &str| cut(name, SIDECAR_UNITS).to_owned();
    [
        format!("{whole}{number}"),
        format!("{}{number}", cut(&format!("{whole}{MIDDLE}"))),
        format!("{}{number}", cut(&whole)),
        format!("{title}{number}"),
        format!("{}{number}", cut(&format!("{title}{MIDDLE}"))),
        format!("{}{number}", cut(title)),
    ]
    .into_iter()
}

/// What a file of this title is called where it lies.
fn photo_name(title: &str) -> String {
    let title = key(title);
    let (stem, ending) = split(&title);
    let room = PHOTO_UNITS.saturating_sub(units(ending));
    format!("{}{ending}", cut(stem, room))
}

fn unedited(title: &str, is_cut: bool) -> Option<&str> {
    let (before, mark) = title.rsplit_once('-')?;
    let is_mark = EDITED
        .iter()
        .any(|edited| *edited == mark || is_cut && !mark.is_empty() && edited.starts_with(mark));
    (is_mark && !before.is_empty()).then_some(before)
}

/// What two names have in common that mean the same: composed letters, without case.
fn key(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase()
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn cut(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, letter) in text.char_indices() {
        used += letter.len_utf16();
        if used > room {
            return &text[..at];
        }
    }
    text
}

/// Stem, and ending with its dot.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    }
}

/// `IMG(12)` is the file `IMG` with the number `(12)`.
fn numbered(stem: &str) -> (&str, &str) {
    let number = stem.strip_suffix(')').and_then(|rest| {
        let (title, digits) = rest.rsplit_once('(')?;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        (is_number && !title.is_empty()).then_some(title.len())
    });
    number.map_or((stem, ""), |at| stem.split_at(at))
}
