//! `recovery`: prove that the 24 words are right, or put new ones in their place.

use heirloom_protocol::{
    crypto::RecoveryKit,
    id::{DeviceId, PersonId},
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{ApiError, Done, albums::no_person, family, pick};
use crate::{
    node::Node,
    runtime::{confirm_kit, system_rng},
};

/// `recovery`, with what to do in `do`.
pub(super) async fn recovery(node: &Node, body: &Value) -> Done {
    let words = pick::optional(body, "words").map(|words| Zeroizing::new(words.to_owned()));
    match pick::text(body, "do")? {
        "check" => {
            let words = words.ok_or_else(|| ApiError::usage("words is missing"))?;
            check(node, &words).await
        }
        "replace" => replace(node, words).await,
        other => Err(ApiError::usage(&format!(
            "recovery does not know {other:?}"
        ))),
    }
}

/// The kit that counts for this device's person, and whether they ever had one.
struct Standing {
    person: PersonId,
    kit: Option<DeviceId>,
    had: bool,
}

impl Standing {
    async fn of(node: &Node) -> Result<Self, ApiError> {
        let standing = node
            .ask(|runtime| {
                let replica = runtime.replica();
                let person = replica.person()?;
                Some(Self {
                    person,
                    kit: replica.kit_of(&person),
                    had: replica.had_kit(&person),
                })
            })
            .await?;
        standing.ok_or_else(no_person)
    }

    fn holds(&self, kit: &RecoveryKit) -> bool {
        self.kit == Some(kit.sign().id())
    }
}

/// Whether these are the words of this device's person.
pub(super) async fn are_own(node: &Node, words: &str) -> bool {
    let standing = Standing::of(node).await;
    let kit = RecoveryKit::from_words(words);
    standing.is_ok_and(|standing| kit.is_ok_and(|kit| standing.holds(&kit)))
}

async fn check(node: &Node, words: &str) -> Done {
    let standing = Standing::of(node).await?;
    if standing.kit.is_none() {
        return Err(
            ApiError::new("E-NOT-FOUND", 4, "there are no recovery words for you yet")
                .safe("Nothing was changed.")
                .hint("heirloom recovery replace makes them"),
        );
    }
    let kit = typed(words)?;
    if !standing.holds(&kit) {
        return Err(wrong("these are not your recovery words"));
    }
    let (store, name) = (node.store().clone(), kit.sign().id());
    // After a restore a keeper may have brought albums whose keys were sealed to the words alone.
    let person = standing.person;
    let settled = node
        .ask(move |runtime| {
            runtime.open_with_kit(&kit)?;
            runtime.settle_words(&person)
        })
        .await??;
    // Who offloads photos is asked for this first.
    node.blocking(move || confirm_kit(&store, name)).await??;
    Ok(json!({"person": standing.person.to_string(), "settled": settled}))
}

pub(super) fn typed(words: &str) -> Result<RecoveryKit, ApiError> {
    RecoveryKit::from_words(words).map_err(|error| wrong(&error.to_string()).of_words(error))
}

fn wrong(message: &str) -> ApiError {
    ApiError::new("E-CODE", 8, message)
        .safe("Your photos are safe; nothing was changed.")
        .hint("look at the paper again, word by word")
}

async fn replace(node: &Node, words: Option<Zeroizing<String>>) -> Done {
    let standing = Standing::of(node).await?;
    let old = words.map(|words| typed(&words)).transpose()?;
    match &old {
        Some(old) if !standing.holds(old) => {
            return Err(wrong("these are not your recovery words"));
        }
        None if standing.had => {
            return Err(ApiError::not_allowed(
                "new words need the old ones, so that a thief of this device cannot lock you out",
            )
            .safe("Nothing was changed.")
            .hint("without the old words, leave the family on all devices and be invited anew"));
        }
        _ => {}
    }
    let new = RecoveryKit::generate(&mut system_rng()?);
    let new = node
        .ask(move |runtime| runtime.replace_kit(old.as_ref(), &new).map(|()| new))
        .await??;
    Ok(json!({
        "person": standing.person.to_string(),
        "recovery": family::words(&new),
    }))
}
