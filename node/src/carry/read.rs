//! What lies in a folder comes here, as far as it is the family's: wrong files are named, the rest is taken.
//!
//! Nothing there is believed. Entries are accepted as from a hostile peer, blobs
//! must have their names, and a manifest only says what ought to be there. It
//! need not be there: what an interrupted writer left is read as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    carry::{self, Manifest, Part, SpaceRow},
    crypto::{Signed, SignedBytes},
    id::{BlobId, DeviceId, SpaceId},
    limits,
    sync::{blob::blob_bytes, have::PeerHaves},
    wire,
};
use tokio_util::sync::CancellationToken;

use super::{
    Carrier, CarryError, Pace,
    depot::MARKER,
    is_wrong_blob,
    relied::Others,
    writers::{Writer, renamed, said},
};
use crate::{
    node::Node,
    runtime::{RuntimeError, Standing, Taken},
    store::BlobPlace,
};

/// Blobs that are asked for at once.
const PAGE: usize = 64;
/// Entries that are taken in one turn.
const TURN: usize = 256;
/// Bytes of manifests and lists that are read in all. Of a million blobs they have less than one of these.
const NAMING_BYTES: u64 = 32 * 1024 * 1024;
/// Wrong files that are named; who meddles can make any number of them.
const WRONGS: usize = 10_000;

/// A file that is not what it is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    /// Its name, below the folder.
    pub(crate) name: String,
    /// What is wrong with it, for people.
    pub(crate) reason: &'static str,
}

/// What came of reading.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Read {
    /// Entries that are new here.
    pub(crate) entries: u64,
    /// Entries that wait for others, which are not in the folder.
    pub(crate) waiting: u64,
    /// Entries of albums that are not for this device.
    pub(crate) not_ours: u64,
    /// Blobs that came.
    pub(crate) blobs: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Devices that wrote there and did not come to an end.
    pub(crate) unfinished: u64,
    /// Manifests whose entries are all here now, by their hash.
    pub(crate) seen: BTreeMap<DeviceId, [u8; 32]>,
    /// What others say that lies there.
    pub(crate) others: Others,
    /// Files that are not what they are to be.
    pub(crate) wrong: Vec<Wrong>,
}

const MISSING: &str = "it is missing";
const CHANGED: &str = "it was changed, cut short or swapped";
const TOO_MUCH: &str = "there is more of its kind than a family has";
const UNREADABLE: &str = "it cannot be read";
const UNSIGNED: &str = "something in it was signed by nobody of this family";
const NO_MANIFEST: &str = "it is no manifest of this device in this family";

/// What of a folder is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// Of a depot: what a manifest names alone, and not what this device itself wrote.
    pub(crate) depot: Option<DeviceId>,
    /// Manifests whose entries were all taken before, by their hash.
    pub(crate) seen: BTreeMap<DeviceId, [u8; 32]>,
}

/// Reads a folder. What it counts is durable when it returns.
///
/// # Errors
///
/// [`CarryError::Nothing`] and [`CarryError::Foreign`] where there is nothing for this family; what
/// was taken before another error stays.
pub(crate) fn read(
    node: &Node,
    folder: &dyn Carrier,
    reading: &Reading,
    cancelled: &CancellationToken,
    tell: &mut dyn FnMut(Pace),
) -> Result<Read, CarryError> {
    let mut reader = Reader {
        node,
        folder,
        reading,
        cancelled,
        tell,
        read: Read::default(),
        wrong: BTreeMap::new(),
        naming: NAMING_BYTES,
        pace: Pace::default(),
    };
    let mut writers = reader.writers()?;
    let blobs = match reading.depot {
        Some(_) => None,
        None => Some(blobs_there(folder)?),
    };
    if writers.is_empty() && blobs.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(CarryError::Nothing);
    }
    reader.entries(&mut writers)?;
    reader.blobs(&writers, blobs.as_ref())?;
    // A depot holds what its writers may have let go since.
    let is_depot = reading.depot.is_some() || folder.size(MARKER)?.is_some();
    for writer in writers.into_iter().filter(|_| !is_depot) {
        node.ask_blocking(move |runtime| runtime.note_carried(writer.device, writer.rows()))??;
    }
    let Reader {
        mut read, wrong, ..
    } = reader;
    let wrong = wrong.into_iter();
    read.wrong = wrong.map(|(name, reason)| Wrong { name, reason }).collect();
    Ok(read)
}

