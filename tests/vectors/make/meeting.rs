//! Invites, pairing, discovery.

use heirloom_protocol::{
    crypto::{EpochKey, Purpose, RecoveryKit, SeededRng, SignKind, SignSecret, derive, words},
    discovery::{
        Address, Announcement, KitTagKey, NetTagKey,
        gossip::{Beacon, Head, RoleFlags},
    },
    family::{
        consent::KitProof,
        invite::{InviteCode, InviteFor, InviteSecret},
        pairing::{
            Acceptance, Inviter, InviterInput, InviterOutput, Joiner, JoinerInput, JoinerOutput,
            Offer, Payload,
        },
    },
    id::{BranchId, DeviceId, EntryId, FamilyId, PersonId, SpaceId},
    limits,
    op::Role,
    time::{Hlc, Timestamp},
    wire,
};

use super::{
    computed, cut,
    family::{NOW, keys, kit},
    flipped,
    identity::statement,
    longer, stretched,
};
use crate::case::{Case, Class, drawn};

pub(super) const FAMILY: FamilyId = FamilyId([0x11; 32]);
const PERSON: PersonId = PersonId([0x21; 16]);

pub(super) fn all() -> Vec<Case> {
    [
        invites(),
        pairing_pieces(),
        pairings(),
        tags(),
        txt(),
        beacons(),
        heads(),
    ]
    .concat()
}

fn secret() -> [u8; 16] {
    drawn(70, 16).try_into().unwrap()
}

fn address(text: &str) -> Address {
    Address::try_from(text.to_owned()).unwrap()
}

fn invites() -> Vec<Case> {
    let secret = InviteSecret::from_bytes(secret());
    let words = secret.words().to_string();
    let right = Case::right(
        "pairing/invite-words",
        "invite words",
        "12 words carry the secret alone",
        secret.to_bytes().as_ref(),
    )
    .text("words", &words);
    let list: Vec<&str> = words.split(' ').collect();
    let mut swapped = list.clone();
    swapped[1] = "zoo";
    let mut unknown = list.clone();
    unknown[0] = "photo-album";
    let cases = vec![
        right
            .wrong("missing-word", Class::Truncated, "11 words")
            .text("words", &list[1..].join(" ")),
        right
            .wrong(
                "unknown-word",
                Class::NotCanonical,
                "a word that is not on the list",
            )
            .text("words", &unknown.join(" ").replace('-', "x")),
        right
            .wrong(
                "wrong-word",
                Class::BadChain,
                "a word that breaks the checksum",
            )
            .text("words", &swapped.join(" ")),
        right,
    ];
    let keys = [
        &secret.id().0[..],
        &derive(Purpose::InvitePsk, &[secret.to_bytes().as_ref()]),
        &secret.guest().id().0,
        &derive(Purpose::InviteTag, &[secret.to_bytes().as_ref()]),
    ];
    let right = Case::right(
        "pairing/invite-keys",
        "invite keys",
        "id, pre-shared key, guest's public key and tag key",
        &keys.concat(),
    )
    .hex("secret", secret.to_bytes().as_ref());
    let other = right
        .wrong(
            "other-secret",
            Class::BadChain,
            "what follows from another secret",
        )
        .hex("secret", &[1; 16]);
    [cases, vec![other], computed(right), links()].concat()
}

fn links() -> Vec<Case> {
    let long = format!("/dns4/{}/udp/4001/quic-v1", "x".repeat(100));
    let mut cases = Vec::new();
    for (name, addrs) in [
        ("invite-link", vec!["/ip4/192.168.1.20/tcp/4001", &long]),
        ("invite-link-bare", vec![]),
    ] {
        let code = InviteCode {
            family: FAMILY.control_space(),
            inviter: keys(71).device_id(),
            secret: InviteSecret::from_bytes(secret()),
            addrs: addrs.iter().map(|text| address(text)).collect(),
        };
        let link = code.link().to_string();
        let right = Case::right(
            &format!("pairing/{name}"),
            "invite link",
            "a link says where to go as well",
            &secret(),
        )
        .text("link", &link)
        .hex("family", &code.family.0)
        .hex("inviter", &code.inviter.0)
        .text("addresses", &addrs.join(" "));
        let tampered: String = link
            .chars()
            .enumerate()
            .map(|(at, c)| match (at, c) {
                (40, 'A') => 'B',
                (40, _) => 'A',
                _ => c,
            })
            .collect();
        cases.extend([
            right
                .wrong("cut", Class::BadChain, "a link that was cut")
                .text("link", &link[..link.len() - 3]),
            right
                .wrong("tampered", Class::BadChain, "one letter differs")
                .text("link", &tampered),
            right
                .wrong("newer", Class::UnknownVersion, "a link of version 2")
                .text("link", &newer_link()),
            right
                .wrong("too-long", Class::TooLarge, "more text than a link has")
                .text(
                    "link",
                    &format!("{link}{}", " ".repeat(limits::INVITE_LINK_BYTES)),
                ),
            right,
        ]);
    }
    cases
}

