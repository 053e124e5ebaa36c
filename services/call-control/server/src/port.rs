//! Commands of the process itself: the HTTP door's, which has checked who asks.

use std::time::Duration;

use sidetone_call_core::{CommandError, Routing};
use sidetone_directory::DirectoryError;
use sidetone_model::call::Elsewhere;
use sidetone_model::command::{CallCommand, CallCommandKind};
use sidetone_model::conversation::ConversationCommand;
use sidetone_model::fact::CommandSubject;
use sidetone_model::ids::{LegId, ShardId, TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_runtime::link::{CommandPort, CommandRefused};
use tokio::time::Instant;

use crate::CallControl;
use crate::api::{Refusal, fingerprint};
use crate::deadline;
use crate::owner::Input;

/// A command is carried out within this, or not at all.
const DEADLINE: Duration = Duration::from_secs(5);
/// For commands that connect two calls: phones may have to be told of another media node first.
const DEADLINE_OF_TWO: Duration = Duration::from_secs(12);

fn deadline_of(kind: &CallCommandKind) -> Duration {
    match kind {
        CallCommandKind::Merge { .. }
        | CallCommandKind::TransferAttended { .. }
        | CallCommandKind::Conversation(_) => DEADLINE_OF_TWO,
        _ => DEADLINE,
    }
}

#[async_trait::async_trait]
impl CommandPort for CallControl {
    async fn execute(&self, command: CallCommand) -> Result<CommandSubject, CommandRefused> {
        let body = fingerprint(&command.kind.canonical());
        self.execute_asked(command, body, None).await
    }

    async fn done_before(&self, tenant: &TenantId, key: &str) -> Option<CommandSubject> {
        let shard = usize::from(ShardId::of(tenant, self.shared().shards).0);
        let (tenant, key) = (tenant.clone(), key.to_owned());
        self.look(move |shards| shards[shard].done_before(&tenant, &key)).await.flatten()
    }
}

impl CallControl {
    /// Carries out a command; `body` is a digest of the request that it was, by which a repeated key is told from one that is
    /// used for something else. `waits` is how long whoever asks waits, where that is known.
    pub(crate) async fn execute_asked(
        &self,
        command: CallCommand,
        body: [u8; 32],
        waits: Option<Duration>,
    ) -> Result<CommandSubject, CommandRefused> {
        let name = command.kind.name();
        let outcome = self.carry_out_here(command, body, waits).await;
        let result = outcome.as_ref().map_or_else(|refused| refused.reason, |_| "ok");
        self.shared().telemetry.call_control.commands.with_label_values(&[name, result]).inc();
        outcome
    }

    async fn carry_out_here(
        &self,
        command: CallCommand,
        fingerprint: [u8; 32],
        waits: Option<Duration>,
    ) -> Result<CommandSubject, CommandRefused> {
        let begins_a_call = matches!(
            command.kind,
            CallCommandKind::Place { .. } | CallCommandKind::Enquire { .. } | CallCommandKind::Join { .. }
        );
        if begins_a_call && self.shared().lifecycle.draining().is_cancelled() {
            return Err(CommandRefused::of(&Refusal::Draining));
        }
        self.must_be_playable(&command).await.map_err(|refusal| CommandRefused::of(&refusal))?;
        let (from, to) = self.routings(&command).await?;
        let until = Instant::now() + deadline::within(deadline_of(&command.kind), waits);
        let (reply, answer) = tokio::sync::oneshot::channel();
        let input = Input::Command { command: Box::new(command), fingerprint, from, to, until, reply };
        let sent = tokio::time::timeout_at(until, async {
            self.inputs().send(input).await.map_err(|_| Refusal::Stopping)?;
            answer.await.map_err(|_| Refusal::Stopping)
        });
        let answer = sent.await.map_err(|_| CommandRefused::of(&Refusal::TooLate))?;
        let answer = answer.map_err(|refusal| CommandRefused::of(&refusal))?;
        answer.map_err(|error: CommandError| CommandRefused::of(&error))
    }

    /// Whom the command acts for, and where it leads.
    async fn routings(&self, command: &CallCommand) -> Result<(Routing, Routing), CommandRefused> {
        let tenant = &command.tenant;
        let from = match &command.kind {
            CallCommandKind::Place { from_number, .. } => self.number(tenant, from_number).await?,
            CallCommandKind::PickUp { by, .. }
            | CallCommandKind::PickUpInGroup { by, .. }
            | CallCommandKind::Intrude { by, .. } => {
                self.destination(tenant, Destination::User(by.user.clone())).await?
            }
            CallCommandKind::Enquire { leg, .. }
            | CallCommandKind::SwitchDevice { leg, .. }
            | CallCommandKind::AddDevice { leg, .. } => match self.user_of(tenant, *leg).await? {
                Some(user) => self.destination(tenant, Destination::User(user)).await?,
                None => Routing::default(),
            },
            _ => Routing::default(),
        };
        let to = match &command.kind {
            CallCommandKind::Place { to_number, .. }
            | CallCommandKind::Answer { to_number, .. }
            | CallCommandKind::Enquire { to_number, .. }
            | CallCommandKind::TransferBlind { to_number, .. }
            | CallCommandKind::AddParticipant { to_number, .. }
            | CallCommandKind::Join { to_number, .. } => self.number(tenant, to_number).await?,
            CallCommandKind::PickUpInGroup { number, .. } => self.number(tenant, number).await?,
            CallCommandKind::Conversation(command) => match &**command {
                ConversationCommand::Invite { to, .. } => self.number(tenant, to).await?,
                _ => Routing::default(),
            },
            CallCommandKind::Redirect { leg, to, .. } => self.elsewhere(tenant, *leg, to).await?,
            CallCommandKind::Overflow { leg } => match self.called_by(tenant, *leg).await? {
                Some(user) => self.destination(tenant, Destination::Voicemail(user)).await?,
                None => Routing::default(),
            },
            _ => Routing::default(),
        };
        Ok((from, to))
    }

    async fn elsewhere(
        &self,
        tenant: &TenantId,
        leg: LegId,
        to: &Elsewhere,
    ) -> Result<Routing, CommandRefused> {
        match to {
            Elsewhere::Number(number) => self.number(tenant, number).await,
            Elsewhere::Assistant => self.router().assistant(tenant).await.map_err(|error| refused(&error)),
            Elsewhere::Voicemail => match self.user_of(tenant, leg).await? {
                Some(user) => self.destination(tenant, Destination::Voicemail(user)).await,
                None => Ok(Routing::default()),
            },
        }
    }

    async fn number(&self, tenant: &TenantId, number: &str) -> Result<Routing, CommandRefused> {
        self.router().resolve(tenant, number).await.map_err(|error| refused(&error))
    }

    async fn destination(&self, tenant: &TenantId, to: Destination) -> Result<Routing, CommandRefused> {
        self.router().lead(tenant, Some(to)).await.map_err(|error| refused(&error))
    }

    /// The user at the far end of a leg.
    async fn user_of(&self, tenant: &TenantId, leg: LegId) -> Result<Option<UserId>, CommandRefused> {
        let shard = usize::from(ShardId::of(tenant, self.shared().shards).0);
        let look = self.look(move |shards| shards[shard].fold().leg(leg)?.party.user.clone()).await;
        look.ok_or_else(|| CommandRefused::of(&Refusal::Stopping))
    }

    /// The user whom the call of a leg was for.
    async fn called_by(&self, tenant: &TenantId, leg: LegId) -> Result<Option<UserId>, CommandRefused> {
        let shard = usize::from(ShardId::of(tenant, self.shared().shards).0);
        let look = self.look(move |shards| {
            let fold = shards[shard].fold();
            let call = fold.leg(leg)?.call;
            let others = fold.live_legs(call).filter(|other| other.leg != leg && other.party.user.is_some());
            // Who was asked last is meant, not who passed the call on.
            let meant = others.min_by_key(|other| (other.diverted, other.is_party()));
            meant.and_then(|other| other.party.user.clone())
        });
        look.await.ok_or_else(|| CommandRefused::of(&Refusal::Stopping))
    }
}

fn refused(error: &DirectoryError) -> CommandRefused {
    CommandRefused::of(error)
}
