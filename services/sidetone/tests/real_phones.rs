//! Real telephones from Debian's packages: baresip and sipp. Skipped, with the reason printed, where they are not installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use std::process::Command;
use support::baresip::{self, Baresip, Setup};
use support::process::{Installation, tls_listener};

fn phone(installation: &Installation, number: &str, codec: &str, transport: &str, tone_hz: u32) -> Baresip {
    phone_with(installation, number, codec, transport, tone_hz, "")
}

fn phone_with(
    installation: &Installation,
    number: &str,
    codec: &str,
    transport: &str,
    tone_hz: u32,
    encryption: &str,
) -> Baresip {
    let phone = Baresip::start(&Setup {
        encryption,
        number,
        password: &format!("secret-{number}"),
        transport,
        server: &installation.sip.to_string(),
        codec,
        tone_hz,
    });
    phone.wait_until_registered();
    phone
}

fn skipped() -> bool {
    let missing = !baresip::is_installed();
    if missing {
        eprintln!("SKIPPED: baresip is not installed (apt install baresip-core)");
    }
    missing
}

#[test]
fn two_phones_with_different_codecs_hear_each_other() {
    if skipped() {
        return;
    }
    let installation = Installation::one_process();
    let ada = phone(&installation, "1001", "PCMU", "udp", 440);
    let ben = phone(&installation, "1002", "PCMA", "tcp", 700);
    ada.dial(&format!("sip:1002@{}", installation.sip));
    ben.wait_until_it_hears(440);
    // And not itself.
    ada.wait_until_it_hears_but(700, 440, -50.0);
    assert_eq!(installation.calls().len(), 1);
    ben.hang_up();
    ada.wait_for_log("terminate");
    installation.wait_until("the call is over", || installation.calls().is_empty());
}

/// A call between two phones of these codecs, both of which hear each other; the phones, in the call.
fn call_between(installation: &Installation, first: &str, second: &str) -> [Baresip; 2] {
    let ada = phone(installation, "1001", first, "udp", 440);
    let ben = phone(installation, "1002", second, "tcp", 700);
    ada.dial(&format!("sip:1002@{}", installation.sip));
    ada.wait_until_it_hears_but(700, 440, -40.0);
    ben.wait_until_it_hears_but(440, 700, -40.0);
    [ada, ben]
}

#[test]
fn phones_that_share_a_wideband_codec_get_it_and_others_are_transcoded() {
    if skipped() {
        return;
    }
    let installation = Installation::one_process();
    for (first, second, at_first, at_second) in [
        ("opus,PCMU", "PCMU,opus", "opus 48000Hz", "opus 48000Hz"),
        ("G722,PCMA", "PCMA,G722", "G722 16000Hz", "G722 16000Hz"),
        ("opus", "PCMA", "opus 48000Hz", "PCMA 8000Hz"),
        ("GSM", "G722", "GSM 8000Hz", "G722 16000Hz"),
    ] {
        let [ada, ben] = call_between(&installation, first, second);
        ada.wait_for_log(&format!("Set audio encoder: {at_first}"));
        ben.wait_for_log(&format!("Set audio encoder: {at_second}"));
        ada.hang_up();
        installation.wait_until("the call is over", || installation.calls().is_empty());
    }
}

#[test]
fn a_room_of_phones_of_three_codecs() {
    if skipped() {
        return;
    }
    let installation = Installation::one_process();
    let tones = [440, 700, 1150];
    let phones: Vec<Baresip> = [("1001", "opus"), ("1002", "G722"), ("1003", "PCMU")]
        .into_iter()
        .zip(tones)
        .map(|((number, codec), tone)| phone(&installation, number, codec, "udp", tone))
        .collect();
    for phone in &phones {
        phone.dial(&format!("sip:3000@{}", installation.sip));
    }
    for (listener, phone) in phones.iter().enumerate() {
        for (speaker, tone) in tones.into_iter().enumerate() {
            if speaker != listener {
                phone.wait_until_it_hears_but(tone, tones[listener], -35.0);
            }
        }
    }
}

#[test]
fn srtp_phones_talk_to_each_other_and_to_plain_ones() {
    if skipped() {
        return;
    }
    let installation = Installation::one_process();
    let ada = phone_with(&installation, "1001", "PCMU", "udp", 440, "srtp-mand");
    let ben = phone(&installation, "1002", "PCMA", "tcp", 700);
    let cleo = phone_with(&installation, "1003", "PCMU", "tcp", 1150, "srtp");
    ada.dial(&format!("sip:1002@{}", installation.sip));
    ada.wait_until_it_hears(700);
    ben.wait_until_it_hears(440);
    ada.hang_up();
    installation.wait_until("the call is over", || installation.calls().is_empty());
    // A room: two with keys of their own, one without.
    for phone in [&ada, &ben, &cleo] {
        phone.dial(&format!("sip:3000@{}", installation.sip));
    }
    ben.wait_until_it_hears(440);
    ben.wait_until_it_hears(1150);
    cleo.wait_until_it_hears(700);
    ada.wait_until_it_hears(1150);
    assert!(!installation.logs().contains("inline:"), "a key in the log");
}

