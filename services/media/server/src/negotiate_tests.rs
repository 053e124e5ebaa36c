use super::*;

fn local() -> SocketAddr {
    "127.0.0.1:20000".parse().unwrap()
}

fn remote(formats: &[(u8, &str)]) -> MediaDescription {
    let formats =
        formats.iter().map(|(pt, name)| Format::new(*pt, Encoding::from_name(name), 8000)).collect();
    describe("127.0.0.9:4000".parse().unwrap(), formats, Direction::SendRecv, 20)
}

#[test]
fn the_answer_takes_the_first_common_audio_of_the_offerer() {
    let offer = remote(&[(9, "G722"), (8, "PCMA"), (0, "PCMU"), (96, "telephone-event")]);
    let (description, agreement) = answer(local(), &offer, &[]).unwrap();
    let types: Vec<_> = description.formats.iter().map(|f| f.payload_type).collect();
    assert_eq!(types, [8, 96]);
    assert_eq!(agreement.send.audio(), Some((8, Law::A)));
    assert_eq!(agreement.receive.get(96), Some(Payload::Event));
    let (_, only) = answer(local(), &offer, &[Encoding::Pcmu]).unwrap();
    assert_eq!(only.send.audio(), Some((0, Law::Mu)));
}

#[test]
fn without_a_common_codec_nothing_is_agreed() {
    let offer = remote(&[(9, "G722"), (96, "telephone-event")]);
    assert_eq!(answer(local(), &offer, &[]).unwrap_err(), MediaError::NoCommonCodec);
    let pcma = remote(&[(8, "PCMA")]);
    assert_eq!(answer(local(), &pcma, &[Encoding::Pcmu]).unwrap_err(), MediaError::NoCommonCodec);
    let other = [Encoding::Other("OPUS".into())];
    assert_eq!(super::offer(local(), &other).unwrap_err(), MediaError::NoCommonCodec);
}

#[test]
fn each_side_keeps_its_own_numbers() {
    let ours = super::offer(local(), &[]).unwrap();
    let theirs = remote(&[(8, "PCMA"), (0, "PCMU"), (97, "telephone-event")]);
    let agreement = conclude(&ours, &theirs).unwrap();
    assert_eq!(agreement.send.audio(), Some((8, Law::A)));
    assert_eq!(agreement.receive.get(0), Some(Payload::Audio(Law::Mu)));
    assert_eq!(agreement.send.of(Payload::Event), Some(97));
    assert_eq!(agreement.receive.of(Payload::Event), Some(101));
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
        assert_eq!(answer(local(), &held, &[]).unwrap().0.direction, ours);
    }
    held.direction = Direction::SendRecv;
    held.rtp = "0.0.0.0:4000".parse().unwrap();
    assert_eq!(answer(local(), &held, &[]).unwrap().0.direction, Direction::RecvOnly);
    held.rtp = "127.0.0.9:0".parse().unwrap();
    let (description, agreement) = answer(local(), &held, &[]).unwrap();
    assert!(agreement.refused && description.rtp.port() == 0);
}

#[test]
fn the_packet_time_asked_for_is_sent_when_we_can() {
    for (asked, made) in [(0, 20), (10, 10), (25, 20), (30, 30), (60, 60), (200, 60), (5, 10)] {
        let mut offer = remote(&[(0, "PCMU")]);
        offer.ptime_ms = asked;
        assert_eq!(answer(local(), &offer, &[]).unwrap().1.ptime_ms, made);
    }
}
