//! The `[call_control]` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use sidetone_call_core::Limits;
use sidetone_runtime::config::ConfigError;

/// How call control is set up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Logs into which the tenants are spread, 1 to 1024. Fixed for the life of a store. Default 16.
    pub shards: u16,
    /// How long a called phone may ring, in seconds, 5 to 300. Default 60.
    pub ring_timeout_s: u64,
    /// How long something that is missing or unknown after a restart is waited for, in seconds, 1 to 300. Default 10.
    pub grace_s: u64,
    /// How often media nodes are told which legs are still wanted, in seconds, 1 to 3600. Default 15.
    pub refresh_s: u64,
    /// Steps after which a snapshot is made, at least 100. Default 10000.
    pub snapshot_records: u64,
    /// How long facts are kept for events and CDRs, in days, 1 to 3650. Default 30.
    pub retention_days: u64,
    /// What those hear who are held: the name of a prompt of the media nodes. Empty (default) is silence.
    pub hold_prompt: String,
    /// What those hear whose call was passed on, or begun by an application, while the next phone rings: the name of a prompt, or
    /// `tone:ringback` with a country (`tone:ringback/us`). Empty is silence. Default `tone:ringback`, that of ITU-T E.180.
    pub ringback_prompt: String,
    /// Phones of people who are held show it: they get a re-INVITE with `sendonly`, and one with `sendrecv` afterwards.
    /// Default false: nothing can go wrong with a phone that is not asked.
    pub hold_told: bool,
    /// How far two phones that could speak one codec are brought to do so, which saves transcoding: `off`; `answer`, a caller is
    /// answered with the codec of whom it reaches; `reoffer` (default), and a phone that was answered earlier gets a re-INVITE.
    pub match_codecs: MatchCodecs,
    /// Phones that are called may name others in their place (302 and its kin): the call goes on to the first that is a
    /// number of the tenant, five times at most. Default true.
    pub redirects: bool,
    /// Addresses in somebody else's domain that phones name, in a 302 or a REFER, are dialled as numbers of the tenant
    /// (default false: they are refused).
    pub foreign_as_numbers: bool,
    /// How long a called phone rings while others could be called in its place (contacts with a lower q-value, further
    /// addresses of a 302), in seconds, 5 to 300. Default 20.
    pub hunt_timeout_s: u64,
    /// How long an application may take to decide about a caller who waits (a number that leads to `wait`), in seconds, up to
    /// 3600; then the caller goes to the tenant's assistant, or is told that nobody is there (480). 0 for ever. Default 120:
    /// proxies give up after three minutes (timer C of RFC 3261).
    pub wait_s: u64,
    /// How long a phone that has registered over several flows (RFC 5626) may say nothing over one of them before it is called
    /// over the next, in seconds, 1 to 60. Default 4.
    pub flow_silence_s: u64,
    /// Header fields of an INVITE that the phones which it rings get, too: names, or the beginning of names before a `*`, out of
    /// X-, P-, Subject and Referred-By, for example `X-Account` or `X-*`. Default none; who calls is told without them.
    pub copy_headers: Vec<String>,
    /// Before a user's number: whoever dials both takes the call that rings at that user, if any does. Up to 8 characters out of
    /// `0-9*#`; empty for none. A number of the directory that begins alike comes first. Default `**`.
    pub pick_up_prefix: String,
    /// What a voicemail greets with, likewise. Where there is no such prompt, the message begins at once. Default welcome.
    pub voicemail_greeting: String,
    /// How long a voicemail message may be, in seconds, 5 to 240. Default 180.
    pub message_max_s: u64,
    /// How many messages a voicemail holds, 1 to 1000; into a full one none is left. Default 100.
    pub messages_max: usize,
    /// What is heard before each message by the user who listens: the name of a prompt. Default beep.
    pub mailbox_prompt: String,
    /// What is heard after the last one, and when something is not done. Default tone:congestion.
    pub mailbox_end_prompt: String,
    /// How many live streams one call may have at once, 1 to 1000; one more is refused (`too_many_streams`). Default 16.
    pub call_streams_max: usize,
    /// How many playbacks may run in one call at once, those to single legs included, 1 to 10000; one more is refused
    /// (`too_many_playbacks`). Default 64.
    pub call_playbacks_max: usize,
    /// What asks whoever listens from elsewhere for the PIN. Default tone:dial.
    pub mailbox_pin_prompt: String,
    /// Wrong PINs in a row at one voicemail, over all calls, after which it takes none for `mailbox_lock_s`; 0 to 1000, 0 for no limit.
    /// Default 9.
    pub mailbox_pin_tries: u32,
    /// For how long, in seconds, 1 to 86400. Default 900.
    pub mailbox_lock_s: u64,
    /// What whoever calls it then hears before the call ends: the name of a prompt. Default tone:congestion.
    pub mailbox_locked_prompt: String,
    /// What is heard in the options: 1 record a greeting, 2 that of the installation, 3 another PIN, * back. Default beep.
    pub mailbox_options_prompt: String,
    /// After so many days in which nobody was in a conversation and nothing happened there it is deleted; 0 keeps it. Default 90.
    pub conversation_idle_days: u16,
    /// Registered phones are told how many messages wait for their users (NOTIFY, RFC 3842). Default true.
    pub message_waiting: bool,
    /// How long call control is not ready because it has found no media node, in seconds, 0 to 60. Default 10.
    pub media_wait_s: u64,
    /// Folder for CDRs as JSON lines, one file a day; none (default) writes no files.
    pub cdr_dir: Option<PathBuf>,
}

