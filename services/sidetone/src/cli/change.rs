//! What `sidetone directory put-tenant` and `put-user` change of a record; what is not given stays.

use sidetone_directory::{forward_of, timed_forward_of};
use sidetone_proto::directory::v1::{BusyLamp, Forward, MessageWaiting, Redirects, Tenant, User};

use super::user_options::{BusyLampArg, MessageWaitingArg, RedirectsArg};

/// What is to be different of a tenant.
#[derive(Debug, clap::Args)]
pub(crate) struct TenantChange {
    /// A SIP domain: the host part of its users' addresses. May be given again; all of them at once, '' for none.
    #[arg(long)]
    domain: Vec<String>,
    /// Calls at once; 0 for no limit.
    #[arg(long)]
    calls_max: Option<u32>,
    /// Contacts registered at once; 0 for no limit.
    #[arg(long)]
    registrations_max: Option<u32>,
    /// The number to which calls go that are sent to the assistant; '' for none.
    #[arg(long)]
    assistant: Option<String>,
    /// How far phones that are called may send the call on themselves (3xx). Of a new tenant everywhere, when not given.
    #[arg(long, value_enum)]
    redirects: Option<RedirectsArg>,
    /// Show users by the names that their phones send, and not by their display names.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    names_by_phones: Option<bool>,
}

/// What is to be different of a user.
#[derive(Debug, clap::Args)]
pub(crate) struct UserChange {
    /// How it is shown.
    #[arg(long)]
    display_name: Option<String>,
    /// It may take calls that ring at users with whom it shares no pick-up group.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    may_pick_up: Option<bool>,
    /// It may break into the conversations of others.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    may_intrude: Option<bool>,
    /// Which of its phones are told that voicemail messages wait. Of a new user always, when not given.
    #[arg(long, value_enum)]
    message_waiting: Option<MessageWaitingArg>,
    /// What other users of the tenant may see of its calls: lamps beside the keys of desk phones. Of a new user calls, when not given.
    #[arg(long, value_enum)]
    busy_lamp: Option<BusyLampArg>,
    /// Where calls go when the user is busy: voicemail, assistant or a number; none to tell the caller.
    #[arg(long, value_name = "TO", value_parser = rule)]
    on_busy: Option<Rule>,
    /// The same when nobody answers; with the seconds that it rings before, as in 20:voicemail.
    #[arg(long, value_name = "SECONDS:TO", value_parser = timed_rule)]
    on_no_answer: Option<Rule>,
    /// The same when no device is registered or can be reached.
    #[arg(long, value_name = "TO", value_parser = rule)]
    on_unregistered: Option<Rule>,
}

/// Where calls are to go, and after how many seconds; nowhere where a rule is taken away.
#[derive(Debug, Clone)]
struct Rule(Option<Forward>, u32);

fn rule(text: &str) -> Result<Rule, &'static str> {
    if text == NO_RULE { Ok(Rule(None, 0)) } else { forward_of(text).map(|to| Rule(Some(to), 0)) }
}

fn timed_rule(text: &str) -> Result<Rule, &'static str> {
    if text == NO_RULE {
        return Ok(Rule(None, 0));
    }
    timed_forward_of(text).map(|(to, seconds)| Rule(Some(to), seconds))
}

const NO_RULE: &str = "none";

impl TenantChange {
    pub(crate) fn apply(self, record: &mut Tenant) {
        replace_all(&mut record.domains, self.domain);
        replace(&mut record.calls_max, self.calls_max);
        replace(&mut record.registrations_max, self.registrations_max);
        replace(&mut record.assistant, self.assistant);
        replace(&mut record.names_by_phones, self.names_by_phones);
        replace(&mut record.redirects, self.redirects.map(|arg| Redirects::from(arg).into()));
    }
}

impl UserChange {
    pub(crate) fn apply(self, record: &mut User) {
        replace(&mut record.display_name, self.display_name);
        replace(&mut record.may_pick_up, self.may_pick_up);
        replace(&mut record.may_intrude, self.may_intrude);
        replace(
            &mut record.message_waiting,
            self.message_waiting.map(|arg| MessageWaiting::from(arg).into()),
        );
        replace(&mut record.busy_lamp, self.busy_lamp.map(|arg| BusyLamp::from(arg).into()));
        replace(&mut record.on_busy, self.on_busy.map(|rule| rule.0));
        if let Some(Rule(to, seconds)) = self.on_no_answer {
            (record.on_no_answer, record.no_answer_s) = (to, seconds);
        }
        replace(&mut record.on_unregistered, self.on_unregistered.map(|rule| rule.0));
    }
}

/// Takes what was given.
pub(crate) fn replace<T>(old: &mut T, given: Option<T>) {
    if let Some(new) = given {
        *old = new;
    }
}

/// Takes all that was given, if anything was; nothing but an empty text takes away what was there.
pub(crate) fn replace_all(old: &mut Vec<String>, given: Vec<String>) {
    if !given.is_empty() {
        *old = given;
        old.retain(|text| !text.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        user: UserChange,
        #[command(flatten)]
        tenant: TenantChange,
    }

    fn changed(line: &str) -> (Tenant, User) {
        let line =
            Line::parse_from(std::iter::once("put").chain(line.split(' ').filter(|word| !word.is_empty())));
        let forward = || forward_of("voicemail").ok();
        let mut tenant = Tenant { domains: vec!["a.example".into()], calls_max: 5, ..Tenant::default() };
        let mut user = User {
            display_name: "Ada".into(),
            may_intrude: true,
            on_busy: forward(),
            on_no_answer: forward(),
            no_answer_s: 20,
            ..User::default()
        };
        line.tenant.apply(&mut tenant);
        line.user.apply(&mut user);
        (tenant, user)
    }

    #[test]
    fn what_is_not_given_stays() {
        let (tenant, user) = changed("--calls-max 10 --on-busy 1002");
        assert_eq!((tenant.domains, tenant.calls_max), (vec!["a.example".to_owned()], 10));
        assert_eq!((user.display_name.as_str(), user.may_intrude, user.no_answer_s), ("Ada", true, 20));
        assert_eq!(user.on_busy, forward_of("1002").ok());
        assert_eq!(user.on_no_answer, forward_of("voicemail").ok());
    }

    #[test]
    fn what_was_there_can_be_taken_away() {
        let (tenant, user) = changed("--domain= --may-intrude=false --on-no-answer none --display-name=");
        assert!(tenant.domains.is_empty() && user.display_name.is_empty() && !user.may_intrude);
        assert_eq!((user.on_no_answer, user.no_answer_s), (None, 0));
        assert!(changed("--may-pick-up").1.may_pick_up);
    }
}
