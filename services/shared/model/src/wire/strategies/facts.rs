//! Arbitrary facts, and records of them.

use super::*;

/// One strategy for each kind of fact, in the order of the contract.
fn facts() -> Vec<BoxedStrategy<FactKind>> {
    use FactKind::*;
    let leg = || uuid::<LegId>();
    vec![
        (uuid(), party(), text(), of(destination()), any::<[bool; 3]>(), (headers(), any::<Option<u8>>()))
            .prop_map(|(call, from, dialled, destination, how, (headers, max_forwards))| {
                let [by_application, anonymous, open] = how;
                CallCreated {
                    call,
                    from,
                    dialled,
                    destination,
                    by_application,
                    anonymous,
                    open,
                    headers,
                    max_forwards,
                }
            })
            .boxed(),
        (
            leg(),
            uuid(),
            party(),
            any::<bool>(),
            name(),
            of(uuid()),
            text(),
            (leg_cause(), of(leg()), any::<bool>(), text()),
        )
            .prop_map(|(leg, call, party, incoming, replica, boot, sip_call_id, rest)| {
                let (cause, by, assistant, trunk) = rest;
                LegCreated {
                    leg,
                    call,
                    party,
                    incoming,
                    replica,
                    boot,
                    sip_call_id,
                    cause,
                    by,
                    assistant,
                    trunk,
                }
            })
            .boxed(),
        (leg(), name(), uuid()).prop_map(|(leg, node, boot)| LegMediaAllocated { leg, node, boot }).boxed(),
        leg().prop_map(|leg| LegRinging { leg }).boxed(),
        (leg(), termination()).prop_map(|(leg, why)| LegTalkRefused { leg, why }).boxed(),
        leg().prop_map(|leg| LegWaiting { leg }).boxed(),
        leg().prop_map(|leg| LegAnswered { leg }).boxed(),
        (leg(), direction()).prop_map(|(leg, direction)| LegDirectionChanged { leg, direction }).boxed(),
        (leg(), digit(), any::<u32>())
            .prop_map(|(leg, digit, duration_ms)| LegDigit { leg, digit, duration_ms })
            .boxed(),
        (leg(), termination()).prop_map(|(leg, termination)| LegEnded { leg, termination }).boxed(),
    ]
    .into_iter()
    .chain(facts_of_meetings())
    .chain(facts_between_legs())
    .chain(facts_of_records())
    .chain(facts_of_media())
    .chain(facts_of_conversations())
    .collect()
}

/// What release 0.1 knew of those who meet, and of what is recorded.
fn facts_of_meetings() -> Vec<BoxedStrategy<FactKind>> {
    use FactKind::*;
    let leg = || uuid::<LegId>();
    vec![
        (uuid(), leg(), leg()).prop_map(|(call, a, b)| LegsBridged { call, a, b }).boxed(),
        (uuid(), name(), name())
            .prop_map(|(conference, room, node)| ConferenceStarted { conference, room, node })
            .boxed(),
        (uuid(), leg()).prop_map(|(conference, leg)| ParticipantJoined { conference, leg }).boxed(),
        (uuid(), leg()).prop_map(|(conference, leg)| ParticipantLeft { conference, leg }).boxed(),
        uuid().prop_map(|conference| ConferenceEnded { conference }).boxed(),
        (
            uuid(),
            uuid(),
            name(),
            any::<bool>(),
            file_format(),
            layout(),
            text(),
            (legs(), callback(), any::<bool>()),
        )
            .prop_map(|(recording, call, node, stereo, format, layout, name, (legs, callback, beep))| {
                RecordingStarted { recording, call, node, stereo, format, layout, name, legs, callback, beep }
            })
            .boxed(),
        (uuid(), sound())
            .prop_map(|(recording, RecordedSound { file, tracks, duration_ms, size_bytes })| {
                RecordingFinished { recording, file, duration_ms, size_bytes, tracks }
            })
            .boxed(),
        (uuid(), termination(), of(sound().prop_map(Box::new)))
            .prop_map(|(recording, termination, kept)| RecordingFailed { recording, termination, kept })
            .boxed(),
        (uuid(), termination()).prop_map(|(call, termination)| CallEnded { call, termination }).boxed(),
    ]
}

