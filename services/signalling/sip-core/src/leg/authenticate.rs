//! The INVITE once more, with credentials (RFC 3261, section 22.2): the same dialog, the next CSeq number.

use super::state::{Ending, State};
use super::{CommandError, Leg, LegOutput};
use crate::message::{Method, Request};

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

    /// Sends a request within the dialog again that was refused with a challenge: with its answer, as a new request. What
    /// waits for the response waits for that of the new one.
    ///
    /// # Errors
    /// When the leg waits for no answer to it, or the answer cannot stand in a message; nothing is sent then.
    pub fn send_again(
        &mut self,
        refused: &Request,
        header: &'static str,
        value: &str,
    ) -> Result<(), CommandError> {
        if matches!(self.state, State::Finished) {
            return Err(CommandError::WrongState);
        }
        let (before, cseq) = (refused.cseq(), self.dialog.local_cseq + 1);
        let via = self.dialog.next_via();
        let request = refused.again(&via, cseq, header, value).ok_or(CommandError::Unwritable)?;
        if request.method() == Method::Invite && !self.reoffer_sent_again(before, &request) {
            return Err(CommandError::WrongState);
        }
        for waiting in [&mut self.refresh, &mut self.talk, &mut self.digits.sent] {
            if *waiting == Some(before) {
                *waiting = Some(cseq);
            }
        }
        if let State::Ending(Ending::Bye { cseq: sent, .. }) = &mut self.state
            && *sent == before
        {
            *sent = cseq;
        }
        self.dialog.local_cseq = cseq;
        self.send(request);
        Ok(())
    }
}
