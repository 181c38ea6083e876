//! Everything that can be looked at, in memory and in order: what a timeline of a million photos is made from.
//!
//! Rows are read once and decoded one at a time; after that, what the runtime
//! says has changed is read again. Details of an asset are not kept here: they
//! are read from its row when they are asked for.

mod card;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use heirloom_protocol::id::{AlbumId, OpId, PersonId};
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};
use tokio_util::sync::CancellationToken;

use self::card::Card;
pub(super) use self::{card::kind, table::Table};
use crate::{
    api::ApiError,
    catalog::{Filter, Held, read_like, ties},
    node::Node,
    runtime::{AssetKey, News, RuntimeError, View, decode_asset},
    store::{Store, StoreError, Table as Rows},
};

/// Timelines that are kept.
const TABLES: usize = 8;
/// Least time between two that are told of.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// Most assets that are told of one by one.
const ASSETS_TOLD: usize = 64;

/// What a timeline is narrowed to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Query {
    /// One album.
    pub(super) album: Option<AlbumId>,
    /// What is in the trash, instead of what is not.
    pub(super) trashed: bool,
    /// What this person favours.
    pub(super) favorite: bool,
    /// Movies, or what is none.
    pub(super) video: Option<bool>,
    /// What no other device is known to hold.
    pub(super) only_here: bool,
    /// Words that all have to occur.
    pub(super) words: Vec<String>,
}

impl Query {
    /// Whether the rows themselves have to be looked at.
    fn needs_rows(&self) -> bool {
        self.only_here || !self.words.is_empty()
    }
}

/// An asset in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    key: AssetKey,
    wall: Option<i64>,
    hlc: u64,
    ratio: u8,
}

/// Something that an open page wants to hear.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Changed {
    /// As of which change.
    version: u64,
    /// Months of the whole timeline in which something came or went.
    months: Vec<String>,
    /// Assets whose details changed; empty when they are many.
    assets: Vec<String>,
    /// Whether pictures or originals arrived.
    blobs: bool,
    /// Whether people, devices or albums changed.
    roster: bool,
}

struct State {
    view: Arc<View>,
    cards: BTreeMap<AssetKey, Card>,
    /// Counts everything that changes an answer.
    version: u64,
    /// The version of the cards.
    laid: u64,
    tables: Vec<(Query, Arc<Table>)>,
}

/// The items of a node.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Inner>);

struct Inner {
    node: Node,
    state: RwLock<State>,
    told: broadcast::Sender<Changed>,
}

/// What piled up since the last look.
#[derive(Default)]
struct Due {
    all: bool,
    view: bool,
    blobs: bool,
    assets: BTreeSet<AssetKey>,
    albums: BTreeSet<AlbumId>,
}

impl Due {
    fn note(&mut self, news: News) {
        match news {
            News::Roster | News::Peers => self.view = true,
            News::Assets(keys) => self.assets.extend(keys),
            News::Rebuilt(album) => drop(self.albums.insert(album)),
            // Albums and access change by entries.
            News::Entries(..) => self.view = true,
            News::Blobs(_) | News::Dropped(_) => self.blobs = true,
            News::Renamed(_) => self.all = true,
            News::Gossip(..) | News::OddClock(_) => {}
        }
    }

    fn is_empty(&self) -> bool {
        !(self.all || self.view || self.blobs) && self.assets.is_empty() && self.albums.is_empty()
    }
}

fn read_album(
    store: &Store,
    album: &AlbumId,
    me: Option<PersonId>,
    cards: &mut BTreeMap<AssetKey, Card>,
) -> Result<(), StoreError> {
    store.scan(Rows::Assets, &album.0, |key, row| {
        // A damaged row is named by whoever looks for damage; the others are shown.
        let asset = row.ok().and_then(|row| decode_asset(&row));
        if let (Some(key), Some(asset)) = (AssetKey::from_bytes(key), asset)
            && let Some(card) = Card::of(&asset, me)
        {
            cards.insert(key, card);
        }
        ControlFlow::Continue(())
    })
}

