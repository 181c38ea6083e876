//! Joining: by the real pairing machines over a line that may break, or by the ops they lead to.

use std::sync::Arc;

use heirloom_protocol::{
    crypto::{DeviceKeys, RecoveryKit, SeededRng},
    family::{
        invite::{InviteFor, InviteSecret},
        pairing::{
            Acceptance, Admission, Inviter, InviterInput, InviterOutput, Joiner, JoinerInput,
            JoinerOutput, Newcomer, Offer, Payload,
        },
    },
    id::{PersonId, SpaceId},
    log::entry::EntryBytes,
    op::{AddDevice, AddPerson, AlbumUse, KitProof, Level, Op, Role, Subject},
    replica::{found, sign_device},
};

use crate::{
    device::Device,
    dice::Dice,
    faults::Sabotage,
    story::{Draft, Said, skew},
    world::{Seat, Then, World},
};

/// Who joins.
#[derive(Clone, Copy)]
pub(crate) enum Joins {
    Person(PersonId, Role),
    Device(PersonId),
    Keeper,
}

impl Joins {
    fn invite(self) -> InviteFor {
        match self {
            Self::Person(person, role) => InviteFor::Person { person, role },
            Self::Device(person) => InviteFor::Device { person },
            Self::Keeper => InviteFor::Keeper,
        }
    }

    fn person(self) -> Option<PersonId> {
        match self {
            Self::Person(person, _) | Self::Device(person) => Some(person),
            Self::Keeper => None,
        }
    }
}

fn generate(dice: &mut Dice) -> Arc<DeviceKeys> {
    let mut rng = SeededRng::from_seed(dice.seed());
    Arc::new(DeviceKeys::generate(&mut rng))
}

impl World {
    /// The first device of a family, with its library and the family's album.
    pub(crate) fn found(&mut self) {
        let keys = generate(&mut self.dice);
        let mut rng = SeededRng::from_seed(self.dice.seed());
        let kit = RecoveryKit::generate(&mut rng);
        let kit = heirloom_protocol::op::KitPublic {
            sign: kit.sign().id(),
            seal: kit.seal().public(),
        };
        let with_kit = self.dice.coin();
        let when = heirloom_protocol::time::Timestamp(1_700_000_000_000);
        let founded = found(&keys, with_kit.then_some(kit), when, &mut rng);
        let person = founded.genesis.person;
        let founding = (founded.family, founded.genesis);
        let device = Device::new("a".into(), keys, Some(person), founding, &mut self.dice);
        let at = self.arrive(device);
        let names = [
            (Subject::Family, "Berger"),
            (Subject::Person(person), "Anna"),
        ];
        let now = self.moment(at);
        let device = &mut self.seats[at].device;
        let stage = device.say(now, |replica, now, rng| {
            replica.record_founding(&names, now, rng)
        });
        self.finish(at, stage.expect("a family can be founded"), Then::Ack);
        for (name, purpose) in [("library", AlbumUse::Library), ("Family", AlbumUse::Family)] {
            self.say_now(at, Said::NewAlbum(name.into(), purpose));
        }
    }

    fn arrive(&mut self, mut device: Device) -> usize {
        let off = if self.dice.permille(self.faults.skew) {
            skew(&mut self.dice)
        } else {
            0
        };
        if device.person.is_none() {
            self.ledger.keepers.insert(device.id);
        }
        let number = self.seats.len();
        device.leaks = self.sabotage == Some(Sabotage::OpenGate) && number == 0;
        device.lazy = self.sabotage == Some(Sabotage::Lazy) && number == 1;
        device.blind = self.sabotage == Some(Sabotage::Blind) && number == 1;
        device.careless = self.sabotage == Some(Sabotage::Careless) && number == 1;
        let now = self.moment_at(off);
        let started = device.start(now);
        let at = self.settle_in(Seat::new(device, off));
        if let Err(what) = started {
            self.fail(what);
        }
        at
    }

    /// Says something and has it durable at once.
    pub(crate) fn say_now(&mut self, at: usize, said: Said) {
        if !self.seats[at].is_idle() {
            return;
        }
        self.speak(at, &Draft::new(said));
        self.finish_now(at);
    }

