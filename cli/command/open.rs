//! `heirloom open`: the gallery in the browser.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::serve;
use crate::{
    args::Open,
    door::{Door, ServeOptions},
    error::{CliError, Told},
    ui::{Line, Ui},
};

/// A page that leads on to the gallery: arguments of programs can be read by every account of a computer.
const LEAD: &str = "open-gallery.html";

/// Opens the gallery of the node that runs, else of one that runs until it is stopped.
pub(super) async fn run(args: Open, home: PathBuf, ui: &mut Ui) -> Result<u8, CliError> {
    if let Some(door) = Door::of_running(&home).await {
        let link = ask(&door).await?;
        if ui.manner.json {
            ui.line(&link);
        } else {
            lead(&link, &home, args.print, ui);
        }
        return Ok(0);
    }
    let options = ServeOptions {
        home: home.clone(),
        port: None,
        listen: Vec::new(),
        lan_only: false,
        discovery: true,
        gallery: Some((args.gallery, false)),
        external: Vec::new(),
        relay: false,
    };
    serve::run_node(options, ui, Some(args.print)).await
}

/// Asks for an address that lets one browser in.
pub(super) async fn ask(door: &Door) -> Result<Line, CliError> {
    let mut lines = door.call("open", &Value::Null).await?;
    while let Some(line) = lines.next().await? {
        match line.kind() {
            "summary" => return Ok(line),
            "error" => return Err(CliError::Told(Told::from_line(&line))),
            _ => {}
        }
    }
    Err(CliError::NodeGone)
}

/// Prints the address or has a browser open it.
pub(super) fn lead(link: &Line, home: &Path, print: bool, ui: &mut Ui) {
    let url = link.text_or("url", "");
    if print {
        ui.say(url);
        return;
    }
    let opened = write_lead(home, &url).is_ok_and(|page| browse(&page));
    if opened {
        ui.say("The gallery opens in your browser.");
        ui.note(format!(
            "If it does not, open this address within a minute: {url}"
        ));
    } else {
        ui.say(format!("Open this address within a minute: {url}"));
    }
}

/// Writes the page for this account alone.
fn write_lead(home: &Path, url: &str) -> std::io::Result<PathBuf> {
    let quoted = json!(url);
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Heirloom</title>\
         <script>location.replace({quoted})</script>"
    );
    let mut file = tempfile::NamedTempFile::new_in(home)?;
    file.write_all(page.as_bytes())?;
    let path = home.join(LEAD);
    file.persist(&path)?;
    Ok(path)
}

/// Starts the browser and does not wait for it.
fn browse(page: &Path) -> bool {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    let has_screen = cfg!(any(target_os = "macos", windows))
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if !has_screen {
        return false;
    }
    let mut command = Command::new(program);
    command.arg(page);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_page_that_leads_on_is_for_this_account_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().expect("a folder");
        let url = "http://127.0.0.1:1/#t=secret";
        let page = write_lead(home.path(), url).expect("a page");
        let mode = std::fs::metadata(&page).expect("the page").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&page).expect("the page");
        assert!(text.contains("location.replace(\"http://127.0.0.1:1/#t=secret\")"));
    }
}
