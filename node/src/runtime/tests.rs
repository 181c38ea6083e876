//! A disk that fails for a while under a node that runs.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use heirloom_protocol::op::Subject;

use super::{Identity, Line, Runtime, RuntimeError, View, line, run};
use crate::{
    api::ApiError,
    node::{FamilyNames, Node, Options},
    store::{
        Store,
        fs::{Change, hook},
    },
};

/// A node whose syncs fail while it is said that the disk is sick.
async fn sick_with(kind: io::ErrorKind, is_sick: &'static AtomicBool) -> (tempfile::TempDir, Line) {
    let folder = tempfile::tempdir().unwrap();
    let names = FamilyNames {
        family: "Berger".into(),
        person: "Anna".into(),
        device: "laptop".into(),
    };
    let options = Options {
        worker: ("/bin/false".into(), Vec::new()),
    };
    let home = folder.path().join("home");
    drop(Node::found(&home, &options, names, None).await.unwrap());
    let store = Store::open(&home).unwrap();
    let identity = Identity::load(&store).unwrap().unwrap();
    let runtime = Runtime::open(store, &identity).unwrap();
    let (line, queue) = line();
    let news = line.news.clone();
    let sync = move |change: &Change<'_>| match change {
        Change::Sync(_) if is_sick.load(Ordering::SeqCst) => Err(kind.into()),
        _ => Ok(()),
    };
    std::thread::spawn(move || hook::with(sync, || run(runtime, queue, &news)));
    (folder, line)
}

async fn look(line: &Line) -> Result<View, RuntimeError> {
    line.ask(|runtime| runtime.view()).await
}

#[tokio::test]
async fn while_a_store_cannot_be_read_again_everybody_hears_why_and_nobody_that_the_node_stopped() {
    static IS_SICK: AtomicBool = AtomicBool::new(false);
    let again = "can be looked at again once";
    for (kind, id, safe) in [
        (io::ErrorKind::StorageFull, "E-DISK-FULL", again),
        (io::ErrorKind::ReadOnlyFilesystem, "E-READ-ONLY", again),
        (io::ErrorKind::Other, "E-IO", "is safe"),
    ] {
        let (_folder, line) = sick_with(kind, &IS_SICK).await;
        let rename = |runtime: &mut Runtime| {
            // Into a log that is there: a new one could be taken back without a sync.
            runtime.name(Subject::Device(runtime.device()), "desk")
        };
        IS_SICK.store(true, Ordering::SeqCst);
        let named = line.ask(rename).await.and_then(|named| named);
        let looked = look(&line).await;
        IS_SICK.store(false, Ordering::SeqCst);
        for error in [named.err(), looked.err()] {
            let error = ApiError::from(error.expect("the disk is sick"));
            assert_eq!(error.id, id, "{error:?}");
            assert!(
                error.safe.as_ref().is_some_and(|it| it.contains(safe)),
                "{error:?}"
            );
            assert!(error.hint.is_some(), "{error:?}");
        }
        // The same node goes on by itself.
        look(&line).await.unwrap();
        line.ask(rename).await.unwrap().unwrap();
    }
}
