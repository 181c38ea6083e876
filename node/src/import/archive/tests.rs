//! Archives that are broken, or made to do harm.

use std::io::{self, Read as _, Write as _};

use ::tar::EntryType as T;
use flate2::{Compression, write::GzEncoder};
use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::{
    Outcome,
    read::{Broken, FREE_BYTES, Item},
    tar, zip,
};

/// The bytes of a file, or why there are none.
type Content = Result<Vec<u8>, (Outcome, String)>;

/// What came out of an archive, by name.
#[derive(Default)]
struct Out {
    files: Vec<(String, Content)>,
    broken: Option<String>,
}

impl Out {
    fn take(&mut self, item: Item<'_>) -> Result<(), Broken> {
        let bytes = match item.content {
            Ok(mut content) => {
                let mut bytes = Vec::new();
                match content.read_to_end(&mut bytes) {
                    Ok(_) => Ok(bytes),
                    Err(error) => Err((Outcome::Failed, error.to_string())),
                }
            }
            Err(left) => Err((left.outcome, left.why)),
        };
        self.files.push((item.path, bytes));
        Ok(())
    }

    fn ended(mut self, ended: Result<(), Broken>) -> Self {
        self.broken = match ended {
            Ok(()) => None,
            Err(Broken::Archive(why)) => Some(why),
            Err(other) => Some(format!("{other:?}")),
        };
        self
    }

    fn zip(bytes: &[u8]) -> Self {
        let mut out = Self::default();
        let ended = zip::each(bytes, length(bytes), &mut |item| out.take(item));
        out.ended(ended)
    }

    fn tar(reader: impl io::Read, bytes: u64) -> Self {
        let mut out = Self::default();
        let ended = tar::each(reader, bytes, &mut |item| out.take(item));
        out.ended(ended)
    }

    #[track_caller]
    fn bytes(&self, at: usize) -> &[u8] {
        self.files[at].1.as_deref().expect("its bytes")
    }

    #[track_caller]
    fn why(&self, at: usize) -> &str {
        &self.files[at].1.as_ref().expect_err("no bytes").1
    }

    #[track_caller]
    fn broken(&self, by: &str) {
        let why = self.broken.as_deref();
        assert!(why.is_some_and(|why| why.contains(by)), "{why:?}");
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("small")
}

/// A ZIP of these files, each made smaller.
fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut all);
    for (name, bytes) in files {
        let file = archive.new_file(*name);
        let file = file.compression_method(CompressionMethod::DEFLATE);
        let (mut entry, config) = file.start().expect("a file");
        let encoder = flate2::write::DeflateEncoder::new(&mut entry, Compression::fast());
        let mut writer = config.wrap(encoder);
        writer.write_all(bytes).expect("written");
        let (encoder, descriptor) = writer.finish().expect("an end");
        encoder.finish().expect("an end");
        entry.finish(descriptor).expect("an end");
    }
    archive.finish().expect("an end");
    all
}

/// Where the list of a ZIP stands: its first record.
fn list_of(zip: &[u8]) -> usize {
    let mut windows = zip.windows(4);
    windows
        .position(|four| four == b"PK\x01\x02")
        .expect("a list")
}

fn put(zip: &mut [u8], at: usize, bytes: &[u8]) {
    zip[at..at + bytes.len()].copy_from_slice(bytes);
}

fn tarred(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ::tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(length(bytes));
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, *bytes)
            .expect("a file");
    }
    archive.into_inner().expect("an end")
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("an end")
}

#[test]
fn what_went_in_comes_out() {
    let large = [7; 100_000];
    let long = format!("{}a.jpg", "folder/".repeat(40));
    let files: [(&str, &[u8]); 3] = [("a/b.jpg", b"bytes"), (&long, &large), ("none", b"")];
    let tar = tarred(&files);
    let gz = gzipped(&tar);
    for out in [
        Out::zip(&packed(&files)),
        Out::tar(&tar[..], length(&tar)),
        Out::tar(flate2::read::MultiGzDecoder::new(&gz[..]), length(&gz)),
    ] {
        assert_eq!(out.broken, None);
        assert_eq!(out.files.len(), 3);
        for (at, (name, bytes)) in files.iter().enumerate() {
            assert_eq!(&out.files[at].0, name);
            assert_eq!(&out.bytes(at), bytes);
        }
    }
}

