//! `config`: the settings of this home, in its `config.toml`. They hold from the next start on.

use std::{
    io::{self, Write as _},
    path::Path,
};

use serde_json::{Value, json};
use toml::{Table, Value as Setting};

use super::{Answer, ApiError, Done, Doorway, pick};
use crate::{
    network::NetworkOptions,
    runtime::{Bounds, bytes},
    store::StoreError,
};

/// Every setting that has an effect, with what holds where it is not set.
const KEYS: [Key; 15] = [
    Key {
        name: "bandwidth.down",
        kind: Kind::Rates,
    },
    Key {
        name: "bandwidth.up",
        kind: Kind::Rates,
    },
    Key {
        name: "keeper.quota",
        kind: Kind::Size,
    },
    Key {
        name: "keeper.quota_person",
        kind: Kind::Size,
    },
    Key {
        name: "keeper.reserve",
        kind: Kind::Size,
    },
    Key {
        name: "network.discovery",
        kind: Kind::Flag(true),
    },
    Key {
        name: "network.external_addresses",
        kind: Kind::Addresses,
    },
    Key {
        name: "network.lan_only",
        kind: Kind::Flag(false),
    },
    Key {
        name: "network.lan_ranges",
        kind: Kind::Ranges,
    },
    Key {
        name: "network.listen",
        kind: Kind::Addresses,
    },
    Key {
        name: "network.metered",
        kind: Kind::Flag(false),
    },
    Key {
        name: "network.port",
        kind: Kind::Port,
    },
    Key {
        name: "network.port_mapping",
        kind: Kind::Flag(true),
    },
    Key {
        name: "network.relay",
        kind: Kind::Flag(true),
    },
    Key {
        name: "network.relay_originals",
        kind: Kind::Flag(false),
    },
];

struct Key {
    /// Section and name.
    name: &'static str,
    kind: Kind,
}

enum Kind {
    /// Yes or no, and which it is when nothing is said.
    Flag(bool),
    /// Multiaddrs to listen on, none for all interfaces.
    Addresses,
    /// Ranges of addresses.
    Ranges,
    /// How fast blobs may go, by the hour.
    Rates,
    /// Bytes, none for no bound.
    Size,
    /// A port to listen on, none for a free one.
    Port,
}

/// `config`, with what to do in `do`.
pub(super) async fn config(doorway: &Doorway, body: &Value, answer: &Answer) -> Done {
    let path = doorway.home().join("config.toml");
    let asked = pick::text(body, "do")?;
    if doorway.node().await.is_err() && !is_needed_before(asked, body) {
        return Err(ApiError::not_set_up());
    }
    match asked {
        "list" => {
            let table = read(&path)?;
            for key in &KEYS {
                answer.line(&key.line(&table)).await;
            }
            Ok(json!({"count": KEYS.len()}))
        }
        "get" => {
            let key = named(pick::text(body, "key")?)?;
            answer.line(&key.line(&read(&path)?)).await;
            Ok(json!({}))
        }
        "set" => {
            let key = named(pick::text(body, "key")?)?;
            let value = key.parse(pick::text(body, "value")?)?;
            if !doorway.home().exists() {
                crate::store::Store::prepare(doorway.home())?;
            }
            set(doorway.home(), &path, key, value)?;
            answer.line(&key.line(&read(&path)?)).await;
            Ok(json!({"key": key.name}))
        }
        other => Err(ApiError::usage(&format!("config does not know {other:?}"))),
    }
}

/// Whom a device talks to is said before it joins, and so before it has talked to anybody; how much a
/// keeper may hold, before it holds anything.
fn is_needed_before(asked: &str, body: &Value) -> bool {
    let key = pick::optional(body, "key").unwrap_or_default();
    let section = named(key).map(|key| key.parts().0);
    asked == "set" && matches!(section, Ok("network" | "keeper"))
}

