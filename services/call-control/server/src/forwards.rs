//! Where a user's calls go that nobody takes, looked up with the user (decision 87).

use std::time::Duration;

use sidetone_call_core::{Forwards, Later, Routing};
use sidetone_directory::DirectoryError;
use sidetone_model::ids::{TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_proto::directory::v1 as pb;
use sidetone_proto::directory::v1::forward::To;

use crate::routing::Router;

/// How many users send a call on, one to the next.
const FORWARDS_MAX: usize = 3;

/// Whose rules are looked up.
pub(crate) struct Rules<'a> {
    pub(crate) tenant: &'a TenantId,
    /// The tenant's record.
    pub(crate) own: &'a pb::Tenant,
    pub(crate) user: &'a UserId,
    /// Whether a device of the user is; otherwise it can neither be busy nor ring.
    pub(crate) registered: bool,
    /// Who has sent the call on already: it comes back to none of them.
    pub(crate) before: Vec<UserId>,
}

impl Router {
    /// What the user has set up.
    pub(crate) async fn forwards(&self, rules: Rules<'_>) -> Result<Forwards, DirectoryError> {
        let Rules { tenant, user, registered, .. } = rules;
        if rules.before.len() >= FORWARDS_MAX || rules.before.contains(user) {
            return Ok(Forwards::default());
        }
        let Some(record) = self.directory.user(tenant, user).await? else { return Ok(Forwards::default()) };
        let mut forwards =
            Forwards { unregistered: self.way(&rules, record.on_unregistered).await?, ..Forwards::default() };
        if registered {
            forwards.busy = self.way(&rules, record.on_busy).await?;
            forwards.no_answer = self.way(&rules, record.on_no_answer).await?;
            let after = Duration::from_secs(record.no_answer_s.into());
            forwards.no_answer_after = Some(after).filter(|after| !after.is_zero());
        }
        Ok(forwards)
    }

    async fn way(
        &self,
        rules: &Rules<'_>,
        rule: Option<pb::Forward>,
    ) -> Result<Option<Box<Later>>, DirectoryError> {
        let number = match rule.and_then(|rule| rule.to) {
            None => return Ok(None),
            Some(To::Voicemail(_)) => {
                let destination = Some(Destination::Voicemail(rules.user.clone()));
                let routing = Routing { destination, calls_max: rules.own.calls_max, ..Routing::default() };
                return Ok(Some(Box::new(Later { number: "".into(), routing })));
            }
            Some(To::Assistant(_)) => rules.own.assistant.clone(),
            Some(To::Number(number)) => number,
        };
        let mut before = rules.before.clone();
        before.push(rules.user.clone());
        let routing = self.resolve_after(rules.tenant, &number, Some(before.clone())).await?;
        // In a ring the call stays with the last.
        let comes_back = |to: &Destination| matches!(to, Destination::User(user) if before.contains(user));
        let leads = !routing.destination.as_ref().is_none_or(comes_back);
        Ok(leads.then(|| Box::new(Later { number: number.into(), routing })))
    }
}
