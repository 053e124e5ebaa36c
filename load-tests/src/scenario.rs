//! What is to be generated, and what counts as good.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::hostile::Hostility;
use crate::steady::Steady;
use crate::traffic::Credential;

/// Traffic with its pass lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Who talks to whom.
    pub kind: Kind,
    /// The number of the room or the echo; not used by `pair`. Default none.
    #[serde(default)]
    pub number: String,
    /// Calls, 1 to 2000; of a room at most 100, because each caller has a tone of its own.
    pub calls: usize,
    /// How long calls are held after all of them are set up, in seconds, 2 to 86400.
    pub seconds: u64,
    /// Calls begun each second, over 0 to 1000. Default 10.
    #[serde(default = "ten")]
    pub calls_per_second: f64,
    /// Whether callers register before they call, each credential once; those who are called always do. Default: in a room.
    #[serde(default)]
    pub register: Option<bool>,
    /// Phones that register and wait, of `hostile`, 0 to 20000. Default 0.
    #[serde(default)]
    pub phones: usize,
    /// How bad it is in `hostile`. Default one in a hundred, both ways.
    #[serde(default)]
    pub hostile: Hostility,
    /// What goes on in `steady`.
    #[serde(default)]
    pub steady: Steady,
    /// Pass lines.
    #[serde(default)]
    pub pass: Pass,
}

/// Who talks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// All callers call one room, and hear everybody but themselves.
    Room,
    /// All callers call an echo, and hear themselves.
    Echo,
    /// Half of the phones register, the others call them; both sides hear the other.
    Pair,
    /// As `echo`, while others attack and some of what phones send arrives damaged.
    Hostile,
    /// So many callers at any time, each calling again and again, while the server's needs are watched.
    Steady,
}

/// What counts as good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pass {
    /// Smallest share of calls that hear what they should, 0 to 1. Default 1.
    pub heard_min: f64,
    /// Largest share of RTP packets lost over all calls, 0 to 1. Default 0.
    pub loss_max: f64,
    /// Longest time without a packet in any call that was heard, in ms. Default 200.
    pub max_gap_ms: f64,
    /// Largest 99th percentile of set-up times, in ms. Default 1000.
    pub setup_p99_ms: f64,
    /// Largest 99th percentile of the time for which sound is under way, in ms: there and back with an echo, else one way.
    /// Default none.
    pub delay_p99_ms: Option<f64>,
}

impl Default for Pass {
    fn default() -> Self {
        Self { heard_min: 1.0, loss_max: 0.0, max_gap_ms: 200.0, setup_p99_ms: 1000.0, delay_p99_ms: None }
    }
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither a file nor built in.
    #[error("there is no scenario {name}: not a readable file ({source}), and built in are {BUILTIN_NAMES}")]
    Missing {
        /// What was asked for.
        name: String,
        /// Why it is no file.
        source: std::io::Error,
    },
    /// Not TOML, or a key that is missing, unknown or of the wrong type; the text names it.
    #[error("scenario {name}: {source}")]
    Syntax {
        /// What was read.
        name: String,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// A value out of range.
    #[error("scenario: {key} {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Scenario {
    /// Reads a file, or takes the built-in scenario of that name (`room`, `echo-200`, `two-party`, `hostile`, `steady`).
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        if let Some((_, text)) = BUILTIN.iter().find(|(known, _)| *known == name) {
            return Self::parse(name, text);
        }
        let text = std::fs::read_to_string(Path::new(name))
            .map_err(|source| ScenarioError::Missing { name: name.to_owned(), source })?;
        Self::parse(name, &text)
    }

