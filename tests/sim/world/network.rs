//! The network of a world: calls, connections, frames under way, and what cuts them.

use super::*;

/// Connections.
impl World {
    pub(super) fn reaches(&self, a: usize, b: usize) -> bool {
        let near = self.groups[a] == self.groups[b];
        near && !self.seats[a].away && !self.seats[b].away && self.shows(a, b) && self.shows(b, a)
    }

    /// Whether a device that signs for two shows this face to another.
    fn shows(&self, at: usize, other: usize) -> bool {
        self.seats[at].face.is_none_or(|face| other % 2 == face)
    }

    fn is_deaf(&self, at: usize) -> bool {
        self.seats[at].deaf_until > self.now
    }

    pub(super) fn dial(&mut self, at: usize) {
        let me = self.seats[at].device.id;
        let others: Vec<usize> = (0..self.seats.len())
            .filter(|other| self.seats[*other].device.id != me && self.reaches(at, *other))
            .filter(|other| !self.is_deaf(at) && !self.is_deaf(*other))
            .filter(|other| {
                let (ours, theirs) = (&self.seats[at], &self.seats[*other]);
                !ours.lines.contains_key(&theirs.device.id)
                    && ours.device.admits(&theirs.device.id)
                    && theirs.device.admits(&me)
            })
            .collect();
        if let Some(other) = self.dice.pick(&others).copied() {
            self.connect(at, other);
        }
        let delay = self.dice.range(500, self.faults.dial_every);
        let life = self.seats[at].life;
        self.after(delay, Event::Dial(at, life));
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        self.planned += 1;
        let number = self.planned;
        let conn = Conn {
            ends: [a, b],
            flight: Default::default(),
            last: [0; 2],
            delay: self.faults.delay(&mut self.dice),
            dead: false,
        };
        self.conns.insert(number, conn);
        self.note(a, &format_args!("calls {}", self.seats[b].device.label));
        for (side, (at, other)) in [(a, b), (b, a)].into_iter().enumerate() {
            let peer = self.seats[other].device.id;
            // An older line to the same device, whose end was not noticed yet, gives way.
            if let Some(old) = self.seats[at].lines.remove(&peer) {
                self.cut(old.conn);
            }
            let line = Line {
                conn: number,
                side,
                asking: None,
                next_id: 0,
                stalled: false,
            };
            let now = self.moment(at);
            let seat = &mut self.seats[at];
            seat.lines.insert(peer, line);
            seat.device.close_session(&peer);
            seat.device.open_session(peer, now);
            seat.dirty.insert(peer);
        }
        self.note_forks_between(a, b);
        self.wake(a);
        self.wake(b);
        self.replay_something(number);
    }

    /// Puts a frame that one end once sent the other into their new connection.
    pub(super) fn replay_something(&mut self, conn: u64) {
        if !self.dice.permille(self.faults.replay) {
            return;
        }
        let Some(ends) = self.conns.get(&conn).map(|conn| conn.ends) else {
            return;
        };
        let [a, b] = ends.map(|at| self.seats[at].device.id);
        let of_these = self
            .recorded
            .iter()
            .filter(|(from, to, _)| (*from, *to) == (a, b));
        let frames: Vec<_> = of_these.map(|(_, _, frame)| frame.clone()).collect();
        if let Some(frame) = self.dice.pick(&frames).cloned() {
            self.counts.replays += 1;
            self.note(ends[0], &"an old frame comes again");
            self.fly(conn, 1, Wire::Frame(frame));
        }
    }

    /// Sends something to a peer.
    pub(crate) fn send(&mut self, at: usize, peer: DeviceId, wire: Wire) {
        let Some(line) = self.seats[at].lines.get(&peer) else {
            return;
        };
        let (conn, side) = (line.conn, line.side);
        if let Wire::Frame(frame) = &wire
            && self.faults.replay > 0
            && self.dice.permille(100)
        {
            let from = self.seats[at].device.id;
            self.recorded.push((from, peer, frame.clone()));
        }
        let is_cut = self.dice.permille(self.faults.cut);
        self.fly(conn, 1 - side, wire);
        if is_cut {
            self.note(at, &"the line breaks");
            self.cut(conn);
        }
    }

    pub(super) fn fly(&mut self, number: u64, to: usize, wire: Wire) {
        let jitter = self.faults.delay(&mut self.dice) / 4;
        let Some(again) = self.faults.sent_again(&mut self.dice) else {
            self.cut(number);
            return;
        };
        let Some(conn) = self.conns.get_mut(&number).filter(|conn| !conn.dead) else {
            return;
        };
        // What a deaf end does not hear is sent until it does.
        let hears = self.seats[conn.ends[to]].deaf_until;
        let arrives = (self.now + conn.delay + jitter + again)
            .max(conn.last[to])
            .max(hears);
        conn.last[to] = arrives;
        conn.flight[to].push_back(wire);
        self.at(arrives, Event::Deliver(number, to));
    }

    pub(super) fn deliver(&mut self, number: u64, side: usize) {
        let Some(conn) = self.conns.get_mut(&number) else {
            return;
        };
        let Some(wire) = conn.flight[side].pop_front() else {
            return;
        };
        let (at, from) = (conn.ends[side], conn.ends[1 - side]);
        let peer = self.seats[from].device.id;
        if matches!(wire, Wire::End) {
            self.lost(number, side);
        } else {
            self.seats[at]
                .inbox
                .push_back(Todo::Wire(number, peer, wire));
            self.wake(at);
        }
        let me = self.seats[at].device.id;
        if let Some(line) = self.seats[from].lines.get_mut(&me)
            && std::mem::take(&mut line.stalled)
        {
            self.seats[from].dirty.insert(me);
            self.wake(from);
        }
    }

