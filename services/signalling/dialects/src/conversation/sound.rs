//! What clients change of what is heard, by posting events.

use serde_json::Value;
use sidetone_model::command::{Audience, CallCommandKind};
use sidetone_model::conversation::{MemberView, RINGBACK};
use sidetone_model::fold::PlaybackView;
use sidetone_model::ids::{ConversationId, LegId, MemberId, PlaybackId};
use sidetone_model::media::{Beside, GAIN_MDB_MAX, MDB_MIN, Manner, PlayOptions, Source};

use super::answer::Failure;
use super::auth::Asked;
use super::request::{id, text};

/// Does what an event of a type `audio:` asks for.
pub(crate) async fn carry_out(
    asked: &Asked,
    conversation: ConversationId,
    r#type: &str,
) -> Result<(), Failure> {
    match r#type {
        "audio:play" => {
            let (sources, repeat) = (sources(asked)?, rounds(asked)?);
            play(asked, conversation, sources, (repeat, manner(asked)?)).await
        }
        "audio:ringing:start" => {
            let tone = Source::Prompt(format!("{RINGBACK}/{COUNTRY}").into());
            play(asked, conversation, vec![tone], (0, Manner::Instead)).await
        }
        "audio:play:stop" => {
            let body = asked.body.get("body").and_then(Value::as_object);
            let wanted = body.map(|body| text(body, "play_id")).transpose()?.flatten();
            let wanted = wanted.ok_or_else(|| Failure::invalid("body.play_id", "it is missing"))?;
            let playback: PlaybackId = id(&wanted, "", "play")?;
            stop(asked, conversation, |view| view.playback == playback).await
        }
        "audio:ringing:stop" => {
            let is_ringback = |view: &PlaybackView| matches!(&view.source, Source::Prompt(name) if name.starts_with(RINGBACK));
            let of_member = member(asked, conversation)?.map(|(leg, _, _)| leg);
            stop(asked, conversation, |view| {
                is_ringback(view) && (of_member.is_none() || view.leg == of_member)
            })
            .await
        }
        "audio:mute:on" => set_audio(asked, conversation, |_, deafened| (true, deafened)).await,
        "audio:mute:off" => set_audio(asked, conversation, |_, deafened| (false, deafened)).await,
        "audio:earmuff:on" => set_audio(asked, conversation, |muted, _| (muted, true)).await,
        "audio:earmuff:off" => set_audio(asked, conversation, |muted, _| (muted, false)).await,
        _ => Err(Failure::invalid("type", "this type of audio cannot be asked for")),
    }
}

async fn play(
    asked: &Asked,
    conversation: ConversationId,
    sources: Vec<Source>,
    (repeat, manner): (u32, Manner),
) -> Result<(), Failure> {
    let to = match member(asked, conversation)? {
        Some((leg, _, _)) => Audience::Leg(leg),
        None => Audience::Call(asked.on_call(conversation, |_, _, call| Ok(call.call))?),
    };
    let options = PlayOptions::default();
    asked.execute("", CallCommandKind::Play { to, sources, repeat, manner, options }).await
}

async fn stop(
    asked: &Asked,
    conversation: ConversationId,
    which: impl Fn(&PlaybackView) -> bool,
) -> Result<(), Failure> {
    if asked.is_repeated().await {
        return Ok(());
    }
    let playing: Vec<(Audience, PlaybackId)> = asked.on_call(conversation, |fold, _, call| {
        let all = call.playbacks.iter().filter_map(|playback| fold.playback(*playback));
        let audience = |view: &PlaybackView| view.leg.map_or(Audience::Call(view.call), Audience::Leg);
        Ok(all.filter(|view| which(view)).map(|view| (audience(view), view.playback)).collect())
    })?;
    if playing.is_empty() {
        return Err(Failure::not_found("play"));
    }
    let last = playing.len() - 1;
    for (n, (to, playback)) in playing.into_iter().enumerate() {
        // The request's own key is done with when all are.
        let which = if n == last { String::new() } else { format!(".{playback}") };
        asked.execute(&which, CallCommandKind::StopPlay { to, playback: Some(playback) }).await?;
    }
    Ok(())
}

