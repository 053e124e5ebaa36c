//! L16: linear samples in network byte order (RFC 3551, section 4.5.11).

/// Decodes as many whole samples as both slices hold and returns how many that were.
pub fn decode(bytes: &[u8], samples: &mut [i16]) -> usize {
    let pairs = bytes.as_chunks::<2>().0;
    for (pair, sample) in pairs.iter().zip(samples.iter_mut()) {
        *sample = i16::from_be_bytes(*pair);
    }
    pairs.len().min(samples.len())
}

/// Encodes as many samples as both slices hold and returns how many bytes that were.
pub fn encode(samples: &[i16], bytes: &mut [u8]) -> usize {
    let pairs = bytes.as_chunks_mut::<2>().0;
    let n = pairs.len().min(samples.len());
    for (pair, sample) in pairs.iter_mut().zip(samples) {
        *pair = sample.to_be_bytes();
    }
    n * 2
}