/// How far codecs are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchCodecs {
    /// Each phone speaks what it chose.
    Off,
    /// Callers that are not answered yet are answered alike.
    Answer,
    /// Phones that were answered earlier are offered it, too.
    Reoffer,
}

impl From<MatchCodecs> for sidetone_call_core::MatchCodecs {
    fn from(how: MatchCodecs) -> Self {
        match how {
            MatchCodecs::Off => Self::Off,
            MatchCodecs::Answer => Self::Answer,
            MatchCodecs::Reoffer => Self::Reoffer,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: 16,
            ring_timeout_s: 60,
            grace_s: 10,
            refresh_s: 15,
            snapshot_records: 10_000,
            retention_days: 30,
            hold_prompt: String::new(),
            ringback_prompt: "tone:ringback".to_owned(),
            hold_told: false,
            match_codecs: MatchCodecs::Reoffer,
            redirects: true,
            foreign_as_numbers: false,
            hunt_timeout_s: 20,
            wait_s: 120,
            flow_silence_s: 4,
            copy_headers: Vec::new(),
            pick_up_prefix: "**".to_owned(),
            voicemail_greeting: "welcome".to_owned(),
            message_max_s: 180,
            messages_max: 100,
            mailbox_prompt: "beep".to_owned(),
            mailbox_end_prompt: "tone:congestion".to_owned(),
            call_streams_max: 16,
            call_playbacks_max: 64,
            mailbox_pin_prompt: "tone:dial".to_owned(),
            mailbox_pin_tries: 9,
            mailbox_lock_s: 900,
            mailbox_locked_prompt: "tone:congestion".to_owned(),
            mailbox_options_prompt: "beep".to_owned(),
            conversation_idle_days: 90,
            message_waiting: true,
            media_wait_s: 10,
            cdr_dir: None,
        }
    }
}

