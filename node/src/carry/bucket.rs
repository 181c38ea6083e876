//! A bucket of an S3-compatible store as a place for files that are carried.
//!
//! Objects appear whole or not at all, so that several devices may write at once.
//! Nothing that the server says is believed: sizes are held to what was asked for,
//! lists end at a length, and what comes is checked by whoever reads it. A server
//! that stalls is given up, and nothing is waited for once all of it is cancelled.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture};
use heirloom_protocol::carry::BLOBS;
use hyper::body::Bytes;
use object_store::{
    CredentialProvider, Error, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AwsCredential},
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore as _},
    path::Path,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Carrier, http::Connector};
use crate::net::Reach;

/// Objects that are sent at once.
const AT_ONCE: usize = 8;
/// Objects that wait for [`Carrier::settle`], and their bytes.
const WAITING: usize = 64;
const WAITING_BYTES: usize = 32 * 1024 * 1024;
/// Names of one folder that are believed, and pages in which they may come. A folder of blobs has
/// a 256th of them all.
const NAMES: usize = 100_000;
const PAGES: usize = 1000;
/// Longest name that is one of ours.
const NAME_BYTES: usize = 255;
/// Questions for single blobs for each page of the list of all: it names a thousand, and costs as
/// much as a dozen questions.
const QUESTIONS: usize = 4;
/// Blobs of that list that are remembered; where there are more, each is asked for.
const KNOWN: usize = 300_000;

/// What is needed to talk to a store.
pub(crate) struct Access {
    /// Where it is, `http://` or `https://`.
    pub(crate) endpoint: String,
    /// The region that requests are signed for.
    pub(crate) region: String,
    /// Whose requests they are.
    pub(crate) key_id: String,
    /// What they are signed with.
    pub(crate) secret: Zeroizing<String>,
}

/// What requests are signed with, for the store's client. The secret is wiped with the last bucket.
#[derive(Debug)]
struct Signer(Arc<AwsCredential>);

impl Signer {
    fn of(access: &Access) -> Self {
        Self(Arc::new(AwsCredential {
            key_id: access.key_id.clone(),
            secret_key: access.secret.as_str().to_owned(),
            token: None,
        }))
    }
}

impl CredentialProvider for Signer {
    type Credential = AwsCredential;

    fn get_credential<'a, 'b>(&'a self) -> BoxFuture<'b, object_store::Result<Arc<AwsCredential>>>
    where
        'a: 'b,
        Self: 'b,
    {
        let credential = Arc::clone(&self.0);
        Box::pin(async move { Ok(credential) })
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // No request is under way any more: each holds the client.
        if let Some(credential) = Arc::get_mut(&mut self.0) {
            credential.secret_key.zeroize();
        }
    }
}

/// A bucket, a prefix in it, and what waits to be put.
pub(crate) struct Bucket {
    place: String,
    prefix: String,
    store: AmazonS3,
    handle: Handle,
    cancelled: CancellationToken,
    waiting: Mutex<Vec<(String, Bytes)>>,
    sizes: Mutex<Sizes>,
}

/// What is known of blobs by the list of all, which is read as far as there were questions.
#[derive(Default)]
struct Sizes {
    /// How often was asked.
    asked: usize,
    pages: usize,
    /// Where the next page begins.
    token: Option<String>,
    listing: Listing,
    /// By names, without the folder of blobs.
    known: BTreeMap<String, u64>,
}

/// How much of the list was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Listing {
    #[default]
    Part,
    /// What it does not name is not there.
    Whole,
    /// It is too long.
    GivenUp,
}

impl Sizes {
    /// The size of a blob, or that it is not there, where that is known.
    fn of(&self, name: &str) -> Option<Option<u64>> {
        match self.known.get(name) {
            Some(size) => Some(Some(*size)),
            None => (self.listing == Listing::Whole).then_some(None),
        }
    }

    /// What is known of a file changes.
    fn set(&mut self, file: &str, size: Option<u64>) {
        let Some(name) = blob_of(file) else { return };
        match size {
            Some(size) if self.listing != Listing::GivenUp => {
                self.known.insert(name.to_owned(), size);
            }
            _ => {
                self.known.remove(name);
            }
        }
    }