async fn set_audio(
    asked: &Asked,
    conversation: ConversationId,
    change: impl Fn(bool, bool) -> (bool, bool),
) -> Result<(), Failure> {
    let member = member(asked, conversation)?;
    let (leg, muted, deafened) = member.ok_or_else(|| Failure::invalid("to", "it is missing"))?;
    let (muted, deafened) = change(muted, deafened);
    asked.execute("", CallCommandKind::SetAudio { leg, muted, deafened, voice: None }).await
}

/// The leg of the member who is meant, and whether it is muted and earmuffed; none when everybody is.
fn member(asked: &Asked, conversation: ConversationId) -> Result<Option<(LegId, bool, bool)>, Failure> {
    let Some(to) = text(&asked.body, "to")? else { return Ok(None) };
    let member: MemberId = id(&to, "MEM-", "member")?;
    asked.on(conversation, |_, view| {
        let view: &MemberView = view.member(member).ok_or_else(|| Failure::not_found("member"))?;
        let leg = view.leg.ok_or_else(|| Failure::state("the member has no leg"))?;
        Ok(Some((leg, view.muted, view.earmuffed)))
    })
}

/// `stream_url`: one, or a list of what is played one after the other.
fn sources(asked: &Asked) -> Result<Vec<Source>, Failure> {
    let one =
        |url: &Value| url.as_str().ok_or_else(|| Failure::invalid(URL, "expected texts")).and_then(source);
    match asked.body.get("body").and_then(|body| body.get("stream_url")) {
        Some(url @ Value::String(_)) => Ok(vec![one(url)?]),
        Some(Value::Array(urls)) if (1..=URLS_MAX).contains(&urls.len()) => urls.iter().map(one).collect(),
        _ => Err(Failure::invalid(URL, "expected a URL or a list of 1 to 32")),
    }
}

fn source(url: &str) -> Result<Source, Failure> {
    let web = url.starts_with("http://") || url.starts_with("https://");
    if !web || url.len() > URL_BYTES_MAX || url.chars().any(char::is_control) {
        return Err(Failure::invalid(URL, "expected http or https, at most 2048 bytes"));
    }
    Ok(Source::Url(url.into()))
}

/// `loop`: how often; 0 is for ever.
fn rounds(asked: &Asked) -> Result<u32, Failure> {
    match asked.body.get("body").and_then(|body| body.get("loop")) {
        None | Some(Value::Null) => Ok(1),
        Some(rounds) => {
            let rounds = rounds.as_u64().and_then(|rounds| u32::try_from(rounds).ok());
            rounds.ok_or_else(|| Failure::invalid("body.loop", "expected a number from 0"))
        }
    }
}

/// `manner` and `level`. What is as loud as it is needs no mixing; a level of its own is given by laying the sound over everything
/// else, all of which is silent meanwhile unless `over` or `under` says otherwise.
fn manner(asked: &Asked) -> Result<Manner, Failure> {
    let body = asked.body.get("body").and_then(Value::as_object);
    let gain_mdb = level(body.and_then(|body| body.get("level")))?;
    let manner = body.map(|body| text(body, "manner")).transpose()?.flatten();
    let beside =
        |duck_mdb| Beside::new(duck_mdb, gain_mdb).ok_or_else(|| Failure::invalid(LEVEL, "expected -1 to 1"));
    match manner.as_deref() {
        None | Some("instead") if gain_mdb == 0 => Ok(Manner::Instead),
        None | Some("instead") => Ok(Manner::Over(beside(Some(MDB_MIN))?)),
        Some("over") => Ok(Manner::Over(beside(None)?)),
        Some("under") => Ok(Manner::Under(beside(None)?)),
        Some(_) => Err(Failure::invalid("body.manner", "expected instead, over or under")),
    }
}

/// A level of -1 to 1 in thousandths of a decibel: 1 is 18 dB louder, -1 as much quieter.
fn level(level: Option<&Value>) -> Result<i32, Failure> {
    let wrong = || Failure::invalid(LEVEL, "expected -1 to 1");
    match level {
        None | Some(Value::Null) => Ok(0),
        Some(level) => {
            let level = level.as_f64().filter(|level| (-1.0..=1.0).contains(level)).ok_or_else(wrong)?;
            Ok((level * f64::from(GAIN_MDB_MAX)).round() as i32)
        }
    }
}

const LEVEL: &str = "body.level";
const URL: &str = "body.stream_url";
const URLS_MAX: usize = 32;
const URL_BYTES_MAX: usize = 2048;
/// Whose tone is heard: the one of ITU-T E.180, which no country has to itself.
const COUNTRY: &str = "itu";
