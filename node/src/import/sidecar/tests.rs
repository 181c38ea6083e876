//! Names and fields as the programs of others write them.

use heirloom_protocol::{
    id::OpId,
    op::{Captured, Field, Op},
};

use super::{CaptureSource, Said, Sidecar, folder::Folder, names, read};

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The sidecar of each file, by name alone.
fn matched(media: &[&str], sidecars: &[&str]) -> Vec<(String, String, bool)> {
    let (media, sidecars) = (owned(media), owned(sidecars));
    let titles = vec![None; sidecars.len()];
    let mut pairs: Vec<_> = names::json(&media, &sidecars, &titles)
        .into_iter()
        .map(|(index, beside)| {
            let sidecar = sidecars[beside.sidecar].clone();
            (media[index].clone(), sidecar, beside.companion)
        })
        .collect();
    pairs.sort();
    pairs
}

#[track_caller]
fn pair(photo: &str, sidecar: &str) {
    let found = matched(&[photo], &[sidecar]);
    let found: Vec<_> = found.iter().map(|(_, sidecar, _)| &sidecar[..]).collect();
    assert_eq!(found, [sidecar], "{photo}");
}

#[test]
fn takeouts_names_are_matched_wherever_they_were_cut() {
    for (photo, sidecar) in [
        ("IMG_1.jpg", "IMG_1.jpg.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1.JPG", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1(1).jpg", "IMG_1.jpg(1).json"),
        ("IMG_1(12).jpg", "IMG_1.jpg.supplemental-metadata(12).json"),
        ("IMG_1(1).jpg", "IMG_1.jpg.suppl(1).json"),
        ("IMG_1.jpg", "IMG_1.jpg..json"),
        ("IMG_1.jpg", "IMG_1.jpg.s.json"),
        ("sky (2).jpg", "sky (2).jpg.supplemental-metadata.json"),
        ("20030616.jpg", "20030616.json"),
        ("20030616.jpg", "20030616.supplemental-metadata.json"),
        (
            "Holidays by the long lake in the summer rain (38).JPG",
            "Holidays by the long lake in the summer rain (.json",
        ),
        (
            "Screenshot_2022-10-28-09-31-43-118_com.program.jpg",
            "Screenshot_2022-10-28-09-31-43-118_com.program.json",
        ),
        ("a_(87).(b).c(87).jpg", "a_(87).(b).c.jpg(87).json"),
        ("IMG_1-edited.jpg", "IMG_1.jpg.json"),
        (
            "IMG_1-modifi\u{e9}.jpg",
            "IMG_1.jpg.supplemental-metadata.json",
        ),
        ("IMG_1-modifie\u{301}.jpg", "IMG_1.jpg.json"),
        (
            "IMG_1-bearbeitet(1).jpg",
            "IMG_1.jpg.supplemental-metadata(1).json",
        ),
        ("IMG_1(1)-edited.jpg", "IMG_1.jpg(1).json"),
        ("a.jpg", "a.jpg.heirloom.json"),
        ("a (2).jpg", "a (2).jpg.json"),
    ] {
        pair(photo, sidecar);
    }
}

#[test]
fn every_cut_of_every_length_of_title_is_matched() {
    let letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for length in 1..letters.len() {
        let title = format!("{}.jpg", &letters[..length]);
        let photo = format!("{}.jpg", &letters[..length.min(47)]);
        for middle in ["", ".supplemental-metadata"] {
            let whole = format!("{title}{middle}");
            let sidecar = &whole[..whole.len().min(46)];
            pair(&photo, &format!("{sidecar}.json"));
            let numbered = photo.replace(".jpg", "(3).jpg");
            pair(&numbered, &format!("{sidecar}(3).json"));
        }
    }
}

#[test]
fn one_photos_sidecar_is_not_given_to_another() {
    assert_eq!(matched(&["IMG_1(1).jpg"], &["IMG_1.jpg.json"]), []);
    assert_eq!(matched(&["IMG_12.jpg"], &["IMG_1.jpg.json"]), []);
    assert_eq!(matched(&["well-known.jpg"], &["well.jpg.json"]), []);
    let media = ["IMG_1(1).jpg", "IMG_1-edited.jpg", "IMG_1.MOV", "IMG_1.jpg"];
    let sidecars = [
        "IMG_1.jpg.supplemental-metadata(1).json",
        "IMG_1.jpg.supplemental-metadata.json",
    ];
    let own = |photo: &str, sidecar: usize, companion| {
        (photo.to_owned(), sidecars[sidecar].to_owned(), companion)
    };
    assert_eq!(
        matched(&media, &sidecars),
        [
            own("IMG_1(1).jpg", 0, false),
            own("IMG_1-edited.jpg", 1, true),
            own("IMG_1.MOV", 1, true),
            own("IMG_1.jpg", 1, false),
        ]
    );
}

#[test]
fn a_sidecar_that_no_name_fits_is_found_by_the_title_in_it() {
    let media = owned(&["a very special day at the lake with all of us aro.jpg"]);
    let title = "a very special day at the lake with all of us around.jpg";
    let found = names::json(&media, &owned(&["odd.json"]), &[Some(title.into())]);
    assert_eq!(found.len(), 0, "it is not cut where Takeout cuts");
    let cut = owned(&["a very special day at the lake with all of us a.jpg"]);
    let found = names::json(&cut, &owned(&["odd.json"]), &[Some(title.into())]);
    assert_eq!(found[&0].sidecar, 0);
}

#[test]
fn xmp_belongs_to_the_whole_name_then_to_the_raw_file() {
    let media = owned(&["a.CR2", "a.jpg", "b.jpg", "b.mov", "c.jpg", "d.jpg"]);
    let sidecars = owned(&["a.xmp", "b.XMP", "c.jpg.xmp", "c.xmp", "x.xmp"]);
    let mut found: Vec<_> = names::xmp(&media, &sidecars).into_iter().collect();
    found.sort_unstable();
    assert_eq!(found, [(0, 0), (2, 1), (4, 2)]);
}

fn photo(json: &str) -> Said {
    match read("a.json", json.as_bytes()) {
        Sidecar::Photo(said) => *said,
        other => panic!("{other:?}"),
    }
}

const TAKEOUT: &str = r#"{"title": "IMG_1.jpg", "description": "At the lake\nwith Ben",
    "photoTakenTime": {"timestamp": "1577880000"}, "favorited": true, "people": [{"name": "Ben"}],
    "geoData": {"latitude": 45.6, "longitude": 10.6, "altitude": 0.0}}"#;

