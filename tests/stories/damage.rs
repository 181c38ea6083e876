//! Rot: one wrong bit anywhere in a home, a lost sector, a lost index.
//!
//! Nobody is ever given a wrong byte, no photo goes missing without a word, and
//! nothing panics. `verify` names what is damaged, and with `--repair` it is
//! whole again, from what is here or from the second device. `HEIRLOOM_FLIPS`
//! says how many bits are flipped, `HEIRLOOM_SEED` brings the places of a run back.
#![cfg(unix)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use crate::devices::{
    Device, Dice, Homes, Running, asked, files, link, pair, pictures, report, sums,
};
use heirloom_node::{
    api::{Doorway, router},
    node::Options,
    store::{KeyFile, Keyring},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Of so many flips, one is looked at by the program itself.
const BY_PROGRAM: u64 = 25;
/// Of so many flips, one is repaired by itself with the help of the other device; all that can be are in the end.
const ALONE: u64 = 20;

fn flips() -> u64 {
    asked("HEIRLOOM_FLIPS", 100)
}

/// Kinds of files in a home, each of which is damaged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Config,
    Version,
    DeviceKey,
    StoreKey,
    Settings,
    Log,
    Index,
    Pack,
    Large,
}

impl Kind {
    /// Of a file by its path in the home; none for what holds nothing.
    fn of(path: &Path) -> Option<Self> {
        let text = path.to_str().expect("UTF-8");
        Some(match text {
            "config.toml" => Self::Config,
            "version" => Self::Version,
            "keys/device.key" | "keys/device.copy.key" => Self::DeviceKey,
            "keys/store.key" => Self::StoreKey,
            "settings" => Self::Settings,
            "heirloom.redb" => Self::Index,
            "lock" | "reserve" | "node.log" => return None,
            _ if text.starts_with("logs/") => Self::Log,
            _ if text.ends_with(".pack") => Self::Pack,
            _ if text.starts_with("blobs/") => Self::Large,
            _ => panic!("a kind of file that nothing is known of: {text}"),
        })
    }

    /// Of a hundred flips, how many meet it.
    const fn share(self) -> u64 {
        match self {
            Self::Config | Self::Version | Self::StoreKey | Self::Settings => 3,
            Self::DeviceKey => 8,
            Self::Log | Self::Index => 25,
            Self::Pack => 20,
            Self::Large => 10,
        }
    }
}

/// A home with all kinds of files in it, a device that holds all of it too, and what is right.
struct Base {
    homes: Homes,
    a: Device,
    b: Device,
    /// The second device, served, and known to the first.
    served: Option<Running>,
    files: BTreeMap<Kind, Vec<PathBuf>>,
    sources: BTreeSet<String>,
    assets: Vec<Value>,
    copies: u64,
}

fn without_counts(mut assets: Vec<Value>) -> Vec<Value> {
    for asset in &mut assets {
        let fields = asset.as_object_mut().expect("an object");
        fields.remove("copies");
        fields.remove("here");
    }
    assets.sort_by_key(ToString::to_string);
    assets
}

