//! Log set-up: one line per event, for people or as JSON.
//!
//! Levels: ERROR, somebody should be woken; WARN, somebody should look tomorrow; INFO, the life of the process and of
//! registrations of nodes; DEBUG, one call's life by its ids; TRACE, messages without their contents. Nothing per packet.

use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::{EnvFilter, fmt};

/// How logs are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Which events: a level, or directives such as `info,sidetone_media=debug`. Default `info`.
    pub filter: String,
    /// `text` for people or `json` for collectors. Default `text`.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// The filter's text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is not one.
    #[error("not a log filter: {0}")]
    Unreadable(#[from] tracing_subscriber::filter::ParseError),
    /// A word that is no level would be taken for a part of the program that logs everything, and silence all others.
    #[error(
        "{0:?} is no level: expected off, error, warn, info, debug or trace, or PART=LEVEL as in info,sidetone_media=debug"
    )]
    NoLevel(String),
}

impl LogConfig {
    /// Checks the filter without installing it.
    pub fn check(&self) -> Result<(), FilterError> {
        EnvFilter::try_new(&self.filter)?;
        let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
        let words = self.filter.split(',').map(str::trim).filter(|word| !word.is_empty());
        // `part[span]` says of itself that it is more than a level.
        match words.filter(|word| !word.contains(['=', '['])).find(|word| !is_level(word)) {
            Some(word) => Err(FilterError::NoLevel(word.to_owned())),
            None => Ok(()),
        }
    }

    /// Installs the log for the whole process, writing to standard error. A second call changes nothing.
    pub fn install(&self) -> Result<(), FilterError> {
        let filter = EnvFilter::try_new(&self.filter)?;
        let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
        let installed = match self.format {
            LogFormat::Text => builder.with_ansi(false).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
        };
        // Only a test harness that has installed its own gets here with an error.
        drop(installed);
        Ok(())
    }
}
