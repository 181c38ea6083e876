//! What the page needs to know before it shows anything.

use std::path::PathBuf;

use axum::{
    Extension, Json,
    extract::{RawQuery, State},
};
use serde_json::{Value, json};
use walkdir::WalkDir;

use super::{
    Gallery,
    guard::{Door, Let},
    refusal::Refusal,
    session::Reach,
    tls::qr,
};
use crate::media::MediaType;

/// Entries of a picture folder that are looked at: a number for a question, not an inventory.
const PICTURES_LOOKED_AT: usize = 20_000;

/// `GET /api/v1/state`; the folder of pictures is looked at before there is a family, and with
/// `?pictures=1`, because counting takes its time.
pub(super) async fn state(
    State(gallery): State<Gallery>,
    Extension(Let(reach)): Extension<Let>,
    Extension(door): Extension<Door>,
    RawQuery(asked): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let limited = reach == Reach::Phone;
    let phones = gallery.lan();
    let mut told = json!({
        "set_up": false, "version": env!("CARGO_PKG_VERSION"),
        "family": null, "family_id": null, "person": null, "person_id": null,
        "device": null, "device_id": null, "lan": door.is_lan, "limited": limited,
        "phones": phones.as_ref().map(|(url, fingerprint)| json!({"url": url, "fingerprint": fingerprint})),
        "pictures": null, "folders": null, "strings_locale": locale(),
    });
    let mut say = |field: &str, value: Value| {
        if let Some(fields) = told.as_object_mut() {
            fields.insert(field.into(), value);
        }
    };
    let mut wants_pictures = asked.as_deref() == Some("pictures=1");
    if let Ok(node) = gallery.0.doorway.node().await {
        let view = node.view().await?;
        say("set_up", json!(true));
        say("family", json!(view.family_name));
        say("family_id", json!(view.family.to_string()));
        say(
            "person",
            json!(view.person.map(|person| view.person_name(&person))),
        );
        say(
            "person_id",
            json!(view.person.map(|person| person.to_string())),
        );
        say("device", json!(view.device_name(&view.device)));
        say("device_id", json!(view.device.to_string()));
    } else {
        wants_pictures = true;
        say("device", json!(crate::api::host_name()));
    }
    if !limited {
        let found = move || (wants_pictures.then(pictures).flatten(), folders());
        let (found, folders) = tokio::task::spawn_blocking(found).await.unwrap_or_default();
        say("pictures", json!(found));
        say("folders", folders);
    }
    Ok(Json(told))
}

/// `POST /api/v1/phone`: a link that lets one phone in, and what it will be shown of the certificate.
pub(super) async fn phone(
    State(gallery): State<Gallery>,
    Extension(Let(reach)): Extension<Let>,
) -> Result<Json<Value>, Refusal> {
    if reach == Reach::Phone {
        return Err(Refusal::limited());
    }
    let link = gallery.phone_link()?;
    Ok(Json(json!({
        "url": link.url, "qr": qr(&link.url), "fingerprint": link.fingerprint,
    })))
}

/// The folder of this person's pictures with how many there are.
fn pictures() -> Option<Value> {
    let folder = folder_of_user("XDG_PICTURES_DIR", "Pictures")?;
    let entries = WalkDir::new(&folder).follow_links(false).into_iter();
    let count = entries
        .take(PICTURES_LOOKED_AT)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .filter(|entry| MediaType::of_extension(&entry.file_name().to_string_lossy()).is_some())
        .count();
    (count > 0).then(|| json!({"path": folder.to_string_lossy(), "count": count}))
}

/// Folders that a person may mean: where pictures come from, and where an export may go.
fn folders() -> Value {
    let documents = folder_of_user("XDG_DOCUMENTS_DIR", "Documents");
    let text = |folder: Option<PathBuf>| folder.map(|folder| folder.to_string_lossy().into_owned());
    json!({
        "pictures": text(folder_of_user("XDG_PICTURES_DIR", "Pictures")),
        "export": text(documents.map(|folder| folder.join("Heirloom"))),
    })
}

/// Where the desktop says that a folder of this person is (xdg-user-dirs), else one of a usual name.
fn folder_of_user(name: &str, usual: &str) -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"))?);
    let config =
        std::env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let said = std::fs::read_to_string(config.join("user-dirs.dirs")).unwrap_or_default();
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    let named = line.map(|line| line.trim().trim_matches('"').to_owned());
    let folder = match named {
        Some(named) => match named.strip_prefix("$HOME/") {
            Some(below) => home.join(below),
            None => PathBuf::from(named),
        },
        None => home.join(usual),
    };
    folder
        .is_absolute()
        .then_some(folder)
        .filter(|folder| folder.is_dir())
}

/// The language of this computer, for a page whose browser names none that it knows.
fn locale() -> Option<String> {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
    let language: String = set.chars().take_while(char::is_ascii_lowercase).collect();
    (2..=3).contains(&language.len()).then_some(language)
}
