//! A family in memory: replicas that write entries, shelves that hold them, sessions between two shelves.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use heirloom_protocol::{
    crypto::{BlobKey, DeviceKeys, SeededRng},
    id::{BlobId, DeviceId, EntryId, FamilyId, LogId, PlainHash, SpaceId},
    log::entry::{BlobLine, Entry, EntryBytes},
    op::{
        AddItem, AlbumUse, Camera, Captured, DeviceKind, Genesis, ItemKind, Op, Part, PartRole,
        Subject,
    },
    replica::{Recorded, Refusal, Replica, found, log_of, sign_device},
    sync::{
        Digest, Head, LogView, heads_digest,
        message::{Message, PREFIX_BYTES, PeerRole},
        session::{Input, News, Opening, Output, Session, Verdict},
    },
    time::Timestamp,
};

/// Photos that one import batch records in one entry.
pub const BATCH: usize = 64;

/// Entries as a store would hold them.
#[derive(Clone, Default)]
pub struct Shelf {
    logs: BTreeMap<LogId, Vec<(EntryId, EntryBytes)>>,
    control: BTreeMap<SpaceId, Vec<(LogId, u32)>>,
}

impl Shelf {
    /// Takes an entry that follows its log.
    pub fn put(&mut self, entry: &Entry) {
        let header = entry.header();
        let log = log_of(entry);
        if header.is_control() {
            let order = self.control.entry(header.space).or_default();
            order.push((log, header.seq));
        }
        let entries = self.logs.entry(log).or_default();
        entries.push((entry.id(), entry.bytes().clone()));
    }

    /// Entries in all.
    pub fn len(&self) -> usize {
        self.logs.values().map(Vec::len).sum()
    }

    fn slot(&self, log: &LogId, seq: u32) -> Option<&(EntryId, EntryBytes)> {
        self.logs.get(log)?.get(usize::try_from(seq).ok()?)
    }
}

impl LogView for Shelf {
    fn spaces_for(&self, _peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        let mut spaces: Vec<_> = self.logs.keys().map(|log| log.space).collect();
        spaces.dedup();
        let digest = |space| (space, heads_digest(self.heads(space)));
        spaces.into_iter().map(digest).collect()
    }

    fn heads(&self, space: SpaceId) -> Vec<Head> {
        let logs = self.logs.iter().filter(|(log, _)| log.space == space);
        logs.filter_map(|(log, entries)| {
            Some(Head {
                log: *log,
                first: 0,
                seq: u32::try_from(entries.len() - 1).ok()?,
                id: entries.last()?.0,
            })
        })
        .collect()
    }

    fn entry(&self, log: &LogId, seq: u32) -> Option<EntryBytes> {
        self.slot(log, seq).map(|(_, bytes)| bytes.clone())
    }

    fn entry_id(&self, log: &LogId, seq: u32) -> Option<EntryId> {
        self.slot(log, seq).map(|(id, _)| *id)
    }

    fn causal(&self, space: SpaceId) -> Vec<(LogId, u32)> {
        self.control.get(&space).cloned().unwrap_or_default()
    }
}

/// A device that writes.
pub struct Device {
    pub replica: Replica,
    pub shelf: Shelf,
    rng: SeededRng,
    now: Timestamp,
}

impl Device {
    /// The first device of a family.
    pub fn founder() -> Self {
        let mut rng = SeededRng::from_seed([1; 32]);
        let keys = Arc::new(DeviceKeys::generate(&mut rng));
        let now = Timestamp(1_700_000_000_000);
        let founded = found(&keys, None, now, &mut rng);
        let person = Subject::Person(founded.genesis.person);
        let replica = Replica::new(keys, 11, founded.family, founded.genesis);
        let mut device = Self {
            replica,
            shelf: Shelf::default(),
            rng,
            now,
        };
        let names = [(Subject::Family, "Berger"), (person, "Anna")];
        let recorded = device
            .replica
            .record_founding(&names, now, &mut device.rng)
            .expect("a new family");
        device.keep(&recorded);
        device
    }

    fn keep(&mut self, recorded: &Recorded) {
        for entry in &recorded.entries {
            self.shelf.put(entry);
        }
    }

    /// Lets a second device of the same person in.
    pub fn admits(&mut self, seed: u8) -> Newcomer {
        let keys = DeviceKeys::generate(&mut SeededRng::from_seed([seed; 32]));
        let family = self.replica.family();
        let person = self.replica.person().expect("a member");
        let add = sign_device(&keys, family, person, DeviceKind::Device);
        let ops = vec![Op::AddDevice(add)];
        let recorded = self.replica.record_control(ops, self.now);
        self.keep(&recorded.expect("an admin"));
        let recorded = self.replica.tend(self.now, &mut self.rng);
        self.keep(&recorded.expect("keys to give"));
        let genesis = self.replica.control().genesis().clone();
        Newcomer {
            keys: Arc::new(keys),
            family,
            genesis,
        }
    }

    /// Makes an album.
    pub fn album(&mut self, name: &str) -> SpaceId {
        let (space, recorded) = self
            .replica
            .record_album(name, AlbumUse::Album, self.now, &mut self.rng)
            .expect("an album");
        self.keep(&recorded);
        space
    }

