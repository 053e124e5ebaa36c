//! Malformed input beside a call, and nothing personal in the log. Alone in its file: a captured log takes no second
//! test beside it in the same process.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod harness;

use std::io;
use std::sync::{Arc, Mutex};

use harness::phone::{Phone, SDP};
use harness::{Rig, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::signal::LegSignalKind;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Single-threaded, so that the captured log is that of all tasks.
#[tokio::test(flavor = "current_thread")]
async fn rubbish_disturbs_no_call_and_the_log_names_nobody() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    phone.invite("9198", "call").await;
    let offered = owner.signal().await;
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.last().await;
    phone.within_dialog("ACK", &ok, "", "").await;
    assert!(matches!(owner.signal().await.kind, LegSignalKind::Confirmed { .. }));

    let (uri, to) = ("9196@alpha.test", "<sip:9196@alpha.test>");
    for n in 0..3 {
        let options = phone.compose("OPTIONS", uri, to, &format!("r{n}"), "", "");
        phone.send(options.replace("Max-Forwards: 70", "Max-Forwards: 70\r\nRequire: nonsense")).await;
        assert_eq!(phone.last().await.status().code(), 420);
    }
    assert_eq!(rig.telemetry.signalling.refused.with_label_values(&["extension"]).get(), 3);

    let mut sprayer = Phone::udp(&rig, "+4930123456789", "x").await;
    let whole =
        sprayer.compose("INVITE", "4930123456789@alpha.test", "<sip:4930123456789@alpha.test>", "s", "", SDP);
    for cut in 0..whole.len() {
        sprayer.send(&whole.as_bytes()[..cut]).await;
    }
    for byte in 0..=255u8 {
        let at = usize::from(byte) % whole.len();
        let mut broken = whole.clone().into_bytes();
        broken[at] = byte;
        sprayer.send(&broken).await;
    }
    phone.within_dialog("BYE", &ok, "", "").await;
    assert_eq!(phone.last().await.status().code(), 200);
    loop {
        let signal = owner.signal().await;
        if signal.leg == offered.leg {
            assert!(matches!(signal.kind, LegSignalKind::Ended(_)));
            break;
        }
    }
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("leg ended"), "the log was captured");
    // One line a minute for each reason, however much comes.
    let reasons = |what: &str| -> Vec<String> {
        let told = log.lines().filter(|line| line.contains(what) && line.contains("WARN"));
        told.map(|line| line.split("reason=").nth(1).unwrap().split(' ').next().unwrap().to_owned()).collect()
    };
    for (what, reason) in [
        ("requests that cannot be taken were refused", "\"extension\""),
        ("no SIP message that can be taken", "\"not_sip\""),
    ] {
        let told = reasons(what);
        let each: std::collections::HashSet<&String> = told.iter().collect();
        assert!(told.iter().any(|it| it == reason) && each.len() == told.len(), "{what}: {told:?}");
    }
    for line in log.lines() {
        assert!(!sidetone_telemetry::redact::looks_personal(line), "{line}");
        assert!(!line.contains("4930123") && !line.contains("pw-of-ada"), "{line}");
    }
}