/// A setting by its name, with or without its section.
fn named(asked: &str) -> Result<&'static Key, ApiError> {
    let fits = |key: &&Key| key.name == asked || key.parts().1 == asked;
    KEYS.iter().find(fits).ok_or_else(|| {
        let names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        ApiError::not_found(&format!("setting {}", pick::quoted(asked)))
            .hint(format!("the settings are {}", names.join(", ")))
    })
}

impl Key {
    fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    fn line(&self, table: &Table) -> Value {
        let (section, name) = self.parts();
        let set = table.get(section).and_then(|section| section.get(name));
        let value = match (set, &self.kind) {
            (Some(set), _) => serde_json::to_value(set).unwrap_or(Value::Null),
            (None, Kind::Flag(usual)) => json!(usual),
            (None, Kind::Addresses | Kind::Ranges) => json!([]),
            (None, Kind::Rates | Kind::Size | Kind::Port) => Value::Null,
        };
        json!({
            "type": "setting", "v": 1,
            "key": self.name, "value": value, "set": set.is_some(),
        })
    }

    /// What a person wrote; `None` takes the setting away.
    fn parse(&self, text: &str) -> Result<Option<Setting>, ApiError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        match self.kind {
            Kind::Flag(_) => match text {
                "true" | "yes" | "on" => Ok(Some(Setting::Boolean(true))),
                "false" | "no" | "off" => Ok(Some(Setting::Boolean(false))),
                _ => Err(ApiError::usage(&format!("{} is true or false", self.name))),
            },
            Kind::Addresses => list(text, |all| crate::network::addresses(all).map(drop)),
            Kind::Rates => {
                let rates = crate::network::rates(text)?;
                Ok(Some(Setting::String(rates.to_string())))
            }
            Kind::Size => {
                bytes(text)?;
                Ok(Some(Setting::String(text.to_owned())))
            }
            Kind::Ranges => list(text, |all| crate::network::ranges(all).map(drop)),
            Kind::Port => match text.parse::<u16>() {
                Ok(0) => Ok(None),
                Ok(port) => Ok(Some(Setting::Integer(port.into()))),
                Err(_) => Err(ApiError::usage(&format!(
                    "{} is a number up to 65535, as 4001; 0 for any that is free",
                    self.name
                ))),
            },
        }
    }
}

/// What a person wrote between commas or spaces, once it was looked at.
fn list(
    text: &str,
    look: impl FnOnce(&[String]) -> Result<(), ApiError>,
) -> Result<Option<Setting>, ApiError> {
    // As `get` prints it, too.
    let parts = text.trim_matches(['[', ']']).split([',', ' ']);
    let parts = parts.map(|part| part.trim_matches('"'));
    let parts: Vec<String> = parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    look(&parts)?;
    if parts.is_empty() {
        return Ok(None);
    }
    let list = parts.into_iter().map(Setting::String).collect();
    Ok(Some(Setting::Array(list)))
}

fn read(path: &Path) -> Result<Table, ApiError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Table::new()),
        Err(error) => return Err(ApiError::config_unread(path, error)),
    };
    text.parse()
        .map_err(|error| ApiError::config_line(&text, &error).in_config(path))
}

fn set(home: &Path, path: &Path, key: &Key, value: Option<Setting>) -> Result<(), ApiError> {
    let mut table = read(path)?;
    let (section, name) = key.parts();
    let section = table
        .entry(section)
        .or_insert_with(|| Setting::Table(Table::new()));
    let Some(section) = section.as_table_mut() else {
        return Err(ApiError::config(path, "a section is no table"));
    };
    match value {
        Some(value) => drop(section.insert(name.to_owned(), value)),
        None => drop(section.remove(name)),
    }
    write(home, path, &table.to_string()).map_err(StoreError::from)?;
    Bounds::of_home(home)?;
    NetworkOptions::of_home(home).map(drop)
}

/// Replaces the file as a whole, readable by its owner alone. Durable when it returns.
fn write(home: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(home)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    #[cfg(unix)]
    std::fs::File::open(home)?.sync_all()?;
    Ok(())
}
