//! Plays a story: types what it types, and holds what is shown against what it shows.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use crate::{
    device::{Heard, Neighbourhood, Terminal, furnish},
    story::{Piece, Story, Turn, pieces, words},
};

/// How long nothing may happen at all.
const PATIENCE: Duration = Duration::from_secs(120);
const CODE_PROMPT: &str = "Code: ";
const PAPER_PROMPT: &str = "The 24 words: ";
const ADDRESS_PROMPT: &str = "Address of a device elsewhere (";
/// Where the guide writes recovery words.
const PAPER: &str = "usb/words.txt";
const BOTH: &str = "Both screens show:  ";

/// A command that was begun.
struct Running {
    device: String,
    command: String,
    terminal: Terminal,
    /// The page shows nothing of it: questions are answered as a person would.
    is_bare: bool,
    exit: i32,
    is_done: bool,
}

impl Running {
    /// Runs beside others until it is stopped.
    fn is_node(&self) -> bool {
        self.command.starts_with("heirloom serve")
    }

    /// Waits for somebody else.
    fn is_invite(&self) -> bool {
        self.command.starts_with("heirloom invite")
    }
}

/// A story on its way.
pub(crate) struct Play {
    name: String,
    root: tempfile::TempDir,
    neighbourhood: Neighbourhood,
    homes: BTreeMap<String, PathBuf>,
    running: Vec<Running>,
    heard: Receiver<(usize, Heard)>,
    tell: Sender<(usize, Heard)>,
    /// What `[names]` stand for.
    known: BTreeMap<String, String>,
    /// The words that the two last screens showed, of a pairing that nobody watches.
    both: Vec<String>,
}

impl Play {
    pub(crate) fn new(name: &str, neighbourhood: Neighbourhood) -> Self {
        let (tell, heard) = channel();
        Self {
            name: name.to_owned(),
            root: tempfile::tempdir().expect("a folder"),
            neighbourhood,
            homes: BTreeMap::new(),
            running: Vec::new(),
            heard,
            tell,
            known: BTreeMap::new(),
            both: Vec::new(),
        }
    }

    /// Does what a page shows.
    pub(crate) fn act(&mut self, story: &Story) {
        for turn in &story.turns {
            let number = match &turn.command {
                Some(command) => self.begin(turn, command),
                None => self.on(&turn.device),
            };
            for (place, line) in turn.lines.iter().enumerate() {
                match line.as_str() {
                    "..." => self.skip(number, turn.lines.get(place + 1)),
                    line => self.show(number, line),
                }
            }
            if let Some(exit) = turn.exit {
                self.running[number].exit = exit;
            }
            let running = &self.running[number];
            if running.is_bare {
                self.settle(number);
            } else if turn.exit.is_some() {
                self.finish(number);
            }
        }
    }

    /// Lets everything end: commands by themselves, nodes when they are told to.
    pub(crate) fn end(mut self) {
        for number in 0..self.running.len() {
            if !self.running[number].is_node() {
                self.finish(number);
            }
        }
        for number in 0..self.running.len() {
            if self.running[number].is_node() && !self.running[number].is_done {
                self.running[number].terminal.terminate();
                self.wait_for_end(number);
                self.check_exit(number);
            }
        }
        for both in self.both.chunks(2) {
            assert_eq!(
                both.first(),
                both.last(),
                "{}: the screens differ",
                self.name
            );
        }
    }

    fn begin(&mut self, turn: &Turn, line: &str) -> usize {
        for number in 0..self.running.len() {
            let before = &self.running[number];
            if before.device == turn.device && !before.is_node() {
                self.finish(number);
            }
        }
        let home = self.home(&turn.device);
        let mut args: Vec<String> = words(&self.said(line));
        assert_eq!(args.remove(0), "heirloom", "{}: {line}", self.name);
        for arg in &mut args {
            // A disk that is plugged in is a folder of the device as well.
            let below = arg.strip_prefix("~/").or(arg.strip_prefix("/media/"));
            if let Some(rest) = below {
                *arg = home.join(rest).to_str().expect("UTF-8").to_owned();
            }
        }
        let number = self.running.len();
        let terminal = Terminal::open(&home, &args, number, self.tell.clone());
        self.running.push(Running {
            device: turn.device.clone(),
            command: line.to_owned(),
            terminal,
            is_bare: turn.lines.is_empty() && turn.exit.is_none(),
            exit: 0,
            is_done: false,
        });
        number
    }

