//! Arbitrary values of every type of the model, within what the contracts can carry.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::option::of;
use proptest::prelude::*;

use crate::call::*;
use crate::callback::{Callback, CallbackMethod};
use crate::command::*;
use crate::conversation::{ConversationEvent, EventKind, LegStatus, MemberState, MemberView};
use crate::fact::*;
use crate::ids::*;
use crate::media::*;
use crate::party::*;
use crate::signal::*;
use crate::termination::*;
use crate::time::Timestamp;

fn uuid<T: From<uuid::Uuid> + std::fmt::Debug>() -> impl Strategy<Value = T> {
    any::<u128>().prop_map(|n| T::from(uuid::Uuid::from_u128(n)))
}

fn name<T: std::str::FromStr<Err = IdError> + std::fmt::Debug>() -> impl Strategy<Value = T> {
    "[a-zA-Z0-9_+-][a-zA-Z0-9._+-]{0,62}".prop_map(|text| text.parse().unwrap())
}

fn text() -> impl Strategy<Value = Box<str>> {
    "\\PC{0,20}".prop_map(Into::into)
}

fn digit() -> impl Strategy<Value = char> {
    prop::sample::select("0123456789*#ABCD".chars().collect::<Vec<_>>())
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<u32>().prop_map(|n| IpAddr::V4(Ipv4Addr::from(n))),
        any::<u128>().prop_map(|n| IpAddr::V6(Ipv6Addr::from(n))),
    ];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn direction() -> impl Strategy<Value = Direction> {
    use Direction::*;
    prop::sample::select(vec![SendRecv, SendOnly, RecvOnly, Inactive])
}

fn format() -> impl Strategy<Value = Format> {
    let encoding = prop_oneof![
        Just(Encoding::Pcmu),
        Just(Encoding::Pcma),
        Just(Encoding::G722),
        Just(Encoding::Gsm),
        Just(Encoding::Opus),
        Just(Encoding::L16),
        Just(Encoding::ComfortNoise),
        Just(Encoding::TelephoneEvent),
        "[A-Z]{6,10}".prop_map(|name| Encoding::from_name(&name)),
    ];
    (0u8..128, encoding, any::<u32>(), 1u8.., of("[ -~]{1,20}")).prop_map(
        |(payload_type, encoding, clock_rate_hz, channels, parameters)| Format {
            payload_type,
            encoding,
            clock_rate_hz,
            channels,
            parameters: parameters.map(Into::into),
        },
    )
}

pub(crate) fn media() -> impl Strategy<Value = MediaDescription> {
    let holder = prop::sample::select(vec![Holder::Node, Holder::External]);
    let formats = prop::collection::vec(format(), 0..4);
    let crypto = (1u32..1_000, "[A-Z_]{1,20}", "[a-zA-Z0-9+/]{4,40}", "[ -~]{0,10}").prop_map(
        |(tag, suite, inline, parameters)| Crypto {
            tag,
            suite: suite.into(),
            inline: inline.into(),
            parameters: parameters.into(),
        },
    );
    let security = (any::<bool>(), prop::collection::vec(crypto, 0..3), of(dtls()), of(ice()));
    (holder, address(), of(address()), any::<bool>(), formats, direction(), 1u8.., security).prop_map(
        |(holder, rtp, rtcp, rtcp_mux, formats, direction, ptime_ms, (secured, crypto, dtls, ice))| {
            MediaDescription {
                holder,
                rtp,
                rtcp,
                rtcp_mux,
                formats,
                direction,
                ptime_ms,
                secured,
                crypto,
                dtls,
                ice,
            }
        },
    )
}

fn dtls() -> impl Strategy<Value = Box<Dtls>> {
    let fingerprint = ("[a-z0-9-]{3,8}", prop::collection::vec(any::<u8>(), 1..64))
        .prop_map(|(hash, value)| Fingerprint { hash: hash.into(), value: value.into() });
    let setup = prop::sample::select(vec![Setup::Actpass, Setup::Active, Setup::Passive]);
    (prop::collection::vec(fingerprint, 0..3), setup)
        .prop_map(|(fingerprints, setup)| Box::new(Dtls { fingerprints, setup }))
}

