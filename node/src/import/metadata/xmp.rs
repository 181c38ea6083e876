//! XMP: the few properties that tell when, where and how good a picture is.
//!
//! Serves packets inside files and sidecars beside them. Properties are found by their usual
//! prefixed names, as attribute or as element; this is no XML parser and follows no entity but
//! the five of XML and numeric ones. XMP specification part 1, ISO 16684-1.

use super::{Found, Place, Stamp};

/// Bytes of a packet looked at.
pub const MAX_PACKET_BYTES: usize = 1 << 20;
/// The longest caption or title kept, in bytes.
const MAX_WORDS_BYTES: usize = 4096;
/// Tags kept of one packet.
const MAX_TAGS: usize = 100;

/// What a packet says; everything may be unknown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Xmp {
    /// When the picture was taken: exif:DateTimeOriginal, photoshop:DateCreated or
    /// xmp:CreateDate, the first of them that is a date.
    pub taken: Option<Stamp>,
    /// Where.
    pub place: Option<Place>,
    /// Stars, -1 (rejected) to 5.
    pub rating: Option<i8>,
    /// The still says that it holds a movie (Google's and Samsung's motion photos).
    pub motion: bool,
    /// dc:description or tiff:ImageDescription, in its default language.
    pub description: Option<String>,
    /// dc:title.
    pub title: Option<String>,
    /// Keywords, hierarchical ones with `/` between levels.
    pub tags: Vec<String>,
}

/// Reads a packet, at most [`MAX_PACKET_BYTES`] of it.
#[must_use]
pub fn parse(packet: &[u8]) -> Xmp {
    let packet = packet.get(..MAX_PACKET_BYTES).unwrap_or(packet);
    let xml = String::from_utf8_lossy(packet);
    let first = |names: &[&str]| names.iter().find_map(|n| value(&xml, n));
    let says = |names: &[&str]| first(names).is_some_and(|v| v.trim() == "1");
    Xmp {
        taken: [
            "exif:DateTimeOriginal",
            "photoshop:DateCreated",
            "xmp:CreateDate",
            "xap:CreateDate",
        ]
        .iter()
        .find_map(|n| Stamp::parse(&value(&xml, n)?)),
        place: place(&xml),
        rating: first(&["xmp:Rating", "xap:Rating"])
            .and_then(|r| r.trim().parse::<f32>().ok())
            .and_then(|r| (-1..=5).find(|n| f32::from(*n) == r.round())),
        motion: says(&["GCamera:MotionPhoto", "Camera:MotionPhoto"])
            || says(&["GCamera:MicroVideo", "Camera:MicroVideo"]),
        description: words(&xml, &["dc:description", "tiff:ImageDescription"]),
        title: words(&xml, &["dc:title"]),
        tags: tags(&xml),
    }
}

impl Xmp {
    /// Adds what the packet says to what better sources said.
    pub(super) fn tell(self, found: &mut Found) {
        found.xmp = found.xmp.or(self.taken);
        found.place = found.place.or(self.place);
        found.rating = found.rating.or(self.rating);
        found.motion |= self.motion;
    }
}

fn place(xml: &str) -> Option<Place> {
    let lat = degrees(&value(xml, "exif:GPSLatitude")?, ['N', 'S'])?;
    let lon = degrees(&value(xml, "exif:GPSLongitude")?, ['E', 'W'])?;
    let below = value(xml, "exif:GPSAltitudeRef").is_some_and(|r| r.trim() == "1");
    let alt = value(xml, "exif:GPSAltitude")
        .and_then(|a| fraction(&a))
        .map(|a| if below { -a } else { a });
    Place::new(lat, lon, alt)
}

/// `DD,MM,SSk` or `DD,MM.mmk`, k one of the two sides; some writers put plain degrees.
fn degrees(text: &str, sides: [char; 2]) -> Option<f64> {
    let text = text.trim();
    let bare = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let side = text.get(bare.len()..)?.chars().next();
    let mut parts = bare.split(',').map(|p| p.trim().parse::<f64>());
    let degrees = parts.next()?.ok()?;
    let minutes = parts.next().transpose().ok()?.unwrap_or(0.0);
    let seconds = parts.next().transpose().ok()?.unwrap_or(0.0);
    let sum = degrees.abs() + minutes / 60.0 + seconds / 3600.0;
    match side {
        None => Some(sum.copysign(degrees)),
        Some(s) if s == sides[0] => Some(sum),
        Some(s) if s == sides[1] => Some(-sum),
        Some(_) => None,
    }
}

/// `12345/100` or a plain number.
fn fraction(text: &str) -> Option<f64> {
    let mut parts = text.trim().splitn(2, '/').map(|p| p.trim().parse::<f64>());
    let over = parts.next()?.ok()?;
    let under = parts.next().transpose().ok()?.unwrap_or(1.0);
    Some(over / under).filter(|f| f.is_finite())
}

/// The value of a property written as attribute or as plain element.
fn value(xml: &str, name: &str) -> Option<String> {
    xml.match_indices(name).find_map(|(at, _)| {
        let rest = xml.get(at + name.len()..)?;
        let before = xml.get(..at)?.chars().next_back()?;
        if before == '<' {
            let inner = rest.strip_prefix('>')?;
            let end = inner.find('<')?;
            return inner.get(..end).map(unescape);
        }
        if !before.is_whitespace() {
            return None;
        }
        let quoted = rest.trim_start().strip_prefix('=')?.trim_start();
        let quote = quoted.chars().next().filter(|q| matches!(q, '"' | '\''))?;
        let inner = quoted.get(1..)?;
        inner.get(..inner.find(quote)?).map(unescape)
    })
}

