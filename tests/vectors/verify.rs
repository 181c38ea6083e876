//! What `protocol` makes of a vector: one function for each `check`.

#[path = "verify/identity.rs"]
mod identity;
#[path = "verify/log.rs"]
mod log;
#[path = "verify/meeting.rs"]
mod meeting;
#[path = "verify/sealed.rs"]
mod sealed;
#[path = "verify/sync.rs"]
mod sync;

use std::fmt::Debug;

use heirloom_protocol::wire::{self, WireError};
use serde::{Serialize, de::DeserializeOwned};

use crate::case::{Case, Class};

pub(crate) use self::{log::encoded, sealed::encrypt, sync::cookie};

type Checked = Result<(), Class>;

/// The class of a vector, as the program sees it.
pub(crate) fn class(case: &Case) -> Class {
    let checked = match case.check.as_str() {
        "value" => value(case),
        "genesis" => identity::genesis(case),
        "signature" => identity::signature(case),
        "consent" => identity::consent(case),
        "kit proof" => identity::kit_proof(case),
        "cosign" => identity::cosign(case),
        "kit" => identity::kit(case),
        "family words" => identity::family_words(case),
        "derive" => sealed::derived(case),
        "rng" => sealed::rng(case),
        "epoch id" => sealed::epoch_id(case),
        "epoch keys" => sealed::epoch_keys(case),
        "body" => sealed::body(case),
        "sealed value" => sealed::value(case),
        "chain" => sealed::chain(case),
        "seal box" => sealed::seal_box(case),
        "padding" => sealed::padding(case),
        "blob" => sealed::blob(case),
        "blob id" => sealed::blob_id(case),
        "leaves" => sealed::leaves(case),
        "first prev" => log::first_prev(case),
        "op id" => log::op_id(case),
        "op" => log::op(case),
        "ops" => log::ops(case),
        "entry" => log::entry(case),
        "stamp" => log::stamp(case),
        "heads digest" => log::heads_digest(case),
        "album" => log::album(case),
        "invite words" => meeting::invite_words(case),
        "invite link" => meeting::invite_link(case),
        "invite keys" => meeting::invite_keys(case),
        "commitment" => meeting::commitment(case),
        "pairing words" => meeting::pairing_words(case),
        "pairing" => meeting::pairing(case),
        "tag" => meeting::tag(case),
        "txt" => meeting::txt(case),
        "beacon" => meeting::beacon(case),
        "head" => meeting::head(case),
        "manifest" => meeting::manifest(case),
        "list" => meeting::list(case),
        "frame" => sync::frame(case),
        "request" => sync::request(case),
        "answer" => sync::answer(case),
        "bitmap" => sync::bitmap(case),
        "heads" => sync::heads(case),
        "have" => sync::have_digest(case),
        "spaces" => sync::spaces(case),
        other => panic!("{}: unknown check {other}", case.path),
    };
    checked.err().unwrap_or(Class::Ok)
}

/// Decodes as the program does and says how bytes fail.
///
/// The program does not tell bytes that end early from impossible ones; here
/// they are the former if some longer string goes on where they end.
fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, Class> {
    wire::decode(bytes, limit).map_err(|error| match error {
        WireError::TooLarge(..) => Class::TooLarge,
        WireError::NotCanonical => Class::NotCanonical,
        WireError::Malformed => {
            let longer = [bytes, &[0; 1024]].concat();
            match wire::decode::<T>(&longer, wire::MAX_BYTES) {
                Err(WireError::Malformed) => Class::NotCanonical,
                _ => Class::Truncated,
            }
        }
    })
}

/// Compares with what was computed: of the wrong length, or other bytes.
fn same(bytes: &[u8], computed: &[u8]) -> Checked {
    if bytes.len() < computed.len() {
        Err(Class::Truncated)
    } else if bytes.len() > computed.len() {
        Err(Class::NotCanonical)
    } else {
        agree(bytes == computed)
    }
}

fn agree(yes: bool) -> Checked {
    if yes { Ok(()) } else { Err(Class::BadChain) }
}

fn value(case: &Case) -> Checked {
    fn shown<T: Serialize + DeserializeOwned + Debug>(case: &Case) -> Checked {
        let limit = case
            .field("limit")
            .map_or(wire::MAX_BYTES, |_| case.value("limit"));
        let value: T = decode(&case.bytes, limit)?;
        agree(format!("{value:?}") == case.string("value"))
    }
    match case.string("type") {
        "u8" => shown::<u8>(case),
        "u16" => shown::<u16>(case),
        "u32" => shown::<u32>(case),
        "u64" => shown::<u64>(case),
        "i16" => shown::<i16>(case),
        "i32" => shown::<i32>(case),
        "i64" => shown::<i64>(case),
        "bool" => shown::<bool>(case),
        "text" => shown::<String>(case),
        "list u32" => shown::<Vec<u32>>(case),
        "option u16" => shown::<Option<u16>>(case),
        "role" => shown::<heirloom_protocol::op::Role>(case),
        other => panic!("{}: unknown type {other}", case.path),
    }
}
