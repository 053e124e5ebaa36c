use super::*;

fn local() -> SocketAddr {
    "127.0.0.1:20000".parse().unwrap()
}

/// The codecs of the tests before there were more, in their order.
const G711: [Codec; 2] = [Codec::G711(Law::Mu), Codec::G711(Law::A)];

fn remote(formats: &[(u8, &str)]) -> MediaDescription {
    let formats = formats
        .iter()
        .map(|(pt, name)| {
            let encoding = Encoding::from_name(name.split('/').next().unwrap());
            let rate = name.split('/').nth(1).map_or(8000, |rate| rate.parse().unwrap());
            Format::new(*pt, encoding, rate)
        })
        .collect();
    describe("127.0.0.9:4000".parse().unwrap(), formats, Direction::SendRecv, 20)
}

#[test]
fn the_answer_takes_the_first_common_audio_of_the_offerer() {
    let offer = remote(&[(9, "G722"), (8, "PCMA"), (0, "PCMU"), (96, "telephone-event")]);
    let (description, agreement) = answer(local(), &offer, &G711).unwrap();
    let types: Vec<_> = description.formats.iter().map(|f| f.payload_type).collect();
    assert_eq!(types, [8, 96]);
    assert_eq!(agreement.send.audio(), Some((8, Codec::G711(Law::A))));
    assert_eq!(agreement.receive.get(96), Some(Payload::Event(8)));
    let (_, only) = answer(local(), &offer, &[Codec::G711(Law::Mu)]).unwrap();
    assert_eq!(only.send.audio(), Some((0, Codec::G711(Law::Mu))));
}

#[test]
fn without_a_common_codec_nothing_is_agreed() {
    let offer = remote(&[(9, "G722"), (96, "telephone-event")]);
    let refused = answer(local(), &offer, &G711).unwrap_err();
    assert_eq!(refused, MediaError::NoneOfCodecs("PCMU, PCMA".into()));
    let pcma = remote(&[(8, "PCMA")]);
    let refused = answer(local(), &pcma, &[Codec::G711(Law::Mu)]).unwrap_err();
    assert_eq!(refused.to_string(), "none of the codecs offered is taken; switch on one of PCMU");
    let other = allowed(&G711, &[Encoding::Opus, Encoding::Other("G729".into())]);
    assert_eq!(super::offer(local(), &other).unwrap_err(), MediaError::NoCommonCodec);
}

#[test]
fn each_side_keeps_its_own_numbers() {
    let ours = super::offer(local(), &G711).unwrap();
    let theirs = remote(&[(8, "PCMA"), (0, "PCMU"), (97, "telephone-event")]);
    let agreement = conclude(&ours, &theirs).unwrap();
    assert_eq!(agreement.send.audio(), Some((8, Codec::G711(Law::A))));
    assert_eq!(agreement.receive.get(0), Some(Payload::Audio(Codec::G711(Law::Mu))));
    assert_eq!(agreement.send.of(Payload::Event(8)), Some(97));
    assert_eq!(agreement.receive.of(Payload::Event(8)), Some(101));
}

#[test]
fn hold_in_each_of_its_forms() {
    let mut held = remote(&[(0, "PCMU")]);
    for (theirs, ours) in [
        (Direction::SendOnly, Direction::RecvOnly),
        (Direction::RecvOnly, Direction::SendOnly),
        (Direction::Inactive, Direction::Inactive),
    ] {
        held.direction = theirs;
        assert_eq!(answer(local(), &held, &G711).unwrap().0.direction, ours);
    }
    held.direction = Direction::SendRecv;
    held.rtp = "0.0.0.0:4000".parse().unwrap();
    assert_eq!(answer(local(), &held, &G711).unwrap().0.direction, Direction::RecvOnly);
    held.rtp = "127.0.0.9:0".parse().unwrap();
    let (description, agreement) = answer(local(), &held, &G711).unwrap();
    assert!(agreement.refused && description.rtp.port() == 0);
}

#[test]
fn the_packet_time_asked_for_is_sent_when_we_can() {
    for (asked, made) in [(0, 20), (10, 10), (25, 20), (30, 30), (60, 60), (200, 60), (5, 10)] {
        let mut offer = remote(&[(0, "PCMU")]);
        offer.ptime_ms = asked;
        assert_eq!(answer(local(), &offer, &G711).unwrap().1.ptime_ms, made);
    }
}

const ALL: [Codec; 5] =
    [Codec::Opus, Codec::G722, Codec::G711(Law::A), Codec::Gsm, Codec::L16(sidetone_dsp::Rate::Wide)];

#[test]
fn codecs_are_offered_in_their_order_with_events_at_each_clock() {
    let ours = super::offer(local(), &ALL).unwrap();
    let names: Vec<_> = ours
        .formats
        .iter()
        .map(|f| format!("{} {}/{}", f.payload_type, f.encoding.name(), f.clock_rate_hz))
        .collect();
    let expected = [
        "111 opus/48000",
        "9 G722/8000",
        "8 PCMA/8000",
        "3 GSM/8000",
        "96 L16/16000",
        "101 telephone-event/8000",
        "100 telephone-event/16000",
        "110 telephone-event/48000",
        "13 CN/8000",
        "98 CN/16000",
    ];
    assert_eq!(names, expected);
    assert_eq!(ours.formats[0].channels, 2);
    let asked = allowed(&ALL, &[Encoding::L16, Encoding::Pcmu, Encoding::G722]);
    assert_eq!(asked, [ALL[4], Codec::G722], "the order of the request, within what is configured");
}