/// What stands between the tags of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let open = xml
        .match_indices(name)
        .map(|(at, _)| at)
        .find(|at| xml.get(..*at).is_some_and(|b| b.ends_with('<')))?;
    let after = xml.get(open + name.len()..)?;
    let inner = after.get(after.find('>')? + 1..)?;
    inner.get(..inner.find(&format!("</{name}>"))?)
}

/// The items of a list of alternatives, a bag or a sequence, with their attributes.
fn items(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split("<rdf:li").skip(1).filter_map(|item| {
        let (attributes, rest) = item.split_once('>')?;
        Some((attributes, rest.split("</rdf:li>").next()?))
    })
}

fn words(xml: &str, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        let text = match element(xml, name) {
            Some(list) => {
                let default = items(list).find(|(a, _)| a.contains("x-default"));
                default
                    .or_else(|| items(list).next())
                    .map(|(_, text)| unescape(text))
            }
            None => None,
        };
        let text = text.or_else(|| value(xml, name))?;
        let mut text: String = text
            .trim()
            .chars()
            .filter(|c| !c.is_control() || *c == '\n')
            .collect();
        let mut end = text.len().min(MAX_WORDS_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        (!text.is_empty()).then_some(text)
    })
}

/// The richest list of keywords there is: with levels first.
fn tags(xml: &str) -> Vec<String> {
    for (name, separator) in [
        ("digiKam:TagsList", "/"),
        ("lr:hierarchicalSubject", "|"),
        ("dc:subject", "\0"),
    ] {
        let Some(list) = element(xml, name) else {
            continue;
        };
        let tags: Vec<String> = items(list)
            .filter_map(|(_, text)| super::clean(&unescape(text).replace(separator, "/")))
            .take(MAX_TAGS)
            .collect();
        if !tags.is_empty() {
            return tags;
        }
    }
    Vec::new()
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let known = tail
            .get(1..)
            .and_then(|t| t.split_once(';'))
            .and_then(|(name, after)| Some((entity(name)?, after)));
        match known {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push('&');
                rest = tail.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_found_as_attributes_and_as_elements() {
        let as_attributes = br#"<rdf:Description xmp:CreateDate="2005-05-13T13:09:04-05:00"
            exif:GPSLatitude = '48,9.0032N' exif:GPSLongitude="11,34,34.2E" xmp:Rating="4"
            GCamera:MotionPhoto="1"/>"#;
        let as_elements =
            b"<rdf:Description><xmp:CreateDate>2005-05-13T13:09:04-05:00</xmp:CreateDate>\
            <exif:GPSLatitude>48,9.0032N</exif:GPSLatitude>\
            <exif:GPSLongitude>11,34,34.2E</exif:GPSLongitude>\
            <xmp:Rating>4</xmp:Rating><GCamera:MotionPhoto>1</GCamera:MotionPhoto>";
        let a = parse(as_attributes);
        assert_eq!(a, parse(as_elements));
        let taken = a.taken.expect("has a date");
        assert_eq!(
            (taken.wall.to_string().as_str(), taken.offset),
            ("2005-05-13T13:09:04", Some(-300))
        );
        let place = a.place.expect("has a place");
        assert!((place.lat - 48.150_053).abs() < 1e-5);
        assert!((place.lon - 11.576_167).abs() < 1e-5);
        assert_eq!((a.rating, a.motion), (Some(4), true));
    }

    #[test]
    fn the_date_of_the_original_beats_that_of_the_file() {
        let xml = b"<x xmp:CreateDate='2020-01-01T00:00:00' exif:DateTimeOriginal='nonsense' photoshop:DateCreated='1943-05-04'>";
        let taken = parse(xml).taken.expect("has a date");
        assert_eq!(taken.wall.to_string(), "1943-05-04T12:00:00");
    }

    #[test]
    fn words_and_tags_come_out_of_their_lists() {
        let xml = b"<dc:description><rdf:Alt><rdf:li xml:lang=\"de\">Nein</rdf:li>\
            <rdf:li xml:lang=\"x-default\">Tom &amp; &#x4a;erry &lt;3 &bogus;</rdf:li></rdf:Alt></dc:description>\
            <lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Garda</rdf:li></rdf:Bag></lr:hierarchicalSubject>\
            <dc:subject><rdf:Bag><rdf:li>Garda</rdf:li></rdf:Bag></dc:subject>";
        let x = parse(xml);
        assert_eq!(x.description.as_deref(), Some("Tom & Jerry <3 &bogus;"));
        assert_eq!(x.tags, ["Places/Garda"]);
    }

    #[test]
    fn broken_packets_say_nothing() {
        for xml in [
            &b"<xmp:CreateDate>2005"[..],
            b"xmp:CreateDate",
            b" xmp:CreateDate=",
            b" xmp:CreateDate=\"2005-01-01",
            b"<exif:GPSLatitude>12,x,N</exif:GPSLatitude><exif:GPSLongitude>1,2E</exif:GPSLongitude>",
            b"<dc:subject><rdf:Bag><rdf:li",
            b"\xff\xfe\0",
        ] {
            assert_eq!(parse(xml), Xmp::default());
        }
    }
}
