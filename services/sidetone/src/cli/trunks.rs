//! `sidetone directory trunks`: carriers, which numbers go over them, and how they are.

use std::collections::HashSet;

use anyhow::Context as _;
use sidetone_proto::directory::v1::{
    DeleteTrunkRequest, ListRequest, MediaEncryption, NumberRule, PutTrunkRequest, StirVerify, Trunk,
    TrunkRoute,
};

use super::change::replace;
use super::client::{ClientArgs, explain};
use super::output::{one, rows};
use super::user_options::EncryptionArg;

/// What to do with trunks.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TrunkAction {
    /// List them.
    List,
    /// How they are: served by which replica, registered, alive, with how many calls.
    Status,
    /// Add or change one; what is not given stays as it is. Its password is read from standard input with --password-stdin.
    #[command(after_help = "\
EXAMPLES
  sidetone directory trunks put acme --uri 'sip:sip.carrier.example;transport=tcp' --register-as 4930123@carrier.example \\
    --password-stdin --route +,10 --outbound 00,2,+ --outbound 0,1,+49 --inbound +4930123,8, --tenant site < secret.txt
  sidetone directory trunks put backup --uri sip:192.0.2.7 --source 192.0.2.0/24 --route +,20 --tenant site")]
    Put(Box<PutTrunk>),
    /// Remove one with its password.
    Delete {
        /// Its name.
        trunk: String,
    },
}

/// One trunk.
#[derive(Debug, clap::Args)]
pub(crate) struct PutTrunk {
    /// Its name.
    trunk: String,
    /// Where the carrier is, like sip:carrier.example or sip:192.0.2.7:5061;transport=tls. A new one needs it.
    #[arg(long)]
    uri: Option<String>,
    /// What is registered there, user@domain.
    #[arg(long)]
    register_as: Option<String>,
    /// The digest user name; the user of --register-as when not given.
    #[arg(long)]
    auth_username: Option<String>,
    /// Read the password from standard input; else the present one stays.
    #[arg(long)]
    password_stdin: bool,
    /// Seconds to register for; 0 for 600.
    #[arg(long)]
    register_expires: Option<u32>,
    /// A network out of which it calls, like 192.0.2.0/24; may be repeated: all of them at once, none for none.
    #[arg(long = "source", value_parser = source)]
    sources: Vec<Listed<String>>,
    /// Numbers that go out over it, as they are after --outbound: PREFIX, or PREFIX,PRIORITY, or PREFIX,PRIORITY,WEIGHT; an empty prefix is every number. May be repeated: all of them at once, none for none.
    #[arg(long = "route", value_parser = route)]
    routes: Vec<Listed<TrunkRoute>>,
    /// What becomes of numbers on their way out: PREFIX,STRIP or PREFIX,STRIP,PREPEND. May be repeated: all of them at once, none for none.
    #[arg(long, value_parser = rule)]
    outbound: Vec<Listed<NumberRule>>,
    /// What becomes of numbers on their way in: PREFIX,STRIP or PREFIX,STRIP,PREPEND. May be repeated: all of them at once, none for none.
    #[arg(long, value_parser = rule)]
    inbound: Vec<Listed<NumberRule>>,
    /// Calls at once; 0 for no limit.
    #[arg(long)]
    calls_max: Option<u32>,
    /// New calls a second; 0 for no limit.
    #[arg(long)]
    calls_per_s: Option<u32>,
    /// Seconds between OPTIONS; 0 for none. Of a new one 30, when not given.
    #[arg(long)]
    options_interval: Option<u32>,
    /// The number shown for every caller; else the caller's own.
    #[arg(long)]
    caller_id: Option<String>,
    /// The key (signalling.stir.keys) with which callers' numbers are signed, as STIR/SHAKEN has it; none when not given.
    #[arg(long)]
    stir_sign: Option<String>,
    /// What becomes of the carrier's signatures of callers' numbers. Of a new one off, when not given.
    #[arg(long, value_enum)]
    stir_verify: Option<Verify>,
    /// Believe what it asserts of callers, and tell it who calls, even when the caller wants to remain anonymous.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    trusted: Option<bool>,
    /// Tell it so by Remote-Party-ID instead of P-Asserted-Identity.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    remote_party_id: Option<bool>,
    /// Take its redirections (3xx) as refusals, wherever they lead.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    redirects_ignored: Option<bool>,
    /// Whether its media is encrypted (SRTP). Of a new one as media.srtp has it for all, when not given.
    #[arg(long, value_enum)]
    media_encryption: Option<EncryptionArg>,
    /// Not used for new calls.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    disabled: Option<bool>,
}

