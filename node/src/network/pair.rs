//! Pumps a pairing over its stream: frames in and out, timeouts, and the people in between.
//!
//! A frame on the stream is its length (u32, little endian) and its bytes, at
//! most [`limits::PAIRING_MESSAGE_BYTES`]. A reader of its own goes on while
//! this side writes (rust-libp2p #5410). What the machine asks for is done by
//! whoever implements [`Inviting`] or [`Joining`].

use std::{collections::BTreeMap, future::Future, io, time::Duration};

use heirloom_protocol::{
    crypto::SealPublic,
    family::pairing::{
        Acceptance, Admission, Inviter, InviterInput, InviterOutput, Joiner, JoinerInput,
        JoinerOutput, Newcomer, Offer, Outcome, Payload,
    },
    id::DeviceId,
    limits,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Network;
use crate::{
    api::ApiError,
    net::{Address, NetError, Path, Stream},
    store::StoreError,
};

/// How long the other side's machine may take for its next step.
const MACHINE: Duration = Duration::from_secs(30);
/// How long people may take to compare words.
const PEOPLE: Duration = Duration::from_secs(600);
/// How long the end of a conversation may take to reach the other side.
const FAREWELL: Duration = Duration::from_secs(5);
/// Frames read ahead.
const READ_AHEAD: usize = 4;
/// How long what is handed over outside a pairing may take.
const HAND_OVER: Duration = Duration::from_secs(300);

/// A stream as frames.
struct Frames {
    heard: mpsc::Receiver<Vec<u8>>,
    write: WriteHalf<Stream>,
    reader: AbortHandle,
}

impl Frames {
    fn new(stream: Stream) -> Self {
        let (read, write) = tokio::io::split(stream);
        let (tell, heard) = mpsc::channel(READ_AHEAD);
        let reader = tokio::spawn(read_frames(read, tell)).abort_handle();
        Self {
            heard,
            write,
            reader,
        }
    }

    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        let write = async {
            self.write.write_all(&length.to_le_bytes()).await?;
            self.write.write_all(frame).await?;
            self.write.flush().await
        };
        timeout(MACHINE, write).await?
    }

    /// Ends this side, and waits until the other has heard it.
    async fn close(mut self) {
        let _ = timeout(FAREWELL, async {
            if self.write.shutdown().await.is_ok() {
                while self.heard.recv().await.is_some() {}
            }
        })
        .await;
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read_frames(mut read: ReadHalf<Stream>, tell: mpsc::Sender<Vec<u8>>) {
    loop {
        let Ok(length) = read.read_u32_le().await else {
            return;
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limits::PAIRING_MESSAGE_BYTES {
            return;
        }
        let mut frame = vec![0; length];
        if read.read_exact(&mut frame).await.is_err() || tell.send(frame).await.is_err() {
            return;
        }
    }
}

/// What is being handed over. A device has it once in memory and not once for each of its streams: one that asks
/// again has lost the stream on which it asked before.
#[derive(Default)]
pub(super) struct Handing {
    turns: u64,
    running: BTreeMap<DeviceId, (u64, AbortHandle)>,
}

impl Handing {
    /// Ends what the device was being handed, and gives the turn of what takes its place.
    fn begin(&mut self, device: DeviceId, work: AbortHandle) -> u64 {
        self.turns += 1;
        if let Some((_, before)) = self.running.insert(device, (self.turns, work)) {
            before.abort();
        }
        self.turns
    }

    fn end(&mut self, device: &DeviceId, turn: u64) {
        if self
            .running
            .get(device)
            .is_some_and(|(now, _)| *now == turn)
        {
            self.running.remove(device);
        }
    }
}

impl Network {
    /// Gives a member what it should have been handed when it joined: its pairing broke at the end.
    ///
    /// The stream carries the length (u64, little endian) and the bytes. All of
    /// it is in the control space, which every member may read. One at a time for each device.
    pub(super) fn hand_over(&self, device: DeviceId, stream: Stream) {
        if self.is_kept_away(&device) {
            return;
        }
        let network = self.clone();
        // It begins once it is written down, so that it does not end before.
        let (begin, begun) = oneshot::channel::<u64>();
        let work = tokio::spawn(async move {
            let Ok(turn) = begun.await else { return };
            let sent = timeout(HAND_OVER, network.write_handed(device, stream)).await;
            network.state().handing.end(&device, turn);
            if !matches!(sent, Ok(Ok(()))) {
                tracing::debug!(device = %device.short(), "a newcomer did not take what it was handed");
            }
        });
        let turn = self.state().handing.begin(device, work.abort_handle());
        let _ = begin.send(turn);
    }

    async fn write_handed(&self, device: DeviceId, mut stream: Stream) -> Result<(), ApiError> {
        let addrs = self.pair_addresses();
        let handed = self.node().ask(move |runtime| {
            // The guest of an invite that has just ended may still have its stream here.
            let is_member = runtime.replica().control().is_live(&device);
            is_member.then(|| runtime.payload_bytes(addrs)).transpose()
        });
        let Some(handed) = handed.await?? else {
            return Ok(());
        };
        let length = u64::try_from(handed.len()).expect("usize is at most 64 bits");
        let write = async {
            stream.write_all(&length.to_le_bytes()).await?;
            stream.write_all(&handed).await?;
            stream.shutdown().await
        };
        write.await.map_err(|error| StoreError::Io(error).into())
    }

    /// Where a newcomer may find this node, those in other networks last.
    pub(crate) fn pair_addresses(&self) -> Vec<heirloom_protocol::discovery::Address> {
        // A guest is not let through a relay.
        self.addresses_where(|address| address.via.is_none())
    }

    /// Where this node listens, as others are told: what leads to it from afar first, as those who
    /// are near find it anyway, and loopback last.
    pub(super) fn addresses_where(
        &self,
        fits: impl Fn(&Address) -> bool,
    ) -> Vec<heirloom_protocol::discovery::Address> {
        let mut own = self.addresses();
        own.retain(fits);
        own.sort_by_key(|address| (address.ip.is_loopback(), address.path() == Path::Lan));
        let text = |address: Address| match address.via {
            Some(_) => address.to_string(),
            None => Address::new(address.ip, address.port).to_string(),
        };
        own.into_iter()
            .filter_map(|address| text(address).try_into().ok())
            .take(limits::ADDRESSES)
            .collect()
    }
}

/// Asks a family that this device may have joined for what it was not handed.
///
/// # Errors
///
/// [`NetError::Refused`] when it is not a member there, or the other side has nothing to give.
pub(crate) async fn fetch_handed(mut stream: Stream) -> Result<Zeroizing<Vec<u8>>, NetError> {
    let refused = |_: io::Error| NetError::Refused;
    let read = async {
        let length = stream.read_u64_le().await?;
        let most = u64::try_from(limits::PAIRING_PAYLOAD_BYTES).map_err(io::Error::other)?;
        if length > most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut handed = Zeroizing::new(Vec::new());
        let read = (&mut stream).take(length).read_to_end(&mut handed).await?;
        match u64::try_from(read) {
            Ok(read) if read == length => Ok(handed),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    let read = timeout(HAND_OVER, read).await;
    read.map_err(|_| NetError::NotConnected)?.map_err(refused)
}

/// A person's answer to the question whether the words are the same.
pub(crate) type Verdict = oneshot::Receiver<bool>;

async fn answered(verdict: &mut Option<Verdict>) -> bool {
    match verdict {
        // Who goes away without an answer has not said yes.
        Some(verdict) => verdict.await.unwrap_or(false),
        None => std::future::pending().await,
    }
}

/// What the inviter's side of a pairing needs from its node.
pub(crate) trait Inviting: Send {
    /// Counts a failed attempt. Durable when it returns.
    fn failed(&mut self) -> impl Future<Output = Result<(), ApiError>> + Send;
    /// Ends the invite. Durable when it returns.
    fn burn(&mut self) -> impl Future<Output = Result<(), ApiError>> + Send;
    /// Shows the words to the person here.
    fn ask(
        &mut self,
        words: [&'static str; 4],
        newcomer: Newcomer,
    ) -> impl Future<Output = Verdict> + Send;
    /// Uses the invite up, durably; false when it is no longer live.
    fn spend(&mut self) -> impl Future<Output = Result<bool, ApiError>> + Send;
    /// Writes the newcomer into the family, durably, and gives what it is handed.
    fn admit(
        &mut self,
        admission: Box<Admission>,
    ) -> impl Future<Output = Result<Payload, ApiError>> + Send;
}

/// Runs the inviter's side to its end. `cancel` ends it until the invite is spent, not after.
///
/// # Errors
///
/// What the node says; the other side then sees the stream end.
pub(crate) async fn run_inviter(
    stream: Stream,
    mut machine: Inviter,
    node: &mut impl Inviting,
    cancel: &CancellationToken,
) -> Result<Outcome, ApiError> {
    let mut frames = Frames::new(stream);
    let mut verdict: Option<Verdict> = None;
    let mut patience = MACHINE;
    let mut is_spent = false;
    loop {
        while let Some(output) = machine.poll() {
            match output {
                InviterOutput::Send(frame) => {
                    if frames.send(&frame).await.is_err() {
                        machine.handle(InviterInput::Lost);
                    }
                }
                InviterOutput::Failed => node.failed().await?,
                InviterOutput::Burn => node.burn().await?,
                InviterOutput::Words { words, newcomer } => {
                    verdict = Some(node.ask(words, newcomer).await);
                    patience = PEOPLE;
                }
                InviterOutput::Spend => {
                    (is_spent, patience) = (true, MACHINE);
                    machine.handle(match node.spend().await? {
                        true => InviterInput::Spent,
                        false => InviterInput::Refuse,
                    });
                }
                InviterOutput::Admit(admission) => {
                    let payload = node.admit(admission).await?;
                    machine.handle(InviterInput::Admitted(payload));
                }
                InviterOutput::Closed(outcome) => {
                    frames.close().await;
                    return Ok(outcome);
                }
            }
        }
        let input = tokio::select! {
            frame = frames.heard.recv() => frame.map_or(InviterInput::Lost, InviterInput::Frame),
            yes = answered(&mut verdict) => {
                verdict = None;
                if yes { InviterInput::Approve } else { InviterInput::Refuse }
            }
            () = cancel.cancelled(), if !is_spent => InviterInput::Refuse,
            () = tokio::time::sleep(patience) => InviterInput::Lost,
        };
        machine.handle(input);
    }
}

/// What the joiner's side of a pairing needs from its node.
pub(crate) trait Joining: Send {
    /// Answers the offer.
    fn accept(&mut self, offer: &Offer, inviter_seal: SealPublic) -> Result<Acceptance, ApiError>;
    /// Shows the words to the person here.
    fn ask(&mut self, words: [&'static str; 4]) -> impl Future<Output = Verdict> + Send;
    /// Makes all that was handed over durable, after looking at it.
    fn store(
        &mut self,
        handed: Zeroizing<Vec<u8>>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;
}

/// Runs the joiner's side to its end. `cancel` ends it until the person here approved, not after.
///
/// # Errors
///
/// What the node says; the other side then sees the stream end.
pub(crate) async fn run_joiner(
    stream: Stream,
    mut machine: Joiner,
    node: &mut impl Joining,
    cancel: &CancellationToken,
) -> Result<Outcome, ApiError> {
    let mut frames = Frames::new(stream);
    let mut verdict: Option<Verdict> = None;
    let mut patience = MACHINE;
    let mut is_given = false;
    let mut handed = Zeroizing::new(Vec::new());
    loop {
        while let Some(output) = machine.poll() {
            match output {
                JoinerOutput::Send(frame) => {
                    if frames.send(&frame).await.is_err() {
                        machine.handle(JoinerInput::Lost);
                    }
                }
                JoinerOutput::Offered {
                    offer,
                    inviter_seal,
                } => {
                    let acceptance = node.accept(&offer, inviter_seal)?;
                    machine
                        .accept(acceptance)
                        .map_err(|error| ApiError::usage(&error.to_string()))?;
                }
                JoinerOutput::Words(words) => {
                    verdict = Some(node.ask(words).await);
                    patience = PEOPLE;
                }
                JoinerOutput::Payload(piece) => {
                    // The machine bounds the whole by what was announced.
                    handed.extend_from_slice(&piece);
                    patience = MACHINE;
                }
                JoinerOutput::Complete => {
                    node.store(std::mem::take(&mut handed)).await?;
                    machine.handle(JoinerInput::Stored);
                }
                JoinerOutput::Closed(outcome) => {
                    frames.close().await;
                    return Ok(outcome);
                }
            }
        }
        let input = tokio::select! {
            frame = frames.heard.recv() => frame.map_or(JoinerInput::Lost, JoinerInput::Frame),
            yes = answered(&mut verdict) => {
                (verdict, is_given) = (None, yes);
                if yes { JoinerInput::Approve } else { JoinerInput::Refuse }
            }
            () = cancel.cancelled(), if !is_given => JoinerInput::Refuse,
            () = tokio::time::sleep(patience) => JoinerInput::Lost,
        };
        machine.handle(input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_device_is_handed_what_it_asks_for_once_at_a_time() {
        let mut handing = Handing::default();
        let (one, other) = (DeviceId([1; 32]), DeviceId([2; 32]));
        let work = || tokio::spawn(std::future::pending::<()>());
        let (first, second, elsewhere) = (work(), work(), work());
        let turn = handing.begin(one, first.abort_handle());
        handing.begin(other, elsewhere.abort_handle());
        let again = handing.begin(one, second.abort_handle());
        assert!(first.await.is_err_and(|error| error.is_cancelled()));
        // The one that was ended ends nothing of what took its place.
        handing.end(&one, turn);
        assert_eq!(handing.running.len(), 2);
        assert!(!second.is_finished() && !elsewhere.is_finished());
        handing.end(&one, again);
        assert_eq!(handing.running.len(), 1);
    }
}