impl Base {
    fn new(dice: &mut Dice) -> Self {
        let homes = Homes::new();
        let (a, b) = (homes.device("a"), homes.device("b"));
        let source = homes.path().join("photos");
        fs::create_dir(&source).expect("a folder");
        for number in 0..4 {
            let photo = pictures::bmp(60 + number * 9, dice);
            fs::write(source.join(format!("{number}.bmp")), photo).expect("a file");
        }
        fs::write(source.join("m.mp4"), pictures::movie(300_000, dice)).expect("a file");
        a.init("Berger", "Anna", "laptop");
        let node = a.serve();
        pair(&a, &["--device"], &b, "pi", link);
        let from = source.to_str().expect("UTF-8");
        a.ok(&["import", from, "--album", "Rot"]);
        let assets = a.assets();
        let id = |index: usize| assets[index]["id"].as_str().expect("an id").to_owned();
        a.ok(&["caption", &id(0), "an old house"]);
        a.ok(&["favorite", &id(1)]);
        a.ok(&["tag", &id(2), "--add", "sea"]);
        b.ok(&["sync"]);
        node.stop();
        let served = b.serve();
        a.forget_all();
        let address = served.addresses()[0].clone();
        a.ok(&["peer", "add", &address]);
        a.ok(&["sync"]);
        a.is_whole();
        let mut kinds: BTreeMap<Kind, Vec<PathBuf>> = BTreeMap::new();
        for path in files(&a.home) {
            let within = path.strip_prefix(&a.home).expect("in the home").to_owned();
            let is_empty = fs::metadata(&path).expect("a file").len() == 0;
            if let Some(kind) = Kind::of(&within).filter(|_| !is_empty) {
                kinds.entry(kind).or_default().push(within);
            }
        }
        assert_eq!(kinds.len(), 9, "{kinds:?}");
        Self {
            assets: without_counts(a.assets()),
            sources: sums(&source).into_keys().collect(),
            homes,
            a,
            b,
            served: Some(served),
            files: kinds,
            copies: 0,
        }
    }

    /// A copy of the home to damage.
    fn copy(&mut self) -> Device {
        self.copies += 1;
        let home = self.homes.path().join(format!("copy-{}", self.copies));
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&self.a.home)
            .arg(&home)
            .status();
        assert!(copied.expect("cp runs").success());
        let log = Some(home.with_extension("log"));
        let device = self.a.clone();
        Device {
            home,
            log,
            ..device
        }
    }

    fn plan(&self) -> Vec<Kind> {
        let kinds = self.files.keys();
        kinds
            .flat_map(|kind| {
                let count = (flips() * kind.share()).div_ceil(100);
                (0..count).map(|_| *kind)
            })
            .collect()
    }

    fn place(&self, kind: Kind, dice: &mut Dice) -> Place {
        let files = &self.files[&kind];
        let count = u64::try_from(files.len()).expect("few");
        let file = files[usize::try_from(dice.within(0, count)).expect("few")].clone();
        let bytes = fs::read(self.a.home.join(&file)).expect("a file");
        // The unused end of the index holds nothing.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        let used = u64::try_from(used).expect("a small file");
        let (byte, bit) = (dice.within(0, used), dice.within(0, 8));
        Place {
            kind,
            file,
            byte: usize::try_from(byte).expect("a small file"),
            bit: u8::try_from(bit).expect("below 8"),
        }
    }
}

#[derive(Clone, Debug)]
struct Place {
    kind: Kind,
    file: PathBuf,
    byte: usize,
    bit: u8,
}

impl Place {
    fn name(&self) -> (PathBuf, usize, u8) {
        (self.file.clone(), self.byte, self.bit)
    }

    fn flip(&self, home: &Path) {
        let path = home.join(&self.file);
        let mut bytes = fs::read(&path).expect("a file");
        bytes[self.byte] ^= 1 << self.bit;
        fs::write(&path, bytes).expect("a file");
    }
}

/// A home opened in this process: the same router that the program calls.
struct Opened(Result<axum_router::Router, String>);

mod axum_router {
    use std::convert::Infallible;

    use http_body_util::Full;
    use hyper::{Request, Response, body::Bytes};
    use tower::util::BoxCloneSyncService;

    pub(crate) type Router =
        BoxCloneSyncService<Request<Full<Bytes>>, Response<super::Body>, Infallible>;
}

type Body = heirloom_node::api::AnswerBody;

impl Opened {
    async fn new(home: &Path) -> Self {
        let options = Options {
            worker: (PathBuf::from("/bin/false"), Vec::new()),
        };
        loop {
            match Doorway::open(home.to_owned(), options.clone()).await {
                Ok(doorway) => {
                    let router = tower::util::BoxCloneSyncService::new(router(doorway));
                    return Self(Ok(router));
                }
                // It is free when the thread of the one before has seen that nobody holds it.
                Err(error) if error.id == "E-LOCKED" => tokio::task::yield_now().await,
                Err(error) => return Self(Err(error.id.to_owned())),
            }
        }
    }

