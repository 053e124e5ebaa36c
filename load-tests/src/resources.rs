//! What a server needs of its machine, as its metrics tell.

use std::time::{Duration, Instant};

use serde::Serialize;

/// What was seen at one moment, summed over all processes watched.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sample {
    /// When, in seconds since the run began.
    pub at_s: u64,
    /// Resident memory, in MB (10^6 bytes).
    pub resident_mb: f64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Late ticks of media nodes, ever.
    pub late_ticks: u64,
    /// Those of them for which the kernel says that others had the processor.
    pub late_ticks_excused: u64,
    /// What the hosts of this machine took from it, a guest, ever, in ms of all processors (steal of proc(5)). A thread's own account
    /// does not have it: it excuses nothing.
    pub stolen_ms: u64,
    /// Why something of it is missing.
    pub problem: Option<String>,
}

/// Where the metrics are.
pub(crate) struct Scrapes<'a> {
    urls: &'a [String],
    client: reqwest::Client,
    begin: Instant,
}

impl<'a> Scrapes<'a> {
    pub(crate) fn new(urls: &'a [String]) -> Self {
        Self { urls, client: reqwest::Client::new(), begin: Instant::now() }
    }

    /// What is seen now.
    pub(crate) async fn sample(&self, at_s: u64) -> Sample {
        let mut sum = Sample { at_s, stolen_ms: stolen_ms(), ..Sample::default() };
        for url in self.urls {
            match self.read(url).await {
                Ok(text) => {
                    sum.resident_mb += total(&text, "process_resident_memory_bytes") / 1e6;
                    sum.descriptors += total(&text, "process_open_fds") as u64;
                    sum.late_ticks += total(&text, "sidetone_media_late_ticks_total") as u64;
                    sum.late_ticks_excused += total(&text, "sidetone_media_late_ticks_excused_total") as u64;
                }
                Err(error) => sum.problem = Some(format!("{url}: {error}")),
            }
        }
        sum
    }

    async fn read(&self, url: &str) -> Result<String, reqwest::Error> {
        self.client.get(url).timeout(READ_MAX).send().await?.error_for_status()?.text().await
    }

    /// Samples at even intervals until then.
    pub(crate) async fn watch(&self, end: Instant) -> Vec<Sample> {
        let mut samples = Vec::new();
        let interval = end.saturating_duration_since(self.begin) / SAMPLES;
        while !self.urls.is_empty() && Instant::now() + interval < end {
            tokio::time::sleep(interval).await;
            samples.push(self.sample(self.begin.elapsed().as_secs()).await);
        }
        samples
    }

    /// The last sample: as soon as no more descriptors are open than may be, or after as long as the run took, at most a minute.
    pub(crate) async fn settled(&self, before: &Sample, growth_max: u64, seconds: u64) -> Sample {
        let patience = Instant::now() + Duration::from_secs(seconds.clamp(10, 60));
        loop {
            let sample = self.sample(self.begin.elapsed().as_secs()).await;
            if sample.descriptors <= before.descriptors + growth_max || Instant::now() >= patience {
                return sample;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// By how much a count grew from the first sample to the last. Of a process that started anew in between: all that it counts.
pub(crate) fn grown(samples: &[Sample], count: impl Fn(&Sample) -> u64) -> u64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0 };
    count(last).checked_sub(count(first)).unwrap_or(count(last))
}

/// How much larger the mean resident memory is in the last tenth of the loaded time than in its second tenth, in MB.
pub(crate) fn memory_growth_mb(samples: &[Sample]) -> f64 {
    // Neither before the first call nor after the last.
    let loaded = samples.get(1..samples.len().saturating_sub(1)).unwrap_or_default();
    let tenth = loaded.len() / 10;
    if tenth == 0 {
        return 0.0;
    }
    let mean =
        |part: &[Sample]| part.iter().map(|sample| sample.resident_mb).sum::<f64>() / part.len() as f64;
    mean(&loaded[loaded.len() - tenth..]) - mean(&loaded[tenth..2 * tenth])
}

/// What was taken from this machine, as far as its kernel knows: the eighth number of the first line.
fn stolen_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text.lines().next().and_then(|all| all.split_whitespace().nth(8)?.parse::<u64>().ok());
    ticks.unwrap_or(0) * MS_PER_KERNEL_TICK
}

/// The sum of all series of a metric in the text form of Prometheus.
fn total(text: &str, name: &str) -> f64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let rest = if rest.starts_with('{') { rest.split_once('}')?.1 } else { rest };
        rest.strip_prefix(' ')?.split_whitespace().next()?.parse::<f64>().ok()
    };
    text.lines().filter_map(value).sum()
}

const READ_MAX: Duration = Duration::from_secs(5);
const SAMPLES: u32 = 60;
/// Processes are told times in hundredths of a second (`USER_HZ`), on every architecture that there is a build for.
const MS_PER_KERNEL_TICK: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_metric_are_added() {
        let text = "# HELP a_total of a\na_total{worker=\"0\"} 3\na_total{worker=\"1\"} 4 1700000000\na_total_more 9\nb 1.5e6\n";
        assert_eq!((total(text, "a_total"), total(text, "b"), total(text, "c")), (7.0, 1.5e6, 0.0));
    }

    #[test]
    fn memory_is_compared_within_the_load() {
        let sample = |resident_mb| Sample { resident_mb, ..Sample::default() };
        let mut samples = vec![sample(1.0)];
        samples.extend((0..20).map(|n| sample(100.0 + f64::from(n))));
        samples.push(sample(2.0));
        // The means of 118 and 119, and of 102 and 103.
        assert!((memory_growth_mb(&samples) - 16.0).abs() < 1e-9);
        assert_eq!(memory_growth_mb(&samples[..5]), 0.0);
    }

    #[test]
    fn a_process_that_started_anew_has_grown_by_what_it_counts() {
        let sample = |late_ticks| Sample { late_ticks, ..Sample::default() };
        assert_eq!(grown(&[sample(5), sample(9)], |sample| sample.late_ticks), 4);
        assert_eq!(grown(&[sample(5), sample(2)], |sample| sample.late_ticks), 2);
    }
}
