//! The sidecars of one folder, and the album that it is.

use std::{collections::HashMap, io::Read as _, path::Path};

use super::{MAX_BYTES, Said, Sidecar, is_named_so, names, read};

/// What is known of the files of a folder from those that lie beside them.
#[derive(Debug, Default)]
pub(in crate::import) struct Folder {
    /// The name of the album that it is.
    pub(in crate::import) album: Option<String>,
    said: HashMap<String, Said>,
    /// Files that were read as sidecars, with what became of them.
    read: HashMap<String, String>,
}

impl Folder {
    /// Looks at a folder; what cannot be read is left out, and told by whoever walks it.
    pub(in crate::import) fn at(path: &Path) -> Self {
        let (mut media, mut sidecars) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !is_named_so(&name) {
                media.push(name);
                continue;
            }
            let said =
                bytes_of(&entry.path()).map_or(Sidecar::Nothing, |bytes| read(&name, &bytes));
            sidecars.push((name, said));
        }
        Self::of(media, sidecars)
    }

    /// Puts together the names of files and what their sidecars say.
    pub(in crate::import) fn of(
        mut media: Vec<String>,
        mut sidecars: Vec<(String, Sidecar)>,
    ) -> Self {
        // The order in which a disk lists them decides nothing.
        media.sort();
        sidecars.sort_by(|a, b| a.0.cmp(&b.0));
        let mut folder = Self::default();
        let (mut json, mut xmp) = (Named::default(), Named::default());
        for (name, sidecar) in sidecars {
            match sidecar {
                Sidecar::Nothing => {}
                Sidecar::Album(title) => {
                    let told = format!("sidecar: names the album {title}");
                    folder.read.insert(name, told);
                    folder.album.get_or_insert(title);
                }
                Sidecar::Photo(said) => {
                    let is_json = name.to_ascii_lowercase().ends_with(".json");
                    let named = if is_json { &mut json } else { &mut xmp };
                    named.push(name, *said);
                }
            }
        }
        let titles: Vec<_> = json.said.iter().map(|said| said.title.clone()).collect();
        let by_json = names::json(&media, &json.names, &titles);
        let by_xmp = names::xmp(&media, &xmp.names);
        for (index, name) in media.into_iter().enumerate() {
            let from_json = by_json.get(&index).map(|beside| {
                json.used(beside.sidecar, &name, beside.companion);
                let said = json.said[beside.sidecar].clone();
                if beside.companion {
                    said.of_companion()
                } else {
                    said
                }
            });
            let from_xmp = by_xmp.get(&index).map(|sidecar| {
                xmp.used(*sidecar, &name, false);
                xmp.said[*sidecar].clone()
            });
            let said = match (from_json, from_xmp) {
                // Our own export says more in JSON than XMP has room for.
                (Some(json), Some(xmp)) if json.taken.is_some() => Some(json.or(xmp)),
                (Some(json), Some(xmp)) => Some(xmp.or(json)),
                (json, xmp) => json.or(xmp),
            };
            if let Some(said) = said {
                folder.said.insert(name, said);
            }
        }
        json.tell(&mut folder.read);
        xmp.tell(&mut folder.read);
        folder
    }

    /// What is said of a file.
    pub(in crate::import) fn said(&self, name: &str) -> Option<&Said> {
        self.said.get(name)
    }

    /// What became of a file that is a sidecar.
    pub(in crate::import) fn sidecar(&self, name: &str) -> Option<&str> {
        self.read.get(name).map(String::as_str)
    }
}

/// Sidecars of one kind.
#[derive(Default)]
struct Named {
    names: Vec<String>,
    said: Vec<Said>,
    whose: HashMap<usize, String>,
}

impl Named {
    fn push(&mut self, name: String, said: Said) {
        self.names.push(name);
        self.said.push(said);
    }

    fn used(&mut self, sidecar: usize, by: &str, companion: bool) {
        if !companion || !self.whose.contains_key(&sidecar) {
            self.whose.insert(sidecar, by.to_owned());
        }
    }

    fn tell(self, read: &mut HashMap<String, String>) {
        for (index, name) in self.names.into_iter().enumerate() {
            let told = match self.whose.get(&index) {
                Some(photo) => format!("sidecar: what it says went to {photo}"),
                None => "sidecar: its photo is not in this folder".into(),
            };
            read.insert(name, told);
        }
    }
}

fn bytes_of(path: &Path) -> Option<Vec<u8>> {
    let file = crate::sys::open_regular(path).ok()?;
    if file.metadata().ok()?.len() > MAX_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
