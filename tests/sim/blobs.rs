//! Blobs between devices: asked for, served, verified and kept, as the node does it.

use std::sync::Arc;

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::{BlobKey, Class, Decryptor, Encryptor, Shape},
    id::{BlobId, DeviceId},
    limits,
    log::entry::BlobLine,
    sync::{
        blob::{AnswerHead, AnswerKind, Gone, HEAD_BYTES, Many, Request},
        want::Failure,
    },
};

use crate::{
    device::Stage,
    world::{Job, Then, Wire, World},
};

/// A blob that came and could not be kept: any peer may be asked again.
pub(crate) const LATER: Failure = Failure::Interrupted;

impl World {
    /// Asks a peer for what it has and this device lacks.
    pub(crate) fn fetch(&mut self, at: usize, peer: DeviceId) {
        let Some(line) = self.seats[at].lines.get(&peer) else {
            return;
        };
        if line.asking.is_some() || self.seats[at].full {
            return;
        }
        let most = limits::GET_MANY_BLOBS;
        let blobs = self.seats[at].device.wanted_from(peer, most);
        if blobs.is_empty() {
            return;
        }
        let (many, rest) = Many::new(blobs);
        if crate::dump::frames() {
            let left: Vec<_> = many
                .left()
                .iter()
                .map(|b| (b.log.device.short(), b.ordinal))
                .collect();
            self.note(at, &format_args!("asks {} for {left:?}", peer.short()));
        }
        for blob in rest {
            let device = &mut self.seats[at].device;
            device.blob_failed(&blob, peer, Failure::Interrupted);
        }
        let line = self.seats[at].lines.get_mut(&peer).expect("found above");
        line.next_id += 1;
        let frame = many.request(line.next_id).to_frame();
        line.asking = Some((line.next_id, many));
        self.send(at, peer, Wire::Ask(frame));
    }

    pub(crate) fn serve(&mut self, at: usize, peer: DeviceId, frame: &[u8]) {
        let request = frame.split_first_chunk().and_then(|(prefix, body)| {
            Request::frame_len(*prefix).ok()?;
            Request::from_frame(body).ok()
        });
        let Some(Request::Many(many)) = request else {
            self.fail("a request for blobs that cannot be read");
            return;
        };
        for (index, place) in (0_u32..).zip(many.places()) {
            let Some(bytes) = self.seats[at].device.served_to(&peer, &place) else {
                let gone = AnswerHead::gone(many.id, Some(index), Gone::Absent);
                self.send(at, peer, Wire::Answer(gone));
                continue;
            };
            if let Err(what) = self.ledger.may_serve(&self.seats[at].device, &peer, &place) {
                self.fail(what);
            }
            for piece in bytes.chunks(limits::DATA_BYTES) {
                let head = AnswerHead {
                    kind: AnswerKind::Data,
                    id: many.id,
                    index,
                    len: piece.len(),
                };
                let answer = [&head.to_bytes()[..], piece].concat();
                self.send(at, peer, Wire::Answer(answer));
            }
        }
    }