/// A link of version 2 with a right checksum.
fn newer_link() -> String {
    let mut bytes = vec![2, 1, 2, 3, 4];
    let sum = blake3::hash(&bytes);
    bytes.extend_from_slice(&sum.as_bytes()[..4]);
    ["heirloom:join/", &base64url(&bytes)].concat()
}

fn base64url(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for piece in bytes.chunks(3) {
        let word = piece
            .iter()
            .chain(&[0, 0])
            .take(3)
            .fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        for place in (0..=piece.len()).map(|place| 18 - 6 * place) {
            out.push(char::from(letters[word >> place & 63]));
        }
    }
    out
}

fn pairing_pieces() -> Vec<Case> {
    let mut cases = Vec::new();
    for (short, side) in [("inviter", 0_u8), ("joiner", 1)] {
        let nonce = drawn(72, 32);
        let right = Case::right(
            &format!("pairing/commitment-{short}"),
            "commitment",
            "a side is bound to its nonce before it knows the other's",
            &derive(Purpose::PairCommit, &[&[side], &nonce]),
        )
        .number("side", u64::from(side))
        .hex("nonce", &nonce);
        cases.push(
            right
                .wrong(
                    "other-side",
                    Class::BadChain,
                    "the other side's commitment, sent back",
                )
                .number("side", u64::from(1 - side)),
        );
        cases.extend(computed(right));
    }
    let material = drawn(73, 96);
    let hash = derive(Purpose::PairWords, &[&material]);
    let right = Case::right(
        "pairing/words",
        "pairing words",
        "handshake hash, the inviter's nonce, the joiner's nonce in four words",
        &material,
    )
    .text("words", &words::phrase::<4>(&hash).join(" "));
    let swapped = [&material[..32], &material[64..], &material[32..64]].concat();
    cases.extend([
        right
            .wrong("other-hash", Class::BadChain, "another handshake")
            .with(flipped(&material, 0)),
        right
            .wrong("swapped", Class::BadChain, "the nonces in the other order")
            .with(swapped),
        right
            .wrong("other-nonce", Class::BadChain, "another nonce")
            .with(flipped(&material, 95)),
        right,
    ]);
    cases
}

fn pairings() -> Vec<Case> {
    let person = InviteFor::Person {
        person: PERSON,
        role: Role::Member,
    };
    let device = InviteFor::Device { person: PERSON };
    let words = kit(78).words();
    let all = [
        ("pairing-person", person, Some(words), "a new person joins"),
        (
            "pairing-kitless",
            person,
            None,
            "a new person joins without a kit",
        ),
        (
            "pairing-device",
            device,
            None,
            "a person's second device joins",
        ),
        ("pairing-keeper", InviteFor::Keeper, None, "a keeper joins"),
    ];
    all.into_iter()
        .flat_map(|(name, invite_for, words, why)| {
            pairing(
                name,
                invite_for,
                words.as_ref().map(|words| &words[..]),
                why,
            )
        })
        .collect()
}

