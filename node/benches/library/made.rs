//! Photos that are made, not taken: files to import, and assets recorded without importing.

use std::{path::Path, sync::OnceLock};

use heirloom_node::{node::Node, store::BlobPlace};
use heirloom_protocol::{
    crypto::{BlobKey, Class, Encryptor, Shape},
    id::{AlbumId, OpId, PlainHash},
    log::entry::BlobLine,
    op::{AddBlob, AddItem, Camera, Captured, ItemKind, Op, Part, PartRole, Place},
};

/// Photos that an import records in one entry.
const BATCH: usize = 64;
/// Files in one folder.
const IN_FOLDER: usize = 500;

/// Bytes that no program can make smaller or find twice.
fn noise(seed: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(seed);
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// A JPEG of about so many bytes: a tiny picture with long comments.
pub fn jpeg(number: usize, len: usize) -> Vec<u8> {
    let mut picture = Vec::new();
    let pixels = noise(&number.to_be_bytes(), 16 * 12);
    jpeg_encoder::Encoder::new(&mut picture, 80)
        .encode(&pixels, 16, 12, jpeg_encoder::ColorType::Luma)
        .unwrap();
    let (start, rest) = picture.split_at(2);
    let mut file = start.to_vec();
    let comment = noise(
        &[&b"comment"[..], &number.to_be_bytes()].concat(),
        len.saturating_sub(picture.len()),
    );
    for piece in comment.chunks(65_533) {
        let length = u16::try_from(piece.len() + 2).unwrap();
        file.extend([0xff, 0xfe]);
        file.extend(length.to_be_bytes());
        file.extend(piece);
    }
    file.extend(rest);
    file
}

/// Writes so many photos below a folder.
pub fn files(folder: &Path, count: usize, len: usize) {
    for number in 0..count {
        let sub = folder.join(format!("{:03}", number / IN_FOLDER));
        if number % IN_FOLDER == 0 {
            std::fs::create_dir_all(&sub).unwrap();
        }
        let path = sub.join(format!("IMG_{number:06}.JPG"));
        std::fs::write(path, jpeg(number, len)).unwrap();
    }
}

/// How large the blobs of a recorded asset are.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub original: usize,
    /// Preview and thumbnail.
    pub picture: Picture,
}

/// What an asset is shown by.
#[derive(Clone, Copy)]
pub enum Picture {
    /// Nothing.
    None,
    /// So many bytes that nobody can look at.
    Noise(usize),
    /// Pictures of the size of a thumbnail that a browser can decode.
    Shown,
}

/// The number of pictures that are drawn; others are like one of them.
const DRAWN: usize = 32;

/// A JPEG of 512 by 384 with as much in it as a photo has: 15 to 25 KiB. The number stands behind its end.
fn shown(number: usize) -> Vec<u8> {
    static ALL: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..DRAWN).map(drawn).collect());
    let mut bytes = all[number % DRAWN].clone();
    bytes.extend(number.to_be_bytes());
    bytes
}

fn drawn(number: usize) -> Vec<u8> {
    let grain = noise(&number.to_le_bytes(), 512 * 384);
    let byte = |value: usize| u8::try_from(value % 256).unwrap();
    let mut pixels = Vec::with_capacity(512 * 384 * 3);
    for (at, grain) in grain.iter().enumerate() {
        let (x, y) = (at % 512, at / 512);
        let waves = (x * (number + 3) / 40) ^ (y * (number + 5) / 60);
        let light = usize::from(grain / 16) + waves % 96;
        pixels.extend([
            byte(light + x / 4),
            byte(light + y / 3),
            byte(light + number * 5),
        ]);
    }
    let mut picture = Vec::new();
    jpeg_encoder::Encoder::new(&mut picture, 70)
        .encode(&pixels, 512, 384, jpeg_encoder::ColorType::Rgb)
        .unwrap();
    picture
}

struct Sealed {
    line: BlobLine,
    place: BlobPlace,
    key: BlobKey,
    hash: PlainHash,
    len: u64,
}

fn bytes(class: Class, number: usize, len: usize) -> Vec<u8> {
    let seed = [&[class.code()][..], &number.to_be_bytes()].concat();
    noise(&seed, len)
}

