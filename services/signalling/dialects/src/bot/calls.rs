//! The methods on a call and on who is in it.

use sidetone_model::command::{CallCommandKind, CallName};
use sidetone_model::fold::{Fold, LegView};
use sidetone_model::ids::UserId;
use sidetone_model::party::Destination;

use super::answer::{Answer, Done, Failure, Refused, Told, done, told};
use super::auth::Asked;
use super::openapi::{ContactRequest, InviteRequest, ThreadRequest};
use super::request::{Contact, call_of};
use super::view::Call;
use crate::dialling::{is_telephone_number, lead};

/// Tells about the call of a thread.
#[utoipa::path(post, path = "/bot/{team}/call/get", tag = "calls", request_body = ThreadRequest, params(("team" = String, Path)),
    responses((status = 200, body = Told<Call>), (status = "4XX", body = Refused)))]
pub(crate) async fn get(asked: Asked) -> Answer<Told<Call>> {
    told(asked.on_call(|fold, call| Ok(Call::of(fold, call, &asked.team.application)))?)
}

/// Asks somebody into the call of a thread, and begins that call when there is none.
#[utoipa::path(post, path = "/bot/{team}/call.user/invite", tag = "calls", request_body = InviteRequest, params(("team" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Refused)))]
pub(crate) async fn invite(asked: Asked) -> Answer<Done> {
    let thread = asked.thread()?;
    let contacts = asked.contacts()?;
    // The team's own name begins a call; a call that is there under another one is meant by its id.
    let own = thread.of_team(&asked.team.application);
    let other = asked.see(|fold| {
        let call = call_of(fold, &asked, &thread).filter(|call| !call.externals.contains(&own));
        Ok(call.map(|call| CallName::Id(call.call)))
    })?;
    let name = other.unwrap_or(CallName::External(own));
    let mut commands = Vec::new();
    for contact in &contacts {
        let (to, to_number) = destination(&asked, contact).await?;
        let from_number = asked.team.numbers.first().map_or_else(|| "".into(), |own| own.as_str().into());
        // Called under a number that need not be its own, it is still the one that the bot has named.
        let contact = contact.contact.clone().filter(|_| contact.phone.is_some()).unwrap_or_default();
        commands.push(CallCommandKind::Join { call: name.clone(), to, to_number, from_number, contact });
    }
    for (n, command) in commands.into_iter().enumerate() {
        asked.execute(n, command).await?;
    }
    done()
}

/// The number of a contact: the one given, else the user's first, else the user's name.
async fn destination(asked: &Asked, contact: &Contact) -> Result<(Destination, Box<str>), Failure> {
    let number = match (&contact.phone, &contact.contact) {
        (Some(phone), _) => phone.clone(),
        (None, Some(contact)) => {
            let user = UserId::new(contact).ok();
            let person = user.and_then(|user| asked.state.door.people().person(&asked.tenant, &user));
            person.and_then(|person| person.numbers.first().cloned()).unwrap_or_else(|| contact.clone())
        }
        (None, None) => return Err(Failure::invalid("contactId", "it is missing")),
    };
    let found =
        lead(&*asked.state.door, &asked.tenant, &number).await.map_err(|error| Failure::of(&error))?;
    // Whoever is outside has a number. The name of somebody unknown is none, whatever trunks would make of it.
    let outside = |to: &Destination| *to == Destination::Wait;
    let found =
        found.filter(|(to, _)| !outside(to) || contact.phone.is_some() || is_telephone_number(&number));
    found.ok_or_else(|| Failure::not_found(contact.field(), "nobody has this id or number"))
}

/// Sends somebody out of the call; without a contact, ends the call.
#[utoipa::path(post, path = "/bot/{team}/call/kick", tag = "calls", request_body = ContactRequest, params(("team" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Refused)))]
pub(crate) async fn kick(asked: Asked) -> Answer<Done> {
    if asked.done_before().await.is_some() {
        return done();
    }
    let contact = asked.contact()?;
    let command = asked.on_call(|fold, call| {
        if contact.is_nobody() {
            return Ok(CallCommandKind::HangUpCall { call: call.call });
        }
        Ok(CallCommandKind::HangUpLeg { leg: contact.leg_in(fold, call)?.leg })
    })?;
    asked.execute(0, command).await?;
    done()
}

/// Puts somebody on hold. Of two who talk the other one holds; in a conference the contact alone is put aside.
#[utoipa::path(post, path = "/bot/{team}/call.user/hold", tag = "calls", request_body = ContactRequest, params(("team" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Refused)))]
pub(crate) async fn hold(asked: Asked) -> Answer<Done> {
    if asked.done_before().await.is_some() {
        return done();
    }
    let command = asked.on_call(|fold, call| {
        let leg = named(&asked, fold, call)?;
        match peer_of(fold, leg) {
            Some(peer) => Ok(CallCommandKind::Hold { leg: peer.leg }),
            None if leg.is_answered() => Ok(CallCommandKind::HoldParticipant { leg: leg.leg, by: None }),
            None => Err(Failure::state("the contact has not answered")),
        }
    })?;
    asked.execute(0, command).await?;
    done()
}

/// Lets somebody talk again.
#[utoipa::path(post, path = "/bot/{team}/call.user/unhold", tag = "calls", request_body = ContactRequest, params(("team" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Refused)))]
pub(crate) async fn unhold(asked: Asked) -> Answer<Done> {
    if asked.done_before().await.is_some() {
        return done();
    }
    let command = asked.on_call(|fold, call| {
        let leg = named(&asked, fold, call)?;
        match peer_of(fold, leg) {
            _ if leg.put_aside => Ok(CallCommandKind::RetrieveParticipant { leg: leg.leg }),
            Some(peer) if peer.held.is_some() => Ok(CallCommandKind::Retrieve { leg: peer.leg }),
            _ => Err(Failure::state("the contact is not on hold")),
        }
    })?;
    asked.execute(0, command).await?;
    done()
}

fn named<'a>(
    asked: &Asked,
    fold: &'a Fold,
    call: &sidetone_model::fold::CallView,
) -> Result<&'a LegView, Failure> {
    let contact = asked.contact()?;
    if contact.is_nobody() {
        return Err(Failure::invalid("contactId", "contactId or phone is needed"));
    }
    contact.leg_in(fold, call)
}

fn peer_of<'a>(fold: &'a Fold, leg: &LegView) -> Option<&'a LegView> {
    leg.peer.and_then(|peer| fold.leg(peer))
}
