//! A node that is full: what those who talk notice of others who ask for a place all the same.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sidetone_proto::media::v1 as pb;
use tokio::task::JoinSet;
use tonic::Code;

use crate::generator::{Generator, percentile_ms};
use crate::job::Job;
use crate::peer::Place;
use crate::sidetone::{Sidetone, new_leg};

/// Fills Sidetone's media service with PCMU rooms of three until it refuses a leg, and asks for many more while all of them speak. Prints
/// how steadily they are served with that and without, in turns, and how soon the others are refused. The node, its gRPC and its one worker
/// have one processor together.
#[derive(Debug, clap::Args)]
pub(crate) struct Full {
    /// Sidetone's program.
    #[arg(long, default_value = "target/release/sidetone")]
    sidetone: PathBuf,
    /// How much of its time the worker may need, in thousandths (media.load_max_permille), 1 to 1000.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1000))]
    load_max_permille: u32,
    /// Legs that are asked for once the node is full.
    #[arg(long, default_value_t = 1_000)]
    asked: usize,
    /// Seconds of one measurement, 2 to 600.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const JOB: Job = Job::RoomsOf3;
const GROUP: usize = 3;
/// More than one processor can serve.
const LEGS_MAX: usize = 1_500;
/// Requests at a time.
const AT_ONCE: usize = 16;
/// Between two attempts to fill a node: what legs cost is looked at twice a second, and learned by halves in three.
const LEARNS: Duration = Duration::from_secs(6);
/// A leg of which no packet comes for longer has missed a tick.
const MISSED: Duration = Duration::from_millis(40);

/// What became of those who asked.
#[derive(Debug, Default)]
struct Answers {
    taken: usize,
    refused: Vec<Duration>,
}

impl Full {
    /// Does it.
    pub(crate) async fn run(&self, cpu: usize) -> anyhow::Result<()> {
        let mut generator = Generator::bind(JOB, LEGS_MAX)?;
        let legs_max = LEGS_MAX + self.asked;
        let load = self.load_max_permille;
        let mut node = Sidetone::start_with(&self.sidetone, JOB, cpu, legs_max, load).await?;
        let places = fill(&mut node, &mut generator).await?;
        println!("{} legs fill the node at {load} thousandths of its worker's time", places.len());
        println!(
            "| asking | asked, taken | refused after p50 / p99 ms | worker's load | packets | step p99 / longest ms | missed ticks of legs | late ticks, excused |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for round in 0..self.rounds * 2 {
            let asked = if round % 2 == 0 { 0 } else { self.asked };
            self.measure(&mut node, &mut generator, asked, round).await?;
        }
        Ok(())
    }

    async fn measure(
        &self,
        node: &mut Sidetone,
        generator: &mut Generator,
        asked: usize,
        round: usize,
    ) -> anyhow::Result<()> {
        let before = node.node().await?;
        let asking = std::thread::spawn(move || ask(asked, round));
        let mut steps = generator.steadiness(Duration::from_secs(self.seconds))?;
        let mut answers = asking.join().ok().context("who asks has panicked")??;
        let after = node.node().await?;
        let missed = steps.iter().filter(|step| **step > MISSED).count();
        println!(
            "| {} | {asked}, {} | {:.2} / {:.2} | {:.2} | {} | {:.1} / {:.1} | {missed} | {}, {} |",
            if asked == 0 { "no" } else { "yes" },
            answers.taken,
            percentile_ms(&mut answers.refused, 0.5),
            percentile_ms(&mut answers.refused, 0.99),
            f64::from(after.worker_load_permille.first().copied().unwrap_or(0)) / 1e3,
            steps.len(),
            percentile_ms(&mut steps, 0.99),
            percentile_ms(&mut steps, 1.0),
            after.late_ticks - before.late_ticks,
            after.late_ticks_excused - before.late_ticks_excused,
        );
        Ok(())
    }
}

/// Sets legs up until one is refused although the node has seen what those before it cost.
async fn fill(node: &mut Sidetone, generator: &mut Generator) -> anyhow::Result<Vec<Place>> {
    let addresses = generator.addresses();
    let mut places: Vec<Place> = Vec::new();
    loop {
        let before = places.len();
        node.node().await?;
        for (leg, address) in addresses.iter().enumerate().skip(before) {
            match node.set_up_leg(JOB, leg, GROUP, *address).await {
                Ok(place) => places.push(place),
                Err(error) if is_refused(&error) => break,
                Err(error) => return Err(error),
            }
        }
        anyhow::ensure!(places.len() < addresses.len(), "{LEGS_MAX} legs do not fill it");
        if places.len() == before {
            return Ok(places);
        }
        generator.connect_first(&places)?;
        generator.run(LEARNS)?;
    }
}

fn is_refused(error: &anyhow::Error) -> bool {
    error.downcast_ref::<tonic::Status>().is_some_and(|status| status.code() == Code::ResourceExhausted)
}

/// Asks for so many legs, each of a call of its own.
fn ask(asked: usize, round: usize) -> anyhow::Result<Answers> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut asking = JoinSet::new();
        for first in 0..AT_ONCE.min(asked) {
            let mut client = Sidetone::another_client().await?;
            asking.spawn(async move {
                let mut answers = Answers::default();
                for n in (first..asked).step_by(AT_ONCE) {
                    let leg = LEGS_MAX + round * asked + n;
                    let begin = Instant::now();
                    match client.create_leg(new_leg(JOB, leg, 1, ([127, 0, 0, 1], 9).into())).await {
                        Err(status) if status.code() == Code::ResourceExhausted => {
                            answers.refused.push(begin.elapsed());
                        }
                        Err(status) => return Err(status),
                        Ok(_) => {
                            answers.taken += 1;
                            let leg_id = new_leg(JOB, leg, 1, ([127, 0, 0, 1], 9).into()).leg_id;
                            client.release_leg(pb::ReleaseLegRequest { leg_id }).await?;
                        }
                    }
                }
                Ok(answers)
            });
        }
        let mut all = Answers::default();
        while let Some(answers) = asking.join_next().await {
            let answers = answers??;
            all.taken += answers.taken;
            all.refused.extend(answers.refused);
        }
        Ok(all)
    })
}
