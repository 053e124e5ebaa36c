//! Arbitrary values of every type of the model, within what the contracts can carry.

mod facts;

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
use crate::voice::{GAIN_MDB_MAX, GAIN_MDB_MIN, LegVoice, VoiceRole};
use crate::watch::*;

pub(super) use self::facts::record;

fn uuid<T: From<uuid::Uuid> + std::fmt::Debug>() -> impl Strategy<Value = T> {
    any::<u128>().prop_map(|n| T::from(uuid::Uuid::from_u128(n)))
}

fn name<T: std::str::FromStr<Err = IdError> + std::fmt::Debug>() -> impl Strategy<Value = T> {
    "[a-zA-Z0-9_+-][a-zA-Z0-9._+-]{0,62}".prop_map(|text| text.parse().unwrap())
}

fn text() -> impl Strategy<Value = Box<str>> {
    "\\PC{0,20}".prop_map(Into::into)
}

fn sound() -> impl Strategy<Value = RecordedSound> {
    (text(), prop::collection::vec(text(), 0..3), any::<u64>(), any::<u64>()).prop_map(
        |(file, tracks, duration_ms, size_bytes)| RecordedSound { file, tracks, duration_ms, size_bytes },
    )
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
    let rtcp = (of(address()), any::<bool>(), any::<bool>());
    (holder, address(), rtcp, formats, direction(), 1u8.., security).prop_map(
        |(holder, rtp, rtcp, formats, direction, ptime_ms, (secured, crypto, dtls, ice))| {
            let (rtcp, rtcp_mux, wants_voip_metrics) = rtcp;
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
                wants_voip_metrics,
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
    (of(name()), of(name()), text(), text(), (proof, text())).prop_map(
        |(user, device, number, display_name, (proof, contact))| Party {
            user,
            device,
            number,
            display_name,
            proof,
            contact,
        },
    )
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
    let told = (of(uuid::<CallId>()), any::<Option<u8>>());
    let parts = (party(), text(), binding(), media(), any::<[bool; 2]>(), diversions, headers(), told);
    let invite =
        parts.prop_map(|(from, to, binding, media, [auto_answer, anonymous], diversions, headers, told)| {
            let (call, max_forwards) = told;
            let invite = Invite {
                from,
                to,
                binding,
                media,
                auto_answer,
                anonymous,
                diversions,
                headers,
                call,
                max_forwards,
            };
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
    let told = (any::<bool>(), headers(), any::<Option<u8>>());
    let invite = (text(), any::<u32>(), text()).prop_map(|(from_tag, cseq, transaction)| InviteId {
        from_tag,
        cseq,
        transaction,
    });
    let offered = (party(), text(), address(), of(media()), text(), of(uuid()), told, invite).prop_map(
        |(
            from,
            dialled,
            source,
            media,
            sip_call_id,
            replaces,
            (anonymous, headers, max_forwards),
            invite,
        )| {
            LegSignalKind::Offered(Box::new(Offered {
                from,
                dialled,
                source,
                media,
                sip_call_id,
                replaces,
                anonymous,
                headers,
                max_forwards,
                invite,
            }))
        },
    );
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
        let trunk = (n % 3 == 0).then(|| "carrier".into());
        LegSignal { boot, leg, tenant, n, at: Timestamp::from_millis(at), trunk, kind }
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
        (name(), name(), any::<bool>(), any::<bool>()).prop_map(|(tenant, user, dialogs, on)| {
            let what = if dialogs { WatchedKind::Dialogs } else { WatchedKind::Messages };
            ReplicaMessage::Watch(Watch { watched: Watched { tenant, user, what }, on })
        }),
    ]
}

pub(crate) fn owner_message() -> impl Strategy<Value = OwnerMessage> {
    prop_oneof![
        uuid().prop_map(|boot| OwnerMessage::Welcome { boot }),
        (uuid(), any::<u64>()).prop_map(|(leg, n)| OwnerMessage::Ack { leg, n }),
        command().prop_map(OwnerMessage::Command),
        uuid().prop_map(|leg| OwnerMessage::Release { leg }),
        (uuid(), of(name())).prop_map(|(leg, at)| OwnerMessage::Repeated { leg, at }),
        (name(), binding(), any::<u32>(), any::<u32>()).prop_map(|(tenant, binding, new, old)| {
            OwnerMessage::MessagesWaiting(Box::new(MessagesWaiting { tenant, binding, new, old }))
        }),
        (name(), name(), user_state()).prop_map(|(tenant, user, state)| {
            OwnerMessage::Watched(WatchedState { tenant, user, state })
        }),
    ]
}

fn user_state() -> impl Strategy<Value = UserState> {
    let phase = prop::sample::select(vec![DialogPhase::Trying, DialogPhase::Early, DialogPhase::Confirmed]);
    let remote = (text(), text()).prop_map(|(number, display_name)| RemoteParty { number, display_name });
    let dialog = (uuid(), any::<bool>(), phase, of(remote))
        .prop_map(|(leg, initiator, phase, remote)| UserDialog { leg, initiator, phase, remote });
    prop_oneof![
        (any::<u32>(), any::<u32>()).prop_map(|(new, old)| UserState::Messages { new, old }),
        prop::collection::vec(dialog, 0..4).prop_map(UserState::Dialogs),
    ]
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

fn voice() -> impl Strategy<Value = LegVoice> {
    let role = (0..4, uuid::<LegId>()).prop_map(|(role, heard_by)| match role {
        0 => VoiceRole::Speaker,
        1 => VoiceRole::Listener,
        2 => VoiceRole::Coach { heard_by },
        _ => VoiceRole::Monitor,
    });
    (GAIN_MDB_MIN..=GAIN_MDB_MAX, role, any::<bool>(), any::<bool>()).prop_map(
        |(gain_mdb, role, automatic_gain, suppress_noise)| LegVoice {
            gain_mdb,
            role,
            automatic_gain,
            suppress_noise,
        },
    )
}
