//! What needs a person: a sentence, and the same as an id with its values, for those who speak other languages.

use serde_json::{Value, json};

/// One thing that needs a person.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    /// Stays the same whatever the sentence becomes; `other` where there is none yet.
    id: &'static str,
    /// What the sentence says of this one: an object.
    values: Value,
    /// In English, with what to do.
    text: String,
}

impl Problem {
    /// One with an id.
    pub(super) fn new(id: &'static str, values: Value, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { id, values, text }
    }

    /// The sentence.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// All of it.
    pub(super) fn told(&self) -> Value {
        json!({"id": self.id, "values": self.values, "text": self.text})
    }
}

impl<T: Into<String>> From<T> for Problem {
    fn from(text: T) -> Self {
        Self::new("other", json!({}), text)
    }
}
