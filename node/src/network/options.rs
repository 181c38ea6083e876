//! How a node takes part in the network, as its home's `config.toml` says.

use std::{io, path::Path};

use serde::Deserialize;

use super::pace::Rates;
use crate::{
    api::ApiError,
    net::{Address, Range, Reach, Relaying, Remote},
};

/// Largest file of settings that is read.
const CONFIG_BYTES: u64 = 1024 * 1024;

/// How a node takes part in the network.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Where to listen; empty for all interfaces.
    pub listen: Vec<Address>,
    /// The port to listen on where `listen` names none; a free one where this does not either.
    pub port: Option<u16>,
    /// Whether to find other devices by multicast DNS.
    pub discovery: bool,
    /// Whether only the local network is spoken to.
    pub lan_only: bool,
    /// Where others reach this node from outside, as a person says.
    pub external: Vec<Address>,
    /// Whether it relays for the family.
    pub relaying: Relaying,
    /// Whether it asks the router to open a port.
    pub port_mapping: bool,
    /// Whether every way out of the local network costs money.
    pub metered: bool,
    /// Whether originals are got over a relay or a metered way.
    pub relay_originals: bool,
    /// What counts as the local network besides its own addresses, for `lan_only`.
    pub lan_ranges: Vec<Range>,
    /// How fast blobs may be sent.
    pub up: Rates,
    /// How fast they may be fetched.
    pub down: Rates,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            port: None,
            discovery: true,
            lan_only: false,
            lan_ranges: Vec::new(),
            up: Rates::default(),
            down: Rates::default(),
            external: Vec::new(),
            relaying: Relaying::Off,
            port_mapping: false,
            metered: false,
            relay_originals: false,
        }
    }
}

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    network: Section,
    #[serde(default)]
    bandwidth: Bandwidth,
}

#[derive(Deserialize, Default)]
struct Bandwidth {
    up: Option<String>,
    down: Option<String>,
}

#[derive(Deserialize, Default)]
struct Section {
    listen: Option<Vec<String>>,
    port: Option<u16>,
    discovery: Option<bool>,
    lan_only: Option<bool>,
    lan_ranges: Option<Vec<String>>,
    external_addresses: Option<Vec<String>>,
    relay: Option<bool>,
    port_mapping: Option<bool>,
    metered: Option<bool>,
    relay_originals: Option<bool>,
}

impl NetworkOptions {
    /// What `[network]` in the home's `config.toml` says: `listen` (multiaddrs), `port`, `discovery`,
    /// `lan_only`, `lan_ranges` (as `100.64.0.0/10`), `external_addresses` (multiaddrs), `relay`, `port_mapping`,
    /// `metered`, `relay_originals`; and `[bandwidth]`: `up`, `down` (as `08:00-23:00 1MB/s, 5MB/s`).
    ///
    /// Who runs for one command alone takes [`Self::passing`] of it.
    ///
    /// # Errors
    ///
    /// `E-USAGE` for a file or an address that cannot be read as such.
    pub fn of_home(home: &Path) -> Result<Self, ApiError> {
        let path = home.join("config.toml");
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ApiError::config_unread(&path, error)),
            Ok(meta) if meta.len() > CONFIG_BYTES => {
                return Err(ApiError::config(&path, "the file is too large"));
            }
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| ApiError::config_unread(&path, error))?;
        Self::parse(&text).map_err(|error| error.in_config(&path))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let config: Config =
            toml::from_str(text).map_err(|error| ApiError::config_line(text, &error))?;
        let Section {
            listen,
            port,
            discovery,
            lan_only,
            lan_ranges,
            external_addresses,
            relay,
            port_mapping,
            metered,
            relay_originals,
        } = config.network;
        let usual = Self::default();
        Ok(Self {
            listen: addresses(&listen.unwrap_or_default())?,
            port: port.filter(|port| *port != 0),
            discovery: discovery.unwrap_or(usual.discovery),
            lan_only: lan_only.unwrap_or(usual.lan_only),
            lan_ranges: ranges(&lan_ranges.unwrap_or_default())?,
            up: rates(&config.bandwidth.up.unwrap_or_default())?,
            down: rates(&config.bandwidth.down.unwrap_or_default())?,
            external: addresses(&external_addresses.unwrap_or_default())?,
            relaying: match relay.unwrap_or(true) {
                true => Relaying::Reachable,
                false => Relaying::Off,
            },
            port_mapping: port_mapping.unwrap_or(true),
            metered: metered.unwrap_or(usual.metered),
            relay_originals: relay_originals.unwrap_or(usual.relay_originals),
        })
    }

    /// For a node that is gone in a moment: it offers nothing to those outside, and leaves the port to who stays.
    #[must_use]
    pub fn passing(self) -> Self {
        Self {
            port: None,
            external: Vec::new(),
            relaying: Relaying::Off,
            port_mapping: false,
            ..self
        }
    }

    /// Where it listens: on all interfaces where no address is named, at a free port where none is.
    pub(super) fn listens(&self) -> Vec<Address> {
        let everywhere = Address::everywhere(0);
        let named = match self.listen.is_empty() {
            true => everywhere.as_slice(),
            false => &self.listen,
        };
        let at = |address: &Address| Address {
            port: match address.port {
                0 => self.port.unwrap_or(0),
                port => port,
            },
            ..*address
        };
        named.iter().map(at).collect()
    }

    /// How it takes part in what lies beyond the local network.
    ///
    /// A router is not asked for what it could not lead to.
    pub(super) fn remote(&self) -> Remote {
        let mut listen = self.listen.iter();
        let stays_here = !self.listen.is_empty() && listen.all(|address| address.ip.is_loopback());
        Remote {
            external: self.external.clone(),
            relaying: self.relaying,
            port_mapping: self.port_mapping && !stays_here,
        }
    }

    /// Which addresses are spoken to.
    pub fn reach(&self) -> Reach {
        match self.lan_only {
            true => Reach::LanOnly(self.lan_ranges.clone()),
            false => Reach::Anywhere,
        }
    }
}

