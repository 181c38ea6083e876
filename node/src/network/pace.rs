//! How fast blobs may go out and come in, by the hour of this computer's clock.
//!
//! Every stream of blobs goes through [`Paced`], in both directions, and all of
//! them share one allowance for each direction. A stream that has none waits
//! without reading, so the other side's flow control slows it down as well.
//! Entries, pairing and everything else small goes past it.

use std::{
    fmt, io,
    pin::Pin,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::clock::Clock;

/// Bytes that are let through at once.
const TURN_BYTES: usize = 16 * 1024;
/// How much of what nobody used may be caught up with.
const CATCH_UP: Duration = Duration::from_millis(250);
/// How long a rate is believed before the clock is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Slower, and an answer of 256 KiB over a few streams would outlast the patience of who asked.
const LEAST: u64 = 64_000;
const MINUTES_A_DAY: u32 = 24 * 60;

/// Rates by the time of day; empty for no limit at all.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Rates(Vec<Span>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Span {
    /// Minutes since midnight: from the first, up to and without the second. Alike for the whole day.
    from: u32,
    to: u32,
    /// Bytes a second.
    rate: u64,
}

/// Why a text gives no rates.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoRate {
    /// It has another form.
    #[error("a limit looks like 2MB/s, 10Mbit/s, or 08:00-23:00 1MB/s, 5MB/s")]
    Form,
    /// It is so slow that nothing would arrive.
    #[error("the slowest limit is 64KB/s")]
    Slow,
}

impl Rates {
    /// The rate at a minute of the day, by the first span that has it; `None` for no limit.
    fn at(&self, minute: u32) -> Option<u64> {
        let holds = |span: &&Span| {
            if span.from < span.to {
                (span.from..span.to).contains(&minute)
            } else {
                // Over midnight, or the whole day.
                minute >= span.from || minute < span.to
            }
        };
        self.0.iter().find(holds).map(|span| span.rate)
    }
}

/// Reads `2MB/s`, `08:00-23:00 1MB/s`, or several between commas, of which the first that fits the hour counts.
impl FromStr for Rates {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        text.split(',')
            .map(span)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn span(text: &str) -> Result<Span, NoRate> {
    let mut words = text.split_whitespace().rev();
    let rate = rate(words.next().ok_or(NoRate::Form)?)?;
    let (from, to) = match words.next() {
        None => (0, 0),
        Some(hours) => {
            let (from, to) = hours.split_once('-').ok_or(NoRate::Form)?;
            (minute(from)?, minute(to)? % MINUTES_A_DAY)
        }
    };
    match words.next() {
        None if from < MINUTES_A_DAY => Ok(Span { from, to, rate }),
        _ => Err(NoRate::Form),
    }
}

fn minute(text: &str) -> Result<u32, NoRate> {
    let (hours, minutes) = text.split_once(':').ok_or(NoRate::Form)?;
    let number = |part: &str| -> Result<u32, NoRate> {
        let fits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| fits).ok_or(NoRate::Form)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = hours * 60 + minutes;
    if minutes < 60 && minute <= MINUTES_A_DAY {
        Ok(minute)
    } else {
        Err(NoRate::Form)
    }
}

fn rate(text: &str) -> Result<u64, NoRate> {
    let each = text.strip_suffix("/s").ok_or(NoRate::Form)?;
    let digits = each.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = each.split_at(digits);
    let count: u64 = count.parse().map_err(|_| NoRate::Form)?;
    let bits = match unit.to_ascii_lowercase().as_str() {
        "b" => 8,
        "kb" => 8_000,
        "mb" => 8_000_000,
        "gb" => 8_000_000_000,
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000_u64,
        _ => return Err(NoRate::Form),
    };
    let bytes = count.checked_mul(bits).ok_or(NoRate::Form)? / 8;
    if bytes < LEAST {
        return Err(NoRate::Slow);
    }
    Ok(bytes)
}

/// The form that is read.
impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, span) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            if span.from != span.to {
                let (from, to) = (span.from, span.to);
                write!(
                    f,
                    "{:02}:{:02}-{:02}:{:02} ",
                    from / 60,
                    from % 60,
                    to / 60,
                    to % 60
                )?;
            }
            match span.rate {
                rate if rate % 1_000_000 == 0 => write!(f, "{}MB/s", rate / 1_000_000)?,
                rate if rate % 1_000 == 0 => write!(f, "{}KB/s", rate / 1_000)?,
                rate => write!(f, "{rate}B/s")?,
            }
        }
        Ok(())
    }
}

/// The allowances of both directions.
#[derive(Clone)]
pub(super) struct Pace {
    up: Arc<Allowance>,
    down: Arc<Allowance>,
}

impl Pace {
    pub(super) fn new(up: Rates, down: Rates, clock: &Clock) -> Self {
        let allowance = |rates| Arc::new(Allowance::new(rates, clock.clone()));
        Self {
            up: allowance(up),
            down: allowance(down),
        }
    }

    /// Has a stream keep to it.
    pub(super) fn keep<S>(&self, stream: S) -> Paced<S> {
        Paced {
            stream,
            up: Turn::of(&self.up),
            down: Turn::of(&self.down),
        }
    }
}