/// What release 0.1 did not know of legs and conversations.
fn facts_between_legs() -> Vec<BoxedStrategy<FactKind>> {
    use FactKind::*;
    let leg = || uuid::<LegId>();
    let divert = || {
        use DivertCause::*;
        prop::sample::select(vec![Transferred, Redirected, Overflown, PickedUp])
    };
    let held_by = || prop::sample::select(vec![HeldBy::Application, HeldBy::Phone]);
    let moved = || prop::sample::select(vec![MoveCause::Transferred, MoveCause::Merged]);
    vec![
        (leg(), any::<u64>().prop_map(Timestamp::from_millis), of(destination()))
            .prop_map(|(leg, deadline, fallback)| {
                let kind = match fallback {
                    Some(_) => DecisionKind::Application,
                    None => DecisionKind::Waking,
                };
                DecisionOpened { leg, kind, deadline, fallback }
            })
            .boxed(),
        leg().prop_map(|leg| LegWaking { leg }).boxed(),
        (leg(), text()).prop_map(|(leg, trunk)| LegRouted { leg, trunk }).boxed(),
        (name(), any::<u32>()).prop_map(|(user, wrong)| MailboxPinTried { user, wrong }).boxed(),
        (leg(), name()).prop_map(|(leg, replica)| LegWoken { leg, replica }).boxed(),
        (leg(), any::<bool>()).prop_map(|(leg, expired)| DecisionClosed { leg, expired }).boxed(),
        (uuid(), text(), "[a-z]{1,9}", "\\PC{1,20}")
            .prop_map(|(call, _, dialect, key)| ExternalRefAdded {
                call,
                external: ExternalRef { dialect: dialect.into(), key: key.into() },
            })
            .boxed(),
        (leg(), held_by()).prop_map(|(leg, by)| LegHeld { leg, by }).boxed(),
        leg().prop_map(|leg| LegRetrieved { leg }).boxed(),
        (leg(), any::<bool>(), any::<bool>(), voice())
            .prop_map(|(leg, muted, deafened, voice)| LegAudioChanged { leg, muted, deafened, voice })
            .boxed(),
        (leg(), destination(), any::<bool>())
            .prop_map(|(leg, by, assistant)| LegServed { leg, by, assistant })
            .boxed(),
        measured().boxed(),
        (leg(), uuid(), uuid(), moved())
            .prop_map(|(leg, from, to, cause)| LegMoved { leg, from, to, cause })
            .boxed(),
        (leg(), text()).prop_map(|(leg, digits)| LegDigitsSent { leg, digits }).boxed(),
        (uuid(), leg(), divert(), party())
            .prop_map(|(call, leg, cause, to)| CallDiverted { call, leg, cause, to })
            .boxed(),
        (uuid(), uuid(), name())
            .prop_map(|(call, conference, node)| CallConferenced { call, conference, node })
            .boxed(),
        (leg(), of(leg())).prop_map(|(leg, by)| ParticipantHeld { leg, by }).boxed(),
        leg().prop_map(|leg| ParticipantRetrieved { leg }).boxed(),
    ]
}

/// What only records look at.
fn facts_of_records() -> Vec<BoxedStrategy<FactKind>> {
    use FactKind::*;
    let leg = || uuid::<LegId>();
    vec![
        (uuid(), of(any::<u64>().prop_map(Timestamp::from_millis)), of(party()), of(leg()), of(party()))
            .prop_map(|(call, answered_at, diverted_to, first_leg, transferred_by)| CallRestated {
                call,
                answered_at,
                diverted_to,
                first_leg,
                transferred_by,
            })
            .boxed(),
        (leg(), of((uuid(), party(), text())), of(party()))
            .prop_map(|(leg, origin, transferred_by)| {
                let began = |(call, from, dialled)| Box::new(LegOrigin { call, from, dialled });
                let answered_by = match transferred_by {
                    Some(_) => AnsweredBy::Assistant,
                    None => AnsweredBy::Nobody,
                };
                LegRestated { leg, origin: origin.map(began), transferred_by, answered_by }
            })
            .boxed(),
        (leg(), any::<u64>().prop_map(Timestamp::from_millis))
            .prop_map(|(leg, held)| LegLastHeld { leg, held })
            .boxed(),
    ]
}