#[test]
fn takeouts_fields_are_read() {
    let said = photo(TAKEOUT);
    assert_eq!(said.title.as_deref(), Some("IMG_1.jpg"));
    assert_eq!(said.caption.as_deref(), Some("At the lake\nwith Ben"));
    assert_eq!(
        (said.instant, said.favorite),
        (Some(1_577_880_000_000), true)
    );
    assert_eq!(
        said.place.map(|place| (place.lat, place.lon)),
        Some((45.6, 10.6))
    );
    assert!(said.tags.is_empty() && !said.trashed);
    let taken =
        |time: &str| photo(&format!(r#"{{"photoTakenTime": {{"timestamp": {time}}}}}"#)).instant;
    assert_eq!(taken("\"-86400\""), Some(-86_400_000));
    assert_eq!(taken("1577880000"), Some(1_577_880_000_000));
    for unknown in ["\"0\"", "\"\"", "null", "\"9223372036854775807\"", "1e300"] {
        assert_eq!(taken(unknown), None, "{unknown}");
    }
}

#[test]
fn albums_are_known_by_what_they_hold_not_by_their_name() {
    let album = |json: &str| read("whatever.json", json.as_bytes());
    let named = Sidecar::Album("Garda".into());
    assert_eq!(album(r#"{"title": "Garda", "access": "protected"}"#), named);
    assert_eq!(album(r#"{"albumData": {"title": "Garda"}}"#), named);
    for other in [
        r#"{"title": "", "access": "protected"}"#,
        r#"{"title": "my program", "version": 1}"#,
        "[]",
        "1",
        "not JSON",
        "",
    ] {
        assert_eq!(album(other), Sidecar::Nothing, "{other}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(album(&deep), Sidecar::Nothing);
    let large = format!("{TAKEOUT}{}", " ".repeat(1 << 20));
    assert_eq!(album(&large), Sidecar::Nothing);
}

#[test]
fn xmp_is_read_in_either_encoding_and_follows_no_entity() {
    let xml = "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">\
        <!ENTITY lol \"&lol;&lol;\">]><rdf:Description xmp:Rating=\"4\" \
        exif:DateTimeOriginal=\"2020-01-02T03:04:05+01:00\"><dc:description><rdf:Alt>\
        <rdf:li xml:lang=\"x-default\">&e; &lol; Tom &amp; Ben</rdf:li></rdf:Alt></dc:description>\
        <dc:subject><rdf:Bag><rdf:li>sea</rdf:li><rdf:li>sea</rdf:li></rdf:Bag></dc:subject>";
    let wide: Vec<u8> = std::iter::once(0xfeff)
        .chain(xml.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    for bytes in [xml.as_bytes(), &wide] {
        let Sidecar::Photo(said) = read("a.XMP", bytes) else {
            panic!("not read");
        };
        assert_eq!(said.caption.as_deref(), Some("&e; &lol; Tom & Ben"));
        assert_eq!(
            (said.rating, &said.tags[..]),
            (Some(4), &["sea".to_owned()][..])
        );
        assert!(
            said.taken
                .is_some_and(|(stamp, source)| { stamp.offset == Some(60) && source.is_none() })
        );
    }
    assert_eq!(
        read("a.xmp", b"\xff\xd8\xff<x:xmpmeta xmp:Rating=\"4\"/>"),
        Sidecar::Nothing
    );
}

fn captured(wall: i64, offset: Option<i16>, source: CaptureSource) -> Captured {
    Captured {
        wall: Some(wall),
        offset,
        source: source.code(),
    }
}

#[test]
fn the_best_source_of_a_time_wins() {
    const UTC: i64 = 1_577_880_000_000;
    const HOUR: i64 = 3_600_000;
    let said = photo(TAKEOUT);
    let exif = |wall, offset| captured(wall, offset, CaptureSource::Exif);
    // Takeout tells the zone that the camera did not write.
    assert_eq!(
        said.captured(exif(UTC + 2 * HOUR + 139, None)),
        exif(UTC + 2 * HOUR + 139, Some(120))
    );
    // A camera's clock that is somewhat off stays as it is.
    assert_eq!(
        said.captured(exif(UTC + 1234, None)),
        exif(UTC + 1234, None)
    );
    assert_eq!(
        said.captured(exif(UTC + HOUR, Some(60))),
        exif(UTC + HOUR, Some(60))
    );
    // By more than a day, somebody put it right.
    let takeout = captured(UTC, Some(0), CaptureSource::Takeout);
    assert_eq!(said.captured(exif(UTC - 400 * 24 * HOUR, None)), takeout);
    assert_eq!(said.captured(exif(UTC - 25 * HOUR, Some(0))), takeout);
    assert_eq!(said.captured(Captured::default()), takeout);
    // A name is a worse source, and tells the zone.
    let named = captured(UTC + 2 * HOUR, None, CaptureSource::FileName);
    let zoned = captured(UTC + 2 * HOUR, Some(120), CaptureSource::Takeout);
    assert_eq!(said.captured(named), zoned);
}

#[test]
fn our_own_export_comes_back_as_it_was() {
    let said = photo(
        r#"{"title": "a.jpg", "description": "x", "favorited": true, "photoTakenTime": {"timestamp": "1"},
        "heirloom": {"wall": "2010-12-12T12:41:35.250", "offset": "+03:00", "taken_source": "edit",
        "tags": ["sea", "sun"], "albums": ["Library", "Summer"], "rating": 3}}"#,
    );
    let wall = 1_292_157_695_250;
    let edited = captured(wall, Some(180), CaptureSource::Edit);
    assert_eq!(said.captured(Captured::default()), edited);
    assert_eq!(
        said.captured(captured(5, None, CaptureSource::Exif)),
        edited
    );
    assert_eq!((said.albums.len(), said.rating), (2, Some(3)));
    let ops = said.ops(OpId::ZERO, None);
    let fields: Vec<_> = ops
        .iter()
        .filter_map(|op| match op {
            Op::SetField(set) => Field::from_code(set.field),
            _ => None,
        })
        .collect();
    assert_eq!(fields, [Field::Caption, Field::Favorite, Field::Rating]);
    assert_eq!(ops.len(), 5);
}

#[test]
fn a_folder_tells_what_became_of_each_sidecar() {
    let sidecars = [
        ("IMG_1.jpg.json", TAKEOUT),
        ("IMG_9.jpg.json", TAKEOUT),
        ("metadata.json", r#"{"title": "Garda", "access": ""}"#),
        ("settings.json", r#"{"a": 1}"#),
        ("IMG_1.jpg.xmp", "<x xmp:Rating=\"5\">"),
    ];
    let sidecars = sidecars.map(|(name, json)| (name.to_owned(), read(name, json.as_bytes())));
    let folder = Folder::of(owned(&["IMG_1.jpg", "IMG_1-edited.jpg"]), sidecars.into());
    assert_eq!(folder.album.as_deref(), Some("Garda"));
    assert_eq!(
        folder.sidecar("IMG_1.jpg.json"),
        Some("sidecar: what it says went to IMG_1.jpg")
    );
    assert_eq!(
        folder.sidecar("IMG_9.jpg.json"),
        Some("sidecar: its photo is not in this folder")
    );
    assert_eq!(
        folder.sidecar("metadata.json"),
        Some("sidecar: names the album Garda")
    );
    assert_eq!(folder.sidecar("settings.json"), None);
    let said = folder.said("IMG_1.jpg").expect("it has two sidecars");
    assert_eq!((said.rating, said.favorite), (Some(5), true));
    let edited = folder.said("IMG_1-edited.jpg").expect("that of its photo");
    assert_eq!((edited.favorite, edited.instant), (false, said.instant));
}
