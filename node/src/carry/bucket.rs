//! A bucket of an S3-compatible store as a place for files that are carried.
//!
//! Objects appear whole or not at all, so that several devices may write at once.
//! Nothing that the server says is believed: sizes are held to what was asked for,
//! and what comes is checked by whoever reads it. A server that stalls is given up.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _};
use hyper::body::Bytes;
use object_store::{
    Error, ObjectStore as _, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use tokio::runtime::Handle;

use super::{Carrier, http::Connector};

/// Objects that are sent at once.
const AT_ONCE: usize = 8;
/// Objects that wait for [`Carrier::settle`], and their bytes.
const WAITING: usize = 64;
const WAITING_BYTES: usize = 32 * 1024 * 1024;
/// Names of one folder that are believed.
const NAMES: usize = 1_000_000;

/// What is needed to talk to a store.
#[derive(Clone)]
pub(crate) struct Access {
    /// Where it is, `http://` or `https://`.
    pub(crate) endpoint: String,
    /// The region that requests are signed for.
    pub(crate) region: String,
    /// Whose requests they are.
    pub(crate) key_id: String,
    /// What they are signed with.
    pub(crate) secret: String,
}

/// A bucket, a prefix in it, and what waits to be put.
pub(crate) struct Bucket {
    place: String,
    prefix: String,
    store: AmazonS3,
    handle: Handle,
    waiting: Mutex<Vec<(String, Bytes)>>,
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

fn into_io(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        // It is of no use to ask for the next.
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error.to_string())
}

impl Bucket {
    /// A bucket at an address; nobody is asked yet.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a place or an address of another form.
    pub(crate) fn new(
        url: &str,
        access: Access,
        lan_only: bool,
        handle: Handle,
    ) -> io::Result<Self> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let (bucket, prefix) =
            parts(url).ok_or_else(|| wrong(format!("{url:?} is not s3://bucket/prefix")))?;
        if super::http::is_refused(&access.endpoint, lan_only) {
            let text = "this device talks to the local network alone (lan_only)";
            return Err(wrong(text.to_owned()));
        }
        let retry = RetryConfig {
            max_retries: 2,
            retry_timeout: Duration::from_secs(60),
            ..RetryConfig::default()
        };
        let store = AmazonS3Builder::new()
            .with_endpoint(access.endpoint)
            .with_region(access.region)
            .with_bucket_name(bucket)
            .with_access_key_id(access.key_id)
            .with_secret_access_key(access.secret)
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true)
            .with_disable_bulk_delete(true)
            .with_retry(retry)
            .with_http_connector(Connector { lan_only })
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            place: url.to_owned(),
            prefix: prefix.to_owned(),
            store,
            handle,
            waiting: Mutex::default(),
        })
    }

    fn path(&self, name: &str) -> Path {
        match self.prefix.is_empty() {
            true => Path::from(name),
            false => Path::from(format!("{}/{name}", self.prefix)),
        }
    }

    async fn fetch(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let long = || {
            let text = format!("{name}: it is longer than such a file can be");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
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
            let path = self.path(&name);
            self.store.put(&path, bytes.into()).await.map_err(into_io)
        });
        let mut puts = futures::stream::iter(puts).buffer_unordered(AT_ONCE);
        let mut result = Ok(());
        while let Some(put) = puts.next().await {
            result = result.and(put.map(drop));
        }
        result
    }

    async fn names(&self, name: &str) -> io::Result<Vec<String>> {
        let path = self.path(name);
        let listed = self.store.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(into_io)?;
        let objects = listed.objects.iter().map(|object| &object.location);
        let all = objects.chain(&listed.common_prefixes).take(NAMES);
        let mut names: Vec<String> = all
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }
}

impl Carrier for Bucket {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        match self.handle.block_on(self.store.head(&self.path(name))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(into_io(error)),
        }
    }

    fn get(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        self.handle.block_on(self.fetch(name, most))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let is_much = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
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
        let objects = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        self.handle.block_on(self.send(objects))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.handle.block_on(self.store.delete(&self.path(name))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(into_io(error)),
        }
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.handle.block_on(self.names(name))
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
