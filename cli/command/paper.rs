//! Where new recovery words go: onto the screen once, or into a file of their own.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    error::{CliError, Told},
    ui::{Line, Ui, word_grid},
};

/// The file for the words, made before anything else is done; removed again if there are no words.
pub(super) struct Paper {
    file: Option<(PathBuf, File)>,
}

impl Paper {
    /// Makes the file, readable by its owner only. One that exists is never overwritten.
    ///
    /// Without one, looks whether the words could be printed at all.
    pub(super) fn ready(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else {
            can_print().map_err(|source| CliError::File {
                act: "write to",
                path: "stdout".into(),
                source,
            })?;
            return Ok(Self { file: None });
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|source| CliError::File {
            act: "make",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            file: Some((path.to_owned(), file)),
        })
    }

    /// Writes the words of `summary` into the file and takes them out of it.
    ///
    /// When that fails they stay in the summary: nobody could ever show them again.
    pub(super) fn take_words(mut self, summary: Line, ui: &mut Ui) -> Line {
        let words = summary.texts("recovery");
        let Some((path, file)) = self.file.take_if(|_| !words.is_empty()) else {
            return summary;
        };
        if let Err(error) = write(file, &path, &words) {
            ui.warn(format!(
                "The words could not be written to {}: {error}",
                path.display()
            ));
            return summary;
        }
        ui.note(format!("The recovery words are in {}.", path.display()));
        summary.with("recovery", Value::Null)
    }
}

/// Writes nothing to stdout: what takes no byte says so even then.
fn can_print() -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let nothing = out.write(&[])?;
        debug_assert_eq!(nothing, 0);
    }
    Ok(())
}

/// Shows on stderr the words that stdout did not take: nobody could ever show them again.
///
/// # Errors
///
/// With what to do, when it came to that.
pub(super) fn rescue_words(ui: &mut Ui, summary: &Line) -> Result<(), CliError> {
    let words = summary.texts("recovery");
    if words.is_empty() || !ui.is_closed() {
        return Ok(());
    }
    for row in word_grid(&words) {
        ui.verbatim_error(&row);
    }
    Err(CliError::Told(Told {
        id: "E-IO".to_owned(),
        message: "the recovery words could not be written to stdout".to_owned(),
        safe: Some("Everything was done. The words stand here, on stderr, this once.".to_owned()),
        hint: Some("write them on paper, then check it: heirloom recovery check".to_owned()),
        exit: 1,
    }))
}

impl Drop for Paper {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.file {
            // It is empty and this process made it; if it cannot go, it does no harm.
            let _ = std::fs::remove_file(path);
        }
    }
}

// One line of words: what `recovery check -` reads.
fn write(mut file: File, path: &Path, words: &[String]) -> io::Result<()> {
    file.write_all(words.join(" ").as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) if cfg!(unix) && !folder.as_os_str().is_empty() => {
            File::open(folder)?.sync_all()
        }
        _ => Ok(()),
    }
}

/// Shows the words, if `summary` has any, with what a person must know about them.
pub(super) fn show_words(ui: &mut Ui, summary: &Line) {
    let words = summary.texts("recovery");
    if words.is_empty() {
        return;
    }
    let heading = ui.strong("Your 24 recovery words, shown this once:");
    ui.say(format!("\n{heading}\n"));
    for row in word_grid(&words) {
        ui.say(row);
    }
    ui.say(
        "\nWrite them on paper, in this order, and keep it where you keep your passports.\n\
         They bring your photos back when all your devices are lost. Whoever has them can\n\
         read your photos. Heirloom does not store them and cannot show them again.",
    );
    ui.hint("check what you wrote: heirloom recovery check");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::{Manner, Terminal, recorded};

    fn summary() -> Line {
        Line::own(
            "summary",
            json!({"act": "init", "recovery": ["abandon", "zoo"]}),
        )
    }

    #[test]
    fn words_go_into_a_private_file_and_nowhere_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("words.txt");
        let paper = Paper::ready(Some(&path)).expect("a new file");
        let (mut ui, out, _) = recorded::ui(Manner::default(), Terminal::default(), "");
        let left = paper.take_words(summary(), &mut ui);
        show_words(&mut ui, &left);
        assert!(!left.is("recovery"));
        assert_eq!(out.text(), "");
        assert_eq!(
            std::fs::read_to_string(&path).expect("written"),
            "abandon zoo\n"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path)
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("words.txt");
        std::fs::File::create_new(&path).expect("new");
        let refused = Paper::ready(Some(&path)).err().expect("refused");
        assert_eq!((refused.id(), refused.exit()), ("E-IO", 1));
        assert!(path.exists());
    }

    #[test]
    fn a_file_without_words_does_not_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("words.txt");
        drop(Paper::ready(Some(&path)).expect("a new file"));
        assert!(!path.exists());
        let (mut ui, ..) = recorded::ui(Manner::default(), Terminal::default(), "");
        let none = Line::own("summary", json!({"act": "join", "recovery": null}));
        Paper::ready(Some(&path))
            .expect("a new file")
            .take_words(none, &mut ui);
        assert!(!path.exists());
    }

    #[test]
    fn words_without_a_file_are_shown_with_advice() {
        let (mut ui, out, err) = recorded::ui(Manner::default(), Terminal::default(), "");
        let left = Paper::ready(None)
            .expect("nothing to make")
            .take_words(summary(), &mut ui);
        show_words(&mut ui, &left);
        assert!(
            out.text().contains("   1. abandon      2. zoo\n"),
            "{}",
            out.text()
        );
        assert!(out.text().contains("Write them on paper"));
        assert!(err.text().contains("heirloom recovery check"));
    }
}
