//! The socket file on which a running node answers.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::{ApiError, Doorway, router};

/// How long callers may take to hear the end of their answers.
const FAREWELL: Duration = Duration::from_secs(3);

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
        let served = axum::serve(self.listener, router(doorway)).with_graceful_shutdown(stopped);
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
