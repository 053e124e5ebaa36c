//! `sidetone directory`.

use anyhow::Context as _;
use clap::Subcommand;
use sidetone_directory::{forward_of, forward_text, timed_forward_of};
use sidetone_proto::directory::v1::*;
use sidetone_proto::types::v1::{Destination, destination};
use tonic::Response;

use super::ClientArgs;
use super::client::explain;
use super::output::{one, rows, time};
use super::user_options::{BusyLampArg, MessageWaitingArg, RedirectsArg, redirects_text};

/// Tenants, users, devices, numbers, rooms, registrations and access tokens.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone directory put-tenant acme --domain acme.example
  sidetone directory put-user alice --display-name 'Alice' --tenant acme
  sidetone directory put-user bob --on-busy voicemail --on-no-answer 20:voicemail --on-unregistered 1001 --tenant acme
  sidetone directory put-device alice desk --auth-username alice --password-stdin --tenant acme < secret.txt
  sidetone directory put-number 1001 --user alice --tenant acme
  sidetone directory put-number 9196 --echo --tenant acme
  sidetone directory registrations --tenant acme")]
pub(crate) struct DirectoryArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the tenants.
    Tenants,
    /// Make or change a tenant.
    PutTenant {
        /// Its name.
        name: String,
        /// A SIP domain: the host part of its users' addresses. May be given again.
        #[arg(long)]
        domain: Vec<String>,
        /// Calls at once; 0 for no limit.
        #[arg(long, default_value_t = 0)]
        calls_max: u32,
        /// Contacts registered at once; 0 for no limit.
        #[arg(long, default_value_t = 0)]
        registrations_max: u32,
        /// The number to which calls go that are sent to the assistant; empty for none.
        #[arg(long, default_value = "")]
        assistant: String,
        /// How far phones that are called may send the call on themselves (3xx).
        #[arg(long, value_enum, default_value_t)]
        redirects: RedirectsArg,
    },
    /// Remove a tenant without users, numbers and rooms.
    DeleteTenant {
        /// Its name.
        name: String,
    },
    /// List the users.
    Users,
    /// Make or change a user.
    PutUser {
        /// Its name.
        user: String,
        /// How it is shown.
        #[arg(long, default_value = "")]
        display_name: String,
        /// It may take calls that ring at users with whom it shares no pick-up group.
        #[arg(long)]
        may_pick_up: bool,
        /// It may break into the conversations of others.
        #[arg(long)]
        may_intrude: bool,
        /// Which of its phones are told that voicemail messages wait.
        #[arg(long, value_enum, default_value_t)]
        message_waiting: MessageWaitingArg,
        /// What other users of the tenant may see of its calls: lamps beside the keys of desk phones.
        #[arg(long, value_enum, default_value_t)]
        busy_lamp: BusyLampArg,
        #[command(flatten)]
        forwards: Forwards,
    },
    /// Remove a user without devices and numbers.
    DeleteUser {
        /// Its name.
        user: String,
    },
    /// List the devices.
    Devices {
        /// Only of this user.
        #[arg(long, default_value = "")]
        user: String,
    },
    /// Make or change a device.
    PutDevice {
        /// Its user.
        user: String,
        /// Its name.
        device: String,
        /// The digest user name that the phone gives. Default: the user's name.
        #[arg(long)]
        auth_username: Option<String>,
        /// Read the password from standard input (one line). Without it the present one stays.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove a device.
    DeleteDevice {
        /// Its user.
        user: String,
        /// Its name.
        device: String,
    },
    /// List the numbers.
    Numbers,
    /// Make or change a number.
    PutNumber {
        /// The number.
        number: String,
        #[command(flatten)]
        leads_to: LeadsTo,
        /// Whoever reaches the tenant's domain may call it without credentials.
        #[arg(long)]
        open: bool,
    },
    /// Remove a number.
    DeleteNumber {
        /// The number.
        number: String,
    },
    /// List the rooms.
    Rooms,
    /// Make or change a room.
    PutRoom {
        /// Its name.
        room: String,
        /// Participants at once; 0 for no limit of its own.
        #[arg(long, default_value_t = 0)]
        participants_max: u32,
        /// Record every meeting.
        #[arg(long)]
        record: bool,
    },
    /// Remove a room without numbers.
    DeleteRoom {
        /// Its name.
        room: String,
    },
    /// Where devices are registered now.
    Registrations,
    /// Applications and teams that steer calls through an HTTP dialect.
    #[command(subcommand)]
    Applications(super::applications::ApplicationAction),
    /// Trunks: carriers, and the numbers that go over them.
    #[command(subcommand)]
    Trunks(super::trunks::TrunkAction),
    /// List the access tokens.
    Tokens,
    /// Make an access token; its secret is printed once.
    CreateToken {
        /// What it is for.
        name: String,
    },
    /// Make an access token worthless.
    DeleteToken {
        /// Its id.
        #[arg(id = "token_id", value_name = "TOKEN")]
        token: String,
    },
}

