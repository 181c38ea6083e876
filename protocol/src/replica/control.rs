//! The control space: who belongs, as the resolver finds from the ops here.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Effect, Refusal, Replica,
    policy::Policies,
    recovery::{KitAct, KitUse},
};
use crate::{
    album::epoch::{Epochs, Reader},
    crypto::{EpochKind, RecipientKind, SealPublic, SignKind, sign},
    family::consent::Certificate,
    family::resolver::{Act, Author, ControlOp, Founding, Owner, Resolution, Resolver},
    id::{DeviceId, EntryId, FamilyId, OpId, PersonId, SpaceId},
    limits,
    log::{
        entry::{Entry, Header, first_prev},
        graph::Graph,
    },
    op::{AddDevice, DeviceKind, Genesis, KitProof, Op, Policy, SetProfile, Subject},
    time::Hlc,
};

/// A key that can write: a device or a kit.
#[derive(Clone, Debug)]
pub(super) struct Certified {
    pub(super) kind: RecipientKind,
    pub(super) seal: SealPublic,
    /// Whose it is said to be; `None` for a keeper.
    person: Option<PersonId>,
}

/// An op after which keys are renewed before anything more is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) op: OpId,
    pub(super) entry: EntryId,
    pub(super) hit: Hit,
}

/// Whom a loss concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hit {
    Device(DeviceId),
    Person(PersonId),
}

/// A sealed value of a profile, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) op: OpId,
    pub(super) author: DeviceId,
    pub(super) hlc: Hlc,
    pub(super) set: SetProfile,
}

/// Who belongs to the family, and the keys of its control space.
pub struct Control {
    family: FamilyId,
    genesis: Genesis,
    resolver: Resolver,
    resolution: Resolution,
    pub(super) graph: Graph,
    pub(super) epochs: Epochs,
    /// By certifying op and key.
    pub(super) certified: BTreeMap<(DeviceId, OpId), Certified>,
    pub(super) losses: Vec<Loss>,
    /// Removals, and when each was said by its author's clock.
    removals: Vec<(OpId, Hit, Hlc)>,
    pub(super) described: Vec<Described>,
    pub(super) kit_uses: Vec<KitUse>,
    policies: Policies,
    rotated: BTreeMap<DeviceId, Vec<(OpId, SealPublic)>>,
    weighed_by: BTreeMap<DeviceId, usize>,
    /// Families of the past that were asked for last.
    pasts: Vec<(Vec<OpId>, Arc<Resolution>)>,
}

/// Most albums were made or shared under one of the last few states of the family.
const PASTS: usize = 16;

impl Control {
    pub(super) fn new(family: FamilyId, genesis: Genesis) -> Self {
        let id = OpId(family.0);
        let founding = Founding {
            id,
            person: genesis.person,
            device: genesis.device,
            kit: genesis.kit.as_ref().map(|kit| kit.sign),
        };
        let resolver = Resolver::new(founding);
        let resolution = resolver.resolve();
        let mut certified = BTreeMap::new();
        let device = Certified {
            kind: RecipientKind::Device,
            seal: genesis.seal,
            person: Some(genesis.person),
        };
        certified.insert((genesis.device, id), device);
        if let Some(kit) = &genesis.kit {
            certified.insert(
                (kit.sign, id),
                Certified {
                    kind: RecipientKind::Kit,
                    seal: kit.seal,
                    person: Some(genesis.person),
                },
            );
        }
        Self {
            family,
            genesis,
            resolver,
            resolution,
            graph: Graph::default(),
            epochs: Epochs::default(),
            certified,
            losses: Vec::new(),
            removals: Vec::new(),
            described: Vec::new(),
            kit_uses: Vec::new(),
            policies: Policies::default(),
            rotated: BTreeMap::new(),
            weighed_by: BTreeMap::new(),
            pasts: Vec::new(),
        }
    }

    /// The family.
    pub fn family(&self) -> FamilyId {
        self.family
    }

