//! How far each stretch of a log counts under the cuts and lowerings in force.
//!
//! Every condition honours a stretch up to some entry and none above it, so two
//! numbers a stretch say it all. Who may confirm whom goes in a circle: an
//! entry witnesses others while it stands itself. The least answer counts, so
//! two removed devices do not vouch for each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ledger, Named, Naming, Standing};
use crate::{
    family::resolver::Resolution,
    id::{DeviceId, EntryId, OpId, PersonId},
    op::{Level, Position},
};

/// What a cut honours in one incarnation of a device.
#[derive(Clone)]
pub(crate) struct Honour {
    /// The entries named.
    pub(crate) positions: Vec<Position>,
    /// Entries of ops that its author's standing rests on: it does not reach below these.
    pub(crate) support: Vec<EntryId>,
    /// It leaves no grant above these, whoever vouched for it.
    pub(crate) is_strict: bool,
}

/// What of an entry is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Need {
    /// What level its ops need of their author.
    level: Level,
    /// Whether they give somebody access.
    grants: bool,
}

impl Need {
    /// A grant: a strict cut takes it, whoever vouched for it.
    pub(crate) const GRANT: Self = Self {
        level: Level::Manager,
        grants: true,
    };
}

impl From<Level> for Need {
    fn from(level: Level) -> Self {
        let grants = false;
        Self { level, grants }
    }
}

/// A loss of access in force.
pub(crate) struct Lowering {
    /// Ops that need more are hit.
    pub(crate) level: Level,
    /// The highest level given back by a grant that had seen it.
    pub(crate) lifted: Level,
    /// By device and incarnation.
    pub(crate) honours: BTreeMap<DeviceId, BTreeMap<u64, Honour>>,
}

/// The cuts of a device.
#[derive(Default)]
pub(crate) struct Cuts {
    pub(crate) count: usize,
    /// How many of them are strict.
    pub(crate) strict: usize,
    /// By incarnation, those that list it.
    pub(crate) honours: BTreeMap<u64, Vec<Honour>>,
}

/// The cuts and lowerings in force.
#[derive(Default)]
pub(crate) struct Restrictions {
    pub(crate) cuts: BTreeMap<DeviceId, Cuts>,
    pub(crate) lowerings: BTreeMap<PersonId, BTreeMap<OpId, Lowering>>,
}

/// Who is who, for the whole of a settlement.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) family: &'a Resolution,
    /// Persons who were ever given access.
    pub(crate) known: &'a BTreeSet<PersonId>,
}

/// Up to where a stretch counts; sequence numbers, the first one that does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bounds {
    cut: u32,
    open: u32,
    /// What holds from `open` on.
    then: Standing,
    /// Up to where this device wrote it itself above a fork: of that, the adds show.
    own: u32,
}

impl Bounds {
    const ALL: Self = Self {
        cut: u32::MAX,
        open: u32::MAX,
        then: Standing::Stands,
        own: 0,
    };

    /// The first sequence number that does not stand.
    fn end(&self) -> u32 {
        self.cut.min(self.open)
    }

    fn at(&self, seq: u32) -> Standing {
        match seq {
            _ if seq >= self.cut => Standing::Cut,
            _ if seq >= self.open => match self.then {
                Standing::Suspended if seq < self.own => Standing::Own,
                then => then,
            },
            _ => Standing::Stands,
        }
    }

    fn cut_at(&mut self, seq: u32) {
        self.cut = self.cut.min(seq);
    }

    fn open_at(&mut self, seq: u32, then: Standing) {
        if seq < self.open {
            (self.open, self.then) = (seq, then);
        }
    }
}

/// How far a stretch counts for a viewer's, a contributor's and a manager's ops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reach {
    highest: Level,
    bounds: [Bounds; 3],
}

/// How far each stretch is named by standing entries of live devices and keepers.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Witness {
    /// By another device.
    devices: Ends,
    /// By another person's device or a keeper.
    persons: Ends,
    /// By these, in an anchor.
    anchored: Ends,
    /// How far this device wrote each itself.
    own: Vec<u32>,
}

