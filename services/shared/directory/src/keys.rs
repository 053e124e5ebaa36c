//! Where each record is kept.
//!
//! | key | value |
//! |---|---|
//! | `directory/tenants/<tenant>` | `directory.v1.Tenant` |
//! | `directory/domains/<host>` | the name of the tenant that has it: unique in the installation |
//! | `directory/users/<tenant>/<user>` | `directory.v1.User` |
//! | `directory/devices/<tenant>/<user>/<device>` | `directory.v1.Device` |
//! | `directory/credentials/<tenant>/<auth user name>` | hashes, user and device: unique in the tenant |
//! | `directory/mailbox-pins/<tenant>/<user>` | what is left of the PIN of a voicemail |
//! | `mailbox-greetings/<tenant>/<user>` | what a voicemail greets with, a sound |
//! | `directory/numbers/<tenant>/<number>` | `directory.v1.Number` |
//! | `directory/rooms/<tenant>/<room>` | `directory.v1.Room` |
//! | `directory/applications/<application>` | `directory.v1.Application`: unique in the installation |
//! | `directory/secrets/<application>` | the secret of an application |
//! | `directory/trunks/<tenant>/<trunk>` | `directory.v1.Trunk` |
//! | `directory/trunk-secrets/<tenant>/<trunk>` | the password of a trunk |
//! | `trunk-states/<tenant>/<trunk>` | `directory.v1.TrunkState` of the replica that serves it, expires |
//! | `directory/tokens/<SHA-256 of the secret>` | `directory.v1.Token` |
//! | `registrations/<tenant>/<user>/<device>[=<hash of the instance>]` | `directory.v1.Registration`, expires |
//!
//! Texts that people choose freely (numbers, digest user names, hosts) are escaped: a byte that is not a letter, digit
//! or one of `. _ + -` becomes `=` and two hexadecimal digits.

use std::fmt::Write as _;

use sidetone_model::ids::{DeviceId, RoomId, TenantId, UserId};

use crate::secret::sha256_hex;

/// Everything that is cached.
pub(crate) const DIRECTORY: &str = "directory/";
pub(crate) const TENANTS: &str = "directory/tenants/";
pub(crate) const DOMAINS: &str = "directory/domains/";
pub(crate) const APPLICATIONS: &str = "directory/applications/";
pub(crate) const TOKENS: &str = "directory/tokens/";
pub(crate) const DEVICES: &str = "directory/devices/";
pub(crate) const REGISTRATIONS: &str = "registrations/";

pub(crate) fn tenant(tenant: &TenantId) -> String {
    format!("{TENANTS}{tenant}")
}

pub(crate) fn domain(host: &str) -> String {
    format!("{DOMAINS}{}", escape(host))
}

pub(crate) fn users(tenant: &TenantId) -> String {
    format!("directory/users/{tenant}/")
}

pub(crate) fn user(tenant: &TenantId, user: &UserId) -> String {
    format!("directory/users/{tenant}/{user}")
}

pub(crate) fn devices(tenant: &TenantId, user: Option<&UserId>) -> String {
    match user {
        Some(user) => format!("{DEVICES}{tenant}/{user}/"),
        None => format!("{DEVICES}{tenant}/"),
    }
}

pub(crate) fn device(tenant: &TenantId, user: &UserId, device: &DeviceId) -> String {
    format!("{DEVICES}{tenant}/{user}/{device}")
}

pub(crate) fn credential(tenant: &TenantId, auth_username: &str) -> String {
    format!("directory/credentials/{tenant}/{}", escape(auth_username))
}

pub(crate) fn mailbox_pin(tenant: &TenantId, user: &UserId) -> String {
    format!("directory/mailbox-pins/{tenant}/{user}")
}

/// Sounds are large, and so they are not among what is cached.
pub(crate) fn mailbox_greeting(tenant: &TenantId, user: &UserId) -> String {
    format!("mailbox-greetings/{tenant}/{user}")
}

pub(crate) fn numbers(tenant: &TenantId) -> String {
    format!("directory/numbers/{tenant}/")
}

pub(crate) fn number(tenant: &TenantId, number: &str) -> String {
    format!("directory/numbers/{tenant}/{}", escape(number))
}

pub(crate) fn rooms(tenant: &TenantId) -> String {
    format!("directory/rooms/{tenant}/")
}

pub(crate) fn room(tenant: &TenantId, room: &RoomId) -> String {
    format!("directory/rooms/{tenant}/{room}")
}

pub(crate) fn application(application: &str) -> String {
    format!("{APPLICATIONS}{application}")
}

pub(crate) fn trunks(tenant: Option<&TenantId>) -> String {
    tenant.map_or_else(|| "directory/trunks/".to_owned(), |tenant| format!("directory/trunks/{tenant}/"))
}

pub(crate) fn trunk(tenant: &TenantId, trunk: &str) -> String {
    format!("directory/trunks/{tenant}/{trunk}")
}

pub(crate) fn trunk_secret(tenant: &TenantId, trunk: &str) -> String {
    format!("directory/trunk-secrets/{tenant}/{trunk}")
}

pub(crate) fn trunk_states(tenant: &TenantId) -> String {
    format!("trunk-states/{tenant}/")
}

pub(crate) fn trunk_state(tenant: &TenantId, trunk: &str) -> String {
    format!("trunk-states/{tenant}/{trunk}")
}

pub(crate) fn secret(application: &str) -> String {
    format!("directory/secrets/{application}")
}

pub(crate) fn token(secret: &str) -> String {
    format!("{TOKENS}{}", sha256_hex(secret.as_bytes()))
}

pub(crate) fn registrations(tenant: &TenantId, user: Option<&UserId>) -> String {
    match user {
        Some(user) => format!("{REGISTRATIONS}{tenant}/{user}/"),
        None => format!("{REGISTRATIONS}{tenant}/"),
    }
}

/// `reg_id` tells the flows of one instance apart (RFC 5626, section 4.2); 0 for none. Contacts without an instance are told apart by
/// their URI.
pub(crate) fn registration(
    tenant: &TenantId,
    user: &UserId,
    device: &DeviceId,
    (instance, reg_id): (&str, u32),
    contact_uri: &str,
) -> String {
    let mut key = registration_of_device(tenant, user, device);
    if instance.is_empty() {
        // Before the hexadecimal digits of the others.
        let _ = write!(key, "=-{}", &sha256_hex(contact_uri.as_bytes())[..32]);
    } else {
        let _ = write!(key, "={}", &sha256_hex(instance.as_bytes())[..32]);
        if reg_id > 0 {
            let _ = write!(key, ".{reg_id}");
        }
    }
    key
}

/// Where the one contact without an instance stood that a device had in former releases.
pub(crate) fn registration_of_device(tenant: &TenantId, user: &UserId, device: &DeviceId) -> String {
    format!("{REGISTRATIONS}{tenant}/{user}/{device}")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._+-".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "={byte:02x}");
        }
    }
    escaped
}
