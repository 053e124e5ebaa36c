use super::*;

const INVITE: &str = "INVITE sip:+4930123456@carrier.example;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa\r\n\
    From: \"Ada, the \\\"Countess\\\"\" <sip:1001@alpha.test>;tag=one\r\n\
    To: Ben <sip:+4930123456@carrier.example>\r\n\
    Contact: <sips:1001:geheim@192.0.2.7:5061;transport=tcp>, Ada <tel:+4930999999;phone-context=x>\r\n\
    Call-ID: a84b4c76\r\nCSeq: 1 INVITE\r\n\
    Authorization: Digest username=\"1001\",\r\n  response=\"0123456789abcdef\"\r\n\
    X-Customer: 4711 Lovelace\r\nSubject: private\r\n\
    Content-Type: application/sdp\r\nContent-Length: 100\r\n\r\n\
    v=0\r\no=ada 1 1 IN IP4 192.0.2.7\r\ns=Ada's phone\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/SAVP 0\r\n\
a=ssrc:575490828 cname:sip:1001@phone.example\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\na=ice-pwd:hush\r\na=rtpmap:0 PCMU/8000\r\n";

fn shown(show_numbers: bool) -> String {
    String::from_utf8(Redactor::new(&[7; 32]).redact(INVITE.as_bytes(), show_numbers)).unwrap()
}

#[test]
fn nobody_can_be_told_from_a_redacted_message_and_the_call_can_be_followed() {
    let text = shown(false);
    for personal in [
        "4930",
        "1001",
        "geheim",
        "Ada",
        "Countess",
        "Ben",
        "ada ",
        "Lovelace",
        "4711",
        "private",
        "0123456789abcdef",
    ] {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
    for secret in ["c2VjcmV0", "hush"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    for needed in [
        "192.0.2.7:5061",
        "tag=one",
        "a84b4c76",
        "m=audio 4000",
        "PCMU",
        "carrier.example;user=phone SIP/2.0",
    ] {
        assert!(text.contains(needed), "{needed} not in {text}");
    }
    // The number dialled and the one in To are the same one.
    let pseudonym = &text[text.find('~').unwrap()..][..7];
    assert_eq!(text.matches(pseudonym).count(), 2, "{text}");
}

#[test]
fn keys_and_passwords_are_hidden_from_everybody() {
    let text = shown(true);
    for secret in ["c2VjcmV0", "hush", "0123456789abcdef"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    for shown in ["+4930123456", "Countess", "4711 Lovelace", "s=Ada's phone"] {
        assert!(text.contains(shown), "{shown} not in {text}");
    }
}

#[test]
fn keys_are_hidden_in_a_body_of_several_parts_too() {
    let message =
        INVITE.replace("application/sdp", "multipart/mixed;boundary=x").replace("v=0", "--x\r\n\r\nv=0");
    let text = String::from_utf8(Redactor::new(&[7; 32]).redact(message.as_bytes(), true)).unwrap();
    assert!(text.contains("m=audio 4000") && !text.contains("c2VjcmV0"), "{text}");
}

#[test]
fn any_bytes_are_redacted_without_a_panic() {
    let redactor = Redactor::new(&[7; 32]);
    for cut in 0..INVITE.len() {
        let _any = redactor.redact(&INVITE.as_bytes()[..cut], false);
        let _any = redactor.redact(&INVITE.as_bytes()[cut..], false);
        let mut broken = INVITE.as_bytes().to_vec();
        broken[cut] = b"\xff\"<>;@:\r\n"[cut % 9];
        let _any = redactor.redact(&broken, cut % 2 == 0);
    }
}