#[test]
fn an_opus_phone_is_answered_in_its_numbers_with_events_of_its_clock_and_what_it_asks_for() {
    let mut offer = remote(&[
        (96, "opus/48000"),
        (9, "G722"),
        (13, "CN"),
        (101, "telephone-event"),
        (102, "telephone-event/48000"),
    ]);
    offer.formats[0].parameters = Some("minptime=10; useinbandfec=1;maxaveragebitrate=16000".into());
    offer.ptime_ms = 30;
    let (description, agreement) = answer(local(), &offer, &ALL).unwrap();
    let types: Vec<_> = description.formats.iter().map(|f| f.payload_type).collect();
    assert_eq!(types, [96, 102], "comfort noise has a clock of 8 kHz");
    assert_eq!(agreement.send.audio(), Some((96, Codec::Opus)));
    assert_eq!(agreement.send.event(), Some((102, 48)));
    assert_eq!((agreement.ptime_ms, description.ptime_ms), (20, 20), "Opus has no packets of 30 ms");
    let opus = agreement.opus.applied_to(OpusSettings::default());
    assert_eq!((opus.bitrate_bps, opus.fec), (16_000, true));
    let (_, narrow) = answer(local(), &offer, &[Codec::G722]).unwrap();
    assert_eq!((narrow.send.event(), narrow.ptime_ms), (Some((101, 8)), 30));
    assert_eq!(narrow.receive.get(13), Some(Payload::Noise(8)));
}

#[test]
fn payload_types_of_both_sides_need_not_be_the_same() {
    let ours = super::offer(local(), &ALL).unwrap();
    let theirs = remote(&[(98, "opus/48000"), (8, "PCMA"), (99, "telephone-event/48000")]);
    let agreement = conclude(&ours, &theirs).unwrap();
    assert_eq!(agreement.send.of(Payload::Audio(Codec::Opus)), Some(98));
    assert_eq!(agreement.receive.of(Payload::Audio(Codec::Opus)), Some(111));
    assert_eq!((agreement.receive.event(), agreement.send.event()), (Some((110, 48)), Some((99, 48))));
    assert!(!agreement.opus.applied_to(OpusSettings::default()).fec, "not asked for");
}

/// An offer of nonsense: numbers twice, clocks that no codec has, parameters cut off.
fn nonsense(mut pick: impl FnMut(usize) -> usize) -> MediaDescription {
    const NAMES: [&str; 10] =
        ["PCMU", "PCMA", "G722", "GSM", "opus", "L16", "CN", "telephone-event", "G729", "x"];
    const CLOCKS: [u32; 7] = [8_000, 16_000, 48_000, 0, 1, 44_100, u32::MAX];
    const PARAMETERS: [&str; 7] = [
        "useinbandfec=1",
        "maxaveragebitrate=99999999999",
        "=;;=",
        "0-16",
        "usedtx",
        "minptime=0;;",
        "\u{fffd}",
    ];
    let (count, ptime_ms) = (pick(40), pick(256) as u8);
    let format = |_| Format {
        payload_type: pick(128) as u8,
        encoding: Encoding::from_name(NAMES[pick(NAMES.len())]),
        // Mostly those that exist, or nothing would ever be agreed.
        clock_rate_hz: CLOCKS[if pick(4) == 0 { pick(CLOCKS.len()) } else { pick(3) }],
        channels: pick(4) as u8,
        parameters: (pick(3) == 0).then(|| PARAMETERS[pick(PARAMETERS.len())].into()),
    };
    let formats = (0..count).map(format).collect();
    let mut offer = describe("127.0.0.9:4000".parse().unwrap(), formats, Direction::SendRecv, 20);
    offer.ptime_ms = ptime_ms;
    offer
}

#[test]
fn whatever_is_offered_both_sides_agree_on_the_same_or_on_nothing() {
    let (mut state, mut agreed) = (20_261_122u64, 0);
    let mut pick = |of: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % of as u64) as usize
    };
    for n in 0..20_000 {
        let offer = nonsense(&mut pick);
        let Ok((description, ours)) = answer(local(), &offer, &ALL) else { continue };
        agreed += 1;
        let offered = |format: &Format| offer.formats.iter().any(|o| o.payload_type == format.payload_type);
        assert!(description.formats.iter().all(offered), "offer {n}: {offer:?} got {description:?}");
        let (_, codec) = ours.send.audio().expect("an answer has sound");
        assert!(ALL.contains(&codec) && (10..=60).contains(&ours.ptime_ms), "offer {n}: {ours:?}");
        let opus = ours.opus.applied_to(OpusSettings::default());
        assert_eq!(opus, opus.in_range(), "offer {n}");
        let theirs = conclude(&offer, &description).expect("the offerer understands it");
        assert_eq!(
            theirs.send.audio().map(|(_, codec)| codec),
            Some(codec),
            "offer {n}: {offer:?} got {description:?}"
        );
    }
    assert!(agreed > 5_000, "{agreed} of them mean something");
}