    /// Records so many photos as one entry and gives it.
    pub fn add_photos(&mut self, space: SpaceId, first: usize, count: usize) -> Entry {
        self.now.0 += 1;
        let ops = (0..count).map(|index| photo(first + index, index));
        let lines = (0..count).map(|index| line(first + index));
        let recorded = self
            .replica
            .record(
                space,
                ops.collect(),
                lines.collect(),
                Vec::new(),
                self.now,
                &mut self.rng,
            )
            .expect("an entry");
        self.keep(&recorded);
        recorded.entries.last().expect("one entry").clone()
    }
}

/// A device that was let in and holds nothing yet.
#[derive(Clone)]
pub struct Newcomer {
    keys: Arc<DeviceKeys>,
    family: FamilyId,
    genesis: Genesis,
}

impl Newcomer {
    /// Its replica.
    pub fn replica(&self) -> Replica {
        Replica::new(self.keys.clone(), 12, self.family, self.genesis.clone())
    }
}

fn hash(number: usize) -> [u8; 32] {
    *blake3::hash(&number.to_be_bytes()).as_bytes()
}

fn photo(number: usize, blob: usize) -> Op {
    let minutes = i64::try_from(number).expect("a small number");
    Op::AddItem(AddItem {
        kind: ItemKind::Photo,
        media: 1,
        captured: Captured {
            wall: Some(1_600_000_000_000 + minutes * 60_000),
            offset: Some(60),
            source: 1,
        },
        width: 4032,
        height: 3024,
        duration_ms: 0,
        place: None,
        camera: Some(Camera {
            make: "Maker".into(),
            model: "Model 12".into(),
        }),
        parts: vec![Part {
            role: PartRole::Still,
            name: format!("IMG_{number:06}.JPG"),
            len: 3_000_000,
            pt_hash: PlainHash(hash(number)),
            key: BlobKey::from_bytes(hash(number + 1)),
            blob: u32::try_from(blob).expect("a batch"),
        }],
    })
}

fn line(number: usize) -> BlobLine {
    BlobLine {
        part: 0,
        class: 0,
        id: BlobId(hash(number + 2)),
        padded: 3_014_656,
    }
}

/// One end of a session, with a replica where entries are to be accepted and not only verified.
pub struct End {
    pub shelf: Shelf,
    pub replica: Option<Replica>,
    family: FamilyId,
    session: Session,
    wire: VecDeque<Vec<u8>>,
    now: Instant,
    /// Bytes of the frames that it sent.
    pub sent: usize,
}

impl End {
    fn new(shelf: Shelf, replica: Option<Replica>, writer: &Device, peer: u8) -> Self {
        let family = writer.replica.family();
        let opening = Opening {
            peer: DeviceId([peer; 32]),
            control: family.control_space(),
            role: PeerRole::Archive,
            incarnation: 7,
        };
        let now = Instant::now();
        let session = Session::open(opening, &shelf, now);
        let mut end = Self {
            shelf,
            replica,
            family,
            session,
            wire: VecDeque::new(),
            now,
            sent: 0,
        };
        end.drain();
        end
    }

    /// Feeds the session and does what it asks for.
    pub fn input(&mut self, input: Input) {
        self.session.handle(input, &self.shelf, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll(&self.shelf) {
            match output {
                Output::Send(message) => {
                    let frame = message.to_frame();
                    self.sent += frame.len();
                    self.wire.push_back(frame);
                }
                Output::Commit { batch, entries, .. } => {
                    let verdicts = entries.into_iter().map(|entry| self.take(entry));
                    let verdicts = verdicts.collect();
                    let input = Input::Committed { batch, verdicts };
                    self.session.handle(input, &self.shelf, self.now);
                }
                Output::Close(reason) => panic!("the session ended: {reason:?}"),
                _ => {}
            }
        }
    }

    fn take(&mut self, bytes: EntryBytes) -> Verdict {
        let entry = Entry::verify(self.family, bytes).expect("an honest peer");
        if let Some(replica) = &mut self.replica {
            match replica.accept(&entry, Timestamp(1_800_000_000_000)) {
                Ok(_) => {}
                Err(Refusal::AlreadyHere) => return Verdict::Known,
                Err(Refusal::Waiting) => return Verdict::Waiting,
                Err(refusal) => panic!("refused: {refusal}"),
            }
        }
        self.shelf.put(&entry);
        Verdict::Accepted(entry.id())
    }
}

/// Opens a session between the writer's shelf and another.
pub fn meet(writer: &Device, other: Shelf, replica: Option<Replica>) -> [End; 2] {
    [
        End::new(writer.shelf.clone(), None, writer, 2),
        End::new(other, replica, writer, 1),
    ]
}

/// Carries frames until none is left; both sides have settled then.
pub fn talk(ends: &mut [End; 2]) {
    loop {
        let mut moved = false;
        for to in 0..2 {
            while let Some(frame) = ends[1 - to].wire.pop_front() {
                let message = Message::from_frame(&frame[PREFIX_BYTES..]).expect("a frame");
                ends[to].input(Input::Message(message));
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    assert!(ends.iter().all(|end| end.session.is_settled()));
}

/// Tells one end of an entry that its device wrote.
pub fn announce(end: &mut End, entry: &Entry) {
    end.shelf.put(entry);
    let news = News {
        log: log_of(entry),
        seq: entry.header().seq,
        id: entry.id(),
    };
    end.input(Input::LocalNews(vec![news]));
}