    /// The family's first op.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Who belongs, by the ops here.
    pub fn resolution(&self) -> &Resolution {
        &self.resolution
    }

    /// Control entries in an order in which each follows what it names.
    pub fn entries(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.graph.entries()
    }

    /// Whether a device or a current kit may connect and write.
    pub fn is_live(&self, key: &DeviceId) -> bool {
        self.resolution.devices.contains_key(key)
            || self.resolution.kits.values().any(|kit| kit.kit == *key)
    }

    /// The person of a live device or current kit.
    pub fn person_of(&self, key: &DeviceId) -> Option<PersonId> {
        match self.resolution.devices.get(key) {
            Some(device) => device.person,
            None => self
                .resolution
                .kits
                .iter()
                .find(|(_, kit)| kit.kit == *key)
                .map(|(person, _)| *person),
        }
    }

    /// The person whose key this was first accepted as, removed or not.
    pub fn owner_of(&self, key: &DeviceId) -> Option<PersonId> {
        match self.resolution.owners.get(key)? {
            Owner::Device(person) | Owner::Kit(person) => Some(*person),
            Owner::Keeper => None,
        }
    }

    /// The key that a live device has epoch keys sealed to.
    pub fn seal_of(&self, device: &DeviceId) -> Option<SealPublic> {
        let cert = self.resolution.devices.get(device)?.cert;
        self.reader(*device, cert, RecipientKind::Device)
            .map(|reader| reader.seal)
    }