/// How far each stretch is named, for what a viewer, a contributor and a manager may say.
#[derive(Clone, PartialEq, Eq, Default)]
struct Ends([Vec<u32>; 3]);

impl Ends {
    fn new(stretches: usize) -> Self {
        Self(std::array::from_fn(|_| vec![0; stretches]))
    }

    fn of(&self, need: Level, at: usize) -> u32 {
        let [viewer, contributor, manager] = &self.0;
        let ends = match need {
            Level::None | Level::Viewer => viewer,
            Level::Contributor => contributor,
            Level::Manager => manager,
        };
        ends.get(at).copied().unwrap_or(0)
    }

    /// Raises the ends of all that does not need more than a level.
    fn raise(&mut self, most: Level, at: usize, seq: u32) {
        let needs = [Level::Viewer, Level::Contributor, Level::Manager];
        for (ends, _) in self
            .0
            .iter_mut()
            .zip(needs)
            .filter(|(_, need)| *need <= most)
        {
            if let Some(end) = ends.get_mut(at) {
                *end = seq.max(*end);
            }
        }
    }
}

/// Who named how much of a stretch: by naming stretch, named stretch, kind and the losses of access that the
/// author had seen, the sequence numbers of both, rising.
pub(crate) type Namings = BTreeMap<(usize, usize, Naming, Vec<OpId>), Vec<(u32, u32)>>;

