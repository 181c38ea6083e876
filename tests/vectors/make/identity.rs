//! Families, signatures, consent, kits, words.

use heirloom_protocol::{
    crypto::{SignKind, SignSecret, SignedBytes, sign},
    family::consent::{Certificate, DeviceKind, KitProof},
    id::{DeviceId, EntryId, FamilyId, PersonId},
    op::{Genesis, Role},
    replica::cosign_bytes,
    wire,
};

use super::{
    cut,
    family::{Family, NOW, keys, kit},
    flipped, longer, signed, stretched,
};
use crate::case::{Case, Class};

const FAMILY: FamilyId = FamilyId([0x11; 32]);
const OTHER: FamilyId = FamilyId([0x12; 32]);
const PERSON: PersonId = PersonId([0x21; 16]);
const STRANGER: PersonId = PersonId([0x22; 16]);

pub(super) fn all() -> Vec<Case> {
    [
        genesis(),
        signatures(),
        consent(),
        kit_proof(),
        cosign(),
        kits(),
        family_words(),
    ]
    .concat()
}

fn genesis() -> Vec<Case> {
    let family = Family::new();
    let bytes = wire::encode(&family.genesis);
    let right = Case::right(
        "identity/genesis",
        "genesis",
        "a family is named by the hash of its first op",
        &bytes,
    )
    .hex("family", &family.id.0)
    .number("created", NOW);
    let again = Genesis {
        kit: None,
        prev_family: Some(FAMILY),
        ..family.genesis
    };
    let again = wire::encode(&again);
    let refound = right.clone().with(again.clone());
    let mut refound = refound.hex("family", blake3::hash(&again).as_bytes());
    refound.path = "identity/genesis-refound".to_owned();
    refound.why = "a family without a kit that continues another".to_owned();
    let not_canonical =
        |bytes: &[u8]| wire::decode::<Genesis>(bytes, 1024) == Err(wire::WireError::NotCanonical);
    let mut cases = Vec::new();
    for case in [right, refound] {
        let bytes = case.bytes.clone();
        cases.extend([
            case.wrong(
                "other-nonce",
                Class::BadChain,
                "the hash is of another nonce",
            )
            .with(flipped(&bytes, 1)),
            case.wrong("cut", Class::Truncated, "the last byte is missing")
                .with(cut(&bytes)),
            case.wrong("trailing", Class::NotCanonical, "a byte follows")
                .with(longer(&bytes)),
            case.wrong(
                "long-number",
                Class::NotCanonical,
                "a number in a longer form",
            )
            .with(stretched(&bytes, not_canonical).unwrap()),
            case,
        ]);
    }
    cases
}

fn signatures() -> Vec<Case> {
    let secret = keys(5).sign;
    let message = b"what is said";
    let mut cases = Vec::new();
    for kind in SignKind::ALL {
        let label = std::str::from_utf8(kind.label()).unwrap();
        let short = label.split('/').nth(1).unwrap();
        let signature = sign::sign(&secret, kind, &FAMILY, message);
        let right = Case::right(
            &format!("identity/signature-{short}"),
            "signature",
            "label, family and bytes are what is signed",
            &signature.0,
        )
        .text("label", label)
        .hex("family", &FAMILY.0)
        .hex("signer", &secret.id().0)
        .hex("message", message);
        let other = SignKind::ALL.into_iter().find(|other| *other != kind);
        let other = std::str::from_utf8(other.unwrap().label()).unwrap();
        cases.extend([
            right
                .wrong(
                    "other-kind",
                    Class::BadSignature,
                    "signed as another kind of statement",
                )
                .text("label", other),
            right
                .wrong(
                    "other-family",
                    Class::BadSignature,
                    "signed for another family",
                )
                .hex("family", &OTHER.0),
            right
                .wrong(
                    "other-signer",
                    Class::BadSignature,
                    "signed by another device",
                )
                .hex("signer", &keys(6).device_id().0),
            right
                .wrong(
                    "other-message",
                    Class::BadSignature,
                    "signed over other bytes",
                )
                .hex("message", b"what is sait"),
        ]);
        cases.extend(signed(right));
    }
    cases.extend(forged());
    cases
}