/// How a leg was heard.
fn measured() -> impl Strategy<Value = FactKind> {
    (uuid(), any::<[u64; 4]>(), any::<[u32; 5]>()).prop_map(
        |(leg, packets, [jitter_us, round_trip_us, rating, own, far])| FactKind::LegMeasured {
            leg,
            quality: Box::new(LegQuality {
                encoding: "opus".into(),
                packets_received: packets[0],
                packets_lost: packets[1],
                packets_late: packets[2],
                packets_sent: packets[3],
                jitter_us,
                round_trip_us,
                rating,
                mean_opinion_hundredths: own,
                far_mean_opinion_hundredths: far,
            }),
        },
    )
}

/// What release 0.1 did not know of recordings, playbacks, streams and devices.
fn facts_of_media() -> Vec<BoxedStrategy<FactKind>> {
    use FactKind::*;
    let source = prop_oneof![text().prop_map(Source::Prompt), text().prop_map(Source::Url)];
    let ends =
        [PlaybackEnd::Done, PlaybackEnd::Stopped, PlaybackEnd::Failed, PlaybackEnd::Key, PlaybackEnd::Voice];
    let end = prop::sample::select(ends.to_vec());
    let barge = prop::sample::select(vec![BargeIn::None, BargeIn::Key, BargeIn::Voice, BargeIn::Any]);
    vec![
        (uuid(), any::<bool>()).prop_map(|(recording, mask)| RecordingPaused { recording, mask }).boxed(),
        uuid().prop_map(|recording| RecordingResumed { recording }).boxed(),
        (uuid(), of(uuid())).prop_map(|(recording, into)| RecordingStopping { recording, into }).boxed(),
        (uuid(), uuid(), uuid())
            .prop_map(|(recording, from, to)| RecordingMoved { recording, from, to })
            .boxed(),
        (uuid(), uuid(), uuid(), prop::collection::vec(uuid::<LegId>(), 0..3))
            .prop_map(|(playback, from, to, legs)| PlaybackMoved { playback, from, to, legs })
            .boxed(),
        (uuid(), uuid(), uuid(), name())
            .prop_map(|(stream, from, to, node)| StreamMoved { stream, from, to, node })
            .boxed(),
        (uuid(), uuid(), of(uuid()), source, barge)
            .prop_map(|(playback, call, leg, source, barge_in)| PlaybackStarted {
                playback,
                call,
                leg,
                source,
                barge_in,
            })
            .boxed(),
        (uuid(), end).prop_map(|(playback, end)| PlaybackFinished { playback, end }).boxed(),
        (uuid(), uuid(), file_format(), name())
            .prop_map(|(stream, call, format, node)| StreamStarted { stream, call, format, node })
            .boxed(),
        uuid().prop_map(|stream| StreamStopped { stream }).boxed(),
        (uuid(), name(), uuid(), party(), name(), text(), any::<u64>())
            .prop_map(|(message, user, call, from, node, file, duration_ms)| MessageLeft {
                message,
                user,
                call,
                from,
                node,
                file,
                duration_ms,
            })
            .boxed(),
        (uuid(), name()).prop_map(|(message, user)| MessageHeard { message, user }).boxed(),
        (uuid(), name()).prop_map(|(message, user)| MessageDeleted { message, user }).boxed(),
        (name(), name(), any::<bool>())
            .prop_map(|(user, device, in_service)| DeviceStateChanged { user, device, in_service })
            .boxed(),
    ]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_millis)
}

fn member() -> impl Strategy<Value = Box<MemberView>> {
    let status = prop::sample::select(LegStatus::ALL.to_vec());
    let state = prop::sample::select(vec![MemberState::Invited, MemberState::Joined, MemberState::Left]);
    (
        (uuid(), uuid(), state, text(), text(), of(uuid::<LegId>())),
        (
            prop::collection::vec(uuid::<LegId>(), 0..3),
            any::<[bool; 4]>(),
            prop::collection::vec((status, moment()), 0..3),
        ),
        (moment(), of(moment()), of(moment())),
    )
        .prop_map(|((member, person, state, from, to, leg), (legs, flags, statuses), times)| {
            let [knocked, muted, earmuffed, held] = flags;
            let (invited_at, joined_at, left_at) = times;
            Box::new(MemberView {
                member,
                person,
                state,
                from,
                to,
                leg,
                legs,
                knocked,
                statuses,
                muted,
                earmuffed,
                held,
                invited_at,
                joined_at,
                left_at,
            })
        })
}