    /// Reads a text; `name` is for errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)
            .map_err(|source| ScenarioError::Syntax { name: name.to_owned(), source: Box::new(source) })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Reports the first value out of range.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let calls_max = if self.kind == Kind::Room { 100 } else { 2000 };
        let rules = [
            ("number", "must be set", self.kind == Kind::Pair || !self.number.is_empty()),
            ("calls", "must be 1 to 2000, and at most 100 for a room", (1..=calls_max).contains(&self.calls)),
            ("seconds", "must be 2 to 86400", (2..=86_400).contains(&self.seconds)),
            (
                "calls_per_second",
                "must be over 0 and at most 1000",
                self.calls_per_second > 0.0 && self.calls_per_second <= 1000.0,
            ),
            ("phones", "must be 0 to 20000", self.phones <= 20_000),
            ("hostile.hostile", "must be 0 to 1", share(self.hostile.hostile)),
            ("hostile.damaged", "must be 0 to 0.5", (0.0..=0.5).contains(&self.hostile.damaged)),
            (
                "steady.call_s",
                "must be 4 to 3600, the shorter first",
                (4..=3600).contains(&self.steady.call_s[0])
                    && (self.steady.call_s[0]..=3600).contains(&self.steady.call_s[1]),
            ),
            ("steady.memory_growth_max_mb", "must not be negative", self.steady.memory_growth_max_mb >= 0.0),
            ("pass.heard_min", "must be 0 to 1", share(self.pass.heard_min)),
            ("pass.loss_max", "must be 0 to 1", share(self.pass.loss_max)),
            ("pass.max_gap_ms", "must be over 0", self.pass.max_gap_ms > 0.0),
            ("pass.setup_p99_ms", "must be over 0", self.pass.setup_p99_ms > 0.0),
            ("pass.delay_p99_ms", "must be over 0", self.pass.delay_p99_ms.is_none_or(|max| max > 0.0)),
        ];
        match rules.into_iter().find(|(_, _, good)| !good) {
            Some((key, problem, _)) => Err(ScenarioError::Value { key, problem }),
            None => Ok(()),
        }
    }

    /// Whether callers register.
    pub(crate) fn registers(&self) -> bool {
        self.register.unwrap_or(self.kind == Kind::Room)
    }

    pub(crate) fn check_credentials(&self, credentials: &[Credential]) -> Result<(), ScenarioError> {
        let needed = match self.kind {
            Kind::Pair => self.calls * 2,
            Kind::Hostile => self.calls + self.phones,
            Kind::Room | Kind::Echo | Kind::Steady => 1,
        };
        if credentials.len() >= needed {
            return Ok(());
        }
        let problem = "needs more credentials: one, for pairs two for each call, for hostile one for each call and phone";
        Err(ScenarioError::Value { key: "calls", problem })
    }
}

fn ten() -> f64 {
    10.0
}

const BUILTIN: [(&str, &str); 5] = [
    ("room", include_str!("../scenarios/room.toml")),
    ("echo-200", include_str!("../scenarios/echo-200.toml")),
    ("two-party", include_str!("../scenarios/two-party.toml")),
    ("hostile", include_str!("../scenarios/hostile.toml")),
    ("steady", include_str!("../scenarios/steady.toml")),
];

const BUILTIN_NAMES: &str = "room, echo-200, two-party, hostile, steady";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_built_in_is_good() {
        for (name, _) in BUILTIN {
            Scenario::load(name).unwrap();
            assert!(BUILTIN_NAMES.contains(name));
        }
    }

    #[test]
    fn errors_name_the_key() {
        let good = "kind = 'echo'\nnumber = '1'\ncalls = 1\nseconds = 2\n";
        Scenario::parse("t", good).unwrap();
        for (text, key) in [
            (good.replace("calls = 1", "calls = 0"), "calls"),
            (good.replace("calls = 1", "calls = 'x'"), "calls"),
            (good.replace("seconds = 2", ""), "seconds"),
            (good.replace("number = '1'", ""), "number"),
            (format!("{good}colour = 1"), "colour"),
            (format!("{good}[pass]\nloss_max = 2.0"), "pass.loss_max"),
        ] {
            let error = Scenario::parse("t", &text).unwrap_err().to_string();
            assert!(error.contains(key), "{key} is not in: {error}");
        }
        let error = Scenario::load("no-such-thing").unwrap_err().to_string();
        assert!(error.contains("no-such-thing") && error.contains("echo-200"), "{error}");
    }
}
