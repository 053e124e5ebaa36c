//! Speech through a server, in real time and with losses on its way in, for `load-tests/audio-quality/beside-rtpengine` to judge.
//!
//! What is sent is the same for every server: the same encoded packets, of which the same are lost. What comes out is
//! played by one and the same receiver.

mod line;
mod player;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sidetone_dsp::codec::Codec;
use sidetone_dsp::{Law, Rate};

use crate::job::Job;
use crate::peer::{Kind, Peer};
use line::Line;

/// Takes files of speech through a server, a call for each file, loss and seed, and writes what the
/// called phones hear: DIR/N-LOSS-SEED.plain as a phone hears it that plays silence where nothing came, and .phone as one
/// that conceals, N counting the files from 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Speech {
    /// The server: sidetone or rtpengine.
    #[arg(long)]
    peer: Kind,
    /// Sidetone's program.
    #[arg(long, default_value = "target/release/sidetone")]
    sidetone: PathBuf,
    /// What the callers speak: pcmu, pcma, g722, gsm, opus.
    #[arg(long, value_parser = codec_of)]
    from: Codec,
    /// What the called speak.
    #[arg(long, value_parser = codec_of)]
    to: Codec,
    /// Both are in a conference of two, and not bridged. Only Sidetone.
    #[arg(long)]
    room: bool,
    /// Samples a second of the files, those read and those written: 8000 or 16000.
    #[arg(long, default_value = "8000", value_parser = rate_of)]
    rate: Rate,
    /// Percentages of the callers' packets that are lost.
    #[arg(long, value_delimiter = ',', default_value = "0,1,5,10")]
    losses: Vec<u32>,
    /// Which packets are lost; the first alone where none is.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    seeds: Vec<u64>,
    /// Where the result is written.
    #[arg(long)]
    into: PathBuf,
    /// Samples of 16 bits, little-endian, one channel.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Calls at a time: no server is to be busy.
const CALLS_MAX: usize = 16;
/// How often a run is repeated that this machine has disturbed.
const RUNS_MAX: usize = 40;

impl Speech {
    /// Does it.
    pub(crate) async fn run(&self, peer_cpu: usize) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for (file, path) in self.files.iter().enumerate() {
            let sound = samples_in(path)?;
            for &loss in &self.losses {
                for &seed in if loss == 0 { self.seeds.get(..1).unwrap_or_default() } else { &self.seeds } {
                    let name = format!("{file}-{loss}-{seed}");
                    lines.push(Line::new((self.from, self.to), self.rate, &sound, (loss, seed), name)?);
                }
            }
        }
        std::fs::create_dir_all(&self.into)?;
        for wave in lines.chunks_mut(CALLS_MAX) {
            self.wave(wave, peer_cpu).await?;
        }
        for line in &lines {
            for (conceals, kind) in [(false, "plain"), (true, "phone")] {
                let heard = line.heard(self.to, self.rate, conceals)?;
                let bytes: Vec<u8> = heard.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                std::fs::write(self.into.join(format!("{}.{kind}", line.name)), bytes)?;
            }
        }
        Ok(())
    }

    /// Calls at the same time, again and again until neither the sender nor the server was late.
    async fn wave(&self, lines: &mut [Line], peer_cpu: usize) -> anyhow::Result<()> {
        for _ in 0..RUNS_MAX {
            let (ours, theirs) = self.once(lines, peer_cpu).await?;
            if ours <= line::LATE_MAX && theirs <= line::SERVER_LATE_MAX {
                return Ok(());
            }
            eprintln!("  once more: a packet of ours was {ours:?} late, one of the server's {theirs:?}");
        }
        anyhow::bail!("packets were late {RUNS_MAX} times: the machine is too busy, or the server")
    }

    async fn once(&self, lines: &mut [Line], peer_cpu: usize) -> anyhow::Result<(Duration, Duration)> {
        anyhow::ensure!(!self.room || self.peer == Kind::Sidetone, "{} has no such conference", self.peer);
        let job = Job::Speech { from: self.from, to: self.to, room: self.room };
        let legs = lines.len() * 2;
        let mut peer = Peer::start(self.peer, job, &self.sidetone, peer_cpu, legs).await?;
        let mut ours = Vec::new();
        for line in &mut *lines {
            ours.extend(line.open()?);
        }
        let places = peer.set_up(job, &ours).await.context("set-up")?;
        for (line, places) in lines.iter_mut().zip(places.chunks(2)) {
            line.connect(places[0].address, places[1].address)?;
        }
        let ours = line::speak(lines)?;
        peer.stop();
        Ok((ours, lines.iter().map(Line::latest).max().unwrap_or_default()))
    }
}

fn samples_in(path: &Path) -> anyhow::Result<Vec<i16>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
}

fn codec_of(name: &str) -> Result<Codec, String> {
    Ok(match name {
        "pcmu" => Codec::G711(Law::Mu),
        "pcma" => Codec::G711(Law::A),
        "g722" => Codec::G722,
        "gsm" => Codec::Gsm,
        "opus" => Codec::Opus,
        _ => return Err("there are pcmu, pcma, g722, gsm, opus".into()),
    })
}

fn rate_of(hz: &str) -> Result<Rate, String> {
    let rate = hz.parse().ok().and_then(Rate::of_hz);
    rate.filter(|rate| *rate != Rate::Full).ok_or_else(|| "there are 8000 and 16000".into())
}
