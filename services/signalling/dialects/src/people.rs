//! What the directory says about people, as a projection may ask it: at once and without waiting.

use sidetone_model::ids::{DeviceId, TenantId, UserId};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// The display name; empty when there is none.
    pub display_name: Box<str>,
    /// The numbers that lead to the user, in the order of the directory.
    pub numbers: Vec<Box<str>>,
    /// The user's devices, in the order of the directory.
    pub devices: Vec<DeviceId>,
}

/// Look-ups in what the door has last read of the directory.
pub trait People: Send + Sync {
    /// A user.
    fn person(&self, tenant: &TenantId, user: &UserId) -> Option<Person>;
    /// The user to whom a number leads.
    fn user_of_number(&self, tenant: &TenantId, number: &str) -> Option<UserId>;
    /// The tenant's first SIP domain.
    fn domain(&self, tenant: &TenantId) -> Option<Box<str>>;
}
