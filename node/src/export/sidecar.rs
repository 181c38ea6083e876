//! What was said of an asset, beside its files: as Google Takeout writes it, and as XMP.
//!
//! Both are the same bytes for the same words, so that an export that is
//! repeated changes nothing. The capture time is the wall clock's with its
//! offset where one is known; Takeout's form has room for an instant alone, and
//! takes the wall clock for UTC where none is.

use std::fmt::Write as _;

use heirloom_protocol::op::Field;
use serde_json::{Value, json};

use crate::catalog::{Folded, Listed, instant_text, wall_text};

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sidecars {
    /// In the form of Google Takeout.
    pub(crate) json: bool,
    /// XMP.
    pub(crate) xmp: bool,
}

/// What one asset's sidecars say.
pub(crate) struct Told<'a> {
    listed: &'a Listed,
    /// BLAKE3 of the main file: it names the asset for as long as it exists.
    blake3: &'a str,
    wall: Option<i64>,
    offset: Option<i16>,
    rating: Option<u8>,
}

impl<'a> Told<'a> {
    /// What is said of an asset.
    pub(crate) fn of(folded: &Folded, listed: &'a Listed) -> Self {
        let captured = folded.captured();
        let rating = folded.items.iter().find_map(|item| {
            let value = item.asset.field(Field::Rating)?;
            value.first().copied().filter(|stars| *stars <= 5)
        });
        Self {
            listed,
            blake3: &listed.blake3,
            wall: captured.wall,
            offset: captured.offset,
            rating,
        }
    }

    /// The instant of capture in milliseconds since 1970.
    pub(crate) fn instant(folded: &Folded) -> Option<i64> {
        let captured = folded.captured();
        captured
            .wall
            .map(|wall| instant(wall, captured.offset.unwrap_or(0)))
    }

    /// In the form of Google Takeout.
    pub(crate) fn json(&self) -> Vec<u8> {
        let listed = self.listed;
        let caption = listed.caption.as_deref().unwrap_or_default();
        let mut said = json!({
            "title": listed.name,
            "description": caption,
            "caption": caption,
            "favorited": listed.favorite,
            "heirloom": {
                "blake3": self.blake3,
                "wall": self.wall.map(wall_text),
                "offset": listed.offset,
                "taken_source": listed.taken_source,
                "tags": listed.tags,
                "albums": listed.albums,
                "rating": self.rating,
                "by": listed.by,
            },
        });
        let mut put = |field: &str, value: Value| {
            if let Some(fields) = said.as_object_mut() {
                fields.insert(field.into(), value);
            }
        };
        if let Some(wall) = self.wall {
            let at = instant(wall, self.offset.unwrap_or(0));
            let formatted = u64::try_from(at).map_or_else(|_| wall_text(at), instant_text);
            let timestamp = at.div_euclid(1000).to_string();
            put(
                "photoTakenTime",
                json!({"timestamp": timestamp, "formatted": formatted}),
            );
        }
        if let Some(place) = listed.place {
            put(
                "geoData",
                json!({
                    "latitude": place.lat, "longitude": place.lon, "altitude": 0.0,
                    "latitudeSpan": 0.0, "longitudeSpan": 0.0,
                }),
            );
        }
        let mut bytes = serde_json::to_vec_pretty(&said).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// As XMP (ISO 16684-1), with the fields of the Metadata Working Group.
    pub(crate) fn xmp(&self) -> Vec<u8> {
        let mut attributes = String::new();
        let mut add = |name: &str, value: &str| {
            let _ = write!(attributes, "\n   {name}=\"{}\"", escaped(value));
        };
        add("heirloom:blake3", self.blake3);
        if let Some(wall) = self.wall {
            let offset = self.listed.offset.as_deref().unwrap_or_default();
            let taken = format!("{}{offset}", wall_text(wall));
            for name in [
                "exif:DateTimeOriginal",
                "photoshop:DateCreated",
                "xmp:CreateDate",
            ] {
                add(name, &taken);
            }
        }
        if let Some(rating) = self.rating {
            add("xmp:Rating", &rating.to_string());
        }
        if let Some(place) = self.listed.place {
            add("exif:GPSLatitude", &degrees(place.lat, 'N', 'S'));
            add("exif:GPSLongitude", &degrees(place.lon, 'E', 'W'));
        }
        let mut body = String::new();
        if let Some(caption) = &self.listed.caption {
            let _ = writeln!(
                body,
                "   <dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">{}</rdf:li></rdf:Alt></dc:description>",
                escaped(caption)
            );
        }
        if !self.listed.tags.is_empty() {
            body.push_str("   <dc:subject><rdf:Bag>\n");
            for tag in &self.listed.tags {
                let _ = writeln!(body, "    <rdf:li>{}</rdf:li>", escaped(tag));
            }
            body.push_str("   </rdf:Bag></dc:subject>\n");
        }
        format!("{HEAD}{attributes}>\n{body}{TAIL}").into_bytes()
    }
}

const HEAD: &str = "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>
<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">
 <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">
  <rdf:Description rdf:about=\"\"
   xmlns:dc=\"http://purl.org/dc/elements/1.1/\"
   xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"
   xmlns:exif=\"http://ns.adobe.com/exif/1.0/\"
   xmlns:photoshop=\"http://ns.adobe.com/photoshop/1.0/\"
   xmlns:heirloom=\"urn:heirloom:1\"";
const TAIL: &str = "  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end=\"w\"?>
";

/// Whether a sidecar that is there was written by an export for the same asset, and may be written anew.
pub(crate) fn is_ours(there: &[u8], blake3: &str) -> bool {
    if let Ok(json) = serde_json::from_slice::<Value>(there) {
        return json["heirloom"]["blake3"] == blake3;
    }
    let mark = format!("heirloom:blake3=\"{blake3}\"");
    let mark = mark.as_bytes();
    there.windows(mark.len()).any(|bytes| bytes == mark)
}

fn instant(wall: i64, offset: i16) -> i64 {
    wall.saturating_sub(i64::from(offset) * 60_000)
}

/// `52,31.123400N`: degrees and minutes as XMP has them.
fn degrees(value: f64, positive: char, negative: char) -> String {
    let side = if value < 0.0 { negative } else { positive };
    let value = value.abs();
    let whole = value.trunc();
    format!("{whole:.0},{:.6}{side}", (value - whole) * 60.0)
}

/// Text in XML 1.0, without the characters that it cannot hold.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c if c.is_control() || matches!(u32::from(c), 0xfffe | 0xffff) => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(
            escaped("a<b>&\"c\"\n\u{0}\u{1b}d"),
            "a&lt;b&gt;&amp;&quot;c&quot;&#10;d"
        );
    }

    #[test]
    fn places_have_a_side() {
        assert_eq!(degrees(52.518_75, 'N', 'S'), "52,31.125000N");
        assert_eq!(degrees(-0.5, 'E', 'W'), "0,30.000000W");
    }

    #[test]
    fn an_offset_leads_to_the_instant() {
        assert_eq!(instant(0, 180), -10_800_000);
    }

    #[test]
    fn only_sidecars_of_the_same_asset_are_ours() {
        let json = br#"{"title":"a","heirloom":{"blake3":"aa"}}"#;
        assert!(is_ours(json, "aa"));
        assert!(!is_ours(json, "bb"));
        assert!(!is_ours(br#"{"title":"a"}"#, "aa"));
        assert!(is_ours(b"<x heirloom:blake3=\"aa\">", "aa"));
        assert!(!is_ours(b"", "aa"));
        assert!(!is_ours(b"a", "aa"));
    }
}