fn seal(node: &Node, class: Class, plain: &[u8]) -> Sealed {
    let hash = PlainHash(*blake3::hash(plain).as_bytes());
    let key = BlobKey::from_bytes(*blake3::hash(&hash.0).as_bytes());
    let len = u64::try_from(plain.len()).unwrap();
    // The bench wants them small, so thumbnails are not padded to their buckets.
    let shape = Shape::exact(class, 0, len).unwrap();
    let mut encryptor = Encryptor::new(&key, shape);
    let mut writer = node.store().blobs().writer();
    let mut rest = plain;
    for index in 0..shape.segments() {
        let (now, later) = rest.split_at(shape.data_bytes(index));
        rest = later;
        let mut segment = now.to_vec();
        encryptor.seal_segment(index, &mut segment).unwrap();
        writer.write(&segment).unwrap();
    }
    let stored = writer.finish().unwrap();
    let line = BlobLine {
        part: 0,
        class: class.code(),
        id: stored.cid,
        padded: shape.padded_bytes(),
    };
    Sealed {
        line,
        place: stored.place,
        key,
        hash,
        len,
    }
}

/// Records so many assets as an import would, 64 an entry, and their pictures in entries of their own. Blocks.
pub fn fill(node: &Node, album: AlbumId, count: usize, sizes: Sizes) {
    for first in (0..count).step_by(BATCH) {
        let numbers = first..count.min(first + BATCH);
        let originals: Vec<_> = numbers
            .clone()
            .map(|number| bytes(Class::Original, number, sizes.original))
            .map(|plain| seal(node, Class::Original, &plain))
            .collect();
        let ops = (0_u32..).zip(numbers.clone()).zip(&originals);
        let ops = ops.map(|((blob, number), sealed)| Op::AddItem(item(number, blob, sealed)));
        let items = record(node, album, ops.collect(), &originals);
        let mut pictures = Vec::new();
        let mut ops = Vec::new();
        for (number, item) in numbers.zip(items) {
            for class in [Class::Preview, Class::Thumbnail] {
                let plain = match sizes.picture {
                    Picture::None => continue,
                    Picture::Noise(len) => bytes(class, number, len),
                    Picture::Shown => [&shown(number)[..], &[class.code()]].concat(),
                };
                let sealed = seal(node, class, &plain);
                let blob = u32::try_from(pictures.len()).unwrap();
                ops.push(Op::AddBlob(picture(item, class, blob, &sealed)));
                pictures.push(sealed);
            }
        }
        if !ops.is_empty() {
            record(node, album, ops, &pictures);
        }
    }
}

fn record(node: &Node, album: AlbumId, ops: Vec<Op>, blobs: &[Sealed]) -> Vec<OpId> {
    node.store().blobs().sync().unwrap();
    let lines = blobs.iter().map(|sealed| sealed.line).collect();
    let places: Vec<_> = blobs.iter().map(|sealed| sealed.place).collect();
    node.ask_blocking(move |runtime| runtime.record(album, ops, lines, &places))
        .unwrap()
        .unwrap()
}

fn item(number: usize, blob: u32, sealed: &Sealed) -> AddItem {
    let minutes = i64::try_from(number).unwrap();
    AddItem {
        kind: ItemKind::Photo,
        media: 1,
        captured: Captured {
            wall: Some(1_400_000_000_000 + minutes * 3_600_000),
            offset: Some(60),
            source: 1,
        },
        width: 4032,
        height: 3024,
        duration_ms: 0,
        place: Some(Place {
            lat_e7: 481_374_000,
            lon_e7: 115_755_000,
            alt_cm: Some(52_000),
        }),
        camera: Some(Camera {
            make: "Maker".into(),
            model: "Model 12 Pro".into(),
        }),
        parts: vec![Part {
            role: PartRole::Still,
            name: format!("IMG_{number:06}.JPG"),
            len: sealed.len,
            pt_hash: sealed.hash,
            key: sealed.key.clone(),
            blob,
        }],
    }
}

fn picture(item: OpId, class: Class, blob: u32, sealed: &Sealed) -> AddBlob {
    let is_thumbnail = class == Class::Thumbnail;
    AddBlob {
        item,
        len: sealed.len,
        width: if is_thumbnail { 512 } else { 2048 },
        height: if is_thumbnail { 384 } else { 1536 },
        pt_hash: sealed.hash,
        key: sealed.key.clone(),
        thumbhash: if is_thumbnail {
            vec![7; 25]
        } else {
            Vec::new()
        },
        blob,
    }
}
