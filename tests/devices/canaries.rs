//! Words that stand nowhere else, and a search for them in whatever form they leave a device.

use std::{collections::BTreeSet, fs, io::Read as _, path::Path};

use aho_corasick::AhoCorasick;
use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use flate2::read::{GzDecoder, ZlibDecoder};

use super::{Dice, files};

/// Letters of a canary.
const LETTERS: usize = 40;
/// As much as is made of bytes that look compressed.
const INFLATED: u64 = 1 << 20;

/// Where a canary stands, and its word.
#[derive(Default)]
pub(crate) struct Canaries(Vec<(String, String)>);

/// What each canary looks like in the forms that are searched for.
pub(crate) struct Search {
    searcher: AhoCorasick,
    /// For each pattern, the canary and the form.
    patterns: Vec<(String, &'static str)>,
}

impl Canaries {
    /// A new word, which is to stand at `place`.
    pub(crate) fn place(&mut self, place: &str, dice: &mut Dice) -> String {
        let word = dice.word(LETTERS);
        self.0.push((place.to_owned(), word.clone()));
        word
    }

    /// Something else that is to be found nowhere.
    pub(crate) fn note(&mut self, place: &str, text: &str) {
        self.0.push((place.to_owned(), text.to_owned()));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The words whose place begins so.
    pub(crate) fn at<'a>(&'a self, place: &'a str) -> impl Iterator<Item = &'a str> {
        let fits = move |(at, _): &&(String, String)| at.starts_with(place);
        self.0.iter().filter(fits).map(|(_, word)| word.as_str())
    }

    pub(crate) fn search(&self) -> Search {
        Search::new(&self.0)
    }
}

impl Search {
    fn new(canaries: &[(String, String)]) -> Self {
        let mut patterns = Vec::new();
        let mut needles = Vec::new();
        for (place, word) in canaries {
            for (form, needle) in forms(word.as_bytes()) {
                patterns.push((place.clone(), form));
                needles.push(needle);
            }
        }
        let searcher = AhoCorasick::new(&needles).expect("few and short");
        Self { searcher, patterns }
    }
}

/// A word in every form that is searched for.
pub(crate) fn forms(word: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let wide = |low_first: bool| -> Vec<u8> {
        let pair = |byte: &u8| if low_first { [*byte, 0] } else { [0, *byte] };
        word.iter().flat_map(pair).collect()
    };
    let mut forms = vec![
        ("raw", word.to_vec()),
        ("UTF-16LE", wide(true)),
        ("UTF-16BE", wide(false)),
        ("hex", HEXLOWER.encode(word).into_bytes()),
        ("HEX", HEXUPPER.encode(word).into_bytes()),
    ];
    for (form, shift) in [("base64", 0), ("base64+1", 1), ("base64+2", 2)] {
        for encoding in [BASE64, BASE64URL] {
            forms.push((form, base64(&encoding, word, shift)));
        }
    }
    forms
}

/// The part of the base64 text that does not depend on what stands around the word, when `shift` bytes
/// of a group of three stand before it.
fn base64(encoding: &data_encoding::Encoding, word: &[u8], shift: usize) -> Vec<u8> {
    let whole = [&vec![0; shift][..], word].concat();
    let text = encoding.encode(&whole[..whole.len() - whole.len() % 3]);
    // A character holds six bits: the first that holds only bits of the word.
    let first = (shift * 8).div_ceil(6);
    text.as_bytes()[first..].to_vec()
}

/// What comes out wherever something looks like zlib's format (RFC 1950) or gzip's (RFC 1952), as far as
/// it can be read.
fn inflated(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let starts = bytes.windows(2).zip(0..);
    starts.filter_map(move |(start, at)| {
        let mut out = Vec::new();
        let rest = &bytes[at..];
        // Where it breaks off, what came before is there all the same.
        let _ = match start {
            [0x78, 0x01 | 0x5e | 0x9c | 0xda] => {
                ZlibDecoder::new(rest).take(INFLATED).read_to_end(&mut out)
            }
            [0x1f, 0x8b] => GzDecoder::new(rest).take(INFLATED).read_to_end(&mut out),
            _ => return None,
        };
        Some(out).filter(|out| out.len() >= LETTERS)
    })
}

impl Search {
    /// Where canaries stand in these bytes, and in which form.
    pub(crate) fn hits(&self, bytes: &[u8]) -> Vec<String> {
        let mut hits = self.found(bytes);
        for inner in inflated(bytes) {
            let found = self.found(&inner).into_iter();
            hits.extend(found.map(|hit| format!("{hit}, compressed")));
        }
        hits.sort();
        hits.dedup();
        hits
    }

    /// The same in the bytes as they are.
    fn found(&self, bytes: &[u8]) -> Vec<String> {
        let found = self.searcher.find_overlapping_iter(bytes);
        let mut hits: Vec<String> = found
            .map(|hit| {
                let (place, form) = &self.patterns[hit.pattern().as_usize()];
                format!("{place} as {form}")
            })
            .collect();
        hits.sort();
        hits.dedup();
        hits
    }

    /// The words that stand there as they are.
    pub(crate) fn words<'b>(&self, bytes: &'b [u8]) -> BTreeSet<&'b str> {
        let found = self.searcher.find_overlapping_iter(bytes);
        let raw = found.filter(|hit| self.patterns[hit.pattern().as_usize()].1 == "raw");
        raw.filter_map(|hit| std::str::from_utf8(&bytes[hit.range()]).ok())
            .collect()
    }

    /// The same as [`Self::hits`] in every file below a folder, and in the names of all that is there.
    pub(crate) fn hits_below(&self, folder: &Path) -> Vec<String> {
        let mut hits = Vec::new();
        for file in files(folder) {
            let name = file.strip_prefix(folder).expect("below it");
            let bytes = fs::read(&file).expect("readable");
            let found = [&bytes[..], b"\n", name.as_os_str().as_encoded_bytes()].concat();
            let found = self.hits(&found).into_iter();
            hits.extend(found.map(|hit| format!("{hit} in {}", file.display())));
        }
        hits
    }
}