fn pairing(name: &str, invite_for: InviteFor, words: Option<&str>, why: &str) -> Vec<Case> {
    let (inviter, joiner) = (keys(74), keys(75));
    let guest = InviteSecret::from_bytes(secret()).guest().id();
    let offer = Offer {
        family: FAMILY,
        invite_for,
        family_name: "Ericson".to_owned(),
        inviter_name: "Anna".to_owned(),
        inviter_device: "laptop".to_owned(),
        person_name: "Grandma".to_owned(),
    };
    let base = Case::right(&format!("pairing/{name}"), "pairing", why, &[])
        .hex("secret", &secret())
        .hex("inviter sign secret", inviter.sign.to_bytes().as_ref())
        .hex("inviter seal secret", inviter.seal.to_bytes().as_ref())
        .hex("inviter rng", &[76; 32])
        .hex("joiner sign secret", joiner.sign.to_bytes().as_ref())
        .hex("joiner seal secret", joiner.seal.to_bytes().as_ref())
        .hex("joiner rng", &[77; 32])
        .hex("outer inviter", &inviter.device_id().0)
        .hex("outer joiner", &guest.0)
        .hex("offer", &wire::encode(&offer))
        .text("device name", "tablet")
        .text("person name", "Granny")
        .hex("payload", &drawn(79, 100));
    let base = match words {
        Some(words) => base.text("kit words", words),
        None => base,
    };
    let (frames, shown) = talk(&base, &offer);
    let right = base.text("words", &shown).with(wire::encode(&frames));
    let changed = |at: usize, byte: usize| {
        let mut frames = frames.clone();
        frames[at] = flipped(&frames[at], byte);
        wire::encode(&frames)
    };
    vec![
        right
            .wrong("other-secret", Class::WrongKey, "another code")
            .hex("secret", &[1; 16]),
        right
            .wrong(
                "other-inviter",
                Class::WrongKey,
                "somebody stands between the two",
            )
            .hex("outer inviter", &[9; 32]),
        right
            .wrong(
                "tampered-first",
                Class::WrongKey,
                "one bit of the first frame differs",
            )
            .with(changed(0, 20)),
        right
            .wrong(
                "tampered-offer",
                Class::WrongKey,
                "one bit of the offer differs",
            )
            .with(changed(1, 100)),
        right
            .wrong(
                "tampered-consent",
                Class::WrongKey,
                "one bit of the consent differs",
            )
            .with(changed(5, 10)),
        right
            .wrong("cut", Class::Truncated, "the last frame ends early")
            .with(cut(&right.bytes)),
        right
            .wrong(
                "without-receipt",
                Class::Truncated,
                "the last frame never came",
            )
            .with(wire::encode(&frames[..frames.len() - 1].to_vec())),
        right,
    ]
}

/// The frames of a pairing in which both say yes, and the words shown.
fn talk(case: &Case, offer: &Offer) -> (Vec<Vec<u8>>, String) {
    let secret = InviteSecret::from_bytes(case.array("secret"));
    let guest = secret.guest().id();
    let (inviter_keys, joiner_keys) = (keys(74), keys(75));
    let mut rng = SeededRng::from_seed([76; 32]);
    let inviter = Inviter::new(&secret, &inviter_keys, guest, offer.clone(), &mut rng);
    let mut inviter = inviter.unwrap();
    let mut rng = SeededRng::from_seed([77; 32]);
    let outer = inviter_keys.device_id();
    let mut joiner = Joiner::new(&secret, &joiner_keys, outer, None, &mut rng);
    let mut frames = Vec::new();
    let mut shown = String::new();
    loop {
        if let Some(output) = joiner.poll() {
            match output {
                JoinerOutput::Send(frame) => {
                    frames.push(frame.clone());
                    inviter.handle(InviterInput::Frame(frame));
                }
                JoinerOutput::Offered { offer, .. } => accept(&mut joiner, &offer, case),
                JoinerOutput::Words(_) => joiner.handle(JoinerInput::Approve),
                JoinerOutput::Complete => joiner.handle(JoinerInput::Stored),
                JoinerOutput::Payload(_) | JoinerOutput::Closed(_) => {}
            }
        } else if let Some(output) = inviter.poll() {
            match output {
                InviterOutput::Send(frame) => {
                    frames.push(frame.clone());
                    joiner.handle(JoinerInput::Frame(frame));
                }
                InviterOutput::Words { words, .. } => {
                    shown = words.join(" ");
                    inviter.handle(InviterInput::Approve);
                }
                InviterOutput::Spend => inviter.handle(InviterInput::Spent),
                InviterOutput::Admit(_) => {
                    let payload = Payload::new(case.raw("payload").into()).unwrap();
                    inviter.handle(InviterInput::Admitted(payload));
                }
                InviterOutput::Failed | InviterOutput::Burn | InviterOutput::Closed(_) => {}
            }
        } else {
            return (frames, shown);
        }
    }
}

