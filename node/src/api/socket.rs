//! The socket file on which a running node answers.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::{ApiError, Doorway, router};

/// How long callers may take to hear the end of their answers.
const FAREWELL: Duration = Duration::from_secs(3);

/// Calls of those accounts alone that may tell this node what to do.
///
/// The file's mode says the same; this holds where somebody opened it to others.
struct Checked {
    listener: UnixListener,
    may: fn(u32) -> bool,
}

impl axum::serve::Listener for Checked {
    type Io = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // Waits by itself where the system has no more files to give.
            let (stream, from) = axum::serve::Listener::accept(&mut self.listener).await;
            match stream.peer_cred() {
                Ok(caller) if (self.may)(caller.uid()) => return (stream, from),
                _ => tracing::warn!("another account called, and was not listened to"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// The socket file of a home, listened on.
pub(crate) struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Puts the socket file in place, for its owner alone from the first moment on.
    ///
    /// One that is there is what a crash left: whoever calls this holds the home's lock.
    ///
    /// # Errors
    ///
    /// `E-IO`; a path of more than about 100 bytes is too long for a socket.
    pub(crate) fn bind(home: &Path) -> Result<Self, ApiError> {
        let path = home.join("node.sock");
        let listener = bind_private(&path).map_err(|error| {
            ApiError::new("E-IO", 1, format!("{}: {error}", path.display()))
                .hint("a socket's path can have 100 bytes at most: use a shorter home")
        })?;
        Ok(Self { path, listener })
    }

    /// Answers until it is told to stop.
    pub(crate) async fn serve(self, doorway: Arc<Doorway>, stop: CancellationToken) {
        let stopped = stop.clone().cancelled_owned();
        let listener = Checked {
            listener: self.listener,
            may: crate::sys::may_command,
        };
        let served = axum::serve(listener, router(doorway)).with_graceful_shutdown(stopped);
        let served = tokio::spawn(async move { served.await });
        stop.cancelled().await;
        // Nobody new finds it from here on.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "the socket file stays behind");
        }
        let end = served.abort_handle();
        if tokio::time::timeout(FAREWELL, served).await.is_err() {
            end.abort();
        }
    }
}

fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn answer(may: fn(u32) -> bool) -> String {
        let home = tempfile::tempdir().expect("a folder");
        let Socket { path, listener } = Socket::bind(home.path()).expect("a socket");
        let router = Router::new().route("/", get(|| async { "here" }));
        let serving = axum::serve(Checked { listener, may }, router);
        let serving = tokio::spawn(async move { serving.await });
        let mut stream = UnixStream::connect(&path).await.expect("somebody listens");
        let ask = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        // Who is not listened to may be cut off before it has spoken.
        let _ = stream.write_all(ask).await;
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told).await;
        serving.abort();
        String::from_utf8(told).expect("text")
    }

    #[tokio::test]
    async fn another_account_is_not_listened_to() {
        assert!(answer(crate::sys::may_command).await.ends_with("here"));
        assert_eq!(answer(|_| false).await, "");
    }
}
