//! `sidetone directory trunks`: carriers, which numbers go over them, and how they are.

use std::collections::HashSet;

use anyhow::Context as _;
use sidetone_proto::directory::v1::{
    DeleteTrunkRequest, ListRequest, NumberRule, PutTrunkRequest, StirVerify, Trunk, TrunkRoute,
};

use super::client::{ClientArgs, explain};
use super::output::{one, rows};

/// What to do with trunks.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TrunkAction {
    /// List them.
    List,
    /// How they are: served by which replica, registered, alive, with how many calls.
    Status,
    /// Add or change one. Its password is read from standard input with --password-stdin.
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
    /// Where the carrier is, like sip:carrier.example or sip:192.0.2.7:5061;transport=tls.
    #[arg(long)]
    uri: String,
    /// What is registered there, user@domain.
    #[arg(long, default_value = "")]
    register_as: String,
    /// The digest user name; the user of --register-as when not given.
    #[arg(long, default_value = "")]
    auth_username: String,
    /// Read the password from standard input; else the present one stays.
    #[arg(long)]
    password_stdin: bool,
    /// Seconds to register for; 0 for 600.
    #[arg(long, default_value_t = 0)]
    register_expires: u32,
    /// A network out of which it calls, like 192.0.2.0/24; may be repeated.
    #[arg(long = "source")]
    sources: Vec<String>,
    /// Numbers that go out over it, as they are after --outbound: PREFIX, or PREFIX,PRIORITY, or PREFIX,PRIORITY,WEIGHT; an empty prefix is every number. May be repeated.
    #[arg(long = "route", value_parser = route)]
    routes: Vec<TrunkRoute>,
    /// What becomes of numbers on their way out: PREFIX,STRIP or PREFIX,STRIP,PREPEND. May be repeated.
    #[arg(long, value_parser = rule)]
    outbound: Vec<NumberRule>,
    /// What becomes of numbers on their way in: PREFIX,STRIP or PREFIX,STRIP,PREPEND. May be repeated.
    #[arg(long, value_parser = rule)]
    inbound: Vec<NumberRule>,
    /// Calls at once; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    calls_max: u32,
    /// New calls a second; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    calls_per_s: u32,
    /// Seconds between OPTIONS; 0 for none.
    #[arg(long, default_value_t = 30)]
    options_interval: u32,
    /// The number shown for every caller; else the caller's own.
    #[arg(long, default_value = "")]
    caller_id: String,
    /// The key (signalling.stir.keys) with which callers' numbers are signed, as STIR/SHAKEN has it; none when not given.
    #[arg(long, default_value = "")]
    stir_sign: String,
    /// What becomes of the carrier's signatures of callers' numbers.
    #[arg(long, value_enum, default_value_t = Verify::Off)]
    stir_verify: Verify,
    /// Believe what it asserts of callers, and tell it who calls, even when the caller wants to remain anonymous.
    #[arg(long)]
    trusted: bool,
    /// Tell it so by Remote-Party-ID instead of P-Asserted-Identity.
    #[arg(long)]
    remote_party_id: bool,
    /// Take its redirections (3xx) as refusals, wherever they lead.
    #[arg(long)]
    redirects_ignored: bool,
    /// Not used for new calls.
    #[arg(long)]
    disabled: bool,
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

fn route(text: &str) -> anyhow::Result<TrunkRoute> {
    let mut parts = text.split(',');
    let prefix = parts.next().unwrap_or_default().to_owned();
    let mut number = || parts.next().map_or(Ok(0), str::parse).context("expected PREFIX[,PRIORITY[,WEIGHT]]");
    Ok(TrunkRoute { prefix, priority: number()?, weight: number()? })
}

fn rule(text: &str) -> anyhow::Result<NumberRule> {
    let mut parts = text.splitn(3, ',');
    let prefix = parts.next().unwrap_or_default().to_owned();
    let strip = parts.next().unwrap_or("0").parse().context("expected PREFIX,STRIP[,PREPEND]")?;
    Ok(NumberRule { prefix, strip, prepend: parts.next().unwrap_or_default().to_owned() })
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
                    yes(s.healthy),
                    if registering.contains(&s.trunk) { yes(s.registered) } else { "-".to_owned() },
                    s.calls.to_string(),
                    s.problem.clone(),
                ]
            })
        }
        TrunkAction::Put(put) => {
            let password = put.password_stdin.then(super::directory::read_password).transpose()?;
            let trunk = put.record(tenant);
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
    fn record(self, tenant: String) -> Trunk {
        Trunk {
            tenant,
            trunk: self.trunk,
            uri: self.uri,
            register_as: self.register_as,
            auth_username: self.auth_username,
            has_password: false,
            register_expires_s: self.register_expires,
            sources: self.sources,
            routes: self.routes,
            outbound: self.outbound,
            inbound: self.inbound,
            calls_max: self.calls_max,
            calls_per_s: self.calls_per_s,
            options_interval_s: self.options_interval,
            revision: 0,
            caller_id: self.caller_id,
            disabled: self.disabled,
            stir_sign: self.stir_sign,
            stir_verify: StirVerify::from(self.stir_verify).into(),
            trusted: self.trusted,
            remote_party_id: self.remote_party_id,
            redirects_ignored: self.redirects_ignored,
        }
    }
}
