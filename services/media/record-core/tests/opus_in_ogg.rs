//! Opus in Ogg as a decoder sees it: pages that hold together, sound that is there, an end that is told, and what a kill leaves.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sidetone_dsp::Rate;
use sidetone_dsp::codec::opus::{OpusDecode as _, PureDecoder};
use sidetone_record_core::{Container, Encoder, Form, Segments};

/// The packets of a file, page by page, with what each page says of its end; checks what RFC 3533 says of pages.
struct Page {
    flags: u8,
    granule: u64,
    sequence: u32,
    packets: Vec<Vec<u8>>,
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = 0u32;
    for byte in bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
        }
    }
    crc
}

fn pages(mut file: &[u8]) -> Vec<Page> {
    let mut pages = Vec::new();
    while !file.is_empty() {
        assert_eq!(&file[..5], b"OggS\0");
        let segments = usize::from(file[26]);
        let lengths: Vec<usize> = file[27..27 + segments].iter().map(|n| usize::from(*n)).collect();
        let end = 27 + segments + lengths.iter().sum::<usize>();
        let mut page = file[..end].to_vec();
        let told = u32::from_le_bytes(page[22..26].try_into().unwrap());
        page[22..26].fill(0);
        assert_eq!(told, crc(&page));
        let mut at = 27 + segments;
        let packets = lengths.iter().map(|length| {
            at += length;
            page[at - length..at].to_vec()
        });
        let packets = packets.collect();
        pages.push(Page {
            flags: page[5],
            granule: u64::from_le_bytes(page[6..14].try_into().unwrap()),
            sequence: u32::from_le_bytes(page[18..22].try_into().unwrap()),
            packets,
        });
        file = &file[end..];
    }
    pages
}

const NARROW: Rate = Rate::Narrow;

fn tone(hz: f32, samples: usize, rate: Rate) -> impl Iterator<Item = i16> {
    let step = std::f32::consts::TAU * hz / rate.hz() as f32;
    (0..samples).map(move |n| (8_000.0 * (step * n as f32).sin()) as i16)
}

/// How much of a sound's power is at one frequency.
fn share(samples: &[i16], hz: f32, rate: Rate) -> f32 {
    let step = std::f32::consts::TAU * hz / rate.hz() as f32;
    let (mut sine, mut cosine, mut power) = (0.0, 0.0, 1.0);
    for (n, sample) in samples.iter().enumerate() {
        let (at, sample) = (step * n as f32, f32::from(*sample));
        sine += sample * at.sin();
        cosine += sample * at.cos();
        power += sample * sample;
    }
    2.0 * (sine * sine + cosine * cosine) / (power * samples.len() as f32)
}

fn decode(packets: impl Iterator<Item = Vec<u8>>, rate: Rate) -> Vec<i16> {
    let mut decoder = PureDecoder::new(rate).unwrap();
    let mut all = Vec::new();
    for packet in packets {
        let mut samples = [0; 960];
        let made = decoder.decode(&packet, &mut samples).unwrap();
        all.extend_from_slice(&samples[..made]);
    }
    all
}

fn written(form: Form, samples: &[i16], piece: usize) -> Vec<u8> {
    let (mut encoder, mut file) = Encoder::new(Container::OggOpus, form).unwrap();
    for samples in samples.chunks(piece * usize::from(form.channels)) {
        encoder.write(samples, &mut file).unwrap();
    }
    encoder.finish(&mut file).unwrap();
    assert!(encoder.patch().is_none());
    file
}

#[test]
fn a_file_is_heard_and_tells_where_it_ends() {
    for (rate, hz) in [(NARROW, 500.0), (Rate::Wide, 5_000.0), (Rate::Full, 5_000.0)] {
        a_file_of_a_rate_is_heard(rate, hz);
    }
}