    pub(crate) fn answer(&mut self, at: usize, peer: DeviceId, bytes: &[u8]) {
        let read = bytes.split_first_chunk::<HEAD_BYTES>();
        let Some((Ok(head), payload)) = read.map(|(head, rest)| (AnswerHead::parse(*head), rest))
        else {
            self.fail("an answer that cannot be read");
            return;
        };
        let line = self.seats[at].lines.get_mut(&peer);
        let Some((id, mut many)) = line.and_then(|line| line.asking.take()) else {
            return;
        };
        if head.id != id {
            if head.id > id {
                self.fail("an answer to a request that was not made");
            } else if let Some(line) = self.seats[at].lines.get_mut(&peer) {
                // The rest of an answer that was given up.
                line.asking = Some((id, many));
            }
            return;
        }
        let mut came = None;
        match head.kind {
            AnswerKind::Data => match many.data(head.index, payload) {
                Ok(whole) => came = whole,
                Err(error) => {
                    if self.is_to_blame(at, peer, &many) {
                        self.fail(format!("an honest answer is refused: {error}"));
                    }
                    return self.give_up(at, peer, &many);
                }
            },
            AnswerKind::Gone => {
                let (index, _) = head.read_gone(payload);
                for blob in many.gone(index).unwrap_or_default() {
                    let device = &mut self.seats[at].device;
                    device.blob_failed(&blob, peer, Failure::Lacking);
                }
            }
            AnswerKind::Leaves | AnswerKind::Unknown => self.fail("an answer of another kind"),
        }
        if let Some((blob, bytes)) = came {
            self.seats[at].device.disk.put_blob(blob.id, bytes.into());
            self.write_blobs(at, Job::Fetched(vec![blob]));
        }
        if many.is_done() {
            self.fetch(at, peer);
        } else if let Some(line) = self.seats[at].lines.get_mut(&peer) {
            line.asking = Some((id, many));
        }
    }

    /// Whether a peer that sent a wrong blob means ill, as the node has it.
    fn is_to_blame(&self, at: usize, peer: DeviceId, many: &Many) -> bool {
        let wrong = many.left().first();
        wrong.is_some_and(|blob| self.seats[at].device.means_alike(peer, blob))
    }

    /// Asks a peer no more for a blob in the place of which it sent another, and for the rest anew.
    fn give_up(&mut self, at: usize, peer: DeviceId, many: &Many) {
        for (index, blob) in many.left().iter().enumerate() {
            let failure = if index == 0 {
                Failure::Lacking
            } else {
                Failure::Interrupted
            };
            self.seats[at].device.blob_failed(blob, peer, failure);
        }
        self.fetch(at, peer);
    }

    /// Notes where blobs lie that came; they are durable.
    pub(crate) fn came(&mut self, at: usize, blobs: &[BlobRef]) {
        let mut stage = Stage::default();
        for blob in blobs {
            let kept = self.seats[at].device.kept_blob(&blob.log, blob.ordinal);
            stage.places.extend(kept.map(|kept| (kept, blob.ordinal)));
        }
        self.commit(at, stage, Then::Nothing);
    }
}

/// A picture encrypted as the node encrypts it: its line in a header, and its bytes.
pub(crate) fn encrypt(plain: &[u8], class: Class, key: &BlobKey) -> (BlobLine, Arc<[u8]>) {
    let length = u64::try_from(plain.len()).expect("small");
    let shape = Shape::padded(class, 0, length).expect("small");
    let mut encryptor = Encryptor::new(key, shape);
    let mut bytes = Vec::new();
    let mut rest = plain;
    for segment in 0..shape.segments() {
        let (data, after) = rest.split_at(shape.data_bytes(segment));
        let mut buffer = data.to_vec();
        encryptor
            .seal_segment(segment, &mut buffer)
            .expect("in order");
        bytes.extend(buffer);
        rest = after;
    }
    let line = BlobLine {
        part: 0,
        class: class.code(),
        id: BlobId(*blake3::hash(&bytes).as_bytes()),
        padded: shape.padded_bytes(),
    };
    (line, bytes.into())
}

/// The plaintext of a blob, if it opens.
pub(crate) fn decrypt(bytes: &[u8], line: (u64, u64), key: &BlobKey) -> Option<Vec<u8>> {
    let (padded, length) = line;
    let shape = Shape::signed(Class::Original, 0, padded, length).ok()?;
    let decryptor = Decryptor::new(key, shape);
    let mut plain = Vec::new();
    let mut rest = bytes;
    for segment in 0..shape.segments() {
        let size = decryptor.sealed_bytes(segment).ok()?;
        let (sealed, after) = rest.split_at_checked(size)?;
        let mut buffer = sealed.to_vec();
        plain.extend_from_slice(decryptor.open_segment(segment, &mut buffer).ok()?);
        rest = after;
    }
    plain.truncate(usize::try_from(length).ok()?);
    Some(plain)
}
