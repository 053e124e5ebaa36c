//! The configuration of a process: one file for all services, of which each reads what concerns it.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sidetone_directory::SeedConfig;
use sidetone_runtime::admin::AdminConfig;
use sidetone_runtime::config::{ConfigError, ConfigErrors, ConfigFile};
use sidetone_runtime::grpc::{GrpcConfig, TlsConfig};
use sidetone_store::embedded::EmbeddedStore;
use sidetone_telemetry::log::LogConfig;

/// Everything that can be configured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) process: ProcessConfig,
    pub(crate) log: LogConfig,
    pub(crate) admin: AdminConfig,
    pub(crate) tls: TlsConfig,
    pub(crate) grpc: GrpcConfig,
    pub(crate) store: StoreConfig,
    pub(crate) peers: PeersConfig,
    pub(crate) call_control: sidetone_call_control::Config,
    pub(crate) http: sidetone_http::Config,
    pub(crate) outbox: sidetone_outbox::Config,
    pub(crate) signalling: sidetone_signalling::Config,
    pub(crate) media: sidetone_media::Config,
    pub(crate) push: sidetone_push::Config,
    pub(crate) seed: SeedConfig,
}

/// The process itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProcessConfig {
    /// Longest time for which running calls go on after SIGTERM, in seconds. Default 60.
    pub(crate) drain_max_s: u64,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self { drain_max_s: 60 }
    }
}

/// Where state and events are kept.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreConfig {
    /// `embedded` (default): in this process. `remote`: call control's, at `peers.call_control`.
    pub(crate) kind: StoreKind,
    /// File of the embedded store. Without one, state is kept in memory and lost with the process.
    pub(crate) path: Option<PathBuf>,
}

/// Which store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreKind {
    /// In this process.
    #[default]
    Embedded,
    /// Call control's.
    Remote,
}

/// Where the other services are, when they are not in this process.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PeersConfig {
    /// Call control's gRPC address, host:port.
    pub(crate) call_control: Option<String>,
    /// The push service's gRPC address, host:port.
    pub(crate) push: Option<String>,
}

/// Names a file that holds more of the `[seed]` section: for passwords, which do not belong into a configuration.
const SEED_VARIABLE: &str = "SIDETONE_SEED";

/// Reads a configuration; none is the demonstration on loopback.
pub(crate) fn load(path: Option<&Path>) -> Result<Settings, ConfigErrors> {
    let mut settings = match path {
        Some(path) => from_file(ConfigFile::read(path)),
        None => from_file(ConfigFile::parse(DEMONSTRATION)),
    }?;
    if let Some(path) = std::env::var_os(SEED_VARIABLE) {
        let mut file = ConfigFile::read(Path::new(&path));
        let more: SeedConfig = file.section("seed", SeedConfig::check);
        file.finish()?;
        settings.seed.tenants.extend(more.tenants);
    }
    Ok(settings)
}

/// What runs without a configuration: `serve` on loopback with the demonstration tenant.
pub(crate) const DEMONSTRATION: &str = include_str!("demonstration.toml");

/// Reads a configuration from a text.
pub(crate) fn parse(text: &str) -> Result<Settings, ConfigErrors> {
    from_file(ConfigFile::parse(text))
}

/// Reports on a file: what is wrong with it, also on this machine, and what is odd.
pub(crate) async fn check(path: &Path) -> anyhow::Result<()> {
    let file = ConfigFile::read(path);
    // Whether this process records and plays; a split one has peers, and only the media node has the section.
    let plays = file.has("media") || !file.has("peers");
    let settings = from_file(file)?;
    let mut errors = Vec::new();
    if plays {
        settings.media.check_machine(&mut errors);
        for odd in odd_prompts(&settings) {
            crate::cli::warn(&format!("{}: {}", odd.key, odd.problem));
        }
    }
    errors.extend(seed_mistakes(&settings.seed).await?);
    for odd in settings.seed.odd() {
        crate::cli::warn(&format!("{}: {}", odd.key, odd.problem));
    }
    if !errors.is_empty() {
        return Err(ConfigErrors(errors).into());
    }
    crate::cli::line(&format!("{} is a good configuration", path.display()))
}

/// What is wrong with a seed although each of its values can be read: it is carried out in memory, where nothing is half done.
pub(crate) async fn seed_mistakes(seed: &SeedConfig) -> anyhow::Result<Vec<ConfigError>> {
    let nothing = sidetone_directory::Directory::new(EmbeddedStore::in_memory()?);
    Ok(nothing.rehearse(seed).await?)
}