    /// Somebody joins, invited on a device that is idle.
    pub(crate) fn join(&mut self, at: usize, joins: Joins) {
        if !self.seats[at].is_idle() || !self.seats[at].device.is_member() {
            return;
        }
        if self.seats[at].device.person.is_none() || !self.seats[at].device.is_whole() {
            return;
        }
        if self.habits.pairing && self.dice.coin() {
            self.pair(at, joins);
        } else {
            self.admit_plainly(at, joins);
        }
        self.wake(at);
    }

    fn admit_plainly(&mut self, at: usize, joins: Joins) {
        let keys = generate(&mut self.dice);
        let invite = joins.invite();
        let (family, _) = self.seats[at].device.founding();
        let add = sign_device(&keys, family, invite.person(), invite.kind());
        let admission = (invite, add, None, None);
        if self.admit(at, admission) {
            let payload = self.payload(at);
            self.take_in(at, joins, keys, payload);
        }
    }

    /// Writes a newcomer into the family, with albums and keys, as the node does.
    fn admit(
        &mut self,
        at: usize,
        (invite, add, kit, newcomer): (InviteFor, AddDevice, Option<KitProof>, Option<&Newcomer>),
    ) -> bool {
        let mut ops = Vec::new();
        if let InviteFor::Person { person, role } = invite {
            ops.push(Op::AddPerson(AddPerson { person, role, kit }));
        }
        ops.push(Op::AddDevice(add.clone()));
        self.say_now(at, Said::Control(ops));
        if !self.seats[at].device.admits(&add.device) {
            // Whoever may not invite has written something that does not count.
            return false;
        }
        if let Some(newcomer) = newcomer {
            let name = newcomer.device_name.clone();
            self.say_now(at, Said::Name(Subject::Device(add.device), name));
        }
        if let InviteFor::Person { person, role } = invite {
            self.share_with_newcomer(at, person, role);
        }
        self.say_now(at, Said::Tend);
        true
    }

    fn share_with_newcomer(&mut self, at: usize, person: PersonId, role: Role) {
        let replica = self.seats[at].device.replica();
        let spaces: Vec<SpaceId> = replica.albums().map(|(space, _)| *space).collect();
        for space in spaces {
            let level = match role {
                Role::Admin => Level::Manager,
                Role::Member => Level::Contributor,
                Role::Viewer => Level::Viewer,
            };
            if self.seats[at].device.level(&space) == Level::Manager && self.dice.permille(600) {
                self.say_now(at, Said::Access(space, person, level));
            }
        }
    }

    /// The control entries that a newcomer is handed, each after what it names.
    pub(crate) fn payload(&self, at: usize) -> Vec<EntryBytes> {
        let device = &self.seats[at].device;
        let entries = device.replica().control().entries();
        let records = entries.filter_map(|id| device.disk.by_id(&id));
        records.map(|record| record.entry.bytes().clone()).collect()
    }

    fn take_in(
        &mut self,
        by: usize,
        joins: Joins,
        keys: Arc<DeviceKeys>,
        payload: Vec<EntryBytes>,
    ) {
        let number = u8::try_from(self.seats.len()).expect("few devices");
        let label = char::from(b'a' + number).to_string();
        let founding = self.seats[by].device.founding();
        let inviter = self.seats[by].device.id;
        let device = Device::new(label, keys, joins.person(), founding, &mut self.dice);
        let at = self.arrive(device);
        let now = self.moment(at);
        for entries in payload.chunks(256) {
            let device = &mut self.seats[at].device;
            let (stage, verdicts) = device.take(inviter, entries.to_vec(), &mut self.verified, now);
            self.finish(at, stage, Then::Nothing);
            let fine = |verdict: &heirloom_protocol::sync::session::Verdict| {
                matches!(
                    verdict,
                    heirloom_protocol::sync::session::Verdict::Accepted(_)
                )
            };
            if !verdicts.iter().all(fine) {
                self.fail(format!(
                    "a newcomer is handed what it does not take: {verdicts:?}"
                ));
            }
        }
        self.note(at, &"joins");
        if !self.seats[at].device.is_member() {
            self.fail("a newcomer that was let in does not find itself in the family");
        }
        if let Joins::Person(..) = joins {
            self.say_now(at, Said::NewAlbum("library".into(), AlbumUse::Library));
        }
        self.wake(at);
    }

