//! One vector: a file of `name: value` lines, and how it is read and written.

use std::fmt::Write;

/// What a reader makes of the bytes of a vector.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    Ok,
    BadSignature,
    BadChain,
    NotCanonical,
    TooLarge,
    UnknownVersion,
    NotAMember,
    WrongKey,
    Truncated,
}

impl Class {
    pub(crate) const ALL: [Self; 9] = [
        Self::Ok,
        Self::BadSignature,
        Self::BadChain,
        Self::NotCanonical,
        Self::TooLarge,
        Self::UnknownVersion,
        Self::NotAMember,
        Self::WrongKey,
        Self::Truncated,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::BadSignature => "bad-signature",
            Self::BadChain => "bad-chain",
            Self::NotCanonical => "not-canonical",
            Self::TooLarge => "too-large",
            Self::UnknownVersion => "unknown-version",
            Self::NotAMember => "not-a-member",
            Self::WrongKey => "wrong-key",
            Self::Truncated => "truncated",
        }
    }
}

/// A vector. Fields keep their order; a field that is set again is replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) path: String,
    pub(crate) check: String,
    pub(crate) expect: Class,
    pub(crate) why: String,
    fields: Vec<(String, String)>,
    pub(crate) bytes: Vec<u8>,
}

impl Case {
    /// A case that is right.
    pub(crate) fn right(path: &str, check: &str, why: &str, bytes: &[u8]) -> Self {
        Self {
            path: path.to_owned(),
            check: check.to_owned(),
            expect: Class::Ok,
            why: why.to_owned(),
            fields: Vec::new(),
            bytes: bytes.to_owned(),
        }
    }

    /// The same with a field of bytes.
    pub(crate) fn hex(self, name: &str, bytes: &[u8]) -> Self {
        self.text(name, &hex(bytes))
    }

    /// The same with a field of text.
    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        let value = value.to_owned();
        match self.fields.iter_mut().find(|(there, _)| there == name) {
            Some((_, there)) => *there = value,
            None => self.fields.push((name.to_owned(), value)),
        }
        self
    }

    /// The same with a field that is a number.
    pub(crate) fn number(self, name: &str, value: u64) -> Self {
        self.text(name, &value.to_string())
    }

    /// The same with other bytes.
    pub(crate) fn with(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.bytes = bytes.into();
        self
    }

    /// A case made from this one that is wrong.
    pub(crate) fn wrong(&self, suffix: &str, expect: Class, why: &str) -> Self {
        Self {
            path: format!("{}.{suffix}", self.path),
            expect,
            why: why.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(there, _)| there == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn string(&self, name: &str) -> &str {
        self.field(name)
            .unwrap_or_else(|| panic!("{} has no field {name}", self.path))
    }

    pub(crate) fn raw(&self, name: &str) -> Vec<u8> {
        unhex(self.string(name)).unwrap_or_else(|| panic!("{}: {name} is not hex", self.path))
    }

    pub(crate) fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        let bytes = self.raw(name);
        let found = bytes.len();
        bytes
            .try_into()
            .unwrap_or_else(|_| panic!("{}: {name} has {found} bytes", self.path))
    }

    pub(crate) fn value<T: std::str::FromStr>(&self, name: &str) -> T {
        let value = self.string(name).parse().ok();
        value.unwrap_or_else(|| panic!("{}: {name} is not a number", self.path))
    }

    /// The file.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!(
            "check: {}\nexpect: {}\nwhy: {}\n",
            self.check,
            self.expect.name(),
            self.why
        );
        for (name, value) in &self.fields {
            writeln!(text, "{name}: {value}").unwrap();
        }
        writeln!(text, "bytes: {}", hex(&self.bytes)).unwrap();
        text
    }

    /// Reads a file.
    pub(crate) fn from_text(path: &str, text: &str) -> Option<Self> {
        let mut case = Self::right(path, "", "", &[]);
        let mut expect = None;
        let mut bytes = None;
        for line in text.lines() {
            let (name, value) = line.split_once(':')?;
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "check" => case.check = value.to_owned(),
                "expect" => expect = Class::ALL.into_iter().find(|class| class.name() == value),
                "why" => case.why = value.to_owned(),
                "bytes" => bytes = unhex(value),
                _ => case.fields.push((name.to_owned(), value.to_owned())),
            }
        }
        case.expect = expect?;
        case.bytes = bytes?;
        Some(case)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| {
            let digit = c.to_digit(16).filter(|_| !c.is_ascii_uppercase());
            digit.and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

/// `n` bytes that follow from a seed, as the specification's generator draws them.
pub(crate) fn drawn(seed: u8, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// 32 bytes that follow from a seed.
pub(crate) fn drawn32(seed: u8) -> [u8; 32] {
    drawn(seed, 32).try_into().unwrap()
}
