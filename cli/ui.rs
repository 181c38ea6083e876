//! The only printer: results to stdout, everything else to stderr, questions to a person.
//!
//! With `--json` stdout carries the node's lines and nothing else. Without it the
//! commands say sentences; the texts that they get from a [`Line`] are safe to print.

mod code;
mod line;
mod progress;
pub(crate) mod text;

use std::{
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    time::SystemTime,
};

use serde_json::json;
use tokio::sync::oneshot;

use self::progress::Progress;
pub(crate) use self::{
    code::{qr, word_grid},
    line::Line,
};
use crate::error::CliError;

/// Longest answer that is read from a person or from stdin, in bytes.
const ANSWER_BYTES: u64 = 64 * 1024;

/// How the person wants to be spoken to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    pub(crate) yes: bool,
    /// Colour on stdout and on stderr.
    pub(crate) color: (bool, bool),
}

/// What of the three streams is a terminal.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terminal {
    pub(crate) input: bool,
    pub(crate) out: bool,
    pub(crate) err: bool,
}

impl Terminal {
    /// Looks at this process's own streams.
    pub(crate) fn here() -> Self {
        Self {
            input: io::stdin().is_terminal(),
            out: io::stdout().is_terminal(),
            err: io::stderr().is_terminal(),
        }
    }
}

/// The streams, and the manner in which they are used.
pub(crate) struct Ui {
    pub(crate) manner: Manner,
    pub(crate) terminal: Terminal,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    input: Option<Box<dyn BufRead + Send>>,
    progress: Progress,
    /// A prompt stands at the end of the last line.
    asking: bool,
    /// Answers are read from stdin though it is no terminal.
    listens: bool,
    /// The first failure to write to stdout.
    failed: Option<io::Error>,
}

impl Ui {
    /// Speaks on this process's own streams.
    pub(crate) fn new(manner: Manner, terminal: Terminal) -> Self {
        Self {
            manner,
            terminal,
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            input: Some(Box::new(BufReader::new(io::stdin()))),
            progress: Progress::default(),
            asking: false,
            listens: false,
            failed: None,
        }
    }

    /// Says a result to a person; with `--json` it says nothing.
    pub(crate) fn say(&mut self, sentence: impl AsRef<str>) {
        if !self.manner.json {
            self.write_out(sentence.as_ref());
        }
    }

    /// Prints one of the node's lines for a program.
    pub(crate) fn line(&mut self, line: &Line) {
        self.write_out(&line.for_programs());
    }

    /// Says on stderr what is good to know; `-q` leaves it out.
    pub(crate) fn note(&mut self, sentence: impl AsRef<str>) {
        if !self.manner.quiet && !self.manner.json {
            self.write_err(sentence.as_ref());
        }
    }

    /// Says on stderr what to do next; `-q` leaves it out.
    pub(crate) fn hint(&mut self, sentence: impl AsRef<str>) {
        let label = self.painted("hint:", "36");
        self.note(format!("{label} {}", sentence.as_ref()));
    }

    /// Says on stderr what went wrong with one thing among many; never left out.
    pub(crate) fn warn(&mut self, sentence: impl AsRef<str>) {
        if !self.manner.json {
            self.write_err(sentence.as_ref());
        }
    }

    /// Tells an error: one line for programs, three for people.
    pub(crate) fn error(&mut self, error: &CliError) {
        self.clear_progress();
        if std::mem::take(&mut self.asking) {
            self.write_err("");
        }
        let plain = |sentence: &str| text::plain(sentence).into_owned();
        if self.manner.json {
            let mut fields =
                json!({"id": error.id(), "message": error.message(), "hint": error.hint()});
            if let Some(safe) = error.safe() {
                fields["safe"] = safe.into();
            }
            self.line(&Line::own("error", fields));
            return;
        }
        let label = self.painted("error:", "1;31");
        self.write_err(&format!("{label} {}", plain(&error.message())));
        if let Some(safe) = error.safe() {
            self.write_err(&format!("  {}", plain(safe)));
        }
        if let Some(hint) = error.hint() {
            let label = self.painted("hint:", "36");
            self.write_err(&format!("{label} {}", plain(hint)));
        }
    }

    /// Prints text that is a result in itself, such as help or a completion script.
    pub(crate) fn verbatim(&mut self, text: &str) {
        self.write_out(text.trim_end_matches('\n'));
    }

    /// Prints on stderr what clap says about wrong usage.
    pub(crate) fn verbatim_error(&mut self, text: &str) {
        self.write_err(text.trim_end_matches('\n'));
    }

    /// Shows how far a long act is.
    pub(crate) fn progress(&mut self, line: &Line) {
        if self.manner.json {
            self.line(line);
        } else if !self.manner.quiet {
            let now = tokio::time::Instant::now().into_std();
            if let Some(told) = self.progress.update(line, self.terminal.err, now) {
                self.write_err(&told);
            }
        }
    }

