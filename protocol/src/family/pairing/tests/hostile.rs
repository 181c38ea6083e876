//! Two hostile ends: each side of the handshake in hand, to send whatever fits the keys.

use super::super::message::{
    self, Channel, Consent, Ends, Handshake, Heard, Message, Side as End, commitment,
};
use super::*;
use crate::crypto::{SignKind, sign::sign};
use crate::family::consent::{Certificate, DeviceKind};

fn ends() -> Ends {
    Ends {
        invite: secret().id(),
        joiner: secret().guest().id(),
        inviter: keys(1).device_id(),
    }
}

fn handshake(end: End) -> Handshake {
    let keys = match end {
        End::Inviter => keys(1),
        End::Joiner => keys(2),
    };
    let mut rng = SeededRng::from_seed([21; 32]);
    Handshake::new(end, &secret(), &keys.seal, &ends(), &mut rng)
}

fn sent(inviter: &mut Inviter) -> Vec<u8> {
    match inviter.poll() {
        Some(InviterOutput::Send(frame)) => frame,
        _ => panic!("the inviter says something"),
    }
}

fn newcomer() -> Newcomer {
    Newcomer {
        device: keys(2).device_id(),
        device_name: "phone".to_owned(),
        person_name: Some("Ruth".to_owned()),
    }
}

/// Joins with the code as far as the inviter's nonce.
fn join(newcomer: &Newcomer, bound: [u8; 32]) -> (Inviter, Option<(Channel, [u8; 32])>) {
    let mut inviter = new_inviter(NEW_PERSON, secret().guest().id(), 11);
    let mut handshake = handshake(End::Joiner);
    let first = handshake.write(&[]).ok().unwrap();
    let frame = [&secret().id().0[..], &first].concat();
    inviter.handle(InviterInput::Frame(frame));
    let answer = sent(&mut inviter);
    let read = handshake.read_value::<(Offer, [u8; 32])>(&answer);
    let (offer, inviter_bound) = read.ok().unwrap();
    assert_eq!(offer, super::offer(NEW_PERSON));
    let third = handshake.write_value(&(newcomer, bound)).ok().unwrap();
    inviter.handle(InviterInput::Frame(third));
    let (mut channel, hash) = handshake.finish();
    let Some(InviterOutput::Send(frame)) = inviter.poll() else {
        return (inviter, None);
    };
    let Ok(Heard::Message(Message::Reveal(nonce))) = channel.open(&frame) else {
        panic!("the inviter reveals its nonce");
    };
    assert_eq!(commitment(End::Inviter, &nonce), inviter_bound);
    (inviter, Some((channel, hash)))
}

fn say(inviter: &mut Inviter, channel: &mut Channel, message: &Message) {
    let frame = channel.seal(message).ok().unwrap();
    inviter.handle(InviterInput::Frame(frame));
}

fn is_broken(inviter: &mut Inviter) -> bool {
    let mut last = None;
    while let Some(output) = inviter.poll() {
        assert!(!matches!(
            output,
            InviterOutput::Spend | InviterOutput::Admit(_)
        ));
        last = Some(output);
    }
    matches!(last, Some(InviterOutput::Closed(Outcome::Broken)))
}

#[test]
fn a_joiner_cannot_choose_its_nonce_after_seeing_the_inviters() {
    let bound = commitment(End::Joiner, &[1; 32]);
    let (mut inviter, talk) = join(&newcomer(), bound);
    let (mut channel, _) = talk.unwrap();
    say(&mut inviter, &mut channel, &Message::Reveal([2; 32]));
    assert!(is_broken(&mut inviter));
    // The very nonce passes, so it was the commitment that stopped the other.
    let (mut inviter, talk) = join(&newcomer(), bound);
    let (mut channel, _) = talk.unwrap();
    say(&mut inviter, &mut channel, &Message::Reveal([1; 32]));
    assert!(matches!(inviter.poll(), Some(InviterOutput::Words { .. })));
}