/// What one direction of all streams may still take.
struct Allowance {
    rates: Rates,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    /// When everything that was let through has been paid for.
    paid_at: Instant,
    rate: Option<u64>,
    looked_at: Option<Instant>,
}

impl Allowance {
    fn new(rates: Rates, clock: Clock) -> Self {
        let state = Mutex::new(State {
            paid_at: Instant::now(),
            rate: None,
            looked_at: None,
        });
        Self {
            rates,
            clock,
            state,
        }
    }

    /// Takes up to `bytes`, or says when to ask again.
    fn take(&self, now: Instant, bytes: usize) -> Result<usize, Instant> {
        if self.rates.0.is_empty() {
            return Ok(bytes);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state
            .looked_at
            .is_none_or(|looked| now >= looked + LOOK_EVERY)
        {
            state.rate = self.rates.at(local_minute(&self.clock));
            state.looked_at = Some(now);
        }
        let Some(rate) = state.rate else {
            return Ok(bytes);
        };
        let from = now.checked_sub(CATCH_UP).unwrap_or(now);
        let paid_at = state.paid_at.max(from);
        if paid_at > now {
            return Err(paid_at);
        }
        let taken = bytes.min(TURN_BYTES);
        state.paid_at = paid_at + price(taken, rate);
        Ok(taken)
    }

    /// Gives back what was taken and not used.
    fn give_back(&self, bytes: usize) {
        if bytes == 0 || self.rates.0.is_empty() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = state.rate
            && let Some(before) = state.paid_at.checked_sub(price(bytes, rate))
        {
            state.paid_at = before;
        }
    }
}

/// How long so many bytes take; at most [`TURN_BYTES`] are priced at once.
fn price(bytes: usize, rate: u64) -> Duration {
    let bytes = u64::try_from(bytes.min(TURN_BYTES)).unwrap_or(0);
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate.max(1))
}

/// The minute of the day where this computer is.
fn local_minute(clock: &Clock) -> u32 {
    let now = i64::try_from(clock.now().0).unwrap_or(0);
    let moment = jiff::Timestamp::from_millisecond(now).unwrap_or_default();
    let time = jiff::tz::TimeZone::system().to_datetime(moment).time();
    let part = |part: i8| u32::try_from(part).unwrap_or(0);
    part(time.hour()) * 60 + part(time.minute())
}

/// One direction of one stream.
struct Turn {
    allowance: Arc<Allowance>,
    waits: Pin<Box<Sleep>>,
}

