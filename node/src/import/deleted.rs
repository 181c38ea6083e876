//! What an import says of photos that somebody deleted: they stay deleted unless it is told otherwise.

use heirloom_protocol::album::asset::{Asset, Fate};

use super::{Outcome, Shared};
use crate::{
    catalog::instant_text,
    runtime::{AssetKey, RuntimeError, View},
};

/// A photo that lies in the trash.
#[derive(Clone, Debug)]
pub(super) struct Trash {
    /// Who put it there and when, and how it comes back.
    pub(super) reason: String,
    /// Whether this person may bring it back.
    pub(super) may_restore: bool,
}

impl Trash {
    /// What became of a file whose photo stays there.
    pub(super) const fn outcome(&self) -> Outcome {
        match self.may_restore {
            true => Outcome::Trashed,
            false => Outcome::OutOfReach,
        }
    }
}

/// What to say of an item in the trash.
pub(super) fn in_trash(
    shared: &Shared<'_>,
    key: AssetKey,
    asset: &Asset,
) -> Result<Trash, RuntimeError> {
    let view = view(shared)?;
    let may_restore = view.may_decide(&key.album, asset);
    let when = asset.trashed().map(|fate| told(&view, fate));
    let way = if may_restore {
        "import --restore brings it back"
    } else {
        "who added it or a manager of the album can bring it back; until then keep the file, or add it to another album"
    };
    Ok(Trash {
        reason: format!("{} and is in the trash; {way}", when.unwrap_or_default()),
        may_restore,
    })
}

/// What to say of an item that was deleted for good.
pub(super) fn for_good(shared: &Shared<'_>, asset: &Asset) -> Result<String, RuntimeError> {
    let view = view(shared)?;
    let when = asset.purged().map(|fate| told(&view, fate));
    Ok(format!(
        "{} for good; import --restore adds it again",
        when.unwrap_or_default()
    ))
}

fn told(view: &View, fate: &Fate) -> String {
    let when = instant_text(fate.origin.stamp.hlc.time().0);
    let (day, _) = when.split_once('T').unwrap_or((&when, ""));
    let who = view.person_name(&fate.origin.author.person);
    format!("it was deleted by {who} on {day}")
}

fn view(shared: &Shared<'_>) -> Result<View, RuntimeError> {
    shared.node.ask_blocking(|runtime| runtime.view())
}
