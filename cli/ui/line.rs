//! One line of the node's answer: a JSON object with a `type`.
//!
//! The accessors for people give text that is safe to print: whatever a peer
//! put into a name, it cannot move the cursor or turn the writing round.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::text;

/// One JSON object as the node sent it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    raw: String,
    fields: Map<String, Value>,
}

impl Line {
    /// Parses one line; `None` when it is no JSON object with a `type`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let raw = std::str::from_utf8(bytes).ok()?.trim_end();
        let fields: Map<String, Value> = serde_json::from_str(raw).ok()?;
        fields.get("type")?.as_str()?;
        Some(Self {
            raw: raw.to_owned(),
            fields,
        })
    }

    /// What the line is: `asset`, `progress`, `summary` ...
    pub(crate) fn kind(&self) -> &str {
        self.exact("type").unwrap_or_default()
    }

    /// Whether nothing follows this line.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self.kind(), "summary" | "error")
    }

    /// A text as it was sent; not for printing.
    pub(crate) fn exact(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    /// A text for people; `None` when it is absent, null or empty.
    pub(crate) fn text(&self, field: &str) -> Option<String> {
        let found = self.exact(field)?;
        (!found.is_empty()).then(|| text::plain(found).into_owned())
    }

    /// A text for people, or `otherwise`.
    pub(crate) fn text_or(&self, field: &str, otherwise: &str) -> String {
        self.text(field).unwrap_or_else(|| otherwise.to_owned())
    }

    /// The short form of an id; empty when it is absent.
    pub(crate) fn id(&self, field: &str) -> String {
        let id = self.text(field).unwrap_or_default();
        id.chars().take(8).collect()
    }

    /// A count; a list counts its members.
    pub(crate) fn count(&self, field: &str) -> u64 {
        match self.fields.get(field) {
            Some(Value::Array(members)) => u64::try_from(members.len()).unwrap_or(u64::MAX),
            Some(value) => value.as_u64().unwrap_or(0),
            None => 0,
        }
    }

    /// Whether a field stands there and is neither null nor false.
    pub(crate) fn is(&self, field: &str) -> bool {
        !matches!(
            self.fields.get(field),
            None | Some(Value::Null | Value::Bool(false))
        )
    }

    /// A list of texts for people; one text counts as its words.
    pub(crate) fn texts(&self, field: &str) -> Vec<String> {
        match self.fields.get(field) {
            Some(Value::Array(members)) => members
                .iter()
                .filter_map(Value::as_str)
                .map(|member| text::plain(member).into_owned())
                .collect(),
            Some(Value::String(words)) => words
                .split_whitespace()
                .map(|word| text::plain(word).into_owned())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A list of sentences for people.
    pub(crate) fn texts_whole(&self, field: &str) -> Vec<String> {
        match self.fields.get(field) {
            Some(Value::Array(_)) => self.texts(field),
            _ => self.text(field).into_iter().collect(),
        }
    }

    /// Any value for people: a text as it reads, anything else as JSON.
    pub(crate) fn shown(&self, field: &str) -> String {
        match self.fields.get(field) {
            Some(Value::String(value)) => text::plain(value).into_owned(),
            Some(other) => text::plain(&other.to_string()).into_owned(),
            None => String::new(),
        }
    }

    /// An object or a list of objects within this one.
    pub(crate) fn inner(&self, field: &str) -> Vec<Self> {
        let object = |value: &Value| {
            value.as_object().map(|fields| Self {
                raw: String::new(),
                fields: fields.clone(),
            })
        };
        match self.fields.get(field) {
            Some(Value::Array(members)) => members.iter().filter_map(object).collect(),
            Some(value) => object(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// A fraction, for coordinates.
    pub(crate) fn fraction(&self, field: &str) -> Option<f64> {
        self.fields.get(field)?.as_f64()
    }

    /// The exit code that the node asks for, if it is one for something gone wrong.
    pub(crate) fn exit(&self) -> Option<u8> {
        let exit = self.fields.get("exit")?.as_u64()?;
        u8::try_from(exit).ok().filter(|code| *code > 0)
    }

    /// The same line with one field replaced.
    pub(crate) fn with(&self, field: &str, value: Value) -> Self {
        let mut fields = self.fields.clone();
        fields.insert(field.to_owned(), value);
        Self::from_fields(fields)
    }

    /// The line for programs: without what is between the node and the command line.
    pub(crate) fn for_programs(&self) -> String {
        let mut fields = Cow::Borrowed(&self.fields);
        for private in ["exit", "token"] {
            if fields.contains_key(private) {
                fields.to_mut().remove(private);
            }
        }
        match fields {
            Cow::Borrowed(_) => text::escape_in_json(&self.raw),
            Cow::Owned(fields) => text::escape_in_json(&Self::from_fields(fields).raw),
        }
    }

    /// For people who run a newer node than this command: every field of a line.
    pub(crate) fn all_fields(&self) -> String {
        let fields = self
            .fields
            .iter()
            .filter(|(name, _)| *name != "v" && *name != "type");
        fields.fold(self.kind().to_owned(), |all, (name, _)| {
            format!("{all}  {name}: {}", self.shown(name))
        })
    }

    /// A line of the command line's own, `type` and `v` included.
    pub(crate) fn own(kind: &str, fields: Value) -> Self {
        let mut all = Map::new();
        all.insert("type".to_owned(), kind.into());
        all.insert("v".to_owned(), 1.into());
        if let Value::Object(fields) = fields {
            all.extend(fields);
        }
        Self::from_fields(all)
    }

    fn from_fields(fields: Map<String, Value>) -> Self {
        // `type` and `v` first, as in the node's own lines.
        let mut raw = String::from("{");
        let first = ["type", "v"]
            .iter()
            .filter_map(|key| fields.get_key_value(*key));
        let rest = fields
            .iter()
            .filter(|(key, _)| !["type", "v"].contains(&key.as_str()));
        for (key, value) in first.chain(rest) {
            if raw.len() > 1 {
                raw.push(',');
            }
            raw.push_str(&format!("{}:{value}", Value::from(key.as_str())));
        }
        raw.push('}');
        Self { raw, fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::parse(text.as_bytes()).expect("a line")
    }

    #[test]
    fn a_line_is_an_object_with_a_type() {
        for bad in [
            "",
            "[]",
            "{}",
            "{\"type\":1}",
            "{\"type\":\"x\"",
            "nonsense",
        ] {
            assert!(Line::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Line::parse(b"{\"type\":\"\xff\"}").is_none());
        assert_eq!(line(r#"{"type":"x","v":1}"#).kind(), "x");
    }

    #[test]
    fn programs_do_not_see_what_is_between_node_and_command() {
        let plain = r#"{"type":"summary","v":1,"act":"list","zebra":1,"ant":2}"#;
        assert_eq!(line(plain).for_programs(), plain);
        let coded = r#"{"act":"verify","exit":9,"type":"summary","v":1}"#;
        assert_eq!(
            line(coded).for_programs(),
            r#"{"type":"summary","v":1,"act":"verify"}"#
        );
        assert_eq!(line(coded).exit(), Some(9));
        let asked = r#"{"type":"confirm","v":1,"token":"t","words":["a"]}"#;
        assert_eq!(
            line(asked).for_programs(),
            r#"{"type":"confirm","v":1,"words":["a"]}"#
        );
    }

    #[test]
    fn names_cannot_forge_lines_for_people_or_programs() {
        let hostile = line("{\"type\":\"x\",\"name\":\"a\\u001b[2J\\nb\u{202e}c\u{9b}\"}");
        assert_eq!(
            hostile.text("name").as_deref(),
            Some("a\\u{1b}[2J\\nb\\u{202e}c\\u{9b}")
        );
        let printed = hostile.for_programs();
        assert!(printed.is_ascii(), "{printed}");
        assert_eq!(line(&printed).exact("name"), hostile.exact("name"));
    }

    #[test]
    fn counts_take_numbers_and_lists() {
        let found = line(r#"{"type":"x","n":3,"some":["a","b"],"gone":null}"#);
        assert_eq!(
            (found.count("n"), found.count("some"), found.count("gone")),
            (3, 2, 0)
        );
        assert!(found.is("n") && !found.is("gone") && !found.is("absent"));
        assert_eq!(
            line(r#"{"type":"x","w":"one two"}"#).texts("w"),
            ["one", "two"]
        );
    }
}
