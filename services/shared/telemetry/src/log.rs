//! Log set-up: one line per event, for people or as JSON.
//!
//! Levels: ERROR, somebody should be woken; WARN, somebody should look tomorrow; INFO, the life of the process and of
//! registrations of nodes; DEBUG, one call's life by its ids; TRACE, messages without their contents. Nothing per packet.

use serde::Deserialize;
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
#[error("not a log filter: {0}")]
pub struct FilterError(#[from] tracing_subscriber::filter::ParseError);

impl LogConfig {
    /// Checks the filter without installing it.
    pub fn check(&self) -> Result<(), FilterError> {
        EnvFilter::try_new(&self.filter)?;
        Ok(())
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