#[test]
fn a_joiner_cannot_send_the_inviters_commitment_back() {
    let mut inviter = new_inviter(NEW_PERSON, secret().guest().id(), 11);
    let mut handshake = handshake(End::Joiner);
    let first = handshake.write(&[]).ok().unwrap();
    inviter.handle(InviterInput::Frame([&secret().id().0[..], &first].concat()));
    let answer = sent(&mut inviter);
    let read = handshake.read_value::<(Offer, [u8; 32])>(&answer);
    let (_, bound) = read.ok().unwrap();
    let third = handshake.write_value(&(newcomer(), bound)).ok().unwrap();
    inviter.handle(InviterInput::Frame(third));
    let (mut channel, _) = handshake.finish();
    let Ok(Heard::Message(Message::Reveal(nonce))) = channel.open(&sent(&mut inviter)) else {
        panic!("the inviter reveals its nonce");
    };
    say(&mut inviter, &mut channel, &Message::Reveal(nonce));
    assert!(is_broken(&mut inviter));
}

/// Invites with the code as far as the joiner's commitment.
fn invite(bound: [u8; 32]) -> (Joiner, Channel) {
    let mut joiner = new_joiner(&secret(), 12);
    let mut handshake = handshake(End::Inviter);
    let Some(JoinerOutput::Send(frame)) = joiner.poll() else {
        panic!("a joiner speaks first");
    };
    handshake.read(&frame[message::ID_BYTES..]).ok().unwrap();
    let second = handshake.write_value(&(offer(OWN_DEVICE), bound));
    joiner.handle(JoinerInput::Frame(second.ok().unwrap()));
    assert!(matches!(joiner.poll(), Some(JoinerOutput::Offered { .. })));
    joiner.accept(acceptance(&offer(OWN_DEVICE))).unwrap();
    let Some(JoinerOutput::Send(third)) = joiner.poll() else {
        panic!("the joiner names itself");
    };
    let read = handshake.read_value::<(Newcomer, [u8; 32])>(&third);
    assert!(read.is_ok());
    (joiner, handshake.finish().0)
}

fn tell(joiner: &mut Joiner, channel: &mut Channel, message: &Message) {
    let frame = channel.seal(message).ok().unwrap();
    joiner.handle(JoinerInput::Frame(frame));
}

#[test]
fn an_inviter_cannot_choose_its_nonce_after_its_commitment() {
    let bound = commitment(End::Inviter, &[1; 32]);
    let (mut joiner, mut channel) = invite(bound);
    tell(&mut joiner, &mut channel, &Message::Reveal([2; 32]));
    assert!(matches!(
        joiner.poll(),
        Some(JoinerOutput::Closed(Outcome::Broken))
    ));
    assert!(joiner.poll().is_none(), "the joiner's nonce stays secret");
    let (mut joiner, mut channel) = invite(bound);
    tell(&mut joiner, &mut channel, &Message::Reveal([1; 32]));
    assert!(matches!(joiner.poll(), Some(JoinerOutput::Send(_))));
    assert!(matches!(joiner.poll(), Some(JoinerOutput::Words(_))));
}

#[test]
fn a_joiner_takes_no_payload_before_it_approved_and_none_too_large() {
    let bound = commitment(End::Inviter, &[1; 32]);
    let (mut joiner, mut channel) = invite(bound);
    tell(&mut joiner, &mut channel, &Message::Reveal([1; 32]));
    tell(&mut joiner, &mut channel, &Message::Begin(0));
    let mut outputs = std::iter::from_fn(|| joiner.poll());
    assert!(outputs.any(|o| matches!(o, JoinerOutput::Closed(Outcome::Broken))));

    let limit = u64::try_from(limits::PAIRING_PAYLOAD_BYTES).unwrap();
    for length in [limit + 1, u64::MAX] {
        let (mut joiner, mut channel) = invite(bound);
        tell(&mut joiner, &mut channel, &Message::Reveal([1; 32]));
        joiner.handle(JoinerInput::Approve);
        tell(&mut joiner, &mut channel, &Message::Begin(length));
        let mut outputs = std::iter::from_fn(|| joiner.poll());
        assert!(outputs.any(|o| matches!(o, JoinerOutput::Closed(Outcome::LostLate))));
    }
}

