//! One file of a recording.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use sidetone_record_core::{Container, Encoder, Form};

/// The most that is encoded in one piece, in samples of one channel.
const PIECE: usize = 80_000;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) name: String,
    file: File,
    channels: usize,
    encoder: Encoder,
    /// What is to be encoded, in order. Beyond one piece nothing is encoded before the disk takes what is: an hour of silence
    /// costs no memory meanwhile.
    queue: VecDeque<Sound>,
    /// Encoded, and not in the file yet: a disk that takes nothing may do so later.
    pending: Vec<u8>,
    length: u64,
    duration_ms: u64,
}

/// A piece of one file.
#[derive(Debug)]
pub(super) enum Sound {
    /// Channels interleaved.
    Samples(Vec<i16>),
    /// So many samples of each channel.
    Silence(u64),
}

impl Sound {
    /// Samples of each channel.
    pub(super) fn length(&self, channels: u16) -> u64 {
        match self {
            Self::Samples(samples) => samples.len() as u64 / u64::from(channels.max(1)),
            Self::Silence(length) => *length,
        }
    }
}

impl Track {
    /// Begins in an empty file.
    pub(super) fn new(name: String, file: File, container: Container, form: Form) -> io::Result<Self> {
        let (encoder, header) = Encoder::new(container, form).map_err(io::Error::other)?;
        let channels = usize::from(form.channels.max(1));
        let (queue, pending) = (VecDeque::new(), header);
        Ok(Self { name, file, channels, encoder, queue, pending, length: 0, duration_ms: 0 })
    }

    /// Writes what was said after what was said before. What could not be written is tried again with what comes next.
    pub(super) fn write(&mut self, sound: Sound) -> io::Result<()> {
        match (self.queue.back_mut(), sound) {
            (Some(Sound::Silence(before)), Sound::Silence(more)) => *before += more,
            (_, sound) => self.queue.push_back(sound),
        }
        self.write_queued()
    }

    fn write_queued(&mut self) -> io::Result<()> {
        loop {
            if !self.pending.is_empty() {
                self.write_pending()?;
            }
            let Some(sound) = self.queue.front_mut() else { return Ok(()) };
            let encoded = match sound {
                Sound::Samples(samples) => self.encoder.write(samples, &mut self.pending),
                Sound::Silence(left) => {
                    let piece = (*left).min(PIECE as u64);
                    *left -= piece;
                    self.encoder.write(&vec![0; piece as usize * self.channels], &mut self.pending)
                }
            };
            if !matches!(sound, Sound::Silence(1..)) {
                self.queue.pop_front();
            }
            encoded.map_err(io::Error::other)?;
        }
    }

    /// Completes the file.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let mut written = self.write_queued();
        if written.is_ok() {
            self.encoder.finish(&mut self.pending).map_err(io::Error::other)?;
            written = self.write_pending();
        }
        if written.is_err() {
            // A part of a write that failed is no sound.
            self.file.set_len(self.length)?;
        }
        written.and(self.file.sync_all())
    }

    /// Of the sound that is in the file.
    pub(super) fn duration_ms(&self) -> u64 {
        self.duration_ms
    }

    /// Bytes in the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn write_pending(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.length)?;
        self.length += self.pending.len() as u64;
        self.pending.clear();
        // Last, so that the header never promises what is not there yet.
        if let Some(patch) = self.encoder.patch() {
            self.file.write_all_at(&patch.bytes, patch.offset)?;
        }
        self.duration_ms = self.encoder.duration_ms();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sidetone_dsp::Rate;

    use super::*;

    #[test]
    fn what_a_full_disk_did_not_take_is_written_when_it_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let file = File::create_new(&path).unwrap();
        let mut track = Track::new("a.wav".into(), file, Container::Wav, Form::new(1, Rate::Narrow)).unwrap();
        let say = |value: i16| Sound::Samples(vec![value; 8000]);
        track.write(say(1)).unwrap();
        assert_eq!(track.duration_ms(), 1000);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let disk = std::mem::replace(&mut track.file, full);
        assert_eq!(track.write(say(2)).unwrap_err().kind(), io::ErrorKind::StorageFull);
        // Longer than one piece: none of it may be lost, nor be held in memory.
        assert!(track.write(Sound::Silence(100_000)).is_err());
        assert!(track.write(Sound::Silence(60_000)).is_err());
        assert_eq!(track.duration_ms(), 1000, "no more than that is there");
        assert!(track.pending.len() <= 16_000, "{} bytes wait", track.pending.len());
        track.file = disk;
        track.write(say(3)).unwrap();
        track.finish().unwrap();
        assert_eq!(track.duration_ms(), 23_000);
        let samples: Vec<i16> = hound::WavReader::open(path).unwrap().samples().map(Result::unwrap).collect();
        let said = [(1, 8000), (2, 8000), (0, 160_000), (3, 8000)];
        let expected: Vec<i16> =
            said.iter().flat_map(|(value, length)| std::iter::repeat_n(*value, *length)).collect();
        assert!(samples == expected, "{} samples", samples.len());
    }
}