impl Shelf {
    /// Reads every item that this person can see, and follows what changes until `stop`.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub(super) async fn open(node: Node, stop: CancellationToken) -> Result<Self, RuntimeError> {
        let news = node.news();
        let view = Arc::new(node.view().await?);
        let (store, seen) = (node.store().clone(), view.clone());
        let cards = node.blocking(move || {
            let mut cards = BTreeMap::new();
            for album in seen.albums.keys() {
                read_album(&store, album, seen.person, &mut cards)?;
            }
            Ok::<_, StoreError>(cards)
        });
        let state = State {
            view,
            cards: cards.await??,
            version: 1,
            laid: 1,
            tables: Vec::new(),
        };
        let shelf = Self(Arc::new(Inner {
            node,
            state: RwLock::new(state),
            told: broadcast::Sender::new(64),
        }));
        tokio::spawn(shelf.clone().follow(news, stop));
        Ok(shelf)
    }

    /// The node.
    pub(super) fn node(&self) -> &Node {
        &self.0.node
    }

    /// What changes from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Changed> {
        self.0.told.subscribe()
    }

    /// The family and its albums, as of the last change.
    pub(super) fn view(&self) -> Arc<View> {
        self.state().view.clone()
    }

    /// As of which change.
    pub(super) fn version(&self) -> u64 {
        self.state().version
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The item of an id, if this person can see it.
    ///
    /// What was added a moment ago may not be on the shelf yet; its row says that it is there.
    pub(super) fn item(&self, item: OpId) -> Option<AssetKey> {
        let view = self.view();
        let keys = view.albums.keys().map(|album| AssetKey {
            album: *album,
            item,
        });
        let keys: Vec<AssetKey> = keys.collect();
        let known = {
            let state = self.state();
            let mut keys = keys.iter();
            keys.find(|key| state.cards.contains_key(*key)).copied()
        };
        let store = self.0.node.store();
        let is_there = |key: &AssetKey| {
            let asset = key.load(store);
            asset.is_ok_and(|asset| Card::of(&asset, view.person).is_some())
        };
        known.or_else(|| keys.into_iter().find(is_there))
    }

    async fn follow(self, mut news: broadcast::Receiver<News>, stop: CancellationToken) {
        loop {
            let mut due = Due::default();
            let first = tokio::select! {
                () = stop.cancelled() => return,
                first = news.recv() => first,
            };
            match first {
                Ok(first) => due.note(first),
                Err(RecvError::Lagged(_)) => due.all = true,
                Err(RecvError::Closed) => return,
            }
            loop {
                match news.try_recv() {
                    Ok(more) => due.note(more),
                    Err(TryRecvError::Lagged(_)) => due.all = true,
                    Err(_) => break,
                }
            }
            if due.is_empty() {
                continue;
            }
            if let Err(error) = self.take(due).await {
                let id = ApiError::from(error).id;
                tracing::warn!(id, "the gallery did not see a change");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TELL_EVERY) => {}
            }
        }
    }

    /// Looks at what changed, and tells.
    async fn take(&self, mut due: Due) -> Result<(), RuntimeError> {
        let before = self.table(&Query::default()).await?;
        let roster = due.view || due.all;
        let view = match roster {
            true => Arc::new(self.0.node.view().await?),
            false => self.view(),
        };
        let old = self.view();
        if old.person != view.person {
            due.all = true;
        }
        let is_new = |album: &&AlbumId| due.all || !old.albums.contains_key(*album);
        let new: Vec<AlbumId> = view.albums.keys().filter(is_new).copied().collect();
        due.albums.extend(new);
        let blobs = due.blobs;
        let mut assets: Vec<String> = Vec::new();
        if due.assets.len() <= ASSETS_TOLD {
            assets.extend(due.assets.iter().map(|key| key.item.to_string()));
        }
        let (shelf, seen) = (self.clone(), view.clone());
        let touched = self
            .0
            .node
            .blocking(move || shelf.reread(&due, seen))
            .await??;
        let is_laid = touched.is_none_or(|touched| touched > 0);
        let after = match is_laid {
            true => self.table(&Query::default()).await?,
            false => before.clone(),
        };
        let changed = Changed {
            version: self.version(),
            months: after.changed_since(&before),
            assets,
            blobs,
            roster,
        };
        // Nobody may be looking.
        let _ = self.0.told.send(changed);
        Ok(())
    }

    /// Reads rows again and puts them in place; gives how many, `None` for whole albums.
    fn reread(&self, due: &Due, view: Arc<View>) -> Result<Option<usize>, StoreError> {
        let store = self.0.node.store();
        let mut whole = BTreeMap::new();
        for album in &due.albums {
            if view.albums.contains_key(album) {
                read_album(store, album, view.person, &mut whole)?;
            }
        }
        let mut single = Vec::new();
        for key in &due.assets {
            let is_seen = view.albums.contains_key(&key.album);
            if is_seen && !due.albums.contains(&key.album) {
                single.push((*key, Card::of(&key.load(store)?, view.person)));
            }
        }
        let mut state = self.state_mut();
        let gone: Vec<AlbumId> = state
            .view
            .albums
            .keys()
            .filter(|album| !view.albums.contains_key(*album))
            .copied()
            .collect();
        let is_whole = !due.albums.is_empty() || !gone.is_empty();
        if is_whole {
            let leaves =
                |key: &AssetKey| due.albums.contains(&key.album) || gone.contains(&key.album);
            state.cards.retain(|key, _| !leaves(key));
            state.cards.append(&mut whole);
        }
        let mut touched = 0;
        for (key, card) in single {
            let before = match card {
                Some(card) => state.cards.insert(key, card),
                None => state.cards.remove(&key),
            };
            touched += usize::from(before != card);
        }
        state.view = view;
        state.version += 1;
        if is_whole || touched > 0 {
            state.laid = state.version;
        }
        Ok((!is_whole).then_some(touched))
    }

    /// The timeline of a query.
    pub(super) async fn table(&self, query: &Query) -> Result<Arc<Table>, RuntimeError> {
        {
            let state = self.state();
            let oldest = match query.needs_rows() {
                true => state.version,
                false => state.laid,
            };
            let kept = state.tables.iter().find(|(kept, _)| kept == query);
            if let Some((_, table)) = kept.filter(|(_, table)| table.version >= oldest) {
                return Ok(table.clone());
            }
        }
        let (shelf, asked) = (self.clone(), query.clone());
        let made = self.0.node.blocking(move || shelf.lay(&asked)).await??;
        let made = Arc::new(made);
        let mut state = self.state_mut();
        state.tables.retain(|(kept, _)| kept != query);
        state.tables.truncate(TABLES - 1);
        state.tables.insert(0, (query.clone(), made.clone()));
        Ok(made)
    }

    fn lay(&self, query: &Query) -> Result<Table, StoreError> {
        let (version, view, mut shown) = {
            let state = self.state();
            (
                state.version,
                state.view.clone(),
                shown(&state.cards, state.view.person, query),
            )
        };
        shown.sort_unstable_by(|one, other| {
            let order = |shown: &Shown| (shown.wall, shown.hlc, shown.key.item);
            order(other).cmp(&order(one))
        });
        if query.needs_rows() {
            let (store, filter) = (
                self.0.node.store(),
                Filter {
                    words: query.words.clone(),
                    ..Filter::default()
                },
            );
            let held = Held::of(store);
            let mut fitting = Vec::new();
            for one in shown {
                let Some(folded) = read_like(store, &view, one.key)? else {
                    continue;
                };
                let Some(listed) = folded.listed_with(&held, &view)? else {
                    continue;
                };
                let only_here = listed.here.original && listed.copies == 1;
                if (only_here || !query.only_here) && filter.has_words(&listed) {
                    fitting.push(one);
                }
            }
            shown = fitting;
        }
        Ok(Table::of(version, &shown))
    }
}