/// Signatures that loose verification lets through.
fn forged() -> [Case; 2] {
    let secret = SignSecret::from_bytes(&[9; 32]);
    let signature = sign::sign(&secret, SignKind::Entry, &FAMILY, b"any");
    let base = Case::right("identity/signature-entry", "signature", "", &[])
        .text("label", "heirloom/entry/v1")
        .hex("family", &FAMILY.0)
        .hex("message", b"any");
    let mut neutral = [0; 64];
    neutral[0] = 1;
    // S plus the order of the group: the same point, another encoding.
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let mut large = signature.0;
    let mut carry = 0;
    for (byte, add) in large[32..]
        .iter_mut()
        .zip(crate::case::unhex(order).unwrap())
    {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 255).unwrap();
        carry = sum >> 8;
    }
    [
        base.wrong(
            "small-order",
            Class::BadSignature,
            "key and R are the neutral point and S is 0",
        )
        .hex("signer", &neutral[..32])
        .with(neutral),
        base.wrong(
            "large-s",
            Class::BadSignature,
            "S has the order of the group added",
        )
        .hex("signer", &secret.id().0)
        .with(large),
    ]
}

fn consent() -> Vec<Case> {
    let keys = keys(7);
    let mut cases = Vec::new();
    for (name, person, kind, code) in [
        ("consent-device", PERSON, DeviceKind::Device, "0"),
        ("consent-keeper", PersonId::ZERO, DeviceKind::Keeper, "1"),
    ] {
        let certificate = Certificate::of(&keys, person, kind);
        let signature = certificate.sign(&keys, &FAMILY);
        let right = Case::right(
            &format!("identity/{name}"),
            "consent",
            "a device agrees to its certificate",
            &signature.0,
        )
        .hex("family", &FAMILY.0)
        .hex("person", &person.0)
        .hex("device", &certificate.device.0)
        .hex("seal", &certificate.seal.0)
        .text("kind", code);
        cases.extend([
            right
                .wrong(
                    "other-family",
                    Class::BadSignature,
                    "consent to another family",
                )
                .hex("family", &OTHER.0),
            right
                .wrong(
                    "other-person",
                    Class::BadSignature,
                    "consent to be another person's",
                )
                .hex("person", &STRANGER.0),
            right
                .wrong(
                    "other-seal",
                    Class::BadSignature,
                    "consent to another sealing key",
                )
                .hex("seal", &[3; 32]),
            right
                .wrong(
                    "other-kind",
                    Class::BadSignature,
                    "consent to be of the other kind",
                )
                .text("kind", if code == "0" { "1" } else { "0" }),
        ]);
        cases.extend(signed(right));
    }
    cases
}

fn kit_proof() -> Vec<Case> {
    let kit = kit(8);
    let proof = KitProof::make(&kit, &FAMILY, &PERSON);
    let bytes = wire::encode(&proof);
    let right = Case::right(
        "identity/kit-proof",
        "kit proof",
        "whoever brings a kit holds it",
        &bytes,
    )
    .hex("family", &FAMILY.0)
    .hex("person", &PERSON.0);
    let stolen = KitProof {
        sign: keys(6).device_id(),
        ..proof
    };
    vec![
        right
            .wrong(
                "other-person",
                Class::BadSignature,
                "proved for another person",
            )
            .hex("person", &STRANGER.0),
        right
            .wrong(
                "other-family",
                Class::BadSignature,
                "proved for another family",
            )
            .hex("family", &OTHER.0),
        right
            .wrong(
                "stolen",
                Class::BadSignature,
                "somebody else's key with this proof",
            )
            .with(wire::encode(&stolen)),
        right
            .wrong(
                "other-seal",
                Class::BadSignature,
                "the sealing key is not the proved one",
            )
            .with(flipped(&bytes, 40)),
        right
            .wrong("cut", Class::Truncated, "the proof ends early")
            .with(cut(&bytes)),
        right
            .wrong("trailing", Class::NotCanonical, "a byte follows")
            .with(longer(&bytes)),
        right,
    ]
}