    /// The persons whose key this was ever said to be, whether or not that counts.
    ///
    /// What is kept of a log goes by this, so that it does not depend on what came first.
    pub(super) fn claimed_by(&self, key: &DeviceId) -> impl Iterator<Item = PersonId> + '_ {
        let range = (*key, OpId::ZERO)..=(*key, OpId([255; 32]));
        let certified = self.certified.range(range);
        certified.filter_map(|(_, certified)| certified.person)
    }

    /// When somebody took a device or its person out of the family, as far as that counts.
    pub(super) fn removals_of(
        &self,
        device: DeviceId,
        person: Option<PersonId>,
    ) -> impl Iterator<Item = Hlc> + '_ {
        let fits = move |hit: &Hit| match hit {
            Hit::Device(gone) => *gone == device,
            Hit::Person(gone) => person == Some(*gone),
        };
        let removals = self.removals.iter();
        let counted =
            removals.filter(move |(op, hit, _)| fits(hit) && self.resolution.accepted.contains(op));
        counted.map(|(_, _, at)| *at)
    }

    /// What a device keeps; archives are the default.
    pub fn policy(&self, device: &DeviceId) -> Policy {
        self.policies.of(device)
    }

    /// The op that certified an author, as the first entry of its log names it.
    pub(super) fn cert_of(&self, first: &Header) -> Result<OpId, Refusal> {
        let cert = self.cert_named(first.space, first.device, first.inc, first.prev);
        cert.ok_or(Refusal::Waiting)
    }

    /// The op that a log names before its first entry.
    pub(super) fn cert_named(
        &self,
        space: SpaceId,
        device: DeviceId,
        inc: u64,
        prev: EntryId,
    ) -> Option<OpId> {
        let range = (device, OpId::ZERO)..=(device, OpId([255; 32]));
        let mut certs = self.certified.range(range).map(|((_, cert), _)| *cert);
        certs.find(|cert| first_prev(space, device, inc, *cert) == prev)
    }

    /// Those of some entries that no other of them has seen.
    pub(super) fn latest(&self, mut entries: Vec<EntryId>) -> Vec<EntryId> {
        entries.sort_unstable();
        entries.dedup();
        let seen = |entry: &EntryId| {
            let mut others = entries.iter().filter(|other| *other != entry);
            others.any(|other| self.graph.sees(&[*other], entry))
        };
        entries.iter().copied().filter(|e| !seen(e)).collect()
    }

    /// The family as somebody saw it who named these entries.
    pub(super) fn family_at(&mut self, seen: &[EntryId]) -> Option<Arc<Resolution>> {
        let heads = self.graph.frontier(seen);
        if let Some((_, family)) = self.pasts.iter().find(|(of, _)| *of == heads) {
            return Some(family.clone());
        }
        let family = Arc::new(self.resolver.resolve_at(&heads)?);
        if self.pasts.len() == PASTS {
            self.pasts.remove(0);
        }
        self.pasts.push((heads, family.clone()));
        Some(family)
    }

    /// Whether everything an entry names is here.
    pub(super) fn knows(&self, entries: &[EntryId]) -> bool {
        entries.iter().all(|id| self.graph.contains(id))
    }

    /// Live devices, keepers among them if asked, and the current kits.
    pub(super) fn readers(&self, fits: impl Fn(Option<PersonId>) -> bool) -> Vec<Reader> {
        let devices = self
            .resolution
            .devices
            .iter()
            .filter(|(_, device)| fits(device.person));
        let devices = devices.map(|(id, device)| (*id, device.cert, RecipientKind::Device));
        let kits = self
            .resolution
            .kits
            .iter()
            .filter(|(person, _)| fits(Some(**person)));
        let kits = kits.map(|(_, kit)| (kit.kit, kit.cert, RecipientKind::Kit));
        devices
            .chain(kits)
            .filter_map(|(id, cert, kind)| self.reader(id, cert, kind))
            .collect()
    }

    fn reader(&self, id: DeviceId, cert: OpId, kind: RecipientKind) -> Option<Reader> {
        let rotated = self.rotated.get(&id).into_iter().flatten();
        let latest = rotated
            .rev()
            .find(|(op, _)| self.resolution.accepted.contains(op));
        let seal = match latest {
            Some((_, seal)) => *seal,
            None => self.certified.get(&(id, cert))?.seal,
        };
        Some(Reader {
            kind,
            id,
            cert,
            seal,
        })
    }

    /// Readers of the control space's own keys: names are not for keepers, discovery tags are.
    pub(super) fn readers_of(&self, kind: EpochKind) -> Vec<Reader> {
        self.readers(|person| person.is_some() || kind == EpochKind::Net)
    }

    fn take(&mut self, entry: &Entry, ops: &[Option<Op>]) {
        let header = entry.header();
        let author = self.author(header.device);
        let mut parents = header.deps.clone();
        parents.push(header.prev);
        let mut before = self.graph.frontier(&parents);
        if before.is_empty() {
            before.push(OpId(self.family.0));
        }
        let mut weighed = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            let Some(op) = op else { continue };
            let id = if matches!(op, Op::Genesis(_)) {
                OpId(self.family.0)
            } else {
                entry.op_id(index)
            };
            self.note(entry, id, op);
            let Some(act) = self.act(entry, op) else {
                continue;
            };
            if !matches!(op, Op::Genesis(_)) && !self.within_quota(header.device) {
                continue;
            }
            if let Author::Kit(_) = author {
                self.note_kit(header, id, op);
            }
            if let Some(act) = act {
                self.resolver.insert(ControlOp {
                    id,
                    author,
                    parents: before.clone(),
                    act,
                });
            }
            before = vec![id];
            weighed.push(id);
        }
        let joins = weighed.is_empty() && header.deps.len() > 1 && ops.is_empty();
        self.graph
            .insert(entry.id(), &parents, &weighed, !weighed.is_empty() || joins);
        self.resolution = self.resolver.resolve();
        self.policies.weigh(&self.resolution.accepted, &self.graph);
    }

    /// Keeps what was done with a kit, for everybody to hear; whether it counts is seen later.
    fn note_kit(&mut self, header: &Header, op: OpId, said: &Op) {
        let range = (header.device, OpId::ZERO)..=(header.device, OpId([255; 32]));
        let person = self.certified.range(range).find_map(|(_, kit)| kit.person);
        if let Some((person, act)) = person.zip(KitAct::of(said)) {
            let at = header.hlc;
            self.kit_uses.push(KitUse {
                op,
                person,
                at,
                act,
            });
        }
    }

    fn within_quota(&mut self, device: DeviceId) -> bool {
        let count = self.weighed_by.entry(device).or_default();
        *count += 1;
        *count <= limits::RESOLVER_OPS
    }

    /// Whether an act would count that a device said now, who has seen all that is here.
    pub(super) fn would_count(&self, device: DeviceId, act: Act) -> bool {
        let said = self.weighed_by.get(&device).copied().unwrap_or_default();
        let mut trial = self.resolver.clone();
        // Nothing is concurrent with it, so that its name decides nothing.
        let id = OpId([255; 32]);
        trial.insert(ControlOp {
            id,
            author: self.author(device),
            parents: self.graph.frontier(&self.graph.heads()),
            act,
        });
        said < limits::RESOLVER_OPS && trial.resolve().accepted.contains(&id)
    }

    fn author(&self, key: DeviceId) -> Author {
        let range = (key, OpId::ZERO)..=(key, OpId([255; 32]));
        match self.certified.range(range).next() {
            Some((
                _,
                Certified {
                    kind: RecipientKind::Kit,
                    ..
                },
            )) => Author::Kit(key),
            _ => Author::Device(key),
        }
    }

    /// Keeps what is not the resolver's.
    fn note(&mut self, entry: &Entry, id: OpId, op: &Op) {
        let header = entry.header();
        let (author, hlc) = (header.device, header.hlc);
        let mut loss = |hit| {
            self.losses.push(Loss {
                op: id,
                entry: entry.id(),
                hit,
            })
        };
        match op {
            Op::RemoveDevice((device,)) => {
                loss(Hit::Device(*device));
                self.removals.push((id, Hit::Device(*device), hlc));
            }
            Op::RemovePerson((person,)) => {
                loss(Hit::Person(*person));
                self.removals.push((id, Hit::Person(*person), hlc));
            }
            Op::RotateSeal((seal,)) => {
                loss(Hit::Device(author));
                self.rotated.entry(author).or_default().push((id, *seal));
            }
            Op::SetRecovery(set) => {
                loss(Hit::Person(set.person));
                let kit = &set.kit;
                let certified = Certified {
                    kind: RecipientKind::Kit,
                    seal: kit.seal,
                    person: Some(set.person),
                };
                self.certified.insert((kit.sign, id), certified);
            }
            Op::AddPerson(add) => {
                if let Some(kit) = &add.kit {
                    let certified = Certified {
                        kind: RecipientKind::Kit,
                        seal: kit.seal,
                        person: Some(add.person),
                    };
                    self.certified.insert((kit.sign, id), certified);
                }
            }
            Op::AddDevice(add) => {
                let certified = Certified {
                    kind: RecipientKind::Device,
                    seal: add.seal,
                    person: (add.person != PersonId::ZERO).then_some(add.person),
                };
                self.certified.insert((add.device, id), certified);
            }
            Op::SetProfile(set) => {
                let set = set.clone();
                self.described.push(Described {
                    op: id,
                    author,
                    hlc,
                    set,
                });
            }
            Op::SetPolicy((device, policy)) => {
                self.policies.note(*device, *policy, (id, entry.id(), hlc));
            }
            Op::Epoch(epoch) => {
                let mut seen = header.deps.clone();
                seen.extend([header.prev, entry.id()]);
                let space = self.family.control_space();
                if epoch.kind != EpochKind::Album {
                    self.epochs.add(space, author, entry.id(), seen, epoch);
                }
            }
            Op::Seal(seal) => self.epochs.add_boxes(seal.epoch, author, &seal.seals),
            _ => {}
        }
    }

    /// What an op says to the resolver: `None` for what it does not weigh or whose proofs are bad,
    /// `Some(None)` for the first op, which it knows.
    fn act(&self, entry: &Entry, op: &Op) -> Option<Option<Act>> {
        let act = match op {
            Op::Genesis(_) => return Some(None),
            Op::AddPerson(add) => {
                if let Some(kit) = &add.kit
                    && kit.verify(&self.family, &add.person).is_err()
                {
                    return None;
                }
                let kit = add.kit.as_ref().map(|kit| kit.sign);
                Act::AddPerson {
                    person: add.person,
                    role: add.role,
                    kit,
                }
            }
            Op::Promote((person, role)) => Act::Promote {
                person: *person,
                role: *role,
            },
            Op::Demote((person, role)) => Act::Demote {
                person: *person,
                role: *role,
            },
            Op::AddDevice(add) => {
                let keeper = add.kind == DeviceKind::Keeper;
                if keeper != (add.person == PersonId::ZERO) || !self.device_agreed(add) {
                    return None;
                }
                Act::AddDevice {
                    person: (!keeper).then_some(add.person),
                    device: add.device,
                }
            }
            Op::RemoveDevice((device,)) => Act::RemoveDevice { device: *device },
            Op::RemovePerson((person,)) => Act::RemovePerson { person: *person },
            Op::SetRecovery(set) => {
                if set.kit.verify(&self.family, &set.person).is_err() {
                    return None;
                }
                let bytes = cosign_bytes(
                    entry.header().device,
                    entry.header().prev,
                    &set.person,
                    &set.kit,
                );
                let cosigner = match &set.cosign {
                    None => None,
                    Some((device, signature)) => {
                        sign::verify(device, SignKind::Cosign, &self.family, &bytes, signature)
                            .ok()?;
                        Some(*device)
                    }
                };
                Act::SetRecovery {
                    person: set.person,
                    kit: set.kit.sign,
                    cosigner,
                }
            }
            Op::RotateSeal(_) => Act::RotateSeal,
            Op::SetProfile(set) => Act::Describe(set.subject),
            Op::SetPolicy((device, _)) => Act::Describe(Subject::Device(*device)),
            _ => return None,
        };
        Some(Some(act))
    }

    fn device_agreed(&self, add: &AddDevice) -> bool {
        let AddDevice {
            person,
            device,
            seal,
            kind,
            device_sig,
        } = *add;
        let certificate = Certificate {
            person,
            device,
            seal,
            kind,
        };
        certificate.verify(&self.family, &device_sig).is_ok()
    }
}