#[test]
fn more_payload_than_announced_is_refused() {
    let (mut joiner, mut channel) = invite(commitment(End::Inviter, &[1; 32]));
    tell(&mut joiner, &mut channel, &Message::Reveal([1; 32]));
    joiner.handle(JoinerInput::Approve);
    tell(&mut joiner, &mut channel, &Message::Begin(10));
    let frame = channel.seal_chunk(&[0; 11]).ok().unwrap();
    joiner.handle(JoinerInput::Frame(frame));
    let outputs: Vec<_> = std::iter::from_fn(|| joiner.poll()).collect();
    assert!(
        !outputs
            .iter()
            .any(|o| matches!(o, JoinerOutput::Payload(_) | JoinerOutput::Complete))
    );
    assert!(matches!(
        outputs.last(),
        Some(JoinerOutput::Closed(Outcome::LostLate))
    ));
}

#[test]
fn a_whole_payload_needs_no_connection_any_more() {
    let (mut joiner, mut channel) = invite(commitment(End::Inviter, &[1; 32]));
    tell(&mut joiner, &mut channel, &Message::Reveal([1; 32]));
    joiner.handle(JoinerInput::Approve);
    tell(&mut joiner, &mut channel, &Message::Begin(0));
    joiner.handle(JoinerInput::Lost);
    let last = std::iter::from_fn(|| joiner.poll()).last();
    assert!(matches!(last, Some(JoinerOutput::Complete)));
    joiner.handle(JoinerInput::Stored);
    let last = std::iter::from_fn(|| joiner.poll()).last();
    assert!(matches!(last, Some(JoinerOutput::Closed(Outcome::Done))));
}

#[test]
fn newcomers_that_do_not_fit_the_invite_are_refused() {
    let bound = commitment(End::Joiner, &[1; 32]);
    let unnamed = Newcomer {
        person_name: None,
        ..newcomer()
    };
    let blank = Newcomer {
        device_name: " ".to_owned(),
        ..newcomer()
    };
    let loud = Newcomer {
        person_name: Some("\u{1b}[31m".to_owned()),
        ..newcomer()
    };
    let inviter_itself = Newcomer {
        device: keys(1).device_id(),
        ..newcomer()
    };
    for wrong in [unnamed, blank, loud, inviter_itself] {
        let (mut inviter, talk) = join(&wrong, bound);
        // `join` took the Failed that came instead of a nonce.
        assert!(talk.is_none());
        assert!(is_broken(&mut inviter));
    }
}

/// The consent that the honest joiner of `newcomer` would send.
fn consent(hash: &[u8; 32]) -> Consent {
    let keys = keys(2);
    Consent {
        device_sig: Certificate::of(&keys, PERSON, DeviceKind::Device).sign(&keys, &FAMILY),
        pair_sig: sign(&keys.sign, SignKind::Pair, &FAMILY, hash),
        kit: Some(KitProof::make(&kit(), &FAMILY, &PERSON)),
    }
}

fn offered(change: impl Fn(Consent) -> Consent) -> Inviter {
    let (mut inviter, talk) = join(&newcomer(), commitment(End::Joiner, &[1; 32]));
    let (mut channel, hash) = talk.unwrap();
    say(&mut inviter, &mut channel, &Message::Reveal([1; 32]));
    inviter.handle(InviterInput::Approve);
    let consent = change(consent(&hash));
    say(
        &mut inviter,
        &mut channel,
        &Message::Consent(Box::new(consent)),
    );
    inviter
}

