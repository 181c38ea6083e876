//! What invite and join share: questions to the person, the network for as long as it takes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Answer, ApiError, Done, Doorway, pick};
use crate::{
    network::{Network, pair::Verdict},
    node::Node,
    runtime::{RuntimeError, system_rng},
};

/// Questions that wait for a yes or a no, by token.
#[derive(Default)]
pub(super) struct Questions(Mutex<BTreeMap<String, oneshot::Sender<bool>>>);

impl Questions {
    fn put(&self) -> Result<(String, Verdict), RuntimeError> {
        use rand_core::Rng as _;
        let mut token = [0; 16];
        system_rng()?.fill_bytes(&mut token);
        let token = data_encoding::HEXLOWER.encode(&token);
        let (tell, verdict) = oneshot::channel();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, tell| !tell.is_closed());
        open.insert(token.clone(), tell);
        Ok((token, verdict))
    }

    fn answer(&self, token: &str, accept: bool) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = open.remove(token);
        asked.is_some_and(|tell| tell.send(accept).is_ok())
    }
}

/// What a person is asked: in English, and as a page that speaks another language needs it.
pub(super) struct Question {
    pub(super) id: &'static str,
    /// The other device, and whose it is or will be; as the other side calls them.
    pub(super) device: String,
    pub(super) person: String,
    pub(super) text: String,
}

/// Asks the person whether both screens show the same words.
pub(super) async fn ask(
    doorway: &Doorway,
    answer: &Answer,
    words: &[&'static str; 4],
    question: Question,
) -> Verdict {
    let Ok((token, verdict)) = doorway.questions.put() else {
        // A verdict whose other end is gone is a no.
        return oneshot::channel().1;
    };
    let line = json!({
        "type": "confirm", "v": 1, "words": words, "ask": question.text, "token": token,
        "id": question.id, "device": question.device, "person": question.person,
    });
    answer.line(&line).await;
    verdict
}

/// `confirm`: the answer to such a question. One that nobody waits for any more is no error.
pub(super) fn confirm(doorway: &Doorway, body: &Value) -> Done {
    let token = pick::text(body, "token")?;
    let taken = doorway.questions.answer(token, pick::flag(body, "accept"));
    Ok(json!({"taken": taken}))
}

/// The network of the running node, or one for as long as an act takes.
pub(super) struct Lent {
    pub(super) network: Network,
    /// Whether it was started for this act.
    pub(super) is_own: bool,
}

impl Lent {
    pub(super) async fn of(doorway: &Arc<Doorway>, node: &Node) -> Result<Self, ApiError> {
        if let Some(network) = doorway.network().await {
            let is_own = false;
            return Ok(Self { network, is_own });
        }
        let options = doorway.network_options()?.passing();
        let network = Network::start(node.clone(), options).await?;
        let is_own = true;
        Ok(Self { network, is_own })
    }

    /// Leaves the network, if it was started for this act.
    pub(super) async fn give_back(self) {
        if self.is_own {
            self.network.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_takes_one_answer() {
        let questions = Questions::default();
        let (token, mut verdict) = questions.put().unwrap();
        assert!(!questions.answer("another", true));
        assert!(questions.answer(&token, true));
        assert_eq!(verdict.try_recv(), Ok(true));
        assert!(!questions.answer(&token, true));
        let (token, verdict) = questions.put().unwrap();
        drop(verdict);
        assert!(!questions.answer(&token, true));
    }
}