    /// The lines of an act; its error where the home does not open.
    async fn ask(&self, act: &str, body: Value) -> Vec<Value> {
        let router = match &self.0 {
            Ok(router) => router.clone(),
            Err(id) => return vec![json!({"type": "error", "id": id})],
        };
        let body = Full::new(Bytes::from(body.to_string()));
        let request = Request::post(format!("/v1/{act}"))
            .body(body)
            .expect("a request");
        let response = router.oneshot(request).await.expect("never fails");
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("an answer")
            .to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        lines.collect()
    }
}

/// What a damaged home gives.
#[derive(Debug)]
struct Seen {
    assets: Option<Vec<Value>>,
    exported: BTreeSet<String>,
    /// The ids of errors.
    errors: Vec<String>,
    /// `verify` names damage, or says that the home cannot be read.
    is_named: bool,
    verified: Vec<Value>,
}

fn error_of(lines: &[Value]) -> Option<String> {
    let last = lines.last()?;
    (last["type"] == "error").then(|| last["id"].as_str().unwrap_or_default().to_owned())
}

impl Seen {
    fn of(list: Vec<Value>, verified: Vec<Value>, export: &[Value], out: &Path) -> Self {
        let errors = [&list[..], &verified, export]
            .into_iter()
            .filter_map(error_of);
        let errors: Vec<_> = errors.collect();
        let damaged = verified
            .last()
            .map_or(0, |last| last["damaged"].as_u64().unwrap_or(0));
        let is_named = damaged > 0 || error_of(&verified).is_some();
        let assets = error_of(&list).is_none().then(|| {
            let assets = list.into_iter().filter(|line| line["type"] == "asset");
            without_counts(assets.collect())
        });
        Self {
            assets,
            exported: sums(out).into_keys().collect(),
            errors,
            is_named,
            verified,
        }
    }

    /// Whether everything is as it was.
    fn is_whole(&self, base: &Base) -> bool {
        self.errors.is_empty()
            && self.exported == base.sources
            && self.assets.as_ref() == Some(&base.assets)
    }

    /// Never a wrong byte, and nothing missing without a word.
    #[track_caller]
    fn judge(&self, base: &Base, place: &Place) {
        let wrong: Vec<_> = self.exported.difference(&base.sources).collect();
        assert!(wrong.is_empty(), "wrong bytes: {place:?}");
        for id in &self.errors {
            let known = ["E-DAMAGED", "E-NEWER-FORMAT", "E-USAGE", "E-IO"];
            assert!(known.contains(&&id[..]), "{id}: {place:?}");
        }
        assert!(
            self.is_whole(base) || self.is_named,
            "not named: {place:?}: {self:?}"
        );
        // Each of the two files heals the other.
        let is_healed = place.kind != Kind::DeviceKey || self.is_whole(base);
        assert!(is_healed, "{place:?}: {self:?}");
    }
}

async fn look(home: &Path) -> Seen {
    let out = home.with_extension("out");
    let opened = Opened::new(home).await;
    let list = opened.ask("list", json!({})).await;
    let verified = opened.ask("verify", json!({"read_data": true})).await;
    let export = json!({"dir": out.to_str().expect("UTF-8"), "sidecars": "none"});
    let export = opened.ask("export", export).await;
    Seen::of(list, verified, &export, &out)
}

