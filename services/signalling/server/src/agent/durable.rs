//! Dialogs are stored before the message goes out that makes or changes them: a leg's outputs wait for the store, and go on
//! in their order.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use sidetone_model::ids::{DeviceId, LegId, TenantId, UserId};
use sidetone_model::party::Flow;
use sidetone_sip_core::leg::{Leg, LegOutput, StoredLeg};
use sidetone_sip_core::message::Method;

use super::Agent;
use super::lookup::Finding;
use super::moved::may_be_same;
use crate::dialogs::{Dialogs, Removal, StoredDialog};
use crate::replica::wall_clock;

/// What is known of the legs' records.
pub(super) struct Durable {
    dialogs: Dialogs,
    removal: Removal,
    legs: HashMap<LegId, Record>,
}

#[derive(Default)]
struct Record {
    /// There is a record in the store.
    stored: bool,
    /// One is being written; outputs wait behind it.
    writing: bool,
    waiting: VecDeque<LegOutput>,
    owner: Option<(UserId, DeviceId)>,
    /// The +sip.instance of its phone (RFC 5626, section 4.1); empty where it is not known.
    instance: Box<str>,
    /// When its phone was last looked for.
    searched_at: Option<Instant>,
    /// Over what its device registered while its own connection was there still.
    next: Option<Flow>,
}

impl Durable {
    pub(super) fn new(dialogs: Dialogs) -> Self {
        Self { removal: Removal::start(dialogs.clone()), dialogs, legs: HashMap::new() }
    }

    /// Waits until the records of legs that are over are gone.
    pub(super) async fn finish(self) {
        self.removal.finish().await;
    }

    /// Whether a leg is a device's of ours.
    pub(super) fn is_device(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|record| record.owner.is_some())
    }

    /// Whether a leg's dialog has been stored: it was answered.
    pub(super) fn is_stored(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|record| record.stored)
    }

    /// The device that a leg is, when it is one of ours.
    pub(super) fn device_of(&self, leg: LegId) -> Option<&(UserId, DeviceId)> {
        self.legs.get(&leg)?.owner.as_ref()
    }

    /// Whether a leg's phone may be looked for: not again and again when none of its connections lives.
    pub(super) fn may_search(&mut self, leg: LegId, now: Instant) -> bool {
        let Some(record) = self.legs.get_mut(&leg) else { return false };
        let may = record.searched_at.is_none_or(|at| now.saturating_duration_since(at) >= BETWEEN_SEARCHES);
        if may {
            record.searched_at = Some(now);
        }
        may
    }

    /// The instance of the phone that a leg is; empty where it is not known.
    pub(super) fn instance_of(&self, leg: LegId) -> &str {
        self.legs.get(&leg).map_or("", |record| &record.instance)
    }
}

impl Agent {
    /// Whose device a leg is, and which phone.
    pub(super) fn note_owner(&mut self, id: LegId, user: &UserId, device: &DeviceId) {
        let flow = self.legs.get(id).and_then(|entry| entry.leg.as_ref()).map(Leg::flow);
        let instance = flow.map(|flow| self.instance_over(flow, user, device)).unwrap_or_default();
        let record = self.durable.legs.entry(id).or_default();
        (record.owner, record.instance) = (Some((user.clone(), device.clone())), instance);
    }

    /// Takes up the dialogs of a former life.
    pub(super) fn restore(&mut self, found: Vec<(LegId, StoredDialog)>, now: Instant) {
        let count = found.len();
        for (id, dialog) in found {
            let StoredDialog {
                tenant,
                mut leg,
                last_signal_n,
                user,
                device,
                instance,
                call,
                at_unix_ms,
                trunk,
            } = dialog;
            let answer = leg.as_mut().and_then(StoredLeg::take_answer);
            let restored =
                leg.and_then(|leg| Leg::restore(leg, super::requests::PRODUCT, self.parts.timers, now));
            let (Some(mut leg), Ok(tenant)) = (restored, TenantId::new(&tenant)) else {
                tracing::warn!(leg = %id, "the record of a dialog cannot be understood; the call is lost");
                self.forget_dialog(id);
                continue;
            };
            if let Some(answer) = answer {
                let age = wall_clock().as_millis().saturating_sub(at_unix_ms);
                // Its caller was let in by the former life.
                self.parts.defence.let_in(leg.flow(), now);
                leg.repeat_answer(answer, Duration::from_millis(age), now);
            }
            if let Ok(call) = call.parse() {
                self.parts.ladder.belongs(id, call);
            }
            self.parts.ladder.begin(id, &tenant, &leg.dialog_key(), None);
            if !trunk.is_empty() {
                self.trunking.resume(id, (tenant.clone(), trunk), now);
            }
            self.legs.insert(id, tenant, Some(leg), None);
            self.legs.resume(id, last_signal_n);
            let owner = UserId::new(&user).ok().zip(DeviceId::new(&device).ok());
            let instance = instance.into();
            self.durable.legs.insert(id, Record { stored: true, owner, instance, ..Record::default() });
            self.settle_leg(id, now);
        }
        if count > 0 {
            tracing::info!(legs = self.legs.live(), "dialogs of a former life are taken up");
        }
    }

