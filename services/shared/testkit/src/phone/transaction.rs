//! Client transactions: retransmission and time-outs (RFC 3261, section 17.1).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::message::Message;
use super::{Inner, PhoneError, Transport, locked};

/// What an INVITE transaction has beside the request.
pub(crate) struct Ring {
    /// How long it may ring.
    pub(crate) max: Duration,
    /// What then goes out.
    pub(crate) cancel: Message,
}

impl Inner {
    /// Sends a request and waits for its final response. `ring` is given for an INVITE.
    pub(crate) async fn transact(
        &self,
        request: &Message,
        to: SocketAddr,
        ring: Option<Ring>,
    ) -> Result<Message, PhoneError> {
        let branch = request.branch().to_owned();
        let (sender, mut responses) = mpsc::unbounded_channel();
        locked(&self.waiting).insert(branch.clone(), sender);
        let result = self.exchange(request, to, ring, &mut responses).await;
        locked(&self.waiting).remove(&branch);
        result
    }

    async fn exchange(
        &self,
        request: &Message,
        to: SocketAddr,
        ring: Option<Ring>,
        responses: &mut mpsc::UnboundedReceiver<Message>,
    ) -> Result<Message, PhoneError> {
        let bytes = request.to_bytes();
        self.send(&bytes, to);
        let invite = ring.is_some();
        let udp = self.config.transport == Transport::Udp;
        let mut interval = T1;
        let mut repeat_at = udp.then(|| Instant::now() + T1);
        let mut give_up = Instant::now() + T1 * 64;
        let mut cancel = ring;
        let mut ringing = false;
        loop {
            let next = repeat_at.map_or(give_up, |at| at.min(give_up));
            match tokio::time::timeout_at(next, responses.recv()).await {
                Ok(Some(response)) if response.status().is_some_and(|status| status >= 200) => {
                    return Ok(response);
                }
                Ok(Some(_)) if invite => {
                    repeat_at = None;
                    if let (false, Some(ring)) = (ringing, &cancel) {
                        give_up = Instant::now() + ring.max;
                    }
                    ringing = true;
                }
                Ok(Some(_)) => interval = T2,
                Ok(None) => return Err(PhoneError::NoAnswer("a request of a phone that stopped")),
                Err(_) if Instant::now() >= give_up => match cancel.take() {
                    Some(ring) if ringing => {
                        self.send(&ring.cancel.to_bytes(), to);
                        give_up = Instant::now() + T1 * 64;
                    }
                    _ => return Err(PhoneError::NoAnswer(if invite { "INVITE" } else { "a request" })),
                },
                Err(_) => {
                    self.send(&bytes, to);
                    interval = if invite { interval * 2 } else { (interval * 2).min(T2) };
                    repeat_at = Some(Instant::now() + interval);
                }
            }
        }
    }
}

pub(crate) const T1: Duration = Duration::from_millis(500);
pub(crate) const T2: Duration = Duration::from_secs(4);