/// How fast something may go by the hour; an empty text sets no limit.
///
/// # Errors
///
/// `E-USAGE` says how a limit is written.
pub(crate) fn rates(text: &str) -> Result<Rates, ApiError> {
    if text.trim().is_empty() {
        return Ok(Rates::default());
    }
    text.parse()
        .map_err(|error| ApiError::usage(&format!("{text:?}: {error}")).why("rates", 0))
}

/// Ranges of addresses.
///
/// # Errors
///
/// `E-USAGE` names the first that is none.
pub(crate) fn ranges(texts: &[String]) -> Result<Vec<Range>, ApiError> {
    let range = |text: &String| {
        text.parse()
            .map_err(|error| ApiError::usage(&format!("{text:?} is no range: {error}")))
    };
    texts.iter().map(range).collect()
}

/// Addresses to listen on or to call.
///
/// # Errors
///
/// `E-USAGE` names the first that is none.
pub(crate) fn addresses(texts: &[String]) -> Result<Vec<Address>, ApiError> {
    let address = |text: &String| {
        text.parse()
            .map_err(|error| ApiError::usage(&format!("{text:?} is no address: {error}")))
    };
    texts.iter().map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_without_settings_listens_everywhere_and_looks_around() {
        let options = NetworkOptions::parse("[other]\nkey = 1\n").unwrap();
        assert!(options.listen.is_empty() && options.discovery && !options.lan_only);
    }

    #[test]
    fn settings_are_read_and_wrong_ones_refused() {
        let text = "[network]\nlisten = [\"/ip4/127.0.0.1/tcp/0\"]\ndiscovery = false\n";
        let options = NetworkOptions::parse(text).unwrap();
        assert_eq!(options.listen.len(), 1);
        assert!(!options.discovery);
        let text = "[network]\nlan_only = true\nlan_ranges = [\"100.64.0.0/10\"]\n";
        let options = NetworkOptions::parse(text).unwrap();
        assert_eq!(options.reach(), Reach::LanOnly(options.lan_ranges.clone()));
        assert_eq!(options.lan_ranges.len(), 1);
        let options = NetworkOptions::parse(
            "[network]\nexternal_addresses = [\"/ip4/203.0.113.7/tcp/4001\"]\nrelay = false\n",
        );
        let options = options.unwrap();
        assert_eq!(options.external.len(), 1);
        assert_eq!(options.relaying, Relaying::Off);
        assert!(options.port_mapping && !options.passing().port_mapping);
        for wrong in [
            "[network]\nport = 65536\n",
            "[network]\nlan_ranges = [\"0.0.0.0/0\"]\n",
            "[network]\nlisten = [\"localhost\"]\n",
            "[network]\ndiscovery = 1\n",
            "[",
        ] {
            assert_eq!(NetworkOptions::parse(wrong).unwrap_err().id, "E-USAGE");
        }
    }

    #[test]
    fn a_damaged_file_is_told_with_its_name_its_line_and_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        for (text, what) in [
            ("[network]\nport = 4001\ndiscovery = maybe\n", "line 3: "),
            (
                "[network]\nlisten = [\"localhost\"]\n",
                "\"localhost\" is no address",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = NetworkOptions::of_home(home.path()).unwrap_err();
            let begins = format!("{}: {what}", path.display());
            assert!(error.message.starts_with(&begins), "{}", error.message);
            assert!(error.safe.unwrap().contains("photos are untouched"));
            assert!(error.hint.unwrap().starts_with("mend the file"));
        }
    }

    #[test]
    fn a_port_holds_for_both_protocols_and_where_an_address_names_none() {
        let listens = |text: &str| -> Vec<String> {
            let options = NetworkOptions::parse(text).unwrap();
            options.listens().iter().map(Address::to_string).collect()
        };
        let any = ["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"];
        assert_eq!(listens(""), any);
        assert_eq!(listens("[network]\nport = 0\n"), any);
        let port = "[network]\nport = 4001\n";
        assert_eq!(listens(port), ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001"]);
        let both = format!("{port}listen = [\"/ip4/127.0.0.1/tcp/0\", \"/ip6/::1/tcp/5\"]\n");
        assert_eq!(
            listens(&both),
            ["/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/5"]
        );
        let passing = NetworkOptions::parse(port).unwrap().passing();
        assert_eq!(passing.port, None);
    }
}