    /// Whether an output must wait until the dialog is stored; then it is kept here.
    pub(super) fn waits_for_store(&mut self, id: LegId, output: LegOutput) -> Option<LegOutput> {
        let record = self.durable.legs.entry(id).or_default();
        if record.writing {
            record.waiting.push_back(output);
            return None;
        }
        let makes_or_changes = match &output {
            LegOutput::Respond { response, .. } => {
                response.status().is_success()
                    && matches!(response.cseq_method(), Method::Invite | Method::Update)
            }
            // The ACK to a 2xx of ours: with it the dialog stands, or has changed.
            LegOutput::Ack { .. } => true,
            _ => false,
        };
        if !makes_or_changes {
            return Some(output);
        }
        let Some(dialog) = self.dialog_of(id) else { return Some(output) };
        let record = self.durable.legs.entry(id).or_default();
        (record.writing, record.stored) = (true, true);
        record.waiting.push_back(output);
        let (dialogs, findings) = (self.durable.dialogs.clone(), self.findings.clone());
        tokio::spawn(async move {
            let stored = dialogs.put(id, &dialog).await;
            let _agent_gone = findings.send(Finding::DialogStored { leg: id, stored }).await;
        });
        None
    }

    fn dialog_of(&self, id: LegId) -> Option<StoredDialog> {
        let entry = self.legs.get(id)?;
        let owner = self.durable.legs.get(&id).and_then(|record| record.owner.as_ref());
        Some(StoredDialog {
            tenant: entry.tenant.to_string(),
            leg: Some(entry.leg.as_ref()?.export()?),
            last_signal_n: entry.outbox.last_n(),
            user: owner.map(|(user, _)| user.to_string()).unwrap_or_default(),
            device: owner.map(|(_, device)| device.to_string()).unwrap_or_default(),
            call: self.parts.ladder.call_of(id).map(|call| call.to_string()).unwrap_or_default(),
            at_unix_ms: wall_clock().as_millis(),
            trunk: self.trunking.trunk_of(id).map(ToOwned::to_owned).unwrap_or_default(),
            instance: self.durable.instance_of(id).to_owned(),
        })
    }

    /// The store has answered: what waited goes out. A call is not refused because the store is slow; it is only not
    /// durable then, and counted.
    pub(super) fn handle_dialog_stored(&mut self, id: LegId, stored: bool, now: Instant) {
        let result = if stored { "stored" } else { "not_stored" };
        self.parts.telemetry.signalling.dialogs.with_label_values(&[result]).inc();
        let Some(record) = self.durable.legs.get_mut(&id) else { return };
        record.writing = false;
        for output in std::mem::take(&mut record.waiting) {
            self.carry_out(id, output, now);
        }
        self.settle_leg(id, now);
    }

    /// A leg is over: its record goes.
    pub(super) fn forget_dialog(&mut self, id: LegId) {
        self.parts.ladder.ended(id);
        let stored = self.durable.legs.remove(&id).is_none_or(|record| record.stored);
        if stored && !self.durable.removal.remove(id) {
            self.parts.telemetry.signalling.dialogs.with_label_values(&["not_removed"]).inc();
        }
    }

    /// A device has registered over a new connection: calls of its that had another, which is gone, follow it.
    pub(super) fn follow_device(
        &mut self,
        tenant: &TenantId,
        (user, device): (&UserId, &DeviceId),
        instance: &str,
        flow: &Flow,
    ) {
        let owned = self.durable.legs.iter().filter(|(_, record)| {
            let own = record.owner.as_ref().is_some_and(|(u, d)| u == user && d == device);
            own && may_be_same(&record.instance, instance)
        });
        let ids: Vec<LegId> = owned.map(|(id, _)| *id).collect();
        for id in ids {
            let Some(entry) = self.legs.get(id).filter(|entry| entry.tenant == *tenant) else { continue };
            let Some(before) = entry.leg.as_ref().map(Leg::flow).cloned() else { continue };
            self.follow(id, &before, flow);
        }
    }

    /// A caller that waits for an answer has sent its INVITE again over a flow of another replica.
    pub(super) fn answer_repeated(&mut self, id: LegId, flow: &Flow) {
        let leg = self.legs.get(id).and_then(|entry| entry.leg.as_ref()).filter(|leg| leg.awaits_answer());
        if let Some(before) = leg.map(Leg::flow).cloned() {
            self.follow(id, &before, flow);
        }
    }

    /// A leg goes on over another connection: now when its own is gone, else when it closes.
    fn follow(&mut self, id: LegId, before: &Flow, flow: &Flow) {
        let same_kind = before.transport == flow.transport && flow.transport.is_reliable();
        if !same_kind || before == flow {
            return;
        }
        if !self.stands(before) {
            self.move_leg(id, flow);
        } else if let Some(record) = self.durable.legs.get_mut(&id) {
            record.next = Some(flow.clone());
        }
    }

    /// A connection has closed. Whoever has registered over another before that was known goes on over that.
    pub(super) fn follow_from(&mut self, closed: &Flow) {
        let next = |id: LegId| Some((id, self.durable.legs.get(&id)?.next.clone()?));
        let moving: Vec<(LegId, Flow)> =
            self.legs.over(closed).filter_map(next).filter(|(_, next)| self.stands(next)).collect();
        for (id, next) in moving {
            self.move_leg(id, &next);
        }
    }

    fn move_leg(&mut self, id: LegId, flow: &Flow) {
        if let Some(record) = self.durable.legs.get_mut(&id) {
            record.next = None;
        }
        self.legs.move_to(id, flow);
        self.parts.transactions.answer_over(&id, flow);
    }
}

/// Longer than a search takes.
const BETWEEN_SEARCHES: Duration = Duration::from_secs(3);