fn ice() -> impl Strategy<Value = Box<Ice>> {
    ("[a-zA-Z0-9+/]{4,20}", "[a-zA-Z0-9+/]{22,40}", any::<bool>())
        .prop_map(|(ufrag, pwd, lite)| Box::new(Ice { ufrag: ufrag.into(), pwd: pwd.into(), lite }))
}

fn party() -> impl Strategy<Value = Party> {
    let proof = proptest::sample::select(&Proof::ALL[..]);
    (of(name()), of(name()), text(), text(), proof).prop_map(|(user, device, number, display_name, proof)| {
        Party { user, device, number, display_name, proof }
    })
}

pub(crate) fn destination() -> impl Strategy<Value = Destination> {
    prop_oneof![
        name().prop_map(Destination::User),
        name().prop_map(Destination::Room),
        Just(Destination::Echo),
        (text(), any::<u32>()).prop_map(|(prompt, repeat)| Destination::Announcement { prompt, repeat }),
        Just(Destination::Wait),
        name().prop_map(Destination::Voicemail),
        name().prop_map(Destination::Mailbox),
        Just(Destination::OwnMailbox),
        prop::collection::vec(name(), 2..5).prop_map(|members| Destination::PickUpGroup { members }),
        Just(Destination::Assistant),
    ]
}

pub(crate) fn termination() -> impl Strategy<Value = Termination> {
    (prop::sample::select(&Cause::ALL[..]), of(1u16..), text())
        .prop_map(|(cause, sip_status, text)| Termination { cause, sip_status, text })
}

fn binding() -> impl Strategy<Value = Binding> {
    let transport = prop::sample::select(Transport::ALL.to_vec());
    let flow = (transport, address(), address()).prop_map(|(transport, local, remote)| Flow {
        transport,
        local,
        remote,
    });
    let path = prop::collection::vec(text(), 0..3);
    (name(), name(), text(), name(), flow, path).prop_map(
        |(user, device, contact_uri, replica, flow, path)| Binding {
            user,
            device,
            contact_uri,
            replica,
            flow,
            path,
        },
    )
}

pub(crate) fn command() -> impl Strategy<Value = LegCommand> {
    let diversions = prop::collection::vec(diversion(), 0..3);
    let call = of(uuid::<CallId>());
    let parts = (party(), text(), binding(), media(), any::<[bool; 2]>(), diversions, headers(), call);
    let invite =
        parts.prop_map(|(from, to, binding, media, [auto_answer, anonymous], diversions, headers, call)| {
            let invite =
                Invite { from, to, binding, media, auto_answer, anonymous, diversions, headers, call };
            LegCommandKind::Invite(Box::new(invite))
        });
    let kind = prop_oneof![
        invite,
        of(media()).prop_map(|media| LegCommandKind::Ring { media }),
        media().prop_map(|media| LegCommandKind::Answer { media }),
        of(media()).prop_map(|media| LegCommandKind::AnswerReoffer { media }),
        Just(LegCommandKind::Talk),
        media().prop_map(|media| LegCommandKind::Reoffer { media }),
        prop_oneof![
            Just(ReferralState::Accepted),
            Just(ReferralState::Ringing),
            Just(ReferralState::Succeeded),
            termination().prop_map(ReferralState::Failed),
        ]
        .prop_map(LegCommandKind::Referral),
        (text(), any::<u32>())
            .prop_map(|(digits, duration_ms)| LegCommandKind::SendDigits { digits, duration_ms }),
        prop::collection::vec(text(), 0..3).prop_map(|numbers| LegCommandKind::Deflect { numbers }),
        termination().prop_map(LegCommandKind::End),
    ];
    (name(), name(), uuid(), any::<u64>(), kind).prop_map(|(replica, tenant, leg, n, kind)| LegCommand {
        replica,
        tenant,
        leg,
        n,
        kind,
    })
}