impl Facts<'_> {
    /// How far each stretch from `first` on counts.
    pub(crate) fn reaches(
        &self,
        first: usize,
        highest: &BTreeMap<PersonId, Level>,
        restrictions: &Restrictions,
        witness: &Witness,
    ) -> Vec<Reach> {
        let reach = |at: usize| {
            let cert = self.family.certs.get(&self.ledger.stretches[at].cert);
            let person = cert.and_then(|cert| cert.person);
            let highest = person.and_then(|person| highest.get(&person)).copied();
            Reach {
                highest: highest.unwrap_or(Level::None),
                bounds: [Level::Viewer, Level::Contributor, Level::Manager]
                    .map(|need| self.bounds(at, need.into(), restrictions, witness)),
            }
        };
        (first..self.ledger.stretches.len()).map(reach).collect()
    }

    /// The standing of an entry for some kind of ops.
    pub(crate) fn standing(
        &self,
        entry: &EntryId,
        need: Need,
        restrictions: &Restrictions,
        witness: &Witness,
    ) -> Standing {
        let Some((at, seq)) = self.ledger.places.get(entry) else {
            return Standing::Cut;
        };
        self.bounds(*at, need, restrictions, witness).at(*seq)
    }

    /// The standing that what follows an entry would have.
    pub(crate) fn standing_after(
        &self,
        entry: &EntryId,
        need: Level,
        restrictions: &Restrictions,
        witness: &Witness,
    ) -> Standing {
        let Some((at, seq)) = self.ledger.places.get(entry) else {
            return Standing::Stands;
        };
        self.bounds(*at, need.into(), restrictions, witness)
            .at(seq.saturating_add(1))
    }

    fn bounds(
        &self,
        at: usize,
        Need {
            level: need,
            grants,
        }: Need,
        restrictions: &Restrictions,
        witness: &Witness,
    ) -> Bounds {
        let mut bounds = Bounds::ALL;
        let stretch = &self.ledger.stretches[at];
        let Some(cert) = self.family.certs.get(&stretch.cert) else {
            bounds.cut_at(0);
            return bounds;
        };
        let cuts = restrictions.cuts.get(&stretch.device);
        let listing = cuts.and_then(|cuts| cuts.honours.get(&stretch.inc));
        let listing = listing.map_or(&[][..], Vec::as_slice);
        let ends = listing
            .iter()
            .map(|cut| self.honoured(cut, (at, need), cut.is_strict && grants, witness));
        let devices = witness.devices.of(need, at);
        match ends.min() {
            Some(end) => bounds.cut_at(end),
            None if self.family.retired.contains(&stretch.cert) => match cuts {
                Some(cuts) if cuts.strict > 0 && grants => bounds.cut_at(0),
                Some(cuts) if cuts.count > 0 => bounds.cut_at(self.vouched((at, need), witness)),
                _ => bounds.open_at(devices, Standing::Unconfirmed),
            },
            None if stretch.parent.is_some() => {
                bounds.own = witness.own.get(at).copied().unwrap_or(0);
                bounds.open_at(devices, Standing::Suspended);
            }
            None => {}
        }
        let lowerings = cert.person.and_then(|p| restrictions.lowerings.get(&p));
        for lowering in lowerings.into_iter().flat_map(BTreeMap::values) {
            if lowering.level < need {
                self.lower(at, need, lowering, witness, &mut bounds);
            }
        }
        bounds
    }

    /// Applies a loss of access to one stretch.
    ///
    /// A grant that followed it gives back what it did not list. What it did
    /// list stays cut there: the device goes on in a new incarnation.
    fn lower(
        &self,
        at: usize,
        need: Level,
        lowering: &Lowering,
        witness: &Witness,
        bounds: &mut Bounds,
    ) {
        let stretch = &self.ledger.stretches[at];
        let named = lowering.honours.get(&stretch.device);
        let listed = named.and_then(|named| named.get(&stretch.inc));
        match (listed, named) {
            (Some(honour), _) => bounds.cut_at(self.honoured(honour, (at, need), false, witness)),
            (None, _) if lowering.lifted >= need => {}
            (None, Some(_)) => bounds.cut_at(self.vouched((at, need), witness)),
            (None, None) => bounds.open_at(witness.persons.of(need, at), Standing::Unconfirmed),
        }
    }

    /// How far a cut that lists a stretch's incarnation honours the stretch: strictly, whoever vouched for more.
    fn honoured(
        &self,
        honour: &Honour,
        (at, need): (usize, Level),
        strictly: bool,
        witness: &Witness,
    ) -> u32 {
        let named = honour.positions.iter().map(|position| {
            // Not here yet: its ancestors are what lies below it.
            let below = position.seq.saturating_add(1);
            self.ledger.reach(at, &position.entry).unwrap_or(below)
        });
        let support = honour.support.iter();
        let support = support.filter_map(|entry| self.ledger.reach(at, entry));
        let vouched = match strictly {
            true => 0,
            false => self.vouched((at, need), witness),
        };
        named.chain(support).fold(vouched, u32::max)
    }

    /// How far others vouched for a stretch. It stays: who says a cut may be the last to hear of it.
    fn vouched(&self, (at, need): (usize, Level), witness: &Witness) -> u32 {
        let anchored = witness.anchored.of(need, at);
        let cert = &self.ledger.stretches[at].cert;
        match self.family.retired.contains(cert) {
            true => anchored.max(witness.devices.of(need, at)),
            false => anchored,
        }
    }

    /// The namings that can confirm anything: by live devices of persons with access and by live keepers. Who had
    /// seen that a device was removed confirms nothing of it: it may have been written since.
    ///
    /// `lost` gives the losses of access of a person among some ops and what these had seen.
    pub(crate) fn namings(&self, lost: impl Fn(&PersonId, &[OpId]) -> Vec<OpId>) -> Namings {
        let mut namings = Namings::new();
        for Named {
            by,
            how,
            entry,
            seen,
        } in &self.ledger.names
        {
            let places = &self.ledger.places;
            let (Some((from, at)), Some((to, seq))) = (places.get(by), places.get(entry)) else {
                continue;
            };
            let cert = &self.ledger.stretches[*to].cert;
            let is_late = seen.is_removed && self.family.retired.contains(cert);
            if is_late || !self.may_confirm(*from, *to, *how) {
                continue;
            }
            let person = self.person(*to);
            let lost = person.map_or_else(Vec::new, |person| lost(&person, &seen.ops));
            let named = namings.entry((*from, *to, *how, lost)).or_default();
            named.push((*at, seq.saturating_add(1)));
        }
        for named in namings.values_mut() {
            named.sort_unstable();
            let mut most = 0;
            named.retain(|(_, seq)| {
                let more = *seq > most;
                most = most.max(*seq);
                more
            });
        }
        namings
    }

    fn may_confirm(&self, from: usize, to: usize, how: Naming) -> bool {
        let (by, of) = (&self.ledger.stretches[from], &self.ledger.stretches[to]);
        let Some(cert) = self.family.certs.get(&by.cert) else {
            return false;
        };
        if by.device == of.device || self.family.retired.contains(&by.cert) {
            return false;
        }
        match cert.person {
            None => how == Naming::Anchor,
            Some(person) => self.known.contains(&person),
        }
    }

    /// The least witness that agrees with itself.
    pub(crate) fn witness(&self, namings: &Namings, restrictions: &Restrictions) -> Witness {
        let none = Ends::new(self.ledger.stretches.len());
        let mut witness = Witness {
            devices: none.clone(),
            persons: none.clone(),
            anchored: none,
            own: vec![0; self.ledger.stretches.len()],
        };
        for own in &self.ledger.own {
            if let Some((at, seq)) = self.ledger.places.get(own) {
                self.each_below((*at, seq.saturating_add(1)), |at, seq| {
                    witness.own[at] = witness.own[at].max(seq);
                });
            }
        }
        for noted in &self.ledger.noted {
            if let Some((at, seq)) = self.ledger.places.get(noted) {
                self.each_below((*at, seq.saturating_add(1)), |at, seq| {
                    witness.devices.raise(Level::Manager, at, seq);
                    witness.persons.raise(Level::Manager, at, seq);
                });
            }
        }
        loop {
            let before = witness.clone();
            let mut ends = BTreeMap::new();
            for ((from, to, how, lost), named) in namings {
                let end = *ends.entry(*from).or_insert_with(|| {
                    let bounds = self.bounds(*from, Level::Viewer.into(), restrictions, &before);
                    bounds.end()
                });
                let seen = named.partition_point(|(at, _)| *at < end);
                if let Some((_, seq)) = seen.checked_sub(1).and_then(|last| named.get(last)) {
                    let most = self.most(*to, lost, restrictions);
                    self.confirm(&mut witness, (*from, *to), *seq, (*how, most));
                }
            }
            if witness == before {
                return witness;
            }
        }
    }

    /// For acts of what level, at most, somebody vouches who had seen some losses of access: those in force count.
    fn most(&self, to: usize, lost: &[OpId], restrictions: &Restrictions) -> Level {
        let person = self.person(to);
        let lowerings = person.and_then(|person| restrictions.lowerings.get(&person));
        let left = lost.iter().filter_map(|op| lowerings?.get(op));
        let left = left.map(|lowering| lowering.level.max(lowering.lifted));
        left.min().unwrap_or(Level::Manager)
    }

    /// Whose a stretch is; nobody's is a keeper's.
    fn person(&self, at: usize) -> Option<PersonId> {
        let cert = self.family.certs.get(&self.ledger.stretches[at].cert)?;
        cert.person
    }

    fn confirm(
        &self,
        witness: &mut Witness,
        (from, to): (usize, usize),
        seq: u32,
        (how, most): (Naming, Level),
    ) {
        let by = self.person(from);
        let beside = by.is_none() || by != self.person(to);
        self.each_below((to, seq), |at, seq| {
            witness.devices.raise(most, at, seq);
            if beside {
                witness.persons.raise(most, at, seq);
                if how == Naming::Anchor {
                    witness.anchored.raise(most, at, seq);
                }
            }
        });
    }

    /// Goes through the stretches of a log that end below a place, and how far each counts by it.
    fn each_below(&self, (to, seq): (usize, u32), mut take: impl FnMut(usize, u32)) {
        let mut below = Some((to, seq));
        while let Some((at, seq)) = below {
            take(at, seq);
            let first = self.ledger.stretches[at].first;
            below = self.ledger.stretches[at]
                .parent
                .map(|parent| (parent, first));
        }
    }
}
