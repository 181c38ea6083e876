//! Which folder is this device's home.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::error::CliError;

/// Gives the home that was asked for, else the platform's data folder for Heirloom.
pub(crate) fn choose(asked: Option<PathBuf>) -> Result<PathBuf, CliError> {
    let found = asked
        .filter(|home| !home.as_os_str().is_empty())
        .or_else(|| data_folder(|name| std::env::var_os(name)));
    let home = found.ok_or_else(|| {
        CliError::usage(
            "this account has no home folder",
            "say where Heirloom may keep its data: heirloom --home DIR",
        )
    })?;
    std::path::absolute(&home).map_err(|source| CliError::File {
        act: "find",
        path: home,
        source,
    })
}

fn data_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The XDG base directory specification ignores relative paths.
    let folder = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if cfg!(target_os = "macos") {
        Some(folder("HOME")?.join("Library/Application Support/Heirloom"))
    } else if cfg!(windows) {
        Some(folder("APPDATA")?.join("Heirloom"))
    } else {
        let data = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
        Some(data?.join("heirloom"))
    }
}

fn whole(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|source| CliError::File {
        act: "find",
        path: path.to_owned(),
        source,
    })
}

/// Gives `path` absolute, for a node that may run in another folder: as a text, or where its name is
/// none, as its bytes in hexadecimal.
pub(crate) fn place(path: &Path) -> Result<Value, CliError> {
    let whole = whole(path)?;
    if let Some(text) = whole.to_str() {
        return Ok(json!(text));
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let bytes = whole.as_os_str().as_bytes().iter();
        let digits: String = bytes.map(|byte| format!("{byte:02x}")).collect();
        Ok(json!({ "bytes": digits }))
    }
    #[cfg(not(unix))]
    absolute(&whole).map(Value::from)
}

/// Gives `path` as an absolute text, for a node that may run in another folder and remembers it.
pub(crate) fn absolute(path: &Path) -> Result<String, CliError> {
    whole(path)?.into_os_string().into_string().map_err(|odd| {
        CliError::usage(
            format!("the path {} is not UTF-8", odd.to_string_lossy()),
            "rename it, or give the folder above it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn the_home_is_the_data_folder_of_the_platform() {
        let with = |set: &'static [(&str, &str)]| {
            data_folder(move |name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        for (set, want) in [
            (
                &[("XDG_DATA_HOME", "/d"), ("HOME", "/h")][..],
                Some("/d/heirloom"),
            ),
            (
                &[("XDG_DATA_HOME", "d"), ("HOME", "/h")][..],
                Some("/h/.local/share/heirloom"),
            ),
            (&[("HOME", "/h")][..], Some("/h/.local/share/heirloom")),
            (&[][..], None),
        ] {
            assert_eq!(with(set), want.map(PathBuf::from));
        }
    }

    #[test]
    fn an_asked_home_is_made_absolute() {
        let home = choose(Some("a/b".into())).expect("a path");
        assert!(
            home.is_absolute() && home.ends_with("a/b"),
            "{}",
            home.display()
        );
    }
}
