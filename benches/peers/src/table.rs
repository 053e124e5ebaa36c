//! The result: medians of the rounds, and their ratios.

use crate::generator::Measured;
use crate::job::Job;
use crate::peer::Kind;

/// One measurement.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Row {
    pub(crate) job: Job,
    pub(crate) peer: Kind,
    pub(crate) legs: usize,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// Prints all measurements as JSON, or the medians as a table with ratios of Sidetone to each other peer.
pub(crate) fn print(rows: &[Row], output: &str) -> anyhow::Result<()> {
    if output == "json" {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    println!(
        "| job | legs | peer | CPU us/packet (median, range) | sidetone is | load | returned | KB/leg | delay p50 / p99 ms | set-up p50 / p99 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut jobs: Vec<Job> = rows.iter().map(|row| row.job).collect();
    jobs.dedup();
    for job in jobs {
        let ours = median(rows, job, Kind::Sidetone, |measured| measured.us_per_packet);
        for peer in [Kind::Floor, Kind::Sidetone, Kind::Rtpengine, Kind::Janus] {
            let of: Vec<&Row> = rows.iter().filter(|row| row.job == job && row.peer == peer).collect();
            let Some(first) = of.first() else { continue };
            let get = |what: fn(&Measured) -> f64| median(rows, job, peer, what);
            let cost = get(|measured| measured.us_per_packet);
            let costs = of.iter().map(|row| row.measured.us_per_packet);
            let (least, most) = (costs.clone().fold(f64::MAX, f64::min), costs.fold(0.0, f64::max));
            println!(
                "| {job} | {} | {peer} | {cost:.2} ({least:.2}-{most:.2}) | {:.2}x | {:.2} | {:.3} | {:.1} | {:.1} / {:.1} | {:.2} / {:.2} |",
                first.legs,
                ours / cost,
                get(|measured| measured.load),
                get(|measured| measured.returned),
                get(|measured| measured.bytes_per_leg as f64) / 1024.0,
                get(|measured| measured.delay_p50_ms),
                get(|measured| measured.delay_p99_ms),
                get(|measured| measured.setup_p50_ms),
                get(|measured| measured.setup_p99_ms),
            );
        }
    }
    Ok(())
}

fn median(rows: &[Row], job: Job, peer: Kind, what: impl Fn(&Measured) -> f64) -> f64 {
    let of = rows.iter().filter(|row| row.job == job && row.peer == peer);
    let mut values: Vec<f64> = of.map(|row| what(&row.measured)).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
