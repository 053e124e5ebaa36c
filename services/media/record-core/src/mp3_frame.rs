//! The frames of MPEG layer III that recordings are made of, by their headers (ISO/IEC 11172-3, 2.4.1.3, and 13818-3).

use sidetone_dsp::Rate;

use crate::Form;

/// Bytes and samples of one channel in a frame. All are of one size: the bit rates are such that none needs padding.
pub(crate) const fn size(form: Form) -> (u64, u64) {
    let (bytes, samples) = match form.rate {
        Rate::Narrow => (288, 576),
        Rate::Wide => (216, 576),
        Rate::Full => (192, 1152),
    };
    (bytes * form.channels as u64, samples)
}

/// What sound a frame has, by its header.
pub(crate) fn form_of(start: &[u8]) -> Option<Form> {
    let &[sync, version, rates, mode] = start.first_chunk()?;
    // Layer III, with or without a checksum.
    if sync != 0xFF || version & 0xE6 != 0xE2 {
        return None;
    }
    let rate = match (version >> 3 & 3, rates >> 2 & 3) {
        (0, 2) => Rate::Narrow,
        (2, 2) => Rate::Wide,
        (3, 1) => Rate::Full,
        _ => return None,
    };
    Some(Form::new(if mode >> 6 == 3 { 1 } else { 2 }, rate))
}
