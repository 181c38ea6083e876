//! Pictures of pictures: what a file is, its pixels, and the preview and thumbnail made of them.
//!
//! ```text
//!   first bytes, name -> sniff -> MediaType
//!   file -> worker::Pool == pipe ==> worker process: metadata, decode, encode ==> Made
//! ```
//!
//! A photo from a messenger is foreign bytes, and so is every photo: nothing outside the worker
//! process decodes one. A picture that cannot be made costs a [`Reason`], never the import.

pub mod decode;
pub mod encode;
pub mod sniff;
pub(crate) mod source;
pub mod worker;

pub use self::encode::Previews;
pub(crate) use self::sniff::HEAD_BYTES;
pub use self::sniff::{MediaKind, MediaType, Take};
pub use self::source::ReadSeek;
pub use self::worker::{Made, Pool};

/// Why there is no preview of a file. The texts are shown to people and kept stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Reason {
    /// What it claims to be and what it holds do not fit.
    #[error("damaged")]
    Damaged,
    /// More pixels or bytes than are decoded here.
    #[error("too large")]
    TooLarge,
    /// No decoder for this format, or for this flavour of it.
    #[error("format not supported yet")]
    NotSupported,
    /// The worker was stopped by its time limit.
    #[error("took too long")]
    TookTooLong,
    /// The worker was stopped by its memory limit.
    #[error("needed too much memory")]
    TooMuchMemory,
    /// The file itself could not be read to its end.
    #[error("could not be read")]
    Unreadable,
    /// The worker process could not be started.
    #[error("no worker process")]
    NoWorker,
    /// The worker process was started and ended before it said anything.
    #[error("the worker process said nothing")]
    Silent,
    /// The worker was ended by somebody else: the system, when memory was short, or a person.
    #[error("the worker process was ended from outside")]
    Ended,
}

impl Reason {
    const ALL: [Self; 9] = [
        Self::Damaged,
        Self::TooLarge,
        Self::NotSupported,
        Self::TookTooLong,
        Self::TooMuchMemory,
        Self::Unreadable,
        Self::NoWorker,
        Self::Silent,
        Self::Ended,
    ];

    /// A stable number for records; never 0.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Damaged => 1,
            Self::TooLarge => 2,
            Self::NotSupported => 3,
            Self::TookTooLong => 4,
            Self::TooMuchMemory => 5,
            Self::Unreadable => 6,
            Self::NoWorker => 7,
            Self::Silent => 8,
            Self::Ended => 9,
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.code() == code)
    }

    /// Whether the same file could fare better at another time, with the same program.
    ///
    /// All others hold until the program changes: trying again would fail again.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::Unreadable | Self::NoWorker | Self::Silent | Self::Ended
        )
    }
}

/// A 32-bit count as an index: every system this runs on has at least 32-bit addresses.
pub(crate) fn index(n: u32) -> usize {
    usize::try_from(n).expect("addresses have 32 bits or more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_keeps_its_number() {
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.code()), i + 1);
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(Reason::from_code(0), None);
    }
}
