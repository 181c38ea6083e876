//! `invite`: a one-time code, and whoever comes with it.

use std::{sync::Arc, time::Duration};

use heirloom_protocol::{
    discovery::gossip::RoleFlags,
    family::{
        invite::{InviteCode, InviteFor, InviteRefusal, InviteSecret, InviteState},
        pairing::{Admission, Inviter, Newcomer, Offer, Outcome, Payload, is_name},
    },
    id::{AlbumId, PersonId},
    limits,
    op::{Level, Role},
    replica::DeviceRow,
    wire,
};
use rand_core::Rng as _;
use serde_json::{Value, json};

use super::{
    Answer, ApiError, Done, Doorway,
    live::Outside,
    pair::{self, Question},
    people, pick,
};
use crate::{
    catalog::instant_text,
    forms,
    network::{
        GuestStream, Network, device_of,
        pair::{Inviting, Verdict, run_inviter},
    },
    node::Node,
    runtime::{Runtime, RuntimeError, View},
    store::{Batch, Table},
};

/// How long the code waits for the first address to be listened on.
const LISTENING: Duration = Duration::from_secs(2);

/// Whom the code is for, and what they are given.
struct Plan {
    invite_for: InviteFor,
    /// The person's name as the inviter calls them; a keeper's own.
    name: String,
    albums: Vec<AlbumId>,
    seconds: u64,
}

impl Plan {
    fn of(view: &View, body: &Value) -> Result<Self, ApiError> {
        let me = view.person.ok_or_else(|| {
            ApiError::not_allowed("a keeper cannot invite").hint("invite on a person's device")
        })?;
        let role = view.people.persons.iter().find(|row| row.id == me);
        let is_admin = role.is_some_and(|row| row.role == Some(Role::Admin));
        let (invite_for, name) = match (
            pick::optional(body, "person"),
            pick::optional(body, "keeper"),
        ) {
            (None, None) if pick::flag(body, "device") => {
                (InviteFor::Device { person: me }, view.person_name(&me))
            }
            (Some(name), None) if !pick::flag(body, "device") => {
                let role = role_of(pick::optional(body, "role"))?;
                let person = PersonId::ZERO;
                (InviteFor::Person { person, role }, name.to_owned())
            }
            (None, Some(name)) if !pick::flag(body, "device") => {
                (InviteFor::Keeper, name.to_owned())
            }
            _ => {
                return Err(ApiError::usage(
                    "an invite is for a device, a person or a keeper",
                ));
            }
        };
        if !matches!(invite_for, InviteFor::Device { .. }) && !is_admin {
            return Err(ApiError::not_allowed(
                "only an admin of the family may invite people and keepers",
            )
            .hint("ask an admin to invite them"));
        }
        if !is_name(&name) {
            pick::checked_name(&name, "the name")?;
            return Err(ApiError::usage("the name is no line of text"));
        }
        if let InviteFor::Person { .. } = invite_for {
            people::name_is_free(view, &name, None).map_err(|error| {
                error.hint("a device more of one's own: heirloom invite --device; somebody else needs a name that can be told from it")
            })?;
        }
        Ok(Self {
            albums: albums_of(view, body, invite_for)?,
            invite_for,
            name,
            seconds: seconds_of(body)?,
        })
    }
}

fn role_of(role: Option<&str>) -> Result<Role, ApiError> {
    match role {
        Some("admin") => Ok(Role::Admin),
        Some("member") | None => Ok(Role::Member),
        Some("viewer") => Ok(Role::Viewer),
        Some(_) => Err(ApiError::usage("a role is admin, member or viewer")),
    }
}

fn seconds_of(body: &Value) -> Result<u64, ApiError> {
    let Some(text) = pick::optional(body, "valid") else {
        return Ok(limits::INVITE_SECONDS_DEFAULT);
    };
    match forms::seconds(text) {
        Some(seconds) if seconds <= limits::INVITE_SECONDS_MAX => Ok(seconds),
        Some(_) => Err(ApiError::usage("a code is valid for 7 days at most")),
        None => Err(ApiError::usage("a duration looks like 90m, 24h or 7d")),
    }
}

fn albums_of(view: &View, body: &Value, invite_for: InviteFor) -> Result<Vec<AlbumId>, ApiError> {
    let asked = pick::texts(body, "album");
    if !asked.is_empty() && matches!(invite_for, InviteFor::Device { .. }) {
        return Err(ApiError::usage(
            "a device of yours has all that you have: --album goes with --person and --keeper",
        ));
    }
    let mut albums = Vec::new();
    for asked in asked {
        let album = pick::album(view, asked)?;
        if album.level != Level::Manager {
            return Err(
                ApiError::not_allowed(&format!("you do not manage the album {asked:?}"))
                    .hint("ask somebody who manages it to share it"),
            );
        }
        albums.push(album.id);
    }
    Ok(albums)
}