/// Where calls go that the user does not take.
#[derive(Debug, clap::Args)]
struct Forwards {
    /// Where calls go when the user is busy: voicemail, assistant or a number. Without it the caller is told.
    #[arg(long, value_name = "TO", value_parser = forward_of)]
    on_busy: Option<Forward>,
    /// The same when nobody answers; with the seconds that it rings before, as in 20:voicemail.
    #[arg(long, value_name = "SECONDS:TO", value_parser = timed_forward_of)]
    on_no_answer: Option<(Forward, u32)>,
    /// The same when no device is registered or can be reached.
    #[arg(long, value_name = "TO", value_parser = forward_of)]
    on_unregistered: Option<Forward>,
}

/// Where a number leads. One of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct LeadsTo {
    /// To a user's devices.
    #[arg(long)]
    user: Option<String>,
    /// Into a room.
    #[arg(long)]
    room: Option<String>,
    /// One hears oneself.
    #[arg(long)]
    echo: bool,
    /// A prompt is played, then the caller is hung up.
    #[arg(long, value_name = "PROMPT")]
    announcement: Option<String>,
    /// Unanswered until an application answers it.
    #[arg(long)]
    wait: bool,
    /// Into the voicemail of a user.
    #[arg(long, value_name = "USER")]
    voicemail: Option<String>,
    /// A user listens to the own voicemail.
    #[arg(long, value_name = "USER")]
    mailbox: Option<String>,
    /// Whoever calls listens to the own voicemail.
    #[arg(long)]
    own_mailbox: bool,
    /// These users take each other's ringing calls by dialling it.
    #[arg(long, value_name = "USER,USER", value_delimiter = ',')]
    pick_up_group: Option<Vec<String>>,
}

impl LeadsTo {
    fn destination(self) -> Destination {
        use destination::{Announcement, Echo, Kind, OwnMailbox, PickUpGroup, Wait};
        let kind = match self {
            Self { user: Some(user), .. } => Kind::User(user),
            Self { room: Some(room), .. } => Kind::Room(room),
            Self { announcement: Some(prompt), .. } => Kind::Announcement(Announcement { prompt, repeat: 1 }),
            Self { voicemail: Some(user), .. } => Kind::Voicemail(user),
            Self { mailbox: Some(user), .. } => Kind::Mailbox(user),
            Self { own_mailbox: true, .. } => Kind::OwnMailbox(OwnMailbox {}),
            Self { pick_up_group: Some(members), .. } => Kind::PickUpGroup(PickUpGroup { members }),
            Self { echo: true, .. } => Kind::Echo(Echo {}),
            Self { .. } => Kind::Wait(Wait {}),
        };
        Destination { kind: Some(kind) }
    }
}

pub(crate) async fn run(args: DirectoryArgs) -> anyhow::Result<()> {
    use Action as A;
    match args.action {
        A::Applications(action) => super::applications::run(action, &args.client).await,
        A::Trunks(action) => super::trunks::run(action, &args.client).await,
        A::Tenants | A::Users | A::Devices { .. } | A::Numbers | A::Rooms | A::Registrations | A::Tokens => {
            list(args.action, &args.client).await
        }
        A::PutTenant { .. }
        | A::PutUser { .. }
        | A::PutDevice { .. }
        | A::PutNumber { .. }
        | A::PutRoom { .. }
        | A::CreateToken { .. } => put(args.action, &args.client).await,
        A::DeleteTenant { .. }
        | A::DeleteUser { .. }
        | A::DeleteDevice { .. }
        | A::DeleteNumber { .. }
        | A::DeleteRoom { .. }
        | A::DeleteToken { .. } => delete(args.action, &args.client).await,
    }
}