#[test]
fn a_key_that_is_not_held_is_not_enrolled() {
    let stranger = keys(7);
    let other_person = PersonId([0; 16]);
    let kit_seed = kit().sign();
    type Change = Box<dyn Fn(Consent) -> Consent>;
    let changes: Vec<Change> = vec![
        Box::new(move |c| Consent {
            device_sig: Certificate::of(&keys(2), PERSON, DeviceKind::Device)
                .sign(&stranger, &FAMILY),
            ..c
        }),
        Box::new(|c| Consent {
            device_sig: Certificate::of(&keys(2), PERSON, DeviceKind::Keeper)
                .sign(&keys(2), &FAMILY),
            ..c
        }),
        Box::new(move |c| Consent {
            device_sig: Certificate::of(&keys(2), other_person, DeviceKind::Device)
                .sign(&keys(2), &FAMILY),
            ..c
        }),
        // The consent of another conversation.
        Box::new(|c| Consent {
            pair_sig: sign(&keys(2).sign, SignKind::Pair, &FAMILY, &[0; 32]),
            ..c
        }),
        Box::new(move |c| Consent {
            kit: Some(KitProof::make(&kit(), &FAMILY, &other_person)),
            ..c
        }),
        Box::new(move |c| Consent {
            kit: c.kit.map(|k| KitProof {
                sign: keys(2).device_id(),
                ..k
            }),
            ..c
        }),
        Box::new(move |c| Consent {
            kit: c.kit.map(|k| KitProof {
                seal: keys(7).seal_public(),
                sign: kit_seed.id(),
                ..k
            }),
            ..c
        }),
    ];
    for change in changes {
        assert!(is_broken(&mut offered(change)));
    }
    let mut honest = offered(|c| c);
    let outputs: Vec<_> = std::iter::from_fn(|| honest.poll()).collect();
    assert!(matches!(outputs.last(), Some(InviterOutput::Spend)));
}

#[test]
fn one_key_is_not_taken_as_device_and_kit() {
    // Everything is signed as it should be; only the two keys are one.
    let both = DeviceKeys {
        sign: kit().sign(),
        seal: keys(2).seal,
    };
    let claim = Newcomer {
        device: both.device_id(),
        ..newcomer()
    };
    let (mut inviter, talk) = join(&claim, commitment(End::Joiner, &[1; 32]));
    let (mut channel, hash) = talk.unwrap();
    say(&mut inviter, &mut channel, &Message::Reveal([1; 32]));
    inviter.handle(InviterInput::Approve);
    let consent = Consent {
        device_sig: Certificate::of(&both, PERSON, DeviceKind::Device).sign(&both, &FAMILY),
        pair_sig: sign(&both.sign, SignKind::Pair, &FAMILY, &hash),
        kit: Some(KitProof::make(&kit(), &FAMILY, &PERSON)),
    };
    let message = Message::Consent(Box::new(consent));
    say(&mut inviter, &mut channel, &message);
    assert!(is_broken(&mut inviter));
}

#[test]
fn a_payload_is_not_received_for_before_it_was_sent() {
    let (mut inviter, talk) = join(&newcomer(), commitment(End::Joiner, &[1; 32]));
    let (mut channel, hash) = talk.unwrap();
    say(&mut inviter, &mut channel, &Message::Reveal([1; 32]));
    inviter.handle(InviterInput::Approve);
    say(
        &mut inviter,
        &mut channel,
        &Message::Consent(Box::new(consent(&hash))),
    );
    inviter.handle(InviterInput::Spent);
    let payload = Payload::new(Zeroizing::new(vec![0; 10])).unwrap();
    inviter.handle(InviterInput::Admitted(payload));
    say(&mut inviter, &mut channel, &Message::Stored);
    let outputs: Vec<_> = std::iter::from_fn(|| inviter.poll()).collect();
    assert!(matches!(
        outputs.last(),
        Some(InviterOutput::Closed(Outcome::LostLate))
    ));
}