fn conversation_event() -> impl Strategy<Value = ConversationEvent> {
    let kind = prop::sample::select(EventKind::ALL.to_vec());
    (any::<u32>(), moment(), kind, of(uuid()), of(uuid::<LegId>()), text(), text()).prop_map(
        |(id, at, kind, member, leg, text, body)| ConversationEvent { id, at, kind, member, leg, text, body },
    )
}

/// What is told of conversations, also in snapshots.
fn facts_of_conversations() -> Vec<BoxedStrategy<FactKind>> {
    use crate::conversation::ConversationFact as Said;
    let said: Vec<BoxedStrategy<Said>> = vec![
        (uuid(), text(), text(), text())
            .prop_map(|(person, application, name, display_name)| Said::PersonPut {
                person,
                application,
                name,
                display_name,
            })
            .boxed(),
        uuid().prop_map(|person| Said::PersonDeleted { person }).boxed(),
        (uuid(), text(), text(), text())
            .prop_map(|(conversation, application, name, display_name)| Said::Put {
                conversation,
                application,
                name,
                display_name,
            })
            .boxed(),
        uuid().prop_map(|conversation| Said::Deleted { conversation }).boxed(),
        (uuid(), uuid(), uuid(), text(), text(), prop::collection::vec(uuid::<LegId>(), 0..3), any::<bool>())
            .prop_map(|(conversation, member, person, from, to, legs, knocked)| Said::MemberInvited {
                conversation,
                member,
                person,
                from,
                to,
                legs,
                knocked,
            })
            .boxed(),
        (uuid(), uuid()).prop_map(|(conversation, member)| Said::MemberLeft { conversation, member }).boxed(),
        (uuid(), of(uuid()), text(), text())
            .prop_map(|(conversation, member, r#type, body)| Said::EventPosted {
                conversation,
                member,
                r#type,
                body,
            })
            .boxed(),
        (uuid(), any::<u32>())
            .prop_map(|(conversation, event)| Said::EventDeleted { conversation, event })
            .boxed(),
        (uuid(), member())
            .prop_map(|(conversation, member)| Said::MemberKept { conversation, member })
            .boxed(),
        (uuid(), any::<u32>(), prop::collection::vec(conversation_event(), 0..3))
            .prop_map(|(conversation, last, events)| Said::EventsKept { conversation, last, events })
            .boxed(),
    ];
    said.into_iter()
        .map(|said| said.prop_map(|fact| FactKind::Conversation { fact: Box::new(fact) }).boxed())
        .collect()
}

/// A record with one fact of every kind.
pub(crate) fn record() -> impl Strategy<Value = FactRecord> {
    let fact = |kind: BoxedStrategy<FactKind>| {
        (name(), any::<u64>(), kind).prop_map(|(tenant, at, kind)| Fact {
            tenant,
            at: Timestamp::from_millis(at),
            kind,
        })
    };
    let subject = prop_oneof![
        uuid().prop_map(CommandSubject::Call),
        uuid().prop_map(CommandSubject::Leg),
        uuid().prop_map(CommandSubject::Recording),
        uuid().prop_map(CommandSubject::Playback),
        uuid().prop_map(CommandSubject::Stream),
        uuid().prop_map(CommandSubject::Conversation),
        (uuid(), any::<u32>()).prop_map(|(of, event)| CommandSubject::ConversationEvent(of, event)),
    ];
    let completed = (name(), any::<u64>(), text(), any::<[u8; 32]>(), subject).prop_map(
        |(tenant, at, key, fingerprint, subject)| CompletedCommand {
            tenant,
            at: Timestamp::from_millis(at),
            key,
            fingerprint,
            subject,
        },
    );
    let cursor = (uuid(), uuid(), any::<u64>()).prop_map(|(boot, leg, n)| SignalCursor { boot, leg, n });
    (
        facts().into_iter().map(fact).collect::<Vec<_>>(),
        prop::collection::vec(cursor, 0..3),
        prop::collection::vec(command(), 0..3),
        of(completed),
    )
        .prop_map(|(facts, consumed, commands, completed)| FactRecord {
            facts,
            consumed,
            commands,
            completed,
        })
}