    /// A whole pairing over a line that may break at any frame.
    fn pair(&mut self, at: usize, joins: Joins) {
        let keys = generate(&mut self.dice);
        let mut rng = SeededRng::from_seed(self.dice.seed());
        let secret = InviteSecret::generate(&mut rng);
        let invite_for = joins.invite();
        let (family, _) = self.seats[at].device.founding();
        let offer = Offer {
            family,
            invite_for,
            family_name: "Berger".into(),
            inviter_name: "Anna".into(),
            inviter_device: "laptop".into(),
            person_name: "Grandma".into(),
        };
        let own = self.seats[at].device.keys().clone();
        let guest = secret.guest().id();
        let mut inviter =
            Inviter::new(&secret, &own, guest, offer, &mut rng).expect("the names are names");
        let mut joiner = Joiner::new(&secret, &keys, own.device_id(), None, &mut rng);
        let breaks = if self.faults.cut > 0 && self.dice.coin() {
            self.dice.below(12)
        } else {
            u64::MAX
        };
        let (mut frames, mut admitted, mut stored) = (0, false, false);
        let mut kit = self.dice.coin().then(|| RecoveryKit::generate(&mut rng));
        loop {
            let mut moved = false;
            while let Some(output) = joiner.poll() {
                moved = true;
                match output {
                    JoinerOutput::Send(frame) if frames < breaks => {
                        frames += 1;
                        inviter.handle(InviterInput::Frame(frame));
                    }
                    JoinerOutput::Send(_) => {
                        inviter.handle(InviterInput::Lost);
                        joiner.handle(JoinerInput::Lost);
                    }
                    JoinerOutput::Offered { offer, .. } => {
                        let accepted = joiner.accept(acceptance(&offer, kit.take().as_ref()));
                        accepted.expect("an honest offer can be accepted");
                    }
                    JoinerOutput::Words(_) => joiner.handle(JoinerInput::Approve),
                    JoinerOutput::Complete => {
                        stored = true;
                        joiner.handle(JoinerInput::Stored);
                    }
                    JoinerOutput::Payload(_) | JoinerOutput::Closed(_) => {}
                }
            }
            while let Some(output) = inviter.poll() {
                moved = true;
                match output {
                    InviterOutput::Send(frame) if frames < breaks => {
                        frames += 1;
                        joiner.handle(JoinerInput::Frame(frame));
                    }
                    InviterOutput::Send(_) => {
                        inviter.handle(InviterInput::Lost);
                        joiner.handle(JoinerInput::Lost);
                    }
                    InviterOutput::Words { .. } => inviter.handle(InviterInput::Approve),
                    InviterOutput::Spend => inviter.handle(InviterInput::Spent),
                    InviterOutput::Admit(admission) => {
                        admitted = self.admit_paired(at, &admission);
                        if admitted {
                            let payload = Payload::new(vec![7; 1000].into()).expect("small");
                            inviter.handle(InviterInput::Admitted(payload));
                        } else {
                            inviter.handle(InviterInput::Refuse);
                        }
                    }
                    InviterOutput::Failed | InviterOutput::Burn | InviterOutput::Closed(_) => {}
                }
            }
            if !moved {
                break;
            }
        }
        self.note(
            at,
            &format_args!("paired: admitted {admitted}, stored {stored}"),
        );
        // Whoever may have been let in asks again with its own keys, and is handed the same.
        if admitted {
            let payload = self.payload(at);
            self.take_in(at, joins, keys, payload);
        } else if stored {
            self.fail("a newcomer was handed the family and not let in");
        }
    }

    fn admit_paired(&mut self, at: usize, admission: &Admission) -> bool {
        let certificate = admission.certificate;
        let add = AddDevice {
            person: certificate.person,
            device: certificate.device,
            seal: certificate.seal,
            kind: certificate.kind,
            device_sig: admission.device_sig,
        };
        let kit = admission.kit;
        self.admit(
            at,
            (admission.invite_for, add, kit, Some(&admission.newcomer)),
        )
    }
}

fn acceptance(offer: &Offer, kit: Option<&RecoveryKit>) -> Acceptance {
    let person = match offer.invite_for {
        InviteFor::Person { person, .. } => Some(person),
        InviteFor::Device { .. } | InviteFor::Keeper => None,
    };
    Acceptance {
        device_name: "phone".into(),
        person_name: person.map(|_| "Ruth".into()),
        kit: person
            .zip(kit)
            .map(|(person, kit)| KitProof::make(kit, &offer.family, &person)),
    }
}