/// What the admin who confirms a new kit signs ("cosign"): author, the entry before, person, kit.
///
/// The entry before is in it, so that a thief of the device cannot say it again later.
pub fn cosign_bytes(author: DeviceId, prev: EntryId, person: &PersonId, kit: &KitProof) -> Vec<u8> {
    [&author.0[..], &prev.0, &person.0, &kit.sign.0, &kit.seal.0].concat()
}

impl Replica {
    pub(super) fn accept_control(&mut self, entry: &Entry) -> Result<Vec<Effect>, Refusal> {
        let header = entry.header();
        if !header.is_control() {
            return Err(Refusal::WrongSpace);
        }
        if !self.control.knows(&header.deps) {
            return Err(Refusal::Waiting);
        }
        let ops = entry.open(None).map_err(|_| Refusal::WrongSpace)?;
        let is_first = header.device == self.control.genesis.device
            && matches!(&ops[..], [Some(Op::Genesis(genesis))] if *genesis == self.control.genesis);
        let claims_first = ops.iter().any(|op| matches!(op, Some(Op::Genesis(_))));
        if claims_first && !(is_first && header.seq == 0) {
            return Err(Refusal::WrongSpace);
        }
        self.control.take(entry, &ops);
        let opened = self.open_keys();
        let mut effects = vec![Effect::Roster];
        let mut anew = self.refresh_standing();
        anew.extend(opened);
        anew.sort_unstable();
        anew.dedup();
        effects.extend(anew.into_iter().map(Effect::Rebuild));
        Ok(effects)
    }
}