    /// Breaks a connection; each end notices in its own time.
    pub(crate) fn cut(&mut self, number: u64) {
        let Some(conn) = self.conns.get_mut(&number).filter(|conn| !conn.dead) else {
            return;
        };
        conn.dead = true;
        conn.flight = Default::default();
        for side in 0..2 {
            let half_open = self.dice.permille(self.faults.half_open);
            let delay = if half_open { 40_000 } else { 1_000 };
            let delay = self.dice.range(0, delay);
            self.after(delay, Event::Lost(number, side));
        }
    }

    pub(super) fn lost(&mut self, number: u64, side: usize) {
        let Some(conn) = self.conns.get(&number) else {
            return;
        };
        let (at, other) = (conn.ends[side], conn.ends[1 - side]);
        let peer = self.seats[other].device.id;
        let line = self.seats[at].lines.get(&peer);
        if line.is_some_and(|line| line.conn == number) {
            self.seats[at].lines.remove(&peer);
            self.seats[at].device.close_session(&peer);
        }
    }

    /// Ends a connection in order.
    pub(crate) fn hang_up(&mut self, at: usize, peer: DeviceId) {
        if let Some(line) = self.seats[at].lines.remove(&peer) {
            self.fly(line.conn, 1 - line.side, Wire::End);
        }
        self.seats[at].device.close_session(&peer);
    }

    /// Cuts every line between devices that do not reach each other.
    pub(crate) fn cut_far_lines(&mut self) {
        let far: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| !conn.dead && !self.reaches(conn.ends[0], conn.ends[1]))
            .map(|(number, _)| *number)
            .collect();
        for number in far {
            self.cut(number);
        }
    }

    /// Ends the connections between devices that are both there twice.
    ///
    /// No device has two connections to one key. Two pairs of twins that met crosswise would say
    /// the same to each other for ever, and a connection does not last for ever.
    pub(crate) fn part_twins(&mut self) {
        let is_twin = |at: usize| {
            let id = self.seats[at].device.id;
            let same = self.seats.iter().filter(|seat| seat.device.is_on());
            same.filter(|seat| seat.device.id == id).count() > 1
        };
        let between = |conn: &Conn| !conn.dead && conn.ends.iter().all(|at| is_twin(*at));
        let twins = self.conns.iter().filter(|(_, conn)| between(conn));
        let twins: Vec<u64> = twins.map(|(number, _)| *number).collect();
        for number in twins {
            self.cut(number);
        }
    }

    /// Sends as a device does that means ill: holds back what it was asked for, or says it twice.
    pub(super) fn send_badly(&mut self, at: usize, peer: DeviceId, message: &Message) {
        let is_content = matches!(message, Message::Entries(_) | Message::Announce(_));
        if is_content && self.dice.permille(100) {
            return self.note(at, &"holds entries back");
        }
        let frame = message.to_frame();
        if self.dice.permille(50) {
            self.note(at, &"says something twice");
            self.send(at, peer, Wire::Frame(frame.clone()));
        }
        self.send(at, peer, Wire::Frame(frame));
    }

    /// Remembers of which forks two that meet hold a side each, to see that they find out.
    fn note_forks_between(&mut self, a: usize, b: usize) {
        let [left, right] = [a, b].map(|at| &self.seats[at].device);
        if left.bad || right.bad {
            return;
        }
        for log in self.ledger.forks_between(left, right) {
            self.contacts.entry((a.min(b), a.max(b), log)).or_insert(0);
        }
    }

    /// Two have come to rest with each other: by the second time they know of each fork between them.
    pub(super) fn met(&mut self, at: usize, peer: DeviceId) {
        let Some(line) = self.seats[at].lines.get(&peer) else {
            return;
        };
        let Some(conn) = self.conns.get(&line.conn) else {
            return;
        };
        let (a, b) = (
            conn.ends[0].min(conn.ends[1]),
            conn.ends[0].max(conn.ends[1]),
        );
        let [left, right] = [a, b].map(|at| &self.seats[at].device);
        if !left.is_on() || !right.is_on() {
            return;
        }
        let mut missed = None;
        self.contacts.retain(|(one, other, log), times| {
            if (*one, *other) != (a, b) {
                return true;
            }
            let know = left.knows_fork(log) && right.knows_fork(log);
            let misread = left.reads.errors + right.reads.errors > 0;
            if know
                || misread
                || !left.may_tell(right, &log.space)
                || !right.may_tell(left, &log.space)
            {
                return false;
            }
            // Each of the two comes to rest once in a round.
            *times += 1;
            if *times > 4 {
                missed = Some(*log);
            }
            true
        });
        if let Some(log) = missed {
            let (a, b) = (left.label.clone(), right.label.clone());
            self.fail(format!(
                "{a} and {b} met twice and missed the fork of {log:?}"
            ));
        }
    }

    pub(super) fn hear(&mut self, at: usize, peer: DeviceId, wire: Wire) {
        match wire {
            Wire::Frame(frame) => {
                let read = heirloom_frame(&frame);
                let input = read.map_or(Input::Malformed, Input::Message);
                self.feed(at, peer, input);
            }
            Wire::Ask(frame) => self.serve(at, peer, &frame),
            Wire::Answer(bytes) => self.answer(at, peer, &bytes),
            Wire::End => {}
        }
    }
}