    fn add(&mut self, names: impl Iterator<Item = (String, u64)>, token: Option<String>) {
        self.pages += 1;
        self.known.extend(names);
        self.listing = match &token {
            _ if self.known.len() > KNOWN || self.pages > PAGES => Listing::GivenUp,
            Some(_) => Listing::Part,
            None => Listing::Whole,
        };
        self.token = token;
        if self.listing == Listing::GivenUp {
            self.known = BTreeMap::new();
        }
    }
}

/// The name of a file of a blob, without the folder of blobs.
fn blob_of(file: &str) -> Option<&str> {
    file.strip_prefix(BLOBS)?.strip_prefix('/')
}

/// `s3://bucket/prefix` in its parts; `None` for anything else.
pub(crate) fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let prefix = prefix.trim_end_matches('/');
    let fits = !bucket.is_empty()
        && bucket.bytes().all(plain)
        && prefix.bytes().all(|byte| plain(byte) || byte == b'/')
        && !prefix.split('/').any(|part| part == ".." || part == ".");
    fits.then_some((bucket, prefix))
}

fn cancelled() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "it was cancelled")
}

fn too_long(name: &str, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {what}"))
}

/// The store knows no such keys, or they may not do what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the store refuses the keys: they are wrong, or may not read and write there")]
pub(super) struct KeysRefused;

fn into_io(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            tracing::debug!(%error, "the store refuses the keys");
            return io::Error::new(io::ErrorKind::PermissionDenied, KeysRefused);
        }
        // It is of no use to ask for the next.
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error.to_string())
}

impl Bucket {
    /// A bucket at an address; nobody is asked yet. To be called within a runtime.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a place or an address of another form.
    pub(crate) fn new(
        url: &str,
        access: Access,
        reach: Reach,
        cancelled: CancellationToken,
    ) -> io::Result<Self> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let (bucket, prefix) =
            parts(url).ok_or_else(|| wrong(format!("{url:?} is not s3://bucket/prefix")))?;
        if super::http::is_refused(&access.endpoint, &reach) {
            let text = "this device talks to the local network alone (lan_only)";
            return Err(wrong(text.to_owned()));
        }
        let retry = RetryConfig {
            max_retries: 2,
            retry_timeout: Duration::from_secs(60),
            ..RetryConfig::default()
        };
        let store = AmazonS3Builder::new()
            .with_credentials(Arc::new(Signer::of(&access)))
            .with_endpoint(access.endpoint)
            .with_region(access.region)
            .with_bucket_name(bucket)
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true)
            .with_disable_bulk_delete(true)
            .with_retry(retry)
            .with_http_connector(Connector { reach })
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            place: url.to_owned(),
            prefix: prefix.to_owned(),
            store,
            handle: Handle::current(),
            cancelled,
            waiting: Mutex::default(),
            sizes: Mutex::default(),
        })
    }

    fn path(&self, name: &str) -> Path {
        match self.prefix.is_empty() {
            true => Path::from(name),
            false => Path::from(format!("{}/{name}", self.prefix)),
        }
    }

    /// Waits for an answer, but not once it is cancelled.
    fn wait<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        self.handle.block_on(async {
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => Err(cancelled()),
                done = work => done,
            }
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(String, Bytes)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let long = || too_long(name, "it is longer than such a file can be");
        let got = match self.store.get(&self.path(name)).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(into_io(error)),
        };
        if got.meta.size > most {
            return Err(long());
        }
        let mut bytes = Vec::new();
        let mut stream = got.into_stream();
        while let Some(piece) = stream.try_next().await.map_err(into_io)? {
            bytes.extend_from_slice(&piece);
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
                return Err(long());
            }
        }
        Ok(Some(bytes))
    }

    async fn send(&self, objects: Vec<(String, Bytes)>) -> io::Result<()> {
        let puts = objects.into_iter().map(|(name, bytes)| async move {
            let (path, size) = (self.path(&name), u64::try_from(bytes.len()).ok());
            let put = self.store.put(&path, bytes.into()).await.map_err(into_io);
            put.map(|_| self.sizes().set(&name, size))
        });
        let mut puts = futures::stream::iter(puts).buffer_unordered(AT_ONCE);
        let mut result = Ok(());
        while let Some(put) = puts.next().await {
            result = result.and(put);
        }
        result
    }

    async fn page(
        &self,
        prefix: &str,
        delimiter: Option<Cow<'static, str>>,
        page_token: Option<String>,
    ) -> io::Result<PaginatedListResult> {
        let options = PaginatedListOptions {
            delimiter,
            page_token,
            ..PaginatedListOptions::default()
        };
        let page = self.store.list_paginated(Some(prefix), options).await;
        page.map_err(into_io)
    }

    /// What lies in a folder, page by page.
    async fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let long = || too_long(folder, "the store lists more than such a folder holds");
        let prefix = format!("{}/", self.path(folder));
        let (mut names, mut token, mut count) = (BTreeSet::new(), None, 0);
        for _ in 0..PAGES {
            let page = self.page(&prefix, Some("/".into()), token).await?;
            let objects = page.result.objects.into_iter();
            let folders = page.result.common_prefixes.into_iter();
            for path in objects.map(|object| object.location).chain(folders) {
                count += 1;
                let name = path.filename().filter(|name| name.len() <= NAME_BYTES);
                names.extend(name.map(str::to_owned));
            }
            if count > NAMES {
                return Err(long());
            }
            token = page.page_token;
            if token.is_none() {
                return Ok(names.into_iter().collect());
            }
        }
        Err(long())
    }

    /// The size of a file of a blob by the list of all, as far as that is known; outer `None` where it is not.
    ///
    /// What others put or remove later in the round is not seen, as it is not a moment after a
    /// question for one file. A list that lies is a store that lies, which checks find.
    async fn listed_size(&self, name: &str) -> io::Result<Option<Option<u64>>> {
        let Some(blob) = blob_of(name) else {
            return Ok(None);
        };
        let token = {
            let mut sizes = self.sizes();
            sizes.asked += 1;
            let is_due = sizes.asked.is_multiple_of(QUESTIONS);
            if sizes.of(blob).is_some() || sizes.listing != Listing::Part || !is_due {
                return Ok(sizes.of(blob));
            }
            sizes.token.clone()
        };
        let prefix = format!("{}/", self.path(BLOBS));
        let page = self.page(&prefix, None, token).await?;
        let names = page.result.objects.into_iter().filter_map(|object| {
            let name = object.location.as_ref().strip_prefix(&prefix)?;
            (name.len() <= NAME_BYTES).then(|| (name.to_owned(), object.size))
        });
        let mut sizes = self.sizes();
        sizes.add(names, page.page_token);
        Ok(sizes.of(blob))
    }
}

