//! Who speaks, told as it happens: a sample that is not in the log, is owed to nobody, and is not repeated.

use std::collections::BTreeMap;
use std::sync::Arc;

use sidetone_dialects::{Dialect, Recipient};
use sidetone_model::fold::LegView;
use sidetone_model::ids::LegId;
use sidetone_model::time::Timestamp;
use sidetone_runtime::link::Speaker;
use sidetone_telemetry::Telemetry;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::follower::Shard;
use crate::outlet::{Mention, Outlet};

/// Makes of who speaks what applications are told.
pub(crate) struct Speaking {
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) dialects: Arc<[Arc<dyn Dialect>]>,
    pub(crate) outlet: Arc<dyn Outlet>,
    pub(crate) telemetry: Arc<Telemetry>,
    /// Who was last said to speak in each mix.
    pub(crate) last: BTreeMap<Box<str>, LegId>,
}

impl Speaking {
    /// Listens until the process stops.
    pub(crate) async fn run(mut self, mut speakers: Receiver<Speaker>, stopping: CancellationToken) {
        while let Some(heard) = stopping.run_until_cancelled(speakers.recv()).await {
            match heard {
                Ok(speaker) => self.take(speaker),
                Err(RecvError::Lagged(lost)) => self.telemetry.http.speakers_lost.inc_by(lost),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn take(&mut self, speaker: Speaker) {
        let before = match speaker.leg {
            Some(leg) => self.last.insert(speaker.mix, leg),
            None => self.last.remove(&speaker.mix),
        };
        if before == speaker.leg {
            return;
        }
        let changes = [(before, false), (speaker.leg, true)];
        for (leg, speaks) in changes.into_iter().filter_map(|(leg, speaks)| Some((leg?, speaks))) {
            self.tell(leg, speaks, speaker.at);
        }
        if self.last.len() > MIXES_MAX {
            self.forget_ended();
        }
    }

    fn tell(&self, leg: LegId, speaks: bool, at: Timestamp) {
        for shard in &self.shards {
            let fold = shard.fold();
            // Of who has gone it is told that it has.
            let Some(view) = fold.leg(leg).filter(|view| view.is_live()) else { continue };
            for dialect in self.dialects.iter() {
                let Some(emission) = dialect.speaking(&fold, leg, speaks, at) else { continue };
                let Recipient::Application(application) = emission.recipient else { continue };
                self.telemetry.http.emitted.with_label_values(&[dialect.name()]).inc();
                let tenant = view.tenant.clone();
                self.outlet.mention(Mention { tenant, application, at, body: emission.body });
            }
            return;
        }
    }

    /// Mixes end without a word of who spoke last.
    fn forget_ended(&mut self) {
        let folds: Vec<_> = self.shards.iter().map(|shard| shard.fold()).collect();
        let is_live = |leg: LegId| folds.iter().any(|fold| fold.leg(leg).is_some_and(LegView::is_live));
        self.last.retain(|_, leg| is_live(*leg));
        if self.last.len() > MIXES_MAX {
            self.last.clear();
        }
    }
}

/// Mixes in which somebody speaks, before those that have ended are looked for.
const MIXES_MAX: usize = 4096;
