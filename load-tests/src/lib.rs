//! Generated SIP and RTP traffic with pass lines, heard by ear.
//!
//! A call counts only when the right tones come back out of it: a server that answers everything and plays silence fails.

#![forbid(unsafe_code)]

pub mod delay;
pub mod delivery;
pub mod echo;
pub mod generator;
pub mod hostile;
mod html;
pub mod limit;
pub mod pair;
pub mod report;
pub mod resources;
pub mod room;
pub mod scenario;
pub mod steady;
pub mod traffic;

pub use delay::Delay;
pub use generator::Generator;
pub use hostile::{Harm, Hostility};
pub use limit::Limit;
pub use report::{CallReport, Report};
pub use resources::Sample;
pub use scenario::{Kind, Pass, Scenario, ScenarioError};
pub use sidetone_testkit::phone::Transport;
pub use steady::{Steadiness, Steady};
pub use traffic::{Credential, Progress, Quiet, Step, Target};

/// Runs a scenario of any kind.
pub async fn run(
    scenario: &Scenario,
    target: &Target,
    credentials: &[Credential],
    progress: &dyn Progress,
) -> Result<Report, ScenarioError> {
    scenario.check()?;
    scenario.check_credentials(credentials)?;
    Ok(match scenario.kind {
        Kind::Room => room::run(scenario, target, credentials, progress).await,
        Kind::Echo => echo::run(scenario, target, credentials, progress).await,
        Kind::Pair => pair::run(scenario, target, credentials, progress).await,
        Kind::Hostile => hostile::run(scenario, target, credentials, progress).await,
        Kind::Steady => steady::run(scenario, target, credentials, progress).await,
    })
}
