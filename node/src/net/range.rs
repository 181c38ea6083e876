//! Ranges of addresses that a person counts as near: those of an overlay network.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use thiserror::Error;

/// Shortest prefix of a range: what is wider is not a network of one family.
const SHORTEST: (u8, u8) = (8, 16);

/// Why a text is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RangeError {
    /// Not `ADDRESS/BITS`.
    #[error("a range looks like 100.64.0.0/10 or fd00::/8")]
    Malformed,
    /// It holds a great part of the internet.
    #[error("a range has at least 8 bits, 16 for IPv6")]
    TooWide,
}

/// What counts as one caller: an IPv4 address, or the 64 bits of a network in IPv6, where everybody has as many
/// addresses as there are in the rest of the bits.
pub(crate) fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

/// All addresses whose first bits are these, as `100.64.0.0/10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    ip: IpAddr,
    bits: u8,
}

impl Range {
    /// Whether an address is one of them. An IPv4 address in IPv6 clothes counts as what it is.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(range), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.bits);
                (range.to_bits() ^ ip.to_bits()).checked_shr(shift) == Some(0)
            }
            (IpAddr::V6(range), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.bits);
                (range.to_bits() ^ ip.to_bits()).checked_shr(shift) == Some(0)
            }
            _ => false,
        }
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (ip, bits) = text.split_once('/').ok_or(RangeError::Malformed)?;
        let ip: IpAddr = ip.parse().map_err(|_| RangeError::Malformed)?;
        let bits: u8 = bits.parse().map_err(|_| RangeError::Malformed)?;
        let (shortest, longest) = match ip {
            IpAddr::V4(_) => (SHORTEST.0, 32),
            IpAddr::V6(_) => (SHORTEST.1, 128),
        };
        match bits {
            _ if bits > longest => Err(RangeError::Malformed),
            _ if bits < shortest => Err(RangeError::TooWide),
            _ => Ok(Self { ip, bits }),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_begins_alike_and_nothing_else() {
        for (range, ip, is_in) in [
            ("100.64.0.0/10", "100.64.0.1", true),
            ("100.64.0.0/10", "100.127.255.255", true),
            ("100.64.0.0/10", "100.128.0.0", false),
            ("100.64.0.0/10", "100.63.255.255", false),
            ("100.64.0.0/10", "::ffff:100.64.0.1", true),
            ("100.64.0.0/10", "2001:db8::1", false),
            ("203.0.113.7/32", "203.0.113.7", true),
            ("203.0.113.7/32", "203.0.113.8", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1/128", "2001:db8::1", true),
            ("2001:db8::/32", "10.0.0.1", false),
        ] {
            let parsed: Range = range.parse().unwrap();
            assert_eq!(parsed.to_string(), range);
            assert_eq!(parsed.contains(ip.parse().unwrap()), is_in, "{range} {ip}");
        }
    }

    #[test]
    fn nonsense_and_half_the_internet_are_refused() {
        for (text, error) in [
            ("", RangeError::Malformed),
            ("100.64.0.0", RangeError::Malformed),
            ("100.64.0.0/33", RangeError::Malformed),
            ("100.64.0/10", RangeError::Malformed),
            ("tail.net/10", RangeError::Malformed),
            ("fd00::/129", RangeError::Malformed),
            ("0.0.0.0/0", RangeError::TooWide),
            ("128.0.0.0/1", RangeError::TooWide),
            ("::/0", RangeError::TooWide),
            ("2000::/3", RangeError::TooWide),
        ] {
            assert_eq!(text.parse::<Range>(), Err(error), "{text}");
        }
    }
}