#[test]
fn a_damaged_file_of_a_zip_is_told_and_the_others_come() {
    let mut zip = packed(&[("a", b"first"), ("b", b"second"), ("a", b"third")]);
    // The checksum of the second.
    let list = list_of(&zip);
    let second = list + 46 + 1;
    zip[second + 16] ^= 1;
    let out = Out::zip(&zip);
    assert_eq!(out.bytes(0), b"first");
    assert!(out.why(1).contains("checksum"), "{}", out.why(1));
    // Two of one name are two.
    assert_eq!((&*out.files[2].0, out.bytes(2)), ("a", &b"third"[..]));
    // One whose place is wrong is told by itself too.
    put(&mut zip, second + 42, &u32::MAX.to_le_bytes()[..3]);
    let out = Out::zip(&zip);
    assert_eq!(out.files.len(), 3);
    // In words of ours: those of the library that reads it help nobody.
    assert_eq!(out.why(1), "the archive is damaged there");
    assert_eq!(out.broken, None);
    let out = Out::zip(&zip[..list]);
    let half = "the archive is half of one, or damaged: get it again";
    assert_eq!(out.broken.as_deref(), Some(half));
}

#[test]
fn what_a_zip_says_of_sizes_is_held_against_it() {
    let zip = packed(&[("a", b"bytes"), ("b", b"others")]);
    let list = list_of(&zip);
    // Far more than its packed bytes could hold.
    let mut bomb = zip.clone();
    put(&mut bomb, list + 24, &(1_u32 << 31).to_le_bytes());
    let out = Out::zip(&bomb);
    assert!(out.why(0).contains("far more"), "{}", out.why(0));
    assert_eq!(out.bytes(1), b"others");
    // Less than come out, and more.
    for said in [3_u32, 50] {
        let mut wrong = zip.clone();
        put(&mut wrong, list + 24, &said.to_le_bytes());
        let out = Out::zip(&wrong);
        assert!(out.why(0).contains("nvalid"), "{}", out.why(0));
        assert_eq!(out.bytes(1), b"others");
    }
    // Files that share the bytes of one.
    let half = length(&zip) / 2;
    let end = zip.len() - 22;
    let mut shared = zip[..end].to_vec();
    put(&mut shared, list + 20, &half.to_le_bytes()[..4]);
    let record = shared[list..list + 46 + 1].to_vec();
    shared.extend(record.repeat(4));
    shared.extend(&zip[end..]);
    Out::zip(&shared).broken("longer than itself");
}

#[test]
fn a_zip_that_claims_millions_of_files_takes_no_memory_for_them() {
    let zip = packed(&[("a", b"bytes")]);
    let end = zip.len() - 22;
    let mut claims = zip[..end].to_vec();
    let list = u64::try_from(list_of(&zip)).expect("small");
    let at = length(&claims);
    // APPNOTE 4.3.14 and 4.3.15: the end of the list, and where it stands.
    claims.extend(b"PK\x06\x06");
    claims.extend(44_u64.to_le_bytes());
    claims.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    claims.extend([u64::MAX.to_le_bytes(), u64::MAX.to_le_bytes()].concat());
    claims.extend([(at - list).to_le_bytes(), list.to_le_bytes()].concat());
    claims.extend(b"PK\x06\x07\0\0\0\0");
    claims.extend(at.to_le_bytes());
    claims.extend([1, 0, 0, 0]);
    claims.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    let out = Out::zip(&claims);
    assert_eq!(out.files.len(), 1);
    out.broken("its list of files is cut");
}

#[test]
fn what_cannot_be_unpacked_says_why() {
    let zip = packed(&[("a", b"bytes"), ("b", b"others")]);
    let list = list_of(&zip);
    let mut locked = zip.clone();
    locked[list + 8] |= 1;
    let out = Out::zip(&locked);
    assert!(out.why(0).contains("password"), "{}", out.why(0));
    assert_eq!(out.bytes(1), b"others");
    let mut other = zip.clone();
    put(&mut other, list + 10, &12_u16.to_le_bytes());
    let out = Out::zip(&other);
    assert!(out.why(0).contains("packed in a way"), "{}", out.why(0));
    let mut link = zip.clone();
    // Made on Unix, and a symbolic link there.
    put(&mut link, list + 5, &[3]);
    put(&mut link, list + 38, &(0o120_777_u32 << 16).to_le_bytes());
    let out = Out::zip(&link);
    assert_eq!(
        out.files[0].1,
        Err((Outcome::Skipped, "a link to another file".into()))
    );
}

