//! What goes wrong in a world, and how often; and what is wrong with the world itself.

use crate::{dice::Dice, story::Habits};

/// Deliberate faults of the world itself: a check that never finds one of these is no check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sabotage {
    /// Tells people and peers that something is durable before it is.
    AckEarly,
    /// One device loses an entry that it said it had.
    LoseEntry,
    /// A device that lost access has the keys of one that has not.
    StolenKey,
    /// One device tells every peer of every album.
    OpenGate,
    /// An entry is committed before its blobs.
    BlobLate,
    /// One device does not project anew what changed.
    Lazy,
    /// One device never says a word.
    Mute,
    /// A full disk, and the device says that it wrote.
    AckFull,
    /// One device takes no second branch of a log.
    Blind,
    /// One device writes no record again that rotted.
    Careless,
    /// A device writes on in a log that forked.
    Stays,
    /// Nobody vouches for what others wrote.
    NoWitness,
    /// Rights are taken away in a family that says it is calm.
    Unjust,
    /// One device sees in an entry what is not there.
    Biased,
    /// What a restored device had said before is nowhere else either.
    Thorough,
}

impl Sabotage {
    /// Sees to it that a family lives in which it can show: nothing else goes wrong, and it could hurt.
    pub(crate) fn set_the_scene(self, faults: &mut Faults, habits: &mut Habits) {
        let crash = if self == Self::AckEarly { 100 } else { 0 };
        let forks = matches!(self, Self::Blind | Self::Stays | Self::NoWitness);
        let rate = |is_on: bool, rate: u64| if is_on { rate } else { 0 };
        *faults = Faults {
            crash,
            slow_disk: crash,
            full: rate(self == Self::AckFull, 100),
            copy: rate(forks, 60),
            restore: rate(self == Self::Thorough, 60),
            rot_entry: rate(self == Self::Careless, 200),
            ..Faults::none()
        };
        *habits = Habits {
            edits: true,
            albums: true,
            share: true,
            unshare: matches!(self, Self::Lazy | Self::Unjust),
            remove_device: matches!(self, Self::StolenKey | Self::Unjust),
            devices: 4,
            feigned: self == Self::Unjust,
            ..Habits::default()
        };
    }
}

/// What goes wrong, and how often, in thousandths of steps, commits, frames or whatever it befalls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) cut: u64,
    pub(crate) half_open: u64,
    pub(crate) slow: u64,
    pub(crate) loss: u64,
    pub(crate) replay: u64,
    pub(crate) disk_error: u64,
    pub(crate) read_error: u64,
    pub(crate) slow_disk: u64,
    pub(crate) full: u64,
    pub(crate) crash: u64,
    pub(crate) partition: u64,
    pub(crate) rot: u64,
    pub(crate) rot_entry: u64,
    pub(crate) away: u64,
    pub(crate) month: u64,
    pub(crate) skew: u64,
    pub(crate) jump: u64,
    pub(crate) restore: u64,
    pub(crate) copy: u64,
    pub(crate) byzantine: u64,
    pub(crate) churn: u64,
    pub(crate) dial_every: u64,
}

impl Faults {
    /// A random half of all that can go wrong, each as often as the dice say.
    pub(crate) fn roll(dice: &mut Dice) -> Self {
        let mut some = |most: u64| if dice.coin() { 1 + dice.below(most) } else { 0 };
        Self {
            cut: some(30),
            half_open: some(300),
            slow: some(1000),
            loss: some(300),
            replay: some(500),
            disk_error: some(60),
            read_error: some(100),
            slow_disk: some(200),
            full: some(30),
            crash: some(60),
            partition: some(40),
            rot: some(300),
            rot_entry: some(60),
            away: some(30),
            month: some(15),
            skew: some(600),
            jump: some(30),
            restore: some(30),
            copy: some(15),
            byzantine: some(30),
            churn: some(25),
            dial_every: 8_000,
        }
    }

    /// A world in which nothing goes wrong.
    pub(crate) fn none() -> Self {
        Self {
            dial_every: 1_500,
            ..Self::default()
        }
    }

    /// How long something travels.
    pub(crate) fn delay(&self, dice: &mut Dice) -> u64 {
        if self.slow > 0 && dice.permille(self.slow) {
            dice.range(100, 5_000)
        } else {
            dice.range(1, 40)
        }
    }

    /// How long a frame is held up by loss, as TCP sends again; `None` when it gives up.
    pub(crate) fn sent_again(&self, dice: &mut Dice) -> Option<u64> {
        let (mut wait, mut timeout) = (0, 200);
        while self.loss > 0 && dice.permille(self.loss) {
            wait += timeout;
            timeout *= 2;
            if wait > 20_000 {
                return None;
            }
        }
        Some(wait)
    }
}