/// Makes a code and waits for the one who comes with it.
pub(super) async fn invite(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Answer,
) -> Done {
    let view = node.view().await?;
    let plan = Plan::of(&view, body)?;
    let lent = pair::Lent::of(doorway, node).await?;
    let done = offer(doorway, node, &lent.network, &view, plan, answer).await;
    lent.give_back().await;
    done
}

async fn offer(
    doorway: &Arc<Doorway>,
    node: &Node,
    network: &Network,
    view: &View,
    mut plan: Plan,
    answer: &Answer,
) -> Done {
    let invite_for = plan.invite_for;
    let drawn = node.ask(move |runtime| draw(runtime, invite_for)).await?;
    let (secret, invite_for) = drawn?;
    plan.invite_for = invite_for;
    let state = InviteState::new(&secret, invite_for, node.clock().now(), plan.seconds);
    let guest = secret.guest();
    let valid = Duration::from_secs(plan.seconds);
    let mut desk = Desk {
        doorway,
        node,
        network,
        answer,
        offer: Offer {
            family: view.family,
            invite_for,
            family_name: named(&view.family_name, &view.family.short()),
            inviter_name: named(
                &view.person_name(&view.person.unwrap_or(PersonId::ZERO)),
                "?",
            ),
            inviter_device: named(&view.device_name(&view.device), &view.device.short()),
            person_name: plan.name,
        },
        albums: plan.albums,
        state,
        admitted: None,
        others: 0,
    };
    desk.keep().await?;
    let mut guests = network.welcome(&guest, secret.tag_key(), valid).await;
    desk.show_code(&secret, view).await;
    let done = desk.serve(&secret, &mut guests, valid).await;
    network.dismiss(&guest).await;
    // The code dies with the command, whatever its end was.
    desk.state.burn();
    desk.keep().await?;
    done
}

fn draw(
    runtime: &mut Runtime,
    invite_for: InviteFor,
) -> Result<(InviteSecret, InviteFor), RuntimeError> {
    let mut rng = runtime.rng()?;
    let secret = InviteSecret::generate(&mut rng);
    let invite_for = match invite_for {
        InviteFor::Person { role, .. } => {
            let mut person = [0; 16];
            rng.fill_bytes(&mut person);
            let person = PersonId(person);
            InviteFor::Person { person, role }
        }
        other => other,
    };
    Ok((secret, invite_for))
}

/// A name that may stand in an offer.
fn named(name: &str, otherwise: &str) -> String {
    let name = if is_name(name) { name } else { otherwise };
    name.to_owned()
}

/// One invite while it lives.
struct Desk<'a> {
    doorway: &'a Arc<Doorway>,
    node: &'a Node,
    network: &'a Network,
    answer: &'a Answer,
    offer: Offer,
    albums: Vec<AlbumId>,
    state: InviteState,
    /// Who joined.
    admitted: Option<Admission>,
    /// Albums of others that a keeper holds though others were named.
    others: usize,
}

