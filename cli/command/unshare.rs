//! `heirloom unshare`: an album for one person fewer.

use serde_json::json;

use super::Talk;
use crate::{args::Unshare, error::CliError, ui::text};

pub(super) async fn run(args: Unshare, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"album": args.album, "person": args.person, "last": args.with_last_copies});
    talk.act("unshare", body, |ui, line| match line.kind() {
        "summary" => {
            let (person, album) = (&args.person, &args.album);
            ui.say(text::plain(&format!("{person} gets no new photos of {album}.")));
            ui.note("It goes out of their lists and gallery once their devices hear of it; what they added stays in their library. Copies that they have made cannot be taken back.");
            let last = line.count("last");
            if last > 0 {
                let items = text::count(last, "item", "items");
                ui.warn(format!("No other device is known to have the original of {items}."));
            }
        }
        _ => super::unknown(ui, line),
    })
    .await
}