type Answer<T> = Result<Response<T>, tonic::Status>;

fn taken<T>(answer: Answer<T>) -> anyhow::Result<T> {
    answer.map(Response::into_inner).map_err(|status| explain(&status))
}

async fn list(action: Action, client: &ClientArgs) -> anyhow::Result<()> {
    let mut directory = client.directory()?;
    let output = client.output;
    let of = |user: String| ListRequest { tenant: client.tenant.clone(), user };
    match action {
        Action::Tenants => {
            let found = taken(directory.list_tenants(ListTenantsRequest {}).await)?.tenants;
            rows(output, &["tenant", "domains", "calls_max", "redirects"], &found, |t| {
                let redirects = redirects_text(t.redirects()).to_owned();
                vec![t.tenant.clone(), t.domains.join(" "), t.calls_max.to_string(), redirects]
            })
        }
        Action::Users => {
            let found = taken(directory.list_users(of(String::new())).await)?.users;
            let columns = ["user", "display_name", "rights", "on_busy", "on_no_answer", "on_unregistered"];
            rows(output, &columns, &found, |u| {
                let [busy, no_answer, unregistered] = [&u.on_busy, &u.on_no_answer, &u.on_unregistered]
                    .map(|forward| forward_text(forward.as_ref()).to_owned());
                let no_answer = match u.no_answer_s {
                    0 => no_answer,
                    seconds => format!("{seconds}:{no_answer}"),
                };
                vec![u.user.clone(), u.display_name.clone(), rights(u), busy, no_answer, unregistered]
            })
        }
        Action::Devices { user } => {
            let found = taken(directory.list_devices(of(user)).await)?.devices;
            rows(output, &["user", "device", "auth_username", "algorithms"], &found, |d| {
                vec![d.user.clone(), d.device.clone(), d.auth_username.clone(), d.algorithms.join(" ")]
            })
        }
        Action::Numbers => {
            let found = taken(directory.list_numbers(of(String::new())).await)?.numbers;
            rows(output, &["number", "leads_to", "open"], &found, |n| {
                vec![n.number.clone(), leads_to(n.destination.as_ref()), n.open.to_string()]
            })
        }
        Action::Rooms => {
            let found = taken(directory.list_rooms(of(String::new())).await)?.rooms;
            rows(output, &["room", "participants_max", "record"], &found, |r| {
                vec![r.room.clone(), r.participants_max.to_string(), r.record.to_string()]
            })
        }
        Action::Registrations => {
            let found = taken(directory.list_registrations(of(String::new())).await)?.registrations;
            rows(output, &["user", "device", "contact", "replica", "until", "user_agent"], &found, |r| {
                let binding = r.binding.clone().unwrap_or_default();
                let until = time(r.expires_unix_ms);
                vec![
                    binding.user,
                    binding.device,
                    binding.contact_uri,
                    binding.replica,
                    until,
                    r.user_agent.clone(),
                ]
            })
        }
        _ => {
            let found = taken(directory.list_tokens(of(String::new())).await)?.tokens;
            rows(output, &["token_id", "name", "created"], &found, |t| {
                vec![t.token_id.clone(), t.name.clone(), time(t.created_unix_ms)]
            })
        }
    }
}

fn leads_to(destination: Option<&Destination>) -> String {
    use destination::Kind;
    match destination.and_then(|d| d.kind.as_ref()) {
        Some(Kind::User(user)) => format!("user {user}"),
        Some(Kind::Room(room)) => format!("room {room}"),
        Some(Kind::Echo(_)) => "echo".to_owned(),
        Some(Kind::Announcement(announcement)) => format!("announcement {}", announcement.prompt),
        Some(Kind::Wait(_)) => "wait".to_owned(),
        Some(Kind::Voicemail(user)) => format!("voicemail of {user}"),
        Some(Kind::Mailbox(user)) => format!("mailbox of {user}"),
        Some(Kind::Assistant(_)) => "assistant".to_owned(),
        Some(Kind::OwnMailbox(_)) => "own mailbox".to_owned(),
        Some(Kind::PickUpGroup(group)) => format!("pick-up group {}", group.members.join(",")),
        None => "nowhere".to_owned(),
    }
}