    fn home(&mut self, device: &str) -> PathBuf {
        let is_first = self.homes.is_empty();
        let path = self.root.path().join(device);
        let known = self.homes.insert(device.to_owned(), path.clone()).is_some();
        if !known {
            furnish(&path, self.neighbourhood, is_first);
        }
        path
    }

    /// What was begun last on a device and goes on.
    fn on(&self, device: &str) -> usize {
        let found = self
            .running
            .iter()
            .rposition(|one| one.device == device && !one.is_done && !one.is_node());
        found.unwrap_or_else(|| panic!("{}: nothing goes on on {device}", self.name))
    }

    /// A line of the page with what its names stand for.
    fn said(&self, line: &str) -> String {
        let text = |piece: &Piece<'_>| match piece {
            Piece::Exactly(text) => (*text).to_owned(),
            Piece::Anything => panic!("{}: nobody can type {line}", self.name),
            Piece::Named(name) => match self.known.get(*name) {
                Some(known) => known.clone(),
                None => format!("[{name}]"),
            },
        };
        pieces(line).iter().map(text).collect()
    }

    /// Waits for one more piece of what any terminal shows.
    fn hear(&mut self, waiting: usize) {
        let Ok((number, heard)) = self.heard.recv_timeout(PATIENCE) else {
            self.fail(waiting, "nothing more is shown");
        };
        let running = &mut self.running[number];
        match heard {
            Heard::Text(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                running.terminal.shown.push_str(&text);
                running.terminal.unread.push_str(&text);
            }
            Heard::End => running.terminal.is_silent = true,
        }
        if running.is_bare {
            self.answer(number);
        }
    }

    /// Answers what a command asks that the page does not show.
    fn answer(&mut self, number: usize) {
        let home = &self.homes[&self.running[number].device];
        // Whose computer is new has the paper from elsewhere.
        let papers = std::iter::once(home).chain(self.homes.values());
        let paper = papers.map(|home| home.join(PAPER)).find(|at| at.exists());
        let terminal = &mut self.running[number].terminal;
        while let Some((line, rest)) = terminal.unread.split_once('\n') {
            if let Some(code) = line.strip_prefix("Link:  ") {
                self.known.insert("link".to_owned(), code.to_owned());
            }
            if let Some(address) = line.strip_prefix("Listening:  ") {
                self.known.insert("address".to_owned(), address.to_owned());
            }
            if let Some((_, both)) = line.split_once(BOTH) {
                self.both.push(both.to_owned());
            }
            terminal.unread = rest.to_owned();
        }
        let typed = match terminal.unread.as_str() {
            CODE_PROMPT => self.known.get("link").cloned(),
            PAPER_PROMPT => Some(
                fs::read_to_string(paper.expect("a paper"))
                    .expect("a paper")
                    .trim()
                    .to_owned(),
            ),
            // One address, and then no more.
            asked if asked.starts_with(ADDRESS_PROMPT) && asked.ends_with(": ") => {
                Some(self.known.remove("address").unwrap_or_default())
            }
            asked if asked.ends_with("[y/N] ") => Some("y".to_owned()),
            _ => None,
        };
        if let Some(typed) = typed {
            terminal.unread.clear();
            terminal.type_in(&typed);
        }
    }

    /// Lets a command of which the page shows nothing come as far as the next one needs it.
    fn settle(&mut self, number: usize) {
        let ready = match &self.running[number] {
            one if one.is_node() => "The node is running.\n",
            one if one.is_invite() => "Link:  ",
            _ => return self.finish(number),
        };
        while !self.running[number].terminal.shown.contains(ready) {
            if self.running[number].terminal.is_silent {
                self.fail(number, "it ended");
            }
            self.hear(number);
        }
    }

    fn wait_for_end(&mut self, number: usize) {
        while !self.running[number].terminal.is_silent {
            self.hear(number);
        }
    }

    fn finish(&mut self, number: usize) {
        if self.running[number].is_done {
            return;
        }
        self.wait_for_end(number);
        let running = &self.running[number];
        if !running.is_bare && !running.terminal.unread.is_empty() {
            self.fail(number, "more is shown than on the page");
        }
        self.check_exit(number);
    }

    fn check_exit(&mut self, number: usize) {
        let running = &mut self.running[number];
        running.is_done = true;
        let exit = running.terminal.exit();
        if exit != running.exit {
            self.fail(number, &format!("it ends with {exit}"));
        }
    }

    /// Holds one line of the page against what is shown next.
    fn show(&mut self, number: usize, line: &str) {
        loop {
            let unread = self.running[number].terminal.unread.clone();
            if let Some((shown, rest)) = unread.split_once('\n') {
                if !self.fits(line, shown) {
                    self.fail(
                        number,
                        &format!("the page has  {line}\nand shown is  {shown}"),
                    );
                }
                self.running[number].terminal.unread = rest.to_owned();
                return;
            }
            let is_prompt = unread.ends_with("] ") || unread.ends_with(": ");
            if let Some(typed) = line.strip_prefix(unread.as_str()).filter(|_| is_prompt) {
                let typed = self.said(typed);
                let terminal = &mut self.running[number].terminal;
                terminal.unread.clear();
                terminal.type_in(&typed);
                return;
            }
            if unread.ends_with("[y/N] ") {
                self.fail(
                    number,
                    &format!("the page has  {line}\nand asked is  {unread}"),
                );
            }
            if self.running[number].terminal.is_silent {
                self.fail(number, &format!("it ended, and the page has  {line}"));
            }
            self.hear(number);
        }
    }

    /// Passes over lines up to the one that the page has behind its dots, or to the end.
    fn skip(&mut self, number: usize, next: Option<&String>) {
        loop {
            let unread = self.running[number].terminal.unread.clone();
            match unread.split_once('\n') {
                Some((shown, _)) if next.is_some_and(|next| self.fits(next, shown)) => return,
                Some((_, rest)) => self.running[number].terminal.unread = rest.to_owned(),
                None if self.running[number].terminal.is_silent => {
                    if next.is_some() {
                        self.fail(number, "the line behind the dots never came");
                    }
                    return;
                }
                None => self.hear(number),
            }
        }
    }

    /// Whether a line is what the page has, and what its names stand for from then on.
    fn fits(&mut self, line: &str, shown: &str) -> bool {
        let mut known = self.known.clone();
        let fits = fit(&pieces(line), shown, &mut known);
        if fits {
            self.known = known;
        }
        fits
    }

    fn fail(&self, number: usize, why: &str) -> ! {
        let shown: Vec<String> = self
            .running
            .iter()
            .map(|one| format!("{}$ {}\n{}", one.device, one.command, one.terminal.shown))
            .collect();
        let one = &self.running[number];
        panic!(
            "{}: {}$ {}\n{why}\n\nAll that was shown:\n{}",
            self.name,
            one.device,
            one.command,
            shown.join("\n")
        );
    }
}

