//! Where the numbers of requests lead.

use sidetone_directory::DirectoryError;
use sidetone_model::ids::TenantId;
use sidetone_model::party::Destination;

use crate::Doorway;

/// Where a number leads, and how it is written: to somebody of the tenant or, over one of its trunks, outside; none when it
/// leads nowhere. Call control looks again when it carries out the command.
pub(crate) async fn lead(
    door: &dyn Doorway,
    tenant: &TenantId,
    number: &str,
) -> Result<Option<(Destination, Box<str>)>, DirectoryError> {
    let directory = door.directory();
    if let Some(found) = directory.resolve(tenant, number).await? {
        return Ok(Some((found.destination, found.number)));
    }
    if !is_plain(number) {
        return Ok(None);
    }
    // Which trunk it is may be another one by then; a command that names numbers is carried out by them alone.
    let trunk = directory.trunk_replica(tenant, number).await?;
    Ok(trunk.map(|_| (Destination::Wait, number.into())))
}

/// Whether a text can be the user part of what goes to a carrier, without a second thought.
fn is_plain(number: &str) -> bool {
    number.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+*#.-_".contains(&byte))
}

/// Whether a text is a telephone number, and not the name of somebody.
pub(crate) fn is_telephone_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
