//! A story: Markdown in which blocks of `console` are transcripts.
//!
//! - `NAME$ heirloom ...` is typed on the device NAME. What stands below, up to
//!   the next command, is what the terminal shows, stdout and stderr as they come.
//! - A command with nothing below it is only asked to succeed; questions that
//!   such a one asks are answered as a person would.
//! - What follows a prompt on its line is what the person types.
//! - ```` ```console NAME ```` goes on with what runs on NAME.
//! - `[some words]` stands for any text; where it stands again, it stands for
//!   the same. `[..]` is any text, `...` any lines.
//! - `? 5` at the end: the command ends with exit code 5 instead of 0.

/// One thing that happens on one device.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) device: String,
    /// What is typed at the prompt of the shell; `None` goes on with what runs.
    pub(crate) command: Option<String>,
    /// What is shown and typed from then on.
    pub(crate) lines: Vec<String>,
    /// The exit code, where the page says one.
    pub(crate) exit: Option<i32>,
}

/// A page, as what happens in it.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) turns: Vec<Turn>,
}

impl Story {
    pub(crate) fn parse(text: &str) -> Self {
        let mut turns: Vec<Turn> = Vec::new();
        let mut inside = false;
        for line in text.lines() {
            match line.strip_prefix("```") {
                Some(_) if inside => inside = false,
                Some(info) => {
                    let mut words = info.split(' ');
                    inside = words.next() == Some("console");
                    if let Some(device) = words.next().filter(|_| inside) {
                        turns.push(Turn::of(device, None));
                    }
                }
                None if inside => take(&mut turns, line),
                None => {}
            }
        }
        Self { turns }
    }
}

impl Turn {
    fn of(device: &str, command: Option<&str>) -> Self {
        Self {
            device: device.to_owned(),
            command: command.map(str::to_owned),
            lines: Vec::new(),
            exit: None,
        }
    }
}

fn take(turns: &mut Vec<Turn>, line: &str) {
    if let Some((device, command)) = prompt(line) {
        turns.push(Turn::of(device, Some(command)));
        return;
    }
    let turn = turns.last_mut().expect("a block begins with a command");
    match line.strip_prefix("? ") {
        Some(code) => turn.exit = Some(code.parse().expect("an exit code")),
        None => turn.lines.push(line.to_owned()),
    }
}

fn prompt(line: &str) -> Option<(&str, &str)> {
    let (device, command) = line.split_once("$ ")?;
    let is_name = device
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    (is_name && !device.is_empty()).then_some((device, command))
}

/// The words of a command line, quotes taken away.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "a quote is open: {line}");
    words.extend(word);
    words
}

/// A piece of a line that a page shows.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Piece<'a> {
    Exactly(&'a str),
    Anything,
    Named(&'a str),
}

/// Takes a line apart.
pub(crate) fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = line;
    let mut from = 0;
    while let Some(open) = rest[from..].find('[').map(|at| at + from) {
        let close = rest[open..].find(']').map(|at| at + open);
        let inside = close.map(|close| &rest[open + 1..close]);
        let piece = match inside {
            Some("..") => Piece::Anything,
            Some(name) if is_name(name) => Piece::Named(name),
            _ => {
                from = open + 1;
                continue;
            }
        };
        if open > 0 {
            found.push(Piece::Exactly(&rest[..open]));
        }
        found.push(piece);
        rest = &rest[close.map_or(rest.len(), |close| close + 1)..];
        from = 0;
    }
    if !rest.is_empty() {
        found.push(Piece::Exactly(rest));
    }
    found
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    !text.is_empty()
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b' ')
}

#[test]
fn a_page_is_read_as_what_happens_in_it() {
    let page = "text\n```console\npi$ heirloom list\n[id]  a [y/N] y\n? 4\nben$ heirloom \"x y\" z\n```\n```sh\nno$ x\n```\n```console pi\nend\n```\n";
    let story = Story::parse(page);
    let short: Vec<_> = story
        .turns
        .iter()
        .map(|turn| {
            (
                turn.device.as_str(),
                turn.command.as_deref(),
                turn.lines.len(),
                turn.exit,
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            ("pi", Some("heirloom list"), 1, Some(4)),
            ("ben", Some("heirloom \"x y\" z"), 0, None),
            ("pi", None, 1, None),
        ]
    );
    assert_eq!(words("heirloom \"x y\" z"), ["heirloom", "x y", "z"]);
    assert_eq!(
        pieces("[id]  a [y/N] [..]"),
        [
            Piece::Named("id"),
            Piece::Exactly("  a [y/N] "),
            Piece::Anything
        ]
    );
}
