//! A device towards its peers: sessions, blobs to fetch and to serve, forks.

use super::*;

/// Sessions and blobs.
impl Device {
    pub(super) fn with_session<T>(
        &mut self,
        peer: DeviceId,
        act: impl FnOnce(&mut Session, &Seen<'_>) -> T,
    ) -> Option<T> {
        let live = self.live.as_mut()?;
        let mut session = live.sessions.remove(&peer)?;
        let seen = Seen::of(live, &self.disk, &self.reads, self.leaks);
        let result = act(&mut session, &seen);
        live.sessions.insert(peer, session);
        Some(result)
    }

    /// Opens a session, in the place of one that is there.
    pub(crate) fn open_session(&mut self, peer: DeviceId, now: Moment) {
        let role = match self.replica().control().policy(&self.id) {
            Policy::Archive => PeerRole::Archive,
            Policy::Cache(_) => PeerRole::Cache,
        };
        let opening = Opening {
            peer,
            control: self.control_space(),
            role,
            incarnation: self.disk.incarnation,
        };
        let live = self.live.as_mut().expect("the device is on");
        live.sessions.remove(&peer);
        let seen = Seen::of(live, &self.disk, &self.reads, self.leaks);
        let session = Session::open(opening, &seen, now.mono);
        live.sessions.insert(peer, session);
    }

    /// Ends a session; what it was asked for may be asked of others.
    pub(crate) fn close_session(&mut self, peer: &DeviceId) {
        if let Some(live) = &mut self.live {
            live.sessions.remove(peer);
            live.want.lost(peer);
        }
    }

    pub(crate) fn feed(&mut self, peer: DeviceId, input: Input, now: Moment) {
        self.with_session(peer, |session, seen| session.handle(input, seen, now.mono));
    }

    pub(crate) fn poll(&mut self, peer: DeviceId) -> Option<Output> {
        self.with_session(peer, |session, seen| session.poll(seen))?
    }

    pub(crate) fn deadline(&self, peer: &DeviceId) -> Option<Instant> {
        self.live.as_ref()?.sessions.get(peer)?.deadline()
    }

    pub(crate) fn session_peers(&self) -> Vec<DeviceId> {
        let live = self.live.as_ref();
        live.map_or_else(Vec::new, |live| live.sessions.keys().copied().collect())
    }

    pub(crate) fn peer_has(
        &mut self,
        peer: DeviceId,
        space: SpaceId,
        mode: HaveMode,
        rows: Vec<(LogId, RoaringBitmap)>,
    ) {
        if let Some(live) = self.live.as_mut().filter(|_| mode != HaveMode::Removed) {
            for (log, held) in &rows {
                live.want.told(peer, log, held);
            }
        }
        self.disk.haves.apply(peer, space, mode, rows);
    }

    /// The blobs to ask a peer for now.
    pub(crate) fn wanted_from(&mut self, peer: DeviceId, max: usize) -> Vec<BlobRef> {
        let Some(live) = &mut self.live else {
            return Vec::new();
        };
        let wanted = live.want.next(peer, &self.disk.haves, Path::Free, max);
        let mut blobs = Vec::new();
        for place in wanted.into_iter().map(|wanted| wanted.place) {
            match blob_ref(&live.replica, &self.disk, &place) {
                Some(blob) => blobs.push(blob),
                None => live.want.done(&place),
            }
        }
        blobs
    }

    /// How many blobs are lacking that this device wants.
    pub(crate) fn lacking(&self) -> Vec<(LogId, u32)> {
        let mut lacking = Vec::new();
        for record in self.disk.entries() {
            if !counts(self.replica(), &record.entry) {
                continue;
            }
            for (ordinal, _) in announced(&record.entry) {
                if !self.has_blob(&record.entry, ordinal) {
                    let log = place_of(self.replica(), &record.entry).log;
                    lacking.push((log, ordinal));
                }
            }
        }
        lacking
    }

    /// Whether a blob that an entry announces is here, as far as the index says.
    pub(crate) fn has_blob(&self, entry: &Entry, ordinal: u32) -> bool {
        let record = self.disk.by_id(&entry.id());
        let here = record.and_then(|record| self.disk.here.get(&record.kept));
        here.is_some_and(|here| here.contains(ordinal))
    }

    /// Whether an entry counts at all, as this device sees it.
    pub(crate) fn counts_here(&self, entry: &Entry) -> bool {
        let album = self.replica().album(&entry.header().space);
        album.is_some_and(|album| {
            let control = self.replica().control();
            album.standing(control, &entry.id(), Level::Viewer) != Standing::Cut
        })
    }

    /// Whether the blobs of an entry are wanted here: it was written by somebody who may contribute.
    pub(crate) fn wants_blobs_of(&self, entry: &Entry) -> bool {
        counts(self.replica(), entry)
    }

    /// Whether a blob is here, by the name that peers know.
    pub(crate) fn holds_blob(&self, log: &LogId, ordinal: u32) -> bool {
        let kept = self.replica().kept_blob(log, ordinal);
        let here = kept.and_then(|kept| self.disk.here.get(&kept));
        here.is_some_and(|here| here.contains(ordinal))
    }

    /// The name under which a blob's place is kept.
    pub(crate) fn kept_blob(&self, log: &LogId, ordinal: u32) -> Option<LogId> {
        self.replica().kept_blob(log, ordinal)
    }

    /// Takes the names of what is wanted anew, and leaves a log of its own that forked.
    pub(super) fn after_fork(&mut self) {
        let live = self.live.as_mut().expect("the device is on");
        live.want = Want::new(live.replica.control().policy(&self.id));
        self.load_wants();
        self.renew_if_forked();
    }

    pub(super) fn renew_if_forked(&mut self) {
        let live = self.live.as_mut().expect("the device is on");
        if live.replica.is_own_log_forked() && !self.bad && !self.stays {
            self.renew();
        }
    }

    /// Goes on in a fresh incarnation where this device's log in an album was cut off before.
    pub(crate) fn renew_if_cut(&mut self, album: &SpaceId) {
        if self.replica().is_own_log_cut(album) {
            self.renew();
        }
    }

    pub(super) fn renew(&mut self) {
        self.disk.incarnation = self.fresh.next();
        let live = self.live.as_mut().expect("the device is on");
        live.replica.renew(self.disk.incarnation);
    }

    /// Whether a blob is on the list of what is to be fetched.
    pub(crate) fn wants(&self, log: LogId, ordinal: u32) -> bool {
        let live = self.live.as_ref();
        live.is_some_and(|live| live.want.is_wanted(&BlobPlace { log, ordinal }))
    }

    /// A blob as it may be served to a peer.
    pub(crate) fn served_to(&self, peer: &DeviceId, place: &BlobPlace) -> Option<Arc<[u8]>> {
        if !self.is_on() || !self.replica().may_replicate(peer, &place.log.space) {
            return None;
        }
        let blob = blob_ref(self.replica(), &self.disk, place)?;
        let bytes = self.disk.blob(&blob.id)?;
        let is_here = self.holds_blob(&place.log, place.ordinal);
        is_here.then(|| bytes.clone())
    }

    /// Whether a peer must mean the same as this device by the name of a blob.
    pub(crate) fn means_alike(&self, peer: DeviceId, blob: &BlobRef) -> bool {
        let session = self.live.as_ref().and_then(|live| live.sessions.get(&peer));
        let is_alike = session.is_some_and(|session| session.names_alike(blob.log.space));
        let (log, ordinal) = (blob.log, blob.ordinal);
        let now = blob_ref(self.replica(), &self.disk, &BlobPlace { log, ordinal });
        is_alike && now.is_some_and(|now| now.id == blob.id)
    }

    pub(crate) fn blob_failed(&mut self, blob: &BlobRef, peer: DeviceId, failure: Failure) {
        if failure == Failure::Lacking {
            self.disk.haves.lacks(&peer, &blob.log, blob.ordinal);
        }
        let (log, ordinal) = (blob.log, blob.ordinal);
        if let Some(live) = &mut self.live {
            live.want.failed(&BlobPlace { log, ordinal }, peer, failure);
        }
    }
}