fn accept(joiner: &mut Joiner, offer: &Offer, case: &Case) {
    let new = matches!(offer.invite_for, InviteFor::Person { .. });
    let kit = case.field("kit words").map(|words| {
        let kit = RecoveryKit::from_words(words).unwrap();
        KitProof::make(&kit, &offer.family, &PERSON)
    });
    let acceptance = Acceptance {
        device_name: case.string("device name").to_owned(),
        person_name: new.then(|| case.string("person name").to_owned()),
        kit,
    };
    assert_eq!(joiner.accept(acceptance), Ok(()));
}

fn tags() -> Vec<Case> {
    let (nonce, port, device) = ([0xab; 8], 4001_u16, keys(80).device_id());
    let key = EpochKey::from_bytes(drawn(81, 32).try_into().unwrap());
    let kit = kit(82).sign().id();
    let invite = InviteSecret::from_bytes(secret());
    let all = [
        (
            "member",
            key.as_bytes().to_vec(),
            NetTagKey::new(&key).announce(&device, nonce, port),
        ),
        (
            "invite",
            secret().to_vec(),
            invite.tag_key().announce(nonce, port),
        ),
        (
            "kit",
            kit.0.to_vec(),
            KitTagKey::new(&kit).announce(nonce, port),
        ),
    ];
    let mut cases = Vec::new();
    for (name, key, heard) in all {
        let right = Case::right(
            &format!("discovery/tag-{name}"),
            "tag",
            "who has the key recognises the tag, and nobody else",
            &heard.tag,
        )
        .text("for", name)
        .hex("key", &key)
        .hex("device", &device.0)
        .hex("nonce", &nonce)
        .number("port", u64::from(port));
        cases.extend([
            right
                .wrong("other-port", Class::BadChain, "announced from another port")
                .number("port", 4002),
            right
                .wrong("other-nonce", Class::BadChain, "with another nonce")
                .hex("nonce", &[1; 8]),
            right
                .wrong("other-key", Class::BadChain, "under another key")
                .hex("key", &vec![1; key.len()]),
        ]);
        cases.extend(computed(right));
    }
    cases
}

fn txt() -> Vec<Case> {
    let heard = Announcement {
        nonce: [0xab; 8],
        port: 1,
        tag: [0xcd; 16],
    };
    let (n, t) = heard.to_txt();
    let bytes = [&heard.nonce[..], &heard.tag].concat();
    let right = Case::right(
        "discovery/txt",
        "txt",
        "nonce and tag in lower-case hex",
        &bytes,
    )
    .text("n", &n)
    .text("t", &t);
    vec![
        right
            .wrong("upper-case", Class::NotCanonical, "hex in upper case")
            .text("n", &n.to_uppercase()),
        right
            .wrong("short", Class::NotCanonical, "a nonce of 7 bytes")
            .text("n", &n[2..]),
        right
            .wrong("no-hex", Class::NotCanonical, "a letter that is no digit")
            .text("t", &t.replace('c', "g")),
        right
            .wrong("other", Class::BadChain, "another nonce")
            .text("n", &n.replace("ab", "aa")),
        right,
    ]
}