impl Config {
    /// Looks for mistakes that types cannot show.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        let mut range = |key: &str, value: u64, min: u64, max: u64| {
            if !(min..=max).contains(&value) {
                errors.push(ConfigError::new(
                    format!("call_control.{key}"),
                    format!("expected {min} to {max}"),
                ));
            }
        };
        range("shards", self.shards.into(), 1, 1024);
        range("ring_timeout_s", self.ring_timeout_s, 5, 300);
        range("hunt_timeout_s", self.hunt_timeout_s, 5, 300);
        range("wait_s", self.wait_s, 0, 3600);
        range("flow_silence_s", self.flow_silence_s, 1, 60);
        range("grace_s", self.grace_s, 1, 300);
        range("refresh_s", self.refresh_s, 1, 3600);
        range("snapshot_records", self.snapshot_records, 100, u64::MAX);
        range("retention_days", self.retention_days, 1, 3650);
        range("message_max_s", self.message_max_s, 5, 240);
        range("messages_max", self.messages_max as u64, 1, 1000);
        range("call_streams_max", self.call_streams_max as u64, 1, 1000);
        range("call_playbacks_max", self.call_playbacks_max as u64, 1, 10_000);
        range("mailbox_pin_tries", self.mailbox_pin_tries.into(), 0, 1000);
        range("mailbox_lock_s", self.mailbox_lock_s, 1, 86_400);
        range("media_wait_s", self.media_wait_s, 0, 60);
        let dialled = |of: char| of.is_ascii_digit() || of == '*' || of == '#';
        if self.pick_up_prefix.len() > 8 || !self.pick_up_prefix.chars().all(dialled) {
            let problem = "expected up to 8 characters out of 0-9*#";
            errors.push(ConfigError::new("call_control.pick_up_prefix", problem));
        }
        let named = |name: &String| {
            let start = name.get(..2).unwrap_or_default();
            ["X-", "P-"]
                .iter()
                .chain(&["Subject", "Referred-By"])
                .any(|known| known.eq_ignore_ascii_case(start) || known.eq_ignore_ascii_case(name))
        };
        if !self.copy_headers.iter().all(named) {
            let problem = "expected names that begin with X- or P-, Subject or Referred-By";
            errors.push(ConfigError::new("call_control.copy_headers", problem));
        }
    }

    /// The prompts that are named, each with its key.
    pub fn prompts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("hold_prompt", self.hold_prompt.clone()),
            ("ringback_prompt", self.ringback_prompt.clone()),
            ("voicemail_greeting", self.voicemail_greeting.clone()),
            ("mailbox_prompt", self.mailbox_prompt.clone()),
            ("mailbox_end_prompt", self.mailbox_end_prompt.clone()),
            ("mailbox_pin_prompt", self.mailbox_pin_prompt.clone()),
            ("mailbox_locked_prompt", self.mailbox_locked_prompt.clone()),
            ("mailbox_options_prompt", self.mailbox_options_prompt.clone()),
        ]
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            ring_timeout: Duration::from_secs(self.ring_timeout_s),
            grace: Duration::from_secs(self.grace_s),
            hold_prompt: (!self.hold_prompt.is_empty()).then(|| self.hold_prompt.clone().into()),
            ringback_prompt: (!self.ringback_prompt.is_empty()).then(|| self.ringback_prompt.clone().into()),
            hold_told: self.hold_told,
            match_codecs: self.match_codecs.into(),
            redirects: self.redirects,
            foreign_as_numbers: self.foreign_as_numbers,
            hunt_timeout: Duration::from_secs(self.hunt_timeout_s),
            wait_max: Duration::from_secs(self.wait_s),
            flow_silence: Duration::from_secs(self.flow_silence_s),
            copy_headers: self.copy_headers.iter().map(|name| name.as_str().into()).collect(),
            voicemail_greeting: self.voicemail_greeting.clone().into(),
            message_max: Duration::from_secs(self.message_max_s),
            messages_max: self.messages_max,
            mailbox_prompt: self.mailbox_prompt.clone().into(),
            mailbox_end: self.mailbox_end_prompt.clone().into(),
            streams_max: self.call_streams_max,
            playbacks_max: self.call_playbacks_max,
            mailbox_pin_prompt: self.mailbox_pin_prompt.clone().into(),
            mailbox_pin_tries: self.mailbox_pin_tries,
            mailbox_lock: Duration::from_secs(self.mailbox_lock_s),
            mailbox_locked_prompt: self.mailbox_locked_prompt.clone().into(),
            mailbox_options_prompt: self.mailbox_options_prompt.clone().into(),
            conversation_idle: Duration::from_secs(u64::from(self.conversation_idle_days) * 24 * 3600),
            ..Limits::default()
        }
    }
}
