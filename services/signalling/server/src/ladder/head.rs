//! As much of a message's head as tells to which dialog it belongs. Reads any bytes; what is not there is empty.

/// What a message says of its dialog.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) call_id: &'a [u8],
    pub(super) from_tag: &'a [u8],
    pub(super) to_tag: &'a [u8],
}

/// Reads a head.
pub(super) fn read(message: &[u8]) -> Head<'_> {
    let mut head = Head::default();
    for line in lines(message).skip(1) {
        let Some((name, value)) = field(line) else { continue };
        if head.call_id.is_empty() && is(name, b"call-id", b"i") {
            head.call_id = value;
        } else if head.from_tag.is_empty() && is(name, b"from", b"f") {
            head.from_tag = tag(value);
        } else if head.to_tag.is_empty() && is(name, b"to", b"t") {
            head.to_tag = tag(value);
        }
    }
    head
}

/// Whether a message can be one of a call: a REGISTER, or an OPTIONS outside of a dialog, cannot, nor an answer to one.
pub(super) fn is_of_calls(message: &[u8]) -> bool {
    let of = |method: &[u8]| !matches!(method, b"REGISTER" | b"OPTIONS");
    if !message.starts_with(b"SIP/2.0 ") {
        return of(message.split(|byte| *byte == b' ').next().unwrap_or_default());
    }
    let cseq = lines(message).skip(1).filter_map(field).find(|(name, _)| name.eq_ignore_ascii_case(b"cseq"));
    cseq.is_none_or(|(_, value)| {
        of(value.rsplit(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default())
    })
}

/// The lines before the body, without their ends.
pub(super) fn lines(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
}

/// Name and value of a header field.
pub(super) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

pub(super) fn is(name: &[u8], long: &[u8], short: &[u8]) -> bool {
    name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
}

/// The header parameter `tag`, which stands behind the address.
fn tag(value: &[u8]) -> &[u8] {
    let from = value.iter().rposition(|byte| *byte == b'>').map_or(0, |at| at + 1);
    for parameter in value[from..].split(|byte| *byte == b';').skip(1) {
        let parameter = parameter.trim_ascii();
        if parameter.len() > 4 && parameter[..4].eq_ignore_ascii_case(b"tag=") {
            return parameter[4..].trim_ascii();
        }
    }
    b""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_in_both_forms_and_a_body_is_not() {
        let message =
            b"INVITE sip:b@h SIP/2.0\r\ni: one@h\r\nFrom: \"A;tag=x\" <sip:a@h;tag=y>;x=1;Tag=ours\r\n\
            t: <sip:b@h>;tag=theirs\r\n\r\nCall-ID: body\r\n";
        let head = read(message);
        assert_eq!((head.call_id, head.from_tag, head.to_tag), (&b"one@h"[..], &b"ours"[..], &b"theirs"[..]));
        assert_eq!(read(b"\xff\xfe\n\n\n"), Head::default());
        assert_eq!(read(b"From: x;tag=\r\nTo"), Head::default());
    }

    #[test]
    fn registrations_are_no_calls() {
        assert!(is_of_calls(b"INVITE sip:b@h SIP/2.0\r\n\r\n"));
        assert!(is_of_calls(b"SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\n"));
        assert!(!is_of_calls(b"REGISTER sip:h SIP/2.0\r\n\r\n"));
        assert!(!is_of_calls(b"SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n"));
    }
}
