//! A peer's process: on one processor, with what it has used.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

/// A child that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program that may use one processor alone.
    pub(crate) fn start(program: &Path, arguments: &[String], cpu: usize) -> anyhow::Result<Self> {
        let child = Command::new("taskset")
            .arg("-c")
            .arg(cpu.to_string())
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Self(child))
    }

    /// Processor time so far, of all threads, in user and kernel mode.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        // The name, in brackets, may hold spaces; utime and stime are the 14th and 15th field.
        let after_name = stat.rsplit_once(')').context("stat")?.1;
        let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<u64, _>>().context("stat")?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_S))
    }

    /// Resident memory of its own: without the pages of its program, which come as its code is first run, once for all legs.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = self.read("status")?;
        let kilobytes = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find(|line| line.starts_with(name)).context(name.to_owned())?;
            Ok(line.split_whitespace().nth(1).context(name.to_owned())?.parse()?)
        };
        Ok((kilobytes("RssAnon:")? + kilobytes("RssShmem:")?) * 1024)
    }

    /// Whether it still runs.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.0.try_wait()? {
            Some(status) => anyhow::bail!("it ended by itself: {status}"),
            None => Ok(()),
        }
    }

    fn read(&self, what: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{what}", self.0.id());
        std::fs::read_to_string(&path).context(path)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Of `/proc`: USER_HZ is 100 on every architecture that Linux runs these programs on.
const TICKS_PER_S: u64 = 100;
