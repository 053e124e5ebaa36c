//! A live stream: what legs say, put together a little behind the clock and handed to whoever listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sidetone_dsp::{Law, Rate, g711};
use sidetone_record_core::{Container, EncodeError, Encoder, Form, Mixdown};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Pieces that may wait for one listener: some four seconds, of raw sound one and a quarter. Who is further behind is cut off.
pub(crate) const PIECES_MAX: usize = 64;

/// What a stream is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamFormat {
    /// As a file that does not end.
    File(Container),
    /// 16 bit, little-endian.
    L16,
    /// G.711 mu-law.
    Pcmu,
}

/// A stream that is being made.
#[derive(Debug)]
pub(super) struct Live {
    format: StreamFormat,
    form: Form,
    encoder: Option<Encoder>,
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

impl StreamFormat {
    /// The media type. L16 is little-endian here, as speech applications know it, not as RFC 2586 has it.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::File(container) => container.content_type(),
            Self::L16 => "audio/L16;rate=8000",
            Self::Pcmu => "audio/PCMU",
        }
    }

    /// Whether its rate is that of recordings; what has no container is of 8 kHz, as speech applications know it.
    pub(crate) const fn has_any_rate(self) -> bool {
        matches!(self, Self::File(_))
    }

    /// How far behind the clock it is made, in ms: the jitter that is borne. Who talks back waits for every one of them.
    const fn behind_ms(self) -> u64 {
        match self {
            Self::File(_) => 100,
            Self::L16 | Self::Pcmu => 60,
        }
    }

    /// What is given out at once, in ms.
    const fn step_ms(self) -> u64 {
        match self {
            Self::File(_) => 60,
            Self::L16 | Self::Pcmu => 20,
        }
    }
}

impl Live {
    /// A stream from a moment of the node's clock on.
    pub(super) fn begin((format, rate): (StreamFormat, Rate), clock_ms: u64) -> Result<Self, EncodeError> {
        let form = Form::new(1, rate);
        let encoder = match format {
            StreamFormat::File(container) => Some(Encoder::new(container, form)?.0),
            StreamFormat::L16 | StreamFormat::Pcmu => None,
        };
        let (began, window) = (form.samples(clock_ms), Mixdown::new(form));
        Ok(Self { format, form, encoder, began, window, listeners: Vec::new() })
    }

    /// Adds what one leg said at a moment of the node's clock, in samples of the stream's rate.
    pub(super) fn add(&mut self, clock: u64, samples: &[i16]) {
        if let Some(at) = clock.checked_sub(self.began) {
            // Late by more than what is borne: lost.
            self.window.add(at, 0, samples);
        }
    }

    /// One more who listens, from now on.
    pub(super) fn listen(&mut self, listener: Listener) {
        let header = match self.format {
            StreamFormat::File(container) => container.stream_header(self.form),
            StreamFormat::L16 | StreamFormat::Pcmu => Vec::new(),
        };
        if header.is_empty() || listener.bytes.try_send(header.into()).is_ok() {
            self.listeners.push(listener);
        }
    }

    pub(super) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Gives out what is due; how many were cut off.
    pub(super) fn flush_until(&mut self, clock_ms: u64) -> Result<usize, EncodeError> {
        let behind = self.form.samples(self.format.behind_ms());
        let end = self.form.samples(clock_ms).saturating_sub(self.began).saturating_sub(behind);
        let step = self.form.samples(self.format.step_ms());
        let mut cut_off = 0;
        // Raw sound in pieces of one length, files in whatever is due.
        while end >= self.window.taken() + step {
            let until = if self.encoder.is_some() { end } else { self.window.taken() + step };
            let samples = self.window.take_until(until, 80_000);
            let bytes = self.encode(&samples)?;
            if !bytes.is_empty() {
                cut_off += self.give(&Bytes::from(bytes));
            }
        }
        Ok(cut_off)
    }

    fn encode(&mut self, samples: &[i16]) -> Result<Vec<u8>, EncodeError> {
        let linear = || samples.iter().flat_map(|sample| sample.to_le_bytes());
        Ok(match (&mut self.encoder, self.format) {
            (Some(encoder), StreamFormat::File(Container::Mp3 | Container::OggOpus | Container::Flac)) => {
                let mut bytes = Vec::new();
                encoder.write(samples, &mut bytes)?;
                bytes
            }
            (_, StreamFormat::Pcmu) => {
                let mut bytes = vec![0; samples.len()];
                g711::encode(Law::Mu, samples, &mut bytes);
                bytes
            }
            (_, StreamFormat::File(Container::Wav) | StreamFormat::L16) => linear().collect(),
            (None, StreamFormat::File(_)) => return Err(EncodeError::Absent),
        })
    }

    /// To everybody; how many were cut off.
    fn give(&mut self, bytes: &Bytes) -> usize {
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
        cut_off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_sound_comes_in_pieces_of_20_ms_and_files_as_they_are_due() {
        for (format, first, piece) in [
            (StreamFormat::L16, None, 320),
            (StreamFormat::Pcmu, None, 160),
            (StreamFormat::File(Container::Wav), Some(58), 960),
        ] {
            let mut live = Live::begin((format, Rate::Narrow), 1_000).unwrap();
            let (bytes, mut given) = mpsc::channel(PIECES_MAX);
            live.listen(Listener { bytes, cut_off: Arc::default() });
            live.add(8_000, &[1_000; 480]);
            assert_eq!(live.flush_until(1_000 + format.behind_ms() + 60).unwrap(), 0);
            if let Some(header) = first {
                assert_eq!(given.try_recv().unwrap().len(), header);
            }
            let mut total = 0;
            while let Ok(bytes) = given.try_recv() {
                assert_eq!(bytes.len(), piece, "{format:?}");
                total += bytes.len();
            }
            assert_eq!(total, if format == StreamFormat::Pcmu { 480 } else { 960 });
        }
    }

    #[test]
    fn who_does_not_take_it_is_cut_off_and_nobody_else() {
        let mut live = Live::begin((StreamFormat::L16, Rate::Narrow), 0).unwrap();
        let (slow, _kept) = mpsc::channel(1);
        let (bytes, mut given) = mpsc::channel(PIECES_MAX);
        let cut_off = Arc::new(AtomicBool::new(false));
        live.listen(Listener { bytes: slow, cut_off: Arc::clone(&cut_off) });
        live.listen(Listener { bytes, cut_off: Arc::default() });
        assert_eq!(live.flush_until(60 + 200).unwrap(), 1);
        assert!(cut_off.load(Ordering::Acquire));
        assert_eq!(live.listeners(), 1);
        assert_eq!(std::iter::from_fn(|| given.try_recv().ok()).count(), 10);
    }
}
