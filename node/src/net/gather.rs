//! Reads ahead from a connection, as far as its peer has shown to be worth it.
//!
//! Noise reads 8 KiB at a time; a system call for each would be what a transfer waits for. A buffer of
//! [`READ_BUFFER`] from the first byte on would give as much to every stranger who calls and says nothing.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::io::{AsyncRead, AsyncWrite};

use super::limits::{FIRST_READ, READ_BUFFER};

/// A connection that is read ahead of who asks.
///
/// A read that fills the buffer has the next one be twice as large, up to [`READ_BUFFER`]: a peer can make it
/// take no more memory than four times what it has sent, or [`FIRST_READ`]. What is written goes through as it is.
#[derive(Debug)]
pub(super) struct Gather<S> {
    inner: S,
    buffer: Vec<u8>,
    /// What of the buffer nobody has asked for yet.
    unread: Range<usize>,
    /// How long the buffer is at the next read.
    next: usize,
}

impl<S> Gather<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
            unread: 0..0,
            next: FIRST_READ,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            if this.buffer.len() != this.next {
                this.buffer = vec![0; this.next];
            }
            let came = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut this.buffer))?;
            if came == this.buffer.len() {
                this.next = (came * 2).min(READ_BUFFER);
            }
            this.unread = 0..came;
        }
        let given = out.len().min(this.unread.len());
        let end = this.unread.start + given;
        out[..given].copy_from_slice(&this.buffer[this.unread.start..end]);
        this.unread.start = end;
        Poll::Ready(Ok(given))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, parts)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt as _, executor::block_on, io::Cursor};

    use super::*;

    #[test]
    fn a_silent_stranger_takes_nothing_and_one_who_greets_little() {
        let mut line = Gather::new(Cursor::new(b"\x13/multistream/1.0.0\n".to_vec()));
        assert_eq!(line.buffer.capacity(), 0);
        let mut said = Vec::new();
        block_on(line.read_to_end(&mut said)).expect("nothing fails");
        assert_eq!(said, b"\x13/multistream/1.0.0\n");
        assert_eq!(line.buffer.len(), FIRST_READ);
    }

    #[test]
    fn a_long_transfer_is_read_in_large_pieces_and_comes_whole() {
        let sent: Vec<u8> = (0..=250).cycle().take(1_000_003).collect();
        let mut line = Gather::new(Cursor::new(sent.clone()));
        let (mut came, mut piece) = (Vec::new(), [0; 8000]);
        loop {
            let n = block_on(line.read(&mut piece)).expect("nothing fails");
            if n == 0 {
                break;
            }
            came.extend_from_slice(&piece[..n]);
            assert!(line.buffer.len() <= FIRST_READ.max(4 * came.len()).min(READ_BUFFER));
        }
        assert!(came == sent);
        assert_eq!(line.buffer.len(), READ_BUFFER);
    }
}
