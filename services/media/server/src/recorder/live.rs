//! A live stream: what legs say, put together a little behind the clock and handed to whoever listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sidetone_record_core::{Container, EncodeError, Encoder, Mixdown};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// How far behind the clock it is, in samples: the jitter that is borne.
const BEHIND: u64 = 800;
/// What is given out at once, in samples.
const STEP: u64 = 480;
/// Pieces that may wait for one listener: some four seconds. Who is further behind is cut off.
pub(crate) const PIECES_MAX: usize = 64;

/// A stream that is being made.
#[derive(Debug)]
pub(super) struct Live {
    container: Container,
    encoder: Encoder,
    began: u64,
    window: Mixdown,
    listeners: Vec<Listener>,
}

/// Where the bytes go.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) bytes: mpsc::Sender<Bytes>,
    /// Set when it is cut off because it did not keep up.
    pub(crate) cut_off: Arc<AtomicBool>,
}

impl Live {
    /// A stream from `clock` on, in samples of the node's clock.
    pub(super) fn begin(container: Container, clock: u64) -> Result<Self, EncodeError> {
        let (encoder, _) = Encoder::new(container, 1)?;
        Ok(Self { container, encoder, began: clock, window: Mixdown::new(1), listeners: Vec::new() })
    }

    /// Adds what one leg said.
    pub(super) fn add(&mut self, clock: u64, samples: &[i16]) {
        if let Some(at) = clock.checked_sub(self.began) {
            // Late by more than what is borne: lost.
            self.window.add(at, 0, samples);
        }
    }

    /// One more who listens, from now on.
    pub(super) fn listen(&mut self, listener: Listener) {
        let header = self.container.stream_header(1);
        if header.is_empty() || listener.bytes.try_send(header.into()).is_ok() {
            self.listeners.push(listener);
        }
    }

    pub(super) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Gives out what is due; how many were cut off.
    pub(super) fn flush_until(&mut self, clock: u64) -> Result<usize, EncodeError> {
        let end = clock.saturating_sub(self.began).saturating_sub(BEHIND);
        if end < self.window.taken() + STEP {
            return Ok(0);
        }
        let samples = self.window.take_until(end, 80_000);
        let mut bytes = Vec::with_capacity(samples.len() * 2);
        match self.container {
            Container::Wav => bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
            Container::Mp3 => self.encoder.write(&samples, &mut bytes)?,
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let bytes = Bytes::from(bytes);
        let mut cut_off = 0;
        self.listeners.retain(|listener| match listener.bytes.try_send(bytes.clone()) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                listener.cut_off.store(true, Ordering::Release);
                cut_off += 1;
                false
            }
        });
        Ok(cut_off)
    }
}