/// Prompts that are named and are not there. They may still come: no mistake, but nobody will hear them.
fn odd_prompts(settings: &Settings) -> Vec<ConfigError> {
    let configured = settings.call_control.prompts();
    let named = configured.into_iter().map(|(key, prompt)| (format!("call_control.{key}"), prompt));
    let announced = settings.seed.announcements();
    let folder = settings.media.prompts_dir.display();
    let odd = named.chain(announced).filter(|(_, prompt)| !prompt.is_empty()).filter_map(|(key, prompt)| {
        let problem = settings.media.prompt_problem(&prompt)?;
        Some(ConfigError::new(
            key,
            format!("{prompt:?} cannot be played ({problem}); prompts are in {folder}"),
        ))
    });
    odd.collect()
}

fn from_file(mut file: ConfigFile) -> Result<Settings, ConfigErrors> {
    let tls: TlsConfig = file.section("tls", TlsConfig::check);
    let store: StoreConfig = file.section("store", |_, _| {});
    let settings = Settings {
        process: file.section("process", |_, _| {}),
        log: file.section("log", |log: &LogConfig, errors| {
            if let Err(error) = log.check() {
                errors.push(ConfigError::new("log.filter", error.to_string()));
            }
        }),
        admin: file.section("admin", AdminConfig::check),
        grpc: file.section("grpc", |grpc: &GrpcConfig, errors| grpc.check(&tls, errors)),
        peers: file.section("peers", |peers: &PeersConfig, errors| check_peers(peers, &store, errors)),
        call_control: file.section("call_control", sidetone_call_control::Config::check),
        http: file.section("http", sidetone_http::Config::check),
        outbox: file.section("outbox", sidetone_outbox::Config::check),
        signalling: file.section("signalling", sidetone_signalling::Config::check),
        media: file.section("media", sidetone_media::Config::check),
        push: file.section("push", sidetone_push::Config::check),
        seed: file.section("seed", SeedConfig::check),
        tls,
        store,
    };
    file.finish()?;
    Ok(settings)
}

fn check_peers(peers: &PeersConfig, store: &StoreConfig, errors: &mut Vec<ConfigError>) {
    if store.kind == StoreKind::Remote && peers.call_control.is_none() {
        errors.push(ConfigError::new("peers.call_control", "must be set when store.kind is \"remote\""));
    }
    if store.kind == StoreKind::Remote && store.path.is_some() {
        errors.push(ConfigError::new("store.path", "has no meaning when store.kind is \"remote\""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_without_a_configuration_is_a_good_one() {
        load(None).unwrap();
    }

    #[test]
    fn the_documented_file_holds_every_key_with_its_default() {
        const FILE: &str = include_str!("../../../deploy/sidetone.toml");
        let documented = parse(FILE).unwrap();
        assert_eq!(format!("{documented:?}"), format!("{:?}", Settings::default()));
        let shown = format!("{:?}", Settings::default());
        for word in shown.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
            if let Some(key) = word.strip_suffix(':')
                && key.chars().next().is_some_and(|c| c.is_ascii_lowercase())
            {
                assert!(FILE.contains(key), "{key} is not documented");
            }
        }
    }

    #[test]
    fn what_the_chart_makes_are_good_configurations() {
        let charts = [
            include_str!("../../../helm/ci/default.golden.yaml"),
            include_str!("../../../helm/ci/host.golden.yaml"),
            include_str!("../../../helm/ci/balanced.golden.yaml"),
        ];
        for chart in charts {
            let chart = chart.replace("${POD_IP}", "192.0.2.7");
            let names = ["POD_NAME", "PROBE_PASSWORD", "STORAGE_ACCESS_KEY", "STORAGE_SECRET_KEY"];
            let chart = names.iter().fold(chart, |text, name| text.replace(&format!("${{{name}}}"), "x"));
            let mut files = 0;
            for (at, opening) in chart.match_indices(".toml: |\n") {
                let lines = chart[at + opening.len()..].lines();
                let file = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
                let file: Vec<_> = file.map(str::trim_start).collect();
                // Certificates are in the pods, not here.
                let mut errors = parse(&file.join("\n")).map_or_else(|errors| errors.0, |_| Vec::new());
                errors.retain(|error| !error.problem.ends_with("is not a file"));
                assert!(errors.is_empty(), "{errors:?} in {file:#?}");
                files += 1;
            }
            assert_eq!(files, 4, "one for each service");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = "[store]\nkind = 'remote'\npath = '/x'\n[grpc]\nbind = '0.0.0.0:1'\n[nonsense]\n[log]\nfilter = '=='\n";
        let errors = parse(text).unwrap_err();
        let keys: Vec<_> = errors.0.iter().map(|error| error.key.as_str()).collect();
        for key in
            ["peers.call_control", "store.path", "grpc.bind", "grpc.advertised", "nonsense", "log.filter"]
        {
            assert!(keys.contains(&key), "{key} is missing in {errors}");
        }
    }
}
