//! Tables for people, JSON and CSV for programs.

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// Columns for people.
    Table,
    /// JSON: one document, or one a line where something is followed.
    Json,
    /// Comma-separated values with a head line.
    Csv,
}

/// A time as it is typed: with the time of day, or the beginning of a day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(jiff::Timestamp);

impl Moment {
    /// Milliseconds since 1970; what was before is that.
    pub(crate) fn unix_ms(self) -> u64 {
        u64::try_from(self.0.as_millisecond()).unwrap_or(0)
    }
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
        let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| day().map(|day| day.timestamp()));
        moment
            .map(Self)
            .ok_or_else(|| "expected a day as 2026-11-21, or a time as 2026-11-21T08:00:00Z".to_owned())
    }
}

/// Who reads what is printed may have seen enough (`sidetone cdrs | head`): that is no failure.
pub(crate) fn unless_unread(error: anyhow::Error) -> anyhow::Result<()> {
    let broken = |io: &std::io::Error| io.kind() == std::io::ErrorKind::BrokenPipe;
    let unread = error.downcast_ref().is_some_and(broken)
        || error.downcast_ref::<csv::Error>().is_some_and(|csv| match csv.kind() {
            csv::ErrorKind::Io(io) => broken(io),
            _ => false,
        });
    if unread { Ok(()) } else { Err(error) }
}

/// A call's id as it is typed.
pub(crate) fn call_id(text: &str) -> Result<String, String> {
    let known = text.parse::<sidetone_model::ids::CallId>();
    known
        .map(|id| id.to_string())
        .map_err(|_| "expected the id of a call, as `sidetone cdrs` and `sidetone calls` print it".to_owned())
}

/// Says on standard error what was done all the same.
pub(crate) fn warn(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "sidetone: warning: {text}");
}

/// Opens a file for writing; one that is there is kept, unless it is said.
pub(crate) fn new_file(path: &std::path::Path, force: bool) -> anyhow::Result<std::fs::File> {
    use anyhow::Context as _;
    let opened =
        std::fs::OpenOptions::new().write(true).create(true).create_new(!force).truncate(true).open(path);
    if opened.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists) {
        anyhow::bail!("{} is there already; --force writes over it", path.display());
    }
    opened.with_context(|| path.display().to_string())
}

/// Prints rows under heads; `documents` is what JSON shows.
pub(crate) fn rows<T: Serialize>(
    output: Output,
    heads: &[&str],
    documents: &[T],
    row: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Table => {
            let mut table = Table::new();
            table
                .load_preset(comfy_table::presets::NOTHING)
                .set_content_arrangement(ContentArrangement::Disabled);
            table.set_header(heads.iter().map(|head| head.to_uppercase()));
            for document in documents {
                table.add_row(row(document));
            }
            writeln!(out, "{}", table.trim_fmt())?;
        }
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(documents)?)?,
        Output::Csv => {
            let mut writer = csv::Writer::from_writer(out);
            writer.write_record(heads)?;
            for document in documents {
                writer.write_record(row(document))?;
            }
            writer.flush()?;
        }
    }
    Ok(())
}

/// Prints one document: as JSON, or as `text` for people.
pub(crate) fn one<T: Serialize>(
    output: Output,
    document: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(document)?)?,
        Output::Table | Output::Csv => writeln!(out, "{}", text(document))?,
    }
    Ok(())
}

/// Prints one row of CSV of something that goes on.
pub(crate) fn csv_line(cells: &[String]) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells)?;
    let row = String::from_utf8(writer.into_inner()?)?;
    line(row.trim_end_matches('\n'))
}

/// Prints a line of something that goes on.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// A time of day with its date, in UTC and marked so (RFC 3339); a dash for none.
pub(crate) fn time(unix_ms: u64) -> String {
    if unix_ms == 0 {
        return "-".to_owned();
    }
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A duration as h:mm:ss.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_no_failure_and_everything_else_is() {
        let io = |kind| std::io::Error::from(kind);
        assert!(unless_unread(io(std::io::ErrorKind::BrokenPipe).into()).is_ok());
        assert!(unless_unread(csv::Error::from(io(std::io::ErrorKind::BrokenPipe)).into()).is_ok());
        assert!(unless_unread(io(std::io::ErrorKind::StorageFull).into()).is_err());
        // The connection to call control, as another error tells of it.
        let lost = anyhow::Error::from(io(std::io::ErrorKind::BrokenPipe)).context("call control");
        assert!(unless_unread(anyhow::anyhow!("{lost:#}")).is_err());
    }

    #[test]
    fn times_are_marked_as_utc_and_what_is_no_call_is_refused_before_it_is_asked_for() {
        assert_eq!((time(1_795_000_000_000).as_str(), time(0).as_str()), ("2026-11-18 11:06:40Z", "-"));
        assert!(call_id("1001").unwrap_err().contains("sidetone cdrs"));
        let id = "018f0000-0000-7000-8002-000000000001";
        assert_eq!(call_id(id).as_deref(), Ok(id));
    }
}
