//! Secrets and hashes as words of the English BIP 39 list.
//!
//! [`encode`] and [`decode`] carry entropy with its checksum, as BIP 39 says,
//! without the passphrase and the stretching that wallets add. [`phrase`] shows
//! a hash for two people to compare and cannot be turned back.

use bip39::{Language, Mnemonic};
use zeroize::{Zeroize, Zeroizing};

/// Why typed words are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Another number of words than asked for.
    #[error("{}", count(*found, *expected))]
    Count {
        /// How many were typed.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A word that is not on the list; counted from 1.
    #[error("word {0} is not on the list")]
    Unknown(usize),
    /// All words are on the list, but they do not belong together.
    #[error("the words do not fit together")]
    Checksum,
}

fn count(found: usize, expected: usize) -> String {
    match found {
        0 => format!("there are no words where {expected} belong"),
        1 => format!("there is 1 word where {expected} belong"),
        // More are not counted.
        _ if found > expected => format!("there are more than {expected} words"),
        _ => format!("there are {found} words where {expected} belong"),
    }
}

/// Longest text that is looked at: no 24 words are longer.
const TEXT_BYTES: usize = 1024;

/// Words are told apart by their first four letters, so that many suffice.
const PREFIX_LETTERS: usize = 4;

/// Writes entropy of 16, 20, 24, 28 or 32 bytes as 12 to 24 words, one space between.
///
/// # Panics
///
/// For any other length; callers pass arrays.
pub fn encode(entropy: &[u8]) -> Zeroizing<String> {
    let mnemonic = Mnemonic::from_entropy_in(Language::English, entropy)
        .expect("callers pass arrays of a length that BIP 39 knows");
    let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
    for word in mnemonic.words() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Reads words back to `N` bytes of entropy and checks the checksum.
///
/// Case, numbering, punctuation and spacing do not matter, and four letters of
/// a word are enough.
///
/// # Errors
///
/// [`WordsError`]; it says which word, and nothing of what was typed.
pub fn decode<const N: usize>(text: &str) -> Result<Zeroizing<[u8; N]>, WordsError> {
    let expected = N / 4 * 3;
    let typed = || {
        text.split(|c: char| !c.is_alphabetic())
            .filter(|w| !w.is_empty())
    };
    let found = typed().take(expected + 1).count();
    if found != expected || text.len() > TEXT_BYTES {
        return Err(WordsError::Count { found, expected });
    }
    // Reserved at once: a string that grows leaves copies of the secret behind.
    let mut clean = Zeroizing::new(String::with_capacity(TEXT_BYTES));
    for (index, word) in typed().enumerate() {
        let word = lookup(word).ok_or(WordsError::Unknown(index + 1))?;
        clean.push_str(word);
        clean.push(' ');
    }
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, &clean)
        .map_err(|_| WordsError::Checksum)?;
    let (mut bytes, length) = mnemonic.to_entropy_array();
    let mut entropy = Zeroizing::new([0; N]);
    if length == N {
        entropy.copy_from_slice(&bytes[..N]);
    }
    bytes.zeroize();
    Ok(entropy)
}

fn lookup(typed: &str) -> Option<&'static str> {
    let typed = Zeroizing::new(typed.to_ascii_lowercase());
    let list = Language::English.word_list();
    if let Ok(index) = list.binary_search(&typed.as_str()) {
        return Some(list[index]);
    }
    if typed.len() < PREFIX_LETTERS {
        return None;
    }
    match Language::English.words_by_prefix(&typed) {
        [only] => Some(only),
        _ => None,
    }
}

/// The first `N` words of a hash, 11 bits each.
///
/// # Panics
///
/// Does not compile for more than the 23 words that 32 bytes hold.
pub fn phrase<const N: usize>(hash: &[u8; 32]) -> [&'static str; N] {
    const { assert!(N <= 23) };
    let list = Language::English.word_list();
    std::array::from_fn(|word| {
        let index = (0..11).fold(0_usize, |index, bit| {
            let at = word * 11 + bit;
            index << 1 | usize::from(hash[at / 8] >> (7 - at % 8) & 1)
        });
        list[index]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_round_trips_through_the_published_words() {
        // The first vectors of the BIP 39 test set.
        let twelve = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
        assert_eq!(encode(&[0; 16]).as_str(), twelve);
        assert_eq!(*decode::<16>(twelve).unwrap(), [0; 16]);
        let last = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote";
        assert_eq!(encode(&[255; 32]).as_str(), last);
        assert_eq!(*decode::<32>(last).unwrap(), [255; 32]);
    }

    #[test]
    fn case_spacing_numbers_and_shortening_are_forgiven() {
        let words = encode(&[0x5a; 16]);
        let typed: String = words
            .split(' ')
            .enumerate()
            .map(|(i, w)| format!("{}. {} \n\t", i + 1, w[..w.len().min(4)].to_uppercase()))
            .collect();
        assert_eq!(*decode::<16>(&typed).unwrap(), [0x5a; 16]);
    }

    #[test]
    fn wrong_words_say_what_is_wrong() {
        let words = encode(&[9; 16]);
        assert_eq!(
            decode::<16>("one two").unwrap_err(),
            WordsError::Count {
                found: 2,
                expected: 12
            }
        );
        assert_eq!(
            decode::<32>(&words).unwrap_err(),
            WordsError::Count {
                found: 12,
                expected: 24
            }
        );
        let mut list: Vec<_> = words.split(' ').collect();
        list[4] = "grandma";
        assert_eq!(
            decode::<16>(&list.join(" ")).unwrap_err(),
            WordsError::Unknown(5)
        );
        // "abs" begins absent, absorb, abstract and absurd.
        list[4] = "abs";
        assert_eq!(
            decode::<16>(&list.join(" ")).unwrap_err(),
            WordsError::Unknown(5)
        );
    }

    #[test]
    fn most_single_wrong_words_break_the_checksum() {
        let words = encode(&[0x33; 32]);
        let list: Vec<_> = words.split(' ').collect();
        let mut caught = 0;
        for at in 0..list.len() {
            let mut changed = list.clone();
            changed[at] = if list[at] == "zoo" { "zone" } else { "zoo" };
            caught +=
                usize::from(decode::<32>(&changed.join(" ")).err() == Some(WordsError::Checksum));
        }
        assert!(caught >= 23, "{caught} of 24");
    }

    #[test]
    fn a_phrase_takes_eleven_bits_for_each_word() {
        let mut hash = [0; 32];
        assert_eq!(phrase::<4>(&hash), ["abandon"; 4]);
        hash[1] = 0b0010_0000;
        assert_eq!(phrase::<2>(&hash), ["ability", "abandon"]);
        assert_eq!(phrase::<8>(&[255; 32]), ["zoo"; 8]);
    }
}