/// A signed statement and how it is wrong.
pub(super) fn statements(
    right: Case,
    secret: &SignSecret,
    kind: SignKind,
    value: &[u8],
    long: Vec<u8>,
) -> Vec<Case> {
    let signed = |bytes: Vec<u8>| statement(secret, kind, &FAMILY, bytes);
    let other = match kind {
        SignKind::Head => SignKind::Beacon,
        _ => SignKind::Head,
    };
    let bytes = right.bytes.clone();
    vec![
        right
            .wrong(
                "tampered",
                Class::BadSignature,
                "one bit of the signer's id differs",
            )
            .with(flipped(&bytes, bytes.len() - 10)),
        right
            .wrong(
                "other-family",
                Class::BadSignature,
                "said in another family",
            )
            .hex("family", &[9; 32]),
        right
            .wrong(
                "other-kind",
                Class::BadSignature,
                "signed as another kind of statement",
            )
            .with(statement(secret, other, &FAMILY, value.to_vec())),
        right
            .wrong(
                "other-signer",
                Class::BadSignature,
                "signed by another device",
            )
            .with(statement(&keys(6).sign, kind, &FAMILY, value.to_vec())),
        right
            .wrong("cut", Class::Truncated, "it ends early")
            .with(cut(&bytes)),
        right
            .wrong("trailing", Class::NotCanonical, "a byte follows")
            .with(longer(&bytes)),
        right
            .wrong(
                "short-value",
                Class::Truncated,
                "the value, signed, ends early",
            )
            .with(signed(cut(value))),
        right
            .wrong(
                "long-value",
                Class::NotCanonical,
                "a byte follows the value, signed",
            )
            .with(signed(longer(value))),
        right
            .wrong(
                "long-number",
                Class::NotCanonical,
                "a number of the value, signed, in a longer form",
            )
            .with(signed(long)),
        right,
    ]
}

fn beacons() -> Vec<Case> {
    let secret = keys(83).sign;
    let beacon = Beacon {
        device: secret.id(),
        inc: 3,
        n: 300,
        hlc: Hlc::at(Timestamp(NOW)),
        addrs: vec![
            address("/ip4/10.0.0.1/tcp/4001"),
            address("/ip6/fd00::1/udp/4001/quic-v1"),
        ],
        relays: vec![DeviceId([5; 32])],
        flags: RoleFlags::ARCHIVE.with(RoleFlags::RELAY),
        free_bytes: 1 << 40,
    };
    let value = wire::encode(&beacon);
    let right = Case::right(
        "discovery/beacon",
        "beacon",
        "where a device is and what it offers",
        &statement(&secret, SignKind::Beacon, &FAMILY, value.clone()),
    )
    .hex("family", &FAMILY.0)
    .hex("signer", &secret.id().0)
    .text(
        "addresses",
        "/ip4/10.0.0.1/tcp/4001 /ip6/fd00::1/udp/4001/quic-v1",
    );
    let long = stretched(&value, |bytes| {
        wire::decode::<Beacon>(bytes, 4096) == Err(wire::WireError::NotCanonical)
    });
    let crowded = Beacon {
        relays: vec![DeviceId([5; 32]); limits::BEACON_RELAYS + 1],
        ..beacon.clone()
    };
    let mut crowded = vec![
        right
            .wrong(
                "crowded",
                Class::TooLarge,
                "more relays than a beacon names",
            )
            .with(statement(
                &secret,
                SignKind::Beacon,
                &FAMILY,
                wire::encode(&crowded),
            )),
    ];
    // An address that does not begin with a slash.
    let mut wild = value.clone();
    let at = wild.iter().position(|byte| *byte == b'/').unwrap();
    wild[at] = b'x';
    crowded.push(
        right
            .wrong(
                "no-address",
                Class::NotCanonical,
                "an address that does not begin with a slash",
            )
            .with(statement(&secret, SignKind::Beacon, &FAMILY, wild)),
    );
    [
        crowded,
        statements(right, &secret, SignKind::Beacon, &value, long.unwrap()),
    ]
    .concat()
}

fn heads() -> Vec<Case> {
    let secret = keys(84).sign;
    let head = Head {
        device: secret.id(),
        space: SpaceId([1; 16]),
        inc: 0x0102_0304_0506_0708,
        branch: BranchId::ZERO,
        seq: 7,
        hash: EntryId([8; 32]),
        hlc: Hlc::at(Timestamp(NOW)),
    };
    let value = wire::encode(&head);
    let right = Case::right(
        "discovery/head",
        "head",
        "how far a device's log goes",
        &statement(&secret, SignKind::Head, &FAMILY, value.clone()),
    )
    .hex("family", &FAMILY.0)
    .hex("signer", &secret.id().0);
    let long = stretched(&value, |bytes| {
        wire::decode::<Head>(bytes, 256) == Err(wire::WireError::NotCanonical)
    });
    statements(right, &secret, SignKind::Head, &value, long.unwrap())
}
