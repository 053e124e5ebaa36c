//! The INVITE once more, with credentials (RFC 3261, section 22.2): the same dialog, the next CSeq number.

use super::state::State;
use super::{CommandError, Leg};

impl Leg {
    /// Sends the INVITE of an outgoing leg again with one header field more, which answers a challenge. The response with
    /// the challenge must not be handed to the leg.
    ///
    /// # Errors
    /// When the leg does not wait for an answer to its INVITE; nothing is sent then.
    pub fn send_invite_again(&mut self, header: &'static str, value: &str) -> Result<(), CommandError> {
        self.send_invite_anew(&[(header, value.to_owned())])
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