/// The same by the program.
fn look_by_program(device: &Device) -> Seen {
    let out = device.home.with_extension("out");
    let to = out.to_str().expect("UTF-8");
    let list = device.start(&["list"]).all().0;
    let (verified, exit) = device.start(&["verify", "--read-data"]).all();
    let export = device.start(&["export", to, "--sidecars", "none"]).all().0;
    let seen = Seen::of(list, verified, &export, &out);
    let named = seen
        .verified
        .last()
        .is_some_and(|last| last["damaged"].as_u64() > Some(0));
    assert_eq!(
        exit == 9,
        named || error_of(&seen.verified).as_deref() == Some("E-DAMAGED")
    );
    device.never_panicked();
    seen
}

fn clean_up(home: &Path) {
    let _ = fs::remove_dir_all(home);
    let _ = fs::remove_dir_all(home.with_extension("out"));
}

/// Panics of nodes in this process but those of the database that are caught.
static PANICS: AtomicU32 = AtomicU32::new(0);

/// Whether a panic is that of a node: other stories run beside this one, fail by panics of their own, and
/// have their nodes in other processes.
fn is_of_a_node(info: &std::panic::PanicHookInfo<'_>) -> bool {
    let thread = std::thread::current();
    let is_story = thread.name().is_some_and(|name| name.contains("::"));
    let file = info.location().map(|at| Path::new(at.file()));
    let is_test = file.is_some_and(|file| file.starts_with("tests"));
    // The store catches those, and keeps them from hooks only if it was there before them.
    let is_database = file.is_some_and(|file| {
        let mut parts = file
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        parts.any(|part| part.starts_with("redb-"))
    });
    !is_story && !is_test && !is_database
}

/// What was flipped and named, so that it is repaired in one go. Of each log one bit a time: two in one
/// entry that says who belongs would close the home.
fn batches(named: BTreeMap<Kind, Vec<Place>>) -> Vec<Vec<Place>> {
    let mut batches: Vec<Vec<Place>> = Vec::new();
    for (kind, mut places) in named {
        places.sort_by_key(Place::name);
        places.dedup_by_key(|place| place.name());
        if kind != Kind::Log {
            batches.push(places);
            continue;
        }
        let mut of_logs: Vec<Vec<Place>> = Vec::new();
        for place in places {
            let free = |batch: &&mut Vec<Place>| batch.iter().all(|other| other.file != place.file);
            match of_logs.iter_mut().find(free) {
                Some(batch) => batch.push(place),
                None => of_logs.push(vec![place]),
            }
        }
        batches.extend(of_logs);
    }
    batches
}

#[test]
fn a_flipped_bit_is_harmless_or_named_and_repaired() {
    let started = Instant::now();
    let mut dice = Dice::new();
    let mut base = Base::new(&mut dice);
    let before = Arc::new(std::panic::take_hook());
    let others = Arc::clone(&before);
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(u32::from(is_of_a_node(info)), Ordering::Relaxed);
        others(info);
    }));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut named, mut alone, mut by_program) = (0, 0, 0);
    let mut to_repair: BTreeMap<Kind, Vec<Place>> = BTreeMap::new();
    let plan = base.plan();
    for (number, kind) in (0_u64..).zip(&plan) {
        let place = base.place(*kind, &mut dice);
        let device = base.copy();
        place.flip(&device.home);
        let seen = if number.is_multiple_of(BY_PROGRAM) {
            by_program += 1;
            look_by_program(&device)
        } else {
            runtime.block_on(look(&device.home))
        };
        seen.judge(&base, &place);
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{place:?}");
        named += u64::from(seen.is_named);
        let has_opened = !seen.errors.contains(&"E-NEWER-FORMAT".to_owned());
        if *kind == Kind::DeviceKey {
            let read = |home: &Path| fs::read(home.join(&place.file)).expect("a key");
            assert!(read(&device.home) == read(&base.a.home), "{place:?}");
        }
        let is_for_repair = seen.is_named && has_opened;
        if is_for_repair {
            to_repair.entry(*kind).or_default().push(place.clone());
        }
        if is_for_repair && alone * ALONE <= number {
            alone += 1;
            clean_up(&device.home);
            let device = base.copy();
            place.flip(&device.home);
            repair(&device, &base, &format!("{place:?}"));
            clean_up(&device.home);
        }
        clean_up(&device.home);
    }
    let (mut repaired, mut rounds) = (0, 0);
    for batch in batches(to_repair) {
        (repaired, rounds) = (repaired + batch.len(), rounds + 1);
        let device = base.copy();
        for place in &batch {
            place.flip(&device.home);
        }
        repair(&device, &base, &format!("{batch:?}"));
        clean_up(&device.home);
    }
    drop(std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| before(info)));
    let count = u64::try_from(plan.len()).expect("small");
    assert!(named * 4 > count, "{named} of {count} were named");
    report(&format!(
        "{count} flips ({by_program} by the program), {named} named, {repaired} repaired in {rounds} homes and {alone} \
         alone, {:?}",
        started.elapsed()
    ));
}

