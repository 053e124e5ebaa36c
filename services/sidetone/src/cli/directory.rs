//! `sidetone directory`.

use anyhow::Context as _;
use clap::Subcommand;
use sidetone_directory::forward_text;
use sidetone_proto::directory::v1::*;
use sidetone_proto::types::v1::{Destination, destination};
use tonic::Response;

use super::ClientArgs;
use super::change::{TenantChange, UserChange, replace};
use super::client::explain;
use super::output::{one, rows, time};
use super::user_options::{EncryptionArg, encryption_text, redirects_text};

/// Tenants, users, devices, numbers, rooms, registrations and access tokens.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone directory put-tenant acme --domain acme.example
  sidetone directory put-user alice --display-name 'Alice' --tenant acme
  sidetone directory put-user bob --on-busy voicemail --on-no-answer 20:voicemail --on-unregistered 1001 --tenant acme
  sidetone directory put-device alice desk --auth-username alice --password-stdin --tenant acme < secret.txt
  sidetone directory put-device alice mobile --wake 20 --tenant acme   calls wait 20 s for it to register
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
    /// Make or change a tenant. What is not given stays as it is.
    PutTenant {
        /// Its name.
        name: String,
        #[command(flatten)]
        change: TenantChange,
    },
    /// Remove a tenant without users, numbers and rooms.
    DeleteTenant {
        /// Its name.
        name: String,
    },
    /// List the users.
    Users,
    /// Make or change a user. What is not given stays as it is.
    PutUser {
        /// Its name.
        user: String,
        #[command(flatten)]
        change: Box<UserChange>,
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
    /// Make or change a device. What is not given stays as it is.
    PutDevice {
        /// Its user.
        user: String,
        /// Its name.
        device: String,
        /// The digest user name that the phone gives. Of a new device the user's name, when not given.
        #[arg(long)]
        auth_username: Option<String>,
        /// Read the password from standard input (one line). Without it the present one stays.
        #[arg(long)]
        password_stdin: bool,
        /// Whether its media is encrypted (SRTP). Of a new device as media.srtp has it for all, when not given.
        #[arg(long, value_enum)]
        media_encryption: Option<EncryptionArg>,
        /// A call while it is not registered waits so many seconds for it to register, and rings it then: its application is woken by
        /// other means, such as a webhook. 0 to 60; 0 is never.
        #[arg(long, value_name = "SECONDS")]
        wake: Option<u32>,
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
    /// Make or change a number: where it leads is given each time.
    PutNumber {
        /// The number.
        number: String,
        #[command(flatten)]
        leads_to: LeadsTo,
        /// Whoever reaches the tenant's domain may call it without credentials.
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
        open: Option<bool>,
    },
    /// Remove a number.
    DeleteNumber {
        /// The number.
        number: String,
    },
    /// List the rooms.
    Rooms,
    /// Make or change a room. What is not given stays as it is.
    PutRoom {
        /// Its name.
        room: String,
        /// Participants at once; 0 for no limit of its own.
        #[arg(long)]
        participants_max: Option<u32>,
        /// Record every meeting.
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
        record: Option<bool>,
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
            let columns = ["user", "device", "auth_username", "algorithms", "media_encryption", "wake_s"];
            rows(output, &columns, &found, |d| {
                let encryption = encryption_text(d.media_encryption()).to_owned();
                let [user, device, name] = [&d.user, &d.device, &d.auth_username].map(Clone::clone);
                vec![user, device, name, d.algorithms.join(" "), encryption, d.wake_s.to_string()]
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

/// Puts what was there with the changes; the revision that it had goes with it, so that nobody else's change is undone.
async fn put(action: Action, client: &ClientArgs) -> anyhow::Result<()> {
    let mut directory = client.directory()?;
    let output = client.output;
    let tenant = client.tenant.clone();
    let of_tenant = ListRequest { tenant: tenant.clone(), user: String::new() };
    match action {
        Action::PutTenant { name, change } => {
            let found = taken(directory.list_tenants(ListTenantsRequest {}).await)?.tenants;
            let mut record = found.into_iter().find(|it| it.tenant == name).unwrap_or_default();
            record.tenant = name;
            change.apply(&mut record);
            let put = taken(directory.put_tenant(PutTenantRequest { tenant: Some(record) }).await)?;
            one(output, &put, |t| format!("tenant {}", t.tenant))
        }
        Action::PutUser { user, change } => {
            let found = taken(directory.list_users(of_tenant).await)?.users;
            let mut record = found.into_iter().find(|it| it.user == user).unwrap_or_default();
            (record.tenant, record.user) = (tenant, user);
            change.apply(&mut record);
            let put = taken(directory.put_user(PutUserRequest { user: Some(record) }).await)?;
            one(output, &put, |u| format!("user {}", u.user))
        }
        Action::PutDevice { user, device, auth_username, password_stdin, media_encryption, wake } => {
            let password = password_stdin.then(read_password).transpose()?;
            let found = taken(directory.list_devices(of_tenant).await)?.devices;
            let is_it = |it: &Device| it.user == user && it.device == device;
            let made = || Device { auth_username: user.clone(), ..Device::default() };
            let mut record = found.into_iter().find(is_it).unwrap_or_else(made);
            (record.tenant, record.user, record.device) = (tenant, user, device);
            record.auth_username = auth_username.unwrap_or(record.auth_username);
            replace(
                &mut record.media_encryption,
                media_encryption.map(|arg| MediaEncryption::from(arg).into()),
            );
            record.wake_s = wake.unwrap_or(record.wake_s);
            let put = taken(directory.put_device(PutDeviceRequest { device: Some(record), password }).await)?;
            one(output, &put, |d| format!("device {} of {}", d.device, d.user))
        }
        Action::PutNumber { number, leads_to, open } => {
            let found = taken(directory.list_numbers(of_tenant).await)?.numbers;
            let mut record = found.into_iter().find(|it| it.number == number).unwrap_or_default();
            (record.tenant, record.number) = (tenant, number);
            record.destination = Some(leads_to.destination());
            record.open = open.unwrap_or(record.open);
            let put = taken(directory.put_number(PutNumberRequest { number: Some(record) }).await)?;
            one(output, &put, |n| format!("number {}", n.number))
        }
        Action::PutRoom { room, participants_max, record: recorded } => {
            let found = taken(directory.list_rooms(of_tenant).await)?.rooms;
            let mut record = found.into_iter().find(|it| it.room == room).unwrap_or_default();
            (record.tenant, record.room) = (tenant, room);
            record.participants_max = participants_max.unwrap_or(record.participants_max);
            record.record = recorded.unwrap_or(record.record);
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
