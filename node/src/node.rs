//! A handle to the device: what an application may ask of it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use heirloom_protocol::{
    crypto::{DeviceKeys, RecoveryKit},
    id::{DeviceId, FamilyId, PersonId},
    op::{AlbumUse, KitPublic, Subject},
    replica::found,
};
use rand_core::Rng as _;

use crate::{
    api::{ApiError, no_family},
    clock::Clock,
    runtime::{self, Identity, Line, News, Runtime, RuntimeError, View},
    store::{Damage, Store, StoreError},
};

/// How a node is run, apart from what its home says.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program and arguments of the worker that decodes pictures.
    pub worker: (PathBuf, Vec<OsString>),
}

/// A device of a family. Cheap to clone; the home is free when the last one is dropped.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    line: Line,
    options: Options,
}

/// A family just founded.
pub struct NewFamily {
    /// The node of its first device.
    pub node: Node,
    /// The family.
    pub family: FamilyId,
    /// Its first person.
    pub person: PersonId,
    /// This device.
    pub device: DeviceId,
}

impl Node {
    /// Opens the node of a home; `None` where none was set up.
    ///
    /// # Errors
    ///
    /// [`ApiError`] when the home is locked, damaged or readable by others.
    pub async fn open(home: &Path, options: &Options) -> Result<Option<Self>, ApiError> {
        let (home, options) = (home.to_owned(), options.clone());
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&home, options)).await;
        opened.map_err(|_| RuntimeError::Stopped)?
    }

    fn open_blocking(home: &Path, options: Options) -> Result<Option<Self>, ApiError> {
        let store = match Store::open(home) {
            Err(StoreError::NotSetUp) => return Ok(None),
            opened => opened?,
        };
        let Some(identity) = Identity::load(&store)? else {
            return Ok(None);
        };
        let control = identity.family.control_space();
        let (store, runtime) = match Runtime::open(store.clone(), &identity) {
            Err(RuntimeError::Store(StoreError::Damaged(Damage::Entry { log, .. }))) => {
                // Without it the rest is still there: an index made again leaves it out.
                tracing::warn!("an entry that the family or an album rests on cannot be read");
                store.leave_out(&log)?;
                drop(store);
                let store = Store::open(home)?;
                let runtime = Runtime::open(store.clone(), &identity)?;
                (store, runtime)
            }
            runtime => (store, runtime?),
        };
        let runtime =
            match no_family::is_unsure(&store, &runtime)? && store.files_changed(control)? {
                // Its files may have been brought back since, and the index would go on to pass them over.
                true => {
                    drop(runtime);
                    store.rebuild_index()?;
                    Runtime::open(store.clone(), &identity)?
                }
                false => runtime,
            };
        if no_family::is_unsure(&store, &runtime)? && no_family::is_unknown(&store, &runtime)? {
            return Err(no_family::error(home, control));
        }
        Self::run(store, runtime, options).map(Some)
    }

    /// Starts the thread of a runtime whose identity is saved.
    pub(crate) fn run(store: Store, runtime: Runtime, options: Options) -> Result<Self, ApiError> {
        let clock = runtime.clock().clone();
        let line = runtime::start(runtime).map_err(crate::store::StoreError::Io)?;
        Ok(Self(Arc::new(Inner {
            store,
            clock,
            line,
            options,
        })))
    }

    /// What changes from now on.
    pub fn news(&self) -> tokio::sync::broadcast::Receiver<News> {
        self.0.line.news()
    }

    /// Founds a family in a home that has none: its first person, this device, a library and the album Family.
    ///
    /// Durable when it returns. Interrupted before its end it leaves a home that
    /// is not set up, and can be called again.
    ///
    /// # Errors
    ///
    /// `E-ALREADY-SET-UP`, and whatever the disk says.
    pub async fn found(
        home: &Path,
        options: &Options,
        names: FamilyNames,
        kit: Option<&RecoveryKit>,
    ) -> Result<NewFamily, ApiError> {
        let kit = kit.map(|kit| KitPublic {
            sign: kit.sign().id(),
            seal: kit.seal().public(),
        });
        let (home, options) = (home.to_owned(), options.clone());
        let made =
            tokio::task::spawn_blocking(move || Self::found_blocking(&home, options, &names, kit));
        made.await.map_err(|_| RuntimeError::Stopped)?
    }

    fn found_blocking(
        home: &Path,
        options: Options,
        names: &FamilyNames,
        kit: Option<KitPublic>,
    ) -> Result<NewFamily, ApiError> {
        let store = open_empty(home)?;
        let mut rng = runtime::system_rng()?;
        let now = Clock::default().now();
        let keys = DeviceKeys::generate(&mut rng);
        let founded = found(&keys, kit, now, &mut rng);
        let (family, person) = (founded.family, founded.genesis.person);
        let identity = Identity::new(&keys, family, founded.genesis, rng.next_u64());
        let mut runtime = Runtime::open(store.clone(), &identity)?;
        let device = runtime.device();
        let named = [
            (Subject::Family, &names.family[..]),
            (Subject::Person(person), &names.person[..]),
            (Subject::Device(device), &names.device[..]),
        ];
        runtime.found(&named)?;
        runtime.make_album("Library", AlbumUse::Library)?;
        runtime.make_album("Family", AlbumUse::Family)?;
        // Last: a home without a key file is one that is not set up.
        identity.save(&store)?;
        let node = Self::run(store, runtime, options)?;
        Ok(NewFamily {
            node,
            family,
            person,
            device,
        })
    }

    /// The disk, for reading.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// What this node reads the time from.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// How this node is run.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Has the runtime do something and gives its answer.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Stopped`] when the node is ending, [`RuntimeError::Unread`] while a disk that fails keeps
    /// it from knowing what is here.
    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Runtime) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        self.0.line.ask(work).await
    }

    /// The same from a thread that may block.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub fn ask_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Runtime) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        self.0.line.ask_blocking(work)
    }

    /// Runs something that blocks or computes on a thread for that.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Stopped`] when the thread did not come to its end.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| RuntimeError::Stopped)
    }

    /// The family and its albums now.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub async fn view(&self) -> Result<View, RuntimeError> {
        self.ask(|runtime| runtime.view()).await
    }
}

/// What is called how in a new family.
#[derive(Clone, Debug)]
pub struct FamilyNames {
    /// The family.
    pub family: String,
    /// Its first person.
    pub person: String,
    /// This device.
    pub device: String,
}

/// A store without a family: a new one, or what an interrupted attempt left.
pub(crate) fn open_empty(home: &Path) -> Result<Store, ApiError> {
    let store = match Store::open(home) {
        Err(StoreError::NotSetUp) => Store::create(home)?,
        opened => opened?,
    };
    // Whatever else a home has lost: a key that is there is not written over.
    match Identity::load(&store)? {
        Some(_) => Err(ApiError::already_set_up()),
        None => Ok(store),
    }
}
