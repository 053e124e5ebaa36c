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

/// Prints a line of something that goes on.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// A time of day with its date, in UTC; a dash for none.
pub(crate) fn time(unix_ms: u64) -> String {
    if unix_ms == 0 {
        return "-".to_owned();
    }
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A duration as h:mm:ss.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