/// What becomes of signatures of callers' numbers.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Verify {
    /// They are not looked at.
    Off,
    /// The call goes on; phones and records are told.
    Mark,
    /// Only calls with a good one are taken.
    Require,
}

impl From<Verify> for StirVerify {
    fn from(verify: Verify) -> Self {
        match verify {
            Verify::Off => Self::Off,
            Verify::Mark => Self::Mark,
            Verify::Require => Self::Require,
        }
    }
}

/// One of a list that is given anew, or the word that it is to be empty.
#[derive(Debug, Clone)]
struct Listed<T>(Option<T>);

const EMPTY: &str = "none";

fn replace_list<T>(old: &mut Vec<T>, given: Vec<Listed<T>>) {
    if !given.is_empty() {
        *old = given.into_iter().filter_map(|listed| listed.0).collect();
    }
}

fn source(text: &str) -> Result<Listed<String>, std::convert::Infallible> {
    Ok(Listed((text != EMPTY).then(|| text.to_owned())))
}

fn route(text: &str) -> anyhow::Result<Listed<TrunkRoute>> {
    if text == EMPTY {
        return Ok(Listed(None));
    }
    let mut parts = text.split(',');
    let prefix = parts.next().unwrap_or_default().to_owned();
    let mut number = || parts.next().map_or(Ok(0), str::parse).context("expected PREFIX[,PRIORITY[,WEIGHT]]");
    Ok(Listed(Some(TrunkRoute { prefix, priority: number()?, weight: number()? })))
}

fn rule(text: &str) -> anyhow::Result<Listed<NumberRule>> {
    if text == EMPTY {
        return Ok(Listed(None));
    }
    let mut parts = text.splitn(3, ',');
    let prefix = parts.next().unwrap_or_default().to_owned();
    let strip = parts.next().unwrap_or("0").parse().context("expected PREFIX,STRIP[,PREPEND]")?;
    let prepend = parts.next().unwrap_or_default().to_owned();
    Ok(Listed(Some(NumberRule { prefix, strip, prepend })))
}

pub(crate) async fn run(action: TrunkAction, client: &ClientArgs) -> anyhow::Result<()> {
    let mut directory = client.directory()?;
    let tenant = client.tenant.clone();
    let of_tenant = ListRequest { tenant: tenant.clone(), user: String::new() };
    match action {
        TrunkAction::List => {
            let found = directory.list_trunks(of_tenant).await.map_err(|status| explain(&status))?;
            let heads = ["trunk", "uri", "register_as", "sources", "routes", "calls_max"];
            rows(client.output, &heads, &found.into_inner().trunks, |t| {
                let routes =
                    t.routes.iter().map(|r| format!("{},{},{}", r.prefix, r.priority, r.weight.max(1)));
                vec![
                    t.trunk.clone(),
                    t.uri.clone(),
                    t.register_as.clone(),
                    t.sources.join(" "),
                    routes.collect::<Vec<_>>().join(" "),
                    t.calls_max.to_string(),
                ]
            })
        }
        TrunkAction::Status => {
            let trunks = directory.list_trunks(of_tenant.clone()).await.map_err(|status| explain(&status))?;
            let registering = trunks.into_inner().trunks.into_iter().filter(|t| !t.register_as.is_empty());
            let registering: HashSet<String> = registering.map(|trunk| trunk.trunk).collect();
            let found = directory.list_trunk_states(of_tenant).await.map_err(|status| explain(&status))?;
            let heads = ["trunk", "replica", "healthy", "registered", "calls", "problem"];
            let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
            rows(client.output, &heads, &found.into_inner().states, |s| {
                vec![
                    s.trunk.clone(),
                    s.replica.clone(),
                    if s.unknown { "unknown".to_owned() } else { yes(s.healthy) },
                    if registering.contains(&s.trunk) { yes(s.registered) } else { "-".to_owned() },
                    s.calls.to_string(),
                    s.problem.clone(),
                ]
            })
        }
        TrunkAction::Put(put) => {
            let password = put.password_stdin.then(super::directory::read_password).transpose()?;
            let found = directory.list_trunks(of_tenant).await.map_err(|status| explain(&status))?;
            let trunk = put.changed(tenant, found.into_inner().trunks)?;
            for warning in unreachable_routes(&trunk) {
                super::output::warn(&warning);
            }
            let request = PutTrunkRequest { trunk: Some(trunk), password };
            let put = directory.put_trunk(request).await.map_err(|status| explain(&status))?;
            one(client.output, &put.into_inner(), |put| format!("trunk {}", put.trunk))
        }
        TrunkAction::Delete { trunk } => {
            let request = DeleteTrunkRequest { tenant, trunk };
            let answer = directory.delete_trunk(request).await.map_err(|status| explain(&status))?;
            one(client.output, &answer.into_inner(), |_| "deleted".to_owned())
        }
    }
}

