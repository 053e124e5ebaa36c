//! The INVITE once more, with credentials (RFC 3261, section 22.2): the same dialog, the next CSeq number.

use super::state::State;
use super::{CommandError, Leg, LegOutput};
use crate::message::Request;

impl Leg {
    /// Sends the INVITE of an outgoing leg again with one header field more, which answers a challenge. The response with
    /// the challenge must not be handed to the leg.
    ///
    /// # Errors
    /// When the leg does not wait for an answer to its INVITE; nothing is sent then.
    pub fn send_invite_again(&mut self, header: &'static str, value: &str) -> Result<(), CommandError> {
        self.send_invite_anew(&[(header, value.to_owned())])
    }

    /// Changes the INVITE that opens an outgoing leg before it has been taken out of [`Leg::poll_output`]. What comes of it must
    /// be the same request but for header fields that no later message repeats. Nothing is changed when there is no such
    /// INVITE or `amend` has none.
    pub fn amend_invite(&mut self, amend: impl FnOnce(&Request) -> Option<Request>) {
        let Some(sent) = self.opened_by.as_mut() else { return };
        let waiting = self.outputs.iter_mut().find_map(|output| match output {
            LegOutput::Request { request, .. } if request.is_initial_invite() => Some(request),
            _ => None,
        });
        if let Some(waiting) = waiting
            && let Some(amended) = amend(waiting)
        {
            sent.request = amended.clone();
            *waiting = amended;
        }
    }

    /// The same with several fields.
    pub(super) fn send_invite_anew(&mut self, fields: &[(&str, String)]) -> Result<(), CommandError> {
        // ## (Calling | Proceeding) => Calling
        if !matches!(self.state, State::Calling | State::Proceeding) {
            return Err(CommandError::WrongState);
        }
        let via = self.dialog.next_via();
        let cseq = self.dialog.local_cseq + 1;
        let sent = self.opened_by.as_mut().ok_or(CommandError::WrongState)?;
        let mut request = sent.request.clone();
        for (header, value) in fields {
            request = request.again(&via, cseq, header, value).ok_or(CommandError::Unwritable)?;
        }
        sent.request = request.clone();
        self.dialog.local_cseq = cseq;
        self.state = State::Calling;
        self.send(request);
        Ok(())
    }
}