/// The blobs of which any file lies there.
pub(super) fn blobs_there(folder: &dyn Carrier) -> Result<BTreeSet<BlobId>, CarryError> {
    let mut there = BTreeSet::new();
    for inner in folder.list(carry::BLOBS)? {
        for name in folder.list(&format!("{}/{inner}", carry::BLOBS))? {
            let id = name.get(..64).and_then(BlobId::from_hex);
            there.extend(id);
        }
    }
    Ok(there)
}

struct Reader<'a> {
    node: &'a Node,
    folder: &'a dyn Carrier,
    reading: &'a Reading,
    cancelled: &'a CancellationToken,
    tell: &'a mut dyn FnMut(Pace),
    read: Read,
    wrong: BTreeMap<String, &'static str>,
    /// Bytes of manifests and lists that may still be read.
    naming: u64,
    pace: Pace,
}

impl Reader<'_> {
    fn check(&self) -> Result<(), CarryError> {
        match self.cancelled.is_cancelled() {
            true => Err(RuntimeError::Stopped.into()),
            false => Ok(()),
        }
    }

    /// The first thing that is wrong with a file counts.
    fn wrong(&mut self, name: &str, reason: &'static str) {
        if self.wrong.len() < WRONGS {
            self.wrong.entry(name.to_owned()).or_insert(reason);
        }
    }

    /// A whole file; one that cannot be read is named and counts as missing.
    ///
    /// # Errors
    ///
    /// Where nothing else could be read either: a store does not answer.
    fn file(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, CarryError> {
        match self.folder.get(name, most) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {
                Err(error.into())
            }
            Err(error) => {
                // The error names the place.
                tracing::warn!(name, kind = ?error.kind(), "a file that was carried");
                self.wrong(name, UNREADABLE);
                Ok(None)
            }
        }
    }

    /// A file that says what others hold; one that is too much of it is named.
    fn naming_file(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, CarryError> {
        if self.naming == 0 {
            self.wrong(name, TOO_MUCH);
            return Ok(None);
        }
        let bytes = self.file(name, most)?;
        let length = bytes.as_ref().map_or(0, Vec::len);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.naming = self.naming.saturating_sub(length);
        Ok(bytes)
    }

    /// Whose folders are read: devices of the family before those that were removed, and these before any
    /// other; no more than a family has.
    fn devices(&self) -> Result<Vec<DeviceId>, CarryError> {
        let names = self.folder.list(carry::DEVICES)?;
        let names = names.iter().filter_map(|name| DeviceId::from_hex(name));
        let mut devices: Vec<_> = names
            .filter(|device| self.reading.depot != Some(*device))
            .collect();
        Ok(self.node.ask_blocking(move |runtime| {
            devices.sort_by_cached_key(|device| runtime.standing(device));
            devices.truncate(limits::DEVICES);
            devices
        })?)
    }

    fn writers(&mut self) -> Result<Vec<Writer>, CarryError> {
        let mut writers = Vec::new();
        for device in self.devices()? {
            self.check()?;
            let folder = carry::folder_of(&device);
            let names = self.folder.list(&folder)?;
            let files = names
                .iter()
                .filter(|name| name.starts_with("entries-") && carry::number_of(name).is_some());
            let mut files: Vec<_> = files.map(|name| format!("{folder}/{name}")).collect();
            let (manifest, hash) = self.manifest(&device)?;
            if self.reading.depot.is_some() {
                let parts = manifest.iter().flat_map(|manifest| &manifest.entries);
                let named: BTreeSet<_> = parts
                    .map(|part| carry::entries_of(&device, part.number))
                    .collect();
                let is_seen = self.reading.seen.get(&device) == Some(&hash);
                files.retain(|name| !is_seen && named.contains(name));
            }
            if let Some(manifest) = &manifest
                && self.reading.depot.is_none()
            {
                for part in &manifest.entries {
                    let name = carry::entries_of(&device, part.number);
                    if !files.contains(&name) {
                        self.wrong(&name, MISSING);
                    }
                }
            }
            if manifest.as_ref().is_none_or(|manifest| !manifest.whole) {
                self.read.unfinished += 1;
            }
            files.sort();
            writers.push(Writer {
                device,
                standing: Standing::Unknown,
                hash,
                files,
                manifest,
                rows: None,
            });
        }
        Ok(writers)
    }

    /// Reads the lists of writers that are known by now: first of those that belong to the family, so that
    /// one that was removed takes no room from them.
    fn lists(&mut self, writers: &mut [Writer]) -> Result<(), CarryError> {
        let devices: Vec<_> = writers.iter().map(|writer| writer.device).collect();
        let standings = self.node.ask_blocking(move |runtime| {
            let standings = devices.iter().map(|device| runtime.standing(device));
            standings.collect::<Vec<_>>()
        })?;
        for (writer, standing) in writers.iter_mut().zip(standings) {
            writer.standing = standing;
        }
        for standing in [Standing::Live, Standing::Left] {
            let new = writers.iter_mut().filter(|writer| writer.rows.is_none());
            for writer in new.filter(|writer| writer.standing == standing) {
                self.rows(writer)?;
            }
        }
        Ok(())
    }

    fn rows(&mut self, writer: &mut Writer) -> Result<(), CarryError> {
        let device = writer.device;
        let mut is_read = true;
        if let Some(manifest) = &writer.manifest {
            let mut rows = Vec::new();
            for part in &manifest.lists {
                self.check()?;
                match self.list(&device, part)? {
                    Some(list) => rows.extend(list),
                    None => is_read = false,
                }
            }
            writer.rows = Some(Arc::new(rows));
        } else {
            // One that has no manifest has said nothing yet.
            let name = carry::manifest_of(&device);
            is_read = !self.wrong.contains_key(&name) && self.wrong.len() < WRONGS;
        }
        if !is_read && writer.standing == Standing::Live {
            self.read.others.is_unsure = true;
        }
        Ok(())
    }

    fn manifest(&mut self, device: &DeviceId) -> Result<(Option<Manifest>, [u8; 32]), CarryError> {
        let name = carry::manifest_of(device);
        let most = limits::MANIFEST_BYTES + 128;
        let Some(bytes) = self.naming_file(&name, u64::try_from(most).unwrap_or(0))? else {
            return Ok((None, [0; 32]));
        };
        let family = self
            .node
            .ask_blocking(|runtime| runtime.replica().family())?;
        let raw = wire::decode::<SignedBytes>(&bytes, most).ok();
        let signed = raw.and_then(|raw| Signed::<Manifest>::verify(&family, raw).ok());
        let signed = signed.filter(|signed| signed.value().device == *device);
        if signed.is_none() {
            self.wrong(&name, NO_MANIFEST);
        }
        let hash = *blake3::hash(&bytes).as_bytes();
        Ok((signed.map(|signed| signed.value().clone()), hash))
    }

    fn list(
        &mut self,
        device: &DeviceId,
        part: &Part,
    ) -> Result<Option<Vec<SpaceRow>>, CarryError> {
        let name = carry::list_of(device, part.number);
        let most = u64::try_from(limits::FRAME_BYTES).unwrap_or(0);
        let Some(bytes) = self.naming_file(&name, most)? else {
            // What was wrong with it before counts.
            self.wrong(&name, MISSING);
            return Ok(None);
        };
        let rows = part.is(&bytes).then(|| carry::read_list(&bytes)).flatten();
        if rows.is_none() {
            self.wrong(&name, CHANGED);
        }
        Ok(rows)
    }

    /// Spaces that are for this device, by the word of devices that belong to the family.
    fn offered(&self, writers: &[Writer]) -> Result<BTreeSet<SpaceId>, CarryError> {
        let rows: Vec<_> = writers
            .iter()
            .filter_map(|writer| Some((writer.device, writer.rows.clone()?)))
            .collect();
        Ok(self.node.ask_blocking(move |runtime| {
            let rows = rows.iter().filter(|(device, _)| runtime.is_live(device));
            rows.flat_map(|(_, rows)| runtime.spaces_among(rows))
                .collect()
        })?)
    }

    /// Takes entries, again and again as long as some are new that others may have waited for.
    fn entries(&mut self, writers: &mut [Writer]) -> Result<(), CarryError> {
        let named = self.named_parts(writers);
        let mut left: Vec<String> = writers
            .iter()
            .flat_map(|writer| writer.files.iter().cloned())
            .collect();
        let mut of_family = left.is_empty();
        loop {
            // Whoever wrote it may become known by what it wrote.
            self.lists(writers)?;
            let offered = self.offered(writers)?;
            let mut sum = Taken::default();
            let mut again = Vec::new();
            for name in left {
                self.check()?;
                let taken = self.entries_of(&name, named.get(&name), &offered)?;
                of_family |= taken.new + taken.known + taken.waiting > 0;
                if taken.waiting + taken.not_ours > 0 {
                    again.push(name);
                }
                sum.add(taken);
            }
            self.read.entries += sum.new;
            (self.read.waiting, self.read.not_ours) = (sum.waiting, sum.not_ours);
            left = again;
            if sum.new == 0 || left.is_empty() {
                break;
            }
        }
        self.lists(writers)?;
        let left: BTreeSet<_> = left.into_iter().collect();
        for writer in writers.iter() {
            let is_whole = |name: &String| !left.contains(name) && !self.wrong.contains_key(name);
            let is_known = self.wrong.len() < WRONGS && writer.manifest.is_some();
            if is_known && writer.files.iter().all(is_whole) {
                self.read.seen.insert(writer.device, writer.hash);
            }
        }
        if self.reading.depot.is_some() {
            return Ok(());
        }
        let is_signed = writers.iter().any(|writer| writer.manifest.is_some());
        match of_family || is_signed {
            true => Ok(()),
            false => Err(CarryError::Foreign),
        }
    }

    fn named_parts(&self, writers: &[Writer]) -> BTreeMap<String, Part> {
        let parts = writers.iter().flat_map(|writer| {
            let parts = writer.manifest.iter().flat_map(|one| &one.entries);
            parts.map(|part| (carry::entries_of(&writer.device, part.number), *part))
        });
        parts.collect()
    }

    fn entries_of(
        &mut self,
        name: &str,
        part: Option<&Part>,
        offered: &BTreeSet<SpaceId>,
    ) -> Result<Taken, CarryError> {
        let mut taken = Taken::default();
        let most = u64::try_from(limits::CARRY_FILE_BYTES).unwrap_or(0);
        let Some(bytes) = self.file(name, most)? else {
            return Ok(taken);
        };
        let (mut entries, is_whole) = carry::read_entries(&bytes);
        if !is_whole || part.is_some_and(|part| !part.is(&bytes)) {
            self.wrong(name, CHANGED);
        }
        while !entries.is_empty() {
            let rest = entries.split_off(entries.len().min(TURN));
            let (some, offered) = (std::mem::replace(&mut entries, rest), offered.clone());
            let came = self
                .node
                .ask_blocking(move |runtime| runtime.take_carried(some, &offered))??;
            taken.add(came);
        }
        if taken.invalid > 0 {
            self.wrong(name, UNSIGNED);
        }
        Ok(taken)
    }

    /// Gets every blob that lies there and is lacking here.
    fn blobs(
        &mut self,
        writers: &[Writer],
        there: Option<&BTreeSet<BlobId>>,
    ) -> Result<(), CarryError> {
        let hash = blake3::hash(self.folder.place().as_bytes());
        let carrier = DeviceId(*blake3::keyed_hash(&CARRIER, hash.as_bytes()).as_bytes());
        self.read.others.live = said(writers, Standing::Live);
        // A device that was removed may be the only one that wrote there. What it lists is looked for, and
        // must have its name like any other.
        self.read.others.left = said(writers, Standing::Left);
        let is_depot = self.reading.depot.is_some();
        let is_listed = is_depot || writers.iter().all(Writer::is_whole);
        let claims = match is_listed {
            true => {
                let others = &self.read.others;
                renamed([&others.live, &others.left], carrier)
            }
            // What an unfinished writer has put there nobody says: all that is lacking is looked for.
            false => self
                .node
                .ask_blocking(move |runtime| runtime.claims_of_all(carrier))?,
        };
        let done = self.blobs_of(carrier, claims, there);
        self.node
            .ask_blocking(move |runtime| runtime.peer_lost(&carrier))?;
        done
    }

    fn blobs_of(
        &mut self,
        carrier: DeviceId,
        mut claims: PeerHaves,
        there: Option<&BTreeSet<BlobId>>,
    ) -> Result<(), CarryError> {
        loop {
            self.check()?;
            let (wanted, back) = self.node.ask_blocking(move |runtime| {
                let wanted = runtime.wanted_carried(carrier, &claims, PAGE);
                (wanted, claims)
            })?;
            claims = back;
            let wanted = wanted?;
            if wanted.is_empty() {
                return Ok(());
            }
            let mut came = Vec::new();
            let mut failed = Vec::new();
            for blob in wanted {
                self.check()?;
                let is_there = there.is_none_or(|there| there.contains(&blob.id));
                let is_promised = is_promised(&self.read.others.live, &blob);
                let place = match is_there {
                    true => self.blob(&blob, is_promised || there.is_some())?,
                    false => None,
                };
                if !is_there && is_promised {
                    let files = carry::blob_files(&blob.id, blob_bytes(&blob));
                    self.wrong(&files[0].0, MISSING);
                }
                match place {
                    Some(place) => came.push((blob, place)),
                    None => failed.push(blob),
                }
            }
            for blob in &failed {
                claims.lacks(&carrier, &blob.log, blob.ordinal);
            }
            self.note(carrier, came, failed)?;
        }
    }

    fn note(
        &mut self,
        carrier: DeviceId,
        came: Vec<(BlobRef, BlobPlace)>,
        failed: Vec<BlobRef>,
    ) -> Result<(), CarryError> {
        self.node.store().blobs().sync()?;
        self.read.blobs += u64::try_from(came.len()).unwrap_or(0);
        let bytes = came.iter().map(|(_, place)| place.len()).sum::<u64>();
        self.read.bytes += bytes;
        self.pace.done = self.read.blobs;
        self.pace.bytes = self.read.bytes;
        (self.tell)(self.pace);
        Ok(self.node.ask_blocking(move |runtime| {
            for blob in &failed {
                runtime.not_carried(blob, carrier);
            }
            match came.is_empty() {
                true => Ok(()),
                false => runtime.blobs_came(&came),
            }
        })??)
    }

    /// Puts a blob from its files; what is not right is named, and leaves nothing. What is missing is
    /// wrong only where it is to be there.
    fn blob(&mut self, blob: &BlobRef, is_expected: bool) -> Result<Option<BlobPlace>, CarryError> {
        let files = carry::blob_files(&blob.id, blob_bytes(blob));
        let mut writer = self.node.store().blobs().writer();
        for (name, size) in &files {
            self.check()?;
            let Some(bytes) = self.file(name, *size)? else {
                // What was wrong with it before counts.
                if is_expected {
                    self.wrong(name, MISSING);
                }
                return Ok(None);
            };
            if u64::try_from(bytes.len()) != Ok(*size) {
                self.wrong(name, CHANGED);
                return Ok(None);
            }
            writer.write(&bytes)?;
        }
        match writer.finish_as(&blob.id) {
            Ok(stored) => Ok(Some(stored.place)),
            Err(error) if is_wrong_blob(&error) => {
                self.wrong(&files[0].0, CHANGED);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Keeps what a carrier is called apart from every key.
const CARRIER: [u8; 32] = *b"heirloom carrier, not a device  ";

fn is_promised(promised: &PeerHaves, blob: &BlobRef) -> bool {
    promised.holders(&blob.log, blob.ordinal).next().is_some()
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, io};

    use heirloom_protocol::{
        crypto::{DeviceKeys, SeededRng, SignSecret},
        id::{FamilyId, PersonId},
        time::Hlc,
    };

    use super::*;
    use crate::{
        carry::Folder,
        node::{FamilyNames, Options},
    };

    /// A folder that remembers what was read of it.
    struct Watched {
        folder: Folder,
        read: RefCell<Vec<String>>,
    }

    impl Carrier for Watched {
        fn place(&self) -> String {
            self.folder.place()
        }

        fn size(&self, name: &str) -> io::Result<Option<u64>> {
            self.folder.size(name)
        }

        fn get(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
            self.read.borrow_mut().push(name.to_owned());
            self.folder.get(name, most)
        }

        fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
            self.folder.put(name, bytes)
        }

        fn settle(&self) -> io::Result<()> {
            self.folder.settle()
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            self.folder.remove(name)
        }

        fn list(&self, name: &str) -> io::Result<Vec<String>> {
            self.folder.list(name)
        }
    }

    impl Watched {
        fn new(dir: &tempfile::TempDir) -> Self {
            Self {
                folder: Folder::new(dir.path().join("disk"), "me".into()),
                read: RefCell::default(),
            }
        }

        /// A manifest with many lists, each as long as it can be.
        fn write(&self, secret: &SignSecret, family: &FamilyId, lists: u32) {
            let device = secret.id();
            let persons = limits::FRAME_BYTES / 16 - 64;
            let row = SpaceRow {
                space: SpaceId([7; 16]),
                persons: vec![PersonId([7; 16]); persons],
                keepers: Vec::new(),
                logs: Vec::new(),
            };
            let bytes = wire::encode(&vec![row]);
            assert!(carry::read_list(&bytes).is_some());
            let parts: Vec<_> = (0..lists).map(|nth| Part::of(nth, &bytes)).collect();
            for part in &parts {
                let name = carry::list_of(&device, part.number);
                self.folder.put(&name, &bytes).unwrap();
            }
            let manifest = Manifest {
                device,
                hlc: Hlc(1),
                to: None,
                since: None,
                whole: true,
                entries: Vec::new(),
                lists: parts,
            };
            let signed = Signed::sign(secret, family, manifest).unwrap();
            let bytes = wire::encode(signed.raw());
            self.folder
                .put(&carry::manifest_of(&device), &bytes)
                .unwrap();
            self.folder.settle().unwrap();
        }

        fn lists_read(&self) -> usize {
            let read = self.read.borrow();
            read.iter().filter(|name| name.contains("/list-")).count()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lists_are_read_of_the_family_alone_and_no_more_than_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            worker: ("true".into(), Vec::new()),
        };
        let names = ["Berger", "Anna", "laptop"].map(str::to_owned);
        let [family, person, device] = names;
        let names = FamilyNames {
            family,
            person,
            device,
        };
        let home = dir.path().join("home");
        let made = Node::found(&home, &options, names, None).await.unwrap();
        let (node, family) = (made.node.clone(), made.family);
        let keys = node.ask(|runtime| runtime.keys().clone()).await.unwrap();
        let stranger = DeviceKeys::generate(&mut SeededRng::from_seed([3; 32]));
        let reading = tokio::task::spawn_blocking(move || {
            let reading = Reading::default();
            let cancelled = CancellationToken::new();
            // Whoever knows the family's name can sign this.
            let folder = Watched::new(&dir);
            folder.write(&stranger.sign, &family, 3);
            let found = read(&node, &folder, &reading, &cancelled, &mut |_| {}).unwrap();
            assert_eq!((folder.lists_read(), found.wrong.len()), (0, 0));
            let lists = u32::try_from(NAMING_BYTES).unwrap() / 1024 / 1024 + 5;
            folder.write(&keys.sign, &family, lists);
            let found = read(&node, &folder, &reading, &cancelled, &mut |_| {}).unwrap();
            let read = u32::try_from(folder.lists_read()).unwrap();
            assert!((1..lists).contains(&read), "{read}");
            let left = found.wrong.iter().filter(|wrong| wrong.reason == TOO_MUCH);
            assert_eq!(u32::try_from(left.count()), Ok(lists - read));
        });
        reading.await.unwrap();
    }
}
