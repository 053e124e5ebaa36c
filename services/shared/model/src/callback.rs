//! Where an application wants to be told of one thing, instead of where it is told of everything.

/// An address that an application gave with a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Callback {
    /// Whose: what is sent is signed with its secret, and owed to it.
    pub application: Box<str>,
    /// http or https, at most [`URL_BYTES_MAX`] bytes. Whether it may be reached is decided when it is.
    pub url: Box<str>,
    /// How.
    pub method: CallbackMethod,
}

/// How an address is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum CallbackMethod {
    /// A body of JSON.
    #[default]
    Post,
    /// The body's fields as a query.
    Get,
}

/// The longest address, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
