//! The first bytes of an Opus packet (RFC 6716, section 3.1 and 3.2).

/// Duration of a packet in samples at 48 kHz, which is the RTP clock; none when its frame count is invalid or it is longer
/// than 120 ms.
pub fn packet_duration(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..12 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        // Hybrid: 10, 20 ms.
        12..16 => [480, 960][usize::from(config & 1)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*packet.get(1)? & 0x3F),
    };
    (1..=5_760).contains(&(frame * frames)).then_some(frame * frames)
}