impl Turn {
    fn of(allowance: &Arc<Allowance>) -> Self {
        Self {
            allowance: Arc::clone(allowance),
            waits: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Takes up to `bytes` and at least one, once there is allowance for it.
    fn poll_take(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            match self.allowance.take(Instant::now(), bytes) {
                Ok(taken) => return Poll::Ready(taken),
                Err(until) => {
                    self.waits.as_mut().reset(until);
                    ready!(self.waits.as_mut().poll(cx));
                }
            }
        }
    }
}

/// A stream that keeps to the pace.
pub(super) struct Paced<S> {
    stream: S,
    up: Turn,
    down: Turn,
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let taken = ready!(this.down.poll_take(buf.remaining(), cx));
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(taken));
        let read = Pin::new(&mut this.stream).poll_read(cx, &mut part);
        let count = part.filled().len();
        this.down.allowance.give_back(taken.saturating_sub(count));
        buf.advance(count);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let taken = ready!(this.up.poll_take(bytes.len(), cx));
        let wrote = Pin::new(&mut this.stream).poll_write(cx, &bytes[..taken]);
        let used = match &wrote {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        this.up.allowance.give_back(taken.saturating_sub(used));
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use heirloom_protocol::time::Timestamp;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn rates(text: &str) -> Rates {
        text.parse().expect("rates")
    }

    #[test]
    fn limits_are_read_as_people_write_them_and_shown_alike() {
        for (text, shown) in [
            ("2MB/s", "2MB/s"),
            ("10Mbit/s", "1250KB/s"),
            ("08:00-23:00 1mb/s, 5MB/s", "08:00-23:00 1MB/s, 5MB/s"),
            ("22:30-24:00 64001b/s", "22:30-00:00 64001B/s"),
        ] {
            assert_eq!(rates(text).to_string(), shown);
            assert_eq!(rates(shown), rates(text));
        }
        for text in [
            "",
            ",",
            "2",
            "2MB",
            "MB/s",
            "-2MB/s",
            "2XB/s",
            "8-9 2MB/s",
            "08:00 2MB/s",
            "08:60-09:00 2MB/s",
            "24:00-02:00 2MB/s",
            "24:01-02:00 2MB/s",
            "08:00-09:00 07:00-08:00 2MB/s",
            "2MB/s,",
            "99999999999999999999GB/s",
            "9999999999999GB/s",
        ] {
            assert_eq!(text.parse::<Rates>(), Err(NoRate::Form), "{text}");
        }
        assert_eq!("1KB/s".parse::<Rates>(), Err(NoRate::Slow));
        assert_eq!("0MB/s".parse::<Rates>(), Err(NoRate::Slow));
    }

    #[test]
    fn the_first_span_that_has_the_hour_counts() {
        let day = rates("08:00-23:00 1MB/s, 23:00-02:00 2MB/s");
        let at = |hours: u32, minutes: u32| day.at(hours * 60 + minutes).unwrap_or(0) / 1_000_000;
        assert_eq!([at(7, 59), at(8, 0), at(22, 59)], [0, 1, 1]);
        assert_eq!(
            [at(23, 0), at(23, 59), at(0, 0), at(1, 59), at(2, 0)],
            [2, 2, 2, 2, 0]
        );
        assert_eq!(rates("2MB/s").at(0), Some(2_000_000));
        assert_eq!(Rates::default().at(0), None);
    }

    #[test]
    fn the_minute_is_that_of_the_clock_here() {
        let clock = Clock::default();
        let noon = 1_700_000_000_000;
        clock.set(Timestamp(noon));
        let first = local_minute(&clock);
        clock.set(Timestamp(noon + 5 * 60_000));
        assert_eq!(local_minute(&clock), (first + 5) % MINUTES_A_DAY);
    }

    /// Takes so many bytes over `lines` streams that have turns alike, each of which uses two thirds of what it
    /// is given; how long it takes.
    fn taken(rate: &str, lines: usize, bytes: usize) -> Duration {
        let allowance = Allowance::new(rates(rate), Clock::default());
        let began = Instant::now();
        let mut now = vec![began; lines];
        let mut used = 0;
        while used < bytes {
            for now in &mut now {
                match allowance.take(*now, 20_000) {
                    Ok(given) => {
                        let unused = given / 3;
                        allowance.give_back(unused);
                        used += given - unused;
                    }
                    Err(until) => *now = until,
                }
            }
        }
        now.into_iter().max().unwrap_or(began) - began
    }

    #[test]
    fn all_streams_together_keep_to_the_rate() {
        for (rate, lines, bytes, millis) in [
            ("1MB/s", 1, 4_000_000, 4000),
            ("1MB/s", 7, 4_000_000, 4000),
            ("64KB/s", 3, 640_000, 10_000),
            ("1GB/s", 2, 1_000_000_000, 1000),
        ] {
            let took = taken(rate, lines, bytes).as_millis();
            let (least, most) = (millis * 97 / 100, millis * 103 / 100);
            assert!(
                (least..=most).contains(&took),
                "{rate}, {lines} streams: {took} ms"
            );
        }
    }

    #[test]
    fn what_nobody_used_is_caught_up_with_for_a_moment_alone() {
        let allowance = Allowance::new(rates("1MB/s"), Clock::default());
        let now = Instant::now() + Duration::from_secs(3600);
        let mut bytes = 0;
        while let Ok(taken) = allowance.take(now, TURN_BYTES) {
            bytes += taken;
        }
        // A quarter of a second, and the turn with which it is overdrawn.
        assert!(
            (250_000..=250_000 + 2 * TURN_BYTES).contains(&bytes),
            "{bytes}"
        );
        allowance.give_back(TURN_BYTES);
        assert_eq!(allowance.take(now, usize::MAX), Ok(TURN_BYTES));
        assert!(allowance.take(now, 1).is_err());
    }

    #[test]
    fn the_clock_is_looked_at_again_when_an_hour_may_have_come() {
        let clock = Clock::default();
        let noon = 1_700_000_000_000;
        clock.set(Timestamp(noon));
        let minute = local_minute(&clock);
        let (from, to) = ((minute + 10) % MINUTES_A_DAY, (minute + 20) % MINUTES_A_DAY);
        let span = Span {
            from,
            to,
            rate: LEAST,
        };
        let allowance = Allowance::new(Rates(vec![span]), clock.clone());
        let now = Instant::now();
        assert_eq!(
            allowance.take(now, usize::MAX),
            Ok(usize::MAX),
            "no limit yet"
        );
        clock.set(Timestamp(noon + 15 * 60_000));
        assert_eq!(allowance.take(now + LOOK_EVERY, usize::MAX), Ok(TURN_BYTES));
    }

    #[tokio::test]
    async fn bytes_that_wait_arrive_as_they_were_sent() {
        let pace = Pace::new(rates("4MB/s"), rates("4MB/s"), &Clock::default());
        let (here, there) = duplex(64 * 1024);
        let (mut read, mut write) = tokio::io::split(pace.keep(here));
        let (mut from, mut to) = tokio::io::split(there);
        let sent: Vec<u8> = (0..200_000_u32).flat_map(|at| at.to_le_bytes()).collect();
        let mut came = Vec::new();
        let (wrote, echoed, ()) = tokio::join!(
            async {
                write.write_all(&sent).await?;
                write.shutdown().await
            },
            async {
                tokio::io::copy(&mut from, &mut to).await?;
                to.shutdown().await
            },
            async { drop(read.read_to_end(&mut came).await) }
        );
        assert!(wrote.is_ok() && echoed.is_ok());
        assert!(came == sent);
    }
}