/// Repairs a home with the other device in reach; everything is as it was then.
#[track_caller]
fn repair(device: &Device, base: &Base, what: &str) -> Vec<Value> {
    let (lines, exit) = device.start(&["verify", "--read-data", "--repair"]).all();
    assert_eq!(exit, 0, "{what}: {lines:?}");
    let damages = lines.iter().filter(|line| line["type"] == "damage");
    assert!(
        damages.clone().all(|line| line["repaired"] == true),
        "{what}"
    );
    let last = lines.last().expect("a summary");
    assert_eq!(last["damaged"], last["repaired"], "{what}: {lines:?}");
    let seen = look_by_program(device);
    assert!(!seen.is_named && seen.is_whole(base), "{what}: {seen:?}");
    assert_eq!(
        files(&device.home.join("blobs/quarantine")),
        Vec::<PathBuf>::new(),
        "{what}"
    );
    lines
}

/// A stretch of a file that was lost: no single bit tells what it was.
fn lose(path: &Path, from: usize, bytes: usize) {
    let mut whole = fs::read(path).expect("a file");
    let end = (from + bytes).min(whole.len());
    whole[from..end].fill(0xa5);
    fs::write(path, whole).expect("a file");
}

#[test]
fn a_lost_sector_comes_again_from_the_other_device() {
    let mut dice = Dice::new();
    let mut base = Base::new(&mut dice);
    for kind in [Kind::Large, Kind::Pack, Kind::Log] {
        for file in base.files[&kind].clone() {
            let device = base.copy();
            let path = device.home.join(&file);
            let len = fs::metadata(&path).expect("a file").len();
            let len = usize::try_from(len).expect("a small file");
            // The end of a log, where the entries of an album are.
            let (from, bytes) = match kind {
                Kind::Log => (len.saturating_sub(200), 100),
                _ => (len / 2, 512),
            };
            lose(&path, from, bytes);
            let what = format!("{kind:?} {}", file.display());
            let seen = look_by_program(&device);
            assert!(seen.is_named, "{what}");
            if seen.errors.is_empty() {
                let lines = repair(&device, &base, &what);
                let is_told = lines.iter().any(|line| line["type"] == "damage");
                // The export may have got it again already.
                assert!(is_told || seen.is_whole(&base), "{what}");
            } else {
                // Who belongs cannot be told without every control entry: nothing is shown then.
                assert_eq!(kind, Kind::Log, "{what}: {seen:?}");
                assert!(seen.errors.iter().all(|id| id == "E-DAMAGED"), "{seen:?}");
            }
            clean_up(&device.home);
        }
    }
}

