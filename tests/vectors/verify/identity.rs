//! Families, consent, kits.

use heirloom_protocol::{
    crypto::{
        Purpose, RecoveryKit, SealPublic, SignKind, Signature, derive,
        sign::{self, SignError},
        words::{self, WordsError},
    },
    family::consent::{Certificate, DeviceKind, KitProof},
    id::{DeviceId, EntryId, FamilyId, PersonId},
    limits,
    op::Genesis,
    replica::cosign_bytes,
};

use super::{Checked, agree, decode, same};
use crate::case::{Case, Class};

pub(super) fn bad_signature(error: SignError) -> Class {
    match error {
        SignError::BadSignature => Class::BadSignature,
        other => panic!("another failure: {other}"),
    }
}

fn family(case: &Case) -> FamilyId {
    FamilyId(case.array("family"))
}

pub(super) fn genesis(case: &Case) -> Checked {
    let genesis: Genesis = decode(&case.bytes, limits::ENTRY_BYTES)?;
    agree(genesis.created == case.value::<u64>("created"))?;
    agree(*blake3::hash(&case.bytes).as_bytes() == family(case).0)
}

pub(super) fn signature(case: &Case) -> Checked {
    let signature: Signature = decode(&case.bytes, 64 + 64)?;
    let label = case.string("label").as_bytes();
    let kind = SignKind::ALL.into_iter().find(|kind| kind.label() == label);
    let signer = DeviceId(case.array("signer"));
    let message = case.raw("message");
    let kind = kind.expect("a label of the list");
    sign::verify(&signer, kind, &family(case), &message, &signature).map_err(bad_signature)
}

pub(super) fn consent(case: &Case) -> Checked {
    let signature: Signature = decode(&case.bytes, 64 + 64)?;
    let certificate = Certificate {
        person: PersonId(case.array("person")),
        device: DeviceId(case.array("device")),
        seal: SealPublic(case.array("seal")),
        kind: match case.string("kind") {
            "0" => DeviceKind::Device,
            _ => DeviceKind::Keeper,
        },
    };
    certificate
        .verify(&family(case), &signature)
        .map_err(bad_signature)
}

pub(super) fn kit_proof(case: &Case) -> Checked {
    let proof: KitProof = decode(&case.bytes, 256)?;
    let person = PersonId(case.array("person"));
    proof.verify(&family(case), &person).map_err(bad_signature)
}

pub(super) fn cosign(case: &Case) -> Checked {
    let signature: Signature = decode(&case.bytes, 64 + 64)?;
    let kit = KitProof {
        sign: DeviceId(case.array("kit sign")),
        seal: SealPublic(case.array("kit seal")),
        proof: Signature([0; 64]),
    };
    let bytes = cosign_bytes(
        DeviceId(case.array("author")),
        EntryId(case.array("prev")),
        &PersonId(case.array("person")),
        &kit,
    );
    let cosigner = DeviceId(case.array("cosigner"));
    sign::verify(
        &cosigner,
        SignKind::Cosign,
        &family(case),
        &bytes,
        &signature,
    )
    .map_err(bad_signature)
}

pub(super) fn bad_words(error: WordsError) -> Class {
    match error {
        WordsError::Count { .. } => Class::Truncated,
        WordsError::Unknown(_) => Class::NotCanonical,
        WordsError::Checksum => Class::BadChain,
    }
}

pub(super) fn kit(case: &Case) -> Checked {
    let words = case.string("words");
    let entropy = words::decode::<32>(words).map_err(bad_words)?;
    same(&case.bytes, entropy.as_ref())?;
    let kit = RecoveryKit::from_words(words).map_err(bad_words)?;
    agree(kit.sign().id() == DeviceId(case.array("sign")))?;
    agree(kit.seal().public() == SealPublic(case.array("seal")))
}

pub(super) fn family_words(case: &Case) -> Checked {
    let hash = derive(Purpose::FamilyWords, &[&family(case).0, &case.bytes]);
    agree(words::phrase::<8>(&hash).join(" ") == case.string("words"))
}