fn cosign() -> Vec<Case> {
    let (author, admin, kit) = (keys(9), keys(10), kit(11));
    let proof = KitProof::make(&kit, &FAMILY, &PERSON);
    let prev = EntryId([0x31; 32]);
    let bytes = cosign_bytes(author.device_id(), prev, &PERSON, &proof);
    let signature = sign::sign(&admin.sign, SignKind::Cosign, &FAMILY, &bytes);
    let right = Case::right(
        "identity/cosign",
        "cosign",
        "an admin of another person confirms a new kit",
        &signature.0,
    )
    .hex("family", &FAMILY.0)
    .hex("cosigner", &admin.device_id().0)
    .hex("author", &author.device_id().0)
    .hex("prev", &prev.0)
    .hex("person", &PERSON.0)
    .hex("kit sign", &proof.sign.0)
    .hex("kit seal", &proof.seal.0);
    let again = right
        .wrong(
            "said-again",
            Class::BadSignature,
            "the same words after another entry",
        )
        .hex("prev", &[0x32; 32]);
    let author = right
        .wrong(
            "other-author",
            Class::BadSignature,
            "confirmed for another device",
        )
        .hex("author", &DeviceId([1; 32]).0);
    let kit = right
        .wrong(
            "other-kit",
            Class::BadSignature,
            "another kit was confirmed",
        )
        .hex("kit seal", &[5; 32]);
    [vec![again, author, kit], signed(right)].concat()
}

fn kits() -> Vec<Case> {
    let kit = kit(12);
    let words = kit.words();
    let entropy = heirloom_protocol::crypto::words::decode::<32>(&words).unwrap();
    let right = Case::right(
        "identity/kit",
        "kit",
        "24 words make a kit's two keys",
        entropy.as_ref(),
    )
    .text("words", &words)
    .hex("sign", &kit.sign().id().0)
    .hex("seal", &kit.seal().public().0);
    let list: Vec<&str> = words.split(' ').collect();
    let with = |at: usize, word: &str| {
        let mut list = list.clone();
        list[at] = word;
        list.join(" ")
    };
    let short: Vec<String> = list
        .iter()
        .map(|word| word.chars().take(4).collect::<String>().to_uppercase())
        .collect();
    let mut shouted = right.clone().text("words", &short.join("  "));
    shouted.path = "identity/kit-short".to_owned();
    shouted.why = "four letters of a word are enough, in any case".to_owned();
    let mut cases = Vec::new();
    for case in [right, shouted] {
        cases.extend([
            case.wrong("missing-word", Class::Truncated, "23 words")
                .text("words", &list[..23].join(" ")),
            case.wrong(
                "unknown-word",
                Class::NotCanonical,
                "a word that is not on the list",
            )
            .text("words", &with(3, "grandma")),
            case.wrong(
                "wrong-word",
                Class::BadChain,
                "a word of the list that breaks the checksum",
            )
            .text(
                "words",
                &with(3, if list[3] == "zoo" { "zone" } else { "zoo" }),
            ),
            case,
        ]);
    }
    cases
}

fn family_words() -> Vec<Case> {
    let family = Family::new();
    let mut persons = vec![
        (family.genesis.person, Role::Admin),
        (family.member, Role::Member),
    ];
    persons.sort_unstable_by_key(|(person, _)| person.0);
    let resolution = family.replica.control().resolution();
    let mut state = Vec::new();
    for (person, role) in &persons {
        let role = if *role == Role::Admin { 2 } else { 1 };
        state.extend([&b"p"[..], &person.0, &[role]].concat());
    }
    for (device, standing) in &resolution.devices {
        state.extend([&b"d"[..], &device.0, &standing.person.unwrap().0].concat());
    }
    for (person, kit) in &resolution.kits {
        state.extend([&b"k"[..], &person.0, &kit.kit.0].concat());
    }
    let right = Case::right(
        "identity/family-words",
        "family words",
        "two persons, two devices and two kits in eight words",
        &state,
    )
    .hex("family", &family.id.0)
    .text("words", &family.replica.words().join(" "));
    assert_eq!(state.len(), 2 * (18 + 49 + 49));
    vec![
        right
            .wrong(
                "other-role",
                Class::BadChain,
                "a member is shown as another role",
            )
            .with(flipped(&state, 17)),
        right
            .wrong("missing-kit", Class::BadChain, "a kit is left out")
            .with(&state[..state.len() - 49]),
        right
            .wrong(
                "other-family",
                Class::BadChain,
                "the state of another family",
            )
            .hex("family", &OTHER.0),
        right,
    ]
}

/// A statement as it travels, signed by whoever.
pub(super) fn statement(
    secret: &SignSecret,
    kind: SignKind,
    family: &FamilyId,
    bytes: Vec<u8>,
) -> Vec<u8> {
    let signature = sign::sign(secret, kind, family, &bytes);
    wire::encode(&SignedBytes { bytes, signature })
}