#[test]
fn a_damaged_photo_waits_in_quarantine_until_a_device_is_in_reach() {
    let mut dice = Dice::new();
    let mut base = Base::new(&mut dice);
    base.served.take().expect("it runs").stop();
    let device = base.copy();
    let file = base.files[&Kind::Large][0].clone();
    lose(&device.home.join(&file), 1000, 10);
    let bad = fs::read(device.home.join(&file)).expect("a file");
    let (lines, exit) = device.start(&["verify", "--read-data", "--repair"]).all();
    assert_eq!(exit, 9, "{lines:?}");
    let kept = files(&device.home.join("blobs/quarantine"));
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(&kept[0]).expect("what is kept"), bad);
    let status = device.ok(&["status"]);
    let problems = status[0]["problems"].to_string();
    assert!(problems.contains("1 file was found damaged"), "{problems}");
    let served = base.b.serve();
    device.ok(&["peer", "add", &served.addresses()[0]]);
    device.ok(&["sync"]);
    assert_eq!(
        files(&device.home.join("blobs/quarantine")),
        Vec::<PathBuf>::new()
    );
    let seen = look_by_program(&device);
    assert!(!seen.is_named && seen.is_whole(&base), "{seen:?}");
}

#[test]
fn a_record_that_does_not_read_holds_up_nobody() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let (a, b) = (homes.device("a"), homes.device("b"));
    a.init("Berger", "Anna", "laptop");
    // Who joined before has the keys; those of a later one would lie behind the hole.
    let node = a.serve();
    pair(&a, &["--device"], &b, "pi", link);
    for number in 0..6 {
        let photos = homes.path().join(format!("photos-{number}"));
        fs::create_dir(&photos).expect("a folder");
        fs::write(photos.join("p.bmp"), pictures::bmp(40, &mut dice)).expect("a photo");
        a.ok(&["import", photos.to_str().expect("UTF-8"), "--album", "Rot"]);
    }
    let len = |path: &PathBuf| fs::metadata(path).expect("a file").len();
    let logs = files(&a.home.join("logs"));
    let log = logs.into_iter().max_by_key(len).expect("a log");
    // Not the end, nor what says whose the album is.
    let middle = usize::try_from(len(&log) / 2).expect("a small file");
    lose(&log, middle, 100);
    let told = b.ok(&["sync"]);
    assert_eq!(told.last().expect("a summary")["settled"], true, "{told:?}");
    let came = b.assets().len();
    assert!(0 < came && came < 6, "{came} of 6");
    // What was met while others asked is as if it had been found.
    let status = a.ok(&["status"]);
    let problems = status[0]["problems"].to_string();
    assert!(problems.contains("1 file was found damaged"), "{problems}");
    node.stop();
    a.never_panicked();
    b.never_panicked();
}

#[test]
fn a_key_of_a_newer_version_is_never_written_over() {
    let homes = Homes::new();
    let device = homes.device("laptop");
    device.init("Berger", "Anna", "laptop");
    let keyring = Keyring::open(&device.home).expect("its keys");
    let mut secret = keyring.read(KeyFile::Device).expect("its key").to_vec();
    secret.push(7);
    keyring.write(KeyFile::Device, &secret).expect("written");
    let key = fs::read(keyring.path(KeyFile::Device)).expect("a file");
    let init = [
        "init",
        "--no-recovery",
        "--family",
        "Meier",
        "--person",
        "Eva",
        "--device",
        "new",
    ];
    // The second time the file that says which version wrote the home is gone as well.
    for _ in 0..2 {
        for args in [&init[..], &["list"], &["verify"]] {
            let (error, exit) = device.run(args, "");
            let said = (exit, &error["id"]);
            assert_eq!(said, (1, &"E-NEWER-FORMAT".into()), "{args:?}: {error}");
            let now = fs::read(keyring.path(KeyFile::Device)).expect("a file");
            assert!(now == key, "{args:?}");
        }
        fs::remove_file(device.home.join("version")).expect("it was there");
    }
    let (error, _) = device.run(&init, "");
    assert_eq!(error["id"], "E-NEWER-FORMAT", "{error}");
    secret.pop();
    keyring.write(KeyFile::Device, &secret).expect("written");
    device.is_whole();
    device.never_panicked();
}