fn a_file_of_a_rate_is_heard(rate: Rate, hz: f32) {
    let times = rate.samples(1) / 8;
    let length = 20_123 * times;
    let sound: Vec<i16> = tone(hz, length, rate).collect();
    let file = written(Form::new(1, rate), &sound, 777);
    assert_eq!(Container::OggOpus.form_of(&file[..58]), Some(Form::new(1, rate)));
    let pages = pages(&file);
    assert!(pages.iter().enumerate().all(|(n, page)| page.sequence == n as u32));
    assert_eq!((pages[0].flags, &pages[0].packets[0][..8]), (2, &b"OpusHead"[..]));
    assert_eq!(&pages[1].packets[0][..8], b"OpusTags");
    let last = pages.last().unwrap();
    assert_eq!((last.flags, last.granule), (4, 312 + 20_123 * 6), "granules are of 48 kHz");
    assert!(pages[2..pages.len() - 1].iter().all(|page| page.flags == 0));
    assert!(pages.windows(2).all(|two| two[0].granule <= two[1].granule));
    let heard = decode(pages[2..].iter().flat_map(|page| page.packets.clone()), rate);
    assert!(heard.len() >= (20_123 + 52) * times);
    let share = share(&heard[4_000 * times..20_000 * times], hz, rate);
    assert!(share > 0.95, "{rate:?}: {share}");
}

#[test]
fn two_voices_are_two_streams() {
    let both: Vec<i16> =
        tone(500.0, 16_000, NARROW).zip(tone(900.0, 16_000, NARROW)).flat_map(|(a, b)| [a, b]).collect();
    let file = written(Form::new(2, NARROW), &both, 160);
    let pages = pages(&file);
    assert_eq!(pages[0].packets[0][18..], [1, 2, 0, 0, 1], "family 1, two streams, none coupled");
    // The first says how long its frame is, behind the padding's length where there is padding.
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for packet in pages[2..].iter().flat_map(|page| page.packets.clone()) {
        let padded = packet[1] & 0x40 != 0;
        let length_at = if padded { 3 } else { 2 };
        let mut first = packet[..61].to_vec();
        assert!(usize::from(first.remove(length_at)) <= 58);
        left.push(first);
        right.push(packet[61..].to_vec());
    }
    let (left, right) = (decode(left.into_iter(), NARROW), decode(right.into_iter(), NARROW));
    let shares = [share(&left[4_000..], 500.0, NARROW), share(&right[4_000..], 900.0, NARROW)];
    assert!(shares.iter().all(|share| *share > 0.8), "{shares:?}");
    assert!(share(&left[4_000..], 900.0, NARROW) < 0.01 && share(&right[4_000..], 500.0, NARROW) < 0.01);
}

#[test]
fn what_a_kill_leaves_is_whole_pages_and_segments_play_alone() {
    for form in Rate::ALL.into_iter().flat_map(|rate| [1, 2].map(|channels| Form::new(channels, rate))) {
        let sound = vec![1_000; form.samples(25_000) as usize * usize::from(form.channels)];
        let (mut encoder, mut file) = Encoder::new(Container::OggOpus, form).unwrap();
        encoder.write(&sound, &mut file).unwrap();
        assert_eq!(Container::OggOpus.form_of(&file[..58]), Some(form));
        for cut in [0, 40, 58, 99, 103, 500, 4_000, file.len() - 1, file.len()] {
            let start = &file[..cut.min(58)];
            let whole = Container::OggOpus.units_of(start).and_then(|mut units| {
                units.see(cut as u64, &[], u64::MAX, true);
                units.repair(start, cut as u64)
            });
            let Some(repair) = whole else {
                assert!(cut < 110);
                continue;
            };
            let left = pages(&file[..repair.length as usize]);
            assert_eq!(repair.duration_ms, (left.len() as u64 - 2) * 200);
        }
        let mut cut = Segments::new(Container::OggOpus, form);
        let segment = std::iter::from_fn(|| cut.next(file.len() as u64, &[], false)).nth(1).unwrap();
        assert_eq!(segment.first_sample, form.samples(10_000));
        let mut alone = cut.header(&segment);
        alone.extend(&file[segment.bytes.start as usize..segment.bytes.end as usize]);
        assert_eq!(pages(&alone).len(), 2 + 50);
    }
}