/// Assets that fit, folded as the catalog does it, in no order.
fn shown(cards: &BTreeMap<AssetKey, Card>, me: Option<PersonId>, query: &Query) -> Vec<Shown> {
    let mut all: Vec<(&AssetKey, &Card)> = cards.iter().collect();
    // The first of those that are one is who gives the asset its id.
    all.sort_unstable_by_key(|(key, card)| {
        let is_others = Some(card.said.1) != me;
        (card.content, card.is_trashed, is_others, card.hlc, key.item)
    });
    let groups = all.chunk_by(|(_, one), (_, other)| one.content == other.content);
    let mut found = Vec::new();
    for same in groups {
        if let [_] = same {
            found.extend(one_shown(same, query));
            continue;
        }
        let said: Vec<_> = same.iter().map(|(_, card)| card.said).collect();
        let mut tied: Vec<_> = ties(&said, me).into_iter().zip(same).collect();
        tied.sort_by_key(|(tie, _)| *tie);
        for one in tied.chunk_by(|(one, _), (other, _)| one == other) {
            let items: Vec<_> = one.iter().map(|(_, item)| **item).collect();
            found.extend(one_shown(&items, query));
        }
    }
    found
}

fn one_shown(same: &[(&AssetKey, &Card)], query: &Query) -> Option<Shown> {
    let (key, first) = same.first()?;
    let is_trashed = same.iter().all(|(_, card)| card.is_trashed);
    let fits = match query.album {
        None => is_trashed == query.trashed,
        Some(album) => same
            .iter()
            .any(|(key, card)| key.album == album && card.is_trashed == query.trashed),
    };
    let favorite = !query.favorite || same.iter().any(|(_, card)| card.is_favorite);
    let kind = query.video.is_none_or(|video| video == first.is_video);
    let corrected = same.iter().find(|(_, card)| card.is_corrected);
    (fits && favorite && kind).then(|| Shown {
        key: **key,
        wall: corrected.map_or(first.wall, |(_, card)| card.wall),
        hlc: first.hlc,
        ratio: first.ratio,
    })
}
