//! How somebody brings in one more device: nobody is advised to do what they may not.

use super::status::admins;
use crate::runtime::View;

/// How a keeper comes in.
pub(super) fn keeper(view: &View) -> String {
    match view.is_admin() {
        true => "heirloom invite --keeper NAME".to_owned(),
        false => format!("ask {} to invite one", admins(view)),
    }
}

/// How a device comes in that may hold all that this person has.
pub(super) fn device(view: &View) -> String {
    match (view.is_admin(), view.person) {
        (true, _) => "heirloom invite --device, or heirloom invite --keeper NAME".to_owned(),
        (false, Some(_)) => format!(
            "heirloom invite --device, or ask {} to invite a keeper",
            admins(view)
        ),
        (false, None) => keeper(view),
    }
}
