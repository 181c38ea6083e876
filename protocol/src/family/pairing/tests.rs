//! Whole pairings between an inviter and a joiner, with a hostile line between them.

mod hostile;

use super::message::{self, Ends, Handshake};
use super::*;
use crate::crypto::{DeviceKeys, RecoveryKit, SeededRng, SignSecret};
use crate::family::invite::{InviteRefusal, InviteSecret, InviteState, Role};
use crate::id::{DeviceId, PersonId};
use crate::limits::{INVITE_FAILURES, INVITE_SECONDS_DEFAULT, PAIRING_CHUNK_BYTES};
use crate::numbers::report;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const FAMILY: FamilyId = FamilyId([1; 32]);
const PERSON: PersonId = PersonId([2; 16]);
const NEW_PERSON: InviteFor = InviteFor::Person {
    person: PERSON,
    role: Role::Member,
};
const OWN_DEVICE: InviteFor = InviteFor::Device { person: PERSON };

fn secret() -> InviteSecret {
    InviteSecret::from_bytes([3; 16])
}

fn keys(n: u8) -> DeviceKeys {
    DeviceKeys::generate(&mut SeededRng::from_seed([n; 32]))
}

fn kit() -> RecoveryKit {
    RecoveryKit::generate(&mut SeededRng::from_seed([9; 32]))
}

fn offer(invite_for: InviteFor) -> Offer {
    Offer {
        family: FAMILY,
        invite_for,
        family_name: "The Smiths".to_owned(),
        inviter_name: "Anna".to_owned(),
        inviter_device: "laptop".to_owned(),
        person_name: "Grandma".to_owned(),
    }
}

fn acceptance(offer: &Offer) -> Acceptance {
    let new = matches!(offer.invite_for, InviteFor::Person { .. });
    Acceptance {
        device_name: "phone".to_owned(),
        person_name: new.then(|| "Ruth".to_owned()),
        kit: new.then(|| KitProof::make(&kit(), &FAMILY, &PERSON)),
    }
}

fn new_inviter(invite_for: InviteFor, guest: DeviceId, seed: u8) -> Inviter {
    let mut rng = SeededRng::from_seed([seed; 32]);
    Inviter::new(&secret(), &keys(1), guest, offer(invite_for), &mut rng).unwrap()
}

fn new_joiner(secret: &InviteSecret, seed: u8) -> Joiner {
    let mut rng = SeededRng::from_seed([seed; 32]);
    let inviter = keys(1).device_id();
    Joiner::new(secret, &keys(2), inviter, None, &mut rng)
}

/// What a person does when asked about the words.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Yes,
    No,
    Silence,
}

type Change = Box<dyn Fn(&mut Vec<u8>)>;

/// What the line does to one frame, counted from 0 over both directions.
enum Line {
    Clean,
    Change(usize, Change),
    Cut(usize),
}