/// What is said of routes that no number reaches, because an outbound rule has changed all of theirs before: the first rule whose
/// prefix fits is applied, and then routes are compared with what comes of it.
fn unreachable_routes(trunk: &Trunk) -> Vec<String> {
    // Whatever begins with the route's prefix begins with the rule's, too.
    let taken = |route: &&TrunkRoute| {
        trunk.outbound.iter().find(|rule| !rule.prefix.is_empty() && route.prefix.starts_with(&rule.prefix))
    };
    let comes_out = |prefix: &str| {
        trunk.outbound.iter().any(|rule| {
            let made = &rule.prepend;
            // What is left of a number behind the stripped digits may be anything.
            made.starts_with(prefix) || prefix.starts_with(made.as_str()) && rule.strip > 0
        })
    };
    let lost = trunk.routes.iter().filter_map(|route| Some((route, taken(&route)?)));
    lost.filter(|(route, _)| !comes_out(&route.prefix))
        .map(|(route, rule)| {
            format!(
                "no number goes over --route {0}: routes are compared after the outbound rules, and --outbound {1},{2},{3} changes \
                 every number that begins with {0}; the route for them would be --route {3}",
                route.prefix, rule.prefix, rule.strip, rule.prepend
            )
        })
        .collect()
}

impl PutTrunk {
    /// The record that is there with what was given; the revision that it had goes with it.
    fn changed(self, tenant: String, found: Vec<Trunk>) -> anyhow::Result<Trunk> {
        let known = found.into_iter().find(|it| it.trunk == self.trunk);
        anyhow::ensure!(
            known.is_some() || self.uri.is_some(),
            "a new trunk needs --uri: where the carrier is"
        );
        let new =
            || Trunk { options_interval_s: 30, stir_verify: StirVerify::Off.into(), ..Trunk::default() };
        let mut record = known.unwrap_or_else(new);
        (record.tenant, record.trunk) = (tenant, self.trunk);
        replace(&mut record.uri, self.uri);
        replace(&mut record.register_as, self.register_as);
        replace(&mut record.auth_username, self.auth_username);
        replace(&mut record.register_expires_s, self.register_expires);
        replace_list(&mut record.sources, self.sources);
        replace_list(&mut record.routes, self.routes);
        replace_list(&mut record.outbound, self.outbound);
        replace_list(&mut record.inbound, self.inbound);
        replace(&mut record.calls_max, self.calls_max);
        replace(&mut record.calls_per_s, self.calls_per_s);
        replace(&mut record.options_interval_s, self.options_interval);
        replace(&mut record.caller_id, self.caller_id);
        replace(&mut record.stir_sign, self.stir_sign);
        replace(&mut record.stir_verify, self.stir_verify.map(|verify| StirVerify::from(verify).into()));
        replace(&mut record.trusted, self.trusted);
        replace(&mut record.remote_party_id, self.remote_party_id);
        replace(&mut record.redirects_ignored, self.redirects_ignored);
        let encryption = self.media_encryption.map(|arg| MediaEncryption::from(arg).into());
        replace(&mut record.media_encryption, encryption);
        replace(&mut record.disabled, self.disabled);
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        put: PutTrunk,
    }

    fn changed(line: &[&str]) -> anyhow::Result<Trunk> {
        let rule = || NumberRule { prefix: "00".into(), strip: 2, prepend: "+".into() };
        let known = Trunk {
            trunk: "acme".into(),
            uri: "sip:192.0.2.7".into(),
            routes: vec![TrunkRoute { prefix: "+".into(), priority: 1, weight: 1 }],
            outbound: vec![rule()],
            trusted: true,
            revision: 7,
            ..Trunk::default()
        };
        let put = Line::parse_from(["put"].iter().chain(line)).put;
        put.changed("demo".into(), vec![known])
    }

    #[test]
    fn of_a_trunk_what_is_not_given_stays() {
        let trunk = changed(&["acme", "--uri", "sip:192.0.2.8", "--outbound", "none"]).unwrap();
        assert_eq!((trunk.uri.as_str(), trunk.routes.len(), trunk.outbound.len()), ("sip:192.0.2.8", 1, 0));
        assert!(trunk.trusted && trunk.revision == 7);
        let trunk = changed(&["acme", "--trusted=false", "--route", ",5", "--route", "+49"]).unwrap();
        assert!(!trunk.trusted && trunk.routes.len() == 2 && trunk.routes[0].prefix.is_empty());
        assert!(changed(&["other"]).unwrap_err().to_string().contains("--uri"));
        assert_eq!(changed(&["other", "--uri", "sip:192.0.2.9"]).unwrap().options_interval_s, 30);
    }
}