impl Desk<'_> {
    /// Makes the state of the invite durable.
    async fn keep(&self) -> Result<(), ApiError> {
        let row = (
            Table::Invites,
            self.state.id().0.to_vec(),
            wire::encode(&self.state),
        );
        let store = self.node.store().clone();
        let kept = self.node.blocking(move || {
            store.commit(&Batch {
                puts: vec![row],
                ..Batch::default()
            })
        });
        Ok(kept.await??)
    }

    async fn show_code(&self, secret: &InviteSecret, view: &View) {
        let mut stirs = self.network.stirs();
        let listening =
            async { while self.network.addresses().is_empty() && stirs.changed().await.is_ok() {} };
        // Without an address the words still work where this device is seen.
        let _ = tokio::time::timeout(LISTENING, listening).await;
        let code = InviteCode {
            family: view.family.control_space(),
            inviter: view.device,
            secret: InviteSecret::from_bytes(*secret.to_bytes()),
            addrs: self.network.pair_addresses(),
        };
        let afar = Outside::now(self.network).await;
        let afar = afar.map_or("untried", |outside| outside.afar(self.node.clock().now().0));
        let instead = match afar {
            "none" => self.reached_instead(view).await,
            _ => None,
        };
        let words = secret.words();
        let words: Vec<&str> = words.split(' ').collect();
        let line = json!({
            "type": "invite", "v": 1, "code": code.link().as_str(), "words": words,
            "expires": instant_text(self.state.expires().0),
            // Whether the link leads here from another home; the words lead nowhere but in this network.
            "from_afar": afar,
            // A device of this person that is reached from elsewhere, where this one is not.
            "invite_on": instead,
        });
        self.answer.line(&line).await;
    }

    /// Another device of this person that says that it is reached from elsewhere, the connected first.
    async fn reached_instead(&self, view: &View) -> Option<String> {
        if self.network.is_lan_only() {
            return None;
        }
        let lore = self.node.ask(|runtime| runtime.lore()).await.ok()?.ok()?;
        let connected = self.network.connected().await;
        let is_reached = |row: &&DeviceRow| {
            let beacon = lore.beacons.get(&row.id);
            row.person == view.person
                && beacon.is_some_and(|beacon| beacon.flags.has(RoleFlags::RELAY))
        };
        let is_there =
            |row: &&DeviceRow| connected.iter().any(|path| device_of(path.peer) == row.id);
        let row = view
            .others()
            .filter(is_reached)
            .max_by_key(|row| is_there(row))?;
        Some(view.device_name(&row.id))
    }

    /// Takes one guest after another until one has joined or the invite has ended.
    async fn serve(
        &mut self,
        secret: &InviteSecret,
        guests: &mut tokio::sync::mpsc::Receiver<GuestStream>,
        valid: Duration,
    ) -> Done {
        let expiry = tokio::time::sleep(valid);
        tokio::pin!(expiry);
        loop {
            let guest = tokio::select! {
                () = self.answer.dropped().cancelled() => {
                    return Err(ApiError::code("the code was taken back"));
                }
                () = &mut expiry => return Err(ended(InviteRefusal::Expired)),
                guest = guests.recv() => match guest {
                    Some(guest) => guest,
                    None => return Err(ApiError::try_later("the node is stopping")),
                },
            };
            let outcome = self.talk(secret, guest).await?;
            tracing::debug!(?outcome, "a pairing ended");
            if let Some(admission) = &self.admitted {
                return Ok(joined(admission, outcome, self.others));
            }
            if outcome == Outcome::Withdrawn {
                return Err(ApiError::refused("you said no; the code works no more"));
            }
            self.state.admit(self.node.clock().now()).map_err(ended)?;
        }
    }

    async fn talk(
        &mut self,
        secret: &InviteSecret,
        guest: GuestStream,
    ) -> Result<Outcome, ApiError> {
        self.state.admit(self.node.clock().now()).map_err(ended)?;
        let (keys, rng) = self
            .node
            .ask(|runtime| (runtime.keys().clone(), runtime.rng()))
            .await?;
        let outer = device_of(guest.guest);
        let machine = Inviter::new(secret, &keys, outer, self.offer.clone(), &mut rng?)
            .map_err(|error| ApiError::usage(&error.to_string()))?;
        let dropped = self.answer.dropped().clone();
        run_inviter(guest.stream, machine, self, &dropped).await
    }

    fn question(&self, newcomer: Newcomer) -> Question {
        let device = newcomer.device_name;
        let (id, person, text) = match (self.offer.invite_for, newcomer.person_name) {
            (InviteFor::Person { .. }, Some(person)) => {
                let text = format!("Let {person} join with {device}?");
                ("person", person, text)
            }
            (InviteFor::Keeper, _) => {
                let text = format!("Let {device} join as a keeper?");
                ("keeper", String::new(), text)
            }
            _ => {
                let person = self.offer.person_name.clone();
                let text = format!("Let {device} join as a device of {person}?");
                ("device", person, text)
            }
        };
        Question {
            id,
            device,
            person,
            text,
        }
    }
}

fn ended(refusal: InviteRefusal) -> ApiError {
    ApiError::code(&refusal.to_string())
}

fn joined(admission: &Admission, outcome: Outcome, others: usize) -> Value {
    let invite_for = admission.invite_for;
    let person = match invite_for {
        InviteFor::Keeper => None,
        other => Some(other.person().to_string()),
    };
    json!({
        "device": admission.newcomer.device.to_string(),
        "device_name": admission.newcomer.device_name,
        "person": person,
        "person_name": admission.newcomer.person_name,
        // The other device has said that all it was handed is safe there.
        "stored": outcome == Outcome::Done,
        "others": others,
    })
}

impl Inviting for Desk<'_> {
    async fn failed(&mut self) -> Result<(), ApiError> {
        self.state.failed();
        self.keep().await
    }

    async fn burn(&mut self) -> Result<(), ApiError> {
        self.state.burn();
        self.keep().await
    }

    async fn ask(&mut self, words: [&'static str; 4], newcomer: Newcomer) -> Verdict {
        let question = self.question(newcomer);
        pair::ask(self.doorway, self.answer, &words, question).await
    }

    async fn spend(&mut self) -> Result<bool, ApiError> {
        if self.state.redeem(self.node.clock().now()).is_err() {
            return Ok(false);
        }
        self.keep().await?;
        Ok(true)
    }

    async fn admit(&mut self, admission: Box<Admission>) -> Result<Payload, ApiError> {
        let addrs = self.network.pair_addresses();
        let (written, albums) = (admission.clone(), self.albums.clone());
        let done = self.node.ask(move |runtime| {
            let others = runtime.admit(&written, &albums)?;
            Ok::<_, RuntimeError>((runtime.payload(addrs)?, others))
        });
        let (payload, others) = done.await??;
        self.others = others;
        self.admitted = Some(*admission);
        payload.ok_or_else(|| {
            ApiError::try_later("the family's history is too long to hand over in one piece")
        })
    }
}