#[test]
fn half_a_zip_and_none_are_told() {
    let zip = packed(&[("a", b"bytes"), ("b", b"others")]);
    for end in [0, 1, 30, list_of(&zip), list_of(&zip) + 20, zip.len() - 1] {
        let out = Out::zip(&zip[..end]);
        assert!(out.files.is_empty(), "{end}");
        out.broken("half of one");
    }
    // The end of the list says more than there is.
    let mut cut = zip.clone();
    let end = cut.len() - 22;
    put(&mut cut, end + 8, &[3, 0, 3, 0]);
    let out = Out::zip(&cut);
    assert_eq!(out.files.len(), 2);
    out.broken("its list of files is cut");
}

#[test]
fn half_a_tar_gives_what_it_has_and_says_so() {
    let tar = tarred(&[("a", &[1; 600]), ("b", &[2; 600])]);
    let one = 512 + 1024;
    for (end, files) in [
        (100, 0),
        (one - 10, 1),
        (one, 1),
        (one + 512 + 3, 2),
        (2 * one, 2),
    ] {
        let out = Out::tar(&tar[..end], length(&tar));
        assert_eq!(out.files.len(), files, "{end}");
        assert!(out.broken.is_some(), "{end}");
    }
    let mut wrong = tar.clone();
    wrong[one + 3] ^= 1;
    let out = Out::tar(&wrong[..], length(&tar));
    assert_eq!(out.files.len(), 1);
    out.broken("damaged");
    // A checksum that does not fit is noticed behind the last file.
    let mut gz = gzipped(&tar);
    let sum = gz.len() - 8;
    gz[sum] ^= 1;
    let out = Out::tar(flate2::read::MultiGzDecoder::new(&gz[..]), length(&gz));
    assert_eq!(out.files.len(), 2);
    out.broken("damaged");
}

#[test]
fn a_tar_cannot_unpack_to_anything() {
    let mut header = ::tar::Header::new_gnu();
    header.set_path("a.jpg").expect("a name");
    header.set_size(1 << 40);
    header.set_cksum();
    let endless = header.as_bytes().chain(io::repeat(0));
    let mut read = 0;
    let ended = tar::each(endless, 512, &mut |item| {
        let mut content = item.content.map_err(|left| Broken::Archive(left.why))?;
        let copied = io::copy(&mut content, &mut io::sink());
        read += copied.unwrap_or(FREE_BYTES);
        Ok(())
    });
    assert!(ended.is_err());
    assert!(read <= FREE_BYTES + 512 * 100);
}

#[test]
fn names_and_properties_in_a_tar_are_bounded_and_kept() {
    let entry = |kind: ::tar::EntryType, size: u64, bytes: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path("short").expect("a name");
        header.set_size(size);
        header.set_cksum();
        let mut all = header.as_bytes().to_vec();
        all.extend(bytes);
        all.resize(all.len().next_multiple_of(512), 0);
        all
    };
    let end = vec![0; 1024];
    let of = |parts: &[Vec<u8>]| {
        let all = [&parts.concat()[..], &end].concat();
        Out::tar(&all[..], length(&all))
    };
    let file = entry(T::Regular, 5, b"bytes");
    // A name longer than any system has.
    let long = vec![b'n'; 70_000];
    of(&[entry(T::GNULongName, 70_000, &long), file.clone()]).broken("a name is too long");
    let link = entry(T::GNULongLink, 2, b"x\0");
    let out = of(&[entry(T::GNULongName, 3, b"ab\0"), link, file.clone()]);
    assert_eq!((&*out.files[0].0, out.bytes(0)), ("ab", &b"bytes"[..]));
    let out = of(&[entry(T::XHeader, 12, b"12 path=\xc3\xa4c\n"), file.clone()]);
    assert_eq!(out.files[0].0, "\u{e4}c");
    // A size that its own place says too is no matter; another one leads astray.
    let out = of(&[entry(T::XHeader, 9, b"9 size=5\n"), file.clone()]);
    assert_eq!(out.bytes(0), b"bytes");
    of(&[entry(T::XHeader, 9, b"9 size=6\n"), file.clone()]).broken("8 GiB");
    let holes = entry(T::XHeader, 22, b"22 GNU.sparse.major=1\n");
    let out = of(&[holes, file.clone()]);
    assert!(out.why(0).contains("holes"), "{}", out.why(0));
    let out = of(&[entry(T::Symlink, 0, b""), entry(T::Fifo, 0, b""), file]);
    assert_eq!(
        (out.why(0), out.why(1)),
        ("a link to another file", "not a regular file")
    );
    assert_eq!(out.bytes(2), b"bytes");
}
