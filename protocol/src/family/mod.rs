//! Who belongs to the family, and how someone comes to belong to it.

pub mod consent;
pub mod invite;
pub mod pairing;
pub mod resolver;