fn fit(pieces: &[Piece<'_>], shown: &str, known: &mut BTreeMap<String, String>) -> bool {
    let Some((first, rest)) = pieces.split_first() else {
        return shown.is_empty();
    };
    let name = match first {
        Piece::Exactly(text) => {
            return shown
                .strip_prefix(text)
                .is_some_and(|after| fit(rest, after, known));
        }
        Piece::Named(name) => match known.get(*name).cloned() {
            Some(text) => {
                return shown
                    .strip_prefix(text.as_str())
                    .is_some_and(|after| fit(rest, after, known));
            }
            None => Some(*name),
        },
        Piece::Anything => None,
    };
    // The shortest text after which the rest fits.
    let ends = shown.char_indices().map(|(at, c)| at + c.len_utf8());
    for end in ends {
        let mut then = known.clone();
        if let Some(name) = name {
            then.insert(name.to_owned(), shown[..end].to_owned());
        }
        if fit(rest, &shown[end..], &mut then) {
            *known = then;
            return true;
        }
    }
    false
}

#[test]
fn a_name_stands_for_the_same_text_everywhere() {
    let mut known = BTreeMap::new();
    assert!(fit(
        &pieces("Code:  [12 words]"),
        "Code:  orbit walnut",
        &mut known
    ));
    assert_eq!(known["12 words"], "orbit walnut");
    assert!(fit(
        &pieces("[12 words] [..]!"),
        "orbit walnut and more!",
        &mut known
    ));
    assert!(!fit(&pieces("[12 words]"), "orbit velvet", &mut known));
    assert!(!fit(&pieces("a"), "ab", &mut known));
}