struct Pairing {
    inviter: Inviter,
    joiner: Joiner,
    invite: InviteState,
    inviter_says: Answer,
    joiner_says: Answer,
    line: Line,
    payload: Vec<u8>,
    accept: fn(&Offer) -> Acceptance,
    lost: bool,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    frames: Vec<(Side, Vec<u8>)>,
    inviter_words: Option<[&'static str; 4]>,
    joiner_words: Option<[&'static str; 4]>,
    newcomer: Option<Newcomer>,
    admission: Option<Admission>,
    received: Vec<u8>,
    complete: bool,
    inviter_end: Option<Outcome>,
    joiner_end: Option<Outcome>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Side {
    Inviter,
    Joiner,
}

impl Pairing {
    fn new(invite_for: InviteFor) -> Self {
        let code = secret();
        Self {
            inviter: new_inviter(invite_for, code.guest().id(), 11),
            joiner: new_joiner(&code, 12),
            invite: InviteState::new(&code, invite_for, NOW, INVITE_SECONDS_DEFAULT),
            inviter_says: Answer::Yes,
            joiner_says: Answer::Yes,
            line: Line::Clean,
            payload: b"the family's control log".to_vec(),
            accept: acceptance,
            lost: false,
            seen: Seen::default(),
        }
    }

    fn over(mut self, line: Line) -> Self {
        self.line = line;
        self
    }

    fn answered(mut self, inviter: Answer, joiner: Answer) -> Self {
        self.inviter_says = inviter;
        self.joiner_says = joiner;
        self
    }

    /// Runs until nothing moves; then the connection ends and both sides hear of it.
    fn run(mut self) -> Self {
        while self.step_inviter() || self.step_joiner() {}
        self.lost = true;
        self.inviter.handle(InviterInput::Lost);
        self.joiner.handle(JoinerInput::Lost);
        while self.step_inviter() || self.step_joiner() {}
        self
    }

    /// Whether a frame arrives, and as what.
    fn carry(&mut self, from: Side, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        let index = self.seen.frames.len();
        assert!(frame.len() <= limits::PAIRING_MESSAGE_BYTES);
        match &self.line {
            Line::Change(at, change) if *at == index => change(&mut frame),
            Line::Cut(at) if *at == index => self.lost = true,
            _ => {}
        }
        self.seen.frames.push((from, frame.clone()));
        (!self.lost).then_some(frame)
    }

    fn step_inviter(&mut self) -> bool {
        let Some(output) = self.inviter.poll() else {
            return false;
        };
        assert!(self.seen.inviter_end.is_none(), "nothing follows the end");
        match output {
            InviterOutput::Send(frame) => {
                if let Some(frame) = self.carry(Side::Inviter, frame) {
                    self.joiner.handle(JoinerInput::Frame(frame));
                }
            }
            InviterOutput::Failed => self.invite.failed(),
            InviterOutput::Burn => self.invite.burn(),
            InviterOutput::Words { words, newcomer } => {
                self.seen.inviter_words = Some(words);
                self.seen.newcomer = Some(newcomer);
                match self.inviter_says {
                    Answer::Yes => self.inviter.handle(InviterInput::Approve),
                    Answer::No => self.inviter.handle(InviterInput::Refuse),
                    Answer::Silence => {}
                }
            }
            InviterOutput::Spend => match self.invite.redeem(NOW) {
                Ok(()) => self.inviter.handle(InviterInput::Spent),
                Err(_) => self.inviter.handle(InviterInput::Refuse),
            },
            InviterOutput::Admit(admission) => {
                assert_eq!(self.invite.admit(NOW), Err(InviteRefusal::Spent));
                self.seen.admission = Some(*admission);
                let payload = Payload::new(Zeroizing::new(self.payload.clone())).unwrap();
                self.inviter.handle(InviterInput::Admitted(payload));
            }
            InviterOutput::Closed(outcome) => self.seen.inviter_end = Some(outcome),
        }
        true
    }

    fn step_joiner(&mut self) -> bool {
        let Some(output) = self.joiner.poll() else {
            return false;
        };
        assert!(self.seen.joiner_end.is_none(), "nothing follows the end");
        match output {
            JoinerOutput::Send(frame) => {
                if let Some(frame) = self.carry(Side::Joiner, frame) {
                    self.inviter.handle(InviterInput::Frame(frame));
                }
            }
            JoinerOutput::Offered {
                offer,
                inviter_seal,
            } => {
                assert_eq!(inviter_seal, keys(1).seal_public());
                let acceptance = (self.accept)(&offer);
                self.joiner.accept(acceptance).unwrap();
            }
            JoinerOutput::Words(words) => {
                self.seen.joiner_words = Some(words);
                match self.joiner_says {
                    Answer::Yes => self.joiner.handle(JoinerInput::Approve),
                    Answer::No => self.joiner.handle(JoinerInput::Refuse),
                    Answer::Silence => {}
                }
            }
            JoinerOutput::Payload(bytes) => self.seen.received.extend_from_slice(&bytes),
            JoinerOutput::Complete => {
                self.seen.complete = true;
                self.joiner.handle(JoinerInput::Stored);
            }
            JoinerOutput::Closed(outcome) => self.seen.joiner_end = Some(outcome),
        }
        true
    }

    #[track_caller]
    fn ends(&self, inviter: Outcome, joiner: Outcome) {
        let ends = (self.seen.inviter_end, self.seen.joiner_end);
        assert_eq!(ends, (Some(inviter), Some(joiner)));
    }
}

fn whole(invite_for: InviteFor) -> Pairing {
    let pairing = Pairing::new(invite_for).run();
    pairing.ends(Outcome::Done, Outcome::Done);
    let seen = &pairing.seen;
    assert_eq!(seen.inviter_words, seen.joiner_words);
    assert!(seen.inviter_words.is_some() && seen.complete);
    assert_eq!(seen.received, pairing.payload);
    assert_eq!(pairing.invite.admit(NOW), Err(InviteRefusal::Spent));
    assert_eq!(pairing.invite.failures(), 0);
    pairing
}

#[test]
fn a_new_person_joins_with_a_kit() {
    let pairing = whole(NEW_PERSON);
    let admission = pairing.seen.admission.unwrap();
    assert_eq!(admission.invite_for, NEW_PERSON);
    assert_eq!(admission.newcomer.person_name.as_deref(), Some("Ruth"));
    assert_eq!(admission.newcomer.device_name, "phone");
    assert_eq!(pairing.seen.newcomer, Some(admission.newcomer.clone()));
    assert_eq!(admission.certificate.device, keys(2).device_id());
    assert_eq!(admission.certificate.seal, keys(2).seal_public());
    assert_eq!(admission.certificate.person, PERSON);
    let certificate = admission.certificate;
    assert_eq!(certificate.verify(&FAMILY, &admission.device_sig), Ok(()));
    let proof = admission.kit.unwrap();
    assert_eq!(proof.sign, kit().sign().id());
    assert_eq!(proof.verify(&FAMILY, &PERSON), Ok(()));
}

#[test]
fn a_further_device_of_a_person_joins_without_a_kit() {
    let admission = whole(OWN_DEVICE).seen.admission.unwrap();
    assert_eq!(admission.kit, None);
    assert_eq!(admission.newcomer.person_name, None);
    assert_eq!(admission.certificate.person, PERSON);
}

#[test]
fn a_keeper_joins_for_nobody() {
    let admission = whole(InviteFor::Keeper).seen.admission.unwrap();
    assert_eq!(admission.certificate.person, PersonId::ZERO);
    assert_eq!(
        admission.certificate.kind,
        crate::family::consent::DeviceKind::Keeper
    );
}

#[test]
fn a_payload_of_any_size_arrives_whole() {
    for size in [
        0,
        1,
        PAIRING_CHUNK_BYTES,
        PAIRING_CHUNK_BYTES + 1,
        5 * PAIRING_CHUNK_BYTES,
    ] {
        let mut pairing = Pairing::new(OWN_DEVICE);
        pairing.payload = vec![0x5a; size];
        let pairing = pairing.run();
        pairing.ends(Outcome::Done, Outcome::Done);
        assert!(pairing.seen.complete && pairing.seen.received == pairing.payload);
    }
    // Asked by length: wiping 64 MiB takes seconds in a test.
    assert!(Payload::fits(limits::PAIRING_PAYLOAD_BYTES));
    assert!(!Payload::fits(limits::PAIRING_PAYLOAD_BYTES + 1));
}

#[test]
fn an_offer_with_a_name_that_is_none_is_not_made() {
    let blank = Offer {
        family_name: "\t".to_owned(),
        ..offer(OWN_DEVICE)
    };
    let guest = secret().guest().id();
    let mut rng = SeededRng::from_seed([1; 32]);
    let inviter = Inviter::new(&secret(), &keys(1), guest, blank, &mut rng);
    assert_eq!(inviter.err(), Some(OfferError));
}

/// What somebody says first who takes this for the code.
///
/// All else is right: ids and keys are no secret to whoever is on the line.
fn guess(code: &InviteSecret) -> Vec<u8> {
    let ends = Ends {
        invite: secret().id(),
        joiner: secret().guest().id(),
        inviter: keys(1).device_id(),
    };
    let mut rng = SeededRng::from_seed([12; 32]);
    let side = message::Side::Joiner;
    let mut handshake = Handshake::new(side, code, &keys(2).seal, &ends, &mut rng);
    let first = handshake.write(&[]).ok().unwrap();
    [&ends.invite.0[..], &first].concat()
}

/// All that an inviter does about a first frame.
fn answers(inviter: &mut Inviter, frame: Vec<u8>) -> Vec<InviterOutput> {
    inviter.handle(InviterInput::Frame(frame));
    std::iter::from_fn(|| inviter.poll()).collect()
}

fn is_turned_away(answers: &[InviterOutput]) -> bool {
    use InviterOutput::{Closed, Failed};
    matches!(answers, [Failed, Closed(Outcome::Broken)])
}

#[test]
fn a_wrong_code_gets_no_answer_and_is_counted() {
    let mut pairing = Pairing::new(OWN_DEVICE);
    let frame = guess(&InviteSecret::from_bytes([4; 16]));
    assert_eq!(Inviter::invite_of(&frame), Some(secret().id()));
    pairing.inviter.handle(InviterInput::Frame(frame));
    while pairing.step_inviter() {}
    assert_eq!(pairing.seen.inviter_end, Some(Outcome::Broken));
    assert_eq!(pairing.invite.failures(), 1);
    assert!(pairing.seen.frames.is_empty(), "a stranger learns nothing");
}

#[test]
fn five_wrong_codes_burn_the_invite() {
    let mut invite = InviteState::new(&secret(), OWN_DEVICE, NOW, INVITE_SECONDS_DEFAULT);
    for number in 0..u8::try_from(INVITE_FAILURES).unwrap() {
        assert_eq!(invite.admit(NOW), Ok(()));
        let mut inviter = new_inviter(OWN_DEVICE, secret().guest().id(), number);
        let wrong = guess(&InviteSecret::from_bytes([100 + number; 16]));
        assert!(is_turned_away(&answers(&mut inviter, wrong)));
        invite.failed();
    }
    assert_eq!(invite.admit(NOW), Err(InviteRefusal::Burned));
    // One that was under way with the right code comes too late as well.
    let mut pairing = Pairing::new(OWN_DEVICE);
    pairing.invite = invite;
    let pairing = pairing.run();
    pairing.ends(Outcome::Withdrawn, Outcome::Refused);
    assert!(pairing.seen.admission.is_none());
}

#[test]
fn of_two_who_use_one_code_at_once_one_is_refused() {
    let first = Pairing::new(OWN_DEVICE).run();
    let mut second = Pairing::new(OWN_DEVICE);
    second.invite = first.invite;
    let second = second.run();
    second.ends(Outcome::Withdrawn, Outcome::Refused);
    assert!(second.seen.admission.is_none() && second.seen.received.is_empty());
}

#[test]
fn a_code_that_expires_during_the_pairing_admits_nobody() {
    let mut pairing = Pairing::new(OWN_DEVICE);
    let long_ago = Timestamp(NOW.0 - INVITE_SECONDS_DEFAULT * 1000);
    pairing.invite = InviteState::new(&secret(), OWN_DEVICE, long_ago, INVITE_SECONDS_DEFAULT);
    let pairing = pairing.run();
    pairing.ends(Outcome::Withdrawn, Outcome::Refused);
    assert!(pairing.seen.admission.is_none());
}

#[test]
fn another_outer_identity_does_not_pass_for_the_guest() {
    let stranger = SignSecret::from_bytes(&[5; 32]).id();
    let mut pairing = Pairing::new(OWN_DEVICE);
    pairing.inviter = new_inviter(OWN_DEVICE, stranger, 11);
    let pairing = pairing.run();
    pairing.ends(Outcome::Broken, Outcome::Lost);
    assert_eq!(pairing.invite.failures(), 1);

    // And a joiner that was sent to another inviter than it dialled.
    let mut pairing = Pairing::new(OWN_DEVICE);
    let mut rng = SeededRng::from_seed([12; 32]);
    pairing.joiner = Joiner::new(&secret(), &keys(2), stranger, None, &mut rng);
    pairing.run().ends(Outcome::Broken, Outcome::Lost);
}

#[test]
fn a_link_to_one_family_does_not_lead_into_another() {
    for (family, good) in [(FAMILY, true), (FamilyId([8; 32]), false)] {
        let mut pairing = Pairing::new(OWN_DEVICE);
        let space = Some(family.control_space());
        let mut rng = SeededRng::from_seed([12; 32]);
        let inviter = keys(1).device_id();
        pairing.joiner = Joiner::new(&secret(), &keys(2), inviter, space, &mut rng);
        let pairing = pairing.run();
        assert_eq!(pairing.seen.complete, good);
        assert_eq!(pairing.seen.joiner_end == Some(Outcome::Broken), !good);
    }
}

/// The frames of a whole pairing of a new person.
fn transcript() -> Vec<(Side, Vec<u8>)> {
    whole(NEW_PERSON).seen.frames
}

#[test]
fn the_conversation_has_the_documented_order() {
    use Side::{Inviter, Joiner};
    let frames = transcript();
    let order: Vec<_> = frames.iter().map(|(from, _)| *from).collect();
    assert_eq!(
        order,
        [
            Joiner, Inviter, Joiner, Inviter, Joiner, Joiner, Inviter, Inviter, Joiner
        ]
    );
    assert_eq!(frames[0].1.len(), 8 + 32 + 16);
}

/// After a change of this frame: what may still have happened.
fn check_damage(at: usize, change: impl Fn(&mut Vec<u8>) + 'static, what: &str) {
    let line = Line::Change(at, Box::new(change));
    let pairing = Pairing::new(NEW_PERSON).over(line).run();
    let seen = &pairing.seen;
    let (inviter, joiner) = (seen.inviter_end.unwrap(), seen.joiner_end.unwrap());
    match at {
        // The handshake and the nonces: nobody sees words, and it counts as a failure.
        0..=4 => {
            assert!(seen.inviter_words.is_none(), "{what}");
            assert!(seen.admission.is_none() && !seen.complete, "{what}");
            assert_eq!(pairing.invite.failures(), 1, "{what}");
            assert_eq!(pairing.invite.admit(NOW), Ok(()), "{what}");
            let ends = (inviter, joiner);
            let inviter_broke = ends == (Outcome::Broken, Outcome::Lost);
            let joiner_broke = ends == (Outcome::Lost, Outcome::Broken);
            // The joiner's last nonce is lost on the way: its person may have approved by then.
            let late = at == 4 && ends == (Outcome::Broken, Outcome::LostLate);
            assert!(late || inviter_broke || joiner_broke, "{what}: {ends:?}");
        }
        // The consent: nobody joins.
        5 => {
            assert!(seen.admission.is_none() && !seen.complete, "{what}");
            assert_eq!(pairing.invite.failures(), 1, "{what}");
            assert_eq!((inviter, joiner), (Outcome::Broken, Outcome::LostLate));
        }
        // The payload: the member is one, and knows that it may be.
        6 | 7 => {
            assert!(seen.admission.is_some() && !seen.complete, "{what}");
            assert!(seen.received.is_empty(), "{what}");
            assert_eq!((inviter, joiner), (Outcome::LostLate, Outcome::LostLate));
        }
        // The receipt.
        _ => {
            assert!(seen.admission.is_some() && seen.complete, "{what}");
            assert_eq!((inviter, joiner), (Outcome::LostLate, Outcome::Done));
        }
    }
}

#[test]
fn a_changed_byte_anywhere_in_the_conversation_is_found() {
    for (frame, (_, bytes)) in transcript().iter().enumerate() {
        for at in 0..bytes.len() {
            let flip = move |bytes: &mut Vec<u8>| bytes[at] ^= 1 << (at % 8);
            check_damage(frame, flip, &format!("frame {frame}, byte {at}"));
        }
    }
}

#[test]
fn cut_lengthened_empty_and_huge_frames_are_found() {
    for frame in 0..transcript().len() {
        let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
        check_damage(frame, cut, &format!("frame {frame} cut"));
        let longer = |bytes: &mut Vec<u8>| bytes.push(0);
        check_damage(frame, longer, &format!("frame {frame} longer"));
        check_damage(frame, Vec::clear, &format!("frame {frame} empty"));
        let huge = |bytes: &mut Vec<u8>| bytes.resize(70_000, 7);
        check_damage(frame, huge, &format!("frame {frame} huge"));
    }
}

#[test]
fn a_frame_of_another_pairing_or_place_is_found() {
    let frames = transcript();
    let mut other = Pairing::new(NEW_PERSON);
    other.joiner = new_joiner(&secret(), 77);
    let replayed = other.run().seen.frames;
    // The first frame of another joiner with the code is as good as this one's, but not the rest.
    for at in 1..frames.len() {
        let bytes = replayed[at].1.clone();
        let replay = move |frame: &mut Vec<u8>| *frame = bytes.clone();
        check_damage(at, replay, &format!("frame {at} replayed"));
        let bytes = frames[at - 1].1.clone();
        let repeat = move |frame: &mut Vec<u8>| *frame = bytes.clone();
        check_damage(at, repeat, &format!("frame {at} repeated"));
    }
}

#[test]
fn a_lost_connection_means_what_the_table_says() {
    use Outcome::{Done, Lost, LostLate};
    let cases = [
        // Frame that is lost, ends, failures, spent, member.
        (0, Lost, Lost, 0, false, false),
        (1, Lost, Lost, 1, false, false),
        (2, Lost, Lost, 1, false, false),
        (3, Lost, Lost, 1, false, false),
        (4, Lost, LostLate, 1, false, false),
        (5, Lost, LostLate, 0, false, false),
        (6, LostLate, LostLate, 0, true, true),
        (7, LostLate, LostLate, 0, true, true),
        (8, LostLate, Done, 0, true, true),
    ];
    for (at, inviter, joiner, failures, spent, member) in cases {
        let pairing = Pairing::new(NEW_PERSON).over(Line::Cut(at)).run();
        pairing.ends(inviter, joiner);
        assert_eq!(pairing.invite.failures(), failures, "{at}");
        let live = pairing.invite.admit(NOW) == Ok(());
        assert_eq!(live, !spent, "{at}");
        assert_eq!(pairing.seen.admission.is_some(), member, "{at}");
    }
}

#[test]
fn a_connection_lost_while_the_code_is_being_spent_admits_nobody() {
    let mut pairing = Pairing::new(OWN_DEVICE);
    loop {
        match pairing.inviter.poll() {
            Some(InviterOutput::Spend) => break,
            Some(InviterOutput::Send(frame)) => pairing.joiner.handle(JoinerInput::Frame(frame)),
            Some(InviterOutput::Words { .. }) => pairing.inviter.handle(InviterInput::Approve),
            Some(_) => panic!("not in a clean pairing"),
            None => assert!(pairing.step_joiner()),
        }
    }
    pairing.inviter.handle(InviterInput::Lost);
    pairing.inviter.handle(InviterInput::Spent);
    assert!(matches!(
        pairing.inviter.poll(),
        Some(InviterOutput::Closed(Outcome::Lost))
    ));
    assert!(pairing.inviter.poll().is_none());
}

#[test]
fn a_no_of_the_inviter_burns_the_code() {
    let pairing = Pairing::new(NEW_PERSON)
        .answered(Answer::No, Answer::Yes)
        .run();
    pairing.ends(Outcome::Withdrawn, Outcome::Refused);
    assert_eq!(pairing.invite.admit(NOW), Err(InviteRefusal::Burned));
    assert!(pairing.seen.admission.is_none());
}

#[test]
fn a_no_of_the_joiner_leaves_the_code_alive() {
    let pairing = Pairing::new(NEW_PERSON)
        .answered(Answer::Yes, Answer::No)
        .run();
    pairing.ends(Outcome::Refused, Outcome::Withdrawn);
    assert_eq!(pairing.invite.admit(NOW), Ok(()));
    assert!(pairing.seen.admission.is_none());
}

#[test]
fn nothing_is_spent_until_both_people_approved() {
    for (inviter, joiner) in [
        (Answer::Yes, Answer::Silence),
        (Answer::Silence, Answer::Yes),
        (Answer::Silence, Answer::Silence),
    ] {
        let pairing = Pairing::new(NEW_PERSON).answered(inviter, joiner).run();
        assert_eq!(pairing.seen.inviter_end, Some(Outcome::Lost));
        assert!(pairing.seen.admission.is_none());
        assert_eq!(pairing.invite.admit(NOW), Ok(()));
        assert_eq!(pairing.invite.failures(), 0);
    }
}

#[test]
fn inputs_out_of_turn_change_nothing() {
    let mut pairing = Pairing::new(NEW_PERSON);
    let early = Payload::new(Zeroizing::new(b"early".to_vec())).unwrap();
    pairing.inviter.handle(InviterInput::Approve);
    pairing.inviter.handle(InviterInput::Spent);
    pairing.inviter.handle(InviterInput::Admitted(early));
    pairing.joiner.handle(JoinerInput::Approve);
    pairing.joiner.handle(JoinerInput::Stored);
    assert_eq!(
        pairing.joiner.accept(acceptance(&offer(NEW_PERSON))),
        Err(AcceptError::NoOffer)
    );
    let pairing = pairing.answered(Answer::Silence, Answer::Yes).run();
    assert!(pairing.seen.inviter_words.is_some());
    assert!(pairing.seen.admission.is_none(), "an early yes is no yes");
}

#[test]
fn after_the_end_nothing_happens() {
    let mut pairing = whole(OWN_DEVICE);
    pairing.inviter.handle(InviterInput::Frame(vec![1; 100]));
    pairing.inviter.handle(InviterInput::Refuse);
    pairing.inviter.handle(InviterInput::Lost);
    pairing.joiner.handle(JoinerInput::Frame(vec![1; 100]));
    pairing.joiner.handle(JoinerInput::Refuse);
    pairing.joiner.handle(JoinerInput::Lost);
    assert!(pairing.inviter.poll().is_none() && pairing.joiner.poll().is_none());
}

#[test]
fn names_and_kits_that_do_not_fit_are_not_sent() {
    let mut pairing = Pairing::new(NEW_PERSON);
    while !matches!(pairing.joiner.poll(), Some(JoinerOutput::Offered { .. })) {
        let Some(InviterOutput::Send(frame)) = ({
            let first = new_joiner(&secret(), 12).poll();
            if let Some(JoinerOutput::Send(first)) = first {
                pairing.inviter.handle(InviterInput::Frame(first));
            }
            pairing.inviter.poll()
        }) else {
            panic!("the inviter answers");
        };
        pairing.joiner.handle(JoinerInput::Frame(frame));
    }
    let good = || acceptance(&offer(NEW_PERSON));
    let named = |name: &str| Acceptance {
        device_name: name.to_owned(),
        ..good()
    };
    let long = "x".repeat(limits::NAME_BYTES + 1);
    for name in ["", "  ", "a\u{7}b", "line\nbreak", &long] {
        assert_eq!(pairing.joiner.accept(named(name)), Err(AcceptError::Name));
    }
    let unnamed = Acceptance {
        person_name: None,
        ..good()
    };
    assert_eq!(pairing.joiner.accept(unnamed), Err(AcceptError::Name));
    let kit_of = |family, person| Some(KitProof::make(&kit(), &family, &person));
    for kit in [
        kit_of(FamilyId([0; 32]), PERSON),
        kit_of(FAMILY, PersonId([0; 16])),
    ] {
        let wrong = Acceptance { kit, ..good() };
        assert_eq!(pairing.joiner.accept(wrong), Err(AcceptError::Kit));
    }
    assert!(pairing.joiner.poll().is_none(), "nothing was sent");
    assert_eq!(pairing.joiner.accept(good()), Ok(()));
}

#[test]
fn two_pairings_show_different_words() {
    let mut seen = Vec::new();
    for seed in 0..50 {
        let mut pairing = Pairing::new(OWN_DEVICE);
        pairing.joiner = new_joiner(&secret(), seed);
        seen.push(pairing.run().seen.inviter_words.unwrap());
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 50);
}

#[test]
fn someone_between_two_people_who_knows_the_code_shows_different_words() {
    // The man in the middle pairs honestly with each side; what it cannot do is make the words agree.
    let victim_joiner = {
        let mut pairing = Pairing::new(OWN_DEVICE).answered(Answer::Silence, Answer::Silence);
        pairing.inviter = new_inviter(OWN_DEVICE, secret().guest().id(), 90);
        pairing.run().seen.joiner_words
    };
    let victim_inviter = {
        let mut pairing = Pairing::new(OWN_DEVICE).answered(Answer::Silence, Answer::Silence);
        pairing.joiner = new_joiner(&secret(), 91);
        pairing.run().seen.inviter_words
    };
    assert!(victim_joiner.is_some() && victim_inviter.is_some());
    assert_ne!(victim_joiner, victim_inviter);
}

#[test]
fn ten_thousand_wrong_codes_never_succeed() {
    const GUESSES: u32 = 10_000;
    let (code, keys) = (secret(), keys(1));
    let guest = code.guest().id();
    let inviter = || {
        let mut rng = SeededRng::from_seed([1; 32]);
        Inviter::new(&code, &keys, guest, offer(OWN_DEVICE), &mut rng).unwrap()
    };
    // What is wrong with the others is the code and nothing else.
    let right = answers(&mut inviter(), guess(&secret()));
    assert!(matches!(right[..], [InviterOutput::Send(_)]));
    let mut succeeded = 0_u32;
    for number in 0..GUESSES {
        let mut wrong = [0; 16];
        wrong.copy_from_slice(&blake3::hash(&number.to_le_bytes()).as_bytes()[..16]);
        // The first are one bit off.
        if number < 128 {
            wrong = [3; 16];
            wrong[usize::try_from(number / 8).unwrap()] ^= 1 << (number % 8);
        }
        let answers = answers(&mut inviter(), guess(&InviteSecret::from_bytes(wrong)));
        succeeded += u32::from(!is_turned_away(&answers));
    }
    assert_eq!(succeeded, 0);
    report(&format!(
        "{GUESSES} wrong codes, {succeeded} of them answered"
    ));
}
