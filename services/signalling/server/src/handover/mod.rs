//! What comes to a replica and is for another one.
//!
//! A leg lives at one replica. What its phone says within the dialog may come to another: by a load balancer in front of UDP, or
//! over a connection that the phone has made anew. It is handed to the replica that holds the leg, and what that has to say goes
//! back the way it came: the flow is lent for as long as it stands (decision 73).
//!
//! Whose leg it is stands in our tag ([`Mark`]), so that nothing need be kept, or asked for, to find the owner.

mod carriers;
mod mark;
mod neighbours;

use bytes::Bytes;
use sidetone_model::ids::ReplicaId;
use sidetone_model::party::Flow;
use sidetone_model::wire::WireError;
use sidetone_proto::signalling::v1 as pb;

pub(crate) use carriers::Carriers;
pub(crate) use mark::Mark;
pub(crate) use neighbours::{Neighbours, keep_neighbours, read_neighbours};

/// Something on its way between two replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Carried {
    /// The flow of the replica that has lent it.
    pub(crate) flow: Flow,
    pub(crate) what: What,
}

/// What is to be done with it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A message that came over the flow, for a leg over there.
    Received(Bytes),
    /// A message to be sent over the flow.
    Send(Bytes),
    /// The flow has closed.
    Gone,
}

impl std::fmt::Debug for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

impl What {
    fn label(&self) -> &'static str {
        match self {
            Self::Received(_) => "Received",
            Self::Send(_) => "Send",
            Self::Gone => "Gone",
        }
    }
}

/// What the agent is told by and of its neighbours.
#[derive(Debug)]
pub(crate) enum FromNeighbour {
    /// One has sent something.
    Carried { from: ReplicaId, carried: Carried },
    /// Something did not reach one in time.
    NotCarried { carried: Carried },
}

/// What neighbours have sent that may wait for the agent; then they wait.
pub(crate) const NEIGHBOUR_INPUTS_MAX: usize = 1024;

impl From<&Carried> for pb::Carried {
    fn from(carried: &Carried) -> Self {
        use pb::carried::What as Wire;
        let what = match &carried.what {
            What::Received(bytes) => Wire::Received(bytes.to_vec()),
            What::Send(bytes) => Wire::Send(bytes.to_vec()),
            What::Gone => Wire::Gone(true),
        };
        Self { flow: Some((&carried.flow).into()), what: Some(what) }
    }
}

impl TryFrom<pb::Carried> for Carried {
    type Error = WireError;
    fn try_from(carried: pb::Carried) -> Result<Self, WireError> {
        use pb::carried::What as Wire;
        let missing = |field| WireError::Missing { field };
        let flow = carried.flow.ok_or_else(|| missing("Carried.flow"))?.try_into()?;
        let what = match carried.what.ok_or_else(|| missing("Carried.what"))? {
            Wire::Received(bytes) => What::Received(bytes.into()),
            Wire::Send(bytes) => What::Send(bytes.into()),
            Wire::Gone(_) => What::Gone,
        };
        Ok(Self { flow, what })
    }
}
