//! The same RTP load through Sidetone and through the servers it is measured against, in one run.
//!
//! Every peer does the same jobs in turn, and the turns are repeated, so that what else the machine does meets all of
//! them. A peer runs on one processor, the generator on another. What counts is the processor time of the peer for each
//! packet that is sent to it, as a ratio of two peers in the same run; absolute times are the machine's.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints a table, and how far it is"
)]

mod delay;
mod floor;
mod full;
mod generator;
mod janus;
mod job;
mod ng;
mod peer;
mod process;
mod rtpengine;
mod sidetone;
mod sounds;
mod speech;
mod stream;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;

use crate::full::Full;
use crate::generator::{Generator, Measured};
use crate::job::Job;
use crate::peer::{Kind, Peer};
use crate::speech::Speech;
use crate::table::Row;

/// Measures Sidetone's media service beside rtpengine, Janus AudioBridge and a bare UDP echo.
///
/// Needs the Debian packages rtpengine-daemon and janus for their rows; a peer that is not installed is left out, and
/// the table says so. All traffic stays on the loopback addresses.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  peers --sidetone target/release/sidetone\n  \
    peers --sidetone target/release/sidetone --jobs relay,rooms-of-3 --seconds 20 --output json")]
struct Arguments {
    /// The program to measure.
    #[arg(long, default_value = "target/release/sidetone")]
    sidetone: PathBuf,
    /// What is measured: relay, relay-in-band, mu-law-to-a-law, srtp-to-rtp, opus-to-mu-law, rooms-of-3, room, opus-rooms-of-3, opus-room.
    #[arg(long, value_delimiter = ',', default_value = JOBS)]
    jobs: Vec<Job>,
    /// Who is measured: floor, sidetone, rtpengine, janus.
    #[arg(long, value_delimiter = ',', default_value = "floor,sidetone,rtpengine,janus")]
    peers: Vec<Kind>,
    /// Legs at a time; 0 takes what each job names.
    #[arg(long, default_value_t = 0)]
    legs: usize,
    /// Seconds of one measurement, 2 to 600.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// How often each peer does each job.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How the result is written: text or json.
    #[arg(long, default_value = "text")]
    output: String,
    /// Only for the bench itself: be the bare echo, from this port on, for so many sockets.
    #[arg(long, hide = true, num_args = 2)]
    be_echo: Option<Vec<u16>>,
    #[command(subcommand)]
    instead: Option<Instead>,
}

/// What is done instead of measuring work.
#[derive(Debug, clap::Subcommand)]
enum Instead {
    Speech(Speech),
    Full(Full),
}

const JOBS: &str = "relay,relay-in-band,mu-law-to-a-law,srtp-to-rtp,opus-to-mu-law,rooms-of-3,room,opus-rooms-of-3,opus-room";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(echo) = &arguments.be_echo {
        return floor::be_echo(echo[0], usize::from(echo[1]));
    }
    let cpus = sidetone_net::allowed_cpus()?;
    let generator_cpu = *cpus.last().context("no processor")?;
    let peer_cpu = cpus[0];
    anyhow::ensure!(
        peer_cpu != generator_cpu,
        "two processors are needed: one for the peer, one for the generator"
    );
    sidetone_net::pin_current_thread(generator_cpu)?;
    if let Some(Instead::Speech(speech)) = &arguments.instead {
        return speech.run(peer_cpu).await;
    }
    if let Some(Instead::Full(full)) = &arguments.instead {
        return full.run(peer_cpu).await;
    }
    let mut rows = Vec::new();
    for job in &arguments.jobs {
        let legs = if arguments.legs == 0 { job.legs() } else { arguments.legs };
        for round in 1..=arguments.rounds {
            for kind in arguments.peers.iter().filter(|kind| kind.does(*job)) {
                eprintln!("{job}, {legs} legs, round {round} of {}: {kind}", arguments.rounds);
                let outcome = measure(&arguments, *kind, *job, legs, peer_cpu).await;
                match outcome {
                    Ok(measured) => rows.push(Row { job: *job, peer: *kind, legs, measured }),
                    Err(error) => eprintln!("  left out: {error:#}"),
                }
            }
        }
    }
    table::print(&rows, &arguments.output)
}

/// Starts a peer, gives it the job, measures, and stops it.
async fn measure(
    arguments: &Arguments,
    kind: Kind,
    job: Job,
    legs: usize,
    peer_cpu: usize,
) -> anyhow::Result<Measured> {
    let mut generator = Generator::bind(job, legs)?;
    let mut peer = Peer::start(kind, job, &arguments.sidetone, peer_cpu, legs).await?;
    let before = peer.process().resident_bytes()?;
    let places = peer.set_up(job, &generator.addresses()).await.context("set-up")?;
    let setups = places.iter().map(|place| place.took).filter(|took| !took.is_zero()).collect();
    generator.connect(&places)?;
    generator.run(Duration::from_secs(1))?;
    let spent = peer.process().processor_time()?;
    let counted = generator.run(Duration::from_secs(arguments.seconds))?;
    let spent = peer.process().processor_time()? - spent;
    let resident = peer.process().resident_bytes()?.saturating_sub(before);
    let delays = generator.delays(Duration::from_secs(8))?;
    peer.stop();
    let (of, per_leg) = (Duration::from_secs(arguments.seconds), resident / legs as u64);
    Ok(Measured::new(spent, of, counted, per_leg, delays, setups))
}