fn signal() -> impl Strategy<Value = LegSignal> {
    let offered = (party(), text(), address(), of(media()), text(), of(uuid()), any::<bool>(), headers())
        .prop_map(|(from, dialled, source, media, sip_call_id, replaces, anonymous, headers)| {
            let offered = Offered { from, dialled, source, media, sip_call_id, replaces, anonymous, headers };
            LegSignalKind::Offered(Box::new(offered))
        });
    let target = || (text(), any::<bool>()).prop_map(|(number, own)| Target { number, own });
    let kind = prop_oneof![
        offered,
        of(media()).prop_map(|media| LegSignalKind::Progress { media }),
        of(media()).prop_map(|media| LegSignalKind::Answered { media }),
        of(media()).prop_map(|media| LegSignalKind::Confirmed { media }),
        of(media()).prop_map(|media| LegSignalKind::Reoffered { media }),
        media().prop_map(|media| LegSignalKind::Reanswered { media }),
        termination().prop_map(LegSignalKind::ReofferRefused),
        termination().prop_map(LegSignalKind::TalkRefused),
        (target(), of(uuid())).prop_map(|(to, replaces)| LegSignalKind::Referred(Referred { to, replaces })),
        prop::collection::vec(target(), 0..4).prop_map(|targets| LegSignalKind::Redirected { targets }),
        (digit(), any::<u32>()).prop_map(|(digit, duration_ms)| LegSignalKind::Digit { digit, duration_ms }),
        termination().prop_map(LegSignalKind::Ended),
    ];
    (uuid(), uuid(), name(), any::<u64>(), any::<u64>(), kind).prop_map(|(boot, leg, tenant, n, at, kind)| {
        LegSignal { boot, leg, tenant, n, at: Timestamp::from_millis(at), kind }
    })
}

fn diversion() -> impl Strategy<Value = Diversion> {
    use DiversionReason::*;
    let reason = prop::sample::select(vec![Unknown, Unconditional, Busy, NoAnswer, Deflection, Unavailable]);
    (text(), reason).prop_map(|(number, reason)| Diversion { number, reason })
}

pub(crate) fn replica_message() -> impl Strategy<Value = ReplicaMessage> {
    let held = (uuid(), name(), any::<u64>()).prop_map(|(leg, tenant, last_command_n)| HeldLeg {
        leg,
        tenant,
        last_command_n,
    });
    prop_oneof![
        (name(), uuid(), prop::collection::vec(held, 0..4))
            .prop_map(|(replica, boot, legs)| ReplicaMessage::Hello(Hello { replica, boot, legs })),
        signal().prop_map(ReplicaMessage::Signal),
        (uuid(), any::<u64>()).prop_map(|(leg, n)| ReplicaMessage::Applied { leg, n }),
        Just(ReplicaMessage::Draining),
    ]
}

pub(crate) fn owner_message() -> impl Strategy<Value = OwnerMessage> {
    prop_oneof![
        uuid().prop_map(|boot| OwnerMessage::Welcome { boot }),
        (uuid(), any::<u64>()).prop_map(|(leg, n)| OwnerMessage::Ack { leg, n }),
        command().prop_map(OwnerMessage::Command),
        uuid().prop_map(|leg| OwnerMessage::Release { leg }),
        (name(), binding(), any::<u32>(), any::<u32>()).prop_map(|(tenant, binding, new, old)| {
            OwnerMessage::MessagesWaiting(Box::new(MessagesWaiting { tenant, binding, new, old }))
        }),
    ]
}