    /// Takes the progress bar away before the last words.
    pub(crate) fn clear_progress(&mut self) {
        self.progress.clear();
    }

    /// Gives `text` in bold where stdout is coloured.
    pub(crate) fn strong(&self, text: &str) -> String {
        if self.manner.color.0 {
            format!("\u{1b}[1m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn painted(&self, text: &str, color: &str) -> String {
        if self.manner.color.1 {
            format!("\u{1b}[{color}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// The time of this device, for "3 min ago".
    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Whether a person can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.terminal.input || self.listens
    }

    /// From now on takes what stands on stdin for a person's answers, as through `ssh` without a terminal.
    pub(crate) fn listen(&mut self) {
        self.listens = true;
    }

    /// Asks a question to be answered with y or n; anything but yes is no.
    ///
    /// `--yes` answers it. Without a terminal it is refused rather than assumed.
    pub(crate) async fn confirm(&mut self, question: &str) -> Result<bool, CliError> {
        if self.manner.yes {
            return Ok(true);
        }
        let nobody = || {
            CliError::usage(
                "this needs a yes, and there is nobody to ask",
                "run it on a terminal, or add --yes",
            )
        };
        if !self.can_ask() {
            return Err(nobody());
        }
        match self.ask(&format!("{question} [y/N] ")).await? {
            Some(answer) => Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes")),
            // Who closes the terminal's input says no; a pipe that has ended says nothing.
            None if self.terminal.input => {
                self.write_err("");
                Ok(false)
            }
            None => Err(nobody()),
        }
    }

    /// Asks for a line of text, trimmed; `None` at the end of stdin.
    pub(crate) async fn ask(&mut self, prompt: &str) -> Result<Option<String>, CliError> {
        self.clear_progress();
        // A prompt that cannot be shown is not worth failing for: the answer still counts.
        let _ = self.err.write_all(prompt.as_bytes());
        let _ = self.err.flush();
        self.asking = true;
        let answer = self.read_line().await;
        self.asking = false;
        answer
    }

    /// Reads one line of stdin, trimmed; `None` at its end.
    ///
    /// Safe to drop: the line is then read by nobody.
    pub(crate) async fn read_line(&mut self) -> Result<Option<String>, CliError> {
        let missing =
            || CliError::usage("stdin has ended where a line was expected", "give one line");
        let mut input = self.input.take().ok_or_else(missing)?;
        let (tell, told) = oneshot::channel();
        // A thread of its own rather than the blocking pool: nobody waits for it when the person presses Ctrl+C.
        std::thread::spawn(move || {
            let mut text = String::new();
            let read = input.by_ref().take(ANSWER_BYTES).read_line(&mut text);
            let _ = tell.send((input, read.map(|count| (count > 0).then_some(text))));
        });
        let (input, read) = told.await.map_err(|_| missing())?;
        self.input = Some(input);
        match read {
            Ok(text) => Ok(text.map(|text| text.trim().to_owned())),
            Err(source) if source.kind() == io::ErrorKind::InvalidData => Err(CliError::NotText),
            Err(source) => Err(CliError::usage(
                format!("cannot read stdin: {source}"),
                "give one line of text",
            )),
        }
    }

    /// Whether nobody reads the results any more (`heirloom list | head`).
    pub(crate) fn is_closed(&self) -> bool {
        self.failed.is_some()
    }

    /// Gives the failure to write results, if there was one; a reader who left is none.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        self.clear_progress();
        let flushed = self.out.flush().err();
        match self.failed.take().or(flushed) {
            Some(source) if source.kind() != io::ErrorKind::BrokenPipe => Err(CliError::File {
                act: "write to",
                path: "stdout".into(),
                source,
            }),
            _ => Ok(()),
        }
    }

    fn write_out(&mut self, text: &str) {
        if self.failed.is_some() {
            return;
        }
        let out = &mut self.out;
        self.failed = self.progress.aside(|| writeln!(out, "{text}")).err();
    }

    fn write_err(&mut self, text: &str) {
        let err = &mut self.err;
        // There is nowhere left to say that stderr is gone.
        let _ = self.progress.aside(|| writeln!(err, "{text}"));
    }
}

#[cfg(test)]
pub(crate) mod recorded {
    //! A [`Ui`] whose streams are memory.

    use std::{
        io::{self, Cursor, Write},
        sync::{Arc, Mutex},
    };

    use super::{Manner, Progress, Terminal, Ui};

    /// What was written to a stream.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(crate) fn text(&self) -> String {
            let bytes = self.0.lock().expect("no writer panicked");
            String::from_utf8(bytes.clone()).expect("UTF-8")
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("no writer panicked")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A Ui that reads `input`, with its stdout and stderr.
    pub(crate) fn ui(manner: Manner, terminal: Terminal, input: &str) -> (Ui, Written, Written) {
        let (out, err) = (Written::default(), Written::default());
        let ui = Ui {
            manner,
            terminal,
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            input: Some(Box::new(Cursor::new(input.to_owned()))),
            progress: Progress::default(),
            asking: false,
            listens: false,
            failed: None,
        };
        (ui, out, err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Told;

    fn told() -> CliError {
        CliError::Told(Told {
            id: "E-CODE".into(),
            message: "this invite was already used".into(),
            safe: Some("Your photos are safe; nothing was shared.".into()),
            hint: Some("ask for a new one: heirloom invite --person \u{1b}[1mGrandma".into()),
            exit: 8,
        })
    }

    #[test]
    fn an_error_says_what_happened_what_is_safe_and_what_to_do() {
        let (mut ui, out, err) = recorded::ui(Manner::default(), Terminal::default(), "");
        ui.error(&told());
        assert_eq!(out.text(), "");
        assert_eq!(
            err.text(),
            "error: this invite was already used\n  Your photos are safe; nothing was shared.\n\
             hint: ask for a new one: heirloom invite --person \\u{1b}[1mGrandma\n"
        );
    }

    #[test]
    fn an_error_is_one_line_for_a_program() {
        let manner = Manner {
            json: true,
            ..Manner::default()
        };
        let (mut ui, out, err) = recorded::ui(manner, Terminal::default(), "");
        ui.error(&told());
        assert_eq!(err.text(), "");
        let line: serde_json::Value = serde_json::from_str(&out.text()).expect("one object");
        assert_eq!(
            (line["type"].as_str(), line["v"].as_u64()),
            (Some("error"), Some(1))
        );
        assert_eq!(line["id"], "E-CODE");
        assert!(line.get("exit").is_none());
    }

    #[tokio::test]
    async fn only_a_yes_is_a_yes() {
        let at_terminal = Terminal {
            input: true,
            ..Terminal::default()
        };
        for (typed, want) in [
            ("y\n", true),
            ("Yes\n", true),
            ("n\n", false),
            ("\n", false),
            ("yess\n", false),
            ("", false),
        ] {
            let (mut ui, _, err) = recorded::ui(Manner::default(), at_terminal, typed);
            assert_eq!(ui.confirm("Really?").await.ok(), Some(want), "{typed}");
            let told = err.text();
            assert_eq!(told.trim_end_matches('\n'), "Really? [y/N] ");
        }
        // Through a pipe only once it is listened to, and its end is no answer.
        for (typed, want) in [("y\n", Ok(true)), ("n\n", Ok(false)), ("", Err(2))] {
            let (mut ui, ..) = recorded::ui(Manner::default(), Terminal::default(), typed);
            ui.listen();
            assert_eq!(ui.confirm("Really?").await.map_err(|e| e.exit()), want);
        }
        let (mut ui, ..) = recorded::ui(Manner::default(), Terminal::default(), "y\n");
        assert_eq!(ui.confirm("Really?").await.map_err(|e| e.exit()), Err(2));
        let yes = Manner {
            yes: true,
            ..Manner::default()
        };
        let (mut ui, _, err) = recorded::ui(yes, Terminal::default(), "");
        assert_eq!(ui.confirm("Really?").await.ok(), Some(true));
        assert_eq!(err.text(), "");
    }

    #[tokio::test]
    async fn lines_are_read_one_at_a_time() {
        let (mut ui, ..) = recorded::ui(Manner::default(), Terminal::default(), " one two \nthree");
        for line in [Some("one two"), Some("three"), None] {
            assert_eq!(ui.read_line().await.expect("memory").as_deref(), line);
        }
    }

    #[test]
    fn a_quiet_command_says_results_and_errors_only() {
        let manner = Manner {
            quiet: true,
            ..Manner::default()
        };
        let (mut ui, out, err) = recorded::ui(manner, Terminal::default(), "");
        ui.say("result");
        ui.note("note");
        ui.hint("hint");
        ui.warn("warning");
        assert_eq!(
            (out.text().as_str(), err.text().as_str()),
            ("result\n", "warning\n")
        );
    }

    #[test]
    fn a_reader_who_left_is_no_failure_but_a_full_disk_is() {
        struct Broken(io::ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (kind, want) in [
            (io::ErrorKind::BrokenPipe, None),
            (io::ErrorKind::StorageFull, Some("E-DISK-FULL")),
        ] {
            let (mut ui, ..) = recorded::ui(Manner::default(), Terminal::default(), "");
            ui.out = Box::new(Broken(kind));
            ui.say("result");
            assert!(ui.is_closed());
            assert_eq!(
                ui.finish().err().map(|e| e.id().to_owned()).as_deref(),
                want
            );
        }
    }
}
