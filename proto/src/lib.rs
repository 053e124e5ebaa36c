//! The contracts between Sidetone's services, generated from the `.proto` files beside this crate, which are also
//! their documentation.
//!
//! Without the feature `grpc` only the messages are built; pure crates use it that way. The feature `json` adds the canonical JSON form.
#![allow(missing_docs, unreachable_pub, clippy::all)]

macro_rules! package {
    ($name:ident) => {
        pub mod $name {
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/sidetone.", stringify!($name), ".v1.rs"));
                #[cfg(feature = "json")]
                include!(concat!(env!("OUT_DIR"), "/sidetone.", stringify!($name), ".v1.serde.rs"));
            }
        }
    };
}

package!(callcontrol);
package!(directory);
package!(events);
package!(media);
package!(outbox);
package!(push);
package!(signalling);
package!(store);
package!(types);

impl std::fmt::Debug for types::v1::Crypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crypto").field("tag", &self.tag).field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for types::v1::Ice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ice").field("ufrag", &self.ufrag).field("lite", &self.lite).finish_non_exhaustive()
    }
}

/// The file descriptor set of every contract, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