/// One strategy for each kind of fact, in the order of the contract.
pub(crate) fn facts() -> Vec<BoxedStrategy<FactKind>> {
    use FactKind::*;
    let leg = || uuid::<LegId>();
    vec![
        (uuid(), party(), text(), of(destination()), any::<[bool; 3]>(), headers())
            .prop_map(|(call, from, dialled, destination, [by_application, anonymous, open], headers)| {
                CallCreated { call, from, dialled, destination, by_application, anonymous, open, headers }
            })
            .boxed(),
        (leg(), uuid(), party(), any::<bool>(), name(), of(uuid()), text(), (leg_cause(), of(leg())))
            .prop_map(|(leg, call, party, incoming, replica, boot, sip_call_id, (cause, by))| LegCreated {
                leg,
                call,
                party,
                incoming,
                replica,
                boot,
                sip_call_id,
                cause,
                by,
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
        (uuid(), leg(), leg()).prop_map(|(call, a, b)| LegsBridged { call, a, b }).boxed(),
        (uuid(), name(), name())
            .prop_map(|(conference, room, node)| ConferenceStarted { conference, room, node })
            .boxed(),
        (uuid(), leg()).prop_map(|(conference, leg)| ParticipantJoined { conference, leg }).boxed(),
        (uuid(), leg()).prop_map(|(conference, leg)| ParticipantLeft { conference, leg }).boxed(),
        uuid().prop_map(|conference| ConferenceEnded { conference }).boxed(),
        (uuid(), uuid(), name(), any::<bool>(), file_format(), layout(), text(), (legs(), callback()))
            .prop_map(|(recording, call, node, stereo, format, layout, name, (legs, callback))| {
                RecordingStarted { recording, call, node, stereo, format, layout, name, legs, callback }
            })
            .boxed(),
        (uuid(), text(), any::<u64>(), any::<u64>())
            .prop_map(|(recording, file, duration_ms, size_bytes)| RecordingFinished {
                recording,
                file,
                duration_ms,
                size_bytes,
            })
            .boxed(),
        (uuid(), termination())
            .prop_map(|(recording, termination)| RecordingFailed { recording, termination })
            .boxed(),
        (uuid(), termination()).prop_map(|(call, termination)| CallEnded { call, termination }).boxed(),
    ]
    .into_iter()
    .chain(facts_between_legs())
    .chain(facts_of_media())
    .chain(facts_of_conversations())
    .collect()
}

fn headers() -> impl Strategy<Value = Vec<(Box<str>, Box<str>)>> {
    prop::collection::vec((text(), text()), 0..3)
}

fn callback() -> impl Strategy<Value = Option<Box<Callback>>> {
    let method = any::<bool>().prop_map(|get| if get { CallbackMethod::Get } else { CallbackMethod::Post });
    let callback = (text(), text(), method);
    of(callback.prop_map(|(application, url, method)| Box::new(Callback { application, url, method })))
}

fn legs() -> impl Strategy<Value = Vec<LegId>> {
    prop::collection::vec(uuid(), 0..3)
}

fn leg_cause() -> impl Strategy<Value = LegCause> {
    use LegCause::*;
    prop::sample::select(vec![
        Normal,
        Enquiry,
        Transferred,
        Redirected,
        Overflown,
        Conferenced,
        PickedUp,
        Intrusion,
        DeviceAdded,
        DeviceSwitched,
        Replaced,
    ])
}

fn file_format() -> impl Strategy<Value = FileFormat> {
    use FileFormat::*;
    prop::sample::select(vec![Wav, Mp3, OggOpus, Flac, L16, Pcmu])
}

fn layout() -> impl Strategy<Value = Layout> {
    prop::sample::select(vec![Layout::Mono, Layout::Stereo, Layout::TrackPerLeg])
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
        (uuid(), of(any::<u64>().prop_map(Timestamp::from_millis)), of(party()))
            .prop_map(|(call, answered_at, diverted_to)| CallRestated { call, answered_at, diverted_to })
            .boxed(),
        (uuid(), text(), "[a-z]{1,9}", "\\PC{1,20}")
            .prop_map(|(call, _, dialect, key)| ExternalRefAdded {
                call,
                external: ExternalRef { dialect: dialect.into(), key: key.into() },
            })
            .boxed(),
        (leg(), held_by()).prop_map(|(leg, by)| LegHeld { leg, by }).boxed(),
        leg().prop_map(|leg| LegRetrieved { leg }).boxed(),
        (leg(), any::<bool>(), any::<bool>())
            .prop_map(|(leg, muted, deafened)| LegAudioChanged { leg, muted, deafened })
            .boxed(),
        (leg(), destination()).prop_map(|(leg, by)| LegServed { leg, by }).boxed(),
        (leg(), any::<[u64; 4]>(), any::<[u32; 5]>())
            .prop_map(|(leg, packets, [jitter_us, round_trip_us, rating, own, far])| LegMeasured {
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
            })
            .boxed(),
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

/// What release 0.1 did not know of recordings, playbacks, streams and devices.
fn facts_of_media() -> Vec<BoxedStrategy<FactKind>> {
    use FactKind::*;
    let source = prop_oneof![text().prop_map(Source::Prompt), text().prop_map(Source::Url)];
    let end = prop::sample::select(vec![PlaybackEnd::Done, PlaybackEnd::Stopped, PlaybackEnd::Failed]);
    vec![
        uuid().prop_map(|recording| RecordingPaused { recording }).boxed(),
        uuid().prop_map(|recording| RecordingResumed { recording }).boxed(),
        (uuid(), uuid(), of(uuid()), source)
            .prop_map(|(playback, call, leg, source)| PlaybackStarted { playback, call, leg, source })
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
