//! What browsers sent and what is not imported yet, on disk: `uploads/` in the home, in clear.
//!
//! What comes lies in a folder `part-*` of its own, which goes when the request
//! breaks off. Once it is whole, what was said of it stands beside it and the
//! folder is renamed to `file-*`: from then on it goes when it has been
//! imported, and not before. All of it is for the owner of this home alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::{export, store::fs::sync_folder};

/// Folder below the home.
const FOLDER: &str = "uploads";
/// What is still coming, and what is whole.
const COMING: &str = "part-";
const WHOLE: &str = "file-";
/// What was said of a file; no safe name begins with a dot.
const SAID: &str = ".said";

/// What a file is and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) batch: String,
    /// Its name in the folder.
    pub(super) name: String,
    /// What the browser called it.
    pub(super) shown: String,
    /// The id of the album.
    pub(super) album: String,
    pub(super) is_movie: bool,
    pub(super) bytes: u64,
}

/// A file that comes. Dropping it removes it.
pub(super) struct Coming {
    folder: TempDir,
    pub(super) path: PathBuf,
    pub(super) name: String,
}

/// A file that is whole. Dropping it leaves it where it is.
#[derive(Debug)]
pub(super) struct Whole {
    folder: PathBuf,
    pub(super) path: PathBuf,
    pub(super) said: Said,
}

impl Whole {
    /// Takes it away; where that fails, the next start finds it, and its photo in the album.
    pub(super) fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(kind = ?error.kind(), "a file that was imported stays in clear until the next start");
        }
    }
}

/// The folder of one home.
#[derive(Clone)]
pub(super) struct Arrivals {
    root: PathBuf,
}

impl Arrivals {
    pub(super) fn of(home: &Path) -> Self {
        let root = home.join(FOLDER);
        Self { root }
    }

    /// Removes what did not come to its end, and the folder where nothing is in it; gives what is whole.
    ///
    /// # Errors
    ///
    /// When something cannot be removed: plaintext that nobody imports must not stay.
    pub(super) fn tidy(&self) -> io::Result<Vec<Whole>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            match whole(&path) {
                Ok(Some(whole)) => all.push(whole),
                Ok(None) if entry.file_type()?.is_dir() => fs::remove_dir_all(&path)?,
                Ok(None) => fs::remove_file(&path)?,
                // It may be a photo that is nowhere else.
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), "a file that was sent cannot be read now");
                }
            }
        }
        // A clip joins a still that has to be there.
        all.sort_by(|a, b| (a.said.is_movie, &a.path).cmp(&(b.said.is_movie, &b.path)));
        let _ = fs::remove_dir(&self.root);
        Ok(all)
    }

    /// How many files are whole and wait.
    pub(super) fn count(&self) -> usize {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name());
        let whole = names.filter(|name| name.to_string_lossy().starts_with(WHOLE));
        whole.count()
    }

    /// A place for a file that comes.
    pub(super) fn begin(&self, name: &str) -> io::Result<Coming> {
        match fs::create_dir(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))?;
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(COMING);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(fs::Permissions::from_mode(0o700));
        }
        let folder = builder.tempdir_in(&self.root)?;
        let name = export::safe_name(name);
        let path = folder.path().join(&name);
        Ok(Coming { folder, path, name })
    }

    /// Keeps a file that has come whole; with `lasting` it outlives a loss of power once this returns. Blocks.
    pub(super) fn keep(&self, coming: Coming, said: Said, lasting: bool) -> io::Result<Whole> {
        let mut file = create(&coming.folder.path().join(SAID))?;
        file.write_all(&serde_json::to_vec(&said).map_err(io::Error::other)?)?;
        if lasting {
            file.sync_all()?;
            File::open(&coming.path)?.sync_all()?;
            sync_folder(coming.folder.path())?;
        }
        let name = coming.folder.path().file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let name = format!("{WHOLE}{}", name.strip_prefix(COMING).unwrap_or(&name));
        let folder = self.root.join(name);
        fs::rename(coming.folder.path(), &folder)?;
        // It has gone from there, so that there is nothing to remove.
        let _ = coming.folder.keep();
        let path = folder.join(&coming.name);
        let whole = Whole { folder, path, said };
        if lasting {
            sync_folder(&self.root)?;
            sync_folder(self.root.parent().unwrap_or_else(|| Path::new(".")))?;
        }
        Ok(whole)
    }
}

/// Makes a file that its owner alone reads.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// What lies in a folder, if it came whole; an error where that cannot be told now.
fn whole(folder: &Path) -> io::Result<Option<Whole>> {
    let is_absent = |error: &io::Error| {
        let kinds = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        kinds.contains(&error.kind())
    };
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with(WHOLE) {
        return Ok(None);
    }
    let said = match fs::read(folder.join(SAID)) {
        Err(error) if is_absent(&error) => return Ok(None),
        said => said?,
    };
    // After a loss of power, what nobody was told to be safe may be less than it was.
    let Ok(said) = serde_json::from_slice::<Said>(&said) else {
        return Ok(None);
    };
    if said.name != export::safe_name(&said.name) {
        return Ok(None);
    }
    let path = folder.join(&said.name);
    let is_whole = match fs::symlink_metadata(&path) {
        Err(error) if is_absent(&error) => false,
        file => {
            let file = file?;
            file.is_file() && file.len() == said.bytes
        }
    };
    let folder = folder.to_owned();
    Ok(is_whole.then_some(Whole { folder, path, said }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: u64, is_movie: bool) -> Said {
        Said {
            batch: "b".into(),
            name: "a.mov".into(),
            shown: "Trip/a.mov".into(),
            album: "00".into(),
            is_movie,
            bytes,
        }
    }

    #[test]
    fn what_is_whole_stays_and_the_rest_goes() {
        let home = tempfile::tempdir().expect("a folder");
        let arrivals = Arrivals::of(home.path());
        assert!(arrivals.tidy().expect("nothing there").is_empty());
        let keep = |bytes, is_movie| {
            let coming = arrivals.begin("a.mov").expect("a place");
            create(&coming.path)
                .and_then(|mut file| file.write_all(b"whole"))
                .expect("written");
            let kept = arrivals.keep(coming, said(bytes, is_movie), is_movie);
            kept.expect("kept").path
        };
        let (movie, still, torn) = (keep(5, true), keep(5, false), keep(6, false));
        let cut = arrivals.begin("b.jpg").expect("a place").folder.keep();
        let stray = home.path().join(FOLDER).join("stray");
        fs::write(&stray, b"of nobody").expect("written");
        assert_eq!(arrivals.count(), 3);
        let left = arrivals.tidy().expect("readable");
        let paths: Vec<_> = left.iter().map(|one| one.path.clone()).collect();
        assert_eq!(paths, [still, movie]);
        assert_eq!(left[0].said, said(5, false));
        assert!(!torn.exists() && !cut.exists() && !stray.exists());
        left.iter().for_each(Whole::remove);
        assert!(arrivals.tidy().expect("readable").is_empty());
        assert!(!home.path().join(FOLDER).exists());
    }
}
