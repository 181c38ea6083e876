//! What a newcomer signs: consent to its certificate, and possession of a recovery kit.
//!
//! Bytes under the signature, after the label of the kind and the family's id:
//!
//! ```text
//! device    person[16] sign[32] seal[32] kind[1]     kind "device", by the device
//! recovery  person[16] sign[32] seal[32]             kind "recovery", by the kit
//! ```
//!
//! The person of a keeper is zero. So nobody can enrol a key that they do not
//! hold, and no consent works for another person, family or kind of device.

use serde::{Deserialize, Serialize};

use crate::crypto::{
    DeviceKeys, RecoveryKit, SealPublic, SignKind, Signature,
    sign::{SignError, sign, verify},
};
use crate::id::{DeviceId, FamilyId, PersonId};

/// Whether a device belongs to a person or stores ciphertext for all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum DeviceKind {
    /// A person's device.
    Device,
    /// A keeper: it holds no album key.
    Keeper,
}

impl DeviceKind {
    const fn code(self) -> u8 {
        match self {
            Self::Device => 0,
            Self::Keeper => 1,
        }
    }
}

/// The public facts of a device's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Whose device; zero for a keeper.
    pub person: PersonId,
    /// The device.
    pub device: DeviceId,
    /// Its sealing key.
    pub seal: SealPublic,
    /// What it is.
    pub kind: DeviceKind,
}

impl Certificate {
    /// The certificate of these keys.
    pub fn of(keys: &DeviceKeys, person: PersonId, kind: DeviceKind) -> Self {
        Self {
            person,
            device: keys.device_id(),
            seal: keys.seal_public(),
            kind,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let kind = [self.kind.code()];
        [&self.person.0[..], &self.device.0, &self.seal.0, &kind].concat()
    }

    /// The device's consent; `keys` are those the certificate names.
    pub fn sign(&self, keys: &DeviceKeys, family: &FamilyId) -> Signature {
        sign(&keys.sign, SignKind::Device, family, &self.bytes())
    }

    /// Verifies the device's consent.
    ///
    /// # Errors
    ///
    /// [`SignError::BadSignature`].
    pub fn verify(&self, family: &FamilyId, signature: &Signature) -> Result<(), SignError> {
        verify(
            &self.device,
            SignKind::Device,
            family,
            &self.bytes(),
            signature,
        )
    }
}

/// The public half of a recovery kit, and the proof that its maker holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KitProof {
    /// The kit's signing key, its name in logs.
    pub sign: DeviceId,
    /// The key that epochs are sealed to.
    pub seal: SealPublic,
    /// The kit's signature.
    pub proof: Signature,
}

impl KitProof {
    /// Proves that the maker holds the kit, for one person of one family.
    pub fn make(kit: &RecoveryKit, family: &FamilyId, person: &PersonId) -> Self {
        let secret = kit.sign();
        let (id, seal) = (secret.id(), kit.seal().public());
        let bytes = Self::bytes(person, &id, &seal);
        Self {
            sign: id,
            seal,
            proof: sign(&secret, SignKind::Recovery, family, &bytes),
        }
    }

    /// Verifies the proof.
    ///
    /// # Errors
    ///
    /// [`SignError::BadSignature`].
    pub fn verify(&self, family: &FamilyId, person: &PersonId) -> Result<(), SignError> {
        let bytes = Self::bytes(person, &self.sign, &self.seal);
        verify(&self.sign, SignKind::Recovery, family, &bytes, &self.proof)
    }

    fn bytes(person: &PersonId, id: &DeviceId, seal: &SealPublic) -> Vec<u8> {
        [&person.0[..], &id.0, &seal.0].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SeededRng;

    const FAMILY: FamilyId = FamilyId([1; 32]);
    const PERSON: PersonId = PersonId([2; 16]);

    #[test]
    fn a_device_consents_to_exactly_one_certificate() {
        let keys = DeviceKeys::generate(&mut SeededRng::from_seed([3; 32]));
        let base = Certificate::of(&keys, PERSON, DeviceKind::Device);
        let signature = base.sign(&keys, &FAMILY);
        assert_eq!(base.verify(&FAMILY, &signature), Ok(()));
        for other in [
            Certificate {
                person: PersonId([0; 16]),
                ..base
            },
            Certificate {
                device: DeviceId([0; 32]),
                ..base
            },
            Certificate {
                seal: SealPublic([0; 32]),
                ..base
            },
            Certificate {
                kind: DeviceKind::Keeper,
                ..base
            },
        ] {
            assert_eq!(
                other.verify(&FAMILY, &signature),
                Err(SignError::BadSignature)
            );
        }
        assert!(base.verify(&FamilyId([0; 32]), &signature).is_err());
    }

    #[test]
    fn a_kit_is_proved_for_one_person_of_one_family() {
        let kit = RecoveryKit::generate(&mut SeededRng::from_seed([4; 32]));
        let base = KitProof::make(&kit, &FAMILY, &PERSON);
        assert_eq!(base.verify(&FAMILY, &PERSON), Ok(()));
        assert!(base.verify(&FAMILY, &PersonId([0; 16])).is_err());
        assert!(base.verify(&FamilyId([0; 32]), &PERSON).is_err());
        let swapped = KitProof {
            seal: SealPublic([0; 32]),
            ..base
        };
        assert!(swapped.verify(&FAMILY, &PERSON).is_err());
        let stranger = RecoveryKit::generate(&mut SeededRng::from_seed([5; 32]));
        let stolen = KitProof {
            sign: stranger.sign().id(),
            ..base
        };
        assert!(stolen.verify(&FAMILY, &PERSON).is_err());
    }
}