/// A phone that refuses RTP/AVP: over UDP it can be called when the directory says that it is to encrypt.
#[test]
fn a_phone_that_takes_srtp_alone_is_called_by_a_plain_one() {
    if skipped() {
        return;
    }
    let installation = Installation::one_process();
    let ada = phone_with(&installation, "1001", "PCMU", "udp", 440, "srtp-mand");
    let ben = phone(&installation, "1002", "PCMA", "udp", 700);
    ben.dial(&format!("sip:1001@{}", installation.sip));
    ben.wait_for_log("488");
    installation.wait_until("the refused call is over", || installation.calls().is_empty());
    let put = ["directory", "put-device", "user1001", "desk1001", "--media-encryption", "required"];
    installation.command(&put).unwrap();
    let devices = installation.json(&["directory", "devices", "--user", "user1001"]).to_string();
    assert!(devices.contains("MEDIA_ENCRYPTION_REQUIRED"), "{devices}");
    installation.wait_until("signalling knows", || {
        installation.serve.as_ref().unwrap().metric("sidetone_signalling_encryption_settings_count") == 1.0
    });
    ben.dial(&format!("sip:1001@{}", installation.sip));
    ada.wait_until_it_hears(700);
    ben.wait_until_it_hears(440);
    ben.hang_up();
    installation.wait_until("the call is over", || installation.calls().is_empty());
    // What it must have for itself it has as a caller, too.
    ada.dial(&format!("sip:1002@{}", installation.sip));
    ben.wait_until_it_hears(440);
    assert!(!installation.logs().contains("inline:"), "a key in the log");
}

/// Its connection has died with the process that was killed; the call is hung up by the API before it is back.
#[test]
fn a_phone_over_tcp_gets_its_bye_after_signalling_was_killed() {
    if skipped() {
        return;
    }
    let mut installation = Installation::four_processes();
    let ada = phone(&installation, "1001", "PCMU", "tcp", 440);
    let ben = phone(&installation, "1002", "PCMU", "udp", 700);
    ben.dial(&format!("sip:1001@{}", installation.sip));
    ada.wait_until_it_hears(700);
    ben.wait_until_it_hears(440);
    let call = installation.calls().remove(0);
    let signalling = installation.signalling.as_mut().unwrap();
    signalling.kill();
    signalling.restart();
    signalling.wait_until_ready();
    assert!(!ada.log().contains("terminated"), "it hung up by itself\n{}", ada.log());
    installation.command(&["calls", "hang-up", &call]).unwrap();
    installation.wait_until("the call is over", || installation.calls().is_empty());
    installation.wait_until("the phone is back and has its BYE", || {
        ada.register_again();
        ada.log().contains("terminated")
    });
}

#[test]
fn phones_register_and_call_over_tls_and_tcp() {
    if skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (section, tls) = tls_listener(folder.path());
    let installation = Installation::one_process_with("", "", &section);
    let ada = Baresip::start(&Setup {
        encryption: "srtp",
        number: "1001",
        password: "secret-1001",
        transport: "tls",
        server: &tls,
        codec: "PCMU",
        tone_hz: 440,
    });
    ada.wait_until_registered();
    let ben = phone(&installation, "1002", "PCMU", "tcp", 700);
    let registered = installation.json(&["directory", "registrations"]).to_string();
    assert!(registered.contains("transport=tls") && registered.contains("transport=tcp"), "{registered}");
    ada.dial(&format!("sip:1002@{}", installation.sip));
    ada.wait_until_it_hears(700);
    ben.wait_until_it_hears(440);
    ben.hang_up();
    installation.wait_until("the call is over", || installation.calls().is_empty());
    // And the other way, over the connection that the phone opened.
    ben.dial(&format!("sip:1001@{}", installation.sip));
    ben.wait_until_it_hears(440);
    ada.hang_up();
    installation.wait_until("the call is over", || installation.calls().is_empty());
}

#[test]
fn three_phones_meet_in_a_room() {
    if skipped() {
        return;
    }
    let installation = Installation::one_process();
    let tones = [440, 700, 1150];
    let phones: Vec<Baresip> = [("1001", "PCMU", "udp"), ("1002", "PCMA", "tcp"), ("1003", "PCMU", "tcp")]
        .into_iter()
        .zip(tones)
        .map(|((number, codec, transport), tone)| phone(&installation, number, codec, transport, tone))
        .collect();
    for phone in &phones {
        phone.dial(&format!("sip:3000@{}", installation.sip));
    }
    for (listener, phone) in phones.iter().enumerate() {
        for (speaker, tone) in tones.into_iter().enumerate() {
            if speaker != listener {
                phone.wait_until_it_hears_but(tone, tones[listener], -45.0);
            }
        }
    }
    let conferences = installation.json(&["conferences"]);
    assert_eq!(conferences[0]["participants"].as_array().unwrap().len(), 3);
}

#[test]
fn two_hundred_sipp_calls_to_the_echo_number() {
    if Command::new("sipp").arg("-v").output().is_err() {
        eprintln!("SKIPPED: sipp is not installed (apt install sip-tester)");
        return;
    }
    let installation = Installation::one_process();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sipp")
        .args([
            "-sn",
            "uac",
            "-s",
            "9196",
            "-m",
            "200",
            "-r",
            "50",
            "-d",
            "500",
            "-i",
            "127.0.0.1",
            "-timeout",
            "180s",
        ])
        .args(["-nostdin", "-trace_err", "-trace_stat", "-stf", "stat.csv", "-fd", "1"])
        .arg(installation.sip.to_string())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "sipp: {:?}\n{text}\n{}", output.status, installation.logs());
    let stat = std::fs::read_to_string(folder.path().join("stat.csv")).unwrap();
    let head: Vec<&str> = stat.lines().next().unwrap().split(';').collect();
    let last: Vec<&str> = stat.lines().last().unwrap().split(';').collect();
    let value = |name: &str| last[head.iter().position(|column| *column == name).unwrap()].to_owned();
    assert_eq!((value("SuccessfulCall(C)"), value("FailedCall(C)")), ("200".to_owned(), "0".to_owned()));
    installation.wait_until("every call is over", || installation.calls().is_empty());
}