impl Carrier for Bucket {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        self.wait(async {
            if let Some(size) = self.listed_size(name).await? {
                return Ok(size);
            }
            match self.store.head(&self.path(name)).await {
                Ok(meta) => Ok(Some(meta.size)),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(into_io(error)),
            }
        })
    }

    fn get(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        self.wait(self.fetch(name, most))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Until it is there it is not.
        self.sizes().set(name, None);
        let is_much = {
            let mut waiting = self.waiting();
            // Of two that wait for one name the last counts; they are sent in any order.
            waiting.retain(|(other, _)| other != name);
            waiting.push((name.to_owned(), Bytes::copy_from_slice(bytes)));
            let sum: usize = waiting.iter().map(|(_, bytes)| bytes.len()).sum();
            waiting.len() >= WAITING || sum >= WAITING_BYTES
        };
        match is_much {
            true => self.settle(),
            false => Ok(()),
        }
    }

    fn settle(&self) -> io::Result<()> {
        let objects = std::mem::take(&mut *self.waiting());
        self.wait(self.send(objects))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.sizes().set(name, None);
        self.wait(async {
            match self.store.delete(&self.path(name)).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(into_io(error)),
            }
        })
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.wait(self.names(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_store_has_a_bucket_and_a_plain_prefix() {
        assert_eq!(parts("s3://photos"), Some(("photos", "")));
        assert_eq!(parts("s3://photos/a/b/"), Some(("photos", "a/b")));
        for wrong in [
            "s3://",
            "s3:///a",
            "http://x/y",
            "s3://a/../b",
            "s3://a/b?c",
            "/s3",
        ] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
