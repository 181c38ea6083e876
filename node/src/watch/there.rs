//! Whether folders are there, asked so that one on a network which never answers costs little.
//!
//! The system is asked on a thread of its own, which a share that hangs keeps.
//! There is one for each folder at most: whoever asks while it waits gets no
//! other, and goes on without an answer.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// How long a folder may take to answer.
const ANSWERS: Duration = Duration::from_secs(1);

/// The questions that wait for an answer. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct There(Arc<Mutex<BTreeMap<PathBuf, Asked>>>);

#[derive(Clone)]
struct Asked {
    since: Instant,
    answer: watch::Receiver<Option<bool>>,
}

impl There {
    /// Whether a folder is there now. One that does not answer within a second, or has not
    /// since it was asked before, is not.
    pub(crate) async fn has(&self, dir: &Path) -> bool {
        let path = dir.to_owned();
        self.ask(dir, move || path.is_dir()).await
    }

    async fn ask(&self, dir: &Path, look: impl FnOnce() -> bool + Send + 'static) -> bool {
        let Asked { since, mut answer } = self.asked(dir, look);
        let answered = answer.wait_for(Option::is_some);
        match timeout_at(since + ANSWERS, answered).await {
            Ok(Ok(answer)) => *answer == Some(true),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// The question that waits, or a new one.
    fn asked(&self, dir: &Path, look: impl FnOnce() -> bool + Send + 'static) -> Asked {
        let mut waiting = self.waiting();
        if let Some(asked) = waiting.get(dir) {
            return asked.clone();
        }
        let (tell, answer) = watch::channel(None);
        let since = Instant::now();
        let asked = Asked { since, answer };
        waiting.insert(dir.to_owned(), asked.clone());
        drop(waiting);
        let (there, path) = (self.clone(), dir.to_owned());
        let looking = move || {
            let answer = look();
            there.waiting().remove(&path);
            // Whoever asked may have gone on.
            let _ = tell.send(Some(answer));
        };
        let thread = std::thread::Builder::new().name("folder".to_owned());
        if thread.spawn(looking).is_err() {
            self.waiting().remove(dir);
        }
        asked
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    };

    use super::*;

    #[tokio::test]
    async fn a_folder_that_does_not_answer_is_asked_once_and_keeps_nobody_waiting_twice() {
        let there = There::default();
        let (hung, asked) = (Path::new("/share"), Arc::new(AtomicUsize::new(0)));
        let (answer, waits) = channel();
        let count = asked.clone();
        let look = move || {
            count.fetch_add(1, Ordering::SeqCst);
            waits.recv().unwrap_or(false)
        };
        assert!(!there.ask(hung, look).await);
        let begun = Instant::now();
        for _ in 0..100 {
            let count = asked.clone();
            let look = move || {
                count.fetch_add(1, Ordering::SeqCst);
                true
            };
            assert!(!there.ask(hung, look).await);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(begun.elapsed() < ANSWERS, "{:?}", begun.elapsed());
        // Another one is not kept waiting, and this one is asked again once it answers.
        let dir = tempfile::tempdir().unwrap();
        assert!(there.has(dir.path()).await);
        assert!(!there.has(&dir.path().join("none")).await);
        let waited = there.waiting().get(hung).cloned();
        answer.send(true).unwrap();
        let mut answered = waited.unwrap().answer;
        assert_eq!(
            *answered.wait_for(Option::is_some).await.unwrap(),
            Some(true)
        );
        assert!(there.ask(hung, || true).await);
    }
}
