//! Offers of ours in a session that stands (RFC 3264, section 8.3.2): the far side is asked to speak another codec.

use sidetone_model::ids::LegId;
use sidetone_model::media::{Direction, Format, MediaDescription};

use super::Engine;
use crate::error::MediaError;
use crate::negotiate::{self, Payload, PayloadTypes, clock_per_ms};

impl Engine {
    /// Our offer with `prefer` first, and behind it what stands: whoever does not want the change keeps what it has. Without
    /// `prefer`, everything that we can do behind what stands, in both directions (RFC 6337, section 5.3).
    pub(crate) async fn offer_leg(
        &self,
        id: LegId,
        prefer: Option<&Format>,
    ) -> Result<MediaDescription, MediaError> {
        let mut control = self.control.lock().await;
        let entry = control.legs.get_mut(&id).ok_or(MediaError::NotFound("leg"))?;
        let Some(prefer) = prefer else {
            let mut all = negotiate::offer(entry.local.rtp, &entry.codecs)?;
            self.tune(&mut all, None);
            let formats = widened(&entry.local.formats, all.formats);
            let direction = Direction::SendRecv;
            let offer =
                MediaDescription { formats, direction, ptime_ms: all.ptime_ms, ..entry.local.clone() };
            entry.offer = Some(offer.clone());
            return Ok(offer);
        };
        let wanted = PayloadTypes::of_formats(std::slice::from_ref(prefer)).audio();
        let (payload_type, codec) =
            wanted.filter(|(_, codec)| entry.codecs.contains(codec)).ok_or(MediaError::NoCommonCodec)?;
        let first = negotiate::format_of(payload_type, Payload::Audio(codec));
        let formats = reordered(&entry.local.formats, first, clock_per_ms(codec));
        let offer = MediaDescription { formats, ..entry.local.clone() };
        entry.offer = Some(offer.clone());
        Ok(offer)
    }
}

/// What stands behind `first`. A payload type means what it meant before; where its number has a meaning already, the standing
/// one's place is taken only by the same codec. Telephone events of its clock come with it.
fn reordered(standing: &[Format], first: Format, clock: u8) -> Vec<Format> {
    let same = standing.iter().find(|format| format.same_media(&first)).cloned();
    let free = |number: u8| standing.iter().all(|format| format.payload_type != number);
    let first = match same {
        Some(same) => same,
        None if free(first.payload_type) => first,
        None => Format { payload_type: next_free(standing).unwrap_or(first.payload_type), ..first },
    };
    let events = negotiate::our_format(Payload::Event(clock));
    let new_events = standing.iter().all(|format| !format.same_media(&events)) && free(events.payload_type);
    let others: Vec<Format> = standing.iter().filter(|format| !format.same_media(&first)).cloned().collect();
    let mut formats: Vec<Format> = std::iter::once(first).chain(others).collect();
    if new_events && formats.iter().all(|format| format.payload_type != events.payload_type) {
        formats.push(events);
    }
    formats
}

/// What stands, and behind it the rest of what we can do: each under a payload type that means nothing else in this session. Audio
/// comes before events and noise.
fn widened(standing: &[Format], all: Vec<Format>) -> Vec<Format> {
    let mut formats = standing.to_vec();
    for format in all {
        if formats.iter().any(|known| known.same_media(&format)) {
            continue;
        }
        let taken = formats.iter().any(|known| known.payload_type == format.payload_type);
        let payload_type = if taken { next_free(&formats) } else { Some(format.payload_type) };
        if let Some(payload_type) = payload_type {
            formats.push(Format { payload_type, ..format });
        }
    }
    formats.sort_by_key(|format| !format.encoding.is_audio());
    formats
}

/// A dynamic payload type without a meaning (RFC 3551, section 6).
fn next_free(standing: &[Format]) -> Option<u8> {
    (96..=127).find(|number| standing.iter().all(|format| format.payload_type != *number))
}

#[cfg(test)]
mod tests {
    use sidetone_model::media::Encoding;

    use super::*;

    fn format(number: u8, encoding: Encoding, clock_hz: u32) -> Format {
        Format::new(number, encoding, clock_hz)
    }

    #[test]
    fn a_full_offer_names_everything_and_changes_no_meaning() {
        let standing = [format(8, Encoding::Pcma, 8_000), format(111, Encoding::TelephoneEvent, 8_000)];
        let all = vec![
            format(111, Encoding::Opus, 48_000),
            format(0, Encoding::Pcmu, 8_000),
            format(8, Encoding::Pcma, 8_000),
            format(101, Encoding::TelephoneEvent, 8_000),
        ];
        let offered = widened(&standing, all).into_iter().map(|it| (it.payload_type, it.encoding));
        let expected =
            [(8, Encoding::Pcma), (96, Encoding::Opus), (0, Encoding::Pcmu), (111, Encoding::TelephoneEvent)];
        assert_eq!(offered.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_stands_stays_behind_what_is_wanted_under_its_numbers() {
        let standing = [format(111, Encoding::Opus, 48_000), format(97, Encoding::TelephoneEvent, 48_000)];
        let offered = reordered(&standing, format(8, Encoding::Pcma, 8_000), 8);
        let numbers: Vec<u8> = offered.iter().map(|format| format.payload_type).collect();
        assert_eq!(numbers, [8, 111, 97, 101], "{offered:?}");
        assert_eq!(offered[3].clock_rate_hz, 8_000);
        let again = reordered(&offered, format(9, Encoding::G722, 8_000), 8);
        let numbers: Vec<u8> = again.iter().map(|format| format.payload_type).collect();
        assert_eq!(numbers, [9, 8, 111, 97, 101]);
    }

    #[test]
    fn a_number_keeps_its_meaning() {
        let standing = [format(96, Encoding::L16, 16_000), format(101, Encoding::TelephoneEvent, 8_000)];
        let offered = reordered(&standing, format(96, Encoding::Gsm, 8_000), 8);
        assert_eq!((offered[0].payload_type, &offered[0].encoding), (97, &Encoding::Gsm));
        assert_eq!(offered.len(), 3);
        let same = reordered(&standing, format(99, Encoding::L16, 16_000), 16);
        assert_eq!(same[0].payload_type, 96);
    }
}
