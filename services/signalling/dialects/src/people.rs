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
    /// May take what rings at whomever.
    pub may_pick_up: bool,
    /// May break into the conversations of others.
    pub may_intrude: bool,
}

/// An application or a team, as far as projections need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its id.
    pub id: Box<str>,
    /// Which dialect it speaks.
    pub kind: ApplicationKind,
    /// Its numbers; without any, all calls of the tenant are its own.
    pub numbers: Vec<Box<str>>,
}

/// Which dialect an application speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApplicationKind {
    /// Conversations, users and members.
    Conversation,
    /// A team with its bot.
    Bot,
}

impl Application {
    /// Whether a caller of this number knocks at the application. Who calls does not matter: anybody can say to be anybody.
    pub fn is_knocked_at(&self, dialled: &str) -> bool {
        self.numbers.is_empty() || self.numbers.iter().any(|own| **own == *dialled)
    }

    /// Whether a call between these numbers is one of its own.
    pub fn has(&self, numbers: [&str; 2]) -> bool {
        self.numbers.is_empty() || self.numbers.iter().any(|own| numbers.contains(&&**own))
    }
}

/// Look-ups in what the door has last read of the directory.
pub trait People: Send + Sync {
    /// A user.
    fn person(&self, tenant: &TenantId, user: &UserId) -> Option<Person>;
    /// The user to whom a number leads.
    fn user_of_number(&self, tenant: &TenantId, number: &str) -> Option<UserId>;
    /// Whether one group is theirs whose members take each other's calls.
    fn share_pick_up_group(&self, tenant: &TenantId, one: &UserId, other: &UserId) -> bool {
        let _ = (tenant, one, other);
        false
    }
    /// The tenant's first SIP domain.
    fn domain(&self, tenant: &TenantId) -> Option<Box<str>>;
    /// The applications of a tenant, in the order of their ids.
    fn applications(&self, tenant: &TenantId) -> Vec<Application> {
        let _ = tenant;
        Vec::new()
    }
    /// The URL by which clients reach the door, without a path.
    fn base_url(&self) -> Box<str> {
        "".into()
    }
    /// Whether anybody listens to what this user is told. What nobody listens to need not be worked out.
    fn is_listened_to(&self, tenant: &TenantId, user: &UserId) -> bool {
        let _ = (tenant, user);
        true
    }
}
