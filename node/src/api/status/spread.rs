//! Whether all copies lie in one home, where a fire or a thief takes them together.

use heirloom_protocol::{
    op::{DeviceKind, Policy},
    replica::DeviceRow,
};
use serde_json::json;

use crate::{
    api::{
        live::{Live, Met},
        more,
        problem::Problem,
    },
    runtime::View,
};

/// Says that no copy is known to be elsewhere: every device that keeps everything was met in this
/// device's own network when it was met last.
///
/// A depot carries copies out of it, which a device of the family has to read back: where all are lost at once,
/// the recovery words alone do not open it. So it is named for what it is, and ends nothing.
///
/// Where a device is can only be told from the way to it. One that was never met may be anywhere, and
/// one behind an overlay with private addresses looks as if it were near: so this is no problem, and
/// says what it is drawn from.
pub(super) fn note(view: &View, live: &Live, depots: usize) -> Option<Problem> {
    let keeping = view.others().filter(|row| keeps_all(row));
    let met: Vec<_> = keeping.map(|row| live.met(&row.id)).collect();
    let is_one = !met.is_empty() && met.iter().all(is_near);
    let depot = match depots {
        0 => {
            "A disk kept there saves one as long as any of your devices is left to read it (heirloom depot add DIR)"
        }
        _ => "Your depot saves one as long as any of your devices is left to read it",
    };
    let text = format!(
        "All devices that keep the photos were last met in one home: a fire or a theft there takes every copy. A keeper in another home saves one ({}). {depot}.",
        more::keeper(view)
    );
    is_one.then(|| Problem::new("one-home", json!({}), text))
}

fn keeps_all(row: &DeviceRow) -> bool {
    row.kind == DeviceKind::Keeper || row.policy == Policy::Archive
}

fn is_near(met: &Met) -> bool {
    met.last_seen.is_some() && !met.was_elsewhere && matches!(met.path, None | Some("lan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_device_that_was_met_near_is_in_the_same_home() {
        let near = Met {
            path: None,
            last_seen: Some(5),
            was_elsewhere: false,
        };
        assert!(is_near(&near));
        let lan = Some("lan");
        assert!(is_near(&Met { path: lan, ..near }));
        for path in ["direct", "relay"] {
            let path = Some(path);
            assert!(!is_near(&Met { path, ..near }));
        }
        assert!(!is_near(&Met {
            was_elsewhere: true,
            ..near
        }));
        // Who was never met may be anywhere.
        assert!(!is_near(&Met::default()));
    }
}