async fn put(action: Action, client: &ClientArgs) -> anyhow::Result<()> {
    let mut directory = client.directory()?;
    let output = client.output;
    let tenant = client.tenant.clone();
    match action {
        Action::PutTenant { name, domain, calls_max, registrations_max, assistant, redirects } => {
            let (tenant, domains, revision) = (name, domain, 0);
            let redirects = Redirects::from(redirects).into();
            let record =
                Tenant { tenant, domains, calls_max, assistant, registrations_max, redirects, revision };
            let put = taken(directory.put_tenant(PutTenantRequest { tenant: Some(record) }).await)?;
            one(output, &put, |t| format!("tenant {}", t.tenant))
        }
        Action::PutUser {
            user,
            display_name,
            may_pick_up,
            may_intrude,
            message_waiting,
            busy_lamp,
            forwards,
        } => {
            let Forwards { on_busy, on_no_answer, on_unregistered } = forwards;
            let (on_no_answer, no_answer_s) = on_no_answer.unzip();
            let no_answer_s = no_answer_s.unwrap_or_default();
            let record = User {
                tenant,
                user,
                display_name,
                may_pick_up,
                may_intrude,
                message_waiting: MessageWaiting::from(message_waiting).into(),
                busy_lamp: BusyLamp::from(busy_lamp).into(),
                on_busy,
                on_no_answer,
                no_answer_s,
                on_unregistered,
                revision: 0,
            };
            let put = taken(directory.put_user(PutUserRequest { user: Some(record) }).await)?;
            one(output, &put, |u| format!("user {}", u.user))
        }
        Action::PutDevice { user, device, auth_username, password_stdin } => {
            let password = password_stdin.then(read_password).transpose()?;
            let auth_username = auth_username.unwrap_or_else(|| user.clone());
            let record = Device { tenant, user, device, auth_username, algorithms: Vec::new(), revision: 0 };
            let put = taken(directory.put_device(PutDeviceRequest { device: Some(record), password }).await)?;
            one(output, &put, |d| format!("device {} of {}", d.device, d.user))
        }
        Action::PutNumber { number, leads_to, open } => {
            let destination = Some(leads_to.destination());
            let record = Number { tenant, number, destination, open, revision: 0 };
            let put = taken(directory.put_number(PutNumberRequest { number: Some(record) }).await)?;
            one(output, &put, |n| format!("number {}", n.number))
        }
        Action::PutRoom { room, participants_max, record } => {
            let record = Room { tenant, room, participants_max, record, revision: 0 };
            let put = taken(directory.put_room(PutRoomRequest { room: Some(record) }).await)?;
            one(output, &put, |r| format!("room {}", r.room))
        }
        Action::CreateToken { name } => {
            let made = taken(directory.create_token(CreateTokenRequest { tenant, name }).await)?;
            one(output, &made, |t| t.secret.clone())
        }
        _ => Ok(()),
    }
}

async fn delete(action: Action, client: &ClientArgs) -> anyhow::Result<()> {
    let mut directory = client.directory()?;
    let tenant = client.tenant.clone();
    let answer = match action {
        Action::DeleteTenant { name } => directory.delete_tenant(DeleteTenantRequest { tenant: name }).await,
        Action::DeleteUser { user } => directory.delete_user(DeleteUserRequest { tenant, user }).await,
        Action::DeleteDevice { user, device } => {
            directory.delete_device(DeleteDeviceRequest { tenant, user, device }).await
        }
        Action::DeleteNumber { number } => {
            directory.delete_number(DeleteNumberRequest { tenant, number }).await
        }
        Action::DeleteRoom { room } => directory.delete_room(DeleteRoomRequest { tenant, room }).await,
        Action::DeleteToken { token } => {
            directory.delete_token(DeleteTokenRequest { tenant, token_id: token }).await
        }
        _ => return Ok(()),
    };
    one(client.output, &taken(answer)?, |_| "deleted".to_owned())
}

pub(crate) fn read_password() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read the password from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!password.is_empty(), "the password on standard input is empty");
    Ok(password.to_owned())
}

/// What a user may do beyond the own calls.
fn rights(user: &User) -> String {
    let rights = [(user.may_pick_up, "pick-up"), (user.may_intrude, "intrude")];
    rights.iter().filter(|(may, _)| *may).map(|(_, right)| *right).collect::<Vec<_>>().join(" ")
}
